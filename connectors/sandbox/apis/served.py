"""What the vendors' APIs serve of the sandbox world: rows of its marketing drops, each row by one vendor, as of the sandbox's clock.

`part` takes the rows out of the drops and keeps them as <folder>/<vendor>/<kind>.jsonl; what no vendor serves stays a drop.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

Row = dict[str, Any]
SOURCE = "sandbox_marketing"
# whose API an ad account's figures come from; GA4 has the cost of networks that are imported into it
OF_ACCOUNT = {
    "google-100": "google_ads",
    "meta-200": "meta_ads",
    "tiktok-210": "tiktok_ads",
    "linkedin-220": "linkedin_ads",
    "microsoft-110": "ga4",
    "display-300": "ga4",
}
# by turns each newsletter leaves through one of these, and each contact's choice about e-mails is kept by one
MAIL_TOOLS = ("klaviyo", "sendgrid", "mailchimp")
# by day when the figures of all accounts were delivered: an account without a row of a delivery has none any more
REPORTS = "reports.json"
SALES = ("lead_created", "deal_created", "deal_stage_changed", "deal_won", "deal_lost")


def mail_tool(campaign_id: str) -> str:
    """The tool that a newsletter leaves through: e-07."""
    return MAIL_TOOLS[int(campaign_id.rpartition("-")[2]) % len(MAIL_TOOLS)]


def tool_of_contact(crm_id: str) -> str:
    """The tool that keeps what a contact allows: c-000271."""
    return MAIL_TOOLS[int(crm_id.rpartition("-")[2]) % len(MAIL_TOOLS)]


def _of_campaign(row: Row) -> str:
    if row["channel"] == "Email":
        return mail_tool(row["campaign_id"])
    # GA4 knows no campaigns of its own
    return {"ga4": ""}.get(name := OF_ACCOUNT.get(row["account_id"], ""), name)


def _of_consent(row: Row) -> str:
    tool = tool_of_contact(row["crm_id"]) if row["purpose"] == "email" else ""
    # it keeps who wants no more, not who does
    return "" if tool == "sendgrid" and row["granted"] else tool


# by the kind of a row: the vendor that serves it, none where it stays a drop
VENDOR_OF: Mapping[str, Callable[[Row], str]] = {
    "campaigns": _of_campaign,
    "contacts": lambda row: "hubspot",
    "consents": _of_consent,
    "ad_spend": lambda row: OF_ACCOUNT.get(row["account_id"], ""),
    "email_events": lambda row: mail_tool(row["campaign_id"]),
    "contact_events": lambda row: "salesforce" if row["event"] in SALES else "",
}
# from when on a row can be seen
SEEN_FROM = {"ad_spend": "delivered", "email_events": "received_at", "contact_events": "received_at"}


def part(drops: Path, folder: Path, vendors: Collection[str] = ()) -> dict[str, int]:
    """Take what vendors serve out of the drops below a folder, and keep it below another one. Returns the rows by "vendor.kind".

    vendors: those that serve; by default all. What the others would serve stays in the drops.
    """
    reports: dict[str, list[str]] = {}
    for path in sorted((drops / SOURCE / "ad_spend").rglob("*.csv")):
        reports.setdefault(path.parent.name, []).append(path.stem.removeprefix("delivered-"))
    found: dict[str, list[bytes]] = {}
    for kind, vendor_of in VENDOR_OF.items():
        for path in sorted((drops / SOURCE / kind).rglob("*.*")):
            left: list[bytes] = []
            is_read = False
            lines = path.read_bytes().splitlines()
            header = lines[:1] if path.suffix == ".csv" else []
            for line in lines[len(header) :]:
                row = _row(path, header, line)
                vendor = vendor_of(row) if row else ""
                if vendor and (not vendors or vendor in vendors):
                    found.setdefault(f"{vendor}.{kind}", []).append(orjson.dumps(row))
                else:
                    left.append(line)
                    is_read |= row is not None
            # a cut line alone would be a damaged file
            if is_read:
                path.write_bytes(b"\n".join([*header, *left]) + b"\n")
            else:
                path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORTS).write_bytes(orjson.dumps(reports))
    for name, rows in found.items():
        vendor, _, kind = name.partition(".")
        (folder / vendor).mkdir(parents=True, exist_ok=True)
        (folder / vendor / f"{kind}.jsonl").write_bytes(b"\n".join(rows) + b"\n")
    return {name: len(rows) for name, rows in sorted(found.items())}


def _row(path: Path, header: Sequence[bytes], line: bytes) -> Row | None:
    """A line of a drop; None where it is cut. Of a report also when it was delivered; the spend under one name."""
    if header:
        names, values = (next(csv.reader([text.decode()])) for text in (header[0], line))
        row: Row = dict(zip(names, values, strict=True))
        row["spend"] = row.pop("amount_spent", row.get("spend"))
        return row | {"delivered": path.stem.removeprefix("delivered-")}
    try:
        found: Row = orjson.loads(line)
        return found
    except orjson.JSONDecodeError:
        return None


class Served:
    """The rows of one vendor.

    clock: now, in the sandbox; what comes later is not there yet.
    """

    def __init__(self, folder: Path, vendor: str, clock: Callable[[], datetime]) -> None:
        self._folder, self.vendor, self.clock = folder / vendor, vendor, clock
        self._rows: dict[str, list[Row]] = {}

    def rows(self, kind: str) -> list[Row]:
        """What there is of a kind by now, in the order in which it came."""
        if kind not in self._rows:
            path = self._folder / f"{kind}.jsonl"
            lines = path.read_bytes().splitlines() if path.is_file() else []
            self._rows[kind] = [orjson.loads(line) for line in lines]
        now, name = self.clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.999Z"), SEEN_FROM.get(kind, "updated_at")
        return [row for row in self._rows[kind] if row[name] <= now]

    def add(self, kind: str, *rows: Row) -> None:
        """More rows, for a test."""
        self.rows(kind)
        self._rows[kind].extend(rows)

    def newest(self, kind: str, key: str) -> list[Row]:
        """Of each key the row that is in force: the one with the latest updated_at, the last of those."""
        found: dict[str, Row] = {}
        for row in sorted(self.rows(kind), key=lambda row: str(row["updated_at"])):
            found[row[key]] = row
        return list(found.values())

    def spend(self, first_day: str, last_day: str) -> Iterator[Row]:
        """The ad accounts' figures of the days as last restated, by day, then ad. A delivery restates a day whole."""
        rows = [row for row in self.rows("ad_spend") if first_day <= row["spend_date"] <= last_day]
        now, last = self.clock().astimezone(UTC).strftime("%Y-%m-%d"), dict[str, str]()
        said = self._folder.parent / REPORTS
        reports: dict[str, list[str]] = orjson.loads(said.read_bytes()) if said.is_file() else {}
        for day, delivered in [*((row["spend_date"], [row["delivered"]]) for row in rows), *reports.items()]:
            last[day] = max((one for one in [*delivered, last.get(day, "")] if one <= now), default="")
        in_force = [row for row in rows if row["delivered"] == last[row["spend_date"]]]
        yield from sorted(in_force, key=lambda row: (row["spend_date"], row["ad_id"]))

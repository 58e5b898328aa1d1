"""Mailchimp's Marketing API over the sandbox world: its audience, its campaigns, and the reports of each (count and offset)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.sandbox.apis.served import Row, Served

BASE = "/3.0"
KEY, LIST = "0123456789abcdef0123456789abcdef-us19", "4ca5becb8d"
CONNECTIONS = {"mailchimp_main": {"login": "anystring", "password": KEY}}
# it counts connections, not calls
LIMITS: dict[str, Any] = {}
MOST, USUAL = 1000, 10
ACTIONS = {"opened": "open", "clicked": "click", "bounced": "bounce"}


def problem(status: int, title: str, detail: str) -> JSONResponse:
    kind = "https://mailchimp.com/developer/marketing/docs/errors/"
    return JSONResponse(
        {"type": kind, "title": title, "status": status, "detail": detail, "instance": "995c5cb0-3280-4a6e-808b-3b096d0bb219"},
        status,
        media_type="application/problem+json",
    )


def too_many(seconds: float) -> Response:
    return problem(429, "Too Many Requests", "You have exceeded the limit of 10 simultaneous connections.")


FAULTS: dict[str, Callable[[], Response]] = {
    "expired": lambda: problem(401, "API Key Invalid", "Your API key may be invalid, or you've attempted to access the wrong datacenter."),
    "forbidden": lambda: problem(403, "User Role Error", "Your username or role does not have permission to perform this action."),
    # the edge in front of it has no JSON
    "overload": lambda: Response("<html><head><title>403 Forbidden</title></head></html>", 403, media_type="text/html"),
    "gone": lambda: problem(404, "Resource Not Found", "The requested resource could not be found."),
}


def refused(request: Request) -> Response | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    try:
        is_signed = scheme == "Basic" and base64.b64decode(value).decode().partition(":")[2] == KEY
    except ValueError:
        is_signed = False
    return None if is_signed else FAULTS["expired"]()


def routes(served: Served) -> list[Route]:
    async def campaigns(request: Request) -> Response:
        asked = request.query_params
        rows = sorted(map(_campaign, served.newest("campaigns", "campaign_id")), key=lambda row: (row["send_time"], row["id"]))
        rows = [
            row for row in rows if asked.get("status", "sent") == "sent" and row["send_time"] >= _stamp(asked.get("since_send_time", ""))
        ]
        if names := [name.removeprefix("campaigns.") for name in asked.get("fields", "").split(",") if name.startswith("campaigns.")]:
            rows = [_chosen(row, names) for row in rows]
        return _page(request, "campaigns", rows)

    async def members(request: Request) -> Response:
        if request.path_params["list"] != LIST:
            return FAULTS["gone"]()
        since, until = (_stamp(request.query_params.get(f"{name}_last_changed", "")) for name in ("since", "before"))
        rows = sorted(map(_member, served.newest("consents", "crm_id")), key=lambda row: (row["last_changed"], row["id"]))
        return _page(
            request, "members", [row for row in rows if row["last_changed"] > since and (not until or row["last_changed"] < until)]
        )

    def report(name: str, rows_of: Callable[[list[Row], Request], list[Row]]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            campaign = request.path_params["campaign"]
            if campaign not in {row["campaign_id"] for row in served.rows("campaigns")}:
                return FAULTS["gone"]()
            found = {row["id"]: row for row in served.rows("email_events") if row["campaign_id"] == campaign}
            return _page(request, name, rows_of(list(found.values()), request), campaign_id=campaign)

        return answer

    reports: tuple[tuple[str, str, Callable[[list[Row], Request], list[Row]]], ...] = (
        ("sent-to", "sent_to", _sent),
        ("email-activity", "emails", _activity),
        ("unsubscribed", "unsubscribes", _unsubscribed),
        ("abuse-reports", "abuse_reports", _complained),
    )
    return [
        Route(f"{BASE}/campaigns", campaigns),
        Route(f"{BASE}/lists/{{list}}/members", members),
        *(Route(f"{BASE}/reports/{{campaign}}/{path}", report(name, rows_of)) for path, name, rows_of in reports),
    ]


def _page(request: Request, name: str, rows: Sequence[Row], **more: Any) -> Response:
    count, offset = (int(request.query_params.get(key, usual)) for key, usual in (("count", USUAL), ("offset", 0)))
    if not 0 <= count <= MOST:
        return problem(400, "Invalid Resource", f"count must be between 0 and {MOST}.")
    return JSONResponse({name: list(rows[offset : offset + count]), **more, "total_items": len(rows)})


def _stamp(text: str) -> str:
    """As Mailchimp writes instants: seconds and an offset."""
    return f"{text[:19]}+00:00" if text else ""


def _email_id(row: Row) -> str:
    return hashlib.md5(row["email"].strip().lower().encode(), usedforsecurity=False).hexdigest()


def _who(row: Row) -> Row:
    return {
        "email_id": _email_id(row),
        "email_address": row["email"],
        "campaign_id": row["campaign_id"],
        "list_id": LIST,
        "list_is_active": True,
    }


def _fields(row: Row) -> Row:
    return {"merge_fields": {"CRM_ID": row["crm_id"]}, "vip": False}


def _sent(rows: list[Row], request: Request) -> list[Row]:
    bounced = {_email_id(row) for row in rows if row["event"] == "bounced"}
    sent = {_email_id(row): row for row in rows if row["event"] == "sent"}
    return [
        {**_who(row), **_fields(row), "status": "hard" if key in bounced else "sent", "open_count": 0, "absplit_group": "", "gmt_offset": 0}
        for key, row in sorted(sent.items())
    ]


def _activity(rows: list[Row], request: Request) -> list[Row]:
    since = _stamp(request.query_params.get("since", ""))
    found: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["event_at"]):
        if row["event"] in ACTIONS and _stamp(row["event_at"]) >= since:
            more = {"url": row["url"]} if row["event"] == "clicked" else {"type": "hard"} if row["event"] == "bounced" else {}
            action = {"action": ACTIONS[row["event"]], "timestamp": _stamp(row["event_at"]), **more, "ip": "192.0.2.10"}
            found.setdefault(_email_id(row), {**_who(row), "activity": []})["activity"].append(action)
    return [one for _, one in sorted(found.items())]


def _unsubscribed(rows: list[Row], request: Request) -> list[Row]:
    return [
        {**_who(row), **_fields(row), "timestamp": _stamp(row["event_at"]), "reason": "None given"}
        for row in rows
        if row["event"] == "unsubscribed"
    ]


def _complained(rows: list[Row], request: Request) -> list[Row]:
    found = [row for row in rows if row["event"] == "complained"]
    return [{"id": int(row["id"][-8:], 16), **_who(row), **_fields(row), "date": _stamp(row["event_at"])} for row in found]


def _member(row: Row) -> Row:
    changed = _stamp(row["updated_at"])
    return {
        "id": _email_id(row), "email_address": row["email"], "unique_email_id": _email_id(row)[:10], "contact_id": _email_id(row),
        "email_type": "html", "status": "subscribed" if row["granted"] else "unsubscribed", "merge_fields": {"CRM_ID": row["crm_id"]},
        "timestamp_opt": changed, "last_changed": changed, "source": row["evidence"], "list_id": LIST,
    }  # fmt: skip


def _campaign(row: Row) -> Row:
    at = _stamp(row["updated_at"])
    return {
        "id": row["campaign_id"], "web_id": 42, "type": "regular", "create_time": at, "send_time": at, "status": "sent", "content_type": "template",
        "recipients": {"list_id": LIST, "list_is_active": True}, "settings": {"subject_line": "News", "title": row["name"], "from_name": "Shop"},
    }  # fmt: skip


def _chosen(row: Row, names: Sequence[str]) -> Row:
    found: Row = {}
    for name in names:
        first, _, rest = name.partition(".")
        value = row[first]
        found[first] = {**found.get(first, {}), rest: value[rest]} if rest else value
    return found

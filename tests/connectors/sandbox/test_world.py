"""The sandbox world: repeatable, consistent with itself, and as untidy as it says."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from connectors.sandbox import files, pools, world

UNTIL = date(2026, 11, 20)


def made(folder: Path, seed: int = 7, **options) -> dict[str, int]:
    return files.write_world(world.make_world(people=400, days=21, until=UNTIL, seed=seed), folder, **options)


@pytest.fixture(scope="module")
def drops(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drops")
    made(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def objects(folder: Path) -> list[dict]:
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for line in (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def lines_of(folder: Path):
    for path in sorted(folder.iterdir()):
        yield from gzip.decompress(path.read_bytes()).splitlines()


def table(folder: Path) -> list[dict]:
    return [row for path in sorted(folder.rglob("*.csv")) for row in csv.DictReader(path.open())]


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(drops, tmp_path):
    made(tmp_path / "again")
    made(tmp_path / "other", seed=8)
    assert contents(tmp_path / "again") == contents(drops)
    assert contents(tmp_path / "other") != contents(drops)


def test_the_files_cover_the_days_asked_for_but_one_that_never_came(drops):
    names = sorted(p.name.split(".")[0] for p in (drops / "sandbox_site" / "events").iterdir())
    assert (names[0], names[-1], len(names)) == ("2026-10-31", "2026-11-20", 20)


def test_a_missing_days_records_stand_in_the_file_of_three_days_later(drops):
    files = {p.name[:10]: gzip.decompress(p.read_bytes()) for p in (drops / "sandbox_site" / "events").iterdir()}
    (missing,) = {str(date(2026, 10, 31) + timedelta(days=n)) for n in range(21)} - set(files)
    later = str(date.fromisoformat(missing) + timedelta(days=3))
    received = Counter(found.decode() for found in re.findall(rb'"received_at":"(.{10})', files[later]))
    assert set(received) == {missing, later} and min(received.values()) > 50
    assert not any(f'"received_at":"{missing}'.encode() in content for day, content in files.items() if day != later)


def test_every_order_of_the_site_stands_in_the_shop_with_the_same_sum(drops):
    site = {}
    for event in objects(drops / "sandbox_site" / "events"):
        if event.get("event") == "order_completed" and "order_id" in event and event["currency"] != "pounds":
            site[event["order_id"]] = (Decimal(str(event["value"])), event["currency"], event["event_at"])
    shop: dict[str, dict[str, Decimal]] = {}
    seen = {}
    for row in table(drops / "sandbox_shop" / "order_lines"):
        if row["order_id"][1:].isdigit():
            shop.setdefault(row["order_id"], {})[row["line_number"]] = Decimal(row["line_total"])
            seen[row["order_id"]] = (row["currency"], row["ordered_at"])
    assert len(site) > 60
    bought = {order: (sum(lines.values()), *seen[order]) for order, lines in shop.items()}
    # an event may be broken, late or told by a wrong clock, an order is none of these
    assert {order: found[:2] for order, found in site.items()}.items() <= {order: found[:2] for order, found in bought.items()}.items()
    assert sum(site[order] == bought[order] for order in site) > 0.95 * len(bought)


def test_refunds_name_a_line_of_an_earlier_order(drops):
    lines = {(r["order_id"], r["product_id"]): r for r in table(drops / "sandbox_shop" / "order_lines")}
    refunds = table(drops / "sandbox_shop" / "refunds")
    assert refunds
    for refund in refunds:
        line = lines[(refund["order_id"], refund["product_id"])]
        assert refund["refunded_at"] > line["ordered_at"] and Decimal(refund["amount"]) <= Decimal(line["line_total"])
        assert refund["currency"] == line["currency"]


def test_the_log_holds_retries_and_conflicts(drops):
    copies: dict[str, list[dict]] = {}
    for event in objects(drops / "sandbox_site" / "events"):
        copies.setdefault(event["id"], []).append({k: v for k, v in event.items() if k not in ("sent_at", "received_at")})
    repeated = [c for c in copies.values() if len(c) == 2]
    assert any(a == b for a, b in repeated) and any(a != b for a, b in repeated)


def test_buyers_come_by_many_channels_before_they_buy(drops):
    ways = Counter()
    for event in objects(drops / "sandbox_site" / "events"):
        if "campaign" in event or "click" in event:
            ways[event.get("campaign", {}).get("medium", "none")] += 1
    assert {"cpc", "CPC", "paid_social", "display", "affiliate", "email", "sms", "none"} <= set(ways)


def test_every_kind_of_click_id_comes(drops):
    kinds = Counter(event["click"]["type"] for event in objects(drops / "sandbox_site" / "events") if "click" in event)
    assert set(kinds) == {"gclid", "fbclid", "ttclid", "msclkid", "li_fat_id"}


def test_who_clicks_a_newsletter_visits_the_site(drops):
    clicks = [e for e in objects(drops / "sandbox_marketing" / "email_events") if e["event"] == "clicked"]
    by_people = {e["event_at"][:16] for e in clicks if "requests" not in e["user_agent"]}
    landed = {e["event_at"][:16] for e in objects(drops / "sandbox_site" / "events") if e["event"] == "page_viewed"}
    # within the same minute for nearly all: a click comes 1.5 s before its landing, whose record may be late or by a wrong clock
    assert len(by_people & landed) > 0.85 * len(by_people) > 20


def test_e_mails_are_delivered_or_bounce_are_opened_by_proxies_and_clicked_by_scanners(drops):
    mails = objects(drops / "sandbox_marketing" / "email_events")
    kinds = Counter(e["event"] for e in mails)
    assert kinds["delivered"] + kinds["bounced"] == kinds["sent"] > kinds["opened"] > kinds["clicked"] > 0
    agents = Counter((e["event"], e["user_agent"][:30]) for e in mails if "user_agent" in e)
    assert agents["clicked", "python-requests/2.32.3"] > 0 and any("GoogleImageProxy" in e.get("user_agent", "") for e in mails)


def test_a_report_is_delivered_again_with_other_figures_for_28_days(tmp_path):
    files.write_world(world.make_world(people=200, days=30, until=UNTIL, seed=7), tmp_path)
    folder = tmp_path / "sandbox_marketing" / "ad_spend" / "2026-10-22"
    assert [p.name for p in sorted(folder.iterdir())] == [f"delivered-2026-{day}.csv" for day in ("10-22", "10-24", "10-29", "11-19")]
    assert len({p.read_text().split("\n", 1)[1] for p in folder.iterdir()}) == 4


def test_a_vendor_renames_a_column_halfway(drops):
    headers = {p.name[10:20]: p.read_text().splitlines()[0].split(",") for p in (drops / "sandbox_marketing" / "ad_spend").rglob("*.csv")}
    for day, names in headers.items():
        assert ("spend" in names, "amount_spent" in names) == ((True, False) if day < "2026-11-10" else (False, True))


def test_the_crm_tells_of_texts_mailings_deals_tickets_reviews_and_surveys(drops):
    kinds = Counter((e["type"], e["event"]) for e in objects(drops / "sandbox_marketing" / "contact_events"))
    wanted = "sms_sent push_sent mailing_sent lead_created deal_created deal_stage_changed deal_lost ticket_opened review_submitted survey_answered"
    assert {("crm", name) for name in wanted.split()} | {("ad", "ad_impressed")} <= set(kinds)
    ids = [e["id"] for e in objects(drops / "sandbox_marketing" / "contact_events")]
    assert len(ids) == len(set(ids))


def test_a_reviews_words_are_those_of_its_stars(drops):
    reviews = [e["properties"] for e in objects(drops / "sandbox_marketing" / "contact_events") if e["event"] == "review_submitted"]
    assert len({r["rating"] for r in reviews} & {1, 2, 3, 4, 5}) > 2
    openings = [r["text"].split(";")[0] for r in reviews]
    assert [pools.OPENINGS.index(said) // 2 + 1 for said in openings] == [r["rating"] for r in reviews]


def test_the_crm_holds_people_twice_and_rows_that_come_again_out_of_date(drops):
    folder = drops / "sandbox_marketing" / "contacts"
    contacts = [(path.name[:10], json.loads(line)) for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines()]
    by_mail: dict[str, set[str]] = {}
    for _, row in contacts:
        by_mail.setdefault(row["email"].lower(), set()).add(row["crm_id"])
    assert {len(ids) for ids in by_mail.values()} == {1, 2}
    newest: dict[str, str] = {}
    stale = 0
    for _, row in contacts:
        stale += row["updated_at"] < newest.get(row["crm_id"], "")
        newest[row["crm_id"]] = max(row["updated_at"], newest.get(row["crm_id"], ""))
    assert 0 < stale < 0.1 * len(contacts)


def test_product_prices_change_and_orders_follow(drops):
    prices: dict[str, list[tuple[str, str]]] = {}
    for product in objects(drops / "sandbox_shop" / "products"):
        prices.setdefault(product["product_id"], []).append((product["updated_at"], product["price"]))
    assert any(len(history) == 2 for history in prices.values())
    for row in table(drops / "sandbox_shop" / "order_lines"):
        if row["order_id"][1:].isdigit():
            valid = [price for since, price in sorted(prices[row["product_id"]]) if since <= row["ordered_at"]]
            assert row["unit_price"] == valid[-1]


def test_parquet_holds_the_same_events_beside_typed_columns(drops, tmp_path):
    counts = made(tmp_path, events_only=True, parquet=True)
    rows = [r for p in sorted((tmp_path / "sandbox_site" / "events").iterdir()) for r in pq.read_table(p).to_pylist()]
    events = [json.loads(r["payload"]) for r in rows]
    logged = objects(drops / "sandbox_site" / "events")
    same = {json.dumps(e) for e in events} & {json.dumps(e) for e in logged}
    assert len(same) > 0.98 * len(logged) and len(events) == sum(1 for _ in lines_of(drops / "sandbox_site" / "events"))
    assert counts == {"sandbox_site.events": len(rows)}
    for row, event in zip(rows, events):
        assert row["client_event_id"] == event["id"] and row["user_id"] == event.get("user_id") and row["order_id"] == event.get("order_id")
        assert row["page_url"] == event["page"]["url"] and row["utm_source"] == event.get("campaign", {}).get("source")
        assert (
            row["value_amount"] == event.get("value") and row["event_at"].isoformat(timespec="milliseconds")[:23] == event["event_at"][:23]
        )

"""The sandbox world: repeatable, consistent with itself, and as untidy as it says."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from connectors.sandbox import files, world

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


def table(folder: Path) -> list[dict]:
    return [row for path in sorted(folder.rglob("*.csv")) for row in csv.DictReader(path.open())]


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(drops, tmp_path):
    made(tmp_path / "again")
    made(tmp_path / "other", seed=8)
    assert contents(tmp_path / "again") == contents(drops)
    assert contents(tmp_path / "other") != contents(drops)


def test_the_files_cover_exactly_the_days_asked_for(drops):
    names = sorted(p.name.split(".")[0] for p in (drops / "sandbox_site" / "events").iterdir())
    assert (names[0], names[-1], len(names)) == ("2026-10-31", "2026-11-20", 21)


def test_every_order_of_the_site_stands_in_the_shop_with_the_same_sum(drops):
    site = {}
    for event in objects(drops / "sandbox_site" / "events"):
        if event.get("event") == "order_completed" and "order_id" in event:
            site[event["order_id"]] = (Decimal(str(event["value"])), event["currency"], event["event_at"])
    shop: dict[str, dict[str, Decimal]] = {}
    seen = {}
    for row in table(drops / "sandbox_shop" / "order_lines"):
        if row["order_id"][1:].isdigit():
            shop.setdefault(row["order_id"], {})[row["line_number"]] = Decimal(row["line_total"])
            seen[row["order_id"]] = (row["currency"], row["ordered_at"])
    assert len(site) > 100
    assert {order: (sum(lines.values()), *seen[order]) for order, lines in shop.items()} == site


def test_refunds_name_a_line_of_an_earlier_order(drops):
    lines = {(r["order_id"], r["product_id"]): r for r in table(drops / "sandbox_shop" / "order_lines")}
    refunds = table(drops / "sandbox_shop" / "refunds")
    assert refunds
    for refund in refunds:
        line = lines[(refund["order_id"], refund["product_id"])]
        assert refund["refunded_at"] > line["ordered_at"] and Decimal(refund["amount"]) <= Decimal(line["line_total"])
        assert refund["currency"] == line["currency"]


def test_the_log_holds_retries_conflicts_late_and_malformed_records(drops):
    copies: dict[str, list[dict]] = {}
    for event in objects(drops / "sandbox_site" / "events"):
        copies.setdefault(event["id"], []).append({k: v for k, v in event.items() if k not in ("sent_at", "received_at")})
    repeated = [c for c in copies.values() if len(c) == 2]
    assert any(a == b for a, b in repeated) and any(a != b for a, b in repeated)
    bad = late = 0
    for path in (drops / "sandbox_site" / "events").iterdir():
        for line in gzip.decompress(path.read_bytes()).splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                bad += 1
                continue
            late += event["event_at"][:10] < event.get("received_at", "")[:10]
            assert event.get("received_at", path.name)[:10] == path.name[:10]
    assert bad >= 5 and late > 10


def test_buyers_come_by_many_channels_before_they_buy(drops):
    ways = Counter()
    for event in objects(drops / "sandbox_site" / "events"):
        if "campaign" in event or "click" in event:
            ways[event.get("campaign", {}).get("medium", "none")] += 1
    assert {"cpc", "paid_social", "display", "affiliate", "email", "none"} <= set(ways)


def test_who_clicks_a_newsletter_visits_the_site(drops):
    clicked = {e["event_at"][:16] for e in objects(drops / "sandbox_marketing" / "email_events") if e["event"] == "clicked"}
    visits = [e for e in objects(drops / "sandbox_site" / "events") if e.get("campaign", {}).get("medium") == "email"]
    assert clicked and len({e["id"] for e in visits}) >= len(clicked)


def test_a_report_is_delivered_again_two_days_later_with_other_figures(drops):
    first, second = sorted((drops / "sandbox_marketing" / "ad_spend" / "2026-11-02").iterdir())
    assert (first.name, second.name) == ("delivered-2026-11-02.csv", "delivered-2026-11-04.csv")
    assert first.read_text() != second.read_text()


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
    events = [e for e in objects(drops / "sandbox_site" / "events") if "received_at" in e]
    assert [json.loads(r["payload"]) for r in rows] == events
    assert counts == {"sandbox_site.events": len(rows)}
    for row, event in zip(rows, events):
        assert row["client_event_id"] == event["id"] and row["user_id"] == event.get("user_id") and row["order_id"] == event.get("order_id")
        assert row["page_url"] == event["page"]["url"] and row["utm_source"] == event.get("campaign", {}).get("source")
        assert (
            row["value_amount"] == event.get("value") and row["event_at"].isoformat(timespec="milliseconds")[:23] == event["event_at"][:23]
        )

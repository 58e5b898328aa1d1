"""silver.refunds: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

import pytest

from spark_jobs.silver.refunds import conform_refunds

BUYER, OTHER = [("shop.customer_id", "k1")], [("shop.customer_id", "k2")]


def day(n):
    return dt.datetime(2026, 1, n)


def sold(order_id, on, quantity, price="2.0000", **changes):
    row = dict(
        source="shop", order_id=order_id, line_number=1, ordered_at=day(on), order_date=day(on).date(), product_id="p1", identifiers=BUYER
    )
    return row | dict(quantity=Decimal(quantity), unit_amount=Decimal(price)) | changes


def returned(refund_id, on, quantity, price="2.0000", **changes):
    row = dict(refund_id=refund_id, refunded_at=day(on), product_id="p1", identifiers=BUYER, currency="GBP", source="shop")
    return row | dict(quantity=Decimal(quantity), unit_amount=Decimal(price), amount=Decimal(quantity) * Decimal(price)) | changes


@pytest.fixture
def orders_of(mapped, rows_of):
    def run(refunds, lines, existing=()):
        result = conform_refunds(
            mapped("silver.refunds", refunds), rows_of("silver.order_lines", lines), rows_of("silver.refunds", list(existing)), "shop"
        )
        return {row["refund_id"]: (row["order_id"], row["order_match"], row["reason"]) for row in result.collect()}

    return run


def test_the_latest_earlier_order_with_the_quantity_is_refunded(orders_of):
    lines = [sold("o1", 1, 5), sold("o2", 2, 1), sold("o3", 9, 5)]
    assert orders_of([returned("r1", 5, 3)], lines) == {"r1": ("o1", "matched", None)}


def test_what_one_refund_took_the_next_cannot_have(orders_of):
    found = orders_of([returned("r2", 6, 2), returned("r1", 5, 2), returned("r3", 7, 2)], [sold("o1", 1, 2), sold("o2", 2, 3)])
    assert {k: v[0] for k, v in found.items()} == {"r1": "o2", "r2": "o1", "r3": None}


def test_another_price_product_buyer_or_instant_does_not_match(orders_of):
    lines = [sold("o1", 1, 9, "2.5000"), sold("o2", 1, 9, product_id="p2"), sold("o3", 1, 9, identifiers=OTHER), sold("o4", 5, 9)]
    assert orders_of([returned("r1", 5, 1)], lines) == {"r1": (None, "order_not_found", "order_not_found")}


def test_an_unknown_buyer_and_a_named_order_are_said(orders_of):
    refunds = [returned("r1", 5, 1, identifiers=[]), returned("r2", 5, 1, order_id="o9", reason="broken")]
    assert orders_of(refunds, [sold("o1", 1, 9)]) == {"r1": (None, "customer_unknown", "customer_unknown"), "r2": ("o9", "given", "broken")}


def test_matches_of_earlier_runs_have_used_up_their_quantity(orders_of):
    before = returned("r1", 5, 2) | {"order_id": "o2", "order_match": "matched"}
    assert orders_of([returned("r2", 6, 2)], [sold("o1", 1, 2), sold("o2", 2, 2)], [before])["r2"][0] == "o1"


def test_running_the_same_refund_again_gives_the_same_order(orders_of):
    before = returned("r1", 5, 2) | {"order_id": "o2", "order_match": "matched"}
    assert orders_of([returned("r1", 5, 2)], [sold("o1", 1, 2), sold("o2", 2, 2)], [before])["r1"][0] == "o2"


def test_lines_of_one_order_are_taken_together(orders_of):
    lines = [sold("o1", 1, 1), sold("o1", 1, 1, line_number=2)]
    assert orders_of([returned("r1", 5, 2)], lines)["r1"][0] == "o1"


def test_refund_lines_without_ids_are_numbered_by_what_they_say(orders_of):
    refunds = [returned(None, 5, 1, refund_invoice="C1", product_id="p2"), returned(None, 5, 1, refund_invoice="C1")]
    again = [r | {"_attempt": 2} for r in reversed(refunds)]
    assert set(orders_of(refunds + again, [])) == {"C1:1", "C1:2"}

"""Conversions: orders, refunds at their order's rate, declared events."""

import dataclasses
import datetime as dt
from decimal import Decimal

import pytest

from conf.settings import platform, rules
from spark_jobs.journeys.conversions import collect_conversions

IDS = "identifiers ARRAY<STRUCT<namespace STRING, identifier_key STRING>>"
ORDERS = (
    "order_id STRING, source STRING, order_date DATE, ordered_at TIMESTAMP, status STRING, net_amount DECIMAL(18,4), "
    f"tax_amount DECIMAL(18,4), shipping_amount DECIMAL(18,4), currency STRING, reporting_amount DECIMAL(18,2), is_sample BOOLEAN, {IDS}"
)
REFUNDS = (
    "refund_id STRING, source STRING, order_id STRING, refund_date DATE, refunded_at TIMESTAMP, amount DECIMAL(18,4), currency STRING, "
    f"{IDS}"
)
EVENTS = (
    "event_id STRING, event_date DATE, event_at TIMESTAMP, source STRING, event_name STRING, order_id STRING, value_amount DECIMAL(18,4), "
    f"currency STRING, {IDS}, is_bot BOOLEAN"
)
RATES = "rate_date DATE, currency STRING, rate DECIMAL(18,8)"
MAP = "identifier_key STRING, namespace STRING, person_id STRING, valid_from TIMESTAMP, valid_to TIMESTAMP"
JAN_5 = dt.date(2026, 1, 5)


def noon(day):
    return dt.datetime(2026, 1, day, 12)


def order(order_id, net, reporting=None, currency="GBP", day=5, status="completed", key="e", tax="0.00", shipping="0.00"):
    ids = [("email", key)] if key else []
    paid = [Decimal(amount) for amount in (net, tax, shipping)]
    return (order_id, "shop", noon(day).date(), noon(day), status, *paid, currency, Decimal(reporting or net), False, ids)


def refund(refund_id, order_id, amount, currency="GBP", day=6, key=None):
    return (refund_id, "shop", order_id, noon(day).date(), noon(day), Decimal(amount), currency, [("email", key)] if key else None)


@pytest.fixture
def converted(spark):
    def converted(orders=(), refunds=(), events=(), rates=(), first=1, last=31, declared=None):
        given = rules("journeys")
        if declared is not None:
            given = {**given, "conversions": {**given["conversions"], "events": declared}}
        days = [dt.date(2026, 1, first), dt.date(2026, 1, last)]
        all_orders = spark.createDataFrame(list(orders), ORDERS)
        found = collect_conversions(
            all_orders.where(all_orders.order_date.between(*days)),
            all_orders,
            spark.createDataFrame(list(refunds), REFUNDS),
            spark.createDataFrame(list(events), EVENTS),
            spark.createDataFrame([(d, c, Decimal(r)) for d, c, r in rates], RATES),
            spark.createDataFrame([("e", "email", "P", noon(1), None)], MAP),
            *days,
            dataclasses.replace(platform(), reporting_currency="GBP"),
            given,
        )
        return sorted(found.collect(), key=lambda c: c.conversion_id)

    return converted


def cents(amount):
    """An amount without the decimals that its currency does not have."""
    return None if amount is None else str(amount.quantize(Decimal("0.01")))


def money(conversions):
    return [(c.conversion_id, cents(c.value_amount), str(c.reporting_amount)) for c in conversions]


def test_an_order_converts_once_with_its_net_amount_and_its_person(converted):
    [found] = converted([order("7", "12.50", "9.90", "USD")])
    assert (found.conversion_id, found.person_id, found.conversion_type, found.quantity, found.conversion_date) == (
        "shop:7",
        "P",
        "order",
        1,
        JAN_5,
    )
    assert (cents(found.value_amount), found.currency, str(found.reporting_amount), found.refund_of) == ("12.50", "USD", "9.90", None)


def test_a_worthless_order_stays_and_a_cancelled_one_never_was(converted):
    found = converted(
        [order("1", "0.00"), order("2", "-3.00", key=None), order("3", "5.00", status="cancelled")], [refund("r", "3", "5.00")]
    )
    assert [(c.conversion_id, cents(c.value_amount), c.person_id) for c in found] == [("shop:1", "0.00", "P"), ("shop:2", "-3.00", None)]


def test_a_refund_is_its_own_row_at_the_refunds_day_and_the_orders_rate(converted):
    rates = [(JAN_5, "USD", "0.80"), (noon(6).date(), "USD", "0.50")]
    found, _ = converted([order("7", "10.00", "8.00", "USD")], [refund("r1", "7", "5.00", "USD")], rates=rates)
    assert (found.conversion_id, found.person_id, found.quantity, found.refund_of) == ("refund:shop:r1", "P", 0, "shop:7")
    assert (found.conversion_date, cents(found.value_amount), str(found.reporting_amount)) == (noon(6).date(), "-5.00", "-4.00")


def test_a_refund_in_parts_takes_back_the_reporting_amount_to_the_cent(converted):
    parts = [refund("a", "7", "3.33", "USD", 6), refund("b", "7", "3.33", "USD", 7), refund("c", "7", "3.34", "USD", 8)]
    found = converted([order("7", "10.00", "7.93", "USD")], parts)
    assert money(found) == [
        ("refund:shop:a", "-3.33", "-2.64"), ("refund:shop:b", "-3.33", "-2.64"), ("refund:shop:c", "-3.34", "-2.65"),
        ("shop:7", "10.00", "7.93"),
    ]  # fmt: skip
    assert money(converted([order("7", "10.00", "7.93", "USD")], parts, first=8)) == [("refund:shop:c", "-3.34", "-2.65")]


def test_a_refund_of_an_unknown_order_takes_its_own_days_rate_and_person(converted):
    refunds = [refund("r1", None, "5.00", "USD", key="e"), refund("r2", "404", "5.00", "USD", day=7), refund("r3", None, "5.00")]
    found = converted(refunds=refunds, rates=[(noon(6).date(), "USD", "0.50")])
    assert money(found) == [("refund:shop:r1", "-5.00", "-2.50"), ("refund:shop:r2", "-5.00", "None"), ("refund:shop:r3", "-5.00", "-5.00")]
    assert [(c.refund_of, c.person_id) for c in found] == [(None, "P"), (None, None), (None, None)]


def test_declared_events_convert_with_their_value_or_none(converted):
    def lead(event_id, name, value=None, currency=None, bot=False):
        return (event_id, JAN_5, noon(5), "site", name, None, value, currency, [("email", "e")], bot)

    events = [
        lead("1", "lead_created"),
        lead("2", "signed_up", Decimal("4.00"), "USD", bot=True),
        lead("3", "order_completed", Decimal("9.00"), "GBP"),
    ]
    found = converted(events=events, rates=[(JAN_5, "USD", "0.75")])
    assert [(c.conversion_id, c.conversion_type, c.person_id, str(c.quantity)) for c in found] == [
        ("event:1", "lead", "P", "1.000000"), ("event:2", "signup", "P", "1.000000"),
    ]  # fmt: skip
    assert [(cents(c.value_amount), c.currency, str(c.reporting_amount)) for c in found] == [
        ("0.00", "GBP", "0.00"),
        ("4.00", "USD", "3.00"),
    ]
    assert [c.is_bot for c in found] == [False, True]


def test_a_range_holds_what_is_dated_in_it(converted):
    orders, refunds = [order("1", "1.00", day=5), order("2", "2.00", day=6)], [refund("r", "1", "1.00", day=6)]
    assert [c.conversion_id for c in converted(orders, refunds, first=6, last=6)] == ["refund:shop:r", "shop:2"]


def test_any_event_converts_by_rule_under_a_condition_and_with_a_declared_worth(converted):
    def happened(event_id, name, value=None):
        return (event_id, JAN_5, noon(5), "crm", name, None, value, value and "GBP", [("email", "e")], False)

    declared = {
        "lead_created": {"type": "lead", "value_amount": 20},
        "deal_won": {"type": "deal", "when": "value_amount >= 100"},
        "trial_started": "trial",
    }
    events = [
        happened("1", "lead_created"),
        happened("2", "lead_created", Decimal("35.50")),
        happened("3", "deal_won", Decimal("100.00")),
        happened("4", "deal_won", Decimal("99.99")),
        happened("5", "deal_won"),
        happened("6", "trial_started"),
        happened("7", "signed_up"),
    ]
    assert [(c.conversion_id, c.conversion_type, str(c.reporting_amount)) for c in converted(events=events, declared=declared)] == [
        ("event:1", "lead", "20.00"), ("event:2", "lead", "35.50"), ("event:3", "deal", "100.00"), ("event:6", "trial", "0.00"),
    ]  # fmt: skip
    assert converted(events=events, declared={}) == []


def test_a_refund_of_what_was_paid_takes_back_the_net_amount_without_tax_and_shipping(converted):
    orders = [order("1", "100.00", tax="20.00", shipping="5.00"), order("2", "100.00", tax="20.00", shipping="5.00")]
    refunds = [refund("a", "1", "125.00"), refund("b", "2", "60.00"), refund("c", "2", "65.00", day=7)]
    found = [row for row in money(converted(orders, refunds)) if row[0].startswith("refund")]
    # 60 of the 125 that were paid are 48 of the 100 that count as revenue
    assert found == [
        ("refund:shop:a", "-100.00", "-100.00"),
        ("refund:shop:b", "-48.00", "-48.00"),
        ("refund:shop:c", "-52.00", "-52.00"),
    ]


def test_more_than_what_was_paid_comes_back_as_more_than_the_net_amount(converted):
    found = money(converted([order("1", "100.00", tax="25.00")], [refund("a", "1", "150.00")]))
    assert found[0] == ("refund:shop:a", "-120.00", "-120.00")


def test_a_refund_in_another_currency_is_of_its_order_at_the_orders_rates(converted):
    rates = [(JAN_5, "EUR", "0.80"), (noon(6).date(), "EUR", "0.50")]
    found = converted([order("1", "8.00")], [refund("a", "1", "10.00", currency="EUR")], rates=rates)
    assert (money(found)[0], found[0].currency) == (("refund:shop:a", "-8.00", "-8.00"), "GBP")


def test_refunds_of_an_order_with_an_odd_tax_add_up_to_it_exactly(converted):
    refunds = [refund(str(part), "1", amount, day=6 + part) for part, amount in enumerate(("3.33", "3.33", "3.34"))]
    found = [Decimal(row[1]) for row in money(converted([order("1", "8.37", tax="1.63")], refunds)) if row[0].startswith("refund")]
    assert (found, sum(found)) == ([Decimal("-2.79"), Decimal("-2.78"), Decimal("-2.80")], Decimal("-8.37"))

"""gold.channel_daily: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from conf.settings import platform
from spark_jobs.gold.channel_daily import name_channel_results

RESULTS = """day DATE, model STRING, channel STRING, spend DECIMAL(18,2), impressions BIGINT, clicks BIGINT,
    conversions DECIMAL(20,10), revenue DECIMAL(18,2)"""
JAN_5 = dt.date(2026, 1, 5)


def result(**changes):
    """A day of paid search under the linear model."""
    row = dict(
        day=JAN_5,
        model="linear",
        channel="Paid Search",
        spend=Decimal("5.00"),
        impressions=100,
        clicks=10,
        conversions=Decimal("1.5"),
        revenue=Decimal("20.00"),
    )
    return tuple((row | changes).values())


def named(spark, *results):
    rows = name_channel_results(spark.createDataFrame(list(results), RESULTS), platform())
    return {(r["model"], r["channel"]): r.asDict() for r in rows.collect()}


def test_a_result_keeps_its_sums_and_says_its_currency(spark):
    assert named(spark, result())["linear", "Paid Search"] == {
        "day": JAN_5,
        "model": "linear",
        "channel": "Paid Search",
        "spend_amount": Decimal("5.00"),
        "impressions": 100,
        "clicks": 10,
        "conversions": Decimal("1.5000000000"),
        "revenue_amount": Decimal("20.00"),
        "currency": "GBP",
    }


def test_what_no_touch_earned_is_a_channel_of_its_own(spark):
    rows = named(spark, result(), result(channel=None, spend=None, revenue=Decimal("7.00")))
    assert rows["linear", "Unattributed"]["revenue_amount"] == Decimal("7.00")


def test_a_channel_without_recorded_spend_has_none_rather_than_zero(spark):
    assert named(spark, result(spend=None, impressions=None, clicks=None))["linear", "Paid Search"]["spend_amount"] is None


def test_spend_without_revenue_is_kept(spark):
    row = named(spark, result(conversions=None, revenue=None))["linear", "Paid Search"]
    assert (row["spend_amount"], row["conversions"], row["revenue_amount"]) == (Decimal("5.00"), Decimal("0E-10"), Decimal("0.00"))

"""gold.unattributed_daily: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from conf.settings import platform
from spark_jobs.gold.unattributed_daily import count_unattributed

CREDITS = "model STRING, conversion_id STRING, reason STRING, credit DECIMAL(20,10), credit_amount DECIMAL(18,2)"
NOON = dt.datetime(2026, 7, 5, 12)


def counted(spark, credits, conversions):
    """credits: (model, conversion, reason, credit, amount); conversions: (conversion, converted_at)."""
    written = [(m, c, r, Decimal(credit), None if amount is None else Decimal(amount)) for m, c, r, credit, amount in credits]
    rows = count_unattributed(
        spark.createDataFrame(written, CREDITS),
        spark.createDataFrame(conversions, "conversion_id STRING, converted_at TIMESTAMP"),
        platform(),
    )
    found = rows.select("day", "model", "reason", "conversions", "revenue_amount", "currency").collect()
    return sorted((str(r[0]), r[1], r[2], float(r[3]), str(r[4]), r[5]) for r in found)


def test_only_credit_with_a_reason_counts(spark):
    credits = [("linear", "c1", None, "1", "10.00"), ("linear", "c2", "no_touch", "1", "7.50"), ("linear", "c3", "no_touch", "1", "2.50")]
    assert counted(spark, credits, [(c, NOON) for c in ("c1", "c2", "c3")]) == [("2026-07-05", "linear", "no_touch", 2.0, "10.00", "GBP")]


def test_the_day_is_of_the_reporting_time_zone(spark):
    assert counted(spark, [("last", "c1", "no_touch", "1", "1.00")], [("c1", dt.datetime(2026, 7, 4, 23, 30))])[0][0] == "2026-07-05"


def test_refunds_take_value_back_without_counting(spark):
    credits = [("last", "c1", "no_identity", "1", "10.00"), ("last", "refund:s:1", "no_identity", "0", "-4.00")]
    assert counted(spark, credits, [("c1", NOON), ("refund:s:1", NOON)]) == [("2026-07-05", "last", "no_identity", 1.0, "6.00", "GBP")]


def test_a_conversion_without_value_counts_with_none(spark):
    assert counted(spark, [("last", "c1", "no_touch", "1", None)], [("c1", NOON)]) == [
        ("2026-07-05", "last", "no_touch", 1.0, "0.00", "GBP")
    ]

"""Amounts in the reporting currency: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from pyspark.sql import functions as F

from spark_jobs.functions.money import amount_of, to_reporting_currency

JAN_5 = dt.date(2026, 1, 5)
SPENT = "spend_date DATE, currency STRING, spend_amount DECIMAL(18,6)"
RATES = "rate_date DATE, currency STRING, rate DECIMAL(18,8)"


def reported(spark, rows, rates):
    spent = spark.createDataFrame([(d, c, Decimal(a)) for d, c, a in rows], SPENT)
    given = spark.createDataFrame([(d, c, Decimal(r)) for d, c, r in rates], RATES)
    result = to_reporting_currency(spent, given, "spend_amount", "spend_date", "GBP").orderBy("currency", "spend_date")
    return [row["reporting_amount"] for row in result.collect()]


def test_an_amount_takes_the_rate_of_its_own_day(spark):
    rates = [(JAN_5, "USD", "0.80000000"), (dt.date(2026, 1, 6), "USD", "0.50000000")]
    assert reported(spark, [(JAN_5, "USD", "10"), (dt.date(2026, 1, 6), "USD", "10")], rates) == [Decimal("8.00"), Decimal("5.00")]


def test_the_reporting_currency_needs_no_rate(spark):
    assert reported(spark, [(JAN_5, "GBP", "12.345")], []) == [Decimal("12.35")]


def test_a_missing_rate_or_currency_leaves_the_amount_unknown(spark):
    assert reported(spark, [(JAN_5, "SEK", "10"), (JAN_5, None, "10")], [(JAN_5, "USD", "0.8")]) == [None, None]


def test_a_line_is_rounded_half_up_once(spark):
    row = spark.range(1).select(
        amount_of(F.lit("3").cast("decimal(18,3)"), F.lit("1.115").cast("decimal(18,4)")).alias("up"),
        amount_of(F.lit("1").cast("decimal(18,3)"), F.lit("0.004").cast("decimal(18,4)")).alias("down"),
    )
    assert row.first().asDict() == {"up": Decimal("3.35"), "down": Decimal("0.00")}

"""Amounts in the reporting currency: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from hypothesis import example, given, settings, strategies as st
from pyspark.sql import functions as F

from spark_jobs.functions.money import amount_of, part_of, to_reporting_currency

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


def test_a_conversion_is_rounded_once(spark):
    rows = spark.createDataFrame([(JAN_5, "USD", Decimal("9.99"))], "on_date DATE, currency STRING, amount DECIMAL(18,2)")
    rates = spark.createDataFrame([(JAN_5, "USD", Decimal("0.70020020"))], "rate_date DATE, currency STRING, rate DECIMAL(18,8)")
    # 6.994999998
    assert to_reporting_currency(rows, rates, "amount", "on_date", "GBP").first()["reporting_amount"] == Decimal("6.99")


@settings(max_examples=40, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(-(10**16), 10**16), st.integers(0, 10**16), st.integers(10**13, 10**17)), min_size=5, max_size=5))
@example([(113_136_748_836_795, 8_838_861_026_867_109, 10**13), (-(10**16), 10**16, 3 * 10**13)])
def test_a_part_is_the_exact_one_half_up_and_at_most_10_to_the_17th(spark, numbers):
    rows = spark.createDataFrame([tuple(map(Decimal, row)) for row in numbers], "a DECIMAL(18,0), p DECIMAL(18,0), w DECIMAL(18,0)")
    found = [int(r[0]) for r in rows.select(part_of(F.col("a"), F.col("p"), F.col("w"))).collect()]
    exact = [(1 if a >= 0 else -1) * min((2 * abs(a) * p + w) // (2 * w), 10**17) for a, p, w in numbers]
    assert found == exact

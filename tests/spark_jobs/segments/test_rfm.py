"""RFM by hand."""

import datetime as dt
from decimal import Decimal

from conf.settings import rules
from spark_jobs.segments.rfm import score_buyers

CONVERSIONS = "person_id STRING, conversion_type STRING, conversion_date DATE, reporting_amount DECIMAL(18,2)"
TODAY = dt.date(2026, 3, 31)


def scored(spark, orders):
    rows = [(person, "order", dt.date(2026, 3, day), Decimal(amount)) for person, day, amount in orders]
    return {r.person_id: r for r in score_buyers(spark.createDataFrame(rows, CONVERSIONS), rules("segments"), TODAY).collect()}


def test_five_buyers_fill_the_five_quintiles(spark):
    found = scored(spark, [(f"p{i}", i, f"{i}.00") for i in range(1, 6)])
    assert [found[f"p{i}"].r for i in range(1, 6)] == [1, 2, 3, 4, 5]
    assert [found[f"p{i}"].m for i in range(1, 6)] == [1, 2, 3, 4, 5]
    assert found["p5"].recency_days == 26


def test_equal_values_have_equal_scores(spark):
    found = scored(spark, [(f"p{i}", 10, "7.00") for i in range(7)])
    assert {(r.r, r.f, r.m) for r in found.values()} == {(5, 5, 5)}
    assert {r.rfm_segment for r in found.values()} == {"champions"}


def test_an_order_after_the_day_does_not_count(spark):
    rows = [("p1", "order", dt.date(2026, 4, 1), Decimal("5.00"))]
    assert score_buyers(spark.createDataFrame(rows, CONVERSIONS), rules("segments"), TODAY).count() == 0

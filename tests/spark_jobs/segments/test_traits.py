"""Traits by hand."""

import datetime as dt
from decimal import Decimal

import pytest

from conf.settings import rules
from spark_jobs.segments.traits import describe_traits

PROFILES = (
    "person_id STRING, orders BIGINT, revenue_amount DECIMAL(18,2), first_order_date DATE, last_order_date DATE, favourite_channel STRING"
)
TODAY = dt.date(2026, 12, 31)


def traits(spark, first=None, last=None, orders=0, revenue="0.00", channel=None):
    day = lambda days: None if days is None else TODAY - dt.timedelta(days=days)  # noqa: E731
    row = ("p1", orders, Decimal(revenue), day(first), day(last), channel)
    return {r.trait: r.value for r in describe_traits(spark.createDataFrame([row], PROFILES), rules("segments"), TODAY).collect()}


@pytest.mark.parametrize(
    ("first", "last", "stage"),
    [
        (None, None, "prospect"),
        (29, 29, "new"),
        (30, 89, "active"),
        (300, 0, "active"),
        (300, 90, "at_risk"),
        (300, 179, "at_risk"),
        (300, 180, "dormant"),
    ],
)
def test_a_stage_begins_exactly_at_its_limit(spark, first, last, stage):
    assert traits(spark, first, last, orders=1)["lifecycle"] == stage


def test_the_average_order_is_revenue_by_orders_and_absent_without_any(spark):
    assert traits(spark, 1, 1, orders=3, revenue="10.00")["average_order_amount"] == "3.33"
    assert set(traits(spark)) == {"lifecycle"}

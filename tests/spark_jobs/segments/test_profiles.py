"""Profiles by hand."""

import datetime as dt
from decimal import Decimal

from spark_jobs.segments.profiles import describe_profiles

NOON = dt.datetime(2026, 3, 1, 12)
PERSONS = "person_id STRING, first_seen_at TIMESTAMP, last_seen_at TIMESTAMP, is_known BOOLEAN, identifiers INT, status STRING"
CONVERSIONS = "person_id STRING, conversion_type STRING, conversion_date DATE, value_amount DECIMAL(18,2), reporting_amount DECIMAL(18,2)"
SESSIONS = "person_id STRING, channel STRING, is_bot BOOLEAN"


def profile(spark, conversions=(), sessions=(), status="live"):
    persons = spark.createDataFrame([("p1", NOON, NOON, True, 2, status)], PERSONS)
    rows = describe_profiles(
        persons, spark.createDataFrame(list(conversions), CONVERSIONS), spark.createDataFrame(list(sessions), SESSIONS)
    )
    return rows.first()


def bought(amount, day=1, kind="order"):
    return ("p1", kind, dt.date(2026, 3, day), Decimal(amount), Decimal(amount))


def test_orders_and_refunds_are_added_up_apart(spark):
    row = profile(spark, [bought("10.00"), bought("5.50", 3), bought("-2.00", 4, "refund")])
    assert (row.orders, row.revenue_amount, row.refunded_amount) == (2, Decimal("15.50"), Decimal("2.00"))
    assert (row.first_order_date, row.last_order_date) == (dt.date(2026, 3, 1), dt.date(2026, 3, 3))


def test_the_favourite_channel_is_the_most_visited_and_of_equals_the_first_by_name(spark):
    row = profile(spark, sessions=[("p1", "Email", False), ("p1", "Direct", False), ("p1", "Referral", True), ("p1", "Referral", True)])
    assert (row.favourite_channel, row.sessions) == ("Direct", 2)


def test_who_did_nothing_has_zeros(spark):
    row = profile(spark)
    assert (row.orders, row.sessions, row.revenue_amount, row.favourite_channel) == (0, 0, Decimal("0.00"), None)


def test_a_merged_person_has_no_profile(spark):
    assert profile(spark, status="merged") is None

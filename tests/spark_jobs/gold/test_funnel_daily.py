"""gold.funnel_daily: rows in, rows out, both written by hand."""

import datetime as dt

from conf.settings import platform
from spark_jobs.gold.funnel_daily import count_funnel_steps

NOON = dt.datetime(2026, 1, 5, 12)
JAN_5 = dt.date(2026, 1, 5)


def counted(spark, sessions, events):
    """sessions: (source, started_at, is_bot); events: (source, event_at, event_name, is_bot)."""
    visits = spark.createDataFrame(sessions, "source STRING, started_at TIMESTAMP, is_bot BOOLEAN")
    steps = spark.createDataFrame(events, "source STRING, event_at TIMESTAMP, event_name STRING, is_bot BOOLEAN")
    rows = count_funnel_steps(visits, steps, platform()).select(
        "day", "source", "sessions", "product_views", "carts", "checkouts", "orders"
    )
    return sorted(tuple(r) for r in rows.collect())


def test_every_step_is_counted_on_its_day(spark):
    names = ["product_viewed", "product_viewed", "cart_added", "checkout_started", "order_completed", "page_viewed"]
    assert counted(spark, [("site", NOON, False)], [("site", NOON, n, False) for n in names]) == [(JAN_5, "site", 1, 2, 1, 1, 1)]


def test_crawlers_climb_no_step(spark):
    assert counted(spark, [("site", NOON, True)], [("site", NOON, "product_viewed", True)]) == []


def test_an_unknown_crawler_flag_counts_as_a_human(spark):
    assert counted(spark, [], [("site", NOON, "cart_added", None)]) == [(JAN_5, "site", 0, 0, 1, 0, 0)]


def test_sources_stay_apart_and_a_step_without_visits_is_kept(spark):
    assert counted(spark, [("site", NOON, False)], [("till", NOON, "order_completed", False)]) == [
        (JAN_5, "site", 1, 0, 0, 0, 0),
        (JAN_5, "till", 0, 0, 0, 0, 1),
    ]

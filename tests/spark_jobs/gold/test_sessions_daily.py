"""gold.sessions_daily: rows in, rows out, both written by hand."""

import datetime as dt

from conf.settings import platform
from spark_jobs.gold.sessions_daily import count_sessions

SCHEMA = """source STRING, person_id STRING, started_at TIMESTAMP, channel STRING, page_views INT,
    is_bot BOOLEAN, is_engaged BOOLEAN, conversions INT"""
JULY_5 = dt.date(2026, 7, 5)


def session(**changes):
    """An ordinary visit at noon."""
    row = dict(
        source="site",
        person_id="p1",
        started_at=dt.datetime(2026, 7, 5, 12),
        channel="Email",
        page_views=3,
        is_bot=False,
        is_engaged=True,
        conversions=1,
    )
    return tuple((row | changes).values())


def counted(spark, *sessions):
    rows = count_sessions(spark.createDataFrame(list(sessions), SCHEMA), platform())
    return sorted(
        tuple(r)
        for r in rows.select(
            "day", "source", "channel", "sessions", "engaged_sessions", "page_views", "visitors", "conversions", "bot_sessions"
        ).collect()
    )


def test_visits_of_a_day_and_channel_are_added_up_and_people_counted_once(spark):
    assert counted(spark, session(), session(is_engaged=False, conversions=0), session(person_id="p2")) == [
        (JULY_5, "site", "Email", 3, 2, 9, 2, 2, 0)
    ]


def test_crawlers_are_counted_apart_and_nowhere_else(spark):
    assert counted(spark, session(is_bot=True, person_id="bot")) == [(JULY_5, "site", "Email", 0, 0, 0, 0, 0, 1)]


def test_the_day_is_of_the_reporting_time_zone(spark):
    late = session(started_at=dt.datetime(2026, 7, 4, 23, 30))
    assert [r[0] for r in counted(spark, late)] == [JULY_5]


def test_a_visit_of_nobody_counts_as_a_visit_without_a_visitor(spark):
    assert counted(spark, session(person_id=None))[0][3:7] == (1, 1, 3, 0)


def test_sources_and_channels_stay_apart(spark):
    rows = counted(spark, session(), session(source="app"), session(channel=None))
    assert [(r[1], r[2], r[3]) for r in rows] == [("app", "Email", 1), ("site", "Email", 1), ("site", "Unknown", 1)]

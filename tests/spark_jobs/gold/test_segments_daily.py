"""gold.segments_daily: rows in, rows out, both written by hand."""

import datetime as dt

from conf.settings import platform
from spark_jobs.gold.segments_daily import count_members


def jan(day, hour=12):
    return dt.datetime(2026, 1, day, hour)


def counted(spark, intervals, first, last):
    """intervals: (person, segment, valid_from, valid_to); days are of January 2026."""
    memberships = spark.createDataFrame(intervals, "person_id STRING, segment_id STRING, valid_from TIMESTAMP, valid_to TIMESTAMP")
    rows = count_members(memberships, dt.date(2026, 1, first), dt.date(2026, 1, last), platform())
    found = rows.select("day", "segment", "members", "entered", "left_members").collect()
    return [(r["day"].day, *tuple(r)[1:]) for r in sorted(found, key=lambda r: (r["segment"], r["day"]))]


def test_members_are_who_is_in_at_the_end_of_the_day(spark):
    intervals = [("p1", "vip", jan(2), None), ("p2", "vip", jan(3), jan(4))]
    assert counted(spark, intervals, 2, 4) == [(2, "vip", 1, 1, 0), (3, "vip", 2, 1, 0), (4, "vip", 1, 0, 1)]


def test_who_entered_long_before_the_range_is_a_member_on_its_first_day(spark):
    assert counted(spark, [("p1", "vip", dt.datetime(2020, 1, 1), None)], 5, 6) == [(5, "vip", 1, 0, 0), (6, "vip", 1, 0, 0)]


def test_what_happens_after_the_range_is_not_seen(spark):
    assert counted(spark, [("p1", "vip", jan(1), jan(9)), ("p2", "vip", jan(9), None)], 5, 5) == [(5, "vip", 1, 0, 0)]


def test_a_segment_that_everybody_left_stays_with_zero(spark):
    assert counted(spark, [("p1", "vip", jan(1), jan(2))], 3, 3) == [(3, "vip", 0, 0, 0)]


def test_a_range_in_one_run_equals_its_days_one_by_one(spark):
    intervals = [("p1", "vip", jan(2), jan(3)), ("p1", "vip", jan(4), None), ("p2", "new", jan(1), jan(4))]
    days = [row for day in (2, 3, 4) for row in counted(spark, intervals, day, day)]
    assert sorted(days) == sorted(counted(spark, intervals, 2, 4))

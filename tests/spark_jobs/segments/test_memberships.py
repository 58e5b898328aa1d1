"""Entering and leaving segments by hand."""

import datetime as dt
from decimal import Decimal

import pytest

from conf.settings import rules
from spark_jobs.segments.memberships import current_segments, enter_and_leave

PROFILES = "person_id STRING, orders BIGINT, revenue_amount DECIMAL(18,2), sessions BIGINT"
TRAITS = "person_id STRING, trait STRING, value STRING"
RFM = "person_id STRING, as_of_date DATE, r INT, f INT, m INT, rfm_segment STRING"
STAYS = "person_id STRING, segment_id STRING, valid_from TIMESTAMP, valid_to TIMESTAMP, entered_because STRING"
MONDAY, TUESDAY, WEDNESDAY = (dt.date(2026, 3, d) for d in (2, 3, 4))


@pytest.fixture
def stays(spark):
    def build(day, existing=(), stage="new", orders=0):
        profiles = spark.createDataFrame([("p1", orders, Decimal("1.00"), 0)], PROFILES)
        traits = spark.createDataFrame([("p1", "lifecycle", stage)], TRAITS)
        rows = enter_and_leave(
            profiles, traits, spark.createDataFrame([], RFM), spark.createDataFrame(list(existing), STAYS), rules("segments"), day
        )
        return sorted((tuple(r) for r in rows.collect()), key=str)

    return build


def brief(rows):
    return [(r[1], r[2].day, r[3] and r[3].day) for r in rows]


def test_who_enters_has_a_stay_from_that_day_with_its_reason(stays):
    rows = stays(MONDAY)
    assert brief(rows) == [("lifecycle_new", 2, None)]
    assert rows[0][4] == "lifecycle stage new"


def test_who_leaves_gets_an_end_and_enters_elsewhere(stays):
    rows = stays(TUESDAY, stays(MONDAY), stage="active")
    assert brief(rows) == [("lifecycle_active", 3, None), ("lifecycle_new", 2, 3)]


def test_the_same_day_again_changes_nothing(stays):
    first = stays(TUESDAY, stays(MONDAY), stage="active", orders=3)
    assert stays(TUESDAY, first, stage="active", orders=3) == first


def test_a_corrected_day_undoes_what_it_had_said(stays):
    wrong = stays(TUESDAY, stays(MONDAY), stage="active")
    assert brief(stays(TUESDAY, wrong, stage="new")) == [("lifecycle_new", 2, None)]


def test_who_comes_back_has_a_second_stay(stays):
    away = stays(TUESDAY, stays(MONDAY), stage="active")
    assert brief(stays(WEDNESDAY, away, stage="new")) == [("lifecycle_active", 3, 4), ("lifecycle_new", 2, 3), ("lifecycle_new", 4, None)]


def test_a_day_before_the_newest_changes_nothing(stays):
    now = stays(WEDNESDAY)
    assert stays(MONDAY, now, stage="dormant") == now


def test_a_condition_may_ask_for_the_day_that_is_told(spark):
    profiles = spark.createDataFrame([("p1", MONDAY), ("p2", TUESDAY), ("p3", None)], "person_id STRING, last_order_date DATE")
    nobody = spark.createDataFrame([], TRAITS), spark.createDataFrame([], RFM)
    quiet = {"segments": [{"name": "quiet", "when": "datediff(as_of, last_order_date) >= 2"}]}
    found = {day: {row["person_id"] for row in current_segments(profiles, *nobody, quiet, day).collect()} for day in (TUESDAY, WEDNESDAY)}
    assert found == {TUESDAY: set(), WEDNESDAY: {"p1"}}

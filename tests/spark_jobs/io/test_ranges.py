"""Days with and without gaps."""

import datetime as dt

import pytest
from hypothesis import given, strategies as st

from spark_jobs.io.ranges import Range

START = dt.date(2026, 2, 26)
some_days = st.sets(st.integers(0, 40), min_size=1).map(lambda places: {START + dt.timedelta(days=p) for p in places})


def day(place: int) -> dt.date:
    return START + dt.timedelta(days=place)


@pytest.mark.parametrize(
    ("places", "text", "predicate"),
    [
        ([0], "2026-02-26", "d >= DATE'2026-02-26' AND d <= DATE'2026-02-26'"),
        ([0, 1, 2, 3], "2026-02-26…2026-03-01", "d >= DATE'2026-02-26' AND d <= DATE'2026-03-01'"),
        (
            [0, 1, 4],
            "2026-02-26…2026-02-27, 2026-03-02",
            "((d >= DATE'2026-02-26' AND d <= DATE'2026-02-27') OR (d >= DATE'2026-03-02' AND d <= DATE'2026-03-02'))",
        ),
    ],
)
def test_days_are_said_as_spans(places, text, predicate):
    days = Range.of(day(p) for p in places)
    assert (str(days), days.where("d")) == (text, predicate)


@given(some_days)
def test_a_range_has_exactly_its_days(days):
    found = Range.of(days)
    assert found.days() == sorted(days) and (found.first, found.last) == (min(days), max(days))
    assert sum((last - first).days + 1 for first, last in found.spans()) == len(days)


@given(some_days, st.integers(0, 3), st.integers(0, 3))
def test_widened_is_each_day_widened(days, before, after):
    wide = {one + dt.timedelta(days=i) for one in days for i in range(-before, after + 1)}
    assert set(Range.of(days).widened(before, after).days()) == wide

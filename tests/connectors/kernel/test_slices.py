"""Windows: a range is days that replace themselves, a cursor goes on where it was, and too much is asked for in halves."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest

from connectors.kernel.errors import StreamDeclarationError, TooMuchDataError
from connectors.kernel.slices import Shape, Window, answered, parted, questions, together, windows

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
DAYS = (date(2026, 11, 18), date(2026, 11, 19))
START = date(2026, 11, 1)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def at(day: int, hour: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def test_a_range_is_its_days_and_those_that_the_vendor_may_have_restated():
    found = windows(Shape("range", START, lookback=2 * DAY), DAYS, None, NOW)
    assert [one.slice_id for one in found] == ["2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19"]
    assert (found[0].since, found[0].until) == (at(16), at(17)) and found[3].until == at(20)
    # the cursor of another mode says nothing here, and a day's slice has one name whatever days are asked for
    assert windows(Shape("range", START, lookback=2 * DAY), DAYS, at(19), NOW, is_named=True) == found
    assert windows(Shape("range", START), (DAYS[0], DAYS[0]), None, NOW) == [found[2]]


def test_a_range_begins_no_earlier_than_there_is_anything():
    found = windows(Shape("range", date(2026, 11, 19), lookback=28 * DAY), DAYS, None, NOW)
    assert [one.slice_id for one in found] == ["2026-11-19"]
    assert windows(Shape("range", date(2026, 12, 1)), DAYS, None, NOW) == []


def test_days_are_those_of_the_account_s_time_zone_of_23_and_25_hours_too():
    found = windows(Shape("range", START, zone="Europe/Berlin"), (date(2026, 10, 25), date(2026, 10, 25)), None, NOW)
    assert found == []
    shape = Shape("range", date(2026, 1, 1), zone="Europe/Berlin")
    (long,) = windows(shape, (date(2026, 10, 25), date(2026, 10, 25)), None, NOW)
    assert (long.since, long.until) == (at(24, 22, 10), at(25, 23, 10)) and long.slice_id == "2026-10-25"
    (short,) = windows(shape, (date(2026, 3, 29), date(2026, 3, 29)), None, NOW)
    assert short.until - short.since == 23 * HOUR


def test_a_cursor_goes_on_where_it_was_whatever_days_are_asked_for():
    shape = Shape("cursor", START, lookback=timedelta(minutes=10))
    (first,) = windows(shape, DAYS, None, NOW)
    assert (first.since, first.until, first.slice_id) == (at(1), NOW, "2026-11-01T000000Z~2026-11-20T103000Z")
    (later,) = windows(shape, DAYS, at(20, 9), NOW)
    assert (later.since, later.until) == (at(20, 9) - timedelta(minutes=10), NOW)
    assert windows(shape, DAYS, NOW + HOUR, NOW) == []


def test_named_days_of_a_cursor_stream_are_those_alone_and_never_later_than_now():
    shape = Shape("cursor", START)
    (named,) = windows(shape, DAYS, at(20, 9), NOW, is_named=True)
    assert (named.since, named.until) == (at(18), at(20))
    (today,) = windows(shape, (date(2026, 11, 20),) * 2, at(20, 9), NOW, is_named=True)
    assert today.until == NOW


def test_a_cursor_s_time_is_cut_into_steps_without_gap_or_overlap():
    found = windows(Shape("cursor", START, step=7 * DAY), DAYS, None, NOW)
    assert [(one.since, one.until) for one in found] == [(at(1), at(8)), (at(8), at(15)), (at(15), NOW)]
    hours = windows(Shape("cursor", START, step=HOUR), DAYS, at(20, 8), NOW)
    assert [(one.since, one.until) for one in hours] == [(at(20, 8), at(20, 9)), (at(20, 9), at(20, 10)), (at(20, 10), NOW)]


def test_a_snapshot_is_one_window():
    assert [one.slice_id for one in windows(Shape("snapshot", START), DAYS, at(19), NOW)] == ["all"]


def test_too_much_data_is_asked_for_in_halves_in_order_without_gap_or_overlap():
    asked: list[Window] = []

    def ask(window: Window) -> timedelta:
        asked.append(window)
        if window.until - window.since > 3 * HOUR:
            raise TooMuchDataError("too much")
        return window.until - window.since

    whole = [Window(at(18), at(18, 8)), Window(at(18, 8), at(18, 9))]
    done = [window for window, _ in answered(whole, ask, HOUR)]
    assert done[0].since == at(18) and done[-1].until == at(18, 9) and len(done) == 5
    assert all(one.until == other.since for one, other in itertools.pairwise(done)) and asked[0] == whole[0]


@pytest.mark.parametrize("window", [Window(at(18), at(18, 1)), Window(None, None), Window(at(18), at(19), date(2026, 11, 18))])
def test_what_cannot_be_halved_says_so(window):
    def ask(_: Window) -> None:
        raise TooMuchDataError("too much")

    with pytest.raises(TooMuchDataError):
        list(answered([window], ask, HOUR))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "daily"},
        {"mode": "cursor", "step": timedelta()},
        {"mode": "cursor", "lookback": -DAY},
        {"mode": "range", "step": 7 * HOUR},
        {"mode": "range", "lookback": HOUR},
    ],
)
def test_a_shape_that_is_none_is_refused(wrong):
    with pytest.raises(StreamDeclarationError):
        Shape(start=START, **wrong)


def test_days_are_asked_for_together_as_evenly_as_they_can_be_and_too_much_in_halves_of_whole_days():
    shape = Shape("range", START, step=4 * DAY)
    days = windows(shape, (date(2026, 11, 1), date(2026, 11, 9)), None, NOW)
    asked = questions(days, shape)
    assert [one.slice_id for one in asked] == ["2026-11-01~2026-11-03", "2026-11-04~2026-11-06", "2026-11-07~2026-11-09"]
    assert [day for one in asked for day in one.slices] == days and (asked[1].since, asked[1].until) == (at(4), at(7))
    first, second = asked[0].halved(DAY)
    assert first == days[0] and second.slice_id == "2026-11-02~2026-11-03" and first.halved(DAY) is None
    assert questions(days, Shape("range", START)) == days and questions([], shape) == [] and together(days[:1]) == days[0]


def test_what_was_begun_under_an_earlier_end_is_found_again():
    every = [Window(at(1), at(10)), Window(at(10), NOW)]
    begun = Window(at(10), at(15)).slice_id
    assert parted(every, [begun, "2026-11-19", Window(at(2), at(3)).slice_id]) == [every[0], Window(at(10), at(15)), Window(at(15), NOW)]
    # one that is still asked for as it was, and one of a later end
    for one in (every[1].slice_id, Window(at(10), at(25)).slice_id):
        assert parted(every, [one]) == every
    days = [Window(at(18), at(19), date(2026, 11, 18)), Window(None, None)]
    assert parted(days, [Window(at(18), at(18, 5)).slice_id]) == days

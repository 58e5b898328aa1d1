"""Up to which day a table is up to date, and with which versions of its inputs."""

import datetime as dt
from dataclasses import replace

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf.tables import table
from spark_jobs.engine.outcome import Outcome
from spark_jobs.engine.record import Recorder
from spark_jobs.io.lake import Lake
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import arrow_schema

FOREVER = dt.date.max


def day(number: int) -> dt.date:
    return dt.date(2026, 3, number)


@pytest.fixture
def recorder(tmp_path):
    """A recorder of an empty lake; run(…) records one success, as a process of its own would."""
    lake = Lake(lambda: pytest.fail("needs no Spark"), str(tmp_path))

    def run(last: int, version: int, settled: bool = True, status: str = "success") -> None:
        own = Recorder(lake, "p")
        versions, started = {"silver.events": version}, dt.datetime.now(dt.UTC)
        outcome = Outcome("journeys.sessions", "shop", Range(day(last), day(last)), status, input_versions=versions, started_at=started)
        outcome = replace(outcome, run_id=f"run-{last}-{version}", settled=(day(last), versions) if settled else None)
        own.add(outcome, 1)
        own.flush()

    def settled() -> list[tuple[dt.date, int]]:
        fresh = Recorder(lake, "q")
        fresh.prepare(["journeys.sessions"])
        assert fresh.settled("journeys.sessions", "other") == []
        return [(until, versions["silver.events"]) for until, versions in fresh.settled("journeys.sessions", "shop")]

    return run, settled


def test_nothing_is_settled_before_the_first_run(recorder):
    assert recorder[1]() == []


def test_the_newest_run_that_built_what_changed_counts_for_all_days(recorder):
    run, settled = recorder
    run(10, 1)
    run(11, 4)
    run(11, 5, status="skipped")
    run(11, 9, settled=False)
    assert settled() == [(FOREVER, 5)]


def test_a_run_of_a_past_day_says_nothing_of_later_days(recorder):
    run, settled = recorder
    run(20, 3)
    run(10, 7)
    run(15, 6)
    run(5, 9)
    assert settled() == [(day(5), 9), (day(15), 6), (FOREVER, 3)]


def test_a_run_that_failed_settles_nothing(recorder):
    run, settled = recorder
    run(20, 3)
    run(20, 8, settled=False, status="failed")
    assert settled() == [(FOREVER, 3)]


def test_where_only_ranges_were_built_the_oldest_versions_count(recorder):
    run, settled = recorder
    run(20, 6, settled=False)
    run(21, 8, settled=False)
    assert settled() == [(FOREVER, 6)]


def test_a_log_of_runs_gets_the_columns_that_its_contract_got_since(tmp_path, recorder):
    older = [f for f in arrow_schema(table("ops.runs")) if not f.name.startswith("settled")]
    (tmp_path / "ops" / "runs").mkdir(parents=True)
    write_deltalake(str(tmp_path / "ops" / "runs"), pa.schema(older).empty_table())
    run, settled = recorder
    run(10, 1)
    assert settled() == [(FOREVER, 1)]


def test_work_is_done_only_while_its_table_is_there(tmp_path):
    recorder = Recorder(Lake(lambda: pytest.fail("needs no Spark"), str(tmp_path)), "p")
    for name, source in (("journeys.sessions", None), ("silver.events", "shop")):
        outcome = Outcome(
            name, source or "", Range(day(1), day(1)), "success", signature="s", started_at=dt.datetime.now(dt.UTC), run_id=name
        )
        recorder.add(outcome, 3)
        assert [recorder.is_done(name, source, "s", version) for version in (3, -1)] == [True, False]


class Clock(dt.datetime):
    """A clock that goes back a day with every look at it."""

    looks = 0

    @classmethod
    def now(cls, tz=None):
        cls.looks += 1
        return dt.datetime(2026, 4, 1, tzinfo=tz) - dt.timedelta(days=cls.looks)


def test_a_clock_that_is_set_back_makes_no_older_run_the_newest(tmp_path, monkeypatch):
    lake = Lake(lambda: pytest.fail("needs no Spark"), str(tmp_path))
    monkeypatch.setattr("spark_jobs.engine.record.dt.datetime", Clock)
    for number in range(1, 4):
        own = Recorder(lake, "p")
        own.prepare(["journeys.sessions"])
        for part in "ab":
            outcome = Outcome("journeys.sessions", "shop", Range(day(1), day(1)), "success", started_at=Clock.now(dt.UTC))
            own.add(replace(outcome, run_id=f"{number}{part}", signature=f"code {number}"), number)
        own.flush()
    fresh = Recorder(lake, "q")
    fresh.prepare(["journeys.sessions"])
    assert [run["run_id"] for run in fresh.past] == ["1a", "1b", "2a", "2b", "3a", "3b"]
    assert fresh.last("journeys.sessions", "shop")["signature"] == "code 3"
    assert fresh.next_number("journeys.sessions", "shop") == 7 and fresh.next_number("journeys.sessions", "other") == 1

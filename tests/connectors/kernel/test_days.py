"""Several days in one question: each of them is a slice of its own, replaced whole."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import pytest

from conf.settings import Source
from connectors.kernel import days
from connectors.kernel.api import Api
from connectors.kernel.connector import Scope
from connectors.kernel.errors import BrokenContractError, StreamDeclarationError
from connectors.kernel.landing import Landing, landed, newest_of
from connectors.kernel.paginate import Page
from tests.connectors.kernel.vendor import Said, vendor

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 5)
STREAM = {
    "mode": "range",
    "path": "report",
    "params": {"from": "{day}", "to": "{last_day}", "after": "{next_day}"},
    "records": ("rows",),
    "step": "3d",
    "day": ("on", "day"),
}


def row(day: int, name: str = "a") -> dict[str, object]:
    return {"name": name, "on": {"day": f"2026-11-{day:02d} 00:00:00"}}


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A vendor with a row per day; its rows, what it was asked and a pull of it, which gives the counts and what is in force by slice."""
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    rows = [row(day) for day in range(1, 6)]
    with vendor() as one:
        monkeypatch.setenv("AIRFLOW_CONN_ADS", json.dumps({"password": "0123456789"}))

        def answer(call):
            first, last = (call.params[key] for key in ("from", "to"))
            # as it comes: no vendor promises an order
            return Said(content={"rows": [item for item in reversed(rows) if first <= str(item["on"]["day"])[:10] <= last]})

        one.answer = answer
        settings = {"base_url": one.url, "auth": {"kind": "bearer"}, "accounts": {"main": {"secret": "ads"}}}
        source = Source("ads", "ads", {"report": STREAM}, "ads", settings=settings)

        def pull(api=None, **scope):
            api, landing = api or Api(), Landing(tmp_path / "landing", "run")
            stream = api.declared(source, "report")
            plan = api.plan_stream(stream, Scope(FIRST, LAST), landing, print)
            counts = api.pull_stream(stream, Scope(FIRST, LAST, **scope), landing, print)
            attempts = landed(landing.root, "ads", "report")
            newest = {name: slice for (_, name), slice in newest_of(attempts).items()}
            return counts, newest, plan

        yield rows, one.asked, pull


def names(slice):
    lines = [line for file in slice.manifest["files"] for line in gzip.decompress(Path(file["path"]).read_bytes()).splitlines()]
    return [json.loads(json.loads(line)["payload"])["name"] for line in lines]


def test_each_day_of_a_question_is_landed_as_its_own_slice(asked):
    _, calls, pull = asked
    counts, newest, plan = pull()
    assert [(one.params["from"], one.params["to"], one.params["after"]) for one in calls] == [
        ("2026-11-01", "2026-11-02", "2026-11-03"),
        ("2026-11-03", "2026-11-05", "2026-11-06"),
    ]
    assert (counts.files, counts.landed, counts.records) == (5, 5, 5) and list(newest) == [f"2026-11-0{day}" for day in range(1, 6)]
    assert all((one.manifest["slice_from"], one.manifest["slice_to"]) == (name, name) for name, one in newest.items())
    assert [one.slice_id for one in plan.slices] == list(newest) and sum(one.calls for one in plan.slices) == 2


def test_only_a_restated_day_is_landed_again_and_one_without_rows_any_more_lands_empty(asked):
    rows, _, pull = asked
    pull()
    rows[1:3] = [row(2, "restated"), row(2, "late")]
    counts, newest, _ = pull()
    assert (counts.landed, counts.skipped, counts.records) == (2, 3, 2)
    assert names(newest["2026-11-02"]) == ["late", "restated"] and newest["2026-11-02"].manifest["attempt"] == 2
    assert (newest["2026-11-03"].records, newest["2026-11-03"].manifest["attempt"]) == (0, 2)
    # what never had rows, and what says the same again, lands nothing
    assert pull()[0].landed == 0


def test_a_pull_that_was_killed_asks_the_same_questions_again_and_only_those_that_are_left(asked, monkeypatch):
    _, calls, pull = asked
    kept = Landing.land_records

    def fails(self, piece, records, at):
        if piece.slice_id == "2026-11-04":
            raise KeyboardInterrupt
        return kept(self, piece, records, at)

    monkeypatch.setattr(Landing, "land_records", fails)
    with pytest.raises(KeyboardInterrupt):
        pull()
    monkeypatch.setattr(Landing, "land_records", kept)
    counts, newest, _ = pull()
    assert [one.params["from"] for one in calls] == ["2026-11-01", "2026-11-03", "2026-11-03"]
    assert (counts.files, counts.landed) == (5, 2) and all(one.manifest["attempt"] == 1 for one in newest.values())


def test_a_day_that_was_not_asked_for_or_none_lands_nothing(asked):
    _, _, pull = asked

    class Strange(Api):
        def records(self, stream, account, page: Page):
            return [*page.records, json.dumps({"on": {"day": said}}).encode()]

    for said in ("2026-10-31", None, "yesterday"):
        counts, newest, _ = pull(Strange())
        assert counts.refused == 1 and isinstance(counts.failures[0], BrokenContractError) and newest == {}, said


def test_a_try_of_a_few_records_lands_no_whole_slice(asked):
    counts, newest, _ = asked[2](limit=1)
    assert counts.records == 2 and not any(one.manifest["slice_complete"] for one in newest.values())


def test_records_of_many_bytes_come_back_as_they_were_and_in_their_order(monkeypatch):
    monkeypatch.setattr(days, "HELD_BYTES", 100)
    found = [(number // 7 + 1, b"%d\n\x00 " % number * 9) for number in range(60)]
    day_of = lambda record: date(2026, 11, int(record.split(b"\n")[0]) % 2 + 1)  # noqa: E731
    with days.parted(iter(found), day_of, [FIRST, date(2026, 11, 2)], "ads.report") as records_of:
        assert list(records_of(FIRST)) == found[::2] and list(records_of(date(2026, 11, 2))) == found[1::2]


@pytest.mark.parametrize("wrong", [{"day": None}, {"step": None}, {"day": "on"}, {"step": "12h"}])
def test_a_step_of_days_needs_to_know_where_the_day_stands(wrong):
    said = {key: value for key, value in {**STREAM, **wrong}.items() if value is not None}
    settings = {"base_url": "https://ads.example", "auth": {"kind": "bearer"}, "accounts": {"main": {"secret": "ads"}}}
    with pytest.raises(StreamDeclarationError, match=r"streams\.report: "):
        Api().declared(Source("ads", "ads", {"report": said}, "ads", settings=settings), "report")

"""What the trigger forms offer and what their answers come to, without any service."""

import datetime as dt
import json
import runpy
import shutil
import subprocess
import time

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf.settings import REPOSITORY, platform, rules, source_names
from dags.common import forms
from spark_jobs.embedded.airflow_api import CUT, NOTE_CHARACTERS, joined_note
from spark_jobs.errors import ThroughlineError
from spark_jobs.io.small import open_table, query
from spark_jobs.ops.backfill import campaigns, plan
from tests.whole import worlds


@pytest.fixture
def lake(built, monkeypatch):
    """The root of the whole small lake, read only here."""
    monkeypatch.setenv("THROUGHLINE_HOME", str(built[1]))
    return platform().lake


def test_sources_and_models_are_lists_that_refuse_what_there_is_not():
    params = runpy.run_path(str(REPOSITORY / "dags/campaign_backfill.py"))["PARAMS"]
    assert params["sources"].schema["examples"] == list(source_names())
    assert params["models"].schema["examples"] == list(rules("attribution")["models"])
    assert params["sources"].resolve(["sandbox_shop"]) == ["sandbox_shop"]
    for name in ("sources", "models"):
        with pytest.raises(Exception, match="is not one of"):
            params[name].resolve(["elsewhere"])
    assert params["campaign"].resolve("spring") == "spring"


def test_campaigns_are_those_of_the_lake_by_name_read_once_per_version(lake, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    found = forms.campaigns()
    assert len(found) == len(campaigns(lake)) > 5
    assert all(key in shown for key, shown in found.items()) and any(key != shown for key, shown in found.items())
    monkeypatch.setattr(forms, "_ask", lambda *_: pytest.fail("asked again"))
    assert forms.campaigns() == found
    (tmp_path / "campaigns.json").write_text('{"version": 1')
    monkeypatch.setattr(forms, "_ask", lambda *_: "{}")
    assert forms.campaigns() == {}


def test_a_form_opens_without_a_lake_with_a_damaged_one_and_with_one_that_hangs(built, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    assert forms.campaigns() == {}
    log = tmp_path / "lake/gold/campaign_daily/_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no json")
    assert forms.campaigns() == {}
    monkeypatch.setattr(forms, "READ_SECONDS", 0.2)
    began = time.monotonic()
    assert forms.campaigns() == {}
    assert time.monotonic() - began < 5
    monkeypatch.setattr(forms, "READ_SECONDS", 30)
    shutil.copytree(built[1] / "lake/gold/campaign_daily", log.parent, dirs_exist_ok=True)
    assert forms.campaigns()
    monkeypatch.setenv("THROUGHLINE_LAKE", "s3a://nowhere/lake")
    asked = []

    def hang(*words):
        asked.append(words)
        raise subprocess.TimeoutExpired("spark_jobs", 1)

    monkeypatch.setattr(forms, "_ask", hang)
    assert [forms.campaigns(), forms.campaigns()] == [{}, {}]
    assert len(asked) == 1


def test_no_sender_s_names_make_the_form_large_or_unreadable(home):
    day = dt.date(2026, 3, 25)
    ids = ["", "fine", "long" * 100, "nul\0", "line\nfeed", *(f"c{i:03}" for i in range(400))]
    rows = {"day": [day] * len(ids), "campaign_id": ids, "campaign_name": ["\x1b[31m" + "red" * 100] * len(ids)}
    write_deltalake(str(home / "lake/gold/campaign_daily"), pa.table(rows))
    found = forms.campaigns()
    assert (
        len(found) == 300
        and not {i for i in ids if len(i) > 100 or not i.isprintable()} & set(found)
        and found["c000"].isprintable()
        and len(found["c000"]) < 120
    )


def test_the_form_as_it_opens_gives_a_plan_over_all_that_the_sources_have(lake):
    said = plan({"campaign": None, "sources": None, "from": None, "to": None, "models": None, "dry_run": True}, lake)
    assert (said["from"], said["to"], said["sources"]) == (str(worlds.FIRST), str(worlds.LAST), [])
    first, *lines = said["note"].splitlines()
    assert "nothing was changed" in first and f"{worlds.FIRST} to {worlds.LAST}" in first
    assert all(any(line.startswith(f"- {name}: pulled again, ") for line in lines) for name in worlds.SOURCES)
    assert len(said["note"]) < NOTE_CHARACTERS


def test_a_chosen_campaign_proposes_its_own_days(lake):
    late = next(key for key, c in campaigns(lake).items() if c.first > worlds.FIRST)
    found = campaigns(lake)[late]
    said = plan({"campaign": [late, "unheard-of"]}, lake)
    assert (said["from"], said["to"]) == (str(found.first), str(found.last))
    assert found.name in said["note"] and "`unheard-of`: not in gold yet" in said["note"]
    with pytest.raises(ThroughlineError, match=f"fill in from and to .* {found.first} to {found.last}"):
        plan({"campaign": late, "dry_run": False}, lake)


def test_rows_are_counted_in_the_range_alone(lake):
    whole, day = (
        plan({"sources": ["sandbox_site"]}, lake),
        plan({"sources": ["sandbox_site"], "from": "2026-03-25", "to": "2026-03-25"}, lake),
    )
    counted = query(
        open_table(lake, "silver.events"), "select count(*) as n from rows where event_date = '2026-03-25' and source = 'sandbox_site'"
    ).to_pylist()[0]["n"]
    assert f"{counted:,} rows" in day["note"] and f"{counted:,} rows" not in whole["note"]


def test_a_real_run_names_its_days_and_sources(lake):
    said = plan({"from": "2026-03-25", "to": "2026-03-26", "dry_run": False}, lake)
    assert said["sources"] == sorted(worlds.SOURCES) and "Rebuilds 2026-03-25 to 2026-03-26" in said["note"]
    for answers, sentence in (
        ({"from": "2026-03-26", "to": "2026-03-25"}, "is after"),
        ({"from": "26.3.2026"}, "no day"),
        ({"from": "2026-03-25", "dry_run": False}, "fill in from and to"),
    ):
        with pytest.raises(ThroughlineError, match=sentence):
            plan(answers, lake)


def test_an_empty_home_is_told_in_words(home):
    assert "nothing to rebuild yet" in plan({}, home / "lake")["note"]
    with pytest.raises(ThroughlineError, match="choose sources"):
        plan({"from": "2026-03-25", "to": "2026-03-26", "dry_run": False}, home / "lake")


@pytest.mark.parametrize("answers", ["nonsense", "[1]"])
def test_answers_that_are_no_object_are_one_sentence(home, answers):
    done = worlds.command(home, "spark_jobs", "plan", answers, check=False)
    assert done.returncode == 2 and "no JSON object" in done.stderr and "Traceback" not in done.stderr


def test_the_plan_s_last_line_is_its_result(lake, built):
    done = worlds.command(built[1], "spark_jobs", "plan", '{"dry_run": true}')
    assert json.loads(done.stdout.splitlines()[-1])["sources"] == []


def test_a_note_keeps_what_was_there_and_fits():
    assert joined_note("", "new") == "new"
    assert joined_note("mine", "new") == "mine\n\nnew"
    assert joined_note("mine\n\nnew", "new") == "mine\n\nnew"
    long = joined_note("mine", "\n".join(f"line {i}" for i in range(500)))
    assert len(long) <= NOTE_CHARACTERS and long.startswith("mine\n") and long.endswith(CUT)
    assert long.splitlines()[-2].startswith("line ")

"""state, budget, discover and new: what whoever keeps API sources running types."""

import datetime as dt
import json
import os
import subprocess
import sys

import pytest
from deltalake import DeltaTable

from conf import settings
from conf.settings import REPOSITORY
from connectors.__main__ import main
from connectors.kernel.skeleton import write_skeleton
from connectors.sandbox import files, world
from connectors.sandbox.apis import served, server

DAY = ("--from", "2026-11-20", "--to", "2026-11-20")


@pytest.fixture(scope="module")
def apis(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vendors")
    made = world.make_world(people=100, days=21, until=dt.date(2026, 11, 20), seed=7)
    files.write_world(made, folder / "drops")
    served.part(folder / "drops", folder / "apis")
    return folder / "apis"


@pytest.fixture
def sandbox(apis, home, monkeypatch):
    with server.serving(apis, dt.datetime(2026, 11, 21, tzinfo=dt.UTC)) as found:
        for name, value in found.connections().items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def run(capsys, monkeypatch):
    def ran(*words, answer=None):
        """Exit code, the JSON lines, and what was said."""
        monkeypatch.setattr(sys, "argv", ["connectors", *words])
        if answer is not None:
            monkeypatch.setattr("typer.confirm", lambda question: answer)
        capsys.readouterr()
        code = main()
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines() if line.startswith("{")], err

    return ran


def states(run):
    return {one["stream"]: one["cursor"] for one in run("state", "show", "klaviyo")[1]}


def test_a_cursor_is_shown_set_and_forgotten_and_nothing_changes_without_a_yes(sandbox, run):
    assert states(run) == {"events": None, "profiles": None, "campaigns": None}
    assert run("pull", "klaviyo", *DAY)[0] == 0
    assert set(states(run).values()) == {None}, "days that somebody named move no cursor"
    assert run("pull", "klaviyo", *DAY, "--scheduled")[0] == 0
    moved = states(run)
    assert None not in moved.values()
    for words in (("set", "klaviyo", "events", "2026-11-01"), ("reset", "klaviyo")):
        assert run("state", *words, answer=False)[0] != 0 and states(run) == moved
    assert run("state", "set", "klaviyo", "events", "2026-11-01", answer=True)[0] == 0
    assert states(run) == {**moved, "events": "2026-11-01T00:00:00+00:00"}
    code, lines, _ = run("state", "reset", "klaviyo", "--stream", "profiles", "--yes")
    assert code == 0 and [(one["stream"], one["was_there"]) for one in lines] == [("profiles", True)]
    assert states(run)["profiles"] is None and states(run)["campaigns"] == moved["campaigns"]


def test_a_pull_after_a_cursor_was_set_back_lands_no_record_that_is_landed_under_the_same_slice(sandbox, run):
    assert run("pull", "klaviyo", *DAY, "--scheduled")[0] == 0
    assert run("state", "reset", "klaviyo", "--yes")[0] == 0
    _, lines, _ = run("pull", "klaviyo", *DAY, "--scheduled")
    # the last window alone ends now, and is another one
    assert lines[-1]["landed"] <= 3


def test_what_a_budget_has_left_is_counted_and_its_pause_is_named(sandbox, run):
    untouched = run("budget", "show", "klaviyo")[1]
    assert {one["budget"] for one in untouched} == {"events", "profiles", "campaigns"}
    assert not any(limit["used"] for one in untouched for limit in one["limits"])
    run("pull", "klaviyo", *DAY)
    used = {one["budget"]: one["limits"][-1]["used"] for one in run("budget", "show", "klaviyo")[1]}
    assert all(count >= 1 for count in used.values())
    sandbox.faults.append(server.Fault("klaviyo", "campaigns", "429", 1))
    assert run("pull", "klaviyo", *DAY)[0] == 0
    paused = {one["budget"]: one["paused_until"] for one in run("budget", "show", "klaviyo")[1]}
    assert paused["events"] is None


def test_a_look_at_a_vendor_s_records_notes_what_no_mapping_reads(sandbox, run, home):
    code, lines, _ = run("discover", "klaviyo")
    assert code == 0 and {one["stream"] for one in lines} == {"events", "profiles", "campaigns"}
    told = {one["stream"]: {change["path"] for change in one["differences"] if change["kind"] == "unmapped"} for one in lines}
    assert told["campaigns"] >= {"/type", "/links"}
    assert not any("@" in line for line in map(json.dumps, lines))
    rows = DeltaTable(str(home / "lake" / "ops" / "schema_changes")).to_pyarrow_table().to_pylist()
    assert {(one["event_name"], one["path"]) for one in rows if one["kind"] == "unmapped"} >= {("campaigns", "/type")}
    assert run("discover", "klaviyo")[0] == 0
    again = DeltaTable(str(home / "lake" / "ops" / "schema_changes"))
    assert again.version() == DeltaTable(str(home / "lake" / "ops" / "schema_changes")).version()
    assert len(again.to_pyarrow_table()) == len(rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("state", "show", "sandbox_shop"), "is not asked over HTTP"),
        (("state", "reset", "klaviyo", "--stream", "letters", "--yes"), "no stream 'letters'; there are"),
        (("state", "reset", "klaviyo", "--account", "other", "--yes"), "no account 'other'; there are"),
        (("budget", "show", "klavio"), "no source 'klavio'"),
        (("new", "Klaviyo!"), "is no vendor's name"),
        (("new", "klaviyo"), "is there already"),
        (("pull", "klaviyo", *DAY, "--account", "other"), "no account 'other'"),
    ],
)
def test_what_is_wrong_is_one_sentence(words, said, home, run):
    code, _, err = run(*words)
    assert code == 2 and said in err and "Traceback" not in err


def test_a_new_vendor_s_files_are_sound_as_they_are_written(tmp_path):
    root = tmp_path / "copy"
    files_of = ("conf", "connectors", "tests/connectors/sources", "pyproject.toml")
    subprocess.run(["cp", "-r", "--parents", *files_of, str(root.mkdir() or root)], cwd=REPOSITORY, check=True)
    paths = write_skeleton("acme_mail", root)
    assert [path.relative_to(root).as_posix() for path in paths] == [
        "conf/sources/acme_mail.yml", "connectors/sources/acme_mail.py", "conf/mappings/acme_mail.yml", "tests/connectors/sources/test_acme_mail.py",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(root), "THROUGHLINE_HOME": str(tmp_path / "home")}
    for words in (["connectors", "declarations", "acme_mail"], ["pytest", "-q", "-n", "0", str(paths[-1])]):
        done = subprocess.run([sys.executable, "-m", *words], cwd=root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert settings.source_names()

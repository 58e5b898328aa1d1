"""The command line: one JSON line of facts, one sentence for a mistake."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import pytest

from conf.settings import REPOSITORY, source, source_names
from connectors.kernel.connector import connector_of


def connectors(home, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    own = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE_")}
    own |= {"THROUGHLINE_HOME": str(home), **environment}
    return subprocess.run([sys.executable, "-m", "connectors", *arguments], cwd=REPOSITORY, env=own, capture_output=True, text=True)


def test_made_files_are_pulled_once(tmp_path):
    world = ("--people", "50", "--days", "5", "--until", "2026-11-20", "--seed", "7")
    made = json.loads(connectors(tmp_path, "sandbox", "make", "--out", str(tmp_path / "drops"), *world).stdout)
    days = ("--from", "2026-11-16", "--to", "2026-11-20")
    for name in ("sandbox_site", "sandbox_shop", "sandbox_marketing"):
        first, second = (json.loads(connectors(tmp_path, "pull", name, *days).stdout) for _ in range(2))
        assert first["records"] == sum(n for stream, n in made["records"].items() if stream.startswith(name))
        assert second["records"] == 0 and second["skipped"] == first["landed"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("pull", "nobody", "--from", "2026-11-20", "--to", "2026-11-20"), "no source 'nobody'"),
        (("pull", "web_access", "--from", "2026-11-20", "--to", "2026-11-20"), "THROUGHLINE_DATA, which is not set"),
        (("pull", "sandbox_shop", "--from", "2026-11-20", "--to", "2026-11-19"), "--from 2026-11-20 is after --to 2026-11-19"),
        (("pull", "sandbox_shop", "--from", "None", "--to", "2026-11-19"), "Invalid value for '--from'"),
        (("sandbox", "make", "--out", "w", "--until", "2026-11-20", "--seed", "-3"), "Invalid value for '--seed'"),
        (("sandbox", "make", "--out", "w", "--until", "2026-11-20", "--seed", "99999999999999999999"), "Invalid value for '--seed'"),
        (
            ("sandbox", "make", "--out", "w", "--until", "0001-01-02"),
            "of 30 days until 0001-01-02 does not lie between 1971-01-01 and 2099-12-31",
        ),
        (("sandbox", "make", "--out", "w", "--until", "9999-12-31"), "of 30 days until 9999-12-31 does not lie between"),
        (("sandbox", "make", "--out", "w", "--until", "1971-01-29"), "give another --until or fewer --days"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(tmp_path, arguments, sentence):
    done = connectors(tmp_path, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_a_damaged_file_ends_the_command_when_all_others_are_landed(tmp_path):
    for day, content in ((19, b"no gzip"), (20, gzip.compress(b'{"id": "1"}\n'))):
        path = tmp_path / f"drops/sandbox_site/events/2026-11-{day}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    done = connectors(tmp_path, "pull", "sandbox_site", "--from", "2026-11-19", "--to", "2026-11-20")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "1 files were refused, 1 landed with 1 records\nerror: " in done.stderr and "2026-11-19.jsonl.gz: cannot be read" in done.stderr
    assert [path.parent.parent.name for path in (tmp_path / "landing").rglob("manifest.json")] == ["2026-11-20"]


def test_a_dry_run_s_line_has_the_note_that_airflow_shows(tmp_path):
    path = tmp_path / "drops/sandbox_site/events/2026-11-20.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b'{"id": "1"}\n'))
    days = ("--from", "2026-11-19", "--to", "2026-11-20")
    said = json.loads(connectors(tmp_path, "pull", "sandbox_site", *days, "--dry-run").stdout)["note"]
    assert (
        said.startswith("The pull of sandbox_site would land 1 slice, 1 records, ")
        and f"- `events`: `{path}` (2026-11-20, 1 records, " in said
    )
    assert "note" not in json.loads(connectors(tmp_path, "pull", "sandbox_site", *days).stdout)
    again = json.loads(connectors(tmp_path, "pull", "sandbox_site", *days, "--dry-run").stdout)["note"]
    assert again == "The pull of sandbox_site would land nothing new; 1 is landed already."


def test_a_source_without_files_ends_well_and_says_so(tmp_path):
    done = connectors(tmp_path, "pull", "sandbox_shop", "--from", "2026-11-20", "--to", "2026-11-20")
    assert done.returncode == 0 and done.stderr.count("no files match") == len(source("sandbox_shop").streams)


def test_a_check_of_every_source_goes_through_all_and_says_once_what_they_lack(tmp_path):
    folder = tmp_path / "drops/sandbox_site/events"
    folder.mkdir(parents=True)
    (folder / "2026-11-20.jsonl.gz").write_bytes(gzip.compress(b'{"id": "1"}\n'))
    done = connectors(tmp_path, "check")
    told = {one["source"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 2 and list(told) == list(source_names())
    assert told["sandbox_site"] == {
        "source": "sandbox_site",
        "streams": {"events": {"state": "ok", "said": "1 files match, the last of them is 2026-11-20.jsonl.gz"}},
        "failed": {},
    }
    assert {one["state"] for one in told["sandbox_shop"]["streams"].values()} == {"empty"}
    # one of its streams comes with the repository
    assert list(told["complete_journey"]["streams"]) == ["fx_rates"]
    assert done.stderr.count("complete_journey reads files below THROUGHLINE_DATA, which is not set") == 1
    sound = connectors(tmp_path, "check", "sandbox_shop")
    assert (sound.returncode, sound.stderr) == (0, "")
    unknown = connectors(tmp_path, "check", "nobody")
    assert unknown.returncode == 2 and "error: no source 'nobody': conf/sources has [" in unknown.stderr


@pytest.mark.parametrize("name", source_names())
def test_every_declared_stream_is_understood(name, tmp_path, monkeypatch):
    monkeypatch.setenv("THROUGHLINE_DATA", str(tmp_path))
    declared = source(name)
    assert declared.silver
    for stream in declared.streams:
        assert connector_of(declared).declared(declared, stream).name == stream

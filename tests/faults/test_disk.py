"""A disk that fills in the middle of a build, and one that takes no writes: one sentence, the right exit code, and all of it after the retry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conf.settings import REPOSITORY
from spark_jobs.errors import NoSpaceError, of_trouble, safe_message
from spark_jobs.io.lake import Lake
from spark_jobs.io.small import open_table, read_arrow
from tests.faults.test_recovery import contents, forget
from tests.whole import worlds

GOLD = ("gold.channel_daily", "gold.orders_daily", "gold.people", "gold.unattributed_daily")


@pytest.fixture
def disk(tmp_path):
    """An empty folder, and a function that calls `mount` with words and that folder; skips where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*words: str) -> None:
        done = subprocess.run(["mount", *words, str(folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")

    yield folder, mount
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)


def test_a_disk_that_fills_between_two_commits_leaves_no_half_table_and_the_retry_ends_equal(built, disk, tmp_path, monkeypatch):
    original, home = built
    before = contents(original)
    shutil.copytree(home / "vault", tmp_path / "vault")
    mounted, mount = disk
    mount("-t", "tmpfs", "-o", "size=64m", "tmpfs")
    shutil.copytree(home / "lake", mounted / "lake", ignore=shutil.ignore_patterns("_checkpoints"))
    lake = Lake(original.spark, str(mounted / "lake"))
    monkeypatch.setenv("THROUGHLINE_LAKE", lake.root)
    for name in GOLD:
        shutil.rmtree(lake.path(name))
    forget(lake)
    free = shutil.disk_usage(mounted).free
    filler = mounted / "filler"
    with filler.open("wb") as file:
        file.write(b"x" * (free - 48 * 1024))
    with pytest.raises(NoSpaceError, match="the disk is full") as told:
        worlds.run(lake, tmp_path, selection=GOLD)
    assert told.value.exit_code == 4
    built_first = [name for name in GOLD if lake.version(name) > 0]
    assert len(built_first) < len(GOLD)
    forget(lake)
    now = contents(lake)
    assert all(now[name] in (before[name], (0, now[name][1])) for name in GOLD if name in now)
    filler.unlink()
    forget(lake)
    worlds.run(lake, tmp_path, selection=GOLD)
    assert contents(lake) == before
    ledger, runs = (read_arrow(lake.root, name).to_pylist() for name in ("ops.ledger", "ops.runs"))
    assert all(r["is_closed"] for r in ledger) and {r["run_id"] for r in ledger} <= {r["run_id"] for r in runs}
    assert {o.status for o in worlds.run(lake, tmp_path, selection=GOLD)} == {"skipped"}


def ended(home: Path, *words: str) -> tuple[int, str]:
    """A command's exit code and its last line on stderr, of which there is one."""
    env = {**os.environ, "THROUGHLINE_HOME": str(home)}
    done = subprocess.run([sys.executable, "-m", "spark_jobs", *words], cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


def test_a_read_only_lake_is_one_sentence_and_may_still_be_looked_at(built, disk, tmp_path):
    _, home = built
    mounted, mount = disk
    shutil.copytree(home / "lake", mounted / "lake")
    mount("--bind", str(mounted))
    mount("-o", "remount,bind,ro")
    lake = ["--lake", str(mounted / "lake")]
    code, said = ended(tmp_path, "run", "gold.people", "--from", str(worlds.FIRST), "--to", str(worlds.LAST), *lake)
    assert code == 4 and said.startswith(f"ReadOnlyError: ops.claims: its file system is read-only: {mounted}"), said
    assert "Mount it for writing, then do the same again" in said
    code, said = ended(tmp_path, "load", "sandbox_shop", *lake)
    assert code == 4 and said.startswith("ReadOnlyError: "), said
    assert ended(tmp_path, "report", "--out", str(tmp_path / "report.html"), *lake) == (0, "")
    assert ended(tmp_path, "quarantine", "list", *lake)[0] == 0


def test_a_gap_a_cut_log_and_a_missing_file_end_every_command_with_one_sentence(built, tmp_path):
    """Exit code 2: doing the same again does not help."""
    _, home = built
    root = tmp_path / "lake"
    shutil.copytree(home / "lake", root)
    lake = ["--lake", str(root)]
    gone = Path(open_table(root, "gold.people").file_uris()[0])
    kept = gone.rename(tmp_path / "kept")
    code, said = ended(tmp_path, "report", "--out", str(tmp_path / "report.html"), *lake)
    assert (
        code == 2 and str(gone) in said and "python -m spark_jobs rebuild gold.people" in said and not (tmp_path / "report.html").exists()
    )
    kept.rename(gone)
    logs = sorted((root / "ops/runs/_delta_log").glob("[0-9]*.json"))
    logs[1].unlink()
    for words in (
        ["run", "gold.people", "--from", str(worlds.FIRST), "--to", str(worlds.LAST)],
        ["report"],
        ["explain", "table", "gold.people"],
    ):
        code, said = ended(tmp_path, *words, *lake)
        assert code == 2 and said.startswith("DamagedTableError: ops.runs: the table's log cannot be read"), said
        assert "python -m spark_jobs rebuild ops.runs" in said
    assert ended(tmp_path, "rebuild", "ops.runs", *lake)[0] == 0
    assert ended(tmp_path, "explain", "table", "gold.people", *lake)[0] == 0


@pytest.mark.parametrize(
    "sql",
    [
        "select cast(v as int) from values ('jo@example.com') t(v)",
        "select 1 / cast(length(v) - 14 as int) from values ('jo@example.com') t(v)",
        "select raise_error(v) from values ('jo@example.com') t(v)",
        "select cast(v as date) from values ('jo@example.com') t(v)",
    ],
)
def test_what_is_kept_of_an_error_holds_no_value_of_a_row(spark, sql):
    with pytest.raises(Exception) as told:
        spark.sql(sql).collect()
    said = safe_message(told.value)
    assert "jo@" not in said and "example" not in said
    assert said.split(" ")[0] in ("CAST_INVALID_INPUT", "DIVIDE_BY_ZERO", "USER_RAISED_EXCEPTION"), said


def test_an_error_of_python_is_kept_as_its_kind_and_its_place_alone():
    try:
        int("jo@example.com")
    except ValueError as error:
        assert safe_message(error).startswith("ValueError at tests/faults/test_disk.py:") and "jo@" not in safe_message(error)


def test_what_a_value_says_is_no_trouble_of_the_disk(spark):
    with pytest.raises(Exception) as told:
        spark.sql("select cast(v as int) from values ('No space left on device /home/jo') t(v)").collect()
    assert of_trouble(told.value) is None

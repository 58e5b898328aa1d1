"""`clean` removes what Throughline made and marked, nothing else, and nothing under a running job."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from conf.settings import OWN_MARK, REPOSITORY, hold, let_go, made
from conf.tables import table
from spark_jobs.embedded import services
from spark_jobs.embedded.clean import clean
from spark_jobs.engine.claims import own_holder
from spark_jobs.io.small import append_rows, opened

NAMES = ("lake", "landing", "airflow", "spark", "logs")


@pytest.fixture
def workshop(home, monkeypatch):
    """A home that the product made, below a folder of somebody's."""
    folder = home / "workshop"
    monkeypatch.setenv("THROUGHLINE_HOME", str(folder))
    for name in (*NAMES, "drops", "vault"):
        (made(folder / name) / "file.txt").write_text("x")
    (folder / "report.html").write_text("<title>Throughline: what marketing earned</title>")
    (folder / "world_end.txt").write_text("2026-03-31")
    let_go(folder)
    return folder


def run_clean(home, *, cwd=REPOSITORY):
    env = {**os.environ, "THROUGHLINE_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, "-m", "spark_jobs", "clean"], cwd=cwd, env=env, capture_output=True, text=True)


def test_folders_that_somebody_else_made_stay_under_every_name(home):
    for name in (*NAMES, "drops", "vault"):
        (home / name).mkdir()
        (home / name / "thesis.txt").write_text("my only copy")
    (home / "report.html").write_text("<title>My own report</title>")
    (home / "services.json").write_text('{"mine": true}')
    (home / "world_end.txt").write_text("the world ends here")
    before = sorted(str(path) for path in home.rglob("*"))
    said = run_clean(home)
    assert said.returncode == 0, said.stderr
    assert sorted(str(path) for path in home.rglob("*")) == before
    for name in NAMES:
        assert f"left {home / name}: it does not have the mark" in said.stdout
    assert "removed" not in said.stdout


def test_what_the_product_made_goes_and_copies_stay(workshop):
    (workshop / "precious").mkdir()
    said = run_clean(workshop)
    assert said.returncode == 0, said.stderr
    assert sorted(path.name for path in workshop.iterdir()) == [OWN_MARK, "drops", "precious", "vault"]
    assert "keeps drops, precious, vault" in said.stdout


def test_the_default_home_goes_whole_with_its_key_and_its_sandbox(workshop, capsys):
    (workshop / "drops" / "file.txt").unlink()
    (workshop / "drops" / "sandbox_shop").mkdir()
    clean([workshop], keeps_copies=False)
    assert not workshop.exists()


def test_files_that_were_dropped_beside_the_sandbox_s_stay(workshop, capsys):
    (workshop / "drops" / "my_shop").mkdir()
    clean([workshop], keeps_copies=False)
    assert (workshop / "drops" / "my_shop").is_dir() and not (workshop / "vault").exists()
    assert "the sandbox did not make file.txt, my_shop" in capsys.readouterr().out


def test_nothing_behind_a_link_is_removed_and_the_key_of_that_lake_stays(workshop, tmp_path, capsys):
    elsewhere = tmp_path / "big-disk"
    (workshop / "lake").rename(elsewhere)
    (workshop / "lake").symlink_to(elsewhere)
    clean([workshop], keeps_copies=False)
    assert (elsewhere / "file.txt").read_text() == "x" and (workshop / "lake").is_symlink()
    assert (workshop / "vault").is_dir() and not (workshop / "logs").exists()
    said = capsys.readouterr().out
    assert f"left {workshop / 'lake'}: it is a link to {elsewhere}" in said and "the lake that stays needs its key" in said


def test_links_inside_a_made_folder_are_not_followed(workshop, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.txt").write_text("x")
    (workshop / "landing" / "link").symlink_to(outside)
    clean([workshop], keeps_copies=True)
    assert (outside / "thesis.txt").is_file() and not (workshop / "landing").exists()


def refused(home) -> str:
    """What a refused clean says; nothing is gone then."""
    said = run_clean(home)
    assert said.returncode == 4 and "Traceback" not in said.stderr, said.stderr
    assert all((home / name / "file.txt").is_file() for name in NAMES)
    return said.stderr


def test_nothing_goes_while_a_command_works_there(workshop):
    works = "import sys, conf.settings as s; s.hold(s.home()); print('holds', flush=True); sys.stdin.read()"
    worker = subprocess.Popen(
        [sys.executable, "-c", works],
        cwd=REPOSITORY,
        env={**os.environ, "THROUGHLINE_HOME": str(workshop)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout.readline() == "holds\n"
    assert "in use by a command that works there" in refused(workshop)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert run_clean(workshop).returncode == 0 and not (workshop / "lake").exists()


@pytest.mark.parametrize(
    "words", [("spark_jobs", "status"), ("connectors", "pull", "sandbox_shop", "--from", "2026-03-01", "--to", "2026-03-01")]
)
def test_every_command_of_the_product_takes_part_in_the_home_s_lock(workshop, words):
    assert hold(workshop, alone=True)
    # waits for its turn: what holds the home alone is about to remove it
    command = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=REPOSITORY,
        env={**os.environ, "THROUGHLINE_HOME": str(workshop)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(timeout=6)
    let_go(workshop)
    assert command.wait(timeout=60) in (0, 2)


def test_nothing_goes_while_a_living_run_holds_a_claim(workshop):
    contract, now = table("ops.claims"), dt.datetime.now(dt.UTC)
    row = ("silver.events/shop", 3, own_holder(), now, now + dt.timedelta(minutes=20))
    append_rows(opened(workshop / "lake", contract), contract, [row])
    let_go(workshop)
    assert "silver.events/shop is being written by" in refused(workshop)
    released = dt.datetime.now(dt.UTC)
    append_rows(opened(workshop / "lake", contract), contract, [(*row[:3], released, released)])
    let_go(workshop)
    assert run_clean(workshop).returncode == 0 and not (workshop / "lake").exists()


def test_nothing_goes_while_services_run(workshop):
    me = psutil.Process()
    state = {"home": str(workshop), "starter_pid": me.pid, "starter_created": me.create_time(), "mark": "x", "ports": {}, "pids": {}}
    services.state_file().write_text(json.dumps(state))
    assert f"in use by services (process {me.pid})" in refused(workshop)
    services.state_file().unlink()


def test_a_folder_that_cannot_be_removed_is_one_sentence(workshop, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(Exception, match=r"lake cannot be removed \(Permission denied\): remove .*lake yourself"):
        clean([workshop], keeps_copies=True)

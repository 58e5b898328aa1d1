"""Everything that the product makes is its owner's alone."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conf import doors
from conf.settings import OWN_MARK, REPOSITORY


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, as a home that was there before: pytest's own are closed already."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def run(home: Path, *words: str) -> None:
    """A command as from a shell with the usual umask."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_"))}
    env = {**kept, "THROUGHLINE_HOME": str(home)}
    done = subprocess.run([sys.executable, "-m", *words], cwd=REPOSITORY, env=env, umask=0o022, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def readable_by_nobody(folder: Path) -> list[str]:
    """What another user can list or open below a folder, tried as that user."""
    script = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for place, folders, files in os.walk(sys.argv[1]):
    for name in files:
        try:
            open(os.path.join(place, name), "rb").close()
        except PermissionError:
            continue
        print(os.path.join(place, name))
"""
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def open_to_others(folder: Path) -> list[str]:
    found = [path for path in folder.rglob("*") if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & doors.OTHERS]
    return sorted(str(path.relative_to(folder)) for path in found)


@pytest.mark.timeout(600)
def test_no_file_of_a_home_is_open_to_another_user(open_folder):
    range_ = ["--from", "2026-03-30", "--to", "2026-03-31"]
    made = ["--out", f"{open_folder}/drops", "--people", "30", "--days", "2", "--until", "2026-03-31", "--seed", "3"]
    run(open_folder, "connectors", "sandbox", "make", *made)
    # what other tools drop may be open: what is landed of it is not
    for path in (open_folder / "drops").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    run(open_folder, "connectors", "pull", "sandbox_shop", *range_)
    run(open_folder, "spark_jobs", "load", "sandbox_shop")
    run(open_folder, "spark_jobs", "run", "silver.order_lines", "--source", "sandbox_shop", *range_)
    run(open_folder, "spark_jobs", "report", "--out", f"{open_folder}/page.html")
    shutil.rmtree(open_folder / "drops")
    assert {path.name for path in open_folder.iterdir()} >= {"lake", "landing", "vault", "page.html"}
    assert list((open_folder / "lake" / "vault").rglob("*.parquet"))
    assert open_to_others(open_folder) == []
    if os.getuid() == 0:
        assert readable_by_nobody(open_folder) == []


def test_folders_of_an_earlier_release_are_closed_and_others_of_the_same_name_are_not(home):
    home.chmod(0o755)
    (home / "lake" / "gold" / "people" / "_delta_log").mkdir(parents=True)
    (home / "airflow").mkdir()
    (home / "airflow" / "airflow.db").touch()
    (home / "logs").mkdir()
    (home / "logs" / "mine.log").touch()
    (home / "elsewhere").mkdir()
    (home / "landing").symlink_to(home / "elsewhere")
    for name in ("lake", "airflow", "logs", "elsewhere"):
        (home / name).chmod(0o755)
    doors.close_home()
    modes = {name: stat.S_IMODE((home / name).stat().st_mode) for name in ("lake", "airflow", "logs", "elsewhere")}
    assert modes == {"lake": 0o700, "airflow": 0o700, "logs": 0o755, "elsewhere": 0o755}


def test_a_secret_is_made_once_whole_and_for_its_owner(home):
    script = "from conf import doors; print(doors.secret(doors.CONNECT_TOKEN), end='')"
    env = {**os.environ, "THROUGHLINE_HOME": str(home)}
    runs = [subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = {run.communicate()[0] for run in runs}
    assert said == {doors.connect_token()} and len(said.pop()) >= 40
    assert open_to_others(home / "spark").count("connect_token") == 0
    assert [path.name for path in (home / "spark").iterdir() if path.name != OWN_MARK] == ["connect_token"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can listen as another user")
def test_a_secret_is_not_sent_to_another_user_s_port():
    script = (
        "import os, socket; os.setuid(65534); s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stranger:
        port = int(stranger.stdout.readline())
        assert doors.is_foreign(port)
        stranger.stdin.write("\n")
    assert not doors.is_foreign(port)
    with socket.create_server(("127.0.0.1", 0)) as own:
        assert not doors.is_foreign(own.getsockname()[1])

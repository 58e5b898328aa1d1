"""The whole small lake that these tests look at, copy or compare with."""

import fcntl
import shutil
from pathlib import Path

import pytest

from spark_jobs.io.lake import Lake
from tests.whole import worlds


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id) -> Path:
    """The folder that all of the run's processes share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def built(spark, shared) -> tuple[Lake, Path]:
    """(lake, home), built by one of the run's processes for all of them."""
    home, done = shared / "built", shared / "built.done"
    with (shared / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            worlds.fill(spark, home)
            shutil.copytree(home, shared / "loaded")
            outcomes = worlds.run(Lake(spark, str(home / "lake")), home)
            done.write_text(str(len(outcomes)), encoding="utf-8")
    return Lake(spark, str(home / "lake")), home


@pytest.fixture(scope="session")
def loaded(built, shared) -> tuple[Lake, Path, int]:
    """(lake, home, how many parts its first run builds): the shared lake as it was before that run."""
    home = shared / "loaded"
    return Lake(built[0].spark, str(home / "lake")), home, int((shared / "built.done").read_text(encoding="utf-8"))

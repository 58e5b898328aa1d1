"""The whole small lake that these tests look at, copy or compare with."""

import fcntl
from pathlib import Path

import pytest

from spark_jobs.io.lake import Lake
from tests.whole import worlds


@pytest.fixture(scope="session")
def built(spark, tmp_path_factory, worker_id) -> tuple[Lake, Path]:
    """(lake, home), built by one of the run's processes for all of them."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    home, done = shared / "built", shared / "built.done"
    with (shared / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            worlds.build(spark, home)
            done.touch()
    return Lake(spark, str(home / "lake")), home

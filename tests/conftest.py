"""Fixtures every test may use: one Spark session for the whole run, and a throw-away home."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["TZ"] = "UTC"


@pytest.fixture(scope="session")
def spark():
    """A real local Spark with Delta, shared by every test of the run."""
    from spark_jobs.io.session import get_session

    session = get_session("throughline-tests", small=True)
    yield session
    session.stop()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A fresh THROUGHLINE_HOME."""
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the repository; a clone without it skips."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the real data (../shared/data) is not beside this clone")
    return path

"""Fixtures every test may use: one Spark session for the whole run, and a throw-away home."""

from __future__ import annotations

import ast
import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from conf.settings import REPOSITORY

os.environ["TZ"] = "UTC"
# Spark closes its connections when the streams that would say so are closed already
logging.getLogger("py4j").setLevel(logging.WARNING)
# what two processes with a Spark each need, one of them beside Airflow and its Spark server
MEMORY_FOR_TWO = 12 * 2**30
# begun first, each by one process: what takes longest, what starts services, what shares a whole lake
GROUPS = {
    "real": ("tests/real/",),
    "services": (
        "tests/whole/test_airflow.py",
        "tests/whole/test_full_profile.py",
        "tests/whole/test_readme.py",
        "tests/faults/test_services_",
    ),
    "lakes": ("tests/whole/",),
}
# what `make test-whole` runs and `make test` does not: the real data, a cluster, the full profile, the README's commands and recipes one by one
WHOLE = (
    "tests/real/",
    "tests/whole/test_cluster.py",
    "tests/whole/test_full_profile.py",
    "tests/whole/test_readme.py",
    "tests/whole/test_recipes.py",
    "tests/whole/test_score.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes run the tests: two where there is memory for them."""
    return 2 if psutil.virtual_memory().available >= MEMORY_FOR_TWO else 1


def group_of(test: str) -> str:
    """Which tests one process runs one after another: those of a group, else those of a file."""
    path = test.split("::")[0]
    return next((name for name, paths in GROUPS.items() if path.startswith(paths)), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each process takes a group when it has done the one before."""
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Grouped(config, log)


# before -m chooses
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(WHOLE):
            item.add_marker(pytest.mark.whole)
    if hasattr(config, "workerinput"):
        first = [*GROUPS]
        items.sort(key=lambda item: first.index(group) if (group := group_of(item.nodeid)) in first else len(first))


# a test that takes longer says so in one line of its own docstring, or of its file's: Costs about …
TOLD_BEYOND_SECONDS, TOLD = 20, "Costs about "


def untold(seconds: Iterable[tuple[str, float]], root: Path) -> list[str]:
    """A line for each test that took long and does not say what it costs, the longest first. seconds: by test, of its parts."""
    took = Counter[str]()
    for test, part in seconds:
        took[test] += part
    return [f"{of:5.0f} s {test}" for test, of in took.most_common() if of > TOLD_BEYOND_SECONDS and not says_cost(test, root)]


def says_cost(test: str, root: Path) -> bool:
    """Whether a test's docstring, or its file's, says what it costs."""
    path, *_, name = test.split("[")[0].split("::")
    file = ast.parse((root / path).read_text(encoding="utf-8"))
    own = [one for one in ast.walk(file) if isinstance(one, ast.FunctionDef) and one.name == name]
    return any(TOLD in (ast.get_docstring(one) or "") for one in (file, *own))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = (one for found in terminalreporter.stats.values() for one in found if isinstance(one, pytest.TestReport))
    if said := untold(((one.nodeid, one.duration) for one in reports), REPOSITORY):
        terminalreporter.section(f"took more than {TOLD_BEYOND_SECONDS} s and do not say what they cost")
        terminalreporter.write("".join(f"{line}\n" for line in said))


@pytest.fixture(scope="session")
def spark():
    """A real local Spark with Delta, shared by every test of the run."""
    from spark_jobs.io.session import get_session

    session = get_session("throughline-tests", small=True, few=True)
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def usual_umask():
    """Each test begins as a shell does: a command that ran in this process before closed what it makes to others."""
    os.umask(0o022)


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

"""What a run would build is told before it, and is what it then builds."""

import json
import shutil

import pytest

from spark_jobs.bronze.load import load_source
from spark_jobs.engine.plan import steps
from spark_jobs.engine.selection import select_tables
from spark_jobs.io.lake import Lake
from tests.whole import worlds

DERIVED = ("silver", "identity", "journeys", "attribution", "segments", "gold")
NAMES = select_tables(DERIVED)


def planned(lake: Lake, home, changed: bool = False, days=worlds.DAYS) -> dict[str, tuple[str, bool]]:
    with worlds.home_at(home):
        return {one.name: (one.why, one.is_idle) for one in steps(lake, NAMES, days, None, changed)}


@pytest.fixture(scope="module")
def ran(built, loaded, tmp_path_factory):
    """(lake, home, how many parts its first run built), a copy of the shared one."""
    lake, home = built
    own = tmp_path_factory.mktemp("planned") / "home"
    shutil.copytree(home, own)
    return Lake(lake.spark, str(own / "lake")), own, loaded[2]


def test_before_the_first_run_everything_is_to_be_built_and_nothing_is_written(loaded):
    lake, home, _ = loaded
    before = sorted(home.rglob("*"))
    found = planned(lake, home)
    assert set(found.values()) == {("never built", False)}
    assert {name.split("[")[0] for name in found} == set(NAMES)
    assert sorted(home.rglob("*")) == before


def test_a_plan_is_what_the_run_then_does(ran, tmp_path):
    lake, home, parts = ran
    assert set(planned(lake, home).values()) == {("nothing changed", True)}
    own = tmp_path / "late"
    shutil.copytree(home, own)
    late = Lake(lake.spark, str(own / "lake"))
    arrival = worlds.deliver_late(own, [worlds.FIRST])
    with worlds.home_at(own):
        load_source(late, "sandbox_site", "test")
    days = worlds.Range(arrival, arrival)
    with worlds.home_at(own):
        found = steps(late, NAMES, days, None, True)
    events = next(one for one in found if one.name == "silver.events[sandbox_site]")
    assert "bronze.sandbox_site__events" in events.why and events.rows > 0
    sessions = next(one for one in found if one.table == "journeys.sessions")
    assert not sessions.is_idle
    built = [o.table for o in worlds.run(late, own, days=days, changed=True) if o.status != "skipped"]
    assert set(built) <= {one.table for one in found if not one.is_idle}
    assert parts == len(found)


def test_the_command_prints_the_plan_and_its_sum(ran):
    _, home, _ = ran
    words = ["plan", "gold", "--from", str(worlds.FIRST), "--to", str(worlds.LAST)]
    done = worlds.command(home, "spark_jobs", *words)
    assert "gold.people" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == {"tables": 0, "parts": 0, "idle": 8}
    noted = worlds.command(home, "spark_jobs", *words, "--note").stdout
    said = json.loads(noted.splitlines()[-1])
    assert said.pop("note") in noted and said == {"tables": 0, "parts": 0, "idle": 8}
    assert f"{worlds.FIRST} to {worlds.LAST} would build nothing." in noted and "8 more with nothing to do" in noted
    wrong = worlds.command(home, "spark_jobs", "plan", "gold", "silver", check=False)
    assert wrong.returncode == 2 and "--from and --to" in wrong.stderr

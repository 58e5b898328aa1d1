"""The same small world through a real Airflow over REST: days one by one, ranges, a broken delivery and its repair."""

import os
import shutil
import subprocess
import time
import urllib.parse
from decimal import Decimal

import psutil
import pytest

from conf import doors
from spark_jobs.embedded import services
from spark_jobs.embedded.airflow_api import AirflowApi
from spark_jobs.io.lake import Lake
from tests.whole import worlds

# the shared lake is built first where these run alone
pytestmark = pytest.mark.timeout(1800)
BUILD = "build_daily"
SITE = "ingest_sandbox_site"
BACKFILL = "campaign_backfill"


@pytest.fixture(scope="module")
def running(built, tmp_path_factory):
    """(services, lake, home), running; the home shares the identifier key of the lake built in this process."""
    lake, other = built
    home = tmp_path_factory.mktemp("airflow")
    shutil.copytree(other / "vault", home / "vault")
    worlds.make_drops(home)
    with worlds.services_at(home) as found:
        yield found, Lake(lake.spark, str(home / "lake")), home


@pytest.fixture(scope="module")
def airflow(running):
    """(api, lake, home) with the DAGs unpaused."""
    found, lake, home = running
    api = AirflowApi(found.airflow_url)
    for dag in (BUILD, SITE, "ingest_sandbox_marketing", "ingest_sandbox_shop", BACKFILL):
        api.wait_for_dag(dag)
        api.unpause(dag)
    return api, lake, home


def finished(api, dag, run, seconds=800):
    until = time.monotonic() + seconds
    while (state := api.run_state(dag, run)) not in ("success", "failed"):
        assert time.monotonic() < until, f"{dag} {run} is {state}: {[(t['task_id'], t['state']) for t in api.tasks(dag, run)]}"
        time.sleep(1)
    return state


def run_range(api, dag, first, last):
    run = api.trigger(dag, {"from": str(first), "to": str(last)})
    return run, finished(api, dag, run)


def log_of(home, dag, run):
    texts = [
        p.read_text(errors="replace")[-1500:] for p in sorted((home / "airflow/logs" / f"dag_id={dag}" / f"run_id={run}").rglob("*.log"))
    ]
    return "\n".join(texts)


def test_a_native_backfill_of_three_days_leaves_what_the_range_run_makes(airflow):
    api, lake, home = airflow
    first, last = worlds.FIRST, worlds.FIRST.replace(day=worlds.FIRST.day + 2)
    asked = {
        "dag_id": SITE,
        "from_date": f"{first}T00:00:00Z",
        "to_date": f"{last}T00:00:00Z",
        "max_active_runs": 1,
        "run_backwards": False,
        "dag_run_conf": {},
    }
    api.call("POST", "/backfills", asked)
    until = time.monotonic() + 600
    while True:
        runs = api.call("GET", f"/dags/{SITE}/dagRuns?run_type=backfill&limit=10")["dag_runs"]
        if len(runs) == 3 and all(r["state"] in ("success", "failed") for r in runs):
            break
        assert time.monotonic() < until, runs
        time.sleep(1)
    assert [r["state"] for r in runs] == ["success"] * 3, log_of(home, SITE, runs[0]["dag_run_id"])
    assert sorted(r["partition_key"] for r in runs) == [str(first), str(first.replace(day=first.day + 1)), str(last)]
    version, hashes = lake.version("silver.events"), worlds.hashes(lake, ("silver",))
    run, state = run_range(api, SITE, first, last)
    assert state == "success", log_of(home, SITE, run)
    assert (lake.version("silver.events"), worlds.hashes(lake, ("silver",))) == (version, hashes)


def test_a_killed_task_stops_its_work_and_the_next_run_goes_on(airflow):
    api, _, home = airflow
    dag = "ingest_sandbox_marketing"
    run = api.trigger(dag, {"from": str(worlds.FIRST), "to": str(worlds.LAST)})
    until = time.monotonic() + 300
    while not (
        working := [p for p in psutil.process_iter(["cmdline"]) if {"silver", "sandbox_marketing", "run"} <= set(p.info["cmdline"] or ())]
    ):
        assert time.monotonic() < until, api.tasks(dag, run)
        time.sleep(0.5)
    time.sleep(6)
    api.call("PATCH", f"/dags/{dag}/dagRuns/{urllib.parse.quote(run)}/taskInstances/conform", {"new_state": "failed"})
    _, alive = psutil.wait_procs(working, timeout=30)
    assert not alive
    assert finished(api, dag, run) == "failed"
    again, state = run_range(api, dag, worlds.FIRST, worlds.LAST)
    assert state == "success", log_of(home, dag, again)


def test_every_task_is_green_and_the_tables_are_those_of_one_process(airflow, built):
    api, lake, home = airflow
    for dag in ("ingest_sandbox_shop", "ingest_sandbox_marketing", SITE, BUILD):
        run, state = run_range(api, dag, worlds.FIRST, worlds.LAST)
        assert state == "success", log_of(home, dag, run)
        assert {t["state"] for t in api.tasks(dag, run)} == {"success"}
    assert worlds.hashes(lake) == worlds.hashes(built[0])
    page = (home / "report.html").read_text(encoding="utf-8")
    assert "channel_daily" in page and os.fspath(home) not in page


def test_a_bi_tool_reads_gold_by_name_over_jdbc(airflow, running):
    found, lake, home = running
    who = ["-n", doors.JDBC_USER, "-w", str(home / doors.JDBC_PASSWORD)]
    words = [str(services.BIN / "beeline"), "-u", found.jdbc_url, *who, "--silent=true", "--outputformat=csv2", "--showHeader=false"]
    words += ["-e", "select count(*), sum(revenue_amount) from gold.channel_daily"]
    done = subprocess.run(words, env=services.base_env(found.mark), capture_output=True, text=True, timeout=300)
    rows, revenue = done.stdout.split()[-1].split(",")
    row = lake.read("gold.channel_daily").selectExpr("count(*)", "sum(revenue_amount)").first()
    assert (int(rows), Decimal(revenue)) == tuple(row), done.stderr[-2000:]


def test_a_campaign_backfill_says_what_it_would_do_then_does_it(airflow, built):
    api, lake, _ = airflow
    asked = {"campaign": "spring", "from": str(worlds.FIRST), "to": str(worlds.LAST), "sources": list(worlds.SOURCES)}
    for is_dry, states in ((True, {"success", "skipped"}), (False, {"success"})):
        run = api.trigger(BACKFILL, {**asked, "dry_run": is_dry})
        assert finished(api, BACKFILL, run) == "success"
        assert {t["state"] for t in api.tasks(BACKFILL, run)} == states
    assert worlds.hashes(lake) == worlds.hashes(built[0])


def test_a_broken_delivery_is_red_without_a_retry_and_green_after_its_repair(airflow, built):
    api, lake, home = airflow
    path = sorted((home / "drops/sandbox_site/events").glob("*.jsonl.gz"))[-1]
    good, before = worlds.break_delivery(path), lake.version("silver.events")
    run, state = run_range(api, SITE, worlds.LAST, worlds.LAST)
    assert state == "failed"
    (conform,) = [t for t in api.tasks(SITE, run) if t["task_id"] == "conform"]
    assert (conform["state"], conform["try_number"]) == ("failed", 1)
    assert "set_aside_share" in log_of(home, SITE, run)
    assert lake.version("silver.events") == before
    links = api.call("GET", f"/dags/{SITE}/dagRuns/{urllib.parse.quote(run)}/taskInstances/conform/links")["extra_links"]
    assert links["Report"].endswith("/throughline/report")
    assert "set_aside_share" in (home / "report.html").read_text(encoding="utf-8")
    path.write_bytes(good)
    run, state = run_range(api, SITE, worlds.LAST, worlds.LAST)
    assert state == "success", log_of(home, SITE, run)
    assert worlds.hashes(lake) == worlds.hashes(built[0])

"""The main job, through Airflow itself: start the services, trigger the DAGs over its API, show what came out."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from conf.settings import REPOSITORY, home, platform
from spark_jobs.embedded import services
from spark_jobs.embedded.airflow_api import AirflowApi
from spark_jobs.embedded.doctor import findings
from spark_jobs.errors import ThroughlineError
from spark_jobs.report.tables import connect, records

# piped output has no width of its own: wide enough for the tables
out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 132)
BUILD, ORDERS = "build_daily", "build_orders"
PEOPLE, DAYS, SEED = 2_000, 30, 7
# every home has its own last day of the sandbox world, kept from its first demo on
WORLD_END = "world_end.txt"
FIRST_CHART = (ORDERS, "report")
ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")
MARKS = {
    "success": "[green]done[/]",
    "failed": "[red]FAILED[/]",
    "running": "[yellow]running[/]",
    "upstream_failed": "[red]not run[/]",
    "up_for_retry": "[yellow]will retry[/]",
}


@dataclass(frozen=True)
class Stage:
    """One DAG run to make: its DAG and its inclusive range of days."""

    dag_id: str
    first: dt.date
    last: dt.date


def preflight() -> None:
    """Raises ThroughlineError with one sentence per thing that must be mended before anything starts."""
    if state := services.running_state():
        raise ThroughlineError(
            f"services already run for {home()} (process {state['starter_pid']}); stop them with Ctrl-C there, or set another THROUGHLINE_HOME."
        )
    fatal = [f for f in findings() if f.fix and f.is_fatal]
    if fatal:
        raise ThroughlineError(" ".join(f"{f.name}: {f.seen}; {f.fix}." for f in fatal))


def begin_world() -> tuple[subprocess.Popen[str] | None, dt.date, dt.date]:
    """Start making the sandbox's drop files, once per home; returns the process, the first and the last day."""
    note, making = home() / WORLD_END, None
    if note.is_file():
        last = dt.date.fromisoformat(note.read_text(encoding="utf-8").strip())
    else:
        last = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
        words = [
            "make",
            "--out",
            str(home() / "drops"),
            "--people",
            str(PEOPLE),
            "--days",
            str(DAYS),
            "--until",
            str(last),
            "--seed",
            str(SEED),
        ]
        making = subprocess.Popen(
            [sys.executable, "-m", "connectors", "sandbox", *words],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    return making, last - dt.timedelta(days=DAYS - 1), last


def finish_world(making: subprocess.Popen[str] | None, last: dt.date) -> None:
    if making is None:
        return
    _, errors = making.communicate()
    if making.returncode:
        raise ThroughlineError(f"the sandbox world could not be made: {errors[-500:]}")
    (home() / WORLD_END).write_text(str(last), encoding="utf-8")


def demo(once: bool = False) -> int:
    """`make demo`: the sandbox world from files to report. Returns the exit code."""
    preflight()
    home().mkdir(parents=True, exist_ok=True)
    os.environ.pop("THROUGHLINE_DATA", None)
    making, first, last = begin_world()
    out.print(f"A sandbox shop of {PEOPLE:,} people, {first} to {last}, in {home() / 'drops'}")
    # the shop first: its orders bring the first chart, and what marketing spent wants its exchange rates
    waves = [["ingest_sandbox_shop"], [ORDERS, "ingest_sandbox_marketing", "ingest_sandbox_site"], [BUILD]]
    stages = [[Stage(dag_id, first, last) for dag_id in wave] for wave in waves]
    try:
        return run_stages(stages, once, lambda: finish_world(making, last), small=True)
    finally:
        if making is not None and making.poll() is None:
            making.kill()


def real(data: Path, once: bool = False) -> int:
    """`make real`: three real sources dropped as files, each in one range run. Returns the exit code."""
    preflight()
    data = data.resolve()
    if not (data / "online_retail.parquet").is_file():
        raise ThroughlineError(f"{data} holds no online_retail.parquet: give the folder of the real data with DATA=")
    home().mkdir(parents=True, exist_ok=True)
    os.environ["THROUGHLINE_DATA"] = str(data)
    day = dt.date.fromisoformat
    ingests = [
        Stage("ingest_online_retail", day("2010-12-01"), day("2011-12-09")),
        # the last evening of 2017 in New York is 2018 in UTC
        Stage("ingest_complete_journey", day("2017-01-01"), day("2018-01-01")),
        Stage("ingest_web_access", day("2015-05-17"), day("2015-05-20")),
    ]
    return run_stages([ingests, [Stage(BUILD, day("2010-12-01"), day("2018-01-01"))]], once)


def up() -> int:
    """`make up`: the services alone, until Ctrl-C; due days start by themselves."""
    preflight()
    with services.running(warn, schedule=True) as found:
        register(found)
        show_addresses(found)
        wait_for_interrupt()
    return 0


def warn(sentence: str) -> None:
    out.print(f"[yellow]{sentence}[/]")


def register(found: services.Services) -> None:
    """JDBC clients see the gold tables by name."""
    env = {**os.environ, "SPARK_REMOTE": f"{found.remote}/;user_id=throughline", services.MARK: found.mark}
    subprocess.run([sys.executable, "-m", "spark_jobs", "register"], cwd=REPOSITORY, env=env, capture_output=True, check=False)


def run_stages(waves: Sequence[Sequence[Stage]], once: bool, prepare: Callable[[], None] = lambda: None, small: bool = False) -> int:
    """Run the waves one after another, the stages of a wave together; then show what came out. prepare: done before the first wave."""
    clock = time.monotonic()
    before = versions()
    out.print("starting Airflow and the Spark server …")
    with services.running(warn, small=small) as found:
        parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in found.seconds.items())
        out.print(f"services up after {time.monotonic() - clock:.0f} s ({parts})")
        prepare()
        api = AirflowApi(found.airflow_url)
        api.end_unfinished_runs()
        # consumers before producers
        for stage in reversed([stage for wave in waves for stage in wave]):
            api.wait_for_dag(stage.dag_id)
            api.unpause(stage.dag_id)
        is_good = all(run_wave(api, wave, clock) for wave in waves)
        seconds = time.monotonic() - clock
        if is_good:
            show_results(versions() == before, seconds)
        show_addresses(found)
        if not (once or not sys.stdin.isatty() or not sys.stdout.isatty()):
            register(found)
            out.print("Everything stays up until Ctrl-C.")
            wait_for_interrupt()
    return 0 if is_good else 1


def wait_for_interrupt() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def run_wave(api: AirflowApi, stages: Sequence[Stage], begun: float) -> bool:
    """Trigger the DAGs of one wave and watch them to their end; True when all succeeded. begun: when the first wave's clock began."""
    runs = []
    for stage in stages:
        runs.append((stage.dag_id, api.trigger(stage.dag_id, {"from": str(stage.first), "to": str(stage.last)})))
    seen: dict[tuple[str, str], str] = {}
    facts: dict[tuple[str, str], str] = {}
    with live_table() as show:
        while True:
            rows = []
            for task in (task for run in runs for task in api.tasks(*run)):
                dag_id, task_id, state = task["dag_id"], task["task_id"], task["state"] or "waiting"
                if state == "success" and (dag_id, task_id) not in facts:
                    facts[dag_id, task_id] = rows_said(api.result(dag_id, task["dag_run_id"], task_id))
                    if (dag_id, task_id) == FIRST_CHART:
                        facts[dag_id, task_id] = f"first chart after {time.monotonic() - begun:.0f} s: {(home() / 'report.html').as_uri()}"
                rows.append((dag_id, task_id, state, task["duration"], facts.get((dag_id, task_id), ""), task["start_date"] or "9"))
            show(sorted(rows, key=lambda r: (r[0], r[5])), seen)
            if rows and all(row[2] in ENDED for row in rows):
                states = [api.run_state(dag_id, run_id) for dag_id, run_id in runs]
                if all(state in ("success", "failed") for state in states):
                    break
            # each question costs the API server more than the answer is worth to who waits
            time.sleep(1.5)
    for (dag_id, run_id), state in zip(runs, states, strict=True):
        if state == "failed":
            for task in api.tasks(dag_id, run_id):
                if task["state"] == "failed":
                    logs = home() / "airflow" / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task['task_id']}"
                    out.print(f"[red]{dag_id}.{task['task_id']} failed[/]; its log is in {logs}")
    return all(state == "success" for state in states)


def rows_said(result: dict[str, int]) -> str:
    """A task's last line as words."""
    if "rows_in" in result:
        extra = "".join(f", {result[k]:,} {k}" for k in ("duplicates", "late", "quarantined") if result.get(k))
        return f"{result['rows_in']:,} in, {result['rows_out']:,} out{extra}; {result['wrote']} of {result['tables']} tables written"
    if "records" in result:
        return f"{result['records']:,} records landed" if result["landed"] else "nothing new"
    return Path(result["report"]).name if "report" in result else ""


@contextlib.contextmanager
def live_table() -> Iterator[Callable[..., None]]:
    """A table that is redrawn on a terminal; elsewhere one line per finished task."""
    if out.is_terminal:
        with Live(console=out, refresh_per_second=4) as live:

            def draw(rows: list[tuple[str, str, str, float | None, str, str]], _: dict[tuple[str, str], str]) -> None:
                table = Table("stage", "task", "state", "seconds", "rows", box=None, pad_edge=False)
                for dag_id, task, state, seconds, said, _start in rows:
                    table.add_row(dag_id, task, MARKS.get(state, state), f"{seconds:.1f}" if seconds else "", said)
                live.update(table)

            yield draw
        return

    def tell(rows: list[tuple[str, str, str, float | None, str, str]], seen: dict[tuple[str, str], str]) -> None:
        for dag_id, task, state, seconds, said, _start in rows:
            if state in ("success", "failed", "upstream_failed") and seen.get((dag_id, task)) != state:
                seen[(dag_id, task)] = state
                out.print(f"{dag_id:<26} {task:<12} {state:<8} {seconds or 0:6.1f} s  {said}")

    yield tell


def versions() -> dict[str, int]:
    """The newest version of every table of the lake but those that record the runs themselves."""
    lake = Path(platform().lake)
    logs = [p for p in lake.glob("*/*/_delta_log") if p.parts[-3] != "ops"]
    return {"/".join(p.parts[-3:-1]): max((int(f.name[:20]) for f in p.glob("[0-9]*.json")), default=-1) for p in logs}


def show_results(nothing_changed: bool, seconds: float) -> None:
    """Channel × model revenue, people, segments and gates, read without Spark."""
    lake, money = platform().lake, platform().reporting_currency
    gold = connect(lake, ["gold.channel_daily", "gold.people", "gold.segments_daily", "ops.quality_results", "ops.ledger"])
    revenue = records(gold, "select channel, model, sum(revenue_amount) as revenue from gold_channel_daily group by all order by channel")
    models = sorted({r["model"] for r in revenue})
    table = Table("channel", *models, title=f"revenue by channel and model, {money}", title_justify="left")
    for channel in sorted({r["channel"] for r in revenue}):
        by_model = {r["model"]: r["revenue"] for r in revenue if r["channel"] == channel}
        table.add_row(channel, *(f"{by_model.get(m, 0):,.2f}" for m in models))
    totals = {m: sum(r["revenue"] for r in revenue if r["model"] == m) for m in models}
    table.add_section()
    table.add_row("all", *(f"{totals[m]:,.2f}" for m in models))
    out.print(table)
    people = records(
        gold, "select count(*) as people, count(*) filter (is_known) as known, sum(identifiers) as identifiers from gold_people"
    )[0]
    out.print(f"people     {people['people']:,}, {people['known']:,} of them known, from {int(people['identifiers'] or 0):,} identifiers")
    segments = records(
        gold, "select segment, arg_max(members, day) as members from gold_segments_daily group by all order by members desc limit 8"
    )
    out.print("segments   " + (", ".join(f"{s['segment']} {s['members']:,}" for s in segments) or "none"))
    checks = records(
        gold,
        "select count(*) as all_checks, count(*) filter (not passed and severity = 'block') as blocked, count(*) filter (not passed and severity <> 'block') as said from ops_quality_results",
    )[0]
    ledger = records(
        gold, "select count(*) as runs, count(*) filter (not is_closed) as open, sum(quarantined) as quarantined from ops_ledger"
    )[0]
    out.print(
        f"gates      {checks['all_checks']:,} checks: {checks['blocked']:,} blocked, {checks['said']:,} set rows aside or warned; {ledger['runs'] - ledger['open']:,} of {ledger['runs']:,} ledgers closed"
    )
    out.print(f"{'nothing changed: no table was rewritten' if nothing_changed else 'done'} after {seconds:.0f} s")


def show_addresses(found: services.Services) -> None:
    out.print(f"Airflow    {found.airflow_url}")
    out.print(f"report     {(home() / 'report.html').as_uri()}  (in Airflow: {found.airflow_url}/throughline/report)")
    out.print(f"JDBC       {found.jdbc_url}")

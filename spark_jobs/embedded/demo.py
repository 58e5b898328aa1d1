"""The main job, through Airflow itself: start the services, trigger the DAGs over its API, show what came out."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.live import Live

from conf import doors
from conf.settings import REPOSITORY, accounts_of, home, made, platform, source_names
from spark_jobs.embedded import services
from spark_jobs.embedded.airflow_api import AirflowApi
from spark_jobs.embedded.doctor import findings
from spark_jobs.errors import ThroughlineError
from spark_jobs.printing import cell, console, listing
from spark_jobs.report.tables import connect, records

out = console()
BUILD, ORDERS = "build_daily", "build_orders"
PEOPLE, DAYS, SEED = 2_000, 30, 7
# every home has its own last day of the sandbox world, kept from its first demo on
WORLD_END = "world_end.txt"
FIRST_CHART = (ORDERS, "report")
ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")
MARKS = {
    "success": ("done", "green"),
    "failed": ("FAILED", "red"),
    "running": ("running", "yellow"),
    "upstream_failed": ("not run", "red"),
    "up_for_retry": ("will retry", "yellow"),
}
# what a newcomer may look at when everything is built: a command and what it shows
NEXT = (
    ("make status", "services, last runs, freshness, what waits in quarantine"),
    (".venv/bin/python -m spark_jobs quarantine list", "what was set aside, and why"),
    (".venv/bin/python -m spark_jobs explain table gold.channel_daily", "what a table holds, where it comes from, its last runs"),
    (
        ".venv/bin/python -m spark_jobs run attribution+ --from {last} --to {last} --force",
        "a day credited again, and all that follows from it",
    ),
)


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


def begin_world(vendors: Sequence[str]) -> tuple[subprocess.Popen[str] | None, dt.date, dt.date]:
    """Start making the sandbox's drop files, once per home; returns the process, the first and the last day."""
    note, making = home() / WORLD_END, None
    said = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", said):
        last = dt.date.fromisoformat(said)
    else:
        last = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
        words = [
            "make",
            "--out",
            str(made(home() / "drops")),
            "--apis",
            str(services.apis()),
            *(word for name in vendors for word in ("--vendor", name)),
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
    files = [path for path in (home() / "drops").rglob("*") if path.is_file()]
    out.print(f"the shop's files are made: {len(files):,}, {sum(path.stat().st_size for path in files) / 1e6:.0f} MB")
    if (services.apis() / "sendgrid").is_dir():
        out.print(f"e-mail events sent by a signed webhook, received and landed: {deliver():,}")


def deliver() -> int:
    """Have the sandbox's SendGrid send its events to a receiver, which lands them; returns how many it sent."""
    connections = json.loads((services.apis() / services.CONNECTIONS).read_text(encoding="utf-8"))
    # of this user's processes alone, as the connection is elsewhere
    env = {**os.environ, **connections}
    words = [sys.executable, "-m", "connectors"]
    with subprocess.Popen(
        [*words, "receive", "sendgrid", "--port", "0"], cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, text=True
    ) as receiver:
        try:
            assert receiver.stdout is not None
            (to,) = json.loads(receiver.stdout.readline())["urls"].values()
            sending = [*words, "sandbox", "deliver", "--apis", str(services.apis()), "--url", to]
            sent = subprocess.run(sending, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)
        finally:
            # it lands what came before it ends
            receiver.terminate()
    if sent.returncode:
        raise ThroughlineError(f"the sandbox's events could not be sent: {sent.stderr[-500:]}")
    return int(json.loads(sent.stdout)["events"])


def demo(once: bool = False, chosen: Sequence[str] = ()) -> int:
    """`make demo`: the sandbox world from files and APIs to report. chosen: whose APIs; by default all. Returns the exit code."""
    known = [name for name in source_names() if accounts_of(name)]
    if unknown := sorted(set(chosen) - set(known)):
        raise ThroughlineError(f"no API of {', '.join(unknown)} is served; there are {', '.join(known)}")
    preflight()
    made(home())
    os.environ.pop("THROUGHLINE_DATA", None)
    # before the services start: they serve its vendors
    made(services.apis())
    making, first, last = begin_world(chosen)
    out.print(f"A sandbox shop of {PEOPLE:,} people, {first} to {last}, in {home() / 'drops'}")
    # the shop first: its orders bring the first chart, and what marketing spent wants its exchange rates; the vendors wait until it is there
    vendors = [f"ingest_{name}" for name in known if name in (chosen or known)]
    waves = [["ingest_sandbox_shop"], [ORDERS, "ingest_sandbox_marketing", "ingest_sandbox_site"], vendors, [BUILD]]
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
    made(home())
    os.environ["THROUGHLINE_DATA"] = str(data)
    day = dt.date.fromisoformat
    ingests = [
        Stage("ingest_online_retail", day("2010-12-01"), day("2011-12-09")),
        # the last evening of 2017 in New York is 2018 in UTC
        Stage("ingest_complete_journey", day("2017-01-01"), day("2018-01-01")),
        Stage("ingest_web_access", day("2015-05-17"), day("2015-05-20")),
    ]
    return run_stages([ingests, [Stage(BUILD, day("2010-12-01"), day("2018-01-01"))]], once)


def up(profile: str = "embedded") -> int:
    """`make up`: the services alone, until Ctrl-C; due days start by themselves. profile: embedded or full."""
    if profile not in services.PROFILES:
        raise ThroughlineError(f"{profile!r} is no profile; there are {' and '.join(services.PROFILES)}: make up PROFILE=full")
    preflight()
    with services.running(warn, schedule=True, profile=profile) as found:
        show_addresses(found)
        wait_for_interrupt(found)
    return 0


def warn(sentence: str) -> None:
    out.print(cell(sentence, "yellow"))


def run_stages(waves: Sequence[Sequence[Stage]], once: bool, prepare: Callable[[], None] = lambda: None, small: bool = False) -> int:
    """Run the waves one after another, the stages of a wave together; then show what came out. prepare: done before the first wave."""
    clock = time.monotonic()
    before = versions()
    out.print("starting Airflow and the Spark server: 20 to 40 s, the first time with Airflow's database …")
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
        is_good = all(run_wave(found, api, wave, clock) for wave in waves)
        seconds = time.monotonic() - clock
        if is_good:
            show_results(versions() == before, seconds)
        show_addresses(found)
        if is_good:
            show_next(waves[-1][-1].last)
        if not (once or not sys.stdin.isatty() or not sys.stdout.isatty()):
            out.print("Everything stays up until Ctrl-C.")
            wait_for_interrupt(found)
    return 0 if is_good else 1


def wait_for_interrupt(found: services.Services) -> None:
    """Return at Ctrl-C; until then a service that ends is started again."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            services.tend(found, warn)
            time.sleep(1)


def run_wave(found: services.Services, api: AirflowApi, stages: Sequence[Stage], begun: float) -> bool:
    """Trigger the DAGs of one wave and watch them, and the services, to their end; True when all succeeded. begun: when the first wave's clock
    began."""
    runs = []
    for stage in stages:
        runs.append((stage.dag_id, api.trigger(stage.dag_id, {"from": str(stage.first), "to": str(stage.last)})))
    seen: dict[tuple[str, str], str] = {}
    facts: dict[tuple[str, str], str] = {}
    with live_table() as show:
        answered = time.monotonic()
        while True:
            services.tend(found, warn)
            try:
                tasks = [task for run in runs for task in api.tasks(*run)]
                answered = time.monotonic()
            except OSError as error:
                # it is started again when it ended
                if time.monotonic() - answered > services.START_TIMEOUT_SECONDS:
                    raise ThroughlineError(f"Airflow at {api.url} does not answer ({error}); its logs are in {home() / 'logs'}") from None
                time.sleep(1.5)
                continue
            rows = []
            for task in tasks:
                dag_id, task_id, state = task["dag_id"], task["task_id"], task["state"] or "waiting"
                if state == "success" and (dag_id, task_id) not in facts:
                    facts[dag_id, task_id] = rows_said(api.result(dag_id, task["dag_run_id"], task_id, task["map_index"]))
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
                    out.print(cell(f"{dag_id}.{task['task_id']} failed", "red"), f"its log is in {logs}", sep="; ")
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
                table = listing("stage", "task", "state", "seconds", "rows", numbers=("seconds",), framed=False)
                for dag_id, task, state, seconds, said, _start in rows:
                    table.add_row(dag_id, task, cell(*MARKS.get(state, (state,))), f"{seconds:.1f}" if seconds else "", said)
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
    channels = sorted({r["channel"] for r in revenue})
    amounts = {m: {r["channel"]: r["revenue"] for r in revenue if r["model"] == m} for m in models}
    columns = {m: [f"{x:,.2f}" for x in (*(amounts[m].get(c, 0) for c in channels), sum(amounts[m].values()))] for m in models}
    show_side_by_side(f"revenue by channel and model, {money}", "channel", [*channels, "all"], columns)
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


def show_side_by_side(title: str, head: str, names: Sequence[str], columns: Mapping[str, Sequence[str]]) -> None:
    """A table of numbers below each other, the last row their sum; columns that the terminal has no room for follow in a table of their own."""
    width_of = {name: max(map(len, (name, *cells))) + 3 for name, cells in columns.items()}
    room = out.width - max(map(len, (head, *names))) - 4
    groups: list[list[str]] = [[]]
    for name, width in width_of.items():
        if groups[-1] and sum(width_of[n] for n in groups[-1]) + width > room:
            groups.append([])
        groups[-1].append(name)
    for place, group in enumerate(groups):
        table = listing(head, *group, numbers=tuple(group), title="" if place else title)
        for row, name in enumerate(names):
            if row == len(names) - 1:
                table.add_section()
            table.add_row(cell(name), *(columns[one][row] for one in group))
        out.print(table)


def show_next(last: dt.date) -> None:
    """What to look at now: commands that work as they stand here."""
    prefix = "" if home() == REPOSITORY / ".throughline" else f"THROUGHLINE_HOME={shlex.quote(str(home()))} "
    out.print("Try next:")
    for command, what in NEXT:
        out.print(f"  {prefix}{command.format(last=last)}\n      {what}")


def show_addresses(found: services.Services) -> None:
    out.print(f"Airflow    {found.airflow_url}  (user {doors.AIRFLOW_USER}, password in {home() / doors.AIRFLOW_PASSWORDS})")
    out.print(f"report     {(home() / 'report.html').as_uri()}  (in Airflow: {found.airflow_url}/throughline/report)")
    out.print(f"JDBC       {found.jdbc_url}  (user {doors.JDBC_USER}, password in {home() / doors.JDBC_PASSWORD})")

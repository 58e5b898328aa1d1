"""`make bench-pipeline`: CPU-seconds of the whole process tree from Parquet drops to touchpoints, beside DuckDB and a raw Spark copy.

Each stage is one command of the product, all of them in one process that stays, as services do; its start is in the row `load`. The DuckDB
peer does the same shape on the same files: parse the payload, type, deduplicate, sessions by a 30-minute gap, last touch of each session's
visitor. Then the next day comes: with its own events, with 1 % more of days past, and with these late ones alone; what late data costs is
the difference. And all tables are built by Airflow, beside the same commands without it. QUICK=1: 100,000 events only, without Airflow.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from conf.settings import REPOSITORY
from tests.bench.measure import Sampler, measure
from tests.bench.records import against, keep, row
from tests.whole.worlds import said_later

LAST = dt.date(2026, 3, 31)
FIRST = LAST - dt.timedelta(days=29)
NEXT = LAST + dt.timedelta(days=1)
# what comes on the next day; its own events before and after those with late ones, because a process that goes on gets faster
DELIVERIES = {
    "late events alone": ("late",),
    "next day": ("own",),
    "next day with late events": ("own", "late"),
    "next day again": ("own",),
}
# the sandbox makes about 14.9 events per person in 30 days
SIZES = {"100 k": 6_700, "1 M": 67_000, "10 M": 670_000}
STAGES = {
    "load": ["load", "sandbox_site"],
    "conform": ["run", "silver.events"],
    "identity": ["run", "identity"],
    "journeys": ["run", "journeys.sessions", "journeys.touchpoints"],
}
# the whole way as the DAGs take it
EVERYTHING = {
    "load": ["load", "sandbox_site"],
    "conform": ["run", "silver", "--source", "sandbox_site"],
    **{layer: ["run", layer, "--changed"] for layer in ("identity", "journeys", "attribution", "segments", "gold")},
}
AIM, ORCHESTRATION, UNCHANGED, LATE = 6.0, 1.3, 0.05, 0.05
# above it Airflow's share is too small to be worth an hour
ORCHESTRATED_UP_TO = 2_000_000

DUCKDB = """
import duckdb, sys
c = duckdb.connect(); c.execute("SET threads=2; SET TimeZone='UTC'")
c.execute(f'''
create table events as
  select * from (
    select payload->>'id' id, try_cast(payload->>'event_at' as timestamptz) at_, try_cast(payload->>'received_at' as timestamptz) received,
           payload->>'event' as name, coalesce(payload->>'user_id', payload->>'anonymous_id') visitor, payload->>'$.page.url' url,
           lower(payload->>'$.campaign.source') source_, lower(payload->>'$.campaign.medium') medium, payload->>'$.click.type' click,
           try_cast(payload->>'value' as decimal(18,2)) value_, sha256(payload) body
    from read_parquet('{sys.argv[1]}/**/*.parquet') where json_valid(payload))
  where id is not null qualify row_number() over (partition by id, body order by received) = 1;
create table sessions as
  select visitor, session, min(at_) began, max(at_) ended, count(*) events, arg_min(source_, at_) source_, arg_min(medium, at_) medium
  from (select *, sum(is_new) over (partition by visitor order by at_) as session
        from (select *, (coalesce(at_ - lag(at_) over (partition by visitor order by at_) > interval 30 minute, true))::int is_new from events))
  group by all;
create table last_touch as
  select s.*, last_value(source_ ignore nulls) over (partition by visitor order by began) touched from sessions s;
copy events to '{sys.argv[2]}/events.parquet'; copy sessions to '{sys.argv[2]}/sessions.parquet'; copy last_touch to '{sys.argv[2]}/touch.parquet';
''')
print(c.execute('select count(*) from events').fetchone()[0])
"""
RAW_SPARK = """
import sys
from spark_jobs.io.session import get_session
spark = get_session('raw')
spark.read.parquet(*sys.argv[3:]).write.format('delta').save(sys.argv[2])
"""
AIRFLOW = """
import datetime as dt, sys
from spark_jobs.embedded.demo import Stage, run_stages
days = [dt.date.fromisoformat(day) for day in sys.argv[1:]]
sys.exit(run_stages([[Stage(dag_id, *days)] for dag_id in ("ingest_sandbox_site", "build_daily")], once=True))
"""


def spark_work(home: Path) -> dict[str, int]:
    """Files and bytes of the lake's data."""
    files = [p for p in (home / "lake").rglob("*.parquet") if "_delta_log" not in p.parts]
    return {"files": len(files), "bytes": sum(p.stat().st_size for p in files)}


def late_events(drops: Path, share: float) -> pa.Table:
    """As many events of the last two days as `share` of all, said once more and received on the next day."""
    files = sorted(drops.rglob("*.parquet"))
    wanted = int(sum(pq.read_metadata(f).num_rows for f in files) * share)
    found = pa.concat_tables(pq.read_table(f, columns=["payload"]) for f in files[-2:])["payload"].to_pylist()
    chosen = found[:: max(1, len(found) // wanted)]
    return pa.table({"payload": [said_later(text, NEXT) for text in chosen if text.startswith('{"id"') and text.endswith("}")]})


class OneProcess:
    """The product's commands in one process, which stays as services do: only the first command pays for the JVM's start."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.home = Path(env["THROUGHLINE_HOME"])
        command = [sys.executable, "-m", "tests.bench.stages"]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.sampler = Sampler(self.process.pid)
        self.sampler.start()

    def go_to(self, home: Path) -> None:
        """Everything after is done in this home."""
        self.home = home
        self.ask({"home": str(home)})

    def ask(self, said: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()
        answer = next((line for line in self.process.stdout if line.startswith('{"cpu_seconds"')), None)
        if answer is None:
            raise RuntimeError(f"{said} ended with {self.process.wait()}")
        return dict(json.loads(answer))

    def run(self, stages: Mapping[str, list[str]], days: list[str]) -> dict[str, dict[str, Any]]:
        """Each stage's CPU-seconds, Spark jobs, new files and bytes of the lake, and the process's peak so far. Raises RuntimeError when a
        stage fails."""
        found: dict[str, dict[str, Any]] = {}
        for stage, command in stages.items():
            before = spark_work(self.home)
            said = self.ask([*command, *days])
            grown = {what: amount - before[what] for what, amount in spark_work(self.home).items()}
            found[stage] = {**said, **grown, "peak_mb": round(self.sampler.peak)}
        return found

    def __enter__(self) -> OneProcess:
        return self

    def __exit__(self, *_: object) -> None:
        # at the end of its input it ends
        self.process.communicate()
        self.sampler.done.set()


def orchestration(events: int, drops: Path, root: Path) -> dict[str, Any]:
    """All tables and the report by Airflow, from nothing to the services' end, beside the same commands in one process."""
    days, python, homes = ["--from", str(FIRST), "--to", str(LAST)], [sys.executable, "-m"], {}
    for kind in ("alone", "airflow"):
        homes[kind] = {"THROUGHLINE_HOME": str(root / kind), "PYTHONPATH": str(REPOSITORY)}
        shutil.copytree(drops, root / kind / "drops", copy_function=os.link)
    pulled = measure([*python, "connectors", "pull", "sandbox_site", *days], homes["alone"], REPOSITORY)
    with OneProcess(homes["alone"]) as services:
        done = [*services.run(EVERYTHING, days).values(), *services.run({"report": ["report"]}, []).values()]
    alone = pulled.cpu_seconds + sum(stage["cpu_seconds"] for stage in done)
    by_airflow = measure([sys.executable, "-c", AIRFLOW, str(FIRST), str(LAST)], homes["airflow"], REPOSITORY)
    return against(row("all tables and the report, by Airflow", events, by_airflow), "one process", alone, ORCHESTRATION, 2)


def deliver(delivery: tuple[str, ...], tables: Mapping[str, pa.Table], home: Path, env: Mapping[str, str]) -> None:
    """The next day's file with these events, landed."""
    folder = next((home / "drops").rglob("*.parquet")).parent
    pq.write_table(pa.concat_tables(tables[kind] for kind in delivery), folder / f"{NEXT}.parquet")
    words = ["connectors", "pull", "sandbox_site", "--from", str(NEXT), "--to", str(NEXT)]
    measure([sys.executable, "-m", *words], {**env, "THROUGHLINE_HOME": str(home)}, REPOSITORY)


def one_size(label: str, people: int, root: Path) -> list[dict[str, Any]]:
    home, drops = root / "home", root / "home" / "drops"
    env = {"THROUGHLINE_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    days = ["--from", str(FIRST), "--to", str(LAST)]
    words = ["--out", str(drops), "--people", str(people), "--days", "31", "--until", str(NEXT), "--events-only", "--parquet"]
    python = [sys.executable, "-m"]
    made = measure([*python, "connectors", "sandbox", "make", *words], env, REPOSITORY)
    (next_day,) = drops.rglob(f"{NEXT}.parquet")
    own = pq.read_table(next_day, columns=["payload"])
    next_day.unlink()
    files = [str(p) for p in sorted(drops.rglob("*.parquet"))]
    events = sum(pq.read_metadata(f).num_rows for f in files)
    measure([*python, "connectors", "pull", "sandbox_site", *days], env, REPOSITORY)
    out = root / "peer"
    out.mkdir()
    duck = measure([sys.executable, "-c", DUCKDB, str(drops), str(out)], env, REPOSITORY)
    raw = measure([sys.executable, "-c", RAW_SPARK, "", str(root / "raw"), *files], env, REPOSITORY)
    rows = [row("make", events + len(own), made), row("DuckDB: the same shape", events, duck), row("Spark: read and write", events, raw)]
    if events <= ORCHESTRATED_UP_TO and not os.environ.get("QUICK"):
        rows.append(orchestration(events, drops, root))
    turns: dict[str, dict[str, dict[str, Any]]] = {}
    with OneProcess(env) as services:
        turns["first"] = services.run(STAGES, days)
        turns["unchanged"] = services.run(STAGES, days)
        tables = {"own": own, "late": late_events(drops, 0.01)}
        changed = {stage: [*command, *(["--changed"] if command[0] == "run" else [])] for stage, command in STAGES.items()}
        for number, (turn, delivery) in enumerate(DELIVERIES.items()):
            copy = root / f"home-{number}"
            # no file of a lake is ever changed in its place
            shutil.copytree(home, copy, copy_function=os.link)
            deliver(delivery, tables, copy, env)
            services.go_to(copy)
            turns[turn] = services.run(changed, ["--from", str(NEXT), "--to", str(NEXT)])
    for turn, found in turns.items():
        rows += [{**row(stage if turn == "first" else f"{stage}, {turn}", events, None), **figures} for stage, figures in found.items()]
    total = {turn: sum(f["cpu_seconds"] for f in found.values()) for turn, found in turns.items()}
    whole = {**row("whole", events, None), "cpu_seconds": round(total["first"], 1)}
    whole |= {what: sum(found[what] for found in turns["first"].values()) for what in ("spark_jobs", "files", "bytes")}
    rows.append(against(whole, "DuckDB", duck.cpu_seconds, AIM))
    from_bronze = sum(turns["first"][stage]["cpu_seconds"] for stage in ("conform", "identity", "journeys"))
    rows.append(
        {
            **row("bronze to journeys", events, None),
            "cpu_seconds": round(from_bronze, 1),
            "events_per_cpu_second": round(events / from_bronze),
        }
    )
    for turn in ("unchanged", *DELIVERIES):
        line = {**row(f"whole, {turn}", events, None), "cpu_seconds": round(total[turn], 1)}
        rows.append(against(line, "first run", total["first"], UNCHANGED, 3) if turn == "unchanged" else line)
    late = {**row(f"{len(tables['late']) / events:.1%} of the events, late", events, None)}
    late["cpu_seconds"] = round(total["next day with late events"] - (total["next day"] + total["next day again"]) / 2, 1)
    rows.append(against(late, "first run", total["first"], LATE, 3))
    return rows


def main() -> None:
    wanted = os.environ.get("SIZES", "100 k" if os.environ.get("QUICK") else "100 k,1 M,10 M").split(",")
    rows: list[dict[str, Any]] = []
    for label in wanted:
        root = Path(tempfile.mkdtemp(prefix="throughline-bench-"))
        try:
            rows += one_size(label, SIZES[label], root)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    keep("pipeline", rows, ("pyspark", "delta-spark", "duckdb"))


if __name__ == "__main__":
    main()

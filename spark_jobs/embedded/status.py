"""`make status`: services, last runs, freshness against deadlines, open quarantine, versions; read without Spark."""

from __future__ import annotations

import datetime as dt
import importlib.metadata

from conf.settings import home, platform
from spark_jobs.embedded.doctor import key_finding
from spark_jobs.embedded.services import HOST, ailments, running_state
from spark_jobs.printing import cell, console, listing
from spark_jobs.report.health import open_quarantine, table_health


def status() -> None:
    """Everything an operator asks first."""
    out, now, lake = console(), dt.datetime.now(dt.UTC), platform().lake
    out.print(f"home       {home()}")
    for line, style in services_said():
        out.print(cell(line, style))
    key = key_finding(lake)
    out.print(cell(f"key        {key.seen}{f': {key.fix}' if key.fix else ''}", "red" if key.fix else ""))
    packages = ("apache-airflow", "pyspark", "delta-spark", "great-expectations")
    out.print("versions   " + " · ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))
    counts = ("rows", "open quarantine")
    shown = listing("table", "state", "last success (UTC)", *counts, numbers=counts, framed=False)
    colours = {"ok": "green", "late": "yellow", "failed": "red", "lost": "red"}
    lost: dict[str, str] = {}
    waiting = open_quarantine(lake)
    for health in table_health(lake, now, waiting):
        last = f"{health.last_success_at:%Y-%m-%d %H:%M}" if health.last_success_at else "never"
        shown.add_row(
            cell(health.table),
            cell(health.status, colours.get(health.status, "dim")),
            last,
            f"{health.rows:,}" if health.rows is not None else "",
            f"{health.open_quarantine:,}" if health.open_quarantine else "",
        )
        if health.status == "lost":
            lost[health.table] = health.error or ""
    out.print(shown)
    for name, what in lost.items():
        out.print(cell(f"lost       {name}: {what}", "red"))
    for row in waiting:
        out.print(cell(f"quarantine {row['table']}: {row['rows']:,} rows, {row['reason']} {row['source']}"))


def services_said() -> list[tuple[str, str]]:
    """What each service says about itself, and what to do about one that does not answer: (line, style)."""
    found = running_state()
    if found is None:
        return [("services   down (make demo or make up starts them)", "")]
    ports = found["ports"]
    addresses = (
        f"Airflow http://{HOST}:{ports['airflow']} · Spark Connect sc://{HOST}:{ports['connect']} · jdbc:hive2://{HOST}:{ports['jdbc']}"
    )
    if not found.get("is_ready"):
        return [(f"services   starting: {addresses}", "yellow")]
    ill = {name: what for name, what in ailments(found).items() if what}
    if not ill:
        return [(f"services   up: {addresses}", "")]
    mend = f"process {found['starter_pid']} starts what ended again by itself; where that does not help, end it with Ctrl-C and `make up`"
    return [
        (f"services   NOT WELL: {', '.join(ill)}; {mend}", "red"),
        *((f"           {name}: {what}; its log is {home() / 'logs' / name}.log", "red") for name, what in ill.items()),
    ]

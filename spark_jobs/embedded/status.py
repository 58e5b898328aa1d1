"""`make status`: services, last runs, freshness against deadlines, open quarantine, versions; read without Spark."""

from __future__ import annotations

import datetime as dt
import importlib.metadata

from rich.console import Console
from rich.table import Table

from conf.settings import home, platform
from spark_jobs.embedded.services import HOST, running_state
from spark_jobs.report.health import open_quarantine, table_health


def status() -> None:
    """Everything an operator asks first."""
    out, now = Console(), dt.datetime.now(dt.UTC)
    found, lake = running_state(), platform().lake
    out.print(f"home       {home()}")
    if found is None:
        out.print("services   down (make demo or make up starts them)")
    else:
        ports = found["ports"]
        out.print(
            f"services   up: Airflow http://{HOST}:{ports['airflow']} · Spark Connect sc://{HOST}:{ports['connect']} · jdbc:hive2://{HOST}:{ports['jdbc']}"
        )
    packages = ("apache-airflow", "pyspark", "delta-spark", "great-expectations")
    out.print("versions   " + " · ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))
    shown = Table("table", "state", "last success (UTC)", "rows", "open quarantine", box=None, pad_edge=False)
    colours = {"ok": "green", "late": "yellow", "failed": "red"}
    waiting = open_quarantine(lake)
    for health in table_health(lake, now, waiting):
        last = f"{health.last_success_at:%Y-%m-%d %H:%M}" if health.last_success_at else "never"
        state = f"[{colours.get(health.status, 'dim')}]{health.status}[/]"
        shown.add_row(
            health.table,
            state,
            last,
            f"{health.rows:,}" if health.rows is not None else "",
            f"{health.open_quarantine:,}" if health.open_quarantine else "",
        )
    out.print(shown)
    for row in waiting:
        out.print(f"quarantine {row['table']}: {row['rows']:,} rows, {row['reason']} {row['source']}", markup=False)

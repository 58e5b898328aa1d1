"""Housekeeping of every table of a lake: OPTIMIZE, VACUUM and retention, through the process's Spark session."""

from __future__ import annotations

import datetime as dt
import json

from conf.settings import platform, source, source_names
from conf.tables import table, table_names
from spark_jobs.io.small import KEEP_HOURS


def every_table() -> list[str]:
    """Declared tables, every source's bronze, and every quarantine there may be."""
    bronze = [f"bronze.{name}__{stream}" for name in source_names() for stream in source(name).streams]
    return [*bronze, *table_names(), *(f"{name}__quarantine" for name in table_names())]


def maintain(root: str = "", today: dt.date | None = None) -> None:
    """Compact, drop rows past `retention_days` (by write.date; ops rows by the instant they carry), then vacuum. Prints one line per table."""
    from spark_jobs.io.lake import Lake
    from spark_jobs.io.session import get_session

    lake, today = Lake(get_session(), root or platform().lake), today or dt.datetime.now(dt.UTC).date()
    done = 0
    for name in every_table():
        if not lake.exists(name):
            continue
        if name.startswith("ops."):
            maintain_small(lake.root, name, today)
            done += 1
            continue
        contract = table(name) if name in table_names() else None
        if contract and contract.retention_days and (column := contract.write.date):
            oldest = today - dt.timedelta(days=contract.retention_days)
            if lake.spark.sql(f"SELECT 1 FROM {lake.sql_name(name)} WHERE {column} < DATE'{oldest}' LIMIT 1").collect():
                lake.spark.sql(f"DELETE FROM {lake.sql_name(name)} WHERE {column} < DATE'{oldest}'").collect()
        lake.spark.sql(f"OPTIMIZE {lake.sql_name(name)}").collect()
        lake.spark.sql(f"VACUUM {lake.sql_name(name)} RETAIN {KEEP_HOURS} HOURS").collect()
        print(f"{name}: compacted and vacuumed", flush=True)
        done += 1
    print(json.dumps({"tables": done}), flush=True)


def maintain_small(root: str, name: str, today: dt.date) -> None:
    """The same for an ops table, through its one writer."""
    from spark_jobs.io.small import open_table

    found, contract = open_table(root, name), table(name)
    if found is None:
        return
    column = next((c for c in ("finished_at", "claimed_at") if c in contract.column_names), None)
    if contract.retention_days and column:
        found.delete(
            f"{column} < arrow_cast('{today - dt.timedelta(days=contract.retention_days)}T00:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"
        )
    found.optimize.compact()
    found.vacuum(KEEP_HOURS, dry_run=False)
    print(f"{name}: compacted and vacuumed", flush=True)


def register() -> None:
    """gold.<table> in the session's catalog for each gold table there is; the embedded catalog lives as long as its server."""
    from spark_jobs.io.lake import Lake
    from spark_jobs.io.session import get_session

    lake = Lake(get_session(), platform().lake)
    lake.spark.sql("CREATE DATABASE IF NOT EXISTS gold").collect()
    for name in table_names():
        if name.startswith("gold.") and lake.exists(name):
            lake.spark.sql(f"CREATE TABLE IF NOT EXISTS {name} USING delta LOCATION '{lake.path(name)}'").collect()

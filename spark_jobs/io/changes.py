"""What changed in a table since a version: its days, its values, its rows."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from pyspark.sql import Column, DataFrame, functions as F

from conf.tables import table
from spark_jobs.functions.hashing import content_columns, row_hash
from spark_jobs.io.lake import Lake, bounds
from spark_jobs.io.small import KEEP_HOURS


def changed_days(lake: Lake, name: str, since: int, source: str | None = None) -> list[dt.date]:
    """The days of a dated table that any commit after version `since` touched, from its change feed, sorted; source: with its rows only."""
    contract, newest = table(name), lake.version(name)
    if newest <= since or contract.write.date is None:
        return []
    rows = feed(lake, name, since).where(bounds(contract, source, None) or "true")
    return sorted(r[0] for r in rows.select(contract.write.date).distinct().collect() if r[0] is not None)


def changed(lake: Lake, name: str, since: int, *columns: Column, source: str | None = None, only_lost: bool = False) -> DataFrame:
    """Distinct values of the columns over the rows of a declared table that commits after version `since` brought or took away.

    only_lost: over those alone that are no longer there as they were. A row that was deleted and written again as it was is none.
    """
    contract = table(name)
    rows = feed(lake, name, since).where(bounds(contract, source, None) or "true")
    if _only_grew(lake, name, since):
        return rows.where(F.lit(not only_lost)).select(*columns).distinct()
    taken = F.col("_change_type").isin("delete", "update_preimage")
    net = rows.groupBy(*columns, row_hash(contract, rows.columns)).agg(F.sum(F.when(taken, -1).otherwise(1)).alias("_net"))
    return net.where("_net < 0" if only_lost else "_net <> 0").select(*net.columns[: len(columns)]).distinct()


def _only_grew(lake: Lake, name: str, since: int) -> bool:
    """Whether every commit after version `since` added files and nothing else, as far as the log can be read here."""
    logs = Path(lake.path(name), "_delta_log").glob("[0-9]*.json") if lake.is_local else ()
    newer = [path for path in logs if int(path.name[:20]) > since]
    lines = (line for path in newer for line in path.open(encoding="utf-8"))
    return bool(newer) and not any(line.startswith(('{"remove"', '{"cdc"')) for line in lines)


def remembers(lake: Lake, name: str, since: int, now: dt.datetime | None = None) -> bool:
    """Whether what changed after version `since` can still be read: maintenance removes what was replaced before KEEP_HOURS. A day less,
    so that nothing goes while it is read."""
    if lake.is_local:
        log = Path(lake.path(name), "_delta_log", f"{since + 1:020d}.json")
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        instants = [json.loads(line)["commitInfo"].get("timestamp", 0) / 1000 for line in lines if '"commitInfo"' in line]
    else:
        history = lake.spark.sql(f"DESCRIBE HISTORY {lake.sql_name(name)}").where(F.col("version") == since + 1)
        instants = [r["timestamp"].timestamp() for r in history.select("timestamp").collect()]
    oldest = (now or dt.datetime.now(dt.UTC)) - dt.timedelta(hours=KEEP_HOURS - 24)
    return bool(instants) and instants[0] > oldest.timestamp()


def feed(lake: Lake, name: str, since: int) -> DataFrame:
    """Every row that commits after version `since` inserted, changed or deleted, before and after."""
    reader = lake.spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", since + 1)
    return reader.load(lake.path(name))


def lost_rows_since(lake: Lake, name: str, since: int) -> bool:
    """Whether any row of version `since` is no longer in the table as it was (new rows alone do not count)."""
    if since < 0 or lake.version(name) <= since:
        return False
    columns = content_columns(table(name))
    old = lake.spark.read.format("delta").option("versionAsOf", since).load(lake.path(name)).select(row_hash(table(name)).alias("h"))
    new = lake.read(name).select(row_hash(table(name)).alias("h"))
    return bool(columns) and old.join(new, on="h", how="left_anti").limit(1).count() > 0

"""Rows into a table: compared before they are written, in one commit or in none.

Equal rows make no new table version. Every commit carries the run's id (userMetadata) and the claim's generation (Delta transaction version),
so that a run that lost its claim cannot write.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession, functions as F

from conf.names import contract_of
from conf.tables import Append, Merge, ReplaceDays, Table, table, table_names
from spark_jobs.errors import LostClaimError, ThroughlineError
from spark_jobs.functions.hashing import canonical_hash, row_hash
from spark_jobs.functions.plans import FEW_KEYS, materialised
from spark_jobs.io.lake import Lake, bounds, quoted, type_name
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import append_table, is_written_here

# the session's settings and its views are one commit's alone
MERGING = threading.Lock()
# more than any claim makes
COMMITS_OF_CLAIM = 100_000


@dataclass(frozen=True)
class Fence:
    """Who writes: the claim's name and generation, and the run's id; number counts the commits of one claim, from 0."""

    claim: str
    generation: int
    run_id: str
    number: int = 0

    @property
    def txn_version(self) -> int:
        """Rises with every commit of a claim and with every claim, because Delta takes a transaction version once."""
        return self.generation * COMMITS_OF_CLAIM + self.number

    @property
    def metadata(self) -> str:
        """What a commit says of the run that made it."""
        return json.dumps({"run_id": self.run_id})


@dataclass(frozen=True)
class Published:
    """What a publish did: rows that were already there, rows written, whether a new version was made, copies that lost to a stored row."""

    unchanged: int
    changed: int
    wrote: bool
    outranked: int = 0


def lost_claim(name: str, fence: Fence) -> LostClaimError:
    """What to raise where a newer run's commit stands before this one's."""
    return LostClaimError(
        f"{name}: a newer run holds the claim {fence.claim} (this one had generation {fence.generation}); nothing was written"
    )


def publish(
    lake: Lake,
    batch: DataFrame,
    rows: int,
    contract: Table,
    source: str | None,
    days: Range | None,
    fence: Fence,
    among: Callable[[DataFrame], DataFrame] | None = None,
) -> Published:
    """The batch into its table, in one commit or in none.

    batch: exactly the contract's columns, unique keys, materialised; rows: their number; days: those that it replaces, None = all;
    among: of those days the stored rows that this leaves alone are replaced.
    """
    is_new, kind = lake.create(contract), contract.write.kind
    if not is_new:
        _widen(lake, contract)
    if is_new or isinstance(kind, Append):
        return append(lake, batch, contract, rows, fence) if rows else Published(0, 0, False)
    if isinstance(kind, Merge):
        return merge(lake, batch, rows, contract, source, kind.date, fence)
    if among is not None:
        return repair(lake, batch, contract, source, days, among, fence)
    if isinstance(kind, ReplaceDays):
        return replace(lake, batch, contract, bounds(contract, source, days), kind.date, fence)
    return replace(lake, batch, contract, bounds(contract, source, None), None, fence)


def _widen(lake: Lake, contract: Table) -> None:
    """Columns that the contract got after the table was made."""
    stored = {
        f.name: type_name(f.dataType.simpleString()) for f in lake.spark.read.format("delta").load(lake.path(contract.name)).schema.fields
    }
    other = [c.name for c in contract.columns if c.name in stored and stored[c.name] != type_name(c.type)]
    if other:
        raise ThroughlineError(
            f"{lake.path(contract.name)} was made with other types of {other} than {contract_of(contract.name)} has now; "
            "move the lake's folders but bronze and vault away, and build them again from bronze"
        )
    added = [f"{c.name} {c.type}" for c in contract.columns if c.name not in stored]
    if added:
        lake.spark.sql(f"ALTER TABLE {lake.sql_name(contract.name)} ADD COLUMNS ({', '.join(added)})")


def append(lake: Lake, batch: DataFrame, contract: Table, rows: int, fence: Fence) -> Published:
    """Rows, counted already, added as they are."""
    return _commit(lake, batch, contract, fence, rows, 0, mode="append")


def takes_arrow(lake: Lake, name: str) -> bool:
    """Whether append_arrow may write to a table: it asks no more of its writers than that one keeps."""
    return is_written_here(DeltaTable(lake.path(name)))


def append_arrow(lake: Lake, rows: pa.Table, contract: Table, fence: Fence) -> None:
    """Rows added as they are, without Spark."""
    if not append_table(lake.root, contract, rows, fence.claim, fence.txn_version, fence.metadata):
        raise lost_claim(contract.name, fence)


def without_missing(lake: Lake, name: str, source: str | None, fence: Fence) -> None:
    """Take the data files that are gone out of a table: what can be read of it, or of a source's part, is written again in one commit."""
    where = f"source = {quoted(source)}" if source and name in table_names() and table(name).write.partition_by else None
    before = lake.version(name)
    with MERGING, _settings(lake.spark, {"spark.sql.files.ignoreMissingFiles": "true"}):
        rows = lake.spark.read.format("delta").load(lake.path(name))
        writer = (rows.where(where) if where else rows).write.format("delta").mode("overwrite")
        writer = writer.option("txnAppId", f"{fence.claim}/{name}/mended").option("txnVersion", fence.txn_version)
        writer = writer.option("userMetadata", fence.metadata)
        (writer.option("replaceWhere", where) if where else writer).save(lake.path(name))
    assert_ours(lake, name, before, fence)


def replace(lake: Lake, batch: DataFrame, contract: Table, predicate: str | None, date: str | None, fence: Fence) -> Published:
    """The batch in the place of the stored rows of a predicate (None = all); with a date those days alone that differ are written."""
    group = F.col(date) if date else F.lit("all")
    new = {r[0]: (r["rows"], r["hash"]) for r in batch.groupBy(group).agg(*canonical_hash(contract)).collect()}
    published = lake.rows(contract, predicate).groupBy(group).agg(*canonical_hash(contract))
    old = {r[0]: (r["rows"], r["hash"]) for r in published.collect()}
    changed = sorted(day for day in new.keys() | old.keys() if new.get(day) != old.get(day))
    unchanged = sum(rows for day, (rows, _) in new.items() if day not in changed)
    if not changed:
        return Published(unchanged, 0, False)
    rows = sum(new[day][0] for day in changed if day in new)
    if not old:
        return _commit(lake, batch, contract, fence, rows, unchanged, mode="append")
    if date and unchanged:
        batch = batch.where(F.col(date).isin(changed))
        listed = ", ".join(f"DATE'{day}'" for day in changed)
        predicate = f"({predicate}) AND {date} IN ({listed})"
    return _commit(lake, batch, contract, fence, rows, unchanged, mode="overwrite", replace_where=predicate)


def merge(lake: Lake, batch: DataFrame, rows: int, contract: Table, source: str | None, date: str | None, fence: Fence) -> Published:
    """The batch beside the stored rows: of two with one key the better by `dedupe` stays. date: the column that bounds where they lie."""
    keys = list(contract.keys)
    if rows == 0:
        return Published(0, 0, False)
    stored = lake.rows(contract, bounds(contract, source, None))
    # a key's stored row may lie on another day than its new one, so keys are looked for everywhere; other columns are read only where one is met
    few = F.broadcast(batch.select(*keys)) if rows <= FEW_KEYS else batch.select(*keys)
    met = materialised(stored.select(*keys, *([date] if date and date not in keys else [])).join(few, on=keys, how="left_semi"))
    days = None
    if date:
        spans = [frame.agg(F.min(date).alias("first"), F.max(date).alias("last")) for frame in (batch, met)]
        span = spans[0].unionByName(spans[1]).agg(F.min("first").alias("first"), F.max("last").alias("last")).first()
        days = Range(span["first"], span["last"]) if span is not None and span["first"] is not None else None
    stored = lake.rows(contract, bounds(contract, source, days))
    stored = stored.join(F.broadcast(met.select(*keys)) if rows <= FEW_KEYS else met.select(*keys), on=keys, how="left_semi")
    return _settle(lake, batch, stored, contract, bounds(contract, source, days, "t."), fence)


def repair(
    lake: Lake,
    batch: DataFrame,
    contract: Table,
    source: str | None,
    days: Range | None,
    among: Callable[[DataFrame], DataFrame],
    fence: Fence,
) -> Published:
    """Of the stored rows that `among` leaves: those that the batch holds otherwise are changed, those that it lacks are deleted."""
    stored = among(lake.rows(contract, bounds(contract, source, days)))
    return _settle(lake, batch, stored, contract, bounds(contract, source, days, "t."), fence, deletes=True)


def withdraw(lake: Lake, rows: DataFrame, left: DataFrame, contract: Table, source: str | None, fence: Fence) -> Published:
    """In one commit: of these stored rows those that `left` holds become as they are there, the others are taken out."""
    return _settle(lake, left, rows, contract, bounds(contract, source, None, "t."), fence, deletes=True)


def _judged(batch: DataFrame, stored: DataFrame, contract: Table, deletes: bool) -> DataFrame:
    """The batch's rows with `_fate` beside the stored ones: insert, update, same, outranked; with deletes also the keys that it lacks."""
    keys, kind = list(contract.keys), contract.write.kind
    by, is_first = (kind.by, kind.keeps_first) if isinstance(kind, Merge) else ((), False)
    rank = [c for c in by if c in contract.column_names]
    ranked = F.struct(*rank) if rank else F.lit(None)
    stored = stored.select(*keys, row_hash(contract).alias("_stored_hash"), ranked.alias("_stored_rank"))
    joined = batch.withColumn("_hash", row_hash(contract)).join(stored, on=keys, how="full" if deletes else "left")
    fate = F.when(F.col("_stored_hash").isNull(), "insert").when(F.col("_hash").isNull(), "delete")
    fate = fate.when(F.col("_stored_hash") == F.col("_hash"), "same")
    if rank:
        fate = fate.when(F.col("_stored_rank") < ranked if is_first else F.col("_stored_rank") > ranked, "outranked")
    return joined.withColumn("_fate", fate.otherwise("update")).drop("_hash", "_stored_hash", "_stored_rank")


def _settle(
    lake: Lake, batch: DataFrame, stored: DataFrame, contract: Table, bound: str | None, fence: Fence, deletes: bool = False
) -> Published:
    """What the batch has otherwise than these stored rows, in one commit. bound: where they lie in the table `t`."""
    judged = _judged(batch, stored, contract, deletes).persist()
    try:
        counts = {r["_fate"]: r["count"] for r in judged.groupBy("_fate").count().collect()}
        same, outranked = counts.get("same", 0), counts.get("outranked", 0)
        rows = sum(counts.get(fate, 0) for fate in ("insert", "update", "delete"))
        fresh = judged.where("_fate not in ('same', 'outranked')")
        if rows == 0:
            return Published(same, 0, False, outranked)
        if rows == counts.get("insert", 0):
            append(lake, fresh.drop("_fate"), contract, rows, fence)
            return Published(same, rows, True, outranked)
        matched = " AND ".join([*(f"t.`{k}` <=> s.`{k}`" for k in contract.keys), *([bound] if bound else [])])
        columns = [f"`{c}`" for c in contract.column_names]
        updated, inserted = ", ".join(f"{c} = s.{c}" for c in columns), ", ".join(f"s.{c}" for c in columns)
        before = lake.version(contract.name)
        # the session's settings and its view are this merge's alone
        with MERGING, fenced(lake, fence):
            fresh.createOrReplaceTempView("fresh_rows")
            lake.spark.sql(
                f"MERGE INTO {lake.sql_name(contract.name)} t USING fresh_rows s ON {matched} WHEN MATCHED AND s._fate = 'delete' THEN DELETE "
                f"WHEN MATCHED THEN UPDATE SET {updated} WHEN NOT MATCHED THEN INSERT ({', '.join(columns)}) VALUES ({inserted})"
            ).collect()
        assert_ours(lake, contract.name, before, fence)
        return Published(same, rows, True, outranked)
    finally:
        judged.unpersist()


def fenced(lake: Lake, fence: Fence) -> contextlib.AbstractContextManager[None]:
    """The session's settings by which SQL commits as this fence, for a block."""
    return _settings(
        lake.spark,
        {
            "spark.databricks.delta.write.txnAppId": fence.claim,
            "spark.databricks.delta.write.txnVersion": str(fence.txn_version),
            "spark.databricks.delta.commitInfo.userMetadata": fence.metadata,
        },
    )


def _commit(
    lake: Lake, batch: DataFrame, contract: Table, fence: Fence, rows: int, unchanged: int, mode: str, replace_where: str | None = None
) -> Published:
    if mode == "append" and lake.is_few and takes_arrow(lake, contract.name):
        append_arrow(lake, batch.toArrow(), contract, fence)
        return Published(unchanged, rows, True)
    before = lake.version(contract.name)
    writer = (
        batch.write.format("delta")
        .mode(mode)
        .option("userMetadata", fence.metadata)
        .option("txnAppId", fence.claim)
        .option("txnVersion", fence.txn_version)
    )
    if replace_where:
        writer = writer.option("replaceWhere", replace_where)
    try:
        writer.save(lake.path(contract.name))
    except Exception as error:
        if "DELTA_CONCURRENT_TRANSACTION" in str(error):
            raise LostClaimError(f"{contract.name}: a newer run took the claim {fence.claim}; this run wrote nothing") from None
        raise
    assert_ours(lake, contract.name, before, fence)
    return Published(unchanged, rows, True)


def assert_ours(lake: Lake, name: str, before: int, fence: Fence) -> None:
    """Delta skips an older transaction version without an error: look whether a commit of this run is there after version `before`."""
    if lake.is_local:
        log = Path(lake.path(name), "_delta_log")
        commits = [p for p in log.glob("[0-9]*.json") if int(p.name[:20]) > before]
        ours = any(fence.run_id in line for p in commits for line in p.open(encoding="utf-8") if '"commitInfo"' in line)
    else:
        history = lake.spark.sql(f"DESCRIBE HISTORY {lake.sql_name(name)} LIMIT 20").where(F.col("version") > before)
        ours = any(fence.run_id in (r["userMetadata"] or "") for r in history.collect())
    if not ours:
        raise lost_claim(name, fence)


@contextlib.contextmanager
def _settings(spark: SparkSession, values: Mapping[str, str]) -> Iterator[None]:
    """Session settings for the length of a block."""
    try:
        for key, value in values.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key in values:
            spark.conf.unset(key)

"""The lake: where a table lies, how it is created, read and published.

A publish compares before it writes: equal rows make no new table version. Every commit carries the run's id (userMetadata)
and the claim's generation (Delta transaction version), so that a run that lost its claim cannot write.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession, functions as F
from pyspark.sql.types import StructType

from conf.settings import made
from conf.tables import Table, table, table_names
from spark_jobs.errors import LostClaimError, MissingColumnsError, ThroughlineError
from spark_jobs.functions.hashing import canonical_hash, content_columns, row_hash
from spark_jobs.functions.plans import FEW_KEYS, FEW_ROWS, held, materialised
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import KEEP_HOURS, alone, append_table, create_table, is_read_here, is_written_here, open_table, query

MERGING, STARTING = threading.Lock(), threading.Lock()
# Without deletion vectors 5,000 changed keys in a table of 10 M rows copy nearly all of it; gold stays readable by everyone.
DELETION_VECTORS = ("identity", "journeys", "attribution")


# more than any claim makes
COMMITS_OF_CLAIM = 100_000
# what Delta says where no table is; the last one of a folder that is not there, as DESCRIBE HISTORY finds it
NO_TABLE = ("DELTA_TABLE_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST", "PATH_NOT_FOUND", "DELTA_TABLE_ONLY_OPERATION")


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


def quoted(value: str) -> str:
    """A SQL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def type_name(kind: str) -> str:
    """One spelling of a Spark SQL type."""
    return kind.lower().replace(" ", "").replace("integer", "int")


def skipped_by(contract: Table) -> list[str]:
    """The columns by which readers leave files out: of these alone a write measures least and greatest, not of the first 32."""
    write = contract.write
    named = [*([write.date] if write.date else []), *write.cluster_by, *(() if write.date or write.cluster_by else contract.keys[:1])]
    return [name for name in dict.fromkeys(named) if name not in write.partition_by]


def is_clustered(contract: Table) -> bool:
    """Whether the table lies in clusters: one that is partitioned cannot."""
    return bool(contract.write.cluster_by) and not contract.write.partition_by


def properties_of(contract: Table, is_few: bool = False) -> dict[str, str]:
    """A new table's properties. Of few rows a file is as soon written again as marked."""
    properties = {
        "delta.enableDeletionVectors": str(contract.layer in DELETION_VECTORS and not is_few).lower(),
        "delta.enableChangeDataFeed": str(contract.layer not in ("gold", "ops")).lower(),
    }
    if skipped_by(contract):
        properties["delta.dataSkippingStatsColumns"] = ",".join(skipped_by(contract))
    return properties


def layout_sql(contract: Table) -> str:
    """What follows the columns in a CREATE TABLE: how the table lies on disk, and its properties."""
    write = contract.write
    layout = f"PARTITIONED BY ({', '.join(write.partition_by)})" if write.partition_by else ""
    if is_clustered(contract):
        layout = f"CLUSTER BY ({', '.join(write.cluster_by)})"
    listed = ", ".join(f"'{k}' = '{v}'" for k, v in properties_of(contract).items())
    return f"USING delta {layout} TBLPROPERTIES ({listed})"


@dataclass(frozen=True)
class Lake:
    """All tables below one root, through one Spark session, which may be given as what makes it: work that finds nothing to do makes none."""

    session: SparkSession | Callable[[], SparkSession]
    root: str

    @cached_property
    def spark(self) -> SparkSession:
        with STARTING:
            return self.session() if callable(self.session) else self.session

    @property
    def has_session(self) -> bool:
        """Whether the session was needed already."""
        return "spark" in vars(self)

    @cached_property
    def is_local(self) -> bool:
        return "://" not in self.root

    @cached_property
    def is_few(self) -> bool:
        """Whether all tables hold so few rows that Spark's planning of their files costs more than reading and writing them."""
        return self.is_local and bool(self.spark.conf.get(FEW_ROWS, ""))

    def path(self, name: str) -> str:
        return f"{self.root}/{name.replace('.', '/')}"

    def sql_name(self, name: str) -> str:
        return f"delta.`{self.path(name)}`"

    def version(self, name: str) -> int:
        """The table's newest version; -1 when there is no table."""
        if self.is_local:
            log = Path(self.path(name), "_delta_log")
            versions = [int(p.name[:20]) for p in log.glob("[0-9]*.json")] if log.is_dir() else []
            return max(versions, default=-1)
        try:
            return int(self.spark.sql(f"DESCRIBE HISTORY {self.sql_name(name)} LIMIT 1").first()["version"])  # type: ignore[index]
        except Exception as error:
            if any(word in str(error) for word in NO_TABLE):
                return -1
            raise

    def exists(self, name: str) -> bool:
        return self.version(name) >= 0

    def create(self, contract: Table, is_few: bool | None = None) -> bool:
        """The table as its contract says, empty, unless it is there already. Returns whether this made it: of several that make it at
        once one does.

        is_few: whether it will hold few rows at first, where that is known without a session. Such a table lies in no clusters until
        maintenance finds that it has grown.
        """
        if self.version(contract.name) > 0:
            return False
        # the first commit is on disk before its maker's Spark knows the table
        with alone(self.root, contract.name):
            return not self.exists(contract.name) and self._create(contract, self.is_few if is_few is None else is_few)

    def _create(self, contract: Table, is_few: bool) -> bool:
        name = self.sql_name(contract.name)
        if self.is_local:
            made(Path(self.root))
        if is_few:
            create_table(self.root, contract, properties_of(contract, is_few))
            return True
        try:
            self.spark.sql(f"CREATE TABLE IF NOT EXISTS {name} ({contract.schema}) {layout_sql(contract)}")
        except Exception:
            # another machine's run may create the same table at the same moment: the loser finds it there
            if not self.exists(contract.name):
                raise
            return False
        return True

    def read(self, name: str, where: str | None = None) -> DataFrame:
        """The rows of a declared table."""
        return self.rows(table(name), where)

    def rows(self, contract: Table, where: str | None = None) -> DataFrame:
        """The table's rows as its contract types them; an absent table is empty, an absent nullable column is NULL."""
        name = contract.name
        version = self.version(name)
        if version == 0:
            # somebody may be making it: the first commit is on disk before its maker's Spark knows the table
            with alone(self.root, name):
                pass
        if version < 0:
            return self.spark.createDataFrame([], contract.schema)
        rows = self.stored(name)
        types = {f.name: f.dataType.simpleString() for f in rows.schema.fields}
        missing = [c.name for c in contract.columns if c.name not in types and not c.nullable]
        if missing:
            raise MissingColumnsError(
                f"{self.path(name)}: the columns {missing} are missing; conf/tables/{name.replace('.', '/')}.yml says they are never null"
            )
        selected = []
        for c in contract.columns:
            if c.name not in types:
                selected.append(F.lit(None).cast(c.type).alias(c.name))
            elif type_name(types[c.name]) == type_name(c.type):
                selected.append(F.col(c.name))
            else:
                selected.append(F.col(c.name).cast(c.type).alias(c.name))
        rows = rows.select(*selected)
        return rows.where(where) if where else rows

    def stored(self, name: str) -> DataFrame:
        """The rows and columns of a table that is there, as they are stored."""
        found = open_table(self.root, name) if self.is_few else None
        if found is None or not is_read_here(found):
            return self.spark.read.format("delta").load(self.path(name))
        return held(self.spark, query(found), StructType.fromJson(json.loads(found.schema().to_json())))

    def bounds(self, contract: Table, source: str | None, days: Range | None, prefix: str = "") -> str | None:
        """The literal predicate of the rows that one run of a table may touch; None = all of it. days: None = whenever."""
        parts = []
        if contract.write.partition_by and source:
            parts.append(f"{prefix}source = {quoted(source)}")
        if contract.write.date and days:
            parts.append(days.where(f"{prefix}{contract.write.date}"))
        return " AND ".join(parts) or None

    def publish(
        self,
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
        is_new = self.create(contract)
        if not is_new:
            self._widen(contract)
        if contract.write.mode == "append" or is_new:
            return self.append(batch, contract, rows, fence) if rows else Published(0, 0, False)
        if contract.write.mode == "merge":
            return self._merge(batch, rows, contract, source, fence)
        if among is not None:
            return self._repair(batch, contract, source, days, among, fence)
        is_dated = contract.write.mode == "replace" and contract.write.date is not None
        predicate = self.bounds(contract, source, days) if contract.write.mode == "replace" else None
        return self._replace(batch, contract, predicate, contract.write.date if is_dated else None, fence)

    def _widen(self, contract: Table) -> None:
        """Columns that the contract got after the table was made."""
        stored = {
            f.name: type_name(f.dataType.simpleString())
            for f in self.spark.read.format("delta").load(self.path(contract.name)).schema.fields
        }
        other = [c.name for c in contract.columns if c.name in stored and stored[c.name] != type_name(c.type)]
        if other:
            raise ThroughlineError(
                f"{self.path(contract.name)} was made with other types of {other} than conf/tables/{contract.name.replace('.', '/')}.yml has now; "
                "move the lake's folders but bronze and vault away, and build them again from bronze"
            )
        added = [f"{c.name} {c.type}" for c in contract.columns if c.name not in stored]
        if added:
            self.spark.sql(f"ALTER TABLE {self.sql_name(contract.name)} ADD COLUMNS ({', '.join(added)})")

    def append(self, batch: DataFrame, contract: Table, rows: int, fence: Fence) -> Published:
        """Rows, counted already, added as they are."""
        return self._commit(batch, contract, fence, rows, 0, mode="append")

    def takes_arrow(self, name: str) -> bool:
        """Whether append_arrow may write to a table: it asks no more of its writers than that one keeps."""
        return is_written_here(DeltaTable(self.path(name)))

    def append_arrow(self, rows: pa.Table, contract: Table, fence: Fence) -> None:
        """Rows added as they are, without Spark."""
        if not append_table(self.root, contract, rows, fence.claim, fence.txn_version, json.dumps({"run_id": fence.run_id})):
            raise lost_claim(contract.name, fence)

    def without_missing(self, name: str, source: str | None, fence: Fence) -> None:
        """Take the data files that are gone out of a table: what can be read of it, or of a source's part, is written again in one commit."""
        where = f"source = {quoted(source)}" if source and name in table_names() and table(name).write.partition_by else None
        before = self.version(name)
        with MERGING, _Confs(self.spark, {"spark.sql.files.ignoreMissingFiles": "true"}):
            rows = self.spark.read.format("delta").load(self.path(name))
            writer = (rows.where(where) if where else rows).write.format("delta").mode("overwrite")
            writer = writer.option("txnAppId", f"{fence.claim}/{name}/mended").option("txnVersion", fence.txn_version)
            writer = writer.option("userMetadata", json.dumps({"run_id": fence.run_id}))
            (writer.option("replaceWhere", where) if where else writer).save(self.path(name))
        self._assert_ours(name, before, fence)

    def _replace(self, batch: DataFrame, contract: Table, predicate: str | None, date: str | None, fence: Fence) -> Published:
        group = F.col(date) if date else F.lit("all")
        new = {r[0]: (r["rows"], r["hash"]) for r in batch.groupBy(group).agg(*canonical_hash(contract)).collect()}
        published = self.rows(contract, predicate).groupBy(group).agg(*canonical_hash(contract))
        old = {r[0]: (r["rows"], r["hash"]) for r in published.collect()}
        changed = sorted(day for day in new.keys() | old.keys() if new.get(day) != old.get(day))
        unchanged = sum(rows for day, (rows, _) in new.items() if day not in changed)
        if not changed:
            return Published(unchanged, 0, False)
        rows = sum(new[day][0] for day in changed if day in new)
        if not old:
            return self._commit(batch, contract, fence, rows, unchanged, mode="append")
        if date and unchanged:
            batch = batch.where(F.col(date).isin(changed))
            listed = ", ".join(f"DATE'{day}'" for day in changed)
            predicate = f"({predicate}) AND {date} IN ({listed})"
        return self._commit(batch, contract, fence, rows, unchanged, mode="overwrite", replace_where=predicate)

    def _merge(self, batch: DataFrame, rows: int, contract: Table, source: str | None, fence: Fence) -> Published:
        """The batch beside the stored rows: of two with one key the better by `dedupe` stays."""
        date, keys = contract.write.date, list(contract.keys)
        if rows == 0:
            return Published(0, 0, False)
        stored = self.rows(contract, self.bounds(contract, source, None))
        # a key's stored row may lie on another day than its new one, so keys are looked for everywhere; other columns are read only where one is met
        few = F.broadcast(batch.select(*keys)) if rows <= FEW_KEYS else batch.select(*keys)
        met = materialised(stored.select(*keys, *([date] if date and date not in keys else [])).join(few, on=keys, how="left_semi"))
        days = None
        if date:
            spans = [frame.agg(F.min(date).alias("first"), F.max(date).alias("last")) for frame in (batch, met)]
            span = spans[0].unionByName(spans[1]).agg(F.min("first").alias("first"), F.max("last").alias("last")).first()
            days = Range(span["first"], span["last"]) if span is not None and span["first"] is not None else None
        stored = self.rows(contract, self.bounds(contract, source, days))
        stored = stored.join(F.broadcast(met.select(*keys)) if rows <= FEW_KEYS else met.select(*keys), on=keys, how="left_semi")
        return self._settle(batch, stored, contract, self.bounds(contract, source, days, "t."), fence)

    def _repair(
        self,
        batch: DataFrame,
        contract: Table,
        source: str | None,
        days: Range | None,
        among: Callable[[DataFrame], DataFrame],
        fence: Fence,
    ) -> Published:
        """Of the stored rows that `among` leaves: those that the batch holds otherwise are changed, those that it lacks are deleted."""
        stored = among(self.rows(contract, self.bounds(contract, source, days)))
        return self._settle(batch, stored, contract, self.bounds(contract, source, days, "t."), fence, deletes=True)

    def withdraw(self, rows: DataFrame, left: DataFrame, contract: Table, source: str | None, fence: Fence) -> Published:
        """In one commit: of these stored rows those that `left` holds become as they are there, the others are taken out."""
        return self._settle(left, rows, contract, self.bounds(contract, source, None, "t."), fence, deletes=True)

    def _judged(self, batch: DataFrame, stored: DataFrame, contract: Table, deletes: bool) -> DataFrame:
        """The batch's rows with `_fate` beside the stored ones: insert, update, same, outranked; with deletes also the keys that it lacks."""
        keys, dedupe = list(contract.keys), contract.write.dedupe or {}
        rank = [c for c in dedupe.get("by", ()) if c in contract.column_names]
        ranked = F.struct(*rank) if rank else F.lit(None)
        stored = stored.select(*keys, row_hash(contract).alias("_stored_hash"), ranked.alias("_stored_rank"))
        joined = batch.withColumn("_hash", row_hash(contract)).join(stored, on=keys, how="full" if deletes else "left")
        fate = F.when(F.col("_stored_hash").isNull(), "insert").when(F.col("_hash").isNull(), "delete")
        fate = fate.when(F.col("_stored_hash") == F.col("_hash"), "same")
        if rank:
            fate = fate.when(F.col("_stored_rank") < ranked if dedupe["keep"] == "first" else F.col("_stored_rank") > ranked, "outranked")
        return joined.withColumn("_fate", fate.otherwise("update")).drop("_hash", "_stored_hash", "_stored_rank")

    def _settle(
        self, batch: DataFrame, stored: DataFrame, contract: Table, bound: str | None, fence: Fence, deletes: bool = False
    ) -> Published:
        """What the batch has otherwise than these stored rows, in one commit. bound: where they lie in the table `t`."""
        judged = self._judged(batch, stored, contract, deletes).persist()
        try:
            counts = {r["_fate"]: r["count"] for r in judged.groupBy("_fate").count().collect()}
            same, outranked = counts.get("same", 0), counts.get("outranked", 0)
            rows = sum(counts.get(fate, 0) for fate in ("insert", "update", "delete"))
            fresh = judged.where("_fate not in ('same', 'outranked')")
            if rows == 0:
                return Published(same, 0, False, outranked)
            if rows == counts.get("insert", 0):
                done = self._commit(fresh.drop("_fate"), contract, fence, rows, same, mode="append")
                return Published(done.unchanged, done.changed, True, outranked)
            matched = " AND ".join([*(f"t.`{k}` <=> s.`{k}`" for k in contract.keys), *([bound] if bound else [])])
            columns = [f"`{c}`" for c in contract.column_names]
            updated, inserted = ", ".join(f"{c} = s.{c}" for c in columns), ", ".join(f"s.{c}" for c in columns)
            before = self.version(contract.name)
            # the session's settings and its view are this merge's alone
            with MERGING, self.fenced(fence):
                fresh.createOrReplaceTempView("fresh_rows")
                self.spark.sql(
                    f"MERGE INTO {self.sql_name(contract.name)} t USING fresh_rows s ON {matched} WHEN MATCHED AND s._fate = 'delete' THEN DELETE "
                    f"WHEN MATCHED THEN UPDATE SET {updated} WHEN NOT MATCHED THEN INSERT ({', '.join(columns)}) VALUES ({inserted})"
                ).collect()
            self._assert_ours(contract.name, before, fence)
            return Published(same, rows, True, outranked)
        finally:
            judged.unpersist()

    def fenced(self, fence: Fence) -> Any:
        """The session's settings by which SQL commits as this fence, for a block."""
        return _Confs(
            self.spark,
            {
                "spark.databricks.delta.write.txnAppId": fence.claim,
                "spark.databricks.delta.write.txnVersion": str(fence.txn_version),
                "spark.databricks.delta.commitInfo.userMetadata": json.dumps({"run_id": fence.run_id}),
            },
        )

    def _commit(
        self, batch: DataFrame, contract: Table, fence: Fence, rows: int, unchanged: int, mode: str, replace_where: str | None = None
    ) -> Published:
        said = json.dumps({"run_id": fence.run_id})
        if mode == "append" and self.is_few and self.takes_arrow(contract.name):
            self.append_arrow(batch.toArrow(), contract, fence)
            return Published(unchanged, rows, True)
        before = self.version(contract.name)
        writer = (
            batch.write.format("delta")
            .mode(mode)
            .option("userMetadata", said)
            .option("txnAppId", fence.claim)
            .option("txnVersion", fence.txn_version)
        )
        if replace_where:
            writer = writer.option("replaceWhere", replace_where)
        try:
            writer.save(self.path(contract.name))
        except Exception as error:
            if "DELTA_CONCURRENT_TRANSACTION" in str(error):
                raise LostClaimError(f"{contract.name}: a newer run took the claim {fence.claim}; this run wrote nothing") from None
            raise
        self._assert_ours(contract.name, before, fence)
        return Published(unchanged, rows, True)

    def _assert_ours(self, name: str, before: int, fence: Fence) -> None:
        self.assert_ours(name, before, fence.run_id, fence)

    def assert_ours(self, name: str, before: int, run_id: str, fence: Fence) -> None:
        """Delta skips an older transaction version without an error: look whether our commit is really there."""
        if self.is_local:
            log = Path(self.path(name), "_delta_log")
            commits = [p for p in log.glob("[0-9]*.json") if int(p.name[:20]) > before]
            ours = any(run_id in line for p in commits for line in p.open(encoding="utf-8") if '"commitInfo"' in line)
        else:
            history = self.spark.sql(f"DESCRIBE HISTORY {self.sql_name(name)} LIMIT 20").where(F.col("version") > before)
            ours = any(run_id in (r["userMetadata"] or "") for r in history.collect())
        if not ours:
            raise lost_claim(name, fence)

    def changed_days(self, name: str, since: int, source: str | None = None) -> list[dt.date]:
        """The days of a dated table that any commit after version `since` touched, from its change feed, sorted; source: with its rows only."""
        contract, newest = table(name), self.version(name)
        if newest <= since or contract.write.date is None:
            return []
        rows = self.feed(name, since).where(self.bounds(contract, source, None) or "true")
        return sorted(r[0] for r in rows.select(contract.write.date).distinct().collect() if r[0] is not None)

    def changed(self, name: str, since: int, *columns: Column, source: str | None = None, only_lost: bool = False) -> DataFrame:
        """Distinct values of the columns over the rows of a declared table that commits after version `since` brought or took away.

        only_lost: over those alone that are no longer there as they were. A row that was deleted and written again as it was is none.
        """
        contract, feed = table(name), self.feed(name, since)
        feed = feed.where(self.bounds(contract, source, None) or "true")
        if self._only_grew(name, since):
            return feed.where(F.lit(not only_lost)).select(*columns).distinct()
        taken = F.col("_change_type").isin("delete", "update_preimage")
        net = feed.groupBy(*columns, row_hash(contract, feed.columns)).agg(F.sum(F.when(taken, -1).otherwise(1)).alias("_net"))
        rows = net.where("_net < 0" if only_lost else "_net <> 0")
        return rows.select(*net.columns[: len(columns)]).distinct()

    def _only_grew(self, name: str, since: int) -> bool:
        """Whether every commit after version `since` added files and nothing else, as far as the log can be read here."""
        logs = Path(self.path(name), "_delta_log").glob("[0-9]*.json") if self.is_local else ()
        newer = [path for path in logs if int(path.name[:20]) > since]
        lines = (line for path in newer for line in path.open(encoding="utf-8"))
        return bool(newer) and not any(line.startswith(('{"remove"', '{"cdc"')) for line in lines)

    def remembers(self, name: str, since: int, now: dt.datetime | None = None) -> bool:
        """Whether what changed after version `since` can still be read: maintenance removes what was replaced before KEEP_HOURS. A day less,
        so that nothing goes while it is read."""
        if self.is_local:
            log = Path(self.path(name), "_delta_log", f"{since + 1:020d}.json")
            lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
            instants = [json.loads(line)["commitInfo"].get("timestamp", 0) / 1000 for line in lines if '"commitInfo"' in line]
        else:
            history = self.spark.sql(f"DESCRIBE HISTORY {self.sql_name(name)}").where(F.col("version") == since + 1)
            instants = [r["timestamp"].timestamp() for r in history.select("timestamp").collect()]
        oldest = (now or dt.datetime.now(dt.UTC)) - dt.timedelta(hours=KEEP_HOURS - 24)
        return bool(instants) and instants[0] > oldest.timestamp()

    def feed(self, name: str, since: int) -> DataFrame:
        """Every row that commits after version `since` inserted, changed or deleted, before and after."""
        feed = self.spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", since + 1)
        return feed.load(self.path(name))

    def lost_rows_since(self, name: str, since: int) -> bool:
        """Whether any row of version `since` is no longer in the table as it was (new rows alone do not count)."""
        if since < 0 or self.version(name) <= since:
            return False
        columns = content_columns(table(name))
        old = self.spark.read.format("delta").option("versionAsOf", since).load(self.path(name)).select(row_hash(table(name)).alias("h"))
        new = self.read(name).select(row_hash(table(name)).alias("h"))
        return bool(columns) and old.join(new, on="h", how="left_anti").limit(1).count() > 0


class _Confs:
    """Session settings for the length of a block."""

    def __init__(self, spark: SparkSession, values: dict[str, str]) -> None:
        self.spark, self.values = spark, values

    def __enter__(self) -> None:
        for key, value in self.values.items():
            self.spark.conf.set(key, value)

    def __exit__(self, *_: object) -> None:
        for key in self.values:
            self.spark.conf.unset(key)


__all__ = ["Fence", "Lake", "Published", "ThroughlineError", "quoted"]

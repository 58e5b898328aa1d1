"""Housekeeping of every table of a lake: OPTIMIZE, VACUUM and retention, through the process's Spark session."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import astuple, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from conf.names import bronze_name, quarantine_of, stream_of
from conf.settings import platform, sources
from conf.tables import Table, table, table_names
from spark_jobs.errors import ClaimHeldError, NoSpaceError, ReadOnlyError, ThroughlineError, of_trouble
from spark_jobs.io.small import KEEP_HOURS, open_table, query, told

if TYPE_CHECKING:
    from spark_jobs.io.lake import Lake


# of fewer bytes no reader leaves out enough files to notice
CLUSTERED_BYTES = 64_000_000
# files of fewer bytes are put together with others of their partition; Spark's own number
COMPACTED_BYTES = 2**30
DELETION_VECTORS = "delta.enableDeletionVectors"


def every_table() -> list[str]:
    """Every source's bronze and the declared tables, those of ops, in which the others' work is noted, last."""
    bronze = [bronze_name(one.source, stream) for one in sources() for stream in one.streams]
    return sorted([*bronze, *table_names()], key=lambda name: name.startswith("ops."))


def maintain(root: str = "", today: dt.date | None = None, holder: str = "") -> None:
    """Compact, drop rows past `retention_days` (by write.date; ops rows by the instant they carry), then vacuum. Prints one line per table.

    A table that is being written is left for the next time; one that cannot be read does not stop the others. Raises the first such trouble.
    """
    from spark_jobs.engine.claims import Claims, claims_on, own_holder
    from spark_jobs.io.lake import Lake
    from spark_jobs.io.session import get_session

    lake, today = Lake(get_session(), root or platform().lake), today or dt.datetime.now(dt.UTC).date()
    done, left, troubles = 0, 0, list[ThroughlineError]()
    for name in every_table():
        tables = [one for one in with_quarantine(name) if lake.exists(one)]
        if not tables:
            continue
        claims, is_small = Claims(lake, holder or own_holder()), name.startswith("ops.")
        try:
            if not is_small:
                claims.acquire(claims_on(lake, name))
            for one in tables:
                maintain_small(lake.root, one, today) if is_small else compact(lake, one, today)
                print(f"{one}: compacted and vacuumed", flush=True)
                done += 1
        except Exception as error:
            trouble = error if isinstance(error, ThroughlineError) else of_trouble(error, name)
            if trouble is None and not isinstance(error, CommitFailedError) and "CONCURRENT" not in str(error):
                raise
            if isinstance(trouble, NoSpaceError | ReadOnlyError):
                raise trouble from error
            left += 1
            print(f"{name}: left for the next time: {trouble or 'another run was writing it'}", flush=True)
            troubles += [trouble] if trouble and not isinstance(trouble, ClaimHeldError) else []
        finally:
            claims.release()
    print(json.dumps({"tables": done, "left": left}), flush=True)
    if troubles:
        raise troubles[0]


def with_quarantine(name: str) -> tuple[str, str]:
    return name, quarantine_of(name)


@dataclass(frozen=True)
class Upkeep:
    """What maintain would do to a table as it is now: files to put together, files that no version of the last week needs, their bytes, and rows
    past its retention."""

    small: int = 0
    small_bytes: int = 0
    old: int = 0
    old_bytes: int = 0
    rows: int = 0

    def __add__(self, other: Upkeep) -> Upkeep:
        return Upkeep(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        kinds = (
            (self.small, f"{self.small:,} files ({size(self.small_bytes)}) compacted"),
            (self.old, f"{self.old:,} old files ({size(self.old_bytes)}) removed"),
            (self.rows, f"{self.rows:,} rows past the retention dropped"),
        )
        return ", ".join(text for number, text in kinds if number) or "nothing to do"


def size(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def plan(root: str = "", today: dt.date | None = None) -> tuple[str, dict[str, int]]:
    """What maintain would do, told without Spark and with nothing written: Markdown, a line per table; and how many tables, files and bytes it is
    about. Files to put together are counted as large as they are now, rows to drop among them."""
    root, today = root or platform().lake, today or dt.datetime.now(dt.UTC).date()
    found, troubles = dict[str, Upkeep](), list[str]()
    for name in (one for both in map(with_quarantine, every_table()) for one in both):
        try:
            if (opened := open_table(root, name)) is not None:
                found[name] = upkeep(opened, name, today)
        except ThroughlineError as error:
            troubles.append(f"- `{name}` would be left: {error}")
    busy = {name: of for name, of in found.items() if of != Upkeep()}
    whole = sum(found.values(), Upkeep())
    largest = sorted(busy, key=lambda name: -busy[name].small_bytes - busy[name].old_bytes)
    lines = [f"- `{name}`: {busy[name]}" for name in largest]
    idle = [f"- {len(found) - len(busy)} more with nothing to do"] if len(found) > len(busy) else []
    facts = {"tables": len(busy), "files": whole.small + whole.old, "bytes": whole.small_bytes + whole.old_bytes, "rows": whole.rows}
    return "\n".join([f"As the lake is now, of {len(busy)} tables: {whole}.", "", *troubles, *lines, *idle]), facts


def upkeep(found: DeltaTable, name: str, today: dt.date) -> Upkeep:
    """What maintain would do to an opened table. Raises ThroughlineError where it cannot be read."""
    with told(name, found.table_uri):
        beside: dict[str, list[int]] = {}
        kept = ["partition"] if found.metadata().partition_columns else []
        for file in pa.table(found.get_add_actions()).select(["size_bytes", *kept]).to_pylist():
            if file["size_bytes"] < COMPACTED_BYTES:
                beside.setdefault(str(file.get("partition")), []).append(file["size_bytes"])
        small = [count for files in beside.values() if len(files) > 1 for count in files]
        # rows alone: what Spark and Hadoop keep beside them goes with them
        named = found.vacuum(KEEP_HOURS, dry_run=True, enforce_retention_duration=False, full=not name.startswith("ops."))
        old = [path for path in named if path.endswith(".parquet") and not PurePosixPath(path).name.startswith(".")]
    return Upkeep(len(small), sum(small), len(old), bytes_of(found, old), rows_past(found, name, today))


def bytes_of(found: DeltaTable, paths: list[str]) -> int:
    """The bytes of some of a table's files, on any storage."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    if not paths:
        return 0
    files = PyFileSystem(DeltaStorageHandler.from_table(found._table))
    return sum(file.size or 0 for file in files.get_file_info(paths))


def rows_past(found: DeltaTable, name: str, today: dt.date) -> int:
    """How many rows of a table maintain would drop."""
    from spark_jobs.engine.claims import old_rows

    if name not in table_names():
        return 0
    contract = table(name)
    if name == "ops.claims":
        return len(old_rows(found, oldest_instant(contract, today))[0])
    test = past_retention(contract, today)
    return int(query(found, f"select count(*) as n from rows where {test}")["n"][0].as_py()) if test else 0


def oldest(contract: Table, today: dt.date) -> dt.date:
    """The first day that a table keeps."""
    return today - dt.timedelta(days=contract.retention_days)


def oldest_instant(contract: Table, today: dt.date) -> dt.datetime:
    return dt.datetime.combine(oldest(contract, today), dt.time(), dt.UTC)


def past_retention(contract: Table, today: dt.date) -> str:
    """Which rows are past the table's retention, as SQL: of Spark and of delta-rs, an ops table's of delta-rs alone; '' where rows carry no day."""
    if contract.layer == "ops":
        instant = f"arrow_cast('{oldest(contract, today)}T00:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"
        return f"finished_at < {instant}" if "finished_at" in contract.column_names else ""
    return f"{contract.write.date} < DATE'{oldest(contract, today)}'" if contract.write.date else ""


def compact(lake: Lake, name: str, today: dt.date) -> None:
    """One table through Spark."""
    contract = table(name) if name in table_names() else None
    test = past_retention(contract, today) if contract else ""
    if test and lake.spark.sql(f"SELECT 1 FROM {lake.sql_name(name)} WHERE {test} LIMIT 1").collect():
        lake.spark.sql(f"DELETE FROM {lake.sql_name(name)} WHERE {test}").collect()
    cluster(lake, name)
    lake.spark.sql(f"OPTIMIZE {lake.sql_name(name)}").collect()
    lake.spark.sql(f"VACUUM {lake.sql_name(name)} RETAIN {KEEP_HOURS} HOURS").collect()


def cluster(lake: Lake, name: str) -> None:
    """Let a table that was made for few rows and has grown lie in its contract's clusters, which the next OPTIMIZE makes, with deletion vectors
    where its layer has them."""
    from spark_jobs.bronze.load import bronze_table
    from spark_jobs.io.lake import is_clustered, properties_of

    source, stream = stream_of(name)
    contract = table(name) if name in table_names() else bronze_table(source, stream) if name.startswith("bronze.") else None
    if contract is None or not is_clustered(contract):
        return
    stored = lake.spark.sql(f"DESCRIBE DETAIL {lake.sql_name(name)}").select("sizeInBytes", "clusteringColumns").first()
    if stored and stored["sizeInBytes"] > CLUSTERED_BYTES and not stored["clusteringColumns"]:
        vectors = properties_of(contract)[DELETION_VECTORS]
        lake.spark.sql(f"ALTER TABLE {lake.sql_name(name)} SET TBLPROPERTIES ('{DELETION_VECTORS}' = '{vectors}')")
        lake.spark.sql(f"ALTER TABLE {lake.sql_name(name)} CLUSTER BY ({', '.join(contract.write.cluster_by)})")


def maintain_small(root: str, name: str, today: dt.date) -> None:
    """The same for an ops table, through its one writer."""
    from spark_jobs.engine.claims import drop_old

    found, contract = open_table(root, name), table(name)
    if found is None:
        return
    if name == "ops.claims":
        drop_old(root, oldest_instant(contract, today))
        found.update_incremental()
    elif test := past_retention(contract, today):
        found.delete(test)
    found.optimize.compact()
    found.vacuum(KEEP_HOURS, dry_run=False)

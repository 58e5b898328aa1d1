"""Housekeeping of every table of a lake: OPTIMIZE, VACUUM and retention, through the process's Spark session."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

from deltalake.exceptions import CommitFailedError

from conf.settings import platform, sources
from conf.tables import table, table_names
from spark_jobs.errors import ClaimHeldError, NoSpaceError, ReadOnlyError, ThroughlineError, of_trouble
from spark_jobs.io.small import KEEP_HOURS

if TYPE_CHECKING:
    from spark_jobs.io.lake import Lake


# of fewer bytes no reader leaves out enough files to notice
CLUSTERED_BYTES = 64_000_000
DELETION_VECTORS = "delta.enableDeletionVectors"


def every_table() -> list[str]:
    """Every source's bronze and the declared tables, those of ops, in which the others' work is noted, last."""
    bronze = [f"bronze.{one.source}__{stream}" for one in sources() for stream in one.streams]
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
        tables = [one for one in (name, f"{name}__quarantine") if lake.exists(one)]
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


def compact(lake: Lake, name: str, today: dt.date) -> None:
    """One table through Spark."""
    contract = table(name) if name in table_names() else None
    if contract and contract.retention_days and (column := contract.write.date):
        oldest = today - dt.timedelta(days=contract.retention_days)
        if lake.spark.sql(f"SELECT 1 FROM {lake.sql_name(name)} WHERE {column} < DATE'{oldest}' LIMIT 1").collect():
            lake.spark.sql(f"DELETE FROM {lake.sql_name(name)} WHERE {column} < DATE'{oldest}'").collect()
    cluster(lake, name)
    lake.spark.sql(f"OPTIMIZE {lake.sql_name(name)}").collect()
    lake.spark.sql(f"VACUUM {lake.sql_name(name)} RETAIN {KEEP_HOURS} HOURS").collect()


def cluster(lake: Lake, name: str) -> None:
    """Let a table that was made for few rows and has grown lie in its contract's clusters, which the next OPTIMIZE makes, with deletion vectors
    where its layer has them."""
    from spark_jobs.bronze.load import bronze_table
    from spark_jobs.io.lake import is_clustered, properties_of

    source, _, stream = name.removeprefix("bronze.").partition("__")
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
    from spark_jobs.io.small import open_table

    found, contract = open_table(root, name), table(name)
    if found is None:
        return
    oldest = today - dt.timedelta(days=contract.retention_days)
    if name == "ops.claims":
        drop_old(root, dt.datetime.combine(oldest, dt.time(), dt.UTC))
        found.update_incremental()
    elif contract.retention_days and "finished_at" in contract.column_names:
        found.delete(f"finished_at < arrow_cast('{oldest}T00:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')")
    found.optimize.compact()
    found.vacuum(KEEP_HOURS, dry_run=False)

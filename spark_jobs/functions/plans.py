"""Where a plan ends: rows computed once, for all who read them after."""

from __future__ import annotations

from pyspark import StorageLevel
from pyspark.sql import DataFrame

# a session's setting under which nothing is computed: what is tried on empty inputs is only analysed
ANALYSED_ALONE = "spark.throughline.analysedAlone"
# as many keys fit into every executor's memory
FEW_KEYS = 1_000_000


def materialised(rows: DataFrame) -> DataFrame:
    """The rows computed once, and their plan ended: judging, comparing and writing a batch plan a dozen queries, and each would carry the
    whole transform along. A cache would not end it. They lie on the executors' disks (losing one fails the run, which Airflow tries again),
    or, where spark.checkpoint.dir is set, in that folder."""
    if rows.sparkSession.conf.get(ANALYSED_ALONE, ""):
        return rows.sparkSession.createDataFrame([], rows.schema)
    is_kept_apart = rows.sparkSession.conf.get("spark.checkpoint.dir", "")
    return rows.checkpoint() if is_kept_apart else rows.localCheckpoint(storageLevel=StorageLevel.DISK_ONLY)

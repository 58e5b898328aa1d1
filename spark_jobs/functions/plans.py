"""Where a plan ends: rows computed once, for all who read them after."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession, functions as F
from pyspark.sql.types import StructType

# a session's setting under which nothing is computed: what is tried on empty inputs is only analysed
ANALYSED_ALONE = "spark.throughline.analysedAlone"
# a session's setting for work on so few rows that they are held by the process: a plan ends in what it made, without a job of its own to keep it
FEW_ROWS = "spark.throughline.fewRows"
# as many keys fit into every executor's memory
FEW_KEYS = 1_000_000


def materialised(rows: DataFrame) -> DataFrame:
    """The rows computed once, and their plan ended: judging, comparing and writing a batch plan a dozen queries, and each would carry the
    whole transform along. A cache would not end it. They lie on the executors' disks (losing one fails the run, which Airflow tries again),
    or, where spark.checkpoint.dir is set, in that folder."""
    if rows.sparkSession.conf.get(ANALYSED_ALONE, ""):
        return rows.sparkSession.createDataFrame([], rows.schema)
    if rows.sparkSession.conf.get(FEW_ROWS, ""):
        return held(rows.sparkSession, rows.toArrow(), rows.schema)
    is_kept_apart = rows.sparkSession.conf.get("spark.checkpoint.dir", "")
    return rows.checkpoint() if is_kept_apart else rows.localCheckpoint(storageLevel=StorageLevel.DISK_ONLY)


def held(spark: SparkSession, rows: pa.Table, schema: StructType) -> DataFrame:
    """Rows that the process holds, as a frame."""
    # PySpark refuses a nested column without any batch
    return spark.createDataFrame(rows if rows.num_rows else [], schema)


def numbers_of(frames: Mapping[str, DataFrame]) -> dict[str, int]:
    """How many rows each frame has, in one job; of few rows in none."""
    frame = next(iter(frames.values()), None)
    if frame is None or frame.sparkSession.conf.get(FEW_ROWS, ""):
        return {name: number_of(rows) for name, rows in frames.items()}
    counts = (rows.agg(F.count(F.lit(1)).alias("rows")).select(F.lit(name).alias("name"), "rows") for name, rows in frames.items())
    return {row["name"]: row["rows"] for row in reduce(DataFrame.union, counts).collect()}


def number_of(rows: DataFrame) -> int:
    """How many rows there are; of few that the process holds without a job."""
    if rows.sparkSession.conf.get(FEW_ROWS, ""):
        return len(rows.select(F.lit(1)).collect())
    return rows.count()

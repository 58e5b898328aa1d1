"""gold.segments_daily: how large each segment was at the end of each day, and how many came and went.

Every interval is one +1 at its start and one -1 at its end; what happened before the range is carried in as one sum,
so the cost grows with the intervals plus the days, not with their product.
"""

import datetime as dt

from pyspark.sql import DataFrame, Window as W, functions as F

from conf.settings import Platform
from spark_jobs.job import Job


def moves(memberships: DataFrame, instant: str, entered: int, time_zone: str) -> DataFrame:
    """(segment, day, entered, left_members): one row per interval that starts (entered = 1) or ends (0) at `instant`."""
    return memberships.where(F.col(instant).isNotNull()).select(
        F.col("segment_id").alias("segment"),
        F.to_date(F.from_utc_timestamp(instant, time_zone)).alias("day"),
        F.lit(entered).alias("entered"),
        F.lit(1 - entered).alias("left_members"),
    )


def count_members(memberships: DataFrame, from_date: dt.date, to_date: dt.date, platform: Platform) -> DataFrame:
    """One row per segment that ever had a member and day of the range.

    memberships: segments.memberships, whole: who is in a segment today may have entered years ago.
    """
    zone = platform.reporting_time_zone
    both = (
        moves(memberships, "valid_from", 1, zone).unionByName(moves(memberships, "valid_to", 0, zone)).where(F.col("day") <= F.lit(to_date))
    )
    eve = F.date_sub(F.lit(from_date), 1)
    changes = both.groupBy("segment", F.greatest("day", eve).alias("day")).agg(
        F.sum("entered").alias("entered"), F.sum("left_members").alias("left_members")
    )
    days = F.explode(F.sequence(eve, F.lit(to_date))).alias("day")
    grid = changes.select("segment").distinct().select("segment", days)
    until_now = W.partitionBy("segment").orderBy("day").rowsBetween(W.unboundedPreceding, W.currentRow)
    filled = grid.join(changes, on=["segment", "day"], how="left").fillna(0, subset=["entered", "left_members"])
    counted = filled.withColumn("members", F.sum(F.col("entered") - F.col("left_members")).over(until_now))
    return counted.where(F.col("day") >= F.lit(from_date)).select("day", "segment", "members", "entered", "left_members")


JOB = Job(
    table="gold.segments_daily",
    inputs={"memberships": "segments.memberships@all"},
    transform=count_members,
)

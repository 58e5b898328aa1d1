"""Largest remainder: integer shares that add up exactly to their total.

Source: the method of Hamilton; ties go by a hash of the two ids, because a tie by position would favour a channel.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window as W, functions as F

WHOLE, SHARE = "decimal(20,0)", "decimal(19,18)"


def largest_remainder(rows: DataFrame, total: str, share: str, group: Sequence[str], tie: Sequence[str], into: str) -> DataFrame:
    """`rows` with a DECIMAL(20,0) column `into`: the row's integer part of the group's `total`.

    Args: total: whole number, the same on all rows of a group, below 10^20; may be negative (|total| is shared, then negated). share: DOUBLE,
    adds up to 1 in a group. group: the columns that name a group. tie: columns that decide between equal fractions.
    """
    own, whole = W.partitionBy(*group), F.abs(F.col(total)).cast(WHOLE)
    # a double's last digit is many units of a large total: the shares add up to exactly 1 only as parts of their sum
    exact = F.col(share).cast(SHARE)
    rows = rows.withColumn("_raw", F.round(whole * exact / F.sum(exact).over(own), 6))
    rows = rows.withColumn("_whole", F.floor("_raw").cast(WHOLE)).withColumn("_fraction", F.col("_raw") - F.col("_whole"))
    rows = rows.withColumn("_left", whole - F.sum("_whole").over(own))
    tied = [F.xxhash64(*tie), *(F.col(c) for c in tie)]
    from_top = F.row_number().over(own.orderBy(F.desc("_fraction"), *tied))
    from_bottom = F.row_number().over(own.orderBy(F.asc("_fraction"), *tied))
    fitted: Column = F.col("_whole") + F.when(from_top <= F.col("_left"), 1).when(from_bottom <= -F.col("_left"), -1).otherwise(0)
    signed = F.when(F.col(total) < 0, -fitted).otherwise(fitted)
    return rows.withColumn(into, signed.cast(WHOLE)).drop("_raw", "_whole", "_fraction", "_left")

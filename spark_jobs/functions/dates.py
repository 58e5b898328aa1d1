"""Instants: corrected clocks and the intervals of versions."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window as W, functions as F

EARLIEST = "2000-01-01 00:00:00"


def corrected_at(received_at: Column, sent_at: Column, original_at: Column) -> Column:
    """received_at − (sent_at − original_at): when it happened by OUR clock; the sender's clock may be wrong, its differences are not."""
    on_the_way = F.unix_micros(sent_at) - F.unix_micros(original_at)
    return F.timestamp_micros(F.unix_micros(received_at) - on_the_way)


def plausible_at(at: Column, received_at: Column) -> Column:
    """`at`, or received_at where `at` is missing, before 2000 or more than a day after it was received."""
    is_plausible = (at >= F.lit(EARLIEST).cast("timestamp")) & (at <= received_at + F.expr("interval 1 day"))
    return F.when(is_plausible, at).otherwise(received_at)


def versions_of(mapped: DataFrame, key: list[str], attributes: list[str]) -> DataFrame:
    """`valid_from` and `valid_to` of every delivered object version: half-open intervals, null = current.

    mapped: one row per delivered object, with the key, `valid_from` (the vendor's updated_at, may be null), the attributes,
        `_extracted_at`, `_attempt`, `_source_file`, `_source_row` and `_reason`.
    Returns the same rows. Deliveries that say the same as the one before take that one's valid_from, so they are duplicates of it by
    key; of several deliveries with one valid_from the last delivered speaks. Rows with a _reason take part in nothing.
    """
    rows = mapped.withColumn("valid_from", F.coalesce("valid_from", "_extracted_at"))
    rows = rows.withColumn("_counts", F.col("_reason").isNull() & F.col("valid_from").isNotNull()).withColumn(
        "_said", F.xxhash64(*attributes)
    )
    group = [*key, "_counts"]
    delivered = [F.col(c) for c in ("_extracted_at", "_attempt", "_source_file", "_source_row")]
    same_instant = W.partitionBy(*group, "valid_from").orderBy(*delivered).rowsBetween(W.unboundedPreceding, W.unboundedFollowing)
    in_order = W.partitionBy(*group).orderBy("valid_from", *delivered)
    rows = rows.withColumn("_speaks", F.last("_said").over(same_instant))
    rows = rows.withColumn("_begins", F.lag("_speaks").over(in_order).isNull() | (F.lag("_speaks").over(in_order) != F.col("_speaks")))
    rows = rows.withColumn("_run", F.sum(F.col("_begins").cast("int")).over(in_order))
    run_start = F.min("valid_from").over(W.partitionBy(*group, "_run"))
    rows = rows.withColumn("valid_from", F.when(F.col("_counts"), run_start).otherwise(F.col("valid_from")))
    later = W.partitionBy(*group).orderBy(F.unix_micros("valid_from")).rangeBetween(1, W.unboundedFollowing)
    rows = rows.withColumn("valid_to", F.when(F.col("_counts"), F.min("valid_from").over(later)))
    return rows.drop("_counts", "_said", "_speaks", "_begins", "_run")

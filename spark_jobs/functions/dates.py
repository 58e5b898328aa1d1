"""Instants: corrected clocks and the intervals of versions."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from spark_jobs.functions.fates import CONTRADICTION
from spark_jobs.functions.hashing import canonical_json, content_hash

EARLIEST = "2000-01-01 00:00:00"
JSON = "attributes"


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
    key; of several deliveries with one valid_from the last delivered speaks, and a row of that very delivery that says something else gets
    the _reason that they contradict each other. Rows with a _reason take part in nothing.
    """
    rows = mapped.withColumn("valid_from", F.coalesce("valid_from", "_extracted_at"))
    types = dict(mapped.dtypes)
    # `attributes` is JSON: its members in another order say the same
    said = {name: (canonical_json(F.col(name)) if name == JSON else F.col(name), types[name]) for name in attributes}
    rows = rows.withColumn("_counts", F.col("_reason").isNull() & F.col("valid_from").isNotNull())
    rows = rows.withColumn("_said", content_hash(said))
    group = [*key, "_counts"]
    delivered = [F.col(c) for c in ("_extracted_at", "_attempt", "_source_file", "_source_row")]
    same_instant = W.partitionBy(*group, "valid_from").orderBy(*delivered).rowsBetween(W.unboundedPreceding, W.unboundedFollowing)
    in_order = W.partitionBy(*group).orderBy("valid_from", *delivered)
    delivery = [c for c in ("_slice_id", "_attempt") if c in mapped.columns]
    rows = rows.withColumn("_speaker", F.last(F.struct("_said", *delivery)).over(same_instant)).withColumn(
        "_speaks", F.col("_speaker._said")
    )
    is_same = F.lit(len(delivery) == 2)
    for column in delivery:
        is_same = is_same & F.col(column).eqNullSafe(F.col("_speaker")[column])
    contradicts = F.col("_counts") & is_same & (F.col("_said") != F.col("_speaks"))
    rows = rows.withColumn("_reason", F.coalesce("_reason", F.when(contradicts, CONTRADICTION)))
    rows = rows.withColumn("_begins", F.lag("_speaks").over(in_order).isNull() | (F.lag("_speaks").over(in_order) != F.col("_speaks")))
    rows = rows.withColumn("_run", F.sum(F.col("_begins").cast("int")).over(in_order))
    run_start = F.min("valid_from").over(W.partitionBy(*group, "_run"))
    rows = rows.withColumn("valid_from", F.when(F.col("_counts"), run_start).otherwise(F.col("valid_from")))
    later = W.partitionBy(*group).orderBy(F.unix_micros("valid_from")).rangeBetween(1, W.unboundedFollowing)
    rows = rows.withColumn("valid_to", F.when(F.col("_counts"), F.min("valid_from").over(later)))
    return rows.drop("_counts", "_said", "_speaker", "_speaks", "_begins", "_run")

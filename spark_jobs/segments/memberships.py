"""segments.memberships: who is in which segment, from when to when, and why they entered.

Truth is told for the last day of the range: who enters then has valid_from at its midnight (UTC), who has left gets valid_to. A run
for a day before the newest one published changes nothing: history is not rewritten backwards.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, functions as F

from spark_jobs.job import Job

KEY = ["person_id", "segment_id"]


def current_segments(profiles: DataFrame, traits: DataFrame, rfm: DataFrame, rules: Mapping[str, Any], to_date: dt.date) -> DataFrame:
    """(person_id, segment_id, entered_because) of everybody as of to_date."""
    stages = traits.where("trait = 'lifecycle'").select(
        "person_id",
        F.concat(F.lit("lifecycle_"), "value").alias("segment_id"),
        F.concat(F.lit("lifecycle stage "), "value").alias("entered_because"),
    )
    scored = rfm.where(F.col("as_of_date") == F.lit(to_date)).select(
        "person_id",
        F.concat(F.lit("rfm_"), "rfm_segment").alias("segment_id"),
        F.format_string("r %d, f %d, m %d", "r", "f", "m").alias("entered_because"),
    )
    of_day = profiles.withColumn("as_of", F.lit(to_date))
    ruled = [
        of_day.where(s["when"]).select("person_id", F.lit(s["name"]).alias("segment_id"), F.lit(s["when"]).alias("entered_because"))
        for s in rules["segments"]
    ]
    rows = stages.unionByName(scored)
    for one in ruled:
        rows = rows.unionByName(one)
    return rows


def enter_and_leave(
    profiles: DataFrame, traits: DataFrame, rfm: DataFrame, existing: DataFrame, rules: Mapping[str, Any], to_date: dt.date
) -> DataFrame:
    """All stays, past and open. existing: the table as it stands; the others: segments.profiles, .traits and .rfm."""
    today = F.lit(to_date).cast("timestamp")
    newest = existing.agg(F.max(F.greatest("valid_from", "valid_to")).alias("_newest"))
    known = existing.crossJoin(F.broadcast(newest)).withColumn("_is_past", F.col("_newest") > today)
    is_past: Column = F.coalesce(F.col("_newest") > today, F.lit(False))
    now = current_segments(profiles, traits, rfm, rules, to_date).crossJoin(F.broadcast(newest)).where(~is_past).drop("_newest")
    # what was opened or closed at this very midnight is judged again, so that a repeated run is the same run
    closed = known.where(f"_is_past or valid_to < timestamp'{to_date} 00:00:00'").select(*KEY, "valid_from", "valid_to", "entered_because")
    pending = known.where(f"not _is_past and (valid_to is null or valid_to >= timestamp'{to_date} 00:00:00')")
    pending = pending.withColumn("valid_to", F.lit(None).cast("timestamp")).select(
        *KEY, "valid_from", F.col("entered_because").alias("_because")
    )
    joined = now.join(pending.where(F.col("valid_from") < today), on=KEY, how="full")
    is_in = F.col("entered_because").isNotNull()
    stays = joined.select(
        *KEY,
        F.coalesce("valid_from", today).alias("valid_from"),
        F.when(~is_in, today).alias("valid_to"),
        F.coalesce("_because", "entered_because").alias("entered_because"),
    )
    return closed.unionByName(stays)


JOB = Job(
    table="segments.memberships",
    inputs={"profiles": "segments.profiles@all", "traits": "segments.traits@all", "rfm": "segments.rfm@all", "existing": "self"},
    transform=enter_and_leave,
    rules="segments",
)

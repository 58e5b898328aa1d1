"""gold.people: every living person, by person_id alone: how long known, what they did, which segments they are in.

Who was merged into another person is counted there (merged_people); names, addresses and identifiers are in no gold table.
"""

from pyspark.sql import DataFrame, functions as F

from conf.settings import Platform
from spark_jobs.job import Job

# segments of these families stand in columns of their own; all others are listed
LIFECYCLE, RFM = "lifecycle_", "rfm_"


def current_segments(memberships: DataFrame) -> DataFrame:
    """(person_id, lifecycle, rfm, segments) of everyone who is in a segment now."""
    current = memberships.where("valid_to is null").select("person_id", "segment_id").distinct()
    is_lifecycle, is_rfm = F.col("segment_id").startswith(LIFECYCLE), F.col("segment_id").startswith(RFM)
    others = F.array_sort(F.collect_set(F.when(~is_lifecycle & ~is_rfm, F.col("segment_id"))))
    return current.groupBy("person_id").agg(
        F.max(F.when(is_lifecycle, F.substring("segment_id", len(LIFECYCLE) + 1, 255))).alias("lifecycle"),
        F.max(F.when(is_rfm, F.substring("segment_id", len(RFM) + 1, 255))).alias("rfm"),
        F.nullif(F.array_join(others, ", "), F.lit("")).alias("segments"),
    )


def describe_people(persons: DataFrame, profiles: DataFrame, memberships: DataFrame, platform: Platform) -> DataFrame:
    """One row per living person.

    persons: identity.persons; profiles: segments.profiles; memberships: segments.memberships; all of each.
    """
    merged = (
        persons.where("status = 'merged'").groupBy(F.col("merged_into").alias("person_id")).agg(F.count(F.lit(1)).alias("merged_people"))
    )
    living = persons.where("status = 'live'").select("person_id", "first_seen_at", "last_seen_at", "is_known", "identifiers")
    activity = profiles.select("person_id", "sessions", "orders", F.col("revenue_amount").cast("decimal(28,2)").alias("revenue_amount"))
    joined = living.join(merged, on="person_id", how="left").join(activity, on="person_id", how="left")
    described = joined.join(current_segments(memberships), on="person_id", how="left")
    return described.fillna(0, subset=["merged_people", "sessions", "orders"]).withColumn("currency", F.lit(platform.reporting_currency))


JOB = Job(
    table="gold.people",
    inputs={"persons": "identity.persons@all", "profiles": "segments.profiles@all", "memberships": "segments.memberships@all"},
    transform=describe_people,
)

"""identity.persons: every person that was ever published, and what became of it.

live = has identifiers now. merged = its anchor now belongs to another person, named in merged_into (one hop, always the current one).
retired = its anchor is gone. erased = stays erased. An id that is only in this table's own past is never forgotten.
"""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame, functions as F

from spark_jobs.functions.people import namespace_rule
from spark_jobs.job import Job


def living(person_map: DataFrame, evidence: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """One row per person that has a current identifier."""
    seen = evidence.where("rule = 'presence'").groupBy(F.col("a").alias("identifier_key"))
    seen = seen.agg(F.min("first_seen_at").alias("first_seen_at"), F.max("last_seen_at").alias("last_seen_at"))
    current = person_map.where("valid_to is null").join(seen, on="identifier_key", how="left")
    return current.groupBy("person_id").agg(
        F.min("first_seen_at").alias("first_seen_at"),
        F.max("last_seen_at").alias("last_seen_at"),
        F.count(F.lit(1)).cast("int").alias("identifiers"),
        F.bool_or(namespace_rule(F.col("namespace"), "known", False, rules["namespaces"])).alias("is_known"),
        F.min("anchor_key").alias("anchor_key"),
        F.min("minted_at").alias("minted_at"),
    )


def past_ids(person_map: DataFrame, published: DataFrame) -> DataFrame:
    """Every id of the person map's closed rows and of this table, with the newest facts that were known of it."""
    closed = (
        person_map.where("valid_to is not null").groupBy("person_id").agg(F.max("anchor_key").alias("k"), F.min("minted_at").alias("m"))
    )
    both = published.join(closed, on="person_id", how="full")
    return both.select(
        "person_id",
        "first_seen_at",
        "last_seen_at",
        F.coalesce("is_known", F.lit(False)).alias("is_known"),
        F.coalesce("status", F.lit("retired")).alias("old_status"),
        F.coalesce("anchor_key", "k").alias("anchor_key"),
        F.coalesce("minted_at", "m").alias("minted_at"),
    )


def describe_persons(person_map: DataFrame, evidence: DataFrame, published: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """One row per person id ever published.

    person_map, evidence: identity tables. published: this table as it stands. rules: conf/rules/identity.yml.
    """
    live = living(person_map, evidence, rules)
    current = person_map.where("valid_to is null")
    gone = past_ids(person_map, published).join(current.select("person_id"), on="person_id", how="left_anti")
    holders = current.select(F.col("identifier_key").alias("anchor_key"), F.col("person_id").alias("holder"))
    gone = gone.join(holders, on="anchor_key", how="left")
    is_erased = F.col("old_status") == "erased"
    status = F.when(is_erased, "erased").when(F.col("holder").isNotNull(), "merged").otherwise("retired")
    return live.select("*", F.lit("live").alias("status"), F.lit(None).cast("string").alias("merged_into")).unionByName(
        gone.select(
            "person_id",
            "first_seen_at",
            "last_seen_at",
            F.lit(0).alias("identifiers"),
            "is_known",
            "anchor_key",
            "minted_at",
            status.alias("status"),
            F.when(~is_erased, F.col("holder")).alias("merged_into"),
        )
    )


JOB = Job(
    table="identity.persons",
    inputs={"person_map": "identity.person_map", "evidence": "identity.evidence", "published": "self"},
    transform=describe_persons,
    rules="identity",
)

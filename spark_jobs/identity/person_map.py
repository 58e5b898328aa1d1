"""identity.person_map: which person an identifier belongs to, since when we know it.

Persons are the connected components of the live edges; every identifier is a person, also alone. A person's id hangs on one anchor
identifier: of the ids whose anchor lies inside a component the one minted first stays, and a component without any mints one from its
best member. So an id survives new identifiers, a merge keeps exactly one id, and a split gives the other one back.
valid_from and valid_to are knowledge time: the end of the run's last day, or the newest time already published when that is later
(knowledge does not go backwards). A row that the same instant supersedes is replaced, so a repeated run leaves the same rows.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from spark_jobs.functions.people import namespace_rank
from spark_jobs.identity.components import components
from spark_jobs.job import Job


def new_person_id(anchor_key: Column) -> Column:
    """32 hex digits of the anchor and the ordinal of its minting (an anchor mints once in this form)."""
    return F.substring(F.sha2(F.concat_ws("\x1f", F.lit("person"), anchor_key, F.lit("0")), 256), 1, 32)


def known_at(published: DataFrame, to_date: dt.date) -> DataFrame:
    """One row, as_of: the instant from which what this run finds is known."""
    end_of_run = F.lit(dt.datetime.combine(to_date + dt.timedelta(days=1), dt.time())).cast("timestamp")
    newest = F.max(F.greatest("valid_from", "valid_to"))
    return published.agg(F.greatest(newest, end_of_run).alias("as_of"))


def members_of(evidence: DataFrame, edges: DataFrame) -> DataFrame:
    """Every identifier once: namespace, first_seen_at, and the component it is in (its own when nothing links it)."""
    nodes = evidence.where("rule = 'presence'").groupBy(F.col("a").alias("identifier_key"))
    nodes = nodes.agg(F.min("namespace_a").alias("namespace"), F.min("first_seen_at").alias("first_seen_at"))
    linked = components(edges.where("status = 'live'"))
    return nodes.join(linked, on="identifier_key", how="left").withColumn("component", F.coalesce("component", "identifier_key"))


def anchors_of(published: DataFrame) -> DataFrame:
    """Each anchor identifier with the first id minted on it; rows without one hang on their person's smallest identifier."""
    ids = published.groupBy("person_id").agg(
        F.coalesce(F.max("anchor_key"), F.min("identifier_key")).alias("identifier_key"),
        F.min(F.coalesce("minted_at", "valid_from")).alias("minted_at"),
    )
    return ids.groupBy("identifier_key").agg(F.min(F.struct("minted_at", "person_id")).alias("minted"))


def name_members(members: DataFrame, anchors: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """Every identifier with its component's person_id, anchor_key and minted_at (null when the id is new)."""
    component = W.partitionBy("component")
    oldest = F.struct(F.col("minted.minted_at"), "first_seen_at", "identifier_key", F.col("minted.person_id"))
    best = F.struct(namespace_rank(F.col("namespace"), rules["namespaces"]), "first_seen_at", "identifier_key")
    named = members.join(anchors, on="identifier_key", how="left").select(
        "identifier_key",
        "namespace",
        F.min(F.when(F.col("minted").isNotNull(), oldest)).over(component).alias("oldest"),
        F.min(best).over(component)["identifier_key"].alias("best_key"),
    )
    return named.select(
        "identifier_key",
        "namespace",
        F.coalesce("oldest.person_id", new_person_id(F.col("best_key"))).alias("person_id"),
        F.coalesce("oldest.identifier_key", "best_key").alias("anchor_key"),
        F.col("oldest.minted_at").alias("minted_at"),
    )


def map_people(evidence: DataFrame, edges: DataFrame, published: DataFrame, to_date: dt.date, rules: Mapping[str, Any]) -> DataFrame:
    """Current rows of every identifier, and the closed rows of what was known before.

    evidence, edges: identity.evidence and identity.edges. published: this table as it stands.
    to_date: last day of the run. rules: conf/rules/identity.yml.
    """
    now = name_members(members_of(evidence, edges), anchors_of(published), rules)
    before = published.where("valid_to is null").select(
        "identifier_key", *[F.col(c).alias(f"old_{c}") for c in ("namespace", "person_id", "valid_from", "anchor_key", "minted_at")]
    )
    both = now.join(before, on="identifier_key", how="full").crossJoin(F.broadcast(known_at(published, to_date)))
    is_kept = F.col("person_id").eqNullSafe(F.col("old_person_id"))
    current = both.where("person_id is not null").select(
        "identifier_key",
        "namespace",
        "person_id",
        F.when(is_kept, F.col("old_valid_from")).otherwise(F.col("as_of")).alias("valid_from"),
        F.lit(None).cast("timestamp").alias("valid_to"),
        "anchor_key",
        F.coalesce("minted_at", "as_of").alias("minted_at"),
    )
    closed = both.where(F.col("old_person_id").isNotNull() & ~is_kept & (F.col("old_valid_from") < F.col("as_of"))).select(
        "identifier_key",
        F.col("old_namespace").alias("namespace"),
        F.col("old_person_id").alias("person_id"),
        F.col("old_valid_from").alias("valid_from"),
        F.col("as_of").alias("valid_to"),
        F.col("old_anchor_key").alias("anchor_key"),
        F.col("old_minted_at").alias("minted_at"),
    )
    history = published.where("valid_to is not null").select(*current.columns)
    return current.unionByName(closed).unionByName(history)


JOB = Job(
    table="identity.person_map",
    inputs={"evidence": "identity.evidence", "edges": "identity.edges", "published": "self"},
    transform=map_people,
    rules="identity",
)

"""identity.edges: which pairs of identifiers make one person, and why the others do not.

An edge is blocked when one of its namespaces does not link (a household, an order, a network address: shared, or of one action),
and capped when one of its ends is a shared device or a hub: then ALL edges of that end to that namespace are capped, so the
outcome does not depend on which came first. Edges that do not link are kept with status and reason.
Limits of this form: the limits count all time, not 90 days; two values of a unique namespace joined by a device below its limit merge.
"""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, functions as F

from spark_jobs.functions.people import namespace_rule
from spark_jobs.job import Job


def ends(edges: DataFrame) -> DataFrame:
    """Each edge from both its ends: node, its namespace, and the namespace at the other end."""
    there = edges.select(
        "edge_key", F.col("a").alias("node"), F.col("namespace_a").alias("namespace"), F.col("namespace_b").alias("other_namespace")
    )
    back = edges.select(
        "edge_key", F.col("b").alias("node"), F.col("namespace_b").alias("namespace"), F.col("namespace_a").alias("other_namespace")
    )
    return there.unionByName(back)


def overload(rules: Mapping[str, Any]) -> Column:
    """shared_device or hub where a node has more neighbours in one namespace than its own namespace allows, else null."""

    def declared(namespace: str, rule: str, default: Any) -> Column:
        return namespace_rule(F.col(namespace), rule, default, rules["namespaces"])

    limits = rules["defaults"]
    is_shared = declared("other_namespace", "unique", False) & (
        F.col("neighbours") > declared("namespace", "max_unique_neighbours", limits["max_unique_neighbours"])
    )
    is_hub = F.col("neighbours") > declared("namespace", "max_neighbours", limits["max_neighbours"])
    return F.when(is_shared, "shared_device").when(is_hub, "hub")


def judge_edges(evidence: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """One row per pair of identifiers over all sources, with status and reason.

    evidence: identity.evidence. rules: conf/rules/identity.yml.
    """
    edges = (
        evidence.where("rule = 'seen_together' and polarity = 'link'")
        .groupBy("edge_key", "a", "b")
        .agg(
            F.min("namespace_a").alias("namespace_a"),
            F.min("namespace_b").alias("namespace_b"),
            F.min("rule").alias("rule"),
            F.array_sort(F.collect_set("source")).alias("sources"),
            F.min("first_seen_at").alias("first_seen_at"),
            F.max("last_seen_at").alias("last_seen_at"),
            F.sum("n").alias("n"),
        )
    )
    links = namespace_rule(F.col("namespace_a"), "links", False, rules["namespaces"]) & namespace_rule(
        F.col("namespace_b"), "links", False, rules["namespaces"]
    )
    edges = edges.withColumn("links", links)
    sides = ends(edges.where("links"))
    degrees = sides.groupBy("node", "namespace", "other_namespace").agg(F.count(F.lit(1)).alias("neighbours"))
    heavy = degrees.withColumn("overload", overload(rules)).where("overload is not null").select("node", "other_namespace", "overload")
    capped = sides.join(heavy, on=["node", "other_namespace"], how="inner").groupBy("edge_key").agg(F.max("overload").alias("overload"))
    judged = edges.join(capped, on="edge_key", how="left")
    return judged.select(
        *[c for c in edges.columns if c != "links"],
        F.when(~F.col("links"), "blocked").when(F.col("overload").isNotNull(), "capped").otherwise("live").alias("status"),
        F.when(~F.col("links"), "namespace_does_not_link").otherwise(F.col("overload")).alias("reason"),
    )


JOB = Job(table="identity.edges", inputs={"evidence": "identity.evidence"}, transform=judge_edges, rules="identity")

"""Whose row is it: the person of a row that carries identifiers, by the rank of their namespaces.

Ranks, hub limits and what links come from conf/rules/identity.yml; a namespace that it does not declare ranks last and does not link.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, functions as F

from conf.settings import rules

UNDECLARED_RANK = 1_000
# so many identifiers or fewer stand on nearly every row
FEW_IDENTIFIERS = 4


def base_namespace(namespace: Column) -> Column:
    """The declared name of a stored namespace: user_id of sandbox.user_id."""
    return F.substring_index(namespace, ".", -1)


def namespace_rule(namespace: Column, rule: str, default: Any, namespaces: Mapping[str, Any] | None = None) -> Column:
    """One declared value of a stored namespace (rank, links, known …); `default` where nothing is declared."""
    declared = rules("identity")["namespaces"] if namespaces is None else namespaces
    pairs = [F.lit(x) for name, spec in sorted(declared.items()) if rule in spec for x in (name, spec[rule])]
    if not pairs:
        return F.lit(default)
    return F.coalesce(F.try_element_at(F.create_map(*pairs), base_namespace(namespace)), F.lit(default))


def namespace_rank(namespace: Column, namespaces: Mapping[str, Any] | None = None) -> Column:
    """The rank of a stored namespace; smaller is better."""
    return namespace_rule(namespace, "rank", UNDECLARED_RANK, namespaces)


def least_of(ranked: Callable[[Column], Column]) -> Column:
    """The least of what `ranked` makes of each of a row's `identifiers` (a struct, or null, which does not count); null without any.

    Written out where they are few: Spark interprets a function over an array's elements, and that took a sixth of the sessions.
    """
    few = [F.when(F.size("identifiers") > i, ranked(F.get("identifiers", F.lit(i)))) for i in range(FEW_IDENTIFIERS)]
    every = F.array_min(F.transform("identifiers", ranked))
    return F.when(F.size("identifiers") <= FEW_IDENTIFIERS, F.least(*few)).otherwise(every)


def current_people(person_map: DataFrame) -> DataFrame:
    """identifier_key and person_id as known now, one row per identifier."""
    return person_map.where("valid_to is null").select("identifier_key", "person_id")


def with_person(rows: DataFrame, person_map: DataFrame, namespaces: Mapping[str, Any] | None = None) -> DataFrame:
    """The rows with person_id: that of the best-ranked of their `identifiers` that has a current row; null when none has.

    rows: any grain, with identifiers ARRAY<STRUCT<namespace, identifier_key>> (null and empty are nobody) and without person_id.
    person_map: identity.person_map. Returns the grain of rows. Each distinct set of identifiers is looked up once.
    """
    seen = rows.where(F.size("identifiers") > 0).select("identifiers").distinct()
    each = seen.select("identifiers", F.posexplode("identifiers").alias("position", "identifier"))
    known = each.withColumn("identifier_key", F.col("identifier.identifier_key")).join(
        current_people(person_map), on="identifier_key", how="inner"
    )
    best_first = F.struct(namespace_rank(F.col("identifier.namespace"), namespaces), "position", "person_id")
    people = known.groupBy("identifiers").agg(F.min(best_first)["person_id"].alias("person_id"))
    return rows.join(people, on="identifiers", how="left")

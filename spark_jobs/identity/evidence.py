"""identity.evidence: what each source says about its identifiers.

A row is either presence (this identifier exists, b is null) or seen_together (these two were on the same event, order or contact).
Presence is what makes an identifier a person when nothing links it. Placeholders were blocked before they became keys, and the events of
known machines say nothing: an identifier that only they carry is nobody.
First form: rebuilt whole from silver. Rows with the same set of identifiers are counted before they are taken apart, because
a visitor's events nearly all carry the same set.
"""

from pyspark.sql import Column, DataFrame, functions as F

from spark_jobs.job import Job


def sightings(rows: DataFrame, seen_at: str) -> DataFrame:
    """How often and when each source showed each set of identifiers."""
    seen = rows.where(F.size("identifiers") > 0).select(
        "source", F.array_distinct("identifiers").alias("identifiers"), F.col(seen_at).alias("seen_at")
    )
    return seen.where("seen_at is not null")


def statement(rule: str, a: Column, b: Column | None = None) -> Column:
    """What one set of identifiers says about a, or about a and b."""
    key, namespace = ("identifier_key", "namespace")
    nothing = F.lit(None).cast("string")
    return F.struct(
        F.lit(rule).alias("rule"),
        a[key].alias("a"),
        (nothing if b is None else b[key]).alias("b"),
        a[namespace].alias("namespace_a"),
        (nothing if b is None else b[namespace]).alias("namespace_b"),
    )


def statements() -> Column:
    """Presence of each of the row's identifiers, and each pair of them once with the smaller key as a."""

    def pairs_of(a: Column) -> Column:
        larger = F.filter("identifiers", lambda b: b["identifier_key"] > a["identifier_key"])
        return F.transform(larger, lambda b: statement("seen_together", a, b))

    return F.concat(F.transform("identifiers", lambda i: statement("presence", i)), F.flatten(F.transform("identifiers", pairs_of)))


def edge_key() -> Column:
    """32 hex digits that name the pair (a, b) in every source."""
    return F.substring(F.sha2(F.concat_ws("\x1f", "a", F.coalesce("b", F.lit(""))), 256), 1, 32)


def collect_evidence(events: DataFrame, orders: DataFrame, contacts: DataFrame) -> DataFrame:
    """One row per source and identifier, and one per source and pair of identifiers.

    events, orders, contacts: all of silver, each with source, identifiers and an instant; events with is_bot too.
    """
    human = events.where(~F.coalesce("is_bot", F.lit(False)))
    seen = sightings(human, "event_at").unionByName(sightings(orders, "ordered_at")).unionByName(sightings(contacts, "valid_from"))
    sets = seen.groupBy("source", "identifiers").agg(
        F.min("seen_at").alias("first_seen_at"), F.max("seen_at").alias("last_seen_at"), F.count(F.lit(1)).alias("n")
    )
    said = sets.select("source", "first_seen_at", "last_seen_at", "n", F.inline(statements()))
    evidence = said.groupBy("source", "rule", "a", "b").agg(
        F.min("namespace_a").alias("namespace_a"),
        F.min("namespace_b").alias("namespace_b"),
        F.min("first_seen_at").alias("first_seen_at"),
        F.max("last_seen_at").alias("last_seen_at"),
        F.sum("n").alias("n"),
    )
    return evidence.select("*", edge_key().alias("edge_key"), F.lit("link").alias("polarity"), F.col("last_seen_at").alias("asserted_at"))


JOB = Job(
    table="identity.evidence",
    inputs={"events": "silver.events@all", "orders": "silver.orders@all", "contacts": "silver.contacts@all"},
    transform=collect_evidence,
)

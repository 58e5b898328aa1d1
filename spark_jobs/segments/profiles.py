"""segments.profiles: every living person with what they did: orders, revenue, sessions, favourite channel."""

from pyspark.sql import DataFrame, functions as F

from spark_jobs.job import Job

NOTHING = "0"


def describe_profiles(persons: DataFrame, conversions: DataFrame, sessions: DataFrame) -> DataFrame:
    """One row per living person. persons, conversions, sessions: all rows of identity.persons and the two journeys tables."""
    living = persons.where("status = 'live'").select("person_id", "first_seen_at", "last_seen_at", "is_known", "identifiers")
    is_order = F.col("conversion_type") == "order"
    worth = F.col("reporting_amount")
    bought = conversions.where("person_id is not null and conversion_type in ('order', 'refund')").groupBy("person_id")
    money = bought.agg(
        F.count_if(is_order & (F.coalesce("value_amount", F.lit(0)) > 0)).alias("orders"),
        F.sum(F.when(is_order & (worth > 0), worth)).alias("revenue_amount"),
        F.sum(F.when(~is_order, -worth)).alias("refunded_amount"),
        F.min(F.when(is_order, F.col("conversion_date"))).alias("first_order_date"),
        F.max(F.when(is_order, F.col("conversion_date"))).alias("last_order_date"),
    )
    visits = sessions.where("person_id is not null and not is_bot").groupBy("person_id", "channel").agg(F.count(F.lit(1)).alias("visits"))
    # the smallest of (fewest negated visits, name) is the channel with most visits, of equals the first by name
    favourite = F.min(F.struct(-F.col("visits"), F.col("channel")))["channel"]
    visited = visits.groupBy("person_id").agg(F.sum("visits").alias("sessions"), favourite.alias("favourite_channel"))
    joined = living.join(money, on="person_id", how="left").join(visited, on="person_id", how="left")
    amounts = {c: F.coalesce(F.col(c), F.lit(NOTHING)).cast("decimal(28,2)") for c in ("revenue_amount", "refunded_amount")}
    return joined.withColumns(amounts).fillna(0, subset=["orders", "sessions"])


JOB = Job(
    table="segments.profiles",
    inputs={"persons": "identity.persons@all", "conversions": "journeys.conversions@all", "sessions": "journeys.sessions@all"},
    transform=describe_profiles,
)

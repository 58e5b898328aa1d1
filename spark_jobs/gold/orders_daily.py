"""gold.orders_daily: orders, revenue and refunds per source and day, in the orders' own currency and in the reporting currency.

A day without an exchange rate keeps its own amounts; its orders are counted in orders_without_rate and missing from
reporting_amount, never converted at 1. Cancelled orders never happened: they are counted apart.
"""

from pyspark.sql import Column, DataFrame, functions as F

from conf.settings import Platform
from spark_jobs.job import Job


def money(column: str) -> Column:
    """The sum over orders that were not cancelled."""
    return F.sum(F.when(F.col("is_kept"), F.col(column))).cast("decimal(18,2)").alias(column)


def person_of_orders(orders: DataFrame, person_map: DataFrame) -> DataFrame:
    """(source, order_id, person_id) of every order whose first mapped identifier has a person.

    Identifiers of one order are one person but for blocked ones, which have no row in the map.
    """
    named = orders.select("source", "order_id", F.posexplode("identifiers").alias("place", "identifier"))
    keyed = named.select("source", "order_id", "place", F.col("identifier.identifier_key").alias("identifier_key"))
    current = person_map.where("valid_to is null").select("identifier_key", "person_id")
    found = keyed.join(current, on="identifier_key", how="inner")
    return found.groupBy("source", "order_id").agg(F.min_by("person_id", "place").alias("person_id"))


def count_orders(orders: DataFrame, person_map: DataFrame, platform: Platform) -> DataFrame:
    """One row per (day, source, currency, is_sample).

    orders: silver.orders, with a day on either side of the range; person_map: identity.person_map.
    """
    known = orders.join(person_of_orders(orders, person_map), on=["source", "order_id"], how="left")
    dated = known.select(
        F.to_date(F.from_utc_timestamp("ordered_at", platform.reporting_time_zone)).alias("day"),
        "source",
        F.coalesce("currency", F.lit("")).alias("currency"),
        F.coalesce("is_sample", F.lit(False)).alias("is_sample"),
        (F.coalesce("status", F.lit("completed")) != "cancelled").alias("is_kept"),
        "gross_amount", "net_amount", "refunded_amount", "reporting_amount", "person_id",
    )  # fmt: skip
    return dated.groupBy("day", "source", "currency", "is_sample").agg(
        F.count_if("is_kept").alias("orders"),
        F.count_if(~F.col("is_kept")).alias("cancelled_orders"),
        *(money(column) for column in ("gross_amount", "net_amount", "refunded_amount", "reporting_amount")),
        F.lit(platform.reporting_currency).alias("reporting_currency"),
        F.count_if(F.col("is_kept") & F.col("reporting_amount").isNull()).alias("orders_without_rate"),
        F.count_distinct(F.when(F.col("is_kept"), F.col("person_id"))).alias("people"),
    )


JOB = Job(
    table="gold.orders_daily",
    inputs={"orders": "silver.orders", "person_map": "identity.person_map@all"},
    transform=count_orders,
    lookback_days=1,
    lookahead_days=1,
)

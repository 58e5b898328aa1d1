"""gold.orders_daily: orders, revenue and refunds per source and day, in the orders' own currency and in the reporting currency.

A day without an exchange rate keeps its own amounts; its orders are counted in orders_without_rate and missing from
reporting_amount, never converted at 1. Cancelled orders never happened: they are counted apart.
Needs no people: it stands as soon as the orders are in (dags/build_orders.py).
"""

from pyspark.sql import Column, DataFrame, functions as F

from conf.settings import Platform
from spark_jobs.job import Job


def money(column: str) -> Column:
    """The sum over orders that were not cancelled."""
    return F.sum(F.when(F.col("is_kept"), F.col(column))).alias(column)


def count_orders(orders: DataFrame, platform: Platform) -> DataFrame:
    """One row per (day, source, currency, is_sample). orders: silver.orders, with a day on either side of the range."""
    dated = orders.select(
        F.to_date(F.from_utc_timestamp("ordered_at", platform.reporting_time_zone)).alias("day"),
        "source",
        F.coalesce("currency", F.lit("")).alias("currency"),
        F.coalesce("is_sample", F.lit(False)).alias("is_sample"),
        (F.coalesce("status", F.lit("completed")) != "cancelled").alias("is_kept"),
        "gross_amount", "net_amount", "refunded_amount", "reporting_amount",
    )  # fmt: skip
    return dated.groupBy("day", "source", "currency", "is_sample").agg(
        F.count_if("is_kept").alias("orders"),
        F.count_if(~F.col("is_kept")).alias("cancelled_orders"),
        *(money(column) for column in ("gross_amount", "net_amount", "refunded_amount", "reporting_amount")),
        F.lit(platform.reporting_currency).alias("reporting_currency"),
        F.count_if(F.col("is_kept") & F.col("reporting_amount").isNull()).alias("orders_without_rate"),
    )


JOB = Job(
    table="gold.orders_daily",
    inputs={"orders": "silver.orders"},
    transform=count_orders,
    lookback_days=1,
    lookahead_days=1,
)

"""journeys.conversions: one conversion, or one refund that takes value back.

An order converts once, with its net amount before refunds, whatever that is (a zero or negative one keeps its value; attribution says
why it earns nothing). Each refund is its own row with quantity 0 and a negative amount, dated at the refund and at the rate of its
order's conversion: the reporting amounts of an order's refunds are differences of the rounded running total, so a full refund in any
number of parts takes back the order's amount to the cent. A refund of an unknown order has no refund_of and takes its own day's rate.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from conf.settings import Platform
from spark_jobs.functions.money import to_reporting_currency
from spark_jobs.functions.people import with_person
from spark_jobs.job import Job

MONEY = "decimal(18,2)"


def order_conversion_id() -> Column:
    """source:order_id."""
    return F.concat_ws(":", "source", "order_id")


def order_conversions(orders: DataFrame) -> DataFrame:
    """A conversion per order."""
    return orders.select(
        order_conversion_id().alias("conversion_id"),
        "person_id",
        F.col("ordered_at").alias("converted_at"),
        F.lit("order").alias("conversion_type"),
        F.lit(1).cast("decimal(18,6)").alias("quantity"),
        F.col("net_amount").alias("value_amount"),
        "currency",
        "reporting_amount",
        "order_id",
        F.lit(None).cast("string").alias("refund_of"),
        "source",
        "is_sample",
    )


def taken_back(refunded: Column) -> Column:
    """What a running total of refunds is in the reporting currency, at the order's own rate."""
    exact = refunded.cast("decimal(38,6)") * F.col("order_reporting_amount").cast(MONEY) / F.nullif(F.col("order_net_amount"), F.lit(0))
    return F.round(exact, 2).cast(MONEY)


def refund_conversions(refunds: DataFrame, orders: DataFrame) -> DataFrame:
    """A row per refund but those of orders that did not convert.

    refunds: of all days (a refund's cents depend on the earlier refunds of its order), with person_id and their own day's reporting_amount.
    orders: of all days, with person_id and is_conversion.
    """
    originals = orders.select(
        "source",
        "order_id",
        "is_conversion",
        "is_sample",
        order_conversion_id().alias("refund_of"),
        F.col("person_id").alias("order_person_id"),
        F.col("net_amount").alias("order_net_amount"),
        F.col("reporting_amount").alias("order_reporting_amount"),
        F.col("currency").alias("order_currency"),
    )
    matched = refunds.join(originals, on=["source", "order_id"], how="left").where("coalesce(is_conversion, true)")
    so_far = W.partitionBy("source", "order_id").orderBy("refunded_at", "refund_id").rowsBetween(W.unboundedPreceding, W.currentRow)
    matched = matched.withColumn("refunded_after", F.sum("amount").over(so_far))
    at_orders_rate = taken_back(F.col("refunded_after")) - taken_back(F.col("refunded_after") - F.col("amount"))
    is_of_order = F.col("currency") == F.col("order_currency")
    reporting = F.when(F.col("refund_of").isNull(), F.col("reporting_amount")).when(is_of_order, at_orders_rate)
    return matched.select(
        F.concat_ws(":", F.lit("refund"), "source", "refund_id").alias("conversion_id"),
        F.coalesce("order_person_id", "person_id").alias("person_id"),
        F.col("refunded_at").alias("converted_at"),
        F.lit("refund").alias("conversion_type"),
        F.lit(0).cast("decimal(18,6)").alias("quantity"),
        (-F.col("amount")).cast(MONEY).alias("value_amount"),
        "currency",
        (-reporting).cast(MONEY).alias("reporting_amount"),
        "order_id",
        "refund_of",
        "source",
        "is_sample",
    )


def event_conversions(events: DataFrame, declared: Mapping[str, str]) -> DataFrame:
    """A conversion per event. events: of declared names, with person_id, value_amount, currency and reporting_amount."""
    kinds = F.create_map(*(F.lit(x) for pair in sorted(declared.items()) for x in pair))
    return events.select(
        F.concat_ws(":", F.lit("event"), "event_id").alias("conversion_id"),
        "person_id",
        F.col("event_at").alias("converted_at"),
        kinds[F.col("event_name")].alias("conversion_type"),
        F.lit(1).cast("decimal(18,6)").alias("quantity"),
        "value_amount",
        "currency",
        "reporting_amount",
        "order_id",
        F.lit(None).cast("string").alias("refund_of"),
        "source",
        F.lit(None).cast("boolean").alias("is_sample"),
    )


def worth_something(events: DataFrame, reporting_currency: str) -> DataFrame:
    """Events without a value are worth 0.00 in the reporting currency."""
    has_value = F.col("value_amount").isNotNull()
    currency = F.when(has_value, F.col("currency")).otherwise(F.lit(reporting_currency))
    return events.withColumn("currency", currency).withColumn("value_amount", F.coalesce("value_amount", F.lit(0).cast(MONEY)))


def collect_conversions(
    orders: DataFrame,
    all_orders: DataFrame,
    all_refunds: DataFrame,
    events: DataFrame,
    fx_rates: DataFrame,
    person_map: DataFrame,
    from_date: dt.date,
    to_date: dt.date,
    platform: Platform,
    rules: Mapping[str, Any],
) -> DataFrame:
    """One row per conversion and refund of the range.

    orders, events: silver.orders and silver.events of the range. all_orders, all_refunds, fx_rates, person_map: whole tables
    (a refund needs its order and the order's other refunds). from_date, to_date: inclusive. rules: conf/rules/journeys.yml.
    """
    rule, currency = rules["conversions"], platform.reporting_currency
    bought = with_person(orders.where(F.col("status").isin(*rule["order_statuses"])), person_map)
    originals = with_person(all_orders, person_map).withColumn("is_conversion", F.col("status").isin(*rule["order_statuses"]))
    given_back = to_reporting_currency(with_person(all_refunds, person_map), fx_rates, "amount", "refund_date", currency)
    named = with_person(events.where(F.col("event_name").isin(*sorted(rule["events"]))), person_map)
    declared = to_reporting_currency(worth_something(named, currency), fx_rates, "value_amount", "event_date", currency)
    every = (
        order_conversions(bought)
        .unionByName(refund_conversions(given_back, originals))
        .unionByName(event_conversions(declared, rule["events"]))
    )
    dated = every.withColumn("conversion_date", F.to_date("converted_at"))
    return dated.where(F.col("conversion_date").between(F.lit(from_date), F.lit(to_date)))


JOB = Job(
    table="journeys.conversions",
    inputs={
        "orders": "silver.orders",
        "all_orders": "silver.orders@all",
        "all_refunds": "silver.refunds@all",
        "events": "silver.events",
        "fx_rates": "silver.fx_rates@all",
        "person_map": "identity.person_map@all",
    },
    transform=collect_conversions,
    restates={"all_orders": "order_id"},
    rules="journeys",
)

"""journeys.conversions: one conversion, or one refund that takes value back.

An order converts once, with its net amount before refunds, whatever that is (a zero or negative one keeps its value; attribution says
why it earns nothing). Each refund is its own row with quantity 0 and a negative amount, dated at the refund, in the currency and at the
rate of its order's conversion. It is of what was paid, with tax and shipping, and takes back that share of the net amount. Its amounts are
differences of the rounded running total, so a full refund in any number of parts takes back the order's amount to the cent. A refund of
an unknown order has no refund_of and takes its own day's rate.
"""

import datetime as dt
from collections.abc import Mapping
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from conf.settings import Platform
from spark_jobs.functions.money import OWN, REPORTING, finest, in_order_currency, limited, net_of_refund, part_of, to_reporting_currency
from spark_jobs.functions.people import with_person
from spark_jobs.job import Job


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


def taken_back(net: Column) -> Column:
    """What so much of an order's net amount is in the reporting currency, at the order's own rate, as REPORTING."""
    cents = part_of(F.col("order_reporting_amount") * 100, finest(net), finest(F.col("order_net_amount")))
    return (cents.cast("decimal(18,0)") * F.lit("0.01").cast("decimal(2,2)")).cast(REPORTING)


def refund_conversions(refunds: DataFrame, orders: DataFrame, fx_rates: DataFrame, reporting_currency: str) -> DataFrame:
    """A row per refund but those of orders that did not convert.

    refunds: of all days (a refund's cents depend on the earlier refunds of its order), with person_id and their own day's reporting_amount.
    orders: of all days, with person_id and is_conversion. fx_rates: silver.fx_rates.
    """
    originals = orders.select(
        "source",
        "order_id",
        "is_conversion",
        "is_sample",
        "order_date",
        order_conversion_id().alias("refund_of"),
        F.col("person_id").alias("order_person_id"),
        F.col("net_amount").alias("order_net_amount"),
        (F.col("net_amount") + F.col("tax_amount") + F.col("shipping_amount")).cast(OWN).alias("order_paid_amount"),
        F.col("reporting_amount").alias("order_reporting_amount"),
        F.col("currency").alias("order_currency"),
    )
    matched = refunds.join(originals, on=["source", "order_id"], how="left").where("coalesce(is_conversion, true)")
    matched = in_order_currency(matched, fx_rates, reporting_currency)
    so_far = W.partitionBy("source", "order_id").orderBy("refunded_at", "refund_id").rowsBetween(W.unboundedPreceding, W.currentRow)
    refunded = limited(F.sum("order_amount").over(so_far)).cast(OWN)
    matched = matched.withColumn("refunded_after", refunded).withColumn(
        "refunded_before", (F.col("refunded_after") - F.col("order_amount")).cast(OWN)
    )
    order = [F.col(f"order_{name}") for name in ("net_amount", "paid_amount", "currency")]
    matched = matched.withColumns({f"net_{when}": net_of_refund(F.col(f"refunded_{when}"), *order) for when in ("before", "after")})
    of_order = F.coalesce(F.col("net_after") - F.col("net_before"), F.col("order_amount"))
    has_order = F.col("refund_of").isNotNull() & F.col("order_amount").isNotNull()
    value = F.when(has_order, of_order).otherwise(F.col("amount"))
    at_orders_rate = taken_back(F.col("net_after")) - taken_back(F.col("net_before"))
    reporting = F.when(F.col("refund_of").isNull(), F.col("reporting_amount")).when(has_order, at_orders_rate)
    return matched.select(
        F.concat_ws(":", F.lit("refund"), "source", "refund_id").alias("conversion_id"),
        F.coalesce("order_person_id", "person_id").alias("person_id"),
        F.col("refunded_at").alias("converted_at"),
        F.lit("refund").alias("conversion_type"),
        F.lit(0).cast("decimal(18,6)").alias("quantity"),
        (-value).cast(OWN).alias("value_amount"),
        F.when(has_order, F.col("order_currency")).otherwise(F.col("currency")).alias("currency"),
        (-reporting).cast(REPORTING).alias("reporting_amount"),
        "order_id",
        "refund_of",
        "source",
        "is_sample",
    )


def declared_events(events: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """event_name -> {type, when, value_amount}, where the rules may give the type alone."""
    full = {name: {"type": rule} if isinstance(rule, str) else rule for name, rule in sorted(events.items())}
    return {name: {"when": "true", "value_amount": 0} | dict(rule) for name, rule in full.items()}


def by_name(declared: Mapping[str, Mapping[str, Any]], item: str, kind: str) -> Column:
    """What the rules say about the event's name; null where they do not name it."""
    pairs = [F.lit(x) for name, rule in declared.items() for x in (name, str(rule[item]))]
    return F.try_element_at(F.create_map(*pairs), F.col("event_name")).cast(kind) if pairs else F.lit(None).cast(kind)


def event_conversions(events: DataFrame, declared: Mapping[str, Mapping[str, Any]]) -> DataFrame:
    """A conversion per event. events: those that convert, with person_id, value_amount, currency and reporting_amount."""
    return events.select(
        F.concat_ws(":", F.lit("event"), "event_id").alias("conversion_id"),
        "person_id",
        F.col("event_at").alias("converted_at"),
        by_name(declared, "type", "string").alias("conversion_type"),
        F.lit(1).cast("decimal(18,6)").alias("quantity"),
        "value_amount",
        "currency",
        "reporting_amount",
        "order_id",
        F.lit(None).cast("string").alias("refund_of"),
        "source",
        F.lit(None).cast("boolean").alias("is_sample"),
        "is_bot",
    )


def converting(events: DataFrame, declared: Mapping[str, Mapping[str, Any]]) -> DataFrame:
    """The events whose name is declared and whose `when` is met."""
    meets = [(F.col("event_name") == name) & F.coalesce(F.expr(rule["when"]), F.lit(False)) for name, rule in declared.items()]
    return events.where(reduce(lambda one, other: one | other, meets, F.lit(False)))


def worth_something(events: DataFrame, declared: Mapping[str, Mapping[str, Any]], reporting_currency: str) -> DataFrame:
    """Events without a value are worth what the rules say, else 0.00, in the reporting currency."""
    has_value = F.col("value_amount").isNotNull()
    currency = F.when(has_value, F.col("currency")).otherwise(F.lit(reporting_currency))
    return events.withColumn("currency", currency).withColumn(
        "value_amount", F.coalesce("value_amount", by_name(declared, "value_amount", OWN))
    )


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
    declared = declared_events(rule["events"])
    bought = with_person(orders.where(F.col("status").isin(*rule["order_statuses"])), person_map)
    originals = with_person(all_orders, person_map).withColumn("is_conversion", F.col("status").isin(*rule["order_statuses"]))
    given_back = to_reporting_currency(with_person(all_refunds, person_map), fx_rates, "amount", "refund_date", currency)
    told = worth_something(with_person(converting(events, declared), person_map), declared, currency)
    told = to_reporting_currency(told, fx_rates, "value_amount", "event_date", currency)
    every = event_conversions(told, declared)
    for others in (order_conversions(bought), refund_conversions(given_back, originals, fx_rates, currency)):
        every = every.unionByName(others, allowMissingColumns=True)
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
    reassigns={"person_map": "person_id"},
    rules="journeys",
)

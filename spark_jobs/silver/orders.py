"""silver.orders: one order, summed from its lines, with what was refunded of it so far.

net_amount is what was sold: gross less discounts, before refunds, without tax and shipping. All lines of an order lie on one
order_date (silver.order_lines sees to it), so the range's lines are whole orders; refunds of any day count, in the order's currency.
An order whose lines have several currencies is summed in the reporting currency, at its day's rates; where one of these is missing it is
set aside, because nobody knows what it is worth.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame, functions as F

from conf.tables import table
from spark_jobs.functions.money import OWN, in_order_currency, limited, rounded, to_reporting_currency, with_rate
from spark_jobs.job import Job

COLUMNS = table("silver.orders").column_names
ORDER = ["order_id", "source"]


def total(column: str) -> Column:
    """The order's sum of an amount that a line may leave out; null where it has several currencies and one has no rate."""
    exact = F.coalesce(F.sum(F.when(F.col("is_mixed_currency"), F.col(column) * F.col("_rate")).otherwise(F.col(column))), F.lit(0))
    has_rates = ~F.bool_or("is_mixed_currency") | F.bool_and(F.col("_rate").isNotNull())
    return F.when(has_rates, exact).alias(column)


def buyer() -> Column:
    """The identifiers of the order's first line that has any, else an empty array."""
    known = F.when(F.size("identifiers") > 0, F.col("identifiers"))
    return F.coalesce(
        F.min_by(known, F.when(known.isNotNull(), F.col("line_number"))),
        F.expr("cast(array() as array<struct<namespace:string,identifier_key:string>>)"),
    )


def status() -> Column:
    """cancelled as the source says; refunded when nothing of the paid sum is left; else partially_refunded or completed."""
    paid = F.col("net_amount") + F.col("tax_amount") + F.col("shipping_amount")
    return (
        F.when(F.col("is_cancelled"), "cancelled")
        .when((F.col("refunded_amount") > 0) & (F.col("refunded_amount") >= paid), "refunded")
        .when(F.col("refunded_amount") > 0, "partially_refunded")
        .otherwise("completed")
    )


def sum_orders(order_lines: DataFrame, refunds: DataFrame, fx_rates: DataFrame, platform: Any, source: str | None = None) -> DataFrame:
    """One row per order of every source given (of `source`, when it is named).

    order_lines: silver.order_lines of the range; refunds: all of silver.refunds; fx_rates: silver.fx_rates. The rate is that of order_date.
    """
    if source is not None:
        order_lines, refunds = order_lines.where(F.col("source") == source), refunds.where(F.col("source") == source)
    reporting = platform.reporting_currency
    lines = order_lines.withColumn("is_mixed_currency", F.coalesce("is_mixed_currency", F.lit(False)))
    orders = (
        with_rate(lines, fx_rates, "order_date", reporting)
        .groupBy(*ORDER)
        .agg(
            F.min("order_date").alias("order_date"),
            F.min("ordered_at").alias("ordered_at"),
            F.max("updated_at").alias("lines_updated_at"),
            F.max(F.coalesce(F.col("order_status") == "cancelled", F.lit(False))).alias("is_cancelled"),
            buyer().alias("identifiers"),
            F.count(F.lit(1)).cast("int").alias("lines"),
            F.round(F.sum("quantity")).cast("bigint").alias("units"),
            *(total(f"{kind}_amount") for kind in ("line", "discount", "tax", "shipping")),
            F.bool_or("is_mixed_currency").alias("is_mixed_currency"),
            F.when(F.bool_or("is_mixed_currency"), reporting).otherwise(F.min("currency")).alias("currency"),
            F.min("coupon_code").alias("coupon_code"),
            F.min("country").alias("country"),
            F.max(F.coalesce("is_sample", F.lit(False))).alias("is_sample"),
        )
    )
    for kind in ("line", "discount", "tax", "shipping"):
        amount = F.col(f"{kind}_amount")
        summed = F.when(F.col("is_mixed_currency"), rounded(amount, F.lit(reporting))).otherwise(limited(amount).cast(OWN))
        orders = orders.withColumn(f"{kind}_amount", summed)
    orders = orders.withColumnRenamed("line_amount", "gross_amount")
    of_orders = orders.select(*ORDER, F.col("currency").alias("order_currency"), "order_date")
    refunded = (
        in_order_currency(refunds.join(of_orders, on=ORDER, how="inner"), fx_rates, reporting)
        .groupBy(*ORDER)
        .agg(F.sum("order_amount").alias("refunded"), F.max("updated_at").alias("refunds_updated_at"))
    )
    orders = orders.join(refunded, on=ORDER, how="left")
    orders = orders.withColumns(
        {
            "net_amount": (F.col("gross_amount") - F.col("discount_amount")).cast(OWN),
            "refunded_amount": limited(F.coalesce("refunded", F.lit(0))).cast(OWN),
            "updated_at": F.greatest("lines_updated_at", "refunds_updated_at"),
        }
    )
    priced = to_reporting_currency(orders, fx_rates, "net_amount", "order_date", reporting)
    return priced.withColumn("status", status()).select(*COLUMNS)


JOB = Job(
    table="silver.orders",
    inputs={"order_lines": "silver.order_lines", "refunds": "silver.refunds@all", "fx_rates": "silver.fx_rates@all"},
    transform=sum_orders,
    restates={"refunds": "order_id"},
)

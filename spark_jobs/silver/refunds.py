"""silver.refunds: one refunded line, tied to the order it undoes.

Where the source names no order, a refund belongs to the same customer's latest earlier order of the same product at the same unit
price that still has the quantity. Each match uses up quantity that the next refund can no longer have, so refunds are matched one
after another, in (refunded_at, refund invoice, product, quantity, refund_id) order.

Known limit: a refund that comes late and lies before matched ones does not take their order away from them until their range is run.
"""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window as W, functions as F

from spark_jobs.functions.money import OWN, limited
from spark_jobs.job import Job

CUSTOMER = "customer_key"
GROUP = [CUSTOMER, "product_id", "unit_amount"]
MATCHES = "refund_id STRING, matched_order_id STRING"
LINE, REFUND = 0, 1


def match_refunds(group: pa.Table) -> pa.Table:
    """The order of each refund of ONE customer, greedily in time order.

    group: rows of kind LINE (an order's product at a price: order_id, at, quantity) and REFUND (refund_id, at, refund_invoice, quantity).
    Sequential by nature (each match changes what the next may take), which SQL windows cannot express: they see the input's columns,
    never the quantity that earlier matches left.
    """
    rows = group.to_pylist()
    offered: dict[tuple, list[list]] = {}
    for row in sorted((r for r in rows if r["kind"] == LINE), key=lambda r: (r["at"], r["id"])):
        offered.setdefault((row["product_id"], row["unit_amount"]), []).append([row["at"], row["id"], row["quantity"]])
    ids, orders = [], []
    refunds = (r for r in rows if r["kind"] == REFUND)
    for refund in sorted(refunds, key=lambda r: (r["at"], r["refund_invoice"] or "", r["product_id"], r["quantity"], r["id"])):
        found = None
        for order in reversed(offered.get((refund["product_id"], refund["unit_amount"]), ())):
            if order[0] < refund["at"] and order[2] >= refund["quantity"]:
                order[2] -= refund["quantity"]
                found = order[1]
                break
        ids.append(refund["id"])
        orders.append(found)
    return pa.table({"refund_id": pa.array(ids, pa.string()), "matched_order_id": pa.array(orders, pa.string())})


def matched_orders(open_refunds: DataFrame, order_lines: DataFrame) -> DataFrame:
    """(refund_id, matched_order_id) of every open refund.

    open_refunds: refund_id, customer_key, product_id, unit_amount, refunded_at, quantity, refund_invoice; one row per refund_id.
    """
    wanted = open_refunds.select(*GROUP).distinct()
    ordered_at = order_lines.withColumn(CUSTOMER, F.try_element_at("identifiers", F.lit(1))["identifier_key"])
    lines = ordered_at.join(wanted, on=GROUP, how="left_semi").groupBy(*GROUP, "order_id")
    offers = lines.agg(F.min("ordered_at").alias("at"), limited(F.sum("quantity")).cast("decimal(18,3)").alias("quantity"))
    offers = offers.select(
        *GROUP,
        F.lit(LINE).alias("kind"),
        F.col("order_id").alias("id"),
        "at",
        "quantity",
        F.lit(None).cast("string").alias("refund_invoice"),
    )
    asked = open_refunds.select(
        *GROUP, F.lit(REFUND).alias("kind"), F.col("refund_id").alias("id"), F.col("refunded_at").alias("at"), "quantity", "refund_invoice"
    )
    # one group per customer, not per product: a few thousand groups instead of tens of thousands
    return offers.unionByName(asked).groupBy(CUSTOMER).applyInArrow(match_refunds, MATCHES)


def content_line_number() -> Column:
    """1, 2, … by content within one delivery of a refund invoice, for sources whose refund lines have no id."""
    delivery = W.partitionBy("source", "refund_invoice", "_slice_id", "_attempt", F.col("_reason").isNull())
    return F.row_number().over(delivery.orderBy("product_id", "refunded_at", "unit_amount", "quantity", "amount")).cast("string")


def conform_refunds(mapped: DataFrame, order_lines: DataFrame, existing: DataFrame, source: str) -> DataFrame:
    """One row per mapped refund; order_match says given, matched, customer_unknown or order_not_found.

    order_lines: silver.order_lines. existing: silver.refunds of this source: matches of earlier runs have used up quantity.
    """
    refunds = mapped.withColumns(
        {
            "refund_id": F.coalesce("refund_id", F.concat_ws(":", "refund_invoice", content_line_number())),
            "unit_amount": F.coalesce("unit_amount", limited(F.try_divide("amount", "quantity")).cast(OWN)),
            "refund_date": F.to_date("refunded_at"),
            "updated_at": F.coalesce("updated_at", "refunded_at"),
            CUSTOMER: F.try_element_at("identifiers", F.lit(1))["identifier_key"],
        }
    )
    columns = ["refund_id", *GROUP, "refunded_at", "quantity", "refund_invoice"]
    can_match = F.col("order_id").isNull() & F.col(CUSTOMER).isNotNull() & F.col("product_id").isNotNull()
    can_match = can_match & F.col("refunded_at").isNotNull() & F.col("quantity").isNotNull()
    new = refunds.where(can_match & F.col("_reason").isNull()).select(*columns).dropDuplicates(["refund_id"])
    known = existing.where("order_match in ('matched', 'order_not_found')").join(new, on="refund_id", how="left_anti")
    known = known.withColumn(CUSTOMER, F.try_element_at("identifiers", F.lit(1))["identifier_key"]).select(*columns)
    matches = matched_orders(new.unionByName(known), order_lines.where(F.col("source") == source))
    found = refunds.join(matches, on="refund_id", how="left")
    order_match = (
        F.when(F.col("order_id").isNotNull(), "given")
        .when(F.col("matched_order_id").isNotNull() & can_match, "matched")
        .when(F.col(CUSTOMER).isNull(), "customer_unknown")
        .otherwise("order_not_found")
    )
    found = found.withColumn("order_match", order_match)
    unmatched = F.when(F.col("order_match").isin("customer_unknown", "order_not_found"), F.col("order_match"))
    return found.withColumns(
        {
            "reason": F.coalesce("reason", unmatched),
            "order_id": F.coalesce("order_id", F.when(F.col("order_match") == "matched", F.col("matched_order_id"))),
        }
    ).drop("matched_order_id", CUSTOMER)


JOB = Job(
    table="silver.refunds",
    inputs={"mapped": "mapped:silver.refunds", "order_lines": "silver.order_lines@all", "existing": "self"},
    transform=conform_refunds,
)

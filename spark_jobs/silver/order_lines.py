"""silver.order_lines: one line of an order.

A source without line numbers gets them per order and delivery, in an order that the lines' content decides: the same delivery again
has the same numbers (and is a duplicate), while two identical lines of one delivery stay two lines.
Known limit: an order delivered again with FEWER lines keeps the old ones where the source has no line numbers.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from spark_jobs.functions.money import amount_of
from spark_jobs.job import Job

DELIVERY = ("source", "order_id", "_slice_id", "_attempt")


def content_line_number() -> Column:
    """1, 2, … by content within one delivery of the order."""
    by_content = W.partitionBy(*DELIVERY, F.col("_reason").isNull()).orderBy(
        "product_id", "ordered_at", "unit_amount", "quantity", "description", "line_amount", "discount_amount"
    )
    return F.row_number().over(by_content)


def with_line_amount(mapped: DataFrame) -> DataFrame:
    """The mapped lines, each with its line_amount: what it is worth is part of what it says, and must survive."""
    return mapped.withColumn("line_amount", F.coalesce("line_amount", amount_of(F.col("quantity"), F.col("unit_amount"))))


def conform_order_lines(mapped: DataFrame) -> DataFrame:
    """One row per mapped line, with line_number and the order's UTC day."""
    of_order = W.partitionBy("source", "order_id", F.col("_reason").isNull())
    return mapped.withColumns(
        {
            "line_number": F.coalesce("line_number", content_line_number()).cast("int"),
            "order_date": F.to_date(F.min("ordered_at").over(of_order)),
            "updated_at": F.coalesce("updated_at", "ordered_at"),
        }
    )


JOB = Job(
    table="silver.order_lines",
    inputs={"mapped": "mapped:silver.order_lines"},
    prepare=with_line_amount,
    transform=conform_order_lines,
)

"""silver.order_lines: one line of an order.

A source without line numbers gets them per order and delivery, in an order that the lines' content decides: the same delivery again
has the same numbers (and is a duplicate), while two identical lines of one delivery stay two lines.
What is said of the whole order (its day, whether its lines have one currency) is said of the stored lines too: a line that comes a day
later belongs to its order's day, and one that is earlier moves the stored ones.
Known limit: a line that vanishes from an order that is delivered again stays, with line numbers or without (conf/adr/0006); a shop says
that a line is gone by its quantity 0.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from conf.tables import table
from spark_jobs.functions.fates import failing_checks
from spark_jobs.functions.money import amount_of
from spark_jobs.job import Job

CONTRACT = table("silver.order_lines")
ORDER = ("source", "order_id")

DELIVERY = ("source", "order_id", "_slice_id", "_attempt")


def content_line_number() -> Column:
    """1, 2, … by content within one delivery of the order."""
    by_content = W.partitionBy(*DELIVERY, F.col("_reason").isNull()).orderBy(
        "product_id", "ordered_at", "unit_amount", "quantity", "description", "line_amount", "discount_amount"
    )
    return F.row_number().over(by_content)


def with_line_amount(mapped: DataFrame) -> DataFrame:
    """The mapped lines, each with its line_amount: what it is worth is part of what it says, and must survive."""
    return mapped.withColumn(
        "line_amount", F.coalesce("line_amount", amount_of(F.col("quantity"), F.col("unit_amount"), F.col("currency")))
    )


def facts_of_orders(lines: DataFrame, stored: DataFrame) -> DataFrame:
    """Per order its UTC day and whether its lines have several currencies, over the newest version of each line, given or stored.

    lines: mapped, with line_number and updated_at; those that the gate will set aside say nothing.
    """
    rank = [c for c in (CONTRACT.write.dedupe or {})["by"]]
    versions = [
        rows.select(
            *CONTRACT.keys,
            "ordered_at",
            "currency",
            F.struct(*(F.col(c) if c in rows.columns else F.lit(None) for c in rank)).alias("_rank"),
        )
        for rows in (lines, stored.withColumns({c: F.lit(None).cast(lines.schema[c].dataType) for c in rank if c not in stored.columns}))
    ]
    newest = (
        versions[0]
        .unionByName(versions[1])
        .groupBy(*CONTRACT.keys)
        .agg(F.max_by(F.struct("ordered_at", "currency"), "_rank").alias("line"))
    )
    return newest.groupBy(*ORDER).agg(
        F.to_date(F.min("line.ordered_at")).alias("_order_date"), (F.min("line.currency") != F.max("line.currency")).alias("_is_mixed")
    )


def conform_order_lines(mapped: DataFrame, existing: DataFrame) -> DataFrame:
    """One row per mapped line, with line_number and the order's UTC day; stored lines of which that changes come back with `_restated`.

    existing: silver.order_lines of this source.
    """
    lines = mapped.withColumns(
        {
            "line_number": F.coalesce("line_number", content_line_number()).cast("int"),
            "updated_at": F.coalesce("updated_at", "ordered_at"),
            "_restated": F.lit(False),
        }
    )
    sound = lines.where(F.col("_reason").isNull() & F.coalesce(*failing_checks(CONTRACT)).isNull() & F.col("ordered_at").isNotNull())
    stored = existing.join(F.broadcast(sound.select(*ORDER).distinct()), on=list(ORDER), how="left_semi")
    facts = facts_of_orders(sound, stored)
    found = lines.join(facts, on=list(ORDER), how="left")
    found = found.withColumns(
        {"order_date": F.coalesce("_order_date", F.to_date("ordered_at")), "is_mixed_currency": F.coalesce("_is_mixed", F.lit(False))}
    )
    moved = stored.join(facts, on=list(ORDER), how="inner").where(
        (F.col("order_date") != F.col("_order_date")) | (F.coalesce("is_mixed_currency", F.lit(False)) != F.col("_is_mixed"))
    )
    moved = moved.withColumns({"order_date": F.col("_order_date"), "is_mixed_currency": F.col("_is_mixed"), "_restated": F.lit(True)})
    return found.unionByName(moved, allowMissingColumns=True).drop("_order_date", "_is_mixed")


JOB = Job(
    table="silver.order_lines",
    inputs={"mapped": "mapped:silver.order_lines", "existing": "self"},
    prepare=with_line_amount,
    transform=conform_order_lines,
)

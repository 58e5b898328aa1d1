"""What a mapped row comes to by itself: set aside with a reason, or too late."""

from __future__ import annotations

from pyspark.sql import Column, functions as F

from conf.tables import Field, Table
from spark_jobs.functions.money import LIMIT

# why a row is set aside whose delivery has another one of its key that says something else
CONTRADICTION = "contradicts_its_delivery"


# what is counted or paid: columns of these units lie below LIMIT
LIMITED = ("currency", "reporting currency", "count")


def first_failing(contract: Table) -> Column:
    """The id of the first quarantine check that a row fails, else NULL: a hole, a value beyond any real one, a declared check."""
    beyond = [
        F.when((F.col(c.name) >= LIMIT) | (F.col(c.name) <= -LIMIT), f"out_of_range:{c.name}")
        for c in contract.columns
        if c.unit in LIMITED
    ]
    holes = [F.when(F.col(c.name).isNull(), f"null:{c.name}") for c in contract.columns if not c.nullable]
    return F.coalesce(*beyond, *holes, *failing_checks(contract))


def in_the_future(field: Field, at: Column, landed_at: Column) -> Column:
    """`in_the_future:<column>` where a time lies more than the column's ahead_days after its record was landed, else NULL.

    Judged where values enter: one far time would end an object's current version, and win over every later change of a line, for ever.
    """
    latest = (
        F.date_add(landed_at, field.ahead_days or 0)
        if field.type.lower() == "date"
        else landed_at + F.expr(f"interval {field.ahead_days} days")
    )
    return F.when(at > latest, f"in_the_future:{field.name}")


def failing_checks(contract: Table) -> list[Column]:
    """Per quarantine check its id where a row fails it, else NULL; a list that coalesce takes."""
    checks = [c for c in contract.checks if c.severity == "quarantine" and c.expect]
    return [F.lit(None).cast("string"), *(F.when(~F.coalesce(F.expr(c.expect), F.lit(True)), c.id) for c in checks)]


def is_too_late(contract: Table, accept_late_days: int) -> Column:
    """Whether a row's day lies more than so many days before the first day of the slice that brought it."""
    return F.coalesce(F.col(contract.write.date or "") < F.date_sub(F.col("_slice_from").cast("date"), accept_late_days), F.lit(False))

"""What the contracts say of columns that are never null is what the jobs do: they make those with `made_of`, and no others."""

import datetime as dt
from decimal import Decimal

import pytest

from conf.settings import platform
from conf.tables import table, table_names
from spark_jobs.engine.inputs import values_of
from spark_jobs.io.ranges import Range
from spark_jobs.job import asked_by, jobs

AT = dt.datetime(2026, 1, 5, 12)
SAMPLES = {"timestamp": AT, "date": AT.date(), "boolean": True, "int": 1, "bigint": 1}
MAPPED = [name for name in table_names() if name.startswith("silver.") and jobs()[name].is_mapped()]


def sample(column, number):
    """A value of a column's type; texts differ from row to row."""
    if column.type.startswith("array"):
        return [("email", f"key {number}")]
    if column.type.startswith("decimal"):
        return Decimal(1)
    own = {"currency": "EUR", "event_type": "page", "event_name": "page_viewed"}
    return SAMPLES.get(column.type, own.get(column.name, f"{column.name} {number}") if column.type == "string" else None)


def never_null(contract):
    """The columns that the engine itself does not give."""
    return [c for c in contract.columns if not c.nullable and c.name != "source" and not c.name.startswith("_source_")]


@pytest.mark.parametrize("name", MAPPED)
def test_a_column_is_made_where_its_contract_says_so_and_nowhere_else(name, mapped, rows_of):
    job, contract = jobs()[name], table(name)
    wanted = never_null(contract)
    alone = [{c.name: sample(c, number) for c in contract.columns if c is not left} for number, left in enumerate(wanted)]
    # what a mapping has to name, and what the others say that they are made of
    needed = {c.name for c in wanted if c.made_of is None} | {of for c in wanted for of in c.made_of or ()}
    least = {c.name: sample(c, len(wanted)) for c in contract.columns if c.name in needed}
    least |= {"identifiers": [("email", "key")]} if "identifiers" in needed else {}
    extra = "identifiers array<struct<namespace:string,identifier_key:string>>" if "identifiers" not in contract.column_names else ""
    rows = [{**row, "_slice_id": str(number), "source": "shop"} for number, row in enumerate([*alone, least])]
    for row in rows:
        row.setdefault("identifiers", [("email", "key")])
    given = mapped(name, rows, extra)
    values = values_of(platform(), job, "shop", Range(AT.date(), AT.date()), "")
    if job.prepare:
        given = job.prepare(given, **{arg: values[arg] for arg in asked_by(job.prepare)})
    others = {arg: rows_of(one.table, []) for arg, one in job.reads.items() if arg != job.mapped}
    made = job.transform(**{job.mapped: given}, **others, **{arg: values[arg] for arg in job.wants()})
    found = {row["_source_row"]: row for row in made.select("_source_row", *dict.fromkeys(c.name for c in wanted)).collect()}
    assert {c.name for number, c in enumerate(wanted) if found[number][c.name] is None} == {c.name for c in wanted if c.made_of is None}
    assert [c.name for c in wanted if found[len(wanted)][c.name] is None] == []

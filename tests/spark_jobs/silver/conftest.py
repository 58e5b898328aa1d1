"""Rows as the engine hands them to a silver job: the contract's columns typed, NULL where a test names none."""

from __future__ import annotations

import datetime as dt

import pytest

from conf.tables import table
from spark_jobs.functions.identifiers import pads as pads_of
from spark_jobs.functions.scrubbing import with_scrubbed

PROVENANCE = (
    "_reason STRING, _extracted_at TIMESTAMP, _slice_id STRING, _attempt INT, _slice_from STRING, _sha256 STRING, _unmapped ARRAY<STRING>"
)
EXTRACTED = dt.datetime(2026, 1, 20)


@pytest.fixture
def rows_of(spark):
    """rows_of("silver.orders", [{column: value}]): rows of a published table."""

    def build(name, rows):
        contract = table(name)
        schema = contract.schema.replace(" NOT NULL", "")
        return spark.createDataFrame([tuple(row.get(c) for c in contract.column_names) for row in rows], schema)

    return build


@pytest.fixture
def pads(spark):
    """The key of hashed ids."""
    return spark.createDataFrame([tuple(map(bytearray, pads_of(bytes(32))))], "_inner_pad BINARY, _outer_pad BINARY")


@pytest.fixture
def scrubbed(mapped, pads):
    """scrubbed("silver.orders", [{column: value}]): mapped records as the engine gives them to a job's transform."""
    return lambda name, rows, extra="": with_scrubbed(mapped(name, rows, extra), table(name), pads)


@pytest.fixture
def mapped(spark):
    """mapped("silver.orders", [{column: value}], "extra DDL"): mapped records, with provenance and the mapping's extra columns."""

    def build(name, rows, extra=""):
        contract = table(name)
        own = set(contract.column_names)
        shape = contract.schema.replace(" NOT NULL", "") + "".join(
            f", {c}" for c in f"_source_file STRING, _source_row BIGINT, {PROVENANCE}".split(", ") if c.split(" ")[0] not in own
        )
        shape += f", {extra}" if extra else ""
        names = [*contract.column_names, *(c.split(" ")[0] for c in shape.split(", ") if c.split(" ")[0].startswith("_"))]
        names = list(dict.fromkeys(names)) + ([c.split(" ")[0] for c in extra.split(", ")] if extra else [])
        defaults = {"source": "shop", "_extracted_at": EXTRACTED, "_slice_id": "s1", "_attempt": 1, "_source_file": "f"}
        filled = [{**defaults, "_source_row": i, **row} for i, row in enumerate(rows)]
        return spark.createDataFrame([tuple(row.get(c) for c in names) for row in filled], shape)

    return build

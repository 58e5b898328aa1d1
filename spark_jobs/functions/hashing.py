"""Hashes that tell contents apart: whether two rows, or two batches in whatever order and files, say the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyspark.sql import Column, functions as F

from conf.tables import Table

# When and by whom a row was written is not what it says.
NOT_CONTENT = ("ingested_at", "late_by_seconds", "extracted_at", "run_id", "computed_at")
# as many null marks as a BIGINT holds
MARKS = 62


def content_columns(table: Table) -> list[str]:
    """The columns that the canonical hash covers: all but `_…` metadata and times of storage."""
    return [c.name for c in table.columns if not c.name.startswith("_") and c.name not in NOT_CONTENT]


def content_hash(columns: Mapping[str, tuple[Column, str]]) -> Column:
    """64-bit hash of a row's values: equal where all of them are, never null.

    columns: name -> (value, its Spark SQL type). xxhash64 passes over nulls, also those inside lists, and over empty lists: a value that
    moved from one column to the next would change nothing. So which columns are null is hashed too, and nested values as JSON.
    """
    values = [_hashable(value, kind.lower()) for value, kind in columns.values()]
    is_null = [F.when(value.isNull(), F.lit(1 << (place % MARKS))).otherwise(F.lit(0)) for place, (value, _) in enumerate(columns.values())]
    marks = []
    for first in range(0, len(is_null), MARKS):
        mark = F.lit(0).cast("bigint")
        for one in is_null[first : first + MARKS]:
            mark = mark + one
        marks.append(mark)
    return F.xxhash64(*marks, *values)


def _hashable(value: Column, kind: str) -> Column:
    """What xxhash64 is given for a value: a list, map or struct as JSON with its nulls, a map's entries sorted, because it has no order."""
    if kind.startswith("map"):
        value = F.array_sort(F.map_entries(value))
    return F.to_json(value, {"ignoreNullFields": "false"}) if kind.startswith(("array", "map", "struct")) else value


def row_hash(table: Table, stored: Iterable[str] | None = None) -> Column:
    """The content_hash of a row of the table. stored: of these columns alone."""
    names = [n for n in content_columns(table) if stored is None or n in set(stored)]
    types = {c.name: c.type for c in table.columns}
    return content_hash({n: (F.col(n), types[n]) for n in names})


def canonical_hash(table: Table) -> list[Column]:
    """Aggregates `rows` and `hash` of a set of rows: equal sets give equal values in any order."""
    return [F.count(F.lit(1)).alias("rows"), F.coalesce(F.sum(row_hash(table).cast("decimal(38,0)")), F.lit(0)).alias("hash")]


def canonical_json(text: Column) -> Column:
    """The JSON text with sorted members and without blanks and needless escapes: an object's members have no order (RFC 8259, section 4).
    What is no JSON, or names a member twice, stays as it is."""
    return F.coalesce(F.to_json(F.try_parse_json(text)), text)

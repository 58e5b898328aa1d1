"""Row hashes that say whether two batches hold the same rows, whatever their order and files."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column, functions as F

from conf.tables import Table

# When and by whom a row was written is not what it says.
NOT_CONTENT = ("ingested_at", "late_by_seconds", "extracted_at", "run_id", "computed_at")


def content_columns(table: Table) -> list[str]:
    """The columns that the canonical hash covers: all but `_…` metadata and times of storage."""
    return [c.name for c in table.columns if not c.name.startswith("_") and c.name not in NOT_CONTENT]


def row_hash(table: Table, stored: Iterable[str] | None = None) -> Column:
    """64-bit hash of a row's content; maps as sorted entries, because a map has no order of its own. stored: of these columns alone."""
    types = {c.name: c.type.lower() for c in table.columns}
    names = [n for n in content_columns(table) if stored is None or n in set(stored)]
    return F.xxhash64(*(F.array_sort(F.map_entries(n)) if types[n].startswith("map") else F.col(n) for n in names))


def canonical_hash(table: Table) -> list[Column]:
    """Aggregates `rows` and `hash` of a set of rows: equal sets give equal values in any order."""
    return [F.count(F.lit(1)).alias("rows"), F.coalesce(F.sum(row_hash(table).cast("decimal(38,0)")), F.lit(0)).alias("hash")]

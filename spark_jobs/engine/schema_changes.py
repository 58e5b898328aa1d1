"""ops.schema_changes: in which ways a source's events differ from their contract, how often and since when.

A row remembers what each delivered slice added to it. A run that reads a slice again replaces that slice's part, so that re-runs,
ranges and any split of them leave the same counts.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, functions as F

from conf.personal import masked_text
from conf.tables import table
from spark_jobs.functions.scrubbing import masked_path
from spark_jobs.io.small import opened, overwrite_rows, rows_as_declared, until_first

NAME = "ops.schema_changes"
KEY = ("source", "event_name", "path", "kind", "json_type")
MOST = 1_000


@dataclass(frozen=True)
class Change:
    """What one slice says about one row's key."""

    key: tuple[str, ...]
    slice_id: str
    first_seen: dt.date
    last_seen: dt.date
    rows: int
    run_id: str


def changes_in(events: DataFrame, run_id: str) -> list[Change]:
    """The drift that judged events carry, counted per way and slice; [] where the rows carry none.

    events: source, event_name, event_date, _slice_id and _drift of every record, whatever its fate.
    """
    if "_drift" not in events.columns:
        return []
    told = events.where("_drift is not null").select("source", "event_name", "event_date", "_slice_id", F.explode("_drift").alias("drift"))
    counted = told.groupBy(
        "source", "event_name", masked_path(F.col("drift.path")).alias("path"), "drift.kind", F.coalesce("drift.json_type", F.lit("")).alias("json_type"),
        F.coalesce("_slice_id", F.lit("")).alias("slice_id"),
    ).agg(F.min("event_date").alias("first_seen"), F.max("event_date").alias("last_seen"), F.count(F.lit(1)).alias("n"))  # fmt: skip
    most = counted.orderBy(F.desc("n"), *KEY, "slice_id").limit(MOST).collect()
    return [Change(tuple(r[c] for c in KEY), r["slice_id"], r["first_seen"], r["last_seen"], r["n"], run_id) for r in most]


def found_changes(lines: Iterable[str], run_id: str) -> list[Change]:
    """What a look at a vendor's records found: JSON objects of KEY, first_seen, last_seen (days) and rows (records looked at). A later look of the
    same day replaces an earlier one."""
    found = []
    for line in lines:
        said = json.loads(line)
        first, last = (dt.date.fromisoformat(said[name]) for name in ("first_seen", "last_seen"))
        key = tuple(masked_text(said[name]) if name == "path" else said[name] for name in KEY)
        found.append(Change(key, f"discover {last}", first, last, said["rows"], run_id))
    return found


def merged(stored: Iterable[dict[str, Any]], changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The table's rows after the changes, sorted by key; a row that the changes say nothing new about stays as it is, run_id included."""
    rows = {tuple(row[c] for c in KEY): row for row in stored}
    for change in changes:
        before = rows.get(change.key, {"slices": "{}"})
        slices = json.loads(before["slices"])
        slices[change.slice_id] = [str(change.first_seen), str(change.last_seen), change.rows]
        text = json.dumps(slices, sort_keys=True)
        if text != before["slices"]:
            firsts, lasts, counts = zip(*slices.values())
            seen = {"first_seen": dt.date.fromisoformat(min(firsts)), "last_seen": dt.date.fromisoformat(max(lasts))}
            rows[change.key] = {**dict(zip(KEY, change.key)), **seen, "rows": sum(counts), "run_id": change.run_id, "slices": text}
    return [rows[key] for key in sorted(rows)]


def record_changes(root: str, changes: list[Change]) -> None:
    """Merge the changes into the table; no new version where they say nothing new. Raises OvertakenError if others are always quicker."""
    contract = table(NAME)

    def attempt() -> None:
        log = opened(root, contract)
        stored = rows_as_declared(log, contract).to_pylist()
        rows = merged(stored, changes)
        if rows != sorted(stored, key=lambda row: tuple(row[c] for c in KEY)):
            overwrite_rows(log, contract, [tuple(row[c] for c in contract.column_names) for row in rows])

    if changes:
        until_first(attempt)

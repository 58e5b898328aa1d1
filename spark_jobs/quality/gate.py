"""The gate of a batch: every row gets its fate, one aggregate measures the batch, a Great Expectations suite judges the measures.

All three are derived from the table's YAML. Row-level checks with severity quarantine set rows aside; block stops the batch; warn is
said. The suite runs over the measured profile (how many rows break each expectation), not over the rows: one Spark job instead of a
dozen, and exact counts (conf/adr/0004).
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, functions as F

from conf.tables import Append, Table
from spark_jobs.functions.fates import CONTRADICTION, failing_checks, first_failing, is_too_late
from spark_jobs.functions.hashing import row_hash
from spark_jobs.functions.plans import FEW_KEYS, materialised

# a share of a handful says nothing
FEW = 20
# a share that only a batch of nothing else is above
EVERY_ROW = 1 - 1e-12
# restated: a stored row that the batch changes; it is published again, but it is no input
FATES = ("used", "quarantined", "duplicate", "late", "restated")
# a restated row that a better copy replaces; no row of a judged batch has it
OUTRANKED = "outranked"


@dataclass(frozen=True)
class CheckResult:
    """One line of ops.quality_results."""

    check_id: str
    severity: str
    passed: bool
    rows_checked: int
    rows_failed: int
    observed: str = ""
    sample: str | None = None


@dataclass(frozen=True)
class Judged:
    """A batch with `_fate` and `_reason` on every row, and what one pass over it counted.

    measures: per check id of `measured` the used rows that break it; for a check on row counts the number of used rows.
    kept: the aggregates of `conserved` over all rows that are an input's.
    """

    rows: DataFrame
    counts: dict[str, int]
    reasons: dict[str, int] = field(default_factory=dict)
    measures: dict[str, int] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class Measure:
    """One expectation of a table's suite: how it is counted over the used rows, and between which bounds the count is right. count: None =
    the copies of a key that the search for duplicates left."""

    check_id: str
    severity: str
    count: Column | None
    breaks: Column | None = None
    least: int | None = 0
    most: int | None = 0


def measured(contract: Table) -> list[Measure]:
    """The table's suite: contract columns, keys, and every check that does not set rows aside."""
    found = [broken(f"not_null:{c.name}", "block", F.col(c.name).isNull()) for c in contract.columns if not c.nullable]
    uniques = [("one_row_per_key", "block", contract.keys)] if contract.keys and not isinstance(contract.write.kind, Append) else []
    uniques += [
        (c.id, c.severity, contract.keys if c.unique == "keys" else tuple(c.unique))
        for c in contract.checks
        if c.unique and c.id != "one_row_per_key"
    ]
    for check_id, severity, columns in uniques:
        is_searched = contract.write.dedupe is not None and tuple(columns) == tuple(contract.keys)
        # what was grouped by its key already is not grouped again
        found.append(Measure(check_id, severity, None if is_searched else F.count(F.lit(1)) - F.count_distinct(F.struct(*columns))))
    for c in contract.checks:
        if c.rows:
            found.append(Measure(c.id, c.severity, F.count(F.lit(1)), None, c.rows.get("min"), c.rows.get("max")))
        if c.expect and c.severity != "quarantine":
            found.append(broken(c.id, c.severity, ~F.coalesce(F.expr(c.expect), F.lit(True))))
    return found


def broken(check_id: str, severity: str, condition: Column) -> Measure:
    """No row may meet the condition."""
    return Measure(check_id, severity, F.count_if(condition), condition)


def conserved(contract: Table) -> list[Column]:
    """Aggregates that must survive a mapped table's transform: its rows, and the sums it conserves."""
    sums = [F.sum(F.col(c).cast("decimal(38,6)")).alias(c) for c in contract.conservation if isinstance(c, str)]
    return [F.count(F.lit(1)).alias("rows"), *sums]


def judge(batch: DataFrame, contract: Table, is_mapped: bool, accept_late_days: int) -> Judged:
    """Every row's fate: quarantined (with reason), late, duplicate, or used, in a batch that is computed once."""
    # a hole in a derived row is a fault of the job, not of a record: the suite blocks it
    reason = F.coalesce(F.col("_reason"), first_failing(contract)) if is_mapped else F.coalesce(*failing_checks(contract))
    rows = batch.withColumn("_reason", reason)
    is_dated = is_mapped and contract.write.date and "_slice_from" in batch.columns
    late = is_too_late(contract, accept_late_days) if is_dated else F.lit(False)
    fate = F.when(F.col("_reason").isNotNull(), "quarantined").when(late, "late").otherwise("used")
    if "_restated" in batch.columns:
        fate = F.when(F.coalesce("_restated", F.lit(False)), "restated").otherwise(fate)
    rows = rows.withColumn("_fate", fate)
    rows = materialised(rows.withColumn("_place", F.monotonically_increasing_id()) if contract.write.dedupe else rows)
    rows, copies = with_duplicates(rows, contract) if contract.write.dedupe else (rows, 0)
    suite = measured(contract)
    counting = {f"m_{i}": m.count for i, m in enumerate(suite) if m.count is not None}
    counted = rows.groupBy("_fate", "_reason").agg(*conserved(contract), *(count.alias(name) for name, count in counting.items())).collect()
    counts, reasons_found = dict.fromkeys((*FATES, OUTRANKED), 0), {}
    kept: dict[str, Any] = {"rows": 0}
    measures = {m.check_id: 0 for m in suite}
    for row in counted:
        counts[row["_fate"]] += row["rows"]
        if row["_reason"] is not None:
            reasons_found[row["_reason"]] = reasons_found.get(row["_reason"], 0) + row["rows"]
        if row["_fate"] == "used":
            measures = {m.check_id: row[f"m_{i}"] for i, m in enumerate(suite) if m.count is not None}
        if row["_fate"] not in ("restated", OUTRANKED):
            # as in SQL: a sum of nothing but nulls is null, not zero
            said = {c: row[c] for c in row.__fields__ if c in contract.conservation or c == "rows"}
            kept |= {c: value if kept.get(c) is None else kept[c] + (value or 0) for c, value in said.items()}
    # versions that contradict each other were set aside before copies were looked for
    torn = 0 if "valid_to" in contract.column_names else reasons_found.get(CONTRADICTION, 0)
    left = copies - counts["duplicate"] - torn - counts.pop(OUTRANKED)
    measures |= {m.check_id: left for m in suite if m.count is None}
    return Judged(rows.where(F.col("_fate") != OUTRANKED) if contract.write.dedupe else rows, counts, reasons_found, measures, kept)


def with_duplicates(rows: DataFrame, contract: Table) -> tuple[DataFrame, int]:
    """Of the used rows of a key all but the one that `dedupe` keeps become duplicates, and how many there are. Only the keys are shuffled:
    rows are wide, copies few.

    A restated row takes part, being stored already: a copy of it is a duplicate, and where a better copy came it is outranked itself.
    """
    dedupe = contract.write.dedupe or {}
    is_first = dedupe["keep"] == "first"
    order = [part for c in dedupe["by"] for part in ((F.isnull(c) if is_first else F.isnotnull(c)).alias(f"_no_{c}"), F.col(c))]
    is_own = F.col("_fate") == ("restated" if is_first else "used")
    best = (F.min if is_first else F.max)(F.struct(*order, is_own.alias("_is_own"), "_place")).getField("_place")
    repeated = (
        rows.where("_fate in ('used', 'restated')").groupBy(*contract.keys).agg(F.count(F.lit(1)).alias("_copies"), best.alias("_kept"))
    )
    repeated = materialised(repeated.where("_copies > 1"))
    keys, copies = repeated.agg(F.count(F.lit(1)), F.coalesce(F.sum(F.col("_copies") - 1), F.lit(0))).collect()[0]
    if not keys:
        return rows.drop("_place"), 0
    repeated = repeated.drop("_copies")
    marked = rows.join(F.broadcast(repeated) if keys <= FEW_KEYS else repeated, on=list(contract.keys), how="left")
    loses, fate = F.coalesce(F.col("_kept") != F.col("_place"), F.lit(False)), F.col("_fate")
    lost = F.when(loses & (fate == "used"), "duplicate").when(loses & (fate == "restated"), OUTRANKED)
    marked = marked.withColumn("_fate", F.coalesce(lost, fate))
    # versions are compared where they are made (functions/dates.py)
    if {"_slice_id", "_attempt", "_source_file"} <= set(rows.columns) and not is_first and "valid_to" not in contract.column_names:
        marked = with_contradictions(marked, contract)
    marked = marked.drop("_place", "_kept")
    return marked if keys <= FEW_KEYS else materialised(marked), copies


def with_contradictions(marked: DataFrame, contract: Table) -> DataFrame:
    """Of the duplicates those are set aside that say something else than the row that stands for them, from the same delivery and of the same
    rank: the delivery contradicts itself, and nobody knows which row is right. A repaired record contradicts nothing.

    marked: with `_fate`, `_place` and `_kept`, the place of the row that stands.
    """
    dedupe = contract.write.dedupe or {}
    ranks = [c for c in dedupe["by"] if c in contract.column_names]
    said = F.struct(row_hash(contract).alias("hash"), "_slice_id", "_attempt", *ranks)
    copies = marked.where("_kept is not null")
    stands = copies.where("_kept = _place and not startswith(_source_file, 'replay:')").select(
        F.col("_place").alias("_kept"), said.alias("_standing")
    )
    joined = marked.join(F.broadcast(stands), on="_kept", how="left")
    own, other = said, F.col("_standing")
    is_same_delivery = reduce(lambda one, two: one & two, (own[c].eqNullSafe(other[c]) for c in ("_slice_id", "_attempt", *ranks)))
    contradicts = (F.col("_fate") == "duplicate") & other.isNotNull() & is_same_delivery & (own["hash"] != other["hash"])
    return joined.withColumns(
        {
            "_reason": F.when(contradicts, CONTRADICTION).otherwise(F.col("_reason")),
            "_fate": F.when(contradicts, "quarantined").otherwise(F.col("_fate")),
        }
    ).drop("_standing")


def row_level_results(judged: Judged, contract: Table, max_share: float = 1.0) -> list[CheckResult]:
    """Results of the checks that set rows aside; one that set aside more than its share blocks, and so do all of them together."""
    results = []
    aside = judged.counts["quarantined"]
    if aside:
        share = aside / judged.total
        said = ", ".join(f"{reason} {rows:,}" for reason, rows in sorted(judged.reasons.items()))
        is_bad = aside >= FEW and share > max_share
        results.append(
            CheckResult(
                "set_aside_share", "block" if is_bad else "warn", not is_bad, judged.total, aside, f"{share:.2%} of rows set aside: {said}"
            )
        )
    for check in contract.checks:
        if check.severity == "quarantine" and check.expect:
            failed = judged.reasons.get(check.id, 0)
            share = failed / judged.total if judged.total else 0.0
            severity = "block" if share > check.max_share else "quarantine"
            results.append(
                CheckResult(check.id, severity, share <= check.max_share and failed == 0, judged.total, failed, f"{share:.4%} of rows")
            )
    known = {c.id for c in contract.checks}
    results += [CheckResult(r, "quarantine", False, judged.total, n) for r, n in sorted(judged.reasons.items()) if r not in known]
    return results


def masked_results(masked: Mapping[str, int], rows: int, total: int) -> list[CheckResult]:
    """Whether senders wrote addresses or phone numbers where none belong; nothing where none did. masked: rows per column in which they gave way."""
    said = ", ".join(f"{name} {count:,}" for name, count in sorted(masked.items()))
    return [CheckResult("no_personal_values", "warn", False, total, rows, f"masked: {said}")] if rows else []


def import_early() -> None:
    """Start importing Great Expectations beside the first Spark work: it takes 5 seconds. Call when pyspark is loaded."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    threading.Thread(target=_great_expectations, daemon=True).start()


@cache
def _lock() -> threading.Lock:
    return threading.Lock()


def _great_expectations() -> Any:
    with _lock():
        return importlib.import_module("great_expectations")


def validate(judged: Judged, contract: Table) -> list[CheckResult]:
    """The table's Great Expectations suite over the batch's measures."""
    gx = _great_expectations()
    suite, rows = measured(contract), judged.counts["used"]
    with _lock():
        # its contexts share the process's state
        outcome = _outcome(gx, judged, contract, suite)
    passed = {r.expectation_config.kwargs["column"]: bool(r.success) for r in outcome.results}
    results = []
    for m in suite:
        is_good = passed.get(m.check_id, False)
        failed = 0 if is_good else judged.measures[m.check_id] if m.most == 0 else rows
        sample = None if is_good or m.breaks is None else sample_of(judged, contract, m.breaks)
        results.append(
            CheckResult(
                m.check_id, m.severity, is_good, rows, failed, "" if is_good else f"measured {judged.measures[m.check_id]:,}", sample
            )
        )
    return results


def _outcome(gx: Any, judged: Judged, contract: Table, suite: list[Measure]) -> Any:
    expectations = [
        gx.expectations.ExpectColumnValuesToBeBetween(column=m.check_id, min_value=m.least, max_value=m.most, meta={"table": contract.name})
        for m in suite
    ]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    profile = pd.DataFrame([judged.measures])
    batch = context.data_sources.add_pandas("profile").add_dataframe_asset(contract.name).add_batch_definition_whole_dataframe("batch")
    definition = gx.ValidationDefinition(
        name=contract.name, data=batch, suite=context.suites.add(gx.ExpectationSuite(name=contract.name, expectations=expectations))
    )
    return definition.run(batch_parameters={"dataframe": profile}, result_format="BOOLEAN_ONLY")


def sample_of(judged: Judged, contract: Table, breaks: Column) -> str:
    """The keys of up to three used rows that break a check, each masked after 8 characters."""
    keys = contract.keys or contract.column_names[:1]
    found = judged.rows.where((F.col("_fate") == "used") & breaks).select(*keys).limit(3).collect()
    return "; ".join(", ".join(f"{k}={masked(r[k])}" for k in keys) for r in found)


def masked(value: Any) -> str:
    """A value as text, cut so that an identifier cannot be read from it."""
    text = str(value)
    return text if len(text) <= 8 else f"{text[:8]}…"

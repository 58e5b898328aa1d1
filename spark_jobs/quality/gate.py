"""The gate of a batch: one pass that gives every row its fate, then a Great Expectations suite over what is to be published.

Both are derived from the table's YAML. Row-level checks with severity quarantine set rows aside; block stops the batch; warn is said.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from conf.tables import Table
from spark_jobs.io.session import materialised

# restated: a stored row that the batch changes; it is published again, but it is no input
FATES = ("used", "quarantined", "duplicate", "late", "restated")


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
    """A batch with `_fate` and `_reason` on every row, and what one pass over it counted."""

    rows: DataFrame
    counts: dict[str, int]
    reasons: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def first_failing(contract: Table) -> Column:
    """The id of the first quarantine check that a row fails, else NULL."""
    reasons = [F.when(F.col(c.name).isNull(), f"null:{c.name}") for c in contract.columns if not c.nullable]
    reasons += [
        F.when(~F.coalesce(F.expr(c.expect), F.lit(True)), c.id) for c in contract.checks if c.severity == "quarantine" and c.expect
    ]
    return F.coalesce(*reasons) if reasons else F.lit(None).cast("string")


def judge(batch: DataFrame, contract: Table, is_mapped: bool, accept_late_days: int) -> Judged:
    """Every row's fate: quarantined (with reason), late, duplicate, or used. Caches the batch."""
    reason = F.coalesce(F.col("_reason"), first_failing(contract)) if is_mapped else first_failing(contract)
    if not is_mapped:
        # a hole in a derived row is a fault of the job, not of a record: the suite blocks it
        reasons = [
            F.when(~F.coalesce(F.expr(c.expect), F.lit(True)), c.id) for c in contract.checks if c.severity == "quarantine" and c.expect
        ]
        reason = F.coalesce(*reasons) if reasons else F.lit(None).cast("string")
    rows = batch.withColumn("_reason", reason)
    late = F.lit(False)
    if is_mapped and contract.write.date and "_slice_from" in batch.columns:
        late = F.coalesce(F.col(contract.write.date) < F.date_sub(F.col("_slice_from").cast("date"), accept_late_days), F.lit(False))
    fate = F.when(F.col("_reason").isNotNull(), "quarantined").when(late, "late").otherwise("used")
    if "_restated" in batch.columns:
        fate = F.when(F.coalesce("_restated", F.lit(False)), "restated").otherwise(fate)
    rows = rows.withColumn("_fate", fate)
    dedupe = contract.write.dedupe
    if dedupe:
        order = [F.asc_nulls_last(c) if dedupe["keep"] == "first" else F.desc_nulls_last(c) for c in dedupe["by"]]
        place = F.row_number().over(W.partitionBy("_fate", *contract.keys).orderBy(*order))
        rows = rows.withColumn("_fate", F.when((F.col("_fate") == "used") & (place > 1), "duplicate").otherwise(F.col("_fate")))
    rows = materialised(rows)
    warn = {
        c.id: F.sum(F.when((F.col("_fate") == "used") & ~F.coalesce(F.expr(c.expect), F.lit(True)), 1).otherwise(0))
        for c in contract.checks
        if c.severity == "warn" and c.expect
    }
    counted = (
        rows.groupBy("_fate", "_reason")
        .agg(F.count(F.lit(1)).alias("rows"), *(e.alias(f"w_{i}") for i, e in enumerate(warn.values())))
        .collect()
    )
    counts = dict.fromkeys(FATES, 0)
    reasons_found: dict[str, int] = {}
    warnings = dict.fromkeys(warn, 0)
    for row in counted:
        counts[row["_fate"]] += row["rows"]
        if row["_reason"] is not None:
            reasons_found[row["_reason"]] = reasons_found.get(row["_reason"], 0) + row["rows"]
        for i, check_id in enumerate(warn):
            warnings[check_id] += row[f"w_{i}"] or 0
    return Judged(rows, counts, reasons_found, warnings)


def row_level_results(judged: Judged, contract: Table) -> list[CheckResult]:
    """Results of the quarantine and warn checks, from the counts of the one pass."""
    results = []
    for check in contract.checks:
        if check.severity == "quarantine" and check.expect:
            failed = judged.reasons.get(check.id, 0)
            share = failed / judged.total if judged.total else 0.0
            results.append(
                CheckResult(
                    check.id,
                    "block" if share > check.max_share else "quarantine",
                    share <= check.max_share and failed == 0,
                    judged.total,
                    failed,
                    f"{share:.4%} of rows",
                )
            )
        elif check.severity == "warn" and check.expect:
            failed = judged.warnings[check.id]
            results.append(CheckResult(check.id, "warn", failed == 0, judged.counts["used"], failed))
    known = {c.id for c in contract.checks}
    results += [CheckResult(r, "quarantine", False, judged.total, n) for r, n in sorted(judged.reasons.items()) if r not in known]
    return results


def validate(good: DataFrame, contract: Table, rows: int) -> list[CheckResult]:
    """The table's Great Expectations suite over the whole batch: contract columns, keys and every block check."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    import great_expectations.expectations as gxe

    wanted: list[tuple[str, str, Any]] = []
    for c in contract.columns:
        if not c.nullable:
            wanted.append((f"not_null:{c.name}", "block", gxe.ExpectColumnValuesToNotBeNull(column=c.name)))
    uniques: list[tuple[str, str, Sequence[str]]] = (
        [("one_row_per_key", "block", contract.keys)] if contract.keys and contract.write.mode != "append" else []
    )
    uniques += [
        (c.id, c.severity, contract.keys if c.unique == "keys" else c.unique)
        for c in contract.checks
        if c.unique and c.id != "one_row_per_key"
    ]
    for check_id, severity, columns in uniques:
        names = list(columns)
        one = (
            gxe.ExpectColumnValuesToBeUnique(column=names[0]) if len(names) == 1 else gxe.ExpectCompoundColumnsToBeUnique(column_list=names)
        )
        wanted.append((check_id, severity, one))
    for c in contract.checks:
        if c.rows:
            wanted.append((c.id, c.severity, gxe.ExpectTableRowCountToBeBetween(min_value=c.rows.get("min"), max_value=c.rows.get("max"))))
        if c.expect and c.severity == "block":
            wanted.append(
                (c.id, c.severity, gxe.UnexpectedRowsExpectation(unexpected_rows_query=f"SELECT * FROM {{batch}} WHERE NOT ({c.expect})"))
            )
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_spark("lake", persist=False).add_dataframe_asset(contract.name)
    batch = asset.add_batch_definition_whole_dataframe("batch")
    suite = gx.ExpectationSuite(name=contract.name, expectations=[e for _, _, e in wanted])
    suite = context.suites.add(suite)
    definition = gx.ValidationDefinition(name=contract.name, data=batch, suite=suite)
    outcome = definition.run(batch_parameters={"dataframe": good}, result_format="BOOLEAN_ONLY")
    results = []
    # GX may return results in another order than asked: match by the expectation itself
    by_key = {
        (r.expectation_config.type, str(sorted((k, str(v)) for k, v in r.expectation_config.kwargs.items() if k != "batch_id"))): r
        for r in outcome.results
    }
    for check_id, severity, expectation in wanted:
        config = expectation.configuration
        result = by_key.get((config.type, str(sorted((k, str(v)) for k, v in config.kwargs.items() if k != "batch_id"))))
        passed = bool(result.success) if result is not None else False
        trouble = "" if passed or result is None else str((result.exception_info or {}).get("exception_message") or "")[:300]
        results.append(CheckResult(check_id, severity, passed, rows, 0 if passed else -1, trouble))
    return results

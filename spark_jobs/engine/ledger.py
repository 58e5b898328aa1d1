"""The ledger of a part: what went in came out, was set aside or was there already, and its sums with it. Otherwise nothing is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame, functions as F

from conf.names import contract_of
from conf.tables import Table
from spark_jobs.engine.inputs import Given
from spark_jobs.engine.outcome import Outcome
from spark_jobs.errors import GateError, LedgerError
from spark_jobs.functions.plans import numbers_of
from spark_jobs.job import Job, Self
from spark_jobs.quality.gate import CheckResult, Judged


def accounted(outcome: Outcome, job: Job, contract: Table, judged: Judged, given: Given) -> Outcome:
    """The outcome with the counts of its inputs against their fates. Raises LedgerError when rows or sums do not survive."""
    if given.mapped:
        refuse_lost(contract, judged, given)
        return replace(
            outcome,
            rows_in=judged.total - judged.counts["restated"] + given.superseded,
            rows_used=judged.counts["used"],
            duplicates=given.superseded + judged.counts["duplicate"],
            late=judged.counts["late"],
            quarantined=judged.counts["quarantined"],
        )
    rows = numbers_of({arg: frame for arg, frame in given.counted.items() if not isinstance(job.reads[arg], Self)})
    for rule in contract.conservation:
        if not isinstance(rule, str):
            refuse_changed_sum(contract, rule, judged, given.inputs[rule["input"]])
    return replace(outcome, rows_in=sum(rows.values()), rows_used=sum(rows.values()), inputs=rows)


def refuse_lost(contract: Table, judged: Judged, given: Given) -> None:
    """Raises LedgerError where a mapped table's candidates are not as many as its records, or add up to other sums."""
    if given.records != judged.kept and (given.records["rows"] or judged.kept["rows"]):
        raise LedgerError(
            f"{contract.name}: the records hold {dict(given.records)}, the candidates {judged.kept}; rows or sums were lost. Nothing was published."
        )


def refuse_changed_sum(contract: Table, rule: Mapping[str, Any], judged: Judged, source_rows: DataFrame) -> None:
    """One conservation rule of a derived table: the input's sum, over the range, reappears in the output (for each `per`).

    Where rows are set aside, all of their group, by the rule's `by`, is left out on both sides: an order's amount that fits no type has no sum.
    """
    result = judged.rows.where("_fate in ('used', 'quarantined')")
    if judged.counts["quarantined"] and rule.get("by"):
        apart = F.broadcast(result.where("_fate = 'quarantined'").select(*rule["by"]).distinct())
        source_rows, result = (rows.join(apart, on=list(rule["by"]), how="left_anti") for rows in (source_rows, result))
    window = F.expr(rule["where"]) if rule.get("where") else F.lit(True)
    total = F.coalesce(F.sum(F.expr(rule["column"])), F.lit(0)).cast("decimal(38,10)").alias("total")
    per = F.col(rule["per"]).cast("string") if rule.get("per") else F.lit("")
    made = result.groupBy(per.alias("per")).agg(F.sum(F.expr(rule["equals"])).cast("decimal(38,10)").alias("total"))
    sums = source_rows.where(window).agg(total).select(F.lit(None).cast("string").alias("per"), "total", F.lit(True).alias("is_input"))
    rows = sums.union(made.select("per", "total", F.lit(False))).collect()
    expected = next(row["total"] for row in rows if row["is_input"])
    found = {row["per"]: row["total"] for row in rows if not row["is_input"]}
    wrong = {one: str(total) for one, total in found.items() if total != expected}
    if wrong or (not found and expected):
        raise LedgerError(
            f"{contract.name}: {rule['equals']} must add up to {expected} (sum of {rule['input']}.{rule['column']}), got {wrong or 'no rows'}. Nothing was published."
        )


def refuse_stopped(checks: Sequence[CheckResult], batch: str, contract: Table) -> None:
    """Raises GateError naming each check that blocks and failed."""
    stopped = [c for c in checks if c.severity == "block" and not c.passed]
    if stopped:
        named = "; ".join(
            f"{c.check_id} ({c.rows_failed if c.rows_failed >= 0 else 'some'} of {c.rows_checked} rows) {c.observed}" for c in stopped
        )
        raise GateError(
            f"{batch}: stopped at the gate by {named}. Nothing was published. "
            f"The checks are in {contract_of(contract.name)}; repair the input and run the task again."
        )

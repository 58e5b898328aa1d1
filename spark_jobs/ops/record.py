"""What ran: ops.runs, ops.ledger, ops.quality_results and ops.schema_changes, written once per process, and the memory that lets unchanged work be skipped."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from conf.tables import table
from spark_jobs.io.lake import Lake
from spark_jobs.io.small import append_rows, opened, read_arrow
from spark_jobs.ops.schema_changes import Change, record_changes

if TYPE_CHECKING:
    from spark_jobs.quality.gate import CheckResult
    from spark_jobs.run import Outcome


class Recorder:
    """Collects a process's outcomes and writes them when it ends, whatever its end."""

    def __init__(self, lake: Lake, process_id: str) -> None:
        self.lake, self.process_id = lake, process_id
        self.runs: list[dict[str, Any]] = []
        self.ledger: list[dict[str, Any]] = []
        self.checks: list[dict[str, Any]] = []
        self.changes: list[Change] = []
        self.inputs: dict[str, dict[str, int]] = {}
        self.past: list[dict[str, Any]] = []
        self.settling: list[dict[str, Any]] = []

    def prepare(self, names: list[str]) -> None:
        """Read the past successes of the tables once."""
        rows = read_arrow(self.lake.root, "ops.runs")
        rows = rows.filter(pc.is_in(rows["table_name"], pa.array(sorted(set(names)), pa.string()))).sort_by("finished_at")
        self.past = rows.filter(pc.equal(rows["status"], "success")).to_pylist()
        self.settling = rows.filter(pc.is_valid(rows["settled_to"])).to_pylist()

    def _mine(self, name: str, source: str | None) -> list[dict[str, Any]]:
        return _of(self.past, name, source)

    def is_done(self, name: str, source: str | None, signature: str, version: int) -> bool:
        """Whether this very work succeeded before and the table still holds what it left (other sources' commits do not count against it)."""
        partitioned = bool(table(name).write.partition_by)
        same = [r for r in self._mine(name, source) if r["signature"] == signature]
        latest = self._mine(name, source)[-1:]
        return (
            bool(same)
            and version >= 0
            and (partitioned or same[-1]["output_version"] == version or (bool(latest) and latest[-1]["output_version"] == version))
        )

    def settled(self, name: str, source: str | None) -> list[tuple[dt.date, dict[str, int]]]:
        """In order of days: up to which day the table was brought up to date last, with which input versions, then up to which later day
        before that … Days after the last one count with it.

        Only a run that builds what changed says so. A run of a range alone says nothing of other days: where there were only such runs, the
        oldest versions that any of them read count; without any, the list is empty.
        """
        found: list[tuple[dt.date, dict[str, int]]] = []
        for run in reversed(_of(self.settling, name, source)):
            if not found or run["settled_to"] > found[-1][0]:
                found.append((run["settled_to"], json.loads(run["settled_versions"])))
        if not found and (mine := self._mine(name, source)):
            read = [json.loads(run["input_versions"]) for run in mine]
            found.append((dt.date.max, {key: min(one.get(key, -1) for one in read) for key in read[0]}))
        return [*found[:-1], (dt.date.max, found[-1][1])] if found else []

    def add_checks(self, run_id: str, name: str, results: list[CheckResult]) -> None:
        for result in results:
            self.checks.append({"run_id": run_id, "table_name": name, **vars(result)})

    def add_changes(self, changes: list[Change]) -> None:
        self.changes += changes

    def add_inputs(self, run_id: str, rows: dict[str, int]) -> None:
        self.inputs[run_id] = rows

    def add(self, outcome: Outcome, version: int) -> None:
        finished = dt.datetime.now(dt.UTC)
        common = {"run_id": outcome.run_id, "table_name": outcome.table, "source": outcome.source}
        days = {"from_date": outcome.days.first, "to_date": outcome.days.last}
        times = {"started_at": outcome.started_at, "finished_at": finished}
        run = {
            **common, **days, **times, "process_id": self.process_id, "status": outcome.status, "signature": outcome.signature, "output_version": version,
            "input_versions": json.dumps(dict(outcome.input_versions), sort_keys=True), "rows_out": outcome.rows_out, "error": outcome.error,
            "settled_to": outcome.settled[0] if outcome.settled else None,
            "settled_versions": json.dumps(dict(outcome.settled[1]), sort_keys=True) if outcome.settled else None,
        }  # fmt: skip
        self.runs.append(run)
        if outcome.settled:
            self.settling.append(run)
        if outcome.status == "success":
            self.past.append(run)
            fates = {k: getattr(outcome, k) for k in ("rows_in", "rows_used", "unchanged", "duplicates", "late", "quarantined", "rows_out")}
            closed = fates["rows_in"] == sum(fates[k] for k in ("rows_used", "unchanged", "duplicates", "late", "quarantined"))
            per_input = self.inputs.get(outcome.run_id) or {"mapped": fates["rows_in"]}
            for name, rows in per_input.items():
                own = fates if len(per_input) == 1 else {**fates, "rows_in": rows, "rows_used": rows}
                self.ledger.append({**common, **days, **times, "input_name": name, **own, "is_closed": closed})

    def add_load(self, run_id: str, name: str, source: str, promised: int, appended: int, started: dt.datetime, version: int) -> None:
        """A bronze load: every promised record is in the table."""
        if not promised:
            return
        today = started.date()
        common = {"run_id": run_id, "table_name": name, "source": source, "from_date": today, "to_date": today}
        times = {"started_at": started, "finished_at": dt.datetime.now(dt.UTC)}
        self.runs.append(
            {
                **common,
                **times,
                "process_id": self.process_id,
                "status": "success",
                "signature": "",
                "output_version": version,
                "input_versions": "{}",
                "rows_out": appended,
            }
        )
        fates = {
            "rows_in": promised,
            "rows_used": appended,
            "unchanged": 0,
            "duplicates": 0,
            "late": 0,
            "quarantined": 0,
            "rows_out": appended,
        }
        self.ledger.append({**common, **times, **fates, "input_name": "landing", "is_closed": promised == appended})

    def flush(self) -> None:
        """Append what was collected."""
        for name, rows in (("ops.runs", self.runs), ("ops.ledger", self.ledger), ("ops.quality_results", self.checks)):
            if not rows:
                continue
            contract = table(name)
            append_rows(opened(self.lake.root, contract), contract, [tuple(row.get(c) for c in contract.column_names) for row in rows])
            rows.clear()
        record_changes(self.lake.root, self.changes)
        self.changes.clear()


def _of(runs: list[dict[str, Any]], name: str, source: str | None) -> list[dict[str, Any]]:
    return [r for r in runs if r["table_name"] == name and (r["source"] or "") == (source or "")]

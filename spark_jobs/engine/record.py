"""What ran: ops.runs, ops.ledger, ops.quality_results and ops.schema_changes, written once per process, and the memory that lets unchanged work be skipped."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import CommitFailedError

from conf.settings import platform
from conf.tables import table
from spark_jobs.engine.schema_changes import Change, record_changes
from spark_jobs.io.commits import LOST, Seen, is_there, seen_at
from spark_jobs.io.lake import Lake, quoted
from spark_jobs.io.small import OvertakenError, append_rows, open_table, opened, query, read_arrow, until_first

if TYPE_CHECKING:
    from spark_jobs.engine.outcome import Outcome
    from spark_jobs.quality.gate import CheckResult


VAULT = "vault.identifiers"


class Recorder:
    """Collects a process's outcomes and writes them when it ends, whatever its end."""

    def __init__(self, lake: Lake, process_id: str) -> None:
        self.lake, self.process_id, self.settings = lake, process_id, reporting_settings()
        self.runs: list[dict[str, Any]] = []
        self.ledger: list[dict[str, Any]] = []
        self.checks: list[dict[str, Any]] = []
        self.changes: list[Change] = []
        self.numbers: dict[tuple[str, str], int] = {}
        self.past: list[dict[str, Any]] = []
        self.settling: list[dict[str, Any]] = []
        self.seen: list[dict[str, Any]] = []

    def prepare(self, names: Iterable[str]) -> None:
        """Read the past successes of the tables once, and what their runs saw."""
        rows = read_arrow(self.lake.root, "ops.runs")
        rows = rows.filter(pc.is_in(rows["table_name"], pa.array(sorted(set(names)), pa.string())))
        rows = rows.take(pc.sort_indices(rows, [("number", "ascending"), ("finished_at", "ascending")], null_placement="at_start"))
        for name, source, number in zip(*(rows[c].to_pylist() for c in ("table_name", "source", "number")), strict=True):
            self.numbers[name, source or ""] = max(number or 0, self.numbers.get((name, source or ""), 0))
        self.past = rows.filter(pc.equal(rows["status"], "success")).to_pylist()
        self.settling = rows.filter(pc.is_valid(rows["settled_to"])).to_pylist()
        self.seen = rows.filter(pc.is_valid(rows["commits"])).to_pylist()

    def drop_unfinished(self, claims: Iterable[tuple[str, str | None]]) -> None:
        """Ledger rows of claimed (table, source) whose process ended before it wrote their runs: such a run does not count, its retry has its
        own."""
        claimed = {(name, source or "") for name, source in claims}
        ended = set(read_arrow(self.lake.root, "ops.runs")["run_id"].to_pylist())

        def attempt() -> None:
            found = open_table(self.lake.root, "ops.ledger")
            rows = query(found, "select run_id, table_name, source from rows").to_pylist() if found else []
            unfinished = {r["run_id"] for r in rows if (r["table_name"], r["source"] or "") in claimed} - ended
            if found and unfinished:
                try:
                    found.delete(f"run_id in ({', '.join(map(quoted, sorted(unfinished)))})")
                except CommitFailedError as error:
                    raise OvertakenError("ops.ledger: other runs were always quicker; try again") from error

        until_first(attempt)

    def unrecorded_loads(self, name: str) -> dict[str, list[dict[str, Any]]]:
        """Per run id the commits to a bronze table, as its log tells them, of loads that ended before they wrote their run."""
        found, runs = open_table(self.lake.root, name), _of(self.past, name, None, any_source=True)
        if found is None:
            return {}
        newest: Seen | None = json.loads(runs[-1]["commits"] or "{}").get(name) if runs else None
        since = newest[0] if newest and is_there(self.lake.root, name, newest) else -1
        known, loads = {run["run_id"] for run in runs}, dict[str, list[dict[str, Any]]]()
        for commit in found.history(found.version() - since) if found.version() > since else ():
            run_id = run_of(commit)
            if run_id and run_id not in known and commit["version"] > since:
                loads.setdefault(run_id, []).append(commit)
        return loads

    def lost(self, name: str, source: str | None, only_own: bool = False) -> list[str]:
        """Of what the newest run of a table saw, the table's own commits and its inputs', those tables whose logs have it no longer."""
        newest = _of(self.seen, name, source)[-1:]
        seen: dict[str, Seen] = json.loads(newest[0]["commits"]) if newest else {}
        return [one for one, what in seen.items() if not (only_own and one != name) and not is_there(self.lake.root, one, what)]

    def built_otherwise(self, name: str, source: str | None) -> str | None:
        """The currency and time zone of reports that the newest whole run of a table was built for, where they are no longer those of
        conf/platform.yml; None where they are, or where nobody noted them."""
        newest = _of(self.seen, name, source)[-1:]
        was = newest[0].get("settings") if newest else None
        return was if was and was != self.settings else None

    def add_loss(self, name: str, source: str | None, lost: str, what: str) -> None:
        """Keep, before anything is mended, that a table must be built again because rows of `lost` are gone, whatever happens meanwhile."""
        now = dt.datetime.now(dt.UTC)
        row = {
            "run_id": uuid.uuid4().hex, "process_id": self.process_id, "table_name": name, "source": source or "", "status": "failed",
            "commits": json.dumps({lost: LOST}), "error": what, "started_at": now, "finished_at": now,
            "number": self.next_number(name, source),
        }  # fmt: skip
        self.runs.append(row)
        self.seen.append(row)
        self.flush()

    def _mine(self, name: str, source: str | None) -> list[dict[str, Any]]:
        return _of(self.past, name, source)

    def last(self, name: str, source: str | None) -> dict[str, Any] | None:
        """The table's newest success on record."""
        return next(iter(self._mine(name, source)[-1:]), None)

    def ran(self, name: str, source: str | None) -> bool:
        """Whether any success of a table is on record."""
        return bool(self._mine(name, source))

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

    def next_number(self, name: str, source: str | None) -> int:
        """The number of a table's and source's next run: clocks are set back, numbers are not."""
        self.numbers[name, source or ""] = self.numbers.get((name, source or ""), 0) + 1
        return self.numbers[name, source or ""]

    def add_checks(self, run_id: str, name: str, results: list[CheckResult]) -> None:
        for result in results:
            self.checks.append({"run_id": run_id, "table_name": name, **vars(result)})

    def add_changes(self, changes: list[Change]) -> None:
        self.changes += changes

    def add(self, outcome: Outcome, version: int, is_whole: bool = True) -> None:
        """One part's outcome. is_whole: whether nothing more is to be built before the table has all that it must."""
        finished = dt.datetime.now(dt.UTC)
        common = {"run_id": outcome.run_id, "table_name": outcome.table, "source": outcome.source}
        days = {"from_date": outcome.days.first, "to_date": outcome.days.last}
        times = {"started_at": outcome.started_at, "finished_at": finished}
        run = {
            **common, **days, **times, "number": self.next_number(outcome.table, outcome.source), "process_id": self.process_id, "status": outcome.status, "signature": outcome.signature, "output_version": version,
            "input_versions": json.dumps(dict(outcome.input_versions), sort_keys=True), "rows_out": outcome.rows_out, "error": outcome.error,
            "settings": self.settings,
            "settled_to": outcome.settled[0] if outcome.settled else None,
            "settled_versions": json.dumps(dict(outcome.settled[1]), sort_keys=True) if outcome.settled else None,
            "commits": self._commits({**outcome.input_versions, **self._vault(outcome), outcome.table: version}) if is_whole and outcome.status != "failed" else None,
        }  # fmt: skip
        self.runs.append(run)
        if run["commits"]:
            self.seen.append(run)
        if outcome.settled:
            self.settling.append(run)
        if outcome.status == "success":
            self.past.append(run)
            fates = {k: getattr(outcome, k) for k in ("rows_in", "rows_used", "unchanged", "duplicates", "late", "quarantined", "rows_out")}
            closed = fates["rows_in"] == sum(fates[k] for k in ("rows_used", "unchanged", "duplicates", "late", "quarantined"))
            per_input = outcome.inputs or {"mapped": fates["rows_in"]}
            for name, rows in per_input.items():
                own = fates if len(per_input) == 1 else {**fates, "rows_in": rows, "rows_used": rows}
                self.ledger.append({**common, **days, **times, "input_name": name, **own, "is_closed": closed})

    def add_load(
        self, run_id: str, name: str, source: str, promised: int, appended: int, started: dt.datetime, version: int,
        finished: dt.datetime | None = None,
    ) -> None:  # fmt: skip
        """A bronze load: every promised record is in the table."""
        today = started.date()
        common = {"run_id": run_id, "table_name": name, "source": source, "from_date": today, "to_date": today}
        times = {"started_at": started, "finished_at": finished or dt.datetime.now(dt.UTC)}
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
        self.runs.append(
            {
                **common,
                **times,
                "number": self.next_number(name, source),
                "process_id": self.process_id,
                "status": "success",
                "signature": "",
                "output_version": version,
                "input_versions": "{}",
                "commits": self._commits({name: version}),
                "rows_out": appended,
            }
        )

    def _vault(self, outcome: Outcome) -> dict[str, int]:
        """Where a run's raw identifiers are kept."""
        fills = outcome.source and "identifiers" in table(outcome.table).column_names
        return {VAULT: self.lake.version(VAULT)} if fills else {}

    def _commits(self, versions: Mapping[str, int]) -> str:
        return json.dumps(seen_at(self.lake.root, versions), sort_keys=True)

    def flush(self) -> None:
        """Append what was collected; the runs last, because a run counts from the moment it stands there."""
        record_changes(self.lake.root, self.changes)
        self.changes.clear()
        # what another thread adds meanwhile is left to the next flush, a run before its ledger
        runs, ledger, checks = (rows[:] for rows in (self.runs, self.ledger, self.checks))
        for name, rows, taken in (
            ("ops.quality_results", self.checks, checks),
            ("ops.ledger", self.ledger, ledger),
            ("ops.runs", self.runs, runs),
        ):
            del rows[: len(taken)]
            if taken:
                contract = table(name)
                append_rows(opened(self.lake.root, contract), contract, [tuple(row.get(c) for c in contract.column_names) for row in taken])


def reporting_settings() -> str:
    """What of conf/platform.yml the rows of every table depend on."""
    return f"{platform().reporting_currency}, {platform().reporting_time_zone}"


def run_of(commit: Mapping[str, Any]) -> str | None:
    """The run that made a commit, by what the commit says of itself; None where another tool made it."""
    try:
        said = json.loads(commit.get("userMetadata") or "{}")
    except ValueError:
        return None
    return said.get("run_id") if isinstance(said, dict) else None


def _of(runs: list[dict[str, Any]], name: str, source: str | None, any_source: bool = False) -> list[dict[str, Any]]:
    return [r for r in runs if r["table_name"] == name and (any_source or (r["source"] or "") == (source or ""))]

"""The one way a table is built: read inputs, transform, judge, validate, publish, record.

Order of commits: quarantine → publish (run id in the commit) → ops.*. A run whose inputs, code, contract and range equal
its last success does nothing; one whose result equals the published rows makes no new version.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, functions as F

from conf.names import code_of, contract_of
from conf.settings import SettingsError, platform, source as declared_source
from conf.tables import ReplaceDays, Table, table
from spark_jobs.engine.claims import Claims, claim_of
from spark_jobs.engine.differences import refuse_changed
from spark_jobs.engine.inputs import Given, given, input_versions, values_of
from spark_jobs.engine.ledger import accounted, refuse_stopped
from spark_jobs.engine.losses import Claimed, mend_losses
from spark_jobs.engine.outcome import Outcome
from spark_jobs.engine.parts import Part, parts_of
from spark_jobs.engine.quarantine import close_mended, close_replaced, set_aside
from spark_jobs.engine.record import Recorder
from spark_jobs.engine.schema_changes import changes_in
from spark_jobs.engine.selection import Target, holds, targets
from spark_jobs.engine.signature import signature_of
from spark_jobs.engine.waves import in_waves
from spark_jobs.errors import ThroughlineError, of_trouble, safe_message
from spark_jobs.functions.ruled import declared_wrongly, refuse_wrong_sql
from spark_jobs.io.lake import Lake, bounds
from spark_jobs.io.mapped import CARRIED
from spark_jobs.io.publish import Fence, publish
from spark_jobs.io.ranges import Range
from spark_jobs.io.vault import store_identifiers
from spark_jobs.job import PROVENANCE, Job
from spark_jobs.quality import gate

Versions = Mapping[str, int]
Fences = Mapping[Claimed, Fence]


class Runner:
    """One process's work on one lake: claims, builds and records."""

    def __init__(self, lake: Lake, holder: str, say: Callable[[Outcome], None] = lambda _: None, force: bool = False) -> None:
        self.lake, self.holder, self.say, self.force = lake, holder, say, force
        self.process_id = uuid.uuid4().hex
        self.platform = platform()
        self.recorder = Recorder(lake, self.process_id)
        self.checked_rules: set[str] = set()

    def run(self, names: list[str], days: Range, only_source: str | None = None, changed: bool = False) -> list[Outcome]:
        """Build the tables in order. Raises the first error after recording it; what was published before it stays."""
        plan = targets(self.lake, names, only_source)
        # a run of a range alone follows the rows that it moves itself to other days, where a table was there before it
        began = {
            (job.table, source): [(dt.date.max, input_versions(self.lake, job, source))] if self.lake.exists(job.table) else []
            for job, source in plan
        }
        refuse_changed(self.lake.root, dict.fromkeys(job.table for job, _ in plan))
        outcomes: list[Outcome] = []
        with self._claimed(plan) as fences:
            again = self._lost(plan, fences, changed)

            def build(target: Target) -> None:
                job, source = target
                since = self.recorder.settled(job.table, source) if changed else began[job.table, source]
                is_again = (job.table, source) in again
                outcomes.extend([*self._parts(target, days, None if is_again else since, fences[job.table, source], changed or is_again)])

            in_waves(plan, lambda target: (target[0].table, target[0].upstream()), build)
        return outcomes

    @contextmanager
    def _claimed(self, plan: Sequence[Target]) -> Iterator[Fences]:
        """A fence for each target; at the end of the block what was recorded is written and the claims are given back."""
        claims = Claims(self.lake, self.holder)
        taken = claims.acquire([claim_of(job.table, source) for job, source in plan])
        try:
            yield {(job.table, source): taken[claim_of(job.table, source)] for job, source in plan}
        finally:
            try:
                self.recorder.flush()
            finally:
                claims.release()

    def _lost(self, plan: Sequence[Target], fences: Fences, changed: bool) -> set[Claimed]:
        """Read what is on record, mend what is gone, and say which tables must be built again over all their days."""
        inputs = [name for job, source in plan for name in input_versions(self.lake, job, source)]
        self.recorder.prepare([*(job.table for job, _ in plan), *inputs])
        self.recorder.drop_unfinished(fences)
        again = mend_losses(self.lake, self.recorder, plan, fences)
        # rows that no run on record left: what changed since they were built is not known
        unknown = {(job.table, s) for job, s in plan if changed and holds(self.lake, job.table, s) and not self.recorder.ran(job.table, s)}
        return again | unknown

    def _parts(
        self, target: Target, days: Range, since: Iterable[tuple[dt.date, Versions]] | None, fence: Fence, settles: bool
    ) -> Iterator[Outcome]:
        """Build the parts of a table, one after another. since: as parts_of takes it; settles: whether the table is then up to date."""
        job, source = target
        # what is committed while this run looks is left to the next one
        versions, is_again = input_versions(self.lake, job, source), since is None
        parts = parts_of(self.lake, job, source, days, since)
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            # built over all its days, the table has none that an older run knows better
            settled = (dt.date.max if is_again else days.last, versions) if is_last and settles else None
            yield self._recorded(job, source, part, replace(fence, number=number), settled, is_again, is_last)

    def _recorded(
        self,
        job: Job,
        source: str | None,
        part: Part,
        fence: Fence,
        settled: tuple[dt.date, Versions] | None = None,
        again: bool = False,
        is_last: bool = True,
    ) -> Outcome:
        """Build one part and record it. settled: the day up to which the table is then up to date, and with which input versions; again: even
        where it was built before, and until its last part nothing counts."""
        clock, run_id = time.monotonic(), uuid.uuid4().hex
        outcome = Outcome(job.table, source or "", part.days, "failed", started_at=dt.datetime.now(dt.UTC), run_id=run_id)
        try:
            versions = input_versions(self.lake, job, source)
            outcome = replace(outcome, input_versions=versions)
            outcome = replace(outcome, signature=signature_of(self.recorder.settings, job, source, str(part), versions))
            outcome = self._build(job, source, part, replace(fence, run_id=run_id), outcome, again)
            outcome = replace(outcome, settled=settled)
        except Exception as error:
            trouble = named_trouble(error, job, source)
            outcome = replace(outcome, error=safe_message(trouble or error)[:2000])
            if trouble:
                raise trouble from error
            raise
        finally:
            outcome = replace(outcome, seconds=time.monotonic() - clock)
            self.recorder.add(outcome, self.lake.version(job.table), is_last or not again)
            self.say(outcome)
        return outcome

    def _build(self, job: Job, source: str | None, part: Part, fence: Fence, outcome: Outcome, again: bool = False) -> Outcome:
        """The outcome of a part that is built, or skipped where it was built before."""
        if not (self.force or again) and self.recorder.is_done(job.table, source, outcome.signature, self.lake.version(job.table)):
            return replace(outcome, status="skipped")
        gate.import_early()
        # once a run, and by what builds something only: a run that finds nothing to do makes no session
        refuse_wrong_sql(set(job.rules_read()) - self.checked_rules, self.lake.spark)
        self.checked_rules |= set(job.rules_read())
        made_of, judged = judge(self.lake, job, source, part, values_of(self.platform, job, source, part.days, fence.run_id))
        outcome = self._checked(job, source, part, outcome, made_of, judged)
        return self._publish(job, source, part, fence, outcome, made_of, judged)

    def _checked(self, job: Job, source: str | None, part: Part, outcome: Outcome, made_of: Given, judged: gate.Judged) -> Outcome:
        """The outcome with its rows accounted for. Raises LedgerError or GateError where nothing may be published."""
        contract = table(job.table)
        self.recorder.add_changes(changes_in(judged.rows, outcome.run_id))
        # an event log has many senders, and none of them may stop the others
        is_log = job.is_mapped() and declared_source(source or "").kind == "event_log"
        checks = gate.row_level_results(judged, contract, gate.EVERY_ROW if is_log else self.platform.max_quarantine_share)
        checks += gate.masked_results(made_of.masked, made_of.masked_rows, judged.total)
        outcome = accounted(outcome, job, contract, judged, made_of)
        if judged.counts["used"] or any(c.rows for c in contract.checks):
            checks += gate.validate(judged, contract)
        self.recorder.add_checks(outcome.run_id, contract.name, checks)
        refuse_stopped(checks, f"{contract.name}, {part.days}{f', {source}' if source else ''}", contract)
        return outcome

    def _publish(
        self, job: Job, source: str | None, part: Part, fence: Fence, outcome: Outcome, made_of: Given, judged: gate.Judged
    ) -> Outcome:
        """The outcome of a part whose rows are set aside, kept in the vault and published."""
        contract = table(job.table)
        aside = judged.rows.where("_fate in ('quarantined', 'late')").withColumn("_reason", F.coalesce("_reason", "_fate"))
        if judged.counts["quarantined"] or judged.counts["late"]:
            set_aside(self.lake, contract, aside, source, job.is_mapped(), fence)
        if made_of.mapped and {"_raw_identifiers", "identifiers"} <= set(made_of.inputs[made_of.mapped].columns):
            seen = made_of.inputs[made_of.mapped].where("_reason is null")
            store_identifiers(self.lake, seen, replace(fence, claim=f"vault.identifiers/{fence.claim}"))
        good = judged.rows.where("_fate in ('used', 'restated')").select(*contract.column_names)
        count = judged.counts["used"] + judged.counts["restated"]
        among = partial(narrowed, job, part) if part.keys is not None else None
        done = publish(self.lake, good, count, contract, source, part.days, fence, among)
        if made_of.replaced is not None:
            close_replaced(self.lake, contract, made_of.replaced)
        if made_of.mapped and job.is_mapped():
            close_mended(self.lake, contract, made_of.inputs[made_of.mapped], aside)
        used = outcome.rows_used - done.outranked if job.is_mapped() else outcome.rows_used
        unchanged = min(done.unchanged, used) if job.is_mapped() else 0
        return replace(
            outcome,
            status="success",
            wrote=done.wrote,
            rows_out=judged.counts["used"],
            rows_used=used - unchanged,
            unchanged=unchanged,
            duplicates=outcome.duplicates + done.outranked,
        )


def named_trouble(error: Exception, job: Job, source: str | None) -> Exception | None:
    """What to raise in an error's place, as a sentence for people; None where it is one already or where nobody knows it."""
    if said := declared_wrongly(error, job.table, source if job.is_mapped() else None):
        return SettingsError(said)
    return None if isinstance(error, ThroughlineError | SettingsError) else of_trouble(error, job.table)


def tried(lake: Lake, job: Job, source: str | None, days: Range) -> None:
    """Read, transform and judge as a build does, and keep nothing of it."""
    judge(lake, job, source, Part(days), values_of(platform(), job, source, days, ""))


def judge(lake: Lake, job: Job, source: str | None, part: Part, values: Mapping[str, Any]) -> tuple[Given, gate.Judged]:
    """What one part of a table is made of, and its rows, each with its fate. values: as values_of gives them."""
    contract, made_of = table(job.table), given(lake, job, source, part, values)
    result = job.transform(**made_of.inputs, **{name: values[name] for name in job.wants()})
    batch = typed(result, contract, keeps=(*PROVENANCE, *CARRIED, "_restated", "_drift") if job.is_mapped() else ())
    if not job.is_mapped() and isinstance(contract.write.kind, ReplaceDays):
        batch = narrowed(job, part, batch.where(bounds(contract, source, part.days) or "true"))
    return made_of, gate.judge(batch, contract, job.is_mapped(), values["platform"].accept_late_days)


def narrowed(job: Job, part: Part, rows: DataFrame) -> DataFrame:
    """Of a job's rows those that a part builds."""
    return part.narrows(rows, F.col(job.key or "*"), table(job.table).write.date or "")


def typed(result: DataFrame, contract: Table, keeps: Sequence[str]) -> DataFrame:
    """The contract's columns of a transform's result in their types, and those of `keeps` that it has. Raises ThroughlineError naming the
    columns that it lacks."""
    if absent := [c.name for c in contract.columns if c.name not in result.columns]:
        raise ThroughlineError(
            f"{contract.name}: the result of {code_of(contract.name)} has no columns {absent}, which {contract_of(contract.name)} declares"
        )
    kept = [c for c in keeps if c in result.columns and c not in contract.column_names]
    return result.select(*(F.col(c.name).cast(c.type).alias(c.name) for c in contract.columns), *kept)

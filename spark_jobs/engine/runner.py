"""The one way a table is built: read inputs, transform, judge, validate, publish, record.

Order of commits: quarantine → publish (run id in the commit) → ops.*. A run whose inputs, code, contract and range equal
its last success does nothing; one whose result equals the published rows makes no new version.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, functions as F

from conf.settings import SettingsError, mapping, platform, rules, source as declared_source, sources_of
from conf.tables import ReplaceDays, Table, table
from spark_jobs.engine.claims import Claims
from spark_jobs.engine.differences import refuse_changed
from spark_jobs.engine.losses import mend_losses
from spark_jobs.engine.outcome import Outcome
from spark_jobs.engine.parts import Part, parts_of
from spark_jobs.engine.quarantine import close_replaced, set_aside
from spark_jobs.engine.record import Recorder
from spark_jobs.engine.schema_changes import changes_in
from spark_jobs.engine.signature import code_hash
from spark_jobs.errors import GateError, LedgerError, SelectionError, ThroughlineError, of_trouble, safe_message
from spark_jobs.functions.plans import materialised, numbers_of
from spark_jobs.functions.ruled import declared_wrongly, refuse_wrong_sql, told
from spark_jobs.functions.scrubbing import MASKED, masked_counts, with_scrubbed
from spark_jobs.io.lake import Lake, bounds
from spark_jobs.io.mapped import CARRIED, bronze_name, bronze_of, candidates
from spark_jobs.io.publish import Fence, publish
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import sources_in
from spark_jobs.io.vault import key_pads, store_identifiers
from spark_jobs.job import PROVENANCE, Input, Job, Mapped, Self, asked_by, date_of, in_order, jobs
from spark_jobs.quality import gate

Item = TypeVar("Item")
# while one table's plan is made, another one's tasks run
AT_ONCE = 2


@dataclass(frozen=True)
class Given:
    """What a part's transform is given. counted: per input as many rows, which cost little to count; mapped: which input is the mapped one, and
    its records' number and conserved sums; masked: per column in how many of them something personal gave way, masked_rows: in how many at all;
    replaced: the files of records whose delivery was replaced, None where there are none."""

    inputs: dict[str, DataFrame]
    counted: dict[str, DataFrame]
    mapped: str | None = None
    records: Mapping[str, Any] = field(default_factory=dict)
    masked: Mapping[str, int] = field(default_factory=dict)
    masked_rows: int = 0
    replaced: DataFrame | None = None


def select_tables(selection: Iterable[str]) -> list[str]:
    """Tables of a selection in dependency order: a table, a layer, `+table` (with all upstream), `table+` (with all downstream), `all`.

    Raises SelectionError naming what can be selected.
    """
    known = jobs()
    chosen: set[str] = set()
    for term in selection:
        bare = term.strip("+")
        if bare == "all":
            names = set(known)
        elif bare in known:
            names = {bare}
        else:
            names = {n for n in known if n.split(".")[0] == bare}
        if not names:
            layers = sorted({n.split(".")[0] for n in known})
            raise SelectionError(f"nothing is called {bare!r}: choose all, a layer {layers} or a table {sorted(known)}")
        if term.startswith("+"):
            names |= _closure(names, lambda n: known[n].upstream())
        if term.endswith("+"):
            names |= _closure(names, lambda n: [m for m in known if n in known[m].upstream()])
        chosen |= names & set(known)
    return in_order(chosen)


def _closure(names: set[str], neighbours: Callable[[str], Iterable[str]]) -> set[str]:
    seen, pending = set(names), list(names)
    while pending:
        for neighbour in neighbours(pending.pop()):
            if neighbour in jobs() and neighbour not in seen:
                seen.add(neighbour)
                pending.append(neighbour)
    return seen


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
        plan = self.targets(names, only_source)
        # a run of a range alone follows the rows that it moves itself to other days, where a table was there before it
        began = {
            (job.table, source): [(dt.date.max, self.input_versions(job, source))] if self.lake.exists(job.table) else []
            for job, source in plan
        }
        refuse_changed(self.lake.root, dict.fromkeys(job.table for job, _ in plan))
        outcomes: list[Outcome] = []
        again: set[tuple[str, str | None]] = set()
        claims = Claims(self.lake, self.holder)
        taken = claims.acquire([claim_of(job.table, source) for job, source in plan])
        fences = {(job.table, source): taken[claim_of(job.table, source)] for job, source in plan}

        def build(item: tuple[Job, str | None]) -> None:
            job, source = item
            # what is committed while this run looks is left to the next one
            versions = self.input_versions(job, source)
            is_again = (job.table, source) in again
            since = self.recorder.settled(job.table, source) if changed else began[job.table, source]
            parts = parts_of(self.lake, job, source, days, None if is_again else since)
            for number, part in enumerate(parts):
                is_last = number == len(parts) - 1
                # built over all its days, the table has none that an older run knows better
                settled = (dt.date.max if is_again else days.last, versions) if is_last and (changed or is_again) else None
                fence = replace(fences[job.table, source], number=number)
                outcomes.append(self._recorded(job, source, part, fence, settled, is_again, is_last))

        try:
            inputs = [name for job, source in plan for name in self.input_versions(job, source)]
            self.recorder.prepare([*(job.table for job, _ in plan), *inputs])
            self.recorder.drop_unfinished(fences)
            again |= mend_losses(self.lake, self.recorder, plan, fences, self._parts_feeding)
            # rows that no run on record left: what changed since they were built is not known
            again |= {(job.table, s) for job, s in plan if changed and self.holds(job.table, s) and not self.recorder.ran(job.table, s)}
            in_waves(plan, lambda item: (item[0].table, item[0].upstream()), build)
        finally:
            try:
                self.recorder.flush()
            finally:
                claims.release()
        return outcomes

    def targets(self, names: list[str], only_source: str | None) -> list[tuple[Job, str | None]]:
        """The jobs of the tables, each with every source that it is run for, or None where one run builds all of it."""
        found: list[tuple[Job, str | None]] = []
        for name in names:
            job, contract = jobs()[name], table(name)
            if not contract.write.partition_by and not job.is_mapped():
                found.append((job, None))
                continue
            found += [(job, s) for s in self._sources_feeding(job) if s == only_source or (only_source is None and self._has_rows(job, s))]
        return found

    def holds(self, name: str, source: str | None) -> bool:
        """Whether a table has rows, of a source where it is partitioned by it."""
        if not table(name).write.partition_by:
            return self.lake.version(name) > 0
        return source in sources_in(self.lake.root, name)

    def _parts_feeding(self, name: str) -> tuple[str | None, ...]:
        """The sources whose runs build a table, or None alone where one run builds all of it."""
        job = jobs()[name]
        return self._sources_feeding(job) if table(name).write.partition_by or job.is_mapped() else (None,)

    def _sources_feeding(self, job: Job) -> tuple[str, ...]:
        """The declared sources whose rows reach a partitioned table."""
        found = set(sources_of(job.table)) if job.is_mapped() else set()
        for upstream in job.upstream():
            if not job.is_mapped() and table(upstream).write.partition_by:
                found |= set(self._sources_feeding(jobs()[upstream]))
        return tuple(sorted(found))

    def _has_rows(self, job: Job, source: str) -> bool:
        """Whether a source ever delivered something to the table or to what it is made of."""
        if job.is_mapped() and any(self.lake.exists(bronze_name(source, s)) for s in declared_source(source).streams):
            return True
        if source in sources_in(self.lake.root, job.table):
            return True
        return any(n != job.table and table(n).write.partition_by and self._has_rows(jobs()[n], source) for n in job.upstream())

    def _recorded(
        self,
        job: Job,
        source: str | None,
        part: Part,
        fence: Fence,
        settled: tuple[dt.date, Mapping[str, int]] | None = None,
        again: bool = False,
        is_last: bool = True,
    ) -> Outcome:
        """Build one part and record it. settled: the day up to which the table is then up to date, and with which input versions; again: even
        where it was built before, and until its last part nothing counts."""
        started, clock = dt.datetime.now(dt.UTC), time.monotonic()
        run_id = uuid.uuid4().hex
        outcome = Outcome(job.table, source or "", part.days, "failed", started_at=started, run_id=run_id)
        try:
            self._build(job, source, part, replace(fence, run_id=run_id), outcome, again)
            outcome.settled = settled
            return outcome
        except Exception as error:
            trouble: Exception | None = None
            if said := declared_wrongly(error, job.table, source if job.is_mapped() else None):
                trouble = SettingsError(said)
            elif not isinstance(error, (ThroughlineError, SettingsError)):
                trouble = of_trouble(error, job.table)
            outcome.error = safe_message(trouble or error)[:2000]
            if trouble:
                raise trouble from error
            raise
        finally:
            outcome.seconds = time.monotonic() - clock
            self.recorder.add(outcome, self.lake.version(job.table), is_last or not again)
            self.say(outcome)

    def _build(self, job: Job, source: str | None, part: Part, fence: Fence, outcome: Outcome, again: bool = False) -> None:
        contract = table(job.table)
        outcome.input_versions = self.input_versions(job, source)
        outcome.signature = self.signature(job, source, part, outcome.input_versions)
        if not (self.force or again) and self.recorder.is_done(job.table, source, outcome.signature, self.lake.version(job.table)):
            outcome.status = "skipped"
            return
        gate.import_early()
        # once a run, and by what builds something only: a run that finds nothing to do makes no session
        refuse_wrong_sql(set(job.rules_read()) - self.checked_rules, self.lake.spark)
        self.checked_rules |= set(job.rules_read())
        given, judged = self._judged(job, source, part, fence.run_id, outcome)
        self._publish(job, contract, source, part, fence, outcome, judged, given)

    def tried(self, job: Job, source: str | None, days: Range) -> None:
        """Read, transform and judge as a build does, and keep nothing of it."""
        self._judged(job, source, Part(days), "", Outcome(job.table, source or "", days, ""))

    def _judged(self, job: Job, source: str | None, part: Part, run_id: str, outcome: Outcome) -> tuple[Given, gate.Judged]:
        """What one part of a table is made of, and its rows, each with its fate."""
        contract, values = table(job.table), self.values(job, source, part.days, run_id)
        given = self._given(job, source, part, values, outcome)
        result = job.transform(**given.inputs, **{name: values[name] for name in job.wants()})
        batch = typed(result, contract, keeps=(*PROVENANCE, *CARRIED, "_restated", "_drift") if given.mapped else ())
        if not given.mapped and isinstance(contract.write.kind, ReplaceDays):
            batch = narrowed(job, part, batch.where(bounds(contract, source, part.days) or "true"))
        return given, gate.judge(batch, contract, bool(given.mapped), self.platform.accept_late_days)

    def values(self, job: Job, source: str | None, days: Range, run_id: str) -> dict[str, Any]:
        """The plain values that the job's functions may ask for by name."""
        values = {"from_date": days.first, "to_date": days.last, "source": source, "platform": self.platform, "run_id": run_id}
        return {**values, "rules": rules(job.rules)} if job.rules else values

    def received(self, job: Job, mapped: DataFrame, values: Mapping[str, Any]) -> DataFrame:
        """The records of a mapped job as its transform takes them, computed, with `_superseded` and MASKED."""
        rows = job.prepare(mapped, **{name: values[name] for name in asked_by(job.prepare)}) if job.prepare else mapped
        return materialised(with_scrubbed(rows, table(job.table), key_pads(self.lake)))

    def _given(self, job: Job, source: str | None, part: Part, values: Mapping[str, Any], outcome: Outcome) -> Given:
        """The inputs of one part; what later deliveries replaced is no input but a duplicate."""
        inputs = {arg: self._read(job, one, source, part.days) for arg, one in job.reads.items()}
        counted = dict(inputs)
        for arg in job.key_of:
            read = table(job.reads[arg].table)
            picked = part.picks(inputs[arg], job.key_in(arg), read.write.date or "", read.keys, job.lookback_days, job.lookahead_days)
            inputs[arg], counted[arg] = picked
        if (mapped := job.mapped) is None:
            return Given(inputs, counted)
        received = self.received(job, inputs[mapped], values)
        inputs[mapped] = received.where("not _superseded").drop("_superseded", MASKED)
        masked_rows = F.count(MASKED).alias(MASKED)
        found = received.groupBy("_superseded").agg(*gate.conserved(table(job.table)), masked_rows).collect()
        outcome.duplicates = sum(r["rows"] for r in found if r["_superseded"])
        records = next((r.asDict() for r in found if not r["_superseded"]), {"rows": 0})
        masked = records.pop(MASKED, 0)
        counts = masked_counts(received.where("not _superseded")) if masked else {}
        records.pop("_superseded", None)
        replaced = received.where("_superseded").select("_source_file") if outcome.duplicates else None
        return Given(inputs, counted, mapped, records, counts, masked, replaced)

    def _publish(
        self,
        job: Job,
        contract: Table,
        source: str | None,
        part: Part,
        fence: Fence,
        outcome: Outcome,
        judged: gate.Judged,
        given: Given,
    ) -> None:
        self.recorder.add_changes(changes_in(judged.rows, fence.run_id))
        # an event log has many senders, and none of them may stop the others
        is_log = given.mapped is not None and declared_source(source or "").kind == "event_log"
        checks = gate.row_level_results(judged, contract, gate.EVERY_ROW if is_log else self.platform.max_quarantine_share)
        checks += gate.masked_results(given.masked, given.masked_rows, judged.total)
        good = judged.rows.where("_fate in ('used', 'restated')").select(*contract.column_names)
        used = judged.counts["used"]
        self._ledger(job, contract, judged, given, outcome)
        if used or any(c.rows for c in contract.checks):
            checks += gate.validate(judged, contract)
        self.recorder.add_checks(fence.run_id, contract.name, checks)
        refuse_stopped(checks, f"{contract.name}, {part.days}{f', {source}' if source else ''}", contract)
        if judged.counts["quarantined"] or judged.counts["late"]:
            aside = judged.rows.where("_fate in ('quarantined', 'late')").withColumn("_reason", F.coalesce("_reason", "_fate"))
            set_aside(self.lake, contract, aside, source, bool(given.mapped), fence)
        if given.mapped and {"_raw_identifiers", "identifiers"} <= set(given.inputs[given.mapped].columns):
            seen = given.inputs[given.mapped].where("_reason is null")
            store_identifiers(self.lake, seen, replace(fence, claim=f"vault.identifiers/{fence.claim}"))
        done = publish(
            self.lake,
            good,
            used + judged.counts["restated"],
            contract,
            source,
            part.days,
            fence,
            partial(narrowed, job, part) if part.keys is not None else None,
        )
        outcome.duplicates += done.outranked
        if given.mapped:
            outcome.rows_used -= done.outranked
            outcome.unchanged = min(done.unchanged, outcome.rows_used)
            outcome.rows_used -= outcome.unchanged
        if given.replaced is not None:
            close_replaced(self.lake, contract, given.replaced)
        outcome.rows_out, outcome.wrote, outcome.status = used, done.wrote, "success"

    def _ledger(self, job: Job, contract: Table, judged: gate.Judged, given: Given, outcome: Outcome) -> None:
        """Counts of the inputs against the fates; raises LedgerError when rows or sums do not survive."""
        if given.mapped:
            if given.records != judged.kept and (given.records["rows"] or judged.kept["rows"]):
                raise LedgerError(
                    f"{contract.name}: the records hold {dict(given.records)}, the candidates {judged.kept}; rows or sums were lost. Nothing was published."
                )
            outcome.rows_in = judged.total - judged.counts["restated"] + outcome.duplicates
            outcome.rows_used = judged.counts["used"]
            outcome.duplicates += judged.counts["duplicate"]
            outcome.late, outcome.quarantined = judged.counts["late"], judged.counts["quarantined"]
            return
        rows = numbers_of({arg: frame for arg, frame in given.counted.items() if not isinstance(job.reads[arg], Self)})
        outcome.rows_in = outcome.rows_used = sum(rows.values())
        outcome.quarantined = 0
        self.recorder.add_inputs(outcome.run_id, rows)
        for rule in contract.conservation:
            if isinstance(rule, str):
                continue
            self._conserved(contract, rule, judged, given.inputs[rule["input"]])

    def _conserved(self, contract: Table, rule: Mapping[str, Any], judged: gate.Judged, source_rows: DataFrame) -> None:
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
        found = result.groupBy(per.alias("per")).agg(F.sum(F.expr(rule["equals"])).cast("decimal(38,10)").alias("total"))
        sums = source_rows.where(window).agg(total).select(F.lit(None).cast("string").alias("per"), "total", F.lit(True).alias("is_input"))
        rows = sums.union(found.select("per", "total", F.lit(False))).collect()
        expected = next(r["total"] for r in rows if r["is_input"])
        found = [r for r in rows if not r["is_input"]]
        wrong = {r["per"]: str(r["total"]) for r in found if r["total"] != expected}
        if wrong or (not found and expected):
            raise LedgerError(
                f"{contract.name}: {rule['equals']} must add up to {expected} (sum of {rule['input']}.{rule['column']}), got {wrong or 'no rows'}. Nothing was published."
            )

    def _read(self, job: Job, one: Input, source: str | None, days: Range) -> DataFrame:
        if isinstance(one, Mapped):
            # a table that is rebuilt whole needs its source's whole history
            first, last = (None, None) if job.reads_all() else (days.first, days.last)
            try:
                rows = candidates(self.lake, source or "", one.table, first, last)
                # asked now, so that what a mapping names wrongly is its fault
                _ = rows.columns
                return rows
            except AnalysisException as error:
                raise SettingsError(f"conf/mappings/{source}.yml, {job.table}: {told(error)}") from None
        wide = days.widened(job.lookback_days, job.lookahead_days) if date_of(one) else None
        scope = source if table(job.table).write.partition_by else None
        return self.lake.read(one.table, bounds(table(one.table), scope, wide))

    def signature(self, job: Job, source: str | None, part: Part, versions: Mapping[str, int]) -> str:
        """Hash of all that decides what a part of a table holds; `self` is covered by the output's version, which the recorder compares as well."""
        settings = (self.platform.reporting_currency, self.platform.reporting_time_zone)
        asked = [job.table, source, str(part), versions, code_hash(job, source), *settings]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def input_versions(self, job: Job, source: str | None) -> dict[str, int]:
        """The versions of all tables that the job reads for a source, -1 where there is none yet."""
        versions = {name: self.lake.version(name) for name in job.upstream()}
        if job.is_mapped() and source:
            looked_up = [
                spec["lookup"]["stream"]
                for spec in mapping(source)["streams"].values()
                if job.table in spec["tables"] and spec.get("lookup")
            ]
            versions |= {
                name: self.lake.version(name) for name in (*bronze_of(job.table, source), *(bronze_name(source, s) for s in looked_up))
            }
        return versions


def narrowed(job: Job, part: Part, rows: DataFrame) -> DataFrame:
    """Of a job's rows those that a part builds."""
    return part.narrows(rows, F.col(job.key or "*"), table(job.table).write.date or "")


def typed(result: DataFrame, contract: Table, keeps: Sequence[str]) -> DataFrame:
    """The contract's columns of a transform's result in their types, and those of `keeps` that it has. Raises ThroughlineError naming the
    columns that it lacks."""
    if absent := [c.name for c in contract.columns if c.name not in result.columns]:
        raise ThroughlineError(f"{contract.name}: the job's result has no columns {absent} that conf/tables declares")
    kept = [c for c in keeps if c in result.columns and c not in contract.column_names]
    return result.select(*(F.col(c.name).cast(c.type).alias(c.name) for c in contract.columns), *kept)


def refuse_stopped(checks: Sequence[gate.CheckResult], batch: str, contract: Table) -> None:
    """Raises GateError naming each check that blocks and failed."""
    stopped = [c for c in checks if c.severity == "block" and not c.passed]
    if stopped:
        named = "; ".join(
            f"{c.check_id} ({c.rows_failed if c.rows_failed >= 0 else 'some'} of {c.rows_checked} rows) {c.observed}" for c in stopped
        )
        raise GateError(
            f"{batch}: stopped at the gate by {named}. Nothing was published. "
            f"The checks are in conf/tables/{contract.name.replace('.', '/')}.yml; repair the input and run the task again."
        )


def in_waves(plan: Sequence[Item], named: Callable[[Item], tuple[str, Sequence[str]]], build: Callable[[Item], None]) -> None:
    """Build every item, AT_ONCE of them together, each after all items of the tables it reads. named: an item's table and those it reads.

    After an error nothing new begins; what runs is waited for, then the first error is raised.
    """
    waiting, running = list(plan), dict[Future[None], Item]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while waiting or running:
            open_tables = {named(item)[0] for item in (*waiting, *running.values())}
            ready = [item for item in waiting if not open_tables & set(named(item)[1])]
            for item in ready[: AT_ONCE - len(running)]:
                waiting.remove(item)
                running[pool.submit(build, item)] = item
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                future.result()


def claim_of(name: str, source: str | None) -> str:
    return f"{name}/{source}" if source else name

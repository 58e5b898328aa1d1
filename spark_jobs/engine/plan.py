"""What a run would build and why, told before it builds anything: nothing is written, and rows are read of change feeds alone."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from conf.settings import SettingsError
from conf.tables import table
from spark_jobs.engine.inputs import input_versions
from spark_jobs.engine.parts import Part, parts_of
from spark_jobs.engine.record import Recorder
from spark_jobs.engine.selection import holds, targets
from spark_jobs.engine.signature import signature_of
from spark_jobs.errors import ThroughlineError
from spark_jobs.io.commits import missing_files
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import bronze_of
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import open_table, query
from spark_jobs.job import Job, Self, date_of

SPAN = "select count(*) as n from rows"


@dataclass(frozen=True)
class Step:
    """One part of a table that a run would build; rows: how many its inputs hold of its days now; is_idle: it would be skipped, were nothing
    before it built."""

    table: str
    source: str
    days: str
    rows: int
    why: str
    is_idle: bool = False

    @property
    def name(self) -> str:
        return f"{self.table}[{self.source}]" if self.source else self.table


def steps(lake: Lake, names: list[str], days: Range, only_source: str | None = None, changed: bool = False) -> list[Step]:
    """The parts that `Runner.run` would build with the same arguments, in its order. What an input brings that is itself built before is not
    known yet: such a table is said to follow it."""
    recorder, found, plan = Recorder(lake, ""), list[Step](), targets(lake, names, only_source)
    recorder.prepare([*(job.table for job, _ in plan), *(name for job, source in plan for name in input_versions(lake, job, source))])
    built: set[str] = set()
    for job, source in plan:
        versions, lost = input_versions(lake, job, source), losses(recorder, job, source, changed)
        since: Any = None if lost else recorder.settled(job.table, source) if changed else []
        above = sorted(built & set(job.upstream()))
        for part in parts_of(lake, job, source, days, since):
            why, is_idle = reason(recorder, job, source, part, versions, lost)
            if is_idle and above:
                why, is_idle = f"follows {', '.join(above)}", False
            if not is_idle:
                built.add(job.table)
            found.append(Step(job.table, source or "", str(part), rows_read(lake.root, job, source, part), why, is_idle))
    return found


def losses(recorder: Recorder, job: Job, source: str | None, changed: bool) -> str:
    """Why all days of a table would be built; '' where only those asked for, or changed, would be."""
    if gone := missing_files(recorder.lake.root, job.table):
        return f"{len(gone)} of its data files are gone: all its days"
    if was := recorder.built_otherwise(job.table, source):
        return f"was built for {was}: all its days"
    if lost := recorder.lost(job.table, source):
        return f"{', '.join(lost)} lost what was committed before: all its days"
    if changed and holds(recorder.lake, job.table, source) and not recorder.ran(job.table, source):
        return "no run on record left its rows: all its days"
    return ""


def reason(recorder: Recorder, job: Job, source: str | None, part: Part, versions: Mapping[str, int], lost: str) -> tuple[str, bool]:
    """Why a run would build the part, and whether it would not."""
    if lost:
        return lost, False
    version = recorder.lake.version(job.table)
    if recorder.is_done(job.table, source, signature_of(recorder.settings, job, source, str(part), versions), version):
        return "nothing changed", True
    last = recorder.last(job.table, source)
    if last is None or version < 0:
        return "never built", False
    before = json.loads(last["input_versions"])
    newer = [f"{name} {before.get(name, -1)} → {now}" for name, now in versions.items() if before.get(name, -1) != now]
    if newer:
        return f"new versions of {', '.join(newer)}", False
    if (last["from_date"], last["to_date"]) != (part.days.first, part.days.last):
        return "other days than the run before", False
    if last["output_version"] != version and not table(job.table).write.partition_by:
        return f"the table is at version {version}, its last run left {last['output_version']}", False
    return "its code, contract or rules changed", False


def rows_read(root: str, job: Job, source: str | None, part: Part) -> int:
    """How many rows the inputs of a part hold of its days now."""
    days = part.days.widened(job.lookback_days, job.lookahead_days)
    if job.is_mapped():
        of_slices = (
            "" if job.reads_all() else f" where _slice_from is null or (_slice_from <= '{days.last}' and _slice_to >= '{days.first}')"
        )
        return sum(counted(root, name, f"{SPAN}{of_slices}") for name in bronze_of(job.table, source or ""))
    total = 0
    for one in job.reads.values():
        if isinstance(one, Self):
            continue
        tests = [f"{date} between date '{days.first}' and date '{days.last}'"] if (date := date_of(one)) else []
        if table(one.table).write.partition_by and source:
            tests.append(f"source = '{source}'")
        total += counted(root, one.table, SPAN + (f" where {' and '.join(tests)}" if tests else ""))
    return total


def counted(root: str, name: str, sql: str) -> int:
    """The one number that a query of a table gives; 0 where there is no table."""
    found = open_table(root, name)
    return int(query(found, sql)["n"][0].as_py()) if found is not None else 0


def told(lake: Lake, names: list[str], first: dt.date, last: dt.date, changed: bool, sources: Iterable[str] = ()) -> list[str]:
    """The plan as lines of Markdown, a table each; what cannot be planned is said instead."""
    try:
        found = steps(lake, names, Range(first, last), None, changed)
    except (ThroughlineError, SettingsError) as error:
        return [f"- no plan: {error}"]
    wanted = set(sources)
    return listed(found, [one for one in found if not one.is_idle and (not wanted or not one.source or one.source in wanted)])


def note_of(found: list[Step], days: Range) -> str:
    """The plan as Markdown: what it comes to, then a line per part."""
    busy = [one for one in found if not one.is_idle]
    parts, tables = len(busy), len({one.table for one in busy})
    said = f"{parts} part{'s' * (parts != 1)} of {tables} table{'s' * (tables != 1)}" if busy else "nothing"
    begun = f"As the lake is now, {days.first} to {days.last} would build {said}."
    return "\n".join([begun, "", *listed(found, busy)])


def listed(found: list[Step], busy: list[Step]) -> list[str]:
    """A line of Markdown for each of the parts that would be built, and one for how many others there are."""
    lines = [f"- `{one.name}` {one.days}: {one.rows:,} rows to read, {one.why}" for one in busy]
    idle = len(found) - len(busy)
    return [*lines, *([f"- {idle} more with nothing to do"] if idle else [])]

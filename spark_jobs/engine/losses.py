"""Rows that a lake had and has no longer: what a run does about them before it builds.

A table whose newest commits are gone, or that was made of an input's lost commits, is built again over all its days. One whose data files
are gone is first left with the rows that can be read. Nothing is built from another table that has lost something itself. One that was built
for another reporting currency or time zone has lost its meaning: it is treated alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from conf.names import quarantine_of
from conf.tables import table
from spark_jobs.engine.record import VAULT, Recorder
from spark_jobs.engine.selection import Target, parts_feeding
from spark_jobs.errors import LostDataError, SelectionError
from spark_jobs.io.commits import missing_files, versions
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import bronze_of
from spark_jobs.io.publish import Fence, without_missing
from spark_jobs.job import Job

Claimed = tuple[str, str | None]


def mend_losses(
    lake: Lake,
    recorder: Recorder,
    plan: Sequence[Target],
    fences: Mapping[Claimed, Fence],
) -> set[Claimed]:
    """The (table, source) of the plan that must be built again over all their days. Raises LostDataError where an input that the plan does not
    build has lost something, SelectionError where it was built for another reporting currency or time zone."""
    planned = {job.table for job, _ in plan}
    gone = {name: missing_files(lake.root, name) for name in _read_by(plan)}
    for name, source in _inputs(plan, planned):
        if hit := _of_source(gone.get(name, {}), source):
            raise LostDataError(_refusal(name, source, f"{len(hit)} of its data files are gone, {hit[0]} among them"))
        if recorder.lost(name, source, only_own=True):
            raise LostDataError(
                _refusal(name, source, f"commits that its last run left are gone (its log ends at {versions(lake.root, name)[1]})")
            )
    for job, source in plan:
        for name in (job.table, quarantine_of(job.table), *_vault_of(job)):
            if hit := _of_source(gone.get(name, {}), source if name == job.table else None):
                what = f"{name}: {len(hit)} of its data files are gone, {hit[0]} among them"
                recorder.add_loss(job.table, source, name, f"{what}; it is built again")
                without_missing(
                    lake, name, source if name == job.table else None, replace(fences[job.table, source], run_id=recorder.process_id)
                )
    again = set(_built_otherwise(recorder, plan, planned))
    for job, source in plan:
        if lost := recorder.lost(job.table, source):
            again.add((job.table, source))
            print(
                f"{job.table}{f'[{source}]' if source else ''}: {', '.join(lost)} lost what was committed before; built again over all days",
                flush=True,
            )
    return again


def _built_otherwise(recorder: Recorder, plan: Sequence[Target], planned: set[str]) -> Iterable[Claimed]:
    """The (table, source) of the plan that were built for another reporting currency or time zone. Raises ThroughlineError where an input that
    the plan does not build was: amounts in one currency must not get the label of another."""
    for name, source in _inputs(plan, planned):
        if was := recorder.built_otherwise(name, source):
            raise SelectionError(
                f"{name} was built for {was}, and conf/platform.yml now says {recorder.settings}: nothing was built from it. Build it and all "
                "that is made of it for the new setting: `python -m spark_jobs run all --from DAY --to DAY` (any day)"
            )
    for job, source in plan:
        if was := recorder.built_otherwise(job.table, source):
            print(f"{job.table}{f'[{source}]' if source else ''}: was built for {was}; built again over all days", flush=True)
            yield job.table, source


def _vault_of(job: Job) -> tuple[str, ...]:
    return (VAULT,) if job.is_mapped() and "identifiers" in table(job.table).column_names else ()


def _read_by(plan: Sequence[Target]) -> set[str]:
    own = {name for job, _ in plan for name in (job.table, quarantine_of(job.table), *job.upstream(), *_vault_of(job))}
    return own | {name for job, source in plan if job.is_mapped() and source for name in bronze_of(job.table, source)}


def _inputs(plan: Sequence[Target], planned: set[str]) -> list[tuple[str, str | None]]:
    """The tables and sources that the plan reads and does not build."""
    found: dict[tuple[str, str | None], None] = {}
    for job, source in plan:
        if job.is_mapped() and source:
            found |= dict.fromkeys((name, source) for name in bronze_of(job.table, source))
        for name in set(job.upstream()) - planned:
            parts = [source] if source and table(name).write.partition_by else parts_feeding(name)
            found |= dict.fromkeys((name, one) for one in parts)
    return list(found)


def _of_source(gone: Mapping[str, str | None], source: str | None) -> list[str]:
    """Of the files that are gone those with rows of a source; None: all."""
    return [path for path, whose in gone.items() if source is None or whose in (None, source)]


def _refusal(name: str, source: str | None, what: str) -> str:
    again = f"load {source}" if name.startswith("bronze.") else f"rebuild {name}"
    return f"{name}: {what}. Nothing was built from it. Bring it back first: `python -m spark_jobs {again}`; then run this again"

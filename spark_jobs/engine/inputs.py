"""What a part of a table is made of: the rows and the plain values that its job is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, functions as F

from conf.names import bronze_name
from conf.settings import Platform, SettingsError, mapping, rules
from conf.tables import table
from spark_jobs.engine.parts import Part
from spark_jobs.functions.plans import materialised
from spark_jobs.functions.ruled import told
from spark_jobs.functions.scrubbing import MASKED, masked_counts, with_scrubbed
from spark_jobs.io.lake import Lake, bounds
from spark_jobs.io.mapped import bronze_of, candidates, unmapped, wrong_expressions
from spark_jobs.io.ranges import Range
from spark_jobs.io.vault import key_pads
from spark_jobs.job import Input, Job, Mapped, asked_by, date_of
from spark_jobs.quality.gate import conserved


@dataclass(frozen=True)
class Given:
    """What a part's transform is given. counted: per input as many rows, which cost little to count; mapped: which input is the mapped one, and
    its records' number and conserved sums; masked: per column in how many of them something personal gave way, masked_rows: in how many at all;
    superseded: how many records are of a delivery that was replaced, replaced: their files, None where there are none."""

    inputs: Mapping[str, DataFrame]
    counted: Mapping[str, DataFrame]
    mapped: str | None = None
    records: Mapping[str, Any] = field(default_factory=dict)
    masked: Mapping[str, int] = field(default_factory=dict)
    masked_rows: int = 0
    superseded: int = 0
    replaced: DataFrame | None = None


def values_of(settings: Platform, job: Job, source: str | None, days: Range, run_id: str) -> dict[str, Any]:
    """The plain values that the job's functions may ask for by name."""
    values = {"from_date": days.first, "to_date": days.last, "source": source, "platform": settings, "run_id": run_id}
    return {**values, "rules": rules(job.rules)} if job.rules else values


def input_versions(lake: Lake, job: Job, source: str | None) -> dict[str, int]:
    """The versions of all tables that the job reads for a source, -1 where there is none yet."""
    names = list(job.upstream())
    if job.is_mapped() and source:
        streams = (spec for spec in mapping(source)["streams"].values() if job.table in spec["tables"])
        looked_up = (bronze_name(source, spec["lookup"]["stream"]) for spec in streams if spec.get("lookup"))
        names += [*bronze_of(job.table, source), *looked_up]
    return {name: lake.version(name) for name in names}


def given(lake: Lake, job: Job, source: str | None, part: Part, values: Mapping[str, Any]) -> Given:
    """The inputs of one part; what later deliveries replaced is no input but a duplicate."""
    inputs = {arg: read(lake, job, one, source, part.days) for arg, one in job.reads.items()}
    counted = dict(inputs)
    for arg in job.key_of:
        contract = table(job.reads[arg].table)
        inputs[arg], counted[arg] = part.picks(
            inputs[arg], job.key_in(arg), contract.write.date or "", contract.keys, job.lookback_days, job.lookahead_days
        )
    if job.mapped is None:
        return Given(inputs, counted)
    return with_records(job, job.mapped, inputs, counted, received(lake, job, inputs[job.mapped], values))


def with_records(job: Job, mapped: str, inputs: Mapping[str, DataFrame], counted: Mapping[str, DataFrame], records: DataFrame) -> Given:
    """The inputs of a mapped job, its records (as `received` gives them) measured. mapped: the argument that takes them."""
    found = records.groupBy("_superseded").agg(*conserved(table(job.table)), F.count(MASKED).alias(MASKED)).collect()
    superseded = sum(row["rows"] for row in found if row["_superseded"])
    measured = next((row.asDict() for row in found if not row["_superseded"]), {"rows": 0})
    measured.pop("_superseded", None)
    masked_rows = measured.pop(MASKED, 0)
    standing = records.where("not _superseded")
    return Given(
        {**inputs, mapped: standing.drop("_superseded", MASKED)},
        counted,
        mapped,
        measured,
        masked_counts(standing) if masked_rows else {},
        masked_rows,
        superseded,
        records.where("_superseded").select("_source_file") if superseded else None,
    )


def received(lake: Lake, job: Job, mapped: DataFrame, values: Mapping[str, Any]) -> DataFrame:
    """The records of a mapped job as its transform takes them, computed, with `_superseded` and MASKED."""
    rows = job.prepare(mapped, **{name: values[name] for name in asked_by(job.prepare)}) if job.prepare else mapped
    return materialised(with_scrubbed(rows, table(job.table), key_pads(lake)))


def read(lake: Lake, job: Job, one: Input, source: str | None, days: Range) -> DataFrame:
    """The rows of an input for a run's days. Raises SettingsError where a mapping names what its records have not."""
    if isinstance(one, Mapped):
        return mapped_records(lake, job, source or "", days)
    wide = days.widened(job.lookback_days, job.lookahead_days) if date_of(one) else None
    scope = source if table(job.table).write.partition_by else None
    return lake.read(one.table, bounds(table(one.table), scope, wide))


def mapped_records(lake: Lake, job: Job, source: str, days: Range) -> DataFrame:
    """A source's records of the days; of a table that is rebuilt whole those of all days."""
    if said := next(unmapped(source, job.table), None):
        raise SettingsError(said)
    first, last = (None, None) if job.reads_all() else (days.first, days.last)
    try:
        rows = candidates(lake, source, job.table, first, last)
        # asked now, so that what a mapping names wrongly is its fault
        _ = rows.columns
        return rows
    except AnalysisException as error:
        said = next(wrong_expressions(lake, source, job.table), None)
        raise SettingsError(said or f"conf/mappings/{source}.yml, {job.table}: {told(error)}") from None

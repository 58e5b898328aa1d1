"""Take out of the tables what a delivery brought that was delivered again since, and that nothing else says.

Tables that keep rows by key (write.mode merge) keep what a replaced delivery brought: an event that its correction no longer has stays. This
finds such rows of one slice, shows them, and takes them out; what hangs on them (another body of the same event, the day of their order) is
built again. Tables that are replaced by days or whole forget a replaced delivery by themselves.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import Column, DataFrame, functions as F

from conf.printing import shown
from conf.settings import mapping, platform
from conf.tables import Merge, Table, table
from spark_jobs.engine import inputs
from spark_jobs.engine.claims import Claims, claim_of
from spark_jobs.engine.runner import Runner
from spark_jobs.errors import ThroughlineError
from spark_jobs.functions.fates import first_failing
from spark_jobs.functions.plans import materialised
from spark_jobs.io import publish
from spark_jobs.io.lake import Lake, quoted
from spark_jobs.io.mapped import candidates, read_bronze
from spark_jobs.io.ranges import Range
from spark_jobs.job import Job, jobs
from spark_jobs.quality.gate import masked
from spark_jobs.silver.events import with_own_conflicts

ALWAYS = Range(dt.date(1970, 1, 1), dt.date(2100, 1, 1))
# rows that say something of each other: when one goes, the others are judged anew
TOGETHER = {"silver.events": ("client_event_id",), "silver.order_lines": ("order_id",)}
# what stored rows say of each other, where building them again would not: of an event the first copy stays
JUDGED = {"silver.events": with_own_conflicts}


@dataclass(frozen=True)
class Withdrawn:
    """Of one table the stored rows that only replaced deliveries of the slice brought, their number, those that hang on them, and the days to
    build again."""

    contract: Table
    rows: DataFrame
    count: int
    beside: DataFrame
    days: Range | None


def withdraw(lake: Lake, source: str, slice_id: str, applies: bool, holder: str, say: Callable[[Any], None]) -> list[dict[str, Any]]:
    """Show what would be taken out (applies: take it out). Doing it twice changes nothing. Raises ThroughlineError when the source has no
    such slice, or when it was not delivered again."""
    runner = Runner(lake, holder, say, force=True)
    fed = replaced_tables(lake, source, slice_id)
    outcomes: list[dict[str, Any]] = []
    for job in (jobs()[name] for name in fed):
        found = brought_alone(lake, job, source, slice_id)
        samples = found.rows.select(found.contract.keys[0], found.contract.write.date or F.lit("")).limit(3).collect()
        listed = ", ".join(f"{masked(key)} of {day}" for key, day in samples)
        done = "rows are taken out" if applies else "rows would be taken out"
        print(shown(f"{job.table}: {found.count:,} {done}{f', as {listed}' if listed else ''}"), flush=True)
        if not applies:
            continue
        claims = Claims(lake, holder)
        name = claim_of(job.table, source)
        try:
            fence = replace(claims.acquire([name])[name], run_id=uuid.uuid4().hex)
            if found.count:
                left = JUDGED.get(job.table, lambda rows: rows)(found.beside)
                publish.withdraw(lake, found.rows.unionByName(found.beside), left, found.contract, source, fence)
        finally:
            claims.release()
        if found.days is not None:
            outcomes += [vars(one) for one in runner.run([job.table], found.days, source)]
    if not applies:
        print("Nothing was changed; --apply does it.", flush=True)
    return outcomes


def replaced_tables(lake: Lake, source: str, slice_id: str) -> list[str]:
    """The tables by key that the streams feed of which the slice was delivered again."""
    streams = mapping(source)["streams"]
    attempts = {}
    for stream in streams:
        rows = read_bronze(lake, source, stream, None, None).where(F.col("_slice_id") == slice_id)
        attempts[stream] = rows.select("_account", "_attempt").distinct().groupBy("_account").count().agg(F.max("count")).collect()[0][0]
    if not any(attempts.values()):
        raise ThroughlineError(
            f"{source} has delivered no slice {slice_id!r}: slices are the folders landing/{source}/<stream>/<account>/<slice>"
        )
    again = [stream for stream, count in attempts.items() if (count or 0) > 1]
    if not again:
        raise ThroughlineError(
            f"{source}: slice {slice_id} was delivered once: deliver it again without what is wrong (or empty), pull and load, then withdraw"
        )
    fed = {name for stream in again for name in streams[stream]["tables"] if isinstance(table(name).write.kind, Merge)}
    return sorted(fed)


def brought_alone(lake: Lake, job: Job, source: str, slice_id: str) -> Withdrawn:
    """What only replaced deliveries of the slice brought to the job's table."""
    contract, values = table(job.table), inputs.values_of(platform(), job, source, ALWAYS, "")
    received = inputs.received(lake, job, candidates(lake, source, job.table, None, None), values)
    keys = list(contract.keys)
    is_of_slice = F.col("_slice_id") == slice_id
    replaced = rows_of(lake, job, received.where(F.col("_superseded") & is_of_slice), values)
    standing = rows_of(lake, job, received.where("not _superseded"), values).where(
        first_failing(contract).isNull() & F.col("_reason").isNull()
    )
    alone = replaced.select(*keys).distinct().join(standing.select(*keys), on=keys, how="left_anti")
    stored = lake.rows(contract, f"source = {quoted(source)}")
    rows = materialised(stored.join(alone, on=keys, how="left_semi"))
    hanging = [c for c in TOGETHER.get(contract.name, keys)]
    others = standing.join(replaced.select(*hanging).distinct(), on=hanging, how="left_semi")
    span = others.agg(F.min("_slice_from"), F.max("_slice_from")).first()
    days = Range(*(dt.date.fromisoformat(day) for day in span)) if span is not None and span[0] else None
    beside = stored.join(rows.select(*hanging).distinct(), on=hanging, how="left_semi").join(rows.select(*keys), on=keys, how="left_anti")
    return Withdrawn(contract, rows, rows.count(), materialised(beside), days)


def rows_of(lake: Lake, job: Job, received: DataFrame, values: dict[str, Any]) -> DataFrame:
    """What the job makes of these records alone: its table's keys, and where they came from."""
    read = {arg: lake.read(one.table) for arg, one in job.reads.items() if arg != job.mapped}
    read = {arg: rows.where(F.col("source") == values["source"]) if "source" in rows.columns else rows for arg, rows in read.items()}
    made = job.transform(**{job.mapped or "": received.drop("_superseded")}, **read, **{name: values[name] for name in job.wants()})
    is_own: Column = ~F.coalesce(F.col("_restated"), F.lit(False)) if "_restated" in made.columns else F.lit(True)
    return materialised(made.where(is_own))

"""Which rows a run of a table builds: the days asked for, and what the inputs touched since it was built last."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, functions as F

from conf.tables import ReplaceDays, table
from spark_jobs.errors import UNREADABLE
from spark_jobs.functions.people import current_people
from spark_jobs.functions.plans import FEW_KEYS, materialised, number_of
from spark_jobs.io import changes
from spark_jobs.io.lake import Lake, bounds
from spark_jobs.io.mapped import bronze_of
from spark_jobs.io.ranges import Range
from spark_jobs.job import Job, Mapped, Self


@dataclass(frozen=True)
class Part:
    """What one run of a table builds: all rows of its days, or, where it has keys, all rows of the days `whole` and of the others those rows
    whose key and day are named in it. keys: two columns, the day and what Job.key names."""

    days: Range
    keys: DataFrame | None = None
    whole: Range | None = None

    def narrows(self, rows: DataFrame, key: Column, date: str) -> DataFrame:
        """Of the rows those of the named keys and days, and all of the whole days."""
        if self.keys is None or self.whole is None:
            return rows
        named = self.keys.toDF("_day", "_key")
        found = rows.join(F.broadcast(named), (F.col(date) == F.col("_day")) & (key == F.col("_key")), "left")
        return found.where(F.expr(self.whole.where(date)) | F.col("_key").isNotNull()).drop("_day", "_key")

    def picks(self, rows: DataFrame, key: Column, date: str, by: Sequence[str], before: int, after: int) -> tuple[DataFrame, DataFrame]:
        """Of an input's rows those of the named keys and days and all of the whole days, with so many days before and after each; and as many
        rows that cost little to count.

        by: the input's own keys. Making `key` of every row costs more than comparing: it is made once, over few columns, and the rows are then
        found by their own keys.
        """
        if self.keys is None or self.whole is None:
            return rows, rows
        named = around(self.keys, before, after).toDF("_day", "_key").distinct()
        is_whole = F.expr(self.whole.widened(before, after).where(date))
        others = rows.where(~is_whole).join(F.broadcast(named), (F.col(date) == F.col("_day")) & (key == F.col("_key")), "left_semi")
        found = materialised(others.select(*by))
        is_few = number_of(found) <= FEW_KEYS
        found = found.withColumn("_is_named", F.lit(True))
        picked = rows.join(F.broadcast(found) if is_few else found, on=list(by), how="left").where(is_whole | F.col("_is_named"))
        return picked.select(*rows.columns), rows.where(is_whole).select(*by).unionByName(found.select(*by))

    def __str__(self) -> str:
        return str(self.days) if self.keys is None else f"{self.whole} and changed keys of {self.days}"


def around(keys: DataFrame, before: int, after: int) -> DataFrame:
    """Days and their keys, each with so many days before and after it."""
    if not before and not after:
        return keys
    day, key = keys.columns
    days = F.sequence(F.date_sub(day, before), F.date_add(day, after))
    return keys.select(F.explode(days).alias(day), key)


def parts_of(
    lake: Lake, job: Job, source: str | None, days: Range, settled: Iterable[tuple[dt.date, Mapping[str, int]]] | None
) -> list[Part]:
    """The range asked for, and what the inputs touched since the table was built last.

    settled: the days up to which it is up to date, sorted, each with the versions of its inputs that it was built from; None: no day of it
    can be relied on.
    """
    if not (isinstance(table(job.table).write.kind, ReplaceDays) or (job.is_mapped() and not job.reads_all())):
        return [Part(days)]
    if settled is None and job.is_mapped():
        others = landed_days(lake, job, source, {}) - set(days.days())
        return [Part(days), *(Part(Range(*span)) for span in (Range.of(others).spans() if others else ()))]
    asked, again = set(days.days()), set[dt.date]()
    if settled is None:
        return [Part(Range.of(asked | every_day(lake, job, *job.upstream())))]
    keys: list[DataFrame] | None = []
    before = dt.date.min
    for until, versions in settled:
        found, found_keys = touched(lake, job, source, versions)
        earlier = {day for day in found - asked if before < day <= until and day <= days.last}
        if earlier:
            again |= earlier
            keys = None if keys is None or found_keys is None else [*keys, *found_keys]
        before = until
    if not again:
        return [Part(days)]
    if job.is_mapped():
        # apart from the days asked for: a delivery that its gate stopped must not be diluted by another day's
        earlier = {day for day in again if day < days.first}
        return [Part(days), *(Part(Range(*span)) for span in (Range.of(earlier).spans() if earlier else ()))]
    if keys:
        few = materialised(reduce(lambda one, other: one.unionByName(other), keys).distinct())
        if number_of(few) <= FEW_KEYS:
            return [Part(Range.of(asked | again), few, days)]
    return [Part(Range.of(asked | again))]


def touched(lake: Lake, job: Job, source: str | None, versions: Mapping[str, int]) -> tuple[set[dt.date], list[DataFrame] | None]:
    """The days of the job's rows that commits to its inputs after these versions may have changed, and the keys of these rows where
    the job has some and all that changed says whose it is."""
    scope = source if table(job.table).write.partition_by else None
    days: set[dt.date] = set()
    keys: list[DataFrame] | None = []
    for arg, one in job.reads.items():
        if isinstance(one, Self):
            continue
        if isinstance(one, Mapped):
            days |= landed_days(lake, job, source, versions)
            continue
        name = one.table
        since = versions.get(name, -1)
        if lake.version(name) <= since:
            continue
        # without a session there are no columns
        _ = lake.spark
        try:
            known = touched_by(lake, job, arg, since, scope) if changes.remembers(lake, name, since) else None
        except Exception as error:
            # a table that another tool wrote keeps no changes unless it was told to; others' are of other columns, or in files that are gone
            if not any(word in str(error) for word in ("DELTA_MISSING_CHANGE_DATA", "DELTA_CHANGE_DATA_FEED_INCOMPATIBLE", *UNREADABLE)):
                raise
            known = None
        found, whose = known or (every_day(lake, job, name), None)
        if found:
            days |= found
            keys = None if keys is None or whose is None else [*keys, whose]
    return days, keys


def touched_by(lake: Lake, job: Job, arg: str, since: int, source: str | None) -> tuple[set[dt.date], DataFrame | None]:
    """The days, and the keys where they are known, of the job's rows that commits after version `since` to this input may have changed."""
    contract, name = table(job.table), job.reads[arg].table
    date = contract.write.date or ""
    if column := job.restates.get(arg) or job.reassigns.get(arg):
        changed = changed_values(lake, name, since, column, source, only_lost=arg in job.reassigns)
        own = lake.read(job.table, bounds(contract, source, None)).join(changed, on=column, how="left_semi")
        return days_and_keys(own.select(date, *([job.key] if job.key else [])))
    if input_date := table(name).write.date:
        before, after = job.lookahead_days, max(job.lookback_days, job.reach())
        if arg in job.key_of:
            key = job.key_in(arg).alias(job.key or "")
            # a row without a key makes none of the own ones
            changed = changes.changed(lake, name, since, F.col(input_date).alias(date), key, source=source).dropna()
            return days_and_keys(around(changed, before, after))
        days = changes.changed_days(lake, name, since, source)
        return set(Range.of(days).widened(before, after).days()) if days else set(), None
    return every_day(lake, job) if changes.lost_rows_since(lake, name, since) else set(), None


def changed_values(lake: Lake, name: str, since: int, column: str, source: str | None, only_lost: bool) -> DataFrame:
    """Distinct values of the column on the input's changed rows; whose they are by the person map where the input knows identifiers alone."""
    if column in table(name).column_names:
        return changes.changed(lake, name, since, F.col(column), source=source, only_lost=only_lost)
    identifiers = changes.changed(lake, name, since, F.col("identifier_key"), source=source, only_lost=only_lost)
    people = current_people(lake.read("identity.person_map"))
    return people.join(identifiers, on="identifier_key", how="left_semi").select(column).distinct()


def every_day(lake: Lake, job: Job, *inputs: str) -> set[dt.date]:
    """From the first day of the job's rows, or of the dated inputs', to the last."""
    days: list[dt.date] = []
    for name in (job.table, *inputs):
        if date := table(name).write.date:
            span = lake.read(name).agg(F.min(date), F.max(date)).first()
            days += [day for day in span or () if day is not None]
    return set(Range(min(days), max(days)).days()) if days else set()


def landed_days(lake: Lake, job: Job, source: str | None, versions: Mapping[str, int]) -> set[dt.date]:
    """The days of the slices that reached the job's bronze tables after these versions."""
    days: set[dt.date] = set()
    for name in bronze_of(job.table, source or ""):
        since = versions.get(name, -1)
        if lake.version(name) > since:
            # bronze only grows: its whole is what came since, and more
            landed = changes.feed(lake, name, since) if changes.remembers(lake, name, since) else lake.stored(name)
            slices = landed.where("_slice_from is not null").select("_slice_from", "_slice_to").distinct()
            for first, last in ((dt.date.fromisoformat(r[0]), dt.date.fromisoformat(r[1])) for r in slices.collect()):
                days |= set(Range(first, last).days())
    return days


def days_and_keys(rows: DataFrame) -> tuple[set[dt.date], DataFrame | None]:
    """The days (first column) of rows, and, where they have keys beside them, both, each pair once and computed."""
    day = rows.columns[0]
    keys = materialised(rows.distinct()) if len(rows.columns) > 1 else None
    days = (rows if keys is None else keys).select(day).distinct().collect()
    return {r[0] for r in days if r[0] is not None}, keys

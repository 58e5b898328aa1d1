"""Every declaration tried before anything runs: sources, mappings, rules, contracts of tables and events, and each job's transform on empty inputs
of their declared types, up to the gate. Nothing is read of the lake and nothing is kept."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from conf.contracts import FOLDER, read_contract
from conf.settings import CONF, SettingsError, faults, mapping, platform, rules, source_names, sources_of
from conf.tables import table, table_names
from spark_jobs.engine.runner import tried
from spark_jobs.engine.selection import select_tables
from spark_jobs.errors import ThroughlineError
from spark_jobs.functions.plans import ANALYSED_ALONE
from spark_jobs.functions.ruled import declared_wrongly, refuse_wrong_sql, told
from spark_jobs.io.keys import KEY_BYTES, write_key
from spark_jobs.io.lake import Lake
from spark_jobs.io.ranges import Range
from spark_jobs.job import Job, jobs

KEY_FILE = "THROUGHLINE_KEY_FILE"
# of nothing every day is alike
DAY = Range(dt.date(2026, 1, 1), dt.date(2026, 1, 1))


def rule_names() -> list[str]:
    """The files of conf/rules."""
    return sorted(path.stem for path in (CONF / "rules").glob("*.yml"))


def mistakes(what: Iterable[str], session: Callable[[], SparkSession]) -> list[str]:
    """One sentence per mistake; none when all is right. what: selections of tables, or sources; nothing = everything.

    session: makes the Spark session, which is not asked for while files alone are wrong.
    """
    chosen = list(what) or ["all"]
    sources = [one for one in chosen if one in source_names()]
    tables = select_tables([one for one in chosen if one not in sources]) if len(sources) < len(chosen) else []
    found = list(_wrong_files(sources if not tables else source_names()))
    return found or list(dict.fromkeys(_wrong_jobs(tables, sources, session)))


def _wrong_files(sources: Iterable[str]) -> Iterator[str]:
    """What is wrong with files alone."""
    reads: list[Callable[[], Any]] = [platform]
    reads += [partial(rules, name) for name in rule_names()]
    reads += [partial(table, name) for name in table_names()]
    reads += [partial(read_contract, path) for path in sorted(FOLDER.glob("*.json"))]
    for read in reads:
        try:
            read()
        except SettingsError as error:
            yield str(error)
    wrong = faults()
    yield from (wrong[name] for name in sources if name in wrong)


def _wrong_jobs(tables: list[str], sources: list[str], session: Callable[[], SparkSession]) -> Iterator[str]:
    """What is wrong with what Spark is asked to do."""
    with tempfile.TemporaryDirectory() as folder, _own_key(folder):
        lake = Lake(session, str(Path(folder, "lake")))
        try:
            refuse_wrong_sql(rule_names(), lake.spark)
        except SettingsError as error:
            yield str(error)
            return
        lake.spark.conf.set(ANALYSED_ALONE, "true")
        pairs = [(jobs()[name], source) for name in tables for source in _parts(jobs()[name])]
        pairs += [(jobs()[name], one) for one in sources for name in _filled_by(one)]
        try:
            yield from filter(None, (_mistake(lake, job, source) for job, source in pairs))
        finally:
            lake.spark.conf.unset(ANALYSED_ALONE)


def _parts(job: Job) -> tuple[str | None, ...]:
    """The sources of a mapped job, each with a mapping of its own, else one of those that a table by source is built for, or None."""
    if job.is_mapped():
        return tuple(sources_of(job.table))
    return (next(iter(source_names()), None),) if table(job.table).write.partition_by else (None,)


def _filled_by(source: str) -> list[str]:
    """The tables that a source's mapping fills."""
    return sorted({name for stream in mapping(source)["streams"].values() for name in stream["tables"]})


def _mistake(lake: Lake, job: Job, source: str | None) -> str | None:
    """What keeps a job from being built from empty inputs, as a sentence that names its files; None where nothing does."""
    try:
        tried(lake, job, source, DAY)
    except (SettingsError, ThroughlineError) as error:
        return str(error)
    except PySparkException as error:
        return declared_wrongly(error, job.table, source if job.is_mapped() else None) or f"{job.table}: {told(error)}"
    return None


@contextmanager
def _own_key(folder: str) -> Iterator[None]:
    """A key of its own for the block: what is tried leaves no trace in the home."""
    before = os.environ.get(KEY_FILE)
    os.environ[KEY_FILE] = str(key := Path(folder, "key.json"))
    write_key(key, secrets.token_bytes(KEY_BYTES))
    try:
        yield
    finally:
        del os.environ[KEY_FILE]
        if before is not None:
            os.environ[KEY_FILE] = before

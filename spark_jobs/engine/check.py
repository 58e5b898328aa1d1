"""Every declaration tried before anything runs: sources, mappings, rules, contracts of tables and events, and each job's transform on empty inputs
of their declared types, up to the gate. Nothing is read of the lake and nothing is kept."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from conf.contracts import FOLDER, read_contract
from conf.names import LAYERS, code_of, contract_of, place_of
from conf.settings import CONF, REPOSITORY, SettingsError, faults, mapping, platform, rule_names, rules, source_names, sources_of
from conf.tables import table, table_names
from spark_jobs.engine.runner import tried
from spark_jobs.engine.selection import select_tables
from spark_jobs.engine.signature import files_of
from spark_jobs.engine.waves import AT_ONCE
from spark_jobs.errors import ThroughlineError
from spark_jobs.functions.plans import ANALYSED_ALONE
from spark_jobs.functions.ruled import declared_wrongly, each_wrong, told, wrong_sql
from spark_jobs.io.keys import KEY_BYTES, write_key
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import wrong_expressions
from spark_jobs.io.ranges import Range
from spark_jobs.job import CircleError, Job, in_order, of_code, sound_jobs

KEY_FILE = "THROUGHLINE_KEY_FILE"
# layers whose tables the engine keeps for itself
WITHOUT_JOBS = ("ops", "vault")
# of nothing every day is alike
DAY = Range(dt.date(2026, 1, 1), dt.date(2026, 1, 1))


# what stands in a folder of conf under another ending is read by nobody
ENDINGS = {"sources": ".yml", "mappings": ".yml", "rules": ".yml", "tables": ".yml", "contracts": ".json"}
READABLE = (".yml", ".yaml", ".json")
# spark_jobs imports no connector
STREAMS = (sys.executable, "-m", "connectors", "declarations")


def mistakes(what: Iterable[str], session: Callable[[], SparkSession]) -> Iterator[str]:
    """A sentence for each mistake, as it is found; none when all is right. What is wrong in one place keeps no other from being tried.

    what: selections of tables, or sources; nothing = everything. session: makes the Spark session, which is asked for after all files are read.
    """
    return iter_once(_mistakes(list(what) or ["all"], session))


def iter_once(said: Iterable[str]) -> Iterator[str]:
    """The sentences as they come, each once."""
    seen = set[str]()
    for one in said:
        if one not in seen:
            yield one
        seen.add(one)


def _mistakes(chosen: list[str], session: Callable[[], SparkSession]) -> Iterator[str]:
    sources = [one for one in chosen if one in source_names()]
    # a table may be filled by any source
    asked = sources if len(sources) == len(chosen) else list(source_names())
    with _streams_tried(asked) as streams:
        yield from _wrong_files(asked)
        known, wrong = sound_jobs()
        yield from map(str, wrong.values())
        yield from _wrong_order(known)
        selections = [one for one in chosen if one not in (*sources, *wrong)]
        tables = sorted(select_tables(selections, _without_circles(known))) if selections else []
        yield from streams()
    try:
        platform()
    except SettingsError:  # said already, and nothing is built under it
        return
    pairs = [(known[name], source) for name in tables for source in _parts(known[name])]
    pairs += [(known[name], one) for one in sources for name in _filled_by(one) if name in known]
    yield from _unfillable(asked, known)
    yield from _wrong_jobs(pairs, session)


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
    for folder, ending in ENDINGS.items():
        for path in sorted((CONF / folder).rglob("*")):
            if path.suffix.lower() in READABLE and path.suffix != ending and "schemas" not in path.parts:
                yield f"{path}: is read by nobody; what stands in conf/{folder} ends in {ending}"
    for path in sorted((CONF / "mappings").glob("*.yml")):
        if path.stem not in source_names():
            yield f"{path}: there is no conf/sources/{path.name}; a mapping is called like its source, and there are {list(source_names())}"
    for name in table_names():
        layer, where = name.split(".")[0], REPOSITORY / contract_of(name)
        if layer not in (*LAYERS, *WITHOUT_JOBS):
            yield f"{where}: {layer!r} is no layer; there are {[*LAYERS, *WITHOUT_JOBS]}"
        elif layer in LAYERS and not (REPOSITORY / code_of(name)).is_file():
            yield f"{where}: nothing makes this table; write {code_of(name)}, or remove the file"


@contextmanager
def _streams_tried(sources: Iterable[str]) -> Iterator[Callable[[], list[str]]]:
    """While the block runs, the connectors try what sources say to them, in a process of their own; what they found, when it is asked for."""
    with subprocess.Popen([*STREAMS, *sources], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:

        def found() -> list[str]:
            said, trouble = asked.communicate()
            strange = [] if asked.returncode in (0, 2) else [f"{' '.join(STREAMS[1:])}: {(trouble.splitlines() or ['ended'])[-1]}"]
            return said.splitlines() + strange

        try:
            yield found
        finally:
            asked.kill()


def _without_circles(known: Mapping[str, Job]) -> Mapping[str, Job]:
    """The jobs that can be put in order."""
    left = dict(known)
    while True:
        try:
            in_order(set(left), left)
            return left
        except CircleError as error:
            left = {name: job for name, job in left.items() if name not in error.tables}


def _wrong_order(known: Mapping[str, Job]) -> Iterator[str]:
    """That tables read each other in a circle."""
    try:
        in_order(set(known), known)
    except SettingsError as error:
        yield str(error)


def _unfillable(sources: Iterable[str], known: Mapping[str, Job]) -> Iterator[str]:
    """That a mapping fills what is made of other tables."""
    mapped = sorted(name for name, job in known.items() if job.is_mapped())
    for source in sources:
        if other := sorted(name for name in _filled_by(source) if name in known and name not in mapped):
            yield f"conf/mappings/{source}.yml: {other} are made of other tables; a mapping can fill {mapped}"


def _wrong_jobs(pairs: Iterable[tuple[Job, str | None]], session: Callable[[], SparkSession]) -> Iterator[str]:
    """What is wrong with what Spark is asked to do."""
    with tempfile.TemporaryDirectory() as folder, _own_key(folder):
        lake = Lake(session, str(Path(folder, "lake")))
        unread = set[Path]()
        for name in rule_names():
            try:
                said = list(wrong_sql(name, lake.spark))
            except SettingsError:
                continue
            yield from said
            unread |= {CONF / "rules" / f"{name}.yml"} if said else set()
        for name in table_names():
            said = list(_wrong_contract(name, lake.spark))
            yield from said
            unread |= {CONF / "tables" / f"{place_of(name)}.yml"} if said else set()
        lake.spark.conf.set(ANALYSED_ALONE, "true")
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for said in pool.map(lambda pair: _tried(lake, pair[0], pair[1], unread), pairs):
                    yield from said
        except SettingsError as error:
            yield str(error)
        finally:
            lake.spark.conf.unset(ANALYSED_ALONE)


def _tried(lake: Lake, job: Job, source: str | None, unread: set[Path]) -> list[str]:
    """What is wrong with what a job is made of, else what keeps it from being built. unread: files that are wrong, of which a job cannot be made."""
    said = list(wrong_expressions(lake, source, job.table) if job.is_mapped() and source else _wrong_sums(job, lake.spark))
    if said or unread & files_of(job, source):
        return said
    return [one for one in [_mistake(lake, job, source)] if one]


def _wrong_contract(name: str, spark: SparkSession) -> Iterator[str]:
    """Types that Spark does not know, and conditions of checks that it cannot use over the columns; a sentence for each."""
    where = f"{CONF}/tables/{place_of(name)}.yml"
    try:
        contract = table(name)
        rows = spark.createDataFrame([], contract.schema)
    except SettingsError:
        return
    except PySparkException:
        wrong = [one for one in contract.columns if not _is_type(one.type, spark)]
        yield from (
            f"{where}: columns.{one.name}: type is {one.type!r}; it must be one of Spark SQL's, as string or decimal(18,4)" for one in wrong
        )
        return
    expected = {f"check {check.id}: expect": check.expect for check in contract.checks if check.expect}
    if expected:
        yield from (f"{where}: {said}" for said in each_wrong(expected, rows, "boolean"))


def _wrong_sums(job: Job, spark: SparkSession) -> Iterator[str]:
    """SQL of the sums that a table conserves which Spark cannot use; a sentence for each."""
    where = f"{CONF}/tables/{place_of(job.table)}.yml: conservation"
    for rule in (one for one in table(job.table).conservation if isinstance(one, Mapping)):
        read = job.reads[rule["input"]].table
        for name, keys in ((read, ("column", "where")), (job.table, ("equals", "per"))):
            declared = {f"of {rule['input']}: {key}": rule[key] for key in keys if key in rule}
            with contextlib.suppress(SettingsError):  # a wrong contract is said of itself
                yield from (f"{where} {said}" for said in each_wrong(declared, spark.createDataFrame([], table(name).schema), None))


def _is_type(name: str, spark: SparkSession) -> bool:
    """Whether Spark SQL has a type."""
    try:
        spark.createDataFrame([], f"one {name}")
    except PySparkException:
        return False
    return True


def _parts(job: Job) -> tuple[str | None, ...]:
    """The sources of a mapped job, each with a mapping of its own, else one of those that a table by source is built for, or None."""
    if job.is_mapped():
        return tuple(sources_of(job.table))
    return (next(iter(source_names()), None),) if table(job.table).write.partition_by else (None,)


def _filled_by(source: str) -> list[str]:
    """The tables that a source's mapping fills; none where there is none, or a wrong one."""
    try:
        return sorted({name for stream in mapping(source)["streams"].values() for name in stream["tables"]})
    except SettingsError:
        return []


def _mistake(lake: Lake, job: Job, source: str | None) -> str | None:
    """What keeps a job from being built from empty inputs, as a sentence that names its files; None where nothing does."""
    try:
        tried(lake, job, source, DAY)
    except (SettingsError, ThroughlineError) as error:
        return str(error)
    except PySparkException as error:
        return declared_wrongly(error, job.table, source if job.is_mapped() else None) or f"{job.table}: {told(error)}"
    except Exception as error:
        return f"{job.table}: {of_code(error)}"
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

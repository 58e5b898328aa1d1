"""A job: one table, its inputs, and one pure function of DataFrames and plain values.

Inputs are named like the transform's arguments; they are declared as a string and read as what it means:
    "silver.events"        InRange: the table's rows of the range, widened by lookback_days / lookahead_days
    "silver.events@all"    Whole: the whole table
    "mapped:silver.events" Mapped: bronze records of the run's source after conf/mappings/<source>.yml, one row per record
    "self"                 Self: the job's own table as it stands (the run's source only, when partitioned by source)
A transform may also name these plain values: from_date, to_date (datetime.date, inclusive), source (str or None),
platform (conf.settings.Platform), rules (conf/rules/<Job.rules>.yml) and run_id.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame

from conf.names import LAYERS, code_of, contract_of
from conf.settings import REPOSITORY, SettingsError, rule_names, rules
from conf.tables import Replace, table, table_names

# Carried by every mapped row to its end, so that a row set aside can show its origin; its bytes are in bronze.
PROVENANCE = ("_source_file", "_source_row", "_reason")
VALUES = ("from_date", "to_date", "source", "platform", "rules", "run_id")


class CircleError(SettingsError):
    """Tables read each other in a circle; they cannot be put in order."""

    def __init__(self, said: str, tables: Sequence[str]) -> None:
        super().__init__(said)
        self.tables = tuple(tables)


@dataclass(frozen=True)
class Whole:
    """All rows of a table."""

    table: str


@dataclass(frozen=True)
class InRange:
    """A table's rows of the run's days, widened; all rows of one that has no days."""

    table: str


@dataclass(frozen=True)
class Mapped:
    """A source's records, mapped to a table's columns."""

    table: str


@dataclass(frozen=True)
class Self:
    """The job's own table as it stands."""

    table: str


Input = Whole | InRange | Mapped | Self


def parsed(spec: str, own: str) -> Input:
    """What an input's string means for the job of the table `own`. Raises SettingsError for a modifier that there is not."""
    if spec == "self":
        return Self(own)
    if spec.startswith("mapped:"):
        return Mapped(spec.removeprefix("mapped:"))
    name, _, modifier = spec.partition("@")
    if modifier not in ("", "all"):
        raise SettingsError(f"{own} reads {spec!r} in {code_of(own)}: an input is a table, table@all, mapped:table or self")
    return Whole(name) if modifier else InRange(name)


def date_of(one: Input) -> str | None:
    """The column that bounds an input to the run's days; None where all of it is read."""
    return table(one.table).write.date if isinstance(one, InRange) else None


@dataclass(frozen=True)
class Job:
    table: str
    inputs: Mapping[str, str]
    transform: Callable[..., DataFrame]
    # the row by row part of a mapped table's transform, computed once: the rest reads the rows several times
    prepare: Callable[..., DataFrame] | None = None
    lookback_days: int = 0
    lookahead_days: int = 0
    # how many days after a changed day of an @all input own rows may depend on it; where the rules say so, what they make it
    reach_days: int | Callable[[Mapping[str, Any]], int] = 0
    rules: str | None = None
    # input argument -> key column: rows of the own table that share a changed row's key are built again, whatever their day; a person_id
    # that the input lacks is that of its identifier_key
    restates: Mapping[str, str] = field(default_factory=dict)
    # the same, for rows of the input that are gone as they were: new ones alone change none of the own rows
    reassigns: Mapping[str, str] = field(default_factory=dict)
    # column of the own table within whose values its rows hang together: rows of other values never decide them. Then late rows
    # rebuild their keys alone. key_of: input argument (that of the range) -> the key of its rows, given the rules.
    key: str | None = None
    key_of: Mapping[str, Callable[[Mapping[str, Any]], Column]] = field(default_factory=dict)

    @cached_property
    def reads(self) -> Mapping[str, Input]:
        """`inputs` as what they mean."""
        return {arg: parsed(spec, self.table) for arg, spec in self.inputs.items()}

    def upstream(self) -> tuple[str, ...]:
        """The tables this job reads, without its own."""
        return tuple(sorted({one.table for one in self.reads.values() if isinstance(one, Whole | InRange)} - {self.table}))

    @cached_property
    def mapped(self) -> str | None:
        """The argument that takes a source's records; None where the job reads tables alone."""
        return next((arg for arg, one in self.reads.items() if isinstance(one, Mapped)), None)

    def is_mapped(self) -> bool:
        """Whether the job reads a source's records."""
        return self.mapped is not None

    def reads_all(self) -> bool:
        """Whether a mapped job reads all of its source, whatever the range."""
        return isinstance(table(self.table).write.kind, Replace)

    def rules_read(self) -> tuple[str, ...]:
        """The files of conf/rules whose SQL the job runs."""
        return (*((self.rules,) if self.rules else ()), *(("identity",) if self.is_mapped() else ()))

    def reach(self) -> int:
        """reach_days, as the rules have it."""
        return self.reach_days if isinstance(self.reach_days, int) else self.reach_days(rules(self.rules or ""))

    def key_in(self, arg: str) -> Column:
        """What `key` is on the rows of an input."""
        return self.key_of[arg](rules(self.rules) if self.rules else {})

    def wants(self) -> tuple[str, ...]:
        """The plain values the transform asks for by its argument names."""
        return asked_by(self.transform)


def asked_by(function: Callable[..., DataFrame]) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(function).parameters if name in VALUES)


@cache
def sound_jobs() -> tuple[Mapping[str, Job], Mapping[str, SettingsError]]:
    """Every job by its table's name, found as JOB in spark_jobs/<layer>/<table>.py, and what is wrong with the others, by their tables' names."""
    found, wrong = dict[str, Job](), dict[str, SettingsError]()
    for layer in LAYERS:
        package = importlib.import_module(f"spark_jobs.{layer}")
        for name in (f"{layer}.{module.name}" for module in pkgutil.iter_modules(package.__path__)):
            try:
                if job := _job_of(name):
                    found[name] = job
            except SettingsError as error:
                wrong[name] = error
    return found, wrong


def _job_of(name: str) -> Job | None:
    """The job of a module of a layer, None where it only helps others. Raises SettingsError where the module cannot be used as it is."""
    file = code_of(name)
    try:
        job: Job | None = getattr(importlib.import_module(f"spark_jobs.{name}"), "JOB", None)
    except SettingsError:
        raise
    except Exception as error:
        raise SettingsError(f"{file}: cannot be imported ({of_code(error)}); mend it there") from error
    if job is None and name in table_names():
        raise SettingsError(f"{file}: has no JOB that makes the table of {contract_of(name)}; end it with JOB = Job(table={name!r}, …)")
    if job is None:
        return None
    if job.table != name:
        raise SettingsError(f"{file}: its JOB says table={job.table!r}; it must be {name!r}, as the path says")
    table(name)
    if unknown := sorted({*job.upstream()} - set(table_names())):
        raise SettingsError(f"{file}: inputs name {unknown}; conf/tables has {list(table_names())}")
    if job.rules is not None and job.rules not in rule_names():
        raise SettingsError(f"{file}: rules is {job.rules!r}; there are {list(rule_names())}")
    summed = [rule["input"] for rule in table(name).conservation if isinstance(rule, Mapping)]
    if unknown := sorted(set(summed) - set(job.inputs)):
        raise SettingsError(f"{contract_of(name)}: conservation: {unknown} are no inputs of {file}, which has {sorted(job.inputs)}")
    takes = inspect.signature(job.transform).parameters
    if unknown := sorted(set(job.inputs) ^ (set(takes) - set(VALUES))):
        raise SettingsError(
            f"{file}: {unknown} stand in `inputs` or in {job.transform.__name__}(), not in both; its arguments are the inputs {sorted(job.inputs)} "
            f"and any of {list(VALUES)}"
        )
    return job


def of_code(error: BaseException) -> str:
    """What Python has against code, and where in this repository, in one line."""
    own = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename).is_relative_to(REPOSITORY / "spark_jobs")]
    place = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (own[-1].filename, own[-1].lineno) if own else None
    said = f"{type(error).__name__}: {' '.join(str(error.msg if isinstance(error, SyntaxError) else error).split())[:300]}"
    return f"{said}, line {place[1]} of {Path(str(place[0])).relative_to(REPOSITORY)}" if place else said


def jobs() -> Mapping[str, Job]:
    """Every job by its table's name. Raises SettingsError where one of them cannot be used as it is."""
    found, wrong = sound_jobs()
    for error in wrong.values():
        raise error
    return found


def in_order(names: set[str], known: Mapping[str, Job] | None = None) -> list[str]:
    """The tables in dependency order: every table after all that it reads (ties by layer, then name). Raises SettingsError where there is none."""
    known, ordered = jobs() if known is None else known, list[str]()
    pending = sorted(names, key=lambda n: (LAYERS.index(n.split(".")[0]), n))
    while pending:
        ready = [n for n in pending if not set(known[n].upstream()) & set(pending)]
        if not ready:
            reads = {n: [m for m in known[n].upstream() if m in pending] for n in pending}
            circle = [n for n in pending if any(n in tables for tables in reads.values())]
            said = ", ".join(f"{n} reads {' and '.join(reads[n])}" for n in circle)
            raise CircleError(
                f"tables read each other in a circle: {said}; take one of these out of `inputs` in spark_jobs/<layer>/<table>.py", circle
            )
        ordered.append(ready[0])
        pending.remove(ready[0])
    return ordered

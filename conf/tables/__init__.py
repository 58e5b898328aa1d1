"""Tables as declared in conf/tables/<layer>/<table>.yml: the contract everything else is derived from."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import Any

from conf.expressions import not_of_the_row
from conf.names import place_of
from conf.settings import CONF, NO_COLUMNS, SettingsError, build, read_yaml

SEVERITIES = ("block", "quarantine", "warn")
KEEPS = ("first", "last")
PII = ("", "direct", "indirect", "pseudonymous", "secret")
# what a record brings besides its columns, of which the one that stays may be chosen by
CARRIED = ("_extracted_at", "_slice_id", "_slice_from", "_attempt", "_sha256", "_source_file", "_source_row")
CONSERVED = {"input", "column", "equals"}
HOLDS = ("", "text", "url", "json", "id")


@dataclasses.dataclass(frozen=True)
class Field:
    """One column: Spark SQL type, whether it may be null, what it means, its unit and PII class.

    holds: what a string column of a mapped table is scrubbed as: text (that is what nothing said means), url, json or id.
    ahead_days: of a date or timestamp of a mapped table, how many days after its record was landed it may lie; None = whenever.
    made_of: of a mapped table's column that is never null, what its job makes it of where a mapping does not name it (`identifiers` are those
    of the mapping); empty = of what every record brings; None = a mapping has to name it.
    """

    name: str
    type: str
    nullable: bool = True
    meaning: str = ""
    unit: str = ""
    pii: str = ""
    holds: str = ""
    ahead_days: int | None = None
    made_of: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Check:
    """One quality check: `expect` is a Spark SQL condition every row must meet; `unique` names columns; `rows` bounds the row count.

    severity: block (publish nothing), quarantine (set the rows aside), warn (say it).
    max_share: with quarantine, the share of set-aside rows above which the whole batch is blocked.
    """

    id: str
    severity: str
    expect: str = ""
    unique: Any = None
    rows: Mapping[str, Any] | None = None
    max_share: float = 1.0


@dataclasses.dataclass(frozen=True)
class Append:
    """The batch's rows are added to those that are there."""


@dataclasses.dataclass(frozen=True)
class Replace:
    """The batch is the whole table, or its source's whole part."""


@dataclasses.dataclass(frozen=True)
class ReplaceDays:
    """The batch is all rows of the run's days; date: the column that says which day a row is of."""

    date: str


@dataclasses.dataclass(frozen=True)
class Merge:
    """The batch's rows take the places of those with their keys, or are added.

    date: a column that bounds where these lie; None = anywhere. by: where two rows have one key, the first by these columns stays, or the last.
    """

    date: str | None = None
    by: tuple[str, ...] = ()
    keeps_first: bool = False


Kind = Append | Replace | ReplaceDays | Merge


def _merge(write: Write) -> Merge:
    dedupe = write.dedupe or {}
    return Merge(write.date, tuple(dedupe.get("by", ())), dedupe.get("keep") == "first")


# what each word of write.mode means
MODES: Mapping[str, Callable[[Write], Kind]] = {
    "merge": _merge,
    "replace": lambda write: ReplaceDays(write.date) if write.date else Replace(),
    "snapshot": lambda write: Replace(),
    "append": lambda write: Append(),
}


@dataclasses.dataclass(frozen=True)
class Write:
    """How a batch becomes the table's rows.

    mode: merge (upsert by key), replace (rebuild the days of the range), snapshot (the batch is the whole table), append.
    date: the DATE column that ranges and bounds use. partition_by: () or (source,); then each run writes one source only.
    dedupe: {keep: first|last, by: [columns]}: of several rows of a key the one that stays; absent = keys are unique already.
    """

    mode: str
    date: str | None = None
    partition_by: tuple[str, ...] = ()
    cluster_by: tuple[str, ...] = ()
    dedupe: Mapping[str, Any] | None = None

    @cached_property
    def kind(self) -> Kind:
        """What `mode` means, with the fields that it needs."""
        return MODES[self.mode](self)


@dataclasses.dataclass(frozen=True)
class Table:
    """The contract of one table."""

    name: str
    grain: str
    keys: tuple[str, ...]
    columns: tuple[Field, ...]
    write: Write
    checks: tuple[Check, ...] = ()
    conservation: tuple[Any, ...] = ()
    freshness: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    retention_days: int = 1825
    description: str = ""

    @property
    def layer(self) -> str:
        return self.name.split(".")[0]

    @property
    def schema(self) -> str:
        """The columns as a Spark DDL string, in order."""
        return ", ".join(f"{c.name} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)


def _parse(name: str) -> Table:
    path = CONF / "tables" / f"{place_of(name)}.yml"
    if not path.is_file():
        raise SettingsError(f"no table {name!r}: conf/tables has {list(table_names())}")
    values = dict(read_yaml(path))
    if values.pop("table", None) != name:
        raise SettingsError(f"{path}: `table:` must be {name!r}, as the path says")
    if not isinstance(values.get("columns"), Mapping) or not all(isinstance(c, Mapping) for c in values["columns"].values()):
        raise SettingsError(f"{path}: {NO_COLUMNS}")
    columns = tuple(build(Field, {"name": n, **c}, f"{path}: columns.{n}") for n, c in values.pop("columns").items())
    write = build(Write, values.pop("write", None), f"{path}: write")
    if not isinstance(listed := values.pop("checks", ()), tuple):
        raise SettingsError(f"{path}: checks is {listed!r}; it must be a list, as [{{id: one_row_per_key, severity: block, unique: keys}}]")
    checks = tuple(build(Check, c, f"{path}: checks{_named(c)}") for c in listed)
    table: Table = build(Table, {"name": name, "columns": columns, "write": write, "checks": checks, **values}, path)
    names = set(table.column_names)
    absent = sorted((set(table.keys) | set(write.partition_by) | set(write.cluster_by) | ({write.date} - {None})) - names)
    if absent:
        raise SettingsError(f"{path}: {absent} are named in keys or write but are no columns; columns are {sorted(names)}")
    if table.retention_days < 1:
        raise SettingsError(f"{path}: retention_days is {table.retention_days}; it must be 1 or more")
    if write.mode not in MODES:
        raise SettingsError(f"{path}: write.mode is {write.mode!r}; allowed are {tuple(MODES)}")
    for column in columns:
        if column.holds not in HOLDS or (column.holds and column.type.lower() != "string"):
            raise SettingsError(f"{path}: columns.{column.name}: holds is {column.holds!r}; a string column may say {HOLDS[1:]}")
        if column.ahead_days is not None and (column.ahead_days < 0 or column.type.lower() not in ("date", "timestamp")):
            raise SettingsError(
                f"{path}: columns.{column.name}: ahead_days is {column.ahead_days}; a date or timestamp has 0 or more, no {column.type}"
            )
    for check in table.checks:
        if not (check.expect or check.unique or check.rows):
            raise SettingsError(f"{path}: check {check.id}: it checks nothing; give it expect, unique or rows")
        if check.severity not in SEVERITIES:
            raise SettingsError(f"{path}: check {check.id}: severity is {check.severity!r}; allowed are {SEVERITIES}")
    if said := next(_strange(table), None):
        raise SettingsError(f"{path}: {said}")
    return table


def _named(check: Any) -> str:
    """A check's id, where it has one, as its place in the file."""
    return f".{check['id']}" if isinstance(check, Mapping) and "id" in check else ""


def _twice(names: Iterator[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _strange(table: Table) -> Iterator[str]:
    """What the parts of a contract say that they must not, as ends of a sentence that begins with the file."""
    names = set(table.column_names)
    if doubled := _twice(name.lower() for name in table.column_names):
        yield f"columns: {doubled} are there twice, in capitals or not; a column has one name"
    if doubled := _twice(check.id for check in table.checks):
        yield f"checks: the ids {doubled} are there twice; give each check an id of its own"
    if not table.keys and table.write.mode != "append":
        yield f"keys is empty; a table that is written by {table.write.mode} has one or more of {sorted(names)}"
    kinds = {column.name: column.type.lower() for column in table.columns}
    if table.write.date and kinds[table.write.date] != "date":
        yield f"write.date is {table.write.date}, a column of type {kinds[table.write.date]}; it must be a date"
    if (dedupe := table.write.dedupe) is not None:
        if set(dedupe) != {"keep", "by"} or dedupe["keep"] not in KEEPS or not _are_texts(dedupe["by"]):
            yield f"write.dedupe is {dict(dedupe)}; it must be {{keep: {' or '.join(KEEPS)}, by: [columns]}}"
        elif unknown := sorted(set(dedupe["by"]) - names - set(CARRIED)):
            yield f"write.dedupe.by names {unknown}; there are {sorted(names)}, and of a record {list(CARRIED)}"
    deadline, column = table.freshness.get("deadline_hours", 1), table.freshness.get("column")
    if unknown := sorted(map(str, set(table.freshness) - {"deadline_hours", "column"})):
        yield f"freshness: unknown keys {unknown}; allowed are ['column', 'deadline_hours']"
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline > 0:
        yield f"freshness.deadline_hours is {deadline!r}; it must be a number of hours above 0"
    if column is not None and column not in names:
        yield f"freshness.column is {column!r}; there are {sorted(names)}"
    for column in table.columns:
        if column.made_of is not None and (column.nullable or not set(column.made_of) <= names | {"identifiers"}):
            yield (
                f"columns.{column.name}: made_of is {list(column.made_of)}; a column that is never null may have some of "
                f"{sorted(names | {'identifiers'})}"
            )
    if strange := sorted({column.pii for column in table.columns} - set(PII)):
        yield f"columns: pii is {strange[0]!r}; it must be {', '.join(PII[1:])}, or not there"
    for check in table.checks:
        where = f"check {check.id}:"
        if check.unique and check.unique != "keys" and (not _are_texts(check.unique) or not set(check.unique) <= names):
            yield f"{where} unique is {check.unique!r}; it must be keys, or a list of {sorted(names)}"
        if check.rows and (set(check.rows) - {"min", "max"} or any(type(bound) is not int for bound in check.rows.values())):
            yield f"{where} rows is {dict(check.rows)}; it must be a mapping of min and max to whole numbers"
        if not 0 <= check.max_share <= 1:
            yield f"{where} max_share is {check.max_share}; it must be a share from 0 to 1"
        if asked := not_of_the_row(check.expect):
            yield f"{where} expect {asked}"
    for rule in table.conservation:
        if isinstance(rule, str):
            if rule not in names:
                yield f"conservation names {rule!r}; there are {sorted(names)}"
        elif not isinstance(rule, Mapping) or not CONSERVED <= set(rule) <= CONSERVED | {"where", "per", "by"}:
            yield f"conservation has {rule!r}; it must be a column, or a mapping of input, column, equals and maybe where, per and by"


def _are_texts(values: Any) -> bool:
    """Whether these are a list of texts, one or more."""
    return isinstance(values, tuple) and len(values) > 0 and all(isinstance(value, str) for value in values)


@cache
def table(name: str) -> Table:
    """The contract of the table `name` (layer.table). Raises SettingsError naming the tables there are."""
    return _parse(name)


@cache
def table_names() -> tuple[str, ...]:
    """Every declared table, sorted."""
    root = CONF / "tables"
    return tuple(sorted(f"{p.parent.name}.{p.stem}" for p in root.glob("*/*.yml")))


def keys(name: str) -> tuple[str, ...]:
    """The key columns of a table."""
    return table(name).keys

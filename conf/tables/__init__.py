"""Tables as declared in conf/tables/<layer>/<table>.yml: the contract everything else is derived from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any

from conf.settings import CONF, SettingsError, build, read_yaml

SEVERITIES = ("block", "quarantine", "warn")
HOLDS = ("", "text", "url", "json", "id")


@dataclasses.dataclass(frozen=True)
class Field:
    """One column: Spark SQL type, whether it may be null, what it means, its unit and PII class.

    holds: what a string column of a mapped table is scrubbed as: text (that is what nothing said means), url, json or id.
    ahead_days: of a date or timestamp of a mapped table, how many days after its record was landed it may lie; None = whenever.
    """

    name: str
    type: str
    nullable: bool = True
    meaning: str = ""
    unit: str = ""
    pii: str = ""
    holds: str = ""
    ahead_days: int | None = None


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
    rows: Mapping[str, int] | None = None
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
    path = CONF / "tables" / (name.replace(".", "/") + ".yml")
    if not path.is_file():
        raise SettingsError(f"no table {name!r}: conf/tables has {list(table_names())}")
    values = dict(read_yaml(path))
    if values.pop("table", None) != name:
        raise SettingsError(f"{path}: `table:` must be {name!r}, as the path says")
    if not isinstance(values.get("columns"), Mapping) or not all(isinstance(c, Mapping) for c in values["columns"].values()):
        raise SettingsError(f"{path}: columns: expected a mapping by names, as {{order_id: {{type: string}}}}")
    columns = tuple(build(Field, {"name": n, **c}, f"{path}: columns.{n}") for n, c in values.pop("columns").items())
    write = build(Write, values.pop("write", None), f"{path}: write")
    checks = tuple(build(Check, c, f"{path}: checks") for c in values.pop("checks", ()))
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
    return table


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

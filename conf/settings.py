"""The only reader of YAML: every configuration file comes out of here typed, frozen and checked.

A key that is not a field, or a field that is missing, is a SettingsError that names the file and what is allowed.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

CONF = Path(__file__).resolve().parent
REPOSITORY = CONF.parent


class SettingsError(ValueError):
    """A configuration file does not say what it must; the message names file, key and what is allowed."""


def freeze(value: Any) -> Any:
    """The same value with every dict read-only and every list a tuple."""
    if isinstance(value, dict):
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(freeze(item) for item in value)
    return value


def read_yaml(path: Path) -> Mapping[str, Any]:
    """One YAML file as a frozen mapping. Raises SettingsError when it is absent or not a mapping."""
    if not path.is_file():
        raise SettingsError(f"{path}: no such file; the files beside it are {sorted(p.name for p in path.parent.glob('*.yml'))}")
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise SettingsError(f"{path}: expected a mapping at the top, got {type(loaded).__name__}")
    frozen: Mapping[str, Any] = freeze(loaded)
    return frozen


def spark_confs(*names: str) -> dict[str, str]:
    """The settings of conf/spark/<name>.yml, later names over earlier ones: session (needed wherever a session runs), local (one small
    machine), server, small (few rows)."""
    return {str(k): str(v) for name in names for k, v in read_yaml(CONF / "spark" / f"{name}.yml").items()}


# the types of fields that are checked; a number may be written without a point
SIMPLE: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "str": str, "str | None": (str, type(None))}


def build(kind: type, values: Mapping[str, Any], where: object) -> Any:
    """values as the dataclass `kind`; unknown and missing keys are errors that print what is allowed."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    required = {n for n, f in fields.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING}
    missing = sorted(required - set(values))
    if unknown or missing:
        raise SettingsError(f"{where}: unknown keys {unknown}, missing keys {missing}; allowed are {sorted(fields)}")
    for name, value in values.items():
        wanted = SIMPLE.get(str(fields[name].type))
        if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)):
            raise SettingsError(f"{where}: {name} is {value!r}; it must be of type {fields[name].type}")
    return kind(**values)


@dataclasses.dataclass(frozen=True)
class Platform:
    """conf/platform.yml, with paths resolved against THROUGHLINE_HOME."""

    reporting_currency: str
    reporting_time_zone: str
    accept_late_days: int
    max_quarantine_share: float
    lake: str
    landing: str
    submit_mode: str
    spark_master: str | None
    min_free_disk_gb: int
    min_memory_gb: int
    spark_driver_memory: str


@dataclasses.dataclass(frozen=True)
class Source:
    """conf/sources/<name>.yml: where one source's records come from.

    identity_scope: prefix of its non-global identifier namespaces; sources that share it share people.
    streams: stream name -> {path, format, ...} as connectors.sources.<connector> documents.
    """

    source: str
    connector: str
    streams: Mapping[str, Mapping[str, Any]]
    identity_scope: str
    description: str = ""
    account: str = "default"
    api_version: str = "1"
    owner: str = "data-ops"
    kind: str = "batch"
    silver: tuple[str, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def home() -> Path:
    """The folder everything made at run time lives in (THROUGHLINE_HOME, by default .throughline beside the code)."""
    return Path(os.environ.get("THROUGHLINE_HOME") or REPOSITORY / ".throughline").resolve()


def platform() -> Platform:
    """The installation's settings; THROUGHLINE_LAKE and THROUGHLINE_SUBMIT_MODE override the file."""
    path = CONF / "platform.yml"
    values = dict(read_yaml(path))
    values["lake"] = os.environ.get("THROUGHLINE_LAKE") or values["lake"] or str(home() / "lake")
    values["landing"] = os.environ.get("THROUGHLINE_LANDING") or values["landing"] or str(home() / "landing")
    values["submit_mode"] = os.environ.get("THROUGHLINE_SUBMIT_MODE") or values["submit_mode"]
    values["spark_master"] = os.environ.get("THROUGHLINE_SPARK_MASTER") or values["spark_master"]
    result: Platform = build(Platform, values, path)
    finer = [c for decimals, listed in rules("currencies")["decimals"].items() if decimals > 2 for c in listed]
    if result.reporting_currency in finer:
        raise SettingsError(
            f"{path}: reporting_currency is {result.reporting_currency}, whose amounts have more than two decimals, which reports and credits have; "
            "choose another one: amounts in that currency are kept exactly and converted at silver.fx_rates"
        )
    if result.submit_mode not in ("connect", "submit"):
        raise SettingsError(f"{path}: submit_mode is {result.submit_mode!r}; allowed are connect and submit")
    return result


@cache
def rules(name: str) -> Mapping[str, Any]:
    """conf/rules/<name>.yml as a frozen mapping."""
    return read_yaml(CONF / "rules" / f"{name}.yml")


@cache
def source(name: str) -> Source:
    """conf/sources/<name>.yml. Raises SettingsError naming the sources there are."""
    path = CONF / "sources" / f"{name}.yml"
    if not path.is_file():
        raise SettingsError(f"no source {name!r}: conf/sources has {list(source_names())}")
    values = dict(read_yaml(path))
    values.setdefault("identity_scope", name)
    result: Source = build(Source, values, path)
    if result.source != name:
        raise SettingsError(f"{path}: says source: {result.source!r}, its file name says {name!r}")
    if not isinstance(result.streams, Mapping) or not all(isinstance(stream, Mapping) for stream in result.streams.values()):
        raise SettingsError(f"{path}: streams is {values['streams']!r}; give a mapping of names, as {{orders: {{path: '{{date}}.csv'}}}}")
    return result


@cache
def source_names() -> tuple[str, ...]:
    """Every declared source, sorted."""
    return tuple(sorted(path.stem for path in (CONF / "sources").glob("*.yml")))


@cache
def mapping(source_name: str) -> Mapping[str, Any]:
    """conf/mappings/<source>.yml: how a source's bronze records become silver rows. Raises SettingsError naming what is unknown or missing."""
    path = CONF / "mappings" / f"{source_name}.yml"
    found = read_yaml(path)
    check_keys(found, {"streams"}, {"streams"}, str(path))
    for stream, spec in found["streams"].items():
        where = f"{path}: stream {stream}"
        check_keys(spec, {"record", "tables", "lookup"}, {"record", "tables"}, where)
        if stream not in source(source_name).streams:
            raise SettingsError(f"{where}: conf/sources/{source_name}.yml has the streams {sorted(source(source_name).streams)}")
        for name, target in spec["tables"].items():
            check_keys(target, {"columns", "where", "reject", "extra", "identifiers"}, {"columns"}, f"{where}: {name}")
            columns = columns_of(name, f"{where}: {name}")
            if unknown := sorted(set(target["columns"]) - columns):
                raise SettingsError(f"{where}: {name} has no columns {unknown}; there are {sorted(columns)}")
    return found


def check_keys(values: Any, allowed: set[str], needed: set[str], where: str) -> None:
    """Raises SettingsError when a mapping of YAML has other keys than are allowed, or not all that are needed."""
    if not isinstance(values, Mapping) or set(values) - allowed or needed - set(values):
        got = sorted(map(str, values)) if isinstance(values, Mapping) else repr(values)
        raise SettingsError(
            f"{where}: expected the keys {sorted(needed)}{f', allowed {sorted(allowed)}' if allowed - needed else ''}; got {got}"
        )


def columns_of(table: str, where: str) -> set[str]:
    """The columns of a declared table, by conf/tables."""
    path = CONF / "tables" / (table.replace(".", "/") + ".yml")
    if not path.is_file():
        known = sorted(f"silver.{p.stem}" for p in (CONF / "tables" / "silver").glob("*.yml"))
        raise SettingsError(f"{where}: there is no such table; there are {known}")
    return set(read_yaml(path)["columns"])


def sources_of(table: str) -> tuple[str, ...]:
    """The sources whose mapping fills `table`."""
    found = []
    for name in source_names():
        if (CONF / "mappings" / f"{name}.yml").is_file():
            streams = mapping(name)["streams"]
            if any(table in stream["tables"] for stream in streams.values()):
                found.append(name)
    return tuple(found)

"""The only reader of YAML: every configuration file comes out of here typed, frozen and checked.

A key that is not a field, or a field that is missing, is a SettingsError that names the file and what is allowed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import zoneinfo
from collections.abc import Callable, Hashable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from conf.expressions import not_of_the_row
from conf.names import place_of
from conf.rules import fault, in_plain, in_schema, is_pattern, plain, quoted

CONF = Path(__file__).resolve().parent
SCHEMAS = CONF / "rules" / "schemas"
MAPPING = CONF / "schemas" / "mapping.yml"
REPOSITORY = CONF.parent
# in every folder that the product makes in a home
OWN_MARK = ".made_by_throughline"
# the homes that this process holds, and the open folder whose lock says so
_held: dict[Path, int] = {}


# what a source does with its records, and what it and its streams may be called: folders, tables and DAGs bear their names
KINDS = ("batch", "event_log")
# What is kept of a record that is longer than its stream's limit
KEPT_BYTES = 64 * 1024
# With these ids of conversions begin that are not orders: an order of such a source could have another's id
TAKEN = ("event", "refund")
NAME = "[A-Za-z][A-Za-z0-9_-]{0,79}"
# an account's name is a folder's as well; vendors number theirs
ACCOUNT = "[A-Za-z0-9][A-Za-z0-9._-]{0,79}"


NO_COLUMNS = "columns: expected a mapping by names, as {order_id: {type: string}}"


class SettingsError(ValueError):
    """A configuration file does not say what it must; the message names file, key and what is allowed."""


class DiskFullError(SettingsError):
    """There is less room on the disk than conf/platform.yml wants before work begins; try again when there is more."""

    exit_code = 4


class UnreadableRulesError(SettingsError):
    """A file of conf/rules says what it must not, or cannot be read."""


class Once(yaml.constructor.SafeConstructor):
    """YAML in which a mapping says each key once: the second one would take the first one's place in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        said: set[Hashable] = set()
        for key_node, _ in node.value:
            key = None if key_node.tag.endswith(":merge") else self.construct_object(key_node, deep=True)
            if key is not None and isinstance(key, Hashable) and key in said:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice", key_node.start_mark)
            said |= {key} if isinstance(key, Hashable) else set()
        return super().construct_mapping(node, deep)


class OnceLoader(Once, yaml.SafeLoader):
    """It says best what is wrong."""


class FastLoader(Once, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml, where PyYAML was built with it
    """The same ten times as fast."""


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
        at = path.stat()
        loaded = _loaded(path, at.st_mtime_ns, at.st_size, at.st_ino)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); let the user that runs Throughline read it") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: an anchor stands within what it names, or the file is nested too deeply; write it out") from error
    except yaml.MarkedYAMLError as error:
        raise SettingsError(f"{path}: not valid YAML{_line(error)}: {_problem(error)}") from error
    # a value that YAML takes for a day or a number that there is not is a ValueError
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        raise SettingsError(f"{path}: is empty; it must be a mapping, as the files beside it are")
    if not isinstance(loaded, Mapping):
        raise SettingsError(f"{path}: expected a mapping at the top, got {type(loaded).__name__}")
    return loaded


@lru_cache(maxsize=1024)
def _loaded(path: Path, *_: int) -> Any:
    """A file's content, frozen; read again when its time, size or inode is another one."""
    text = path.read_text(encoding="utf-8")
    try:
        return freeze(yaml.load(text, FastLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return freeze(yaml.load(text, OnceLoader))


def _line(error: yaml.MarkedYAMLError) -> str:
    """Where in its file YAML ends to be readable."""
    mark = error.problem_mark or error.context_mark
    return f", line {mark.line + 1}" if mark else ""


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What YAML has against a file, in one line."""
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{said}; indent with blanks, not with tabs" if "'\\t'" in said else said


def spark_confs(*names: str) -> dict[str, str]:
    """The settings of conf/spark/<name>.yml, later names over earlier ones: session (needed wherever a session runs), local (one small
    machine), server, small (few rows)."""
    return {str(k): str(v) for name in names for k, v in read_yaml(CONF / "spark" / f"{name}.yml").items()}


# the types of fields that are checked; a number may be written without a point
SIMPLE: dict[str, Any] = {
    "int": int,
    "int | None": (int, type(None)),
    "float": (int, float),
    "bool": bool,
    "str": str,
    "str | None": (str, type(None)),
    "Mapping[str, Any]": Mapping,
    "Mapping[str, Any] | None": (Mapping, type(None)),
    "tuple[str, ...]": tuple,
}


def build(kind: type, values: Mapping[str, Any], where: object) -> Any:
    """values as the dataclass `kind`; unknown and missing keys are errors that print what is allowed."""
    if not isinstance(values, Mapping):
        raise SettingsError(f"{where}: expected a mapping by names, got {values!r}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(map(str, values)) - set(fields))
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
    max_record_bytes: int = 8 * 2**20
    max_expanded_bytes: int = 20 * 2**30


# it looks through the whole time zone database
time_zones = cache(zoneinfo.available_timezones)
CURRENCY = (lambda v: isinstance(v, str) and re.fullmatch("[A-Z]{3}", v), "the three capitals of ISO 4217, as GBP")
TIME_ZONE = (lambda v: v in time_zones(), "a time zone's name, as Europe/London")
# what a source says of its records for people
REMARKS: Mapping[str, tuple[Callable[[Any], object], str]] = {"time_zone": TIME_ZONE, "currency": CURRENCY}
# what the values of conf/platform.yml must be beside their types, and how that is said
RANGES: Mapping[str, tuple[Callable[[Any], object], str]] = {
    "reporting_currency": CURRENCY,
    "reporting_time_zone": TIME_ZONE,
    "accept_late_days": (lambda v: 0 <= v <= 3650, "from 0 to 3650"),
    "max_quarantine_share": (lambda v: 0 <= v <= 1, "a share from 0 to 1"),
    "lake": (lambda v: "://" in v or Path(v).is_absolute(), "an absolute path or a URL, as s3a://…"),
    "landing": (lambda v: "://" in v or Path(v).is_absolute(), "an absolute path or a URL, as s3a://…"),
    "submit_mode": (lambda v: v in ("connect", "submit"), "connect or submit"),
    "min_free_disk_gb": (lambda v: v >= 0, "0 or more"),
    "min_memory_gb": (lambda v: v >= 0, "0 or more"),
    "spark_driver_memory": (lambda v: re.fullmatch("[1-9][0-9]*[mg]", v), "a number of megabytes or gigabytes, as 4g"),
    "max_record_bytes": (lambda v: v >= 1, "1 or more"),
    "max_expanded_bytes": (lambda v: v >= 1, "1 or more"),
}


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


def refuse_foreign(path: Path) -> None:
    """Raises SettingsError where a home, or a secret in it, was put there by another user of this machine, who may know and change it."""
    if path.exists() and (owner := path.stat().st_uid) != os.geteuid():
        raise SettingsError(
            f"{path}: belongs to user {owner} of this machine, not to the one that runs Throughline ({os.geteuid()}), and nothing in it can be "
            "trusted; take it over with chown if you know it, or set THROUGHLINE_HOME to another folder"
        )


def made(folder: Path) -> Path:
    """The folder, made where it is not there yet. The home and what lies in it is its owner's alone and marked as the product's own: `clean`
    removes no folder without its mark. This process holds the home from then on."""
    if folder == home():
        refuse_foreign(folder)
    if folder.parent == home():
        made(home())
    elif folder != home():
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            (folder / OWN_MARK).write_text(
                "Throughline made this folder; `make clean` removes it with everything in it.\n", encoding="utf-8"
            )
    hold(home())
    return folder


def hold(folder: Path, alone: bool = False) -> bool:
    """Take part in a home's lock until this process ends, or, alone, have it for this process only; False when others have it.

    Who works in a home holds it, so that `clean` removes nothing under a running job. A home that is not there yet, or whose file system
    knows no locks, is held by nobody. A process works in one home at a time.
    """
    for other in [one for one in _held if one != folder and not alone]:
        let_go(other)
    while folder.is_dir() and (alone or folder not in _held):
        opened = _held.pop(folder, -1)
        if opened < 0:
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        except BlockingIOError:
            os.close(opened)
            return False
        except OSError:
            os.close(opened)
            return True
        # else the folder was removed while this process waited
        if folder.is_dir() and os.path.samestat(os.fstat(opened), folder.stat()):
            _held[folder] = opened
            return True
        os.close(opened)
    return True


def let_go(folder: Path) -> None:
    """Give a home's lock back before this process ends."""
    if folder in _held:
        os.close(_held.pop(folder))


def platform() -> Platform:
    """The installation's settings; THROUGHLINE_LAKE and THROUGHLINE_SUBMIT_MODE override the file."""
    path = CONF / "platform.yml"
    values = dict(read_yaml(path))
    values["lake"] = os.environ.get("THROUGHLINE_LAKE") or values.get("lake") or str(home() / "lake")
    values["landing"] = os.environ.get("THROUGHLINE_LANDING") or values.get("landing") or str(home() / "landing")
    values["submit_mode"] = os.environ.get("THROUGHLINE_SUBMIT_MODE") or values.get("submit_mode") or "connect"
    values["spark_master"] = os.environ.get("THROUGHLINE_SPARK_MASTER") or values.get("spark_master")
    result: Platform = build(Platform, values, path)
    for name, (is_right, told) in RANGES.items():
        if not is_right(value := getattr(result, name)):
            raise SettingsError(f"{path}: {name} is {value!r}; it must be {told}")
    finer = [c for decimals, listed in rules("currencies")["decimals"].items() if int(decimals) > 2 for c in listed]
    if result.reporting_currency in finer:
        raise SettingsError(
            f"{path}: reporting_currency is {result.reporting_currency}, whose amounts have more than two decimals, which reports and credits have; "
            "choose another one: amounts in that currency are kept exactly and converted at silver.fx_rates"
        )
    return result


def refuse_full_disk(path: str | Path) -> None:
    """Raises DiskFullError where less than platform().min_free_disk_gb are free on the disk that `path` lies, or would lie, on.

    A place that is no local folder (s3a://…) has no such limit.
    """
    if "://" in str(path):
        return
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    needed, free = platform().min_free_disk_gb, shutil.disk_usage(folder).free / 1e9
    if free < needed:
        raise DiskFullError(
            f"{path}: {free:.1f} GB are free on its disk, and conf/platform.yml says min_free_disk_gb: {needed}; nothing was begun: "
            "free some, or set THROUGHLINE_HOME to another disk, and try again"
        )


@cache
def rules(name: str) -> Mapping[str, Any]:
    """conf/rules/<name>.yml as a frozen mapping. Raises SettingsError naming the key that conf/rules/schemas/<name>.yml, or sense, forbids."""
    path = CONF / "rules" / f"{name}.yml"
    try:
        found = read_yaml(path)
        said = fault(name, found, read_yaml(SCHEMAS / f"{name}.yml"), rules)
    except SettingsError as error:
        raise UnreadableRulesError(str(error)) from error
    if said:
        raise UnreadableRulesError(f"{path}: {said}")
    result: Mapping[str, Any] = freeze(plain(found))
    return result


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
    allowed = {"connector": connectors(), "kind": KINDS}
    for key, values_of in allowed.items():
        if getattr(result, key) not in values_of:
            raise SettingsError(f"{path}: {key} is {getattr(result, key)!r}; allowed are {list(values_of)}")
    if not isinstance(result.streams, Mapping) or not all(isinstance(stream, Mapping) for stream in result.streams.values()):
        raise SettingsError(f"{path}: streams is {values['streams']!r}; give a mapping of names, as {{orders: {{path: '{{date}}.csv'}}}}")
    if strange := [one for one in (name, *result.streams) if not isinstance(one, str) or not re.fullmatch(NAME, one)]:
        raise SettingsError(
            f"{path}: {strange} cannot be the name of a source or stream: letters, digits, _ and - are, from a letter on, up to 80"
        )
    # tables are called <source>__<stream> and <table>__quarantine
    if name in TAKEN or "__" in name or name.endswith("_"):
        raise SettingsError(
            f"{path}: {name!r} cannot be the name of a source: {list(TAKEN)} are taken, and no name has __ or ends in _; rename it"
        )
    if taken := [one for one in result.streams if f"_{one}".endswith("_quarantine")]:
        raise SettingsError(f"{path}: {taken} cannot be the name of a stream: quarantine is what is set aside; rename it")
    if not re.fullmatch(ACCOUNT, result.account):
        raise SettingsError(f"{path}: account is {result.account!r}; letters, digits, . _ and - are allowed, up to 80, and no . _ - first")
    for key, (is_right, told) in REMARKS.items():
        if key in result.settings and not is_right(value := result.settings[key]):
            raise SettingsError(f"{path}: settings.{key} is {value!r}; it must be {told}")
    for table in result.silver:
        columns_of(str(table), f"{path}: silver: {table}")
    return result


def connections_of(name: str) -> tuple[str, ...]:
    """The connections that a source names: of its accounts where it is asked over HTTP, of the addresses of its files."""
    said = source(name)
    accounts = said.settings.get("accounts")
    places = [said.settings, *said.streams.values(), *(accounts.values() if isinstance(accounts, Mapping) else ())]
    return tuple(sorted({one["secret"] for one in places if isinstance(one, Mapping) and isinstance(one.get("secret"), str)}))


def accounts_of(name: str) -> tuple[str, ...]:
    """The accounts by which a source is asked over HTTP; none of one whose files are dropped."""
    accounts = source(name).settings.get("accounts")
    return tuple(sorted(map(str, accounts))) if isinstance(accounts, Mapping) else ()


def pool_of(name: str) -> str:
    """The Airflow pool that the pulls of a source share."""
    return f"api_{name}"


@cache
def source_names() -> tuple[str, ...]:
    """Every declared source, sorted."""
    return tuple(sorted(path.stem for path in (CONF / "sources").glob("*.yml")))


def rule_names() -> tuple[str, ...]:
    """Every file of conf/rules by its name, sorted."""
    return tuple(sorted(path.stem for path in (CONF / "rules").glob("*.yml")))


def connectors() -> tuple[str, ...]:
    """Every connector that a source may name, sorted."""
    return tuple(sorted(path.stem for path in (REPOSITORY / "connectors" / "sources").glob("*.py") if path.stem != "__init__"))


def checked(name: str) -> Source:
    """The source, when its file and that of its mapping (where it has one) say what they must. Raises SettingsError for either."""
    found, path = source(name), CONF / "mappings" / f"{name}.yml"
    if path.is_file():
        mapping(name)
    elif found.silver:
        raise SettingsError(
            f"{path}: no such file, but conf/sources/{name}.yml says silver: {list(found.silver)}; write what fills them, or leave silver out"
        )
    return found


def sources() -> tuple[Source, ...]:
    """The declared sources whose own files and mappings are right, sorted by name; faults() says what is wrong with the others."""
    wrong = faults()
    return tuple(source(name) for name in source_names() if name not in wrong)


def faults() -> dict[str, str]:
    """By the name of a source, the sentence that says what is wrong with its file or its mapping: one wrong file costs its own source only."""
    found = {}
    for name in source_names():
        try:
            checked(name)
        except SettingsError as error:
            found[name] = str(error)
    return found


@cache
def mapping(source_name: str) -> Mapping[str, Any]:
    """conf/mappings/<source>.yml: how a source's bronze records become silver rows. Raises SettingsError naming what is unknown or missing."""
    path = CONF / "mappings" / f"{source_name}.yml"
    found, schema = read_yaml(path), read_yaml(MAPPING)
    if said := next(filter(None, (check("", found, schema, rules) for check in (in_plain, in_schema))), None):
        raise SettingsError(f"{path}: {said}")
    declared = source(source_name)
    for stream, spec in found["streams"].items():
        where = f"{path}: stream {stream}"
        lookup = spec.get("lookup", {})
        if unknown := sorted({stream, lookup.get("stream", stream)} - set(declared.streams)):
            raise SettingsError(
                f"{where}: {unknown} are no streams; conf/sources/{source_name}.yml has the streams {sorted(declared.streams)}"
            )
        if lookup and "record" not in lookup and lookup["stream"] not in found["streams"]:
            raise SettingsError(f"{where}: lookup: nothing says what a record of {lookup['stream']} holds; give lookup a record of its own")
        for record in (spec["record"], lookup.get("record", {})):
            _refuse_pattern(record, where)
        for name, target in spec["tables"].items():
            _refuse_target(name, target, f"{where}: {name}")
    filled = {name for spec in found["streams"].values() for name in spec["tables"]}
    if declared.silver and (unlisted := sorted(filled - set(declared.silver))):
        raise SettingsError(
            f"{path}: fills {unlisted}; `silver` of conf/sources/{source_name}.yml must list them, it has {list(declared.silver)}"
        )
    return found


def _refuse_pattern(record: Mapping[str, Any], where: str) -> None:
    """Raises SettingsError for a line's pattern that is none, or that has another number of groups than there are fields."""
    if (pattern := record.get("pattern")) is None:
        return
    if not is_pattern(pattern):
        raise SettingsError(f"{where}: record.pattern is {quoted(pattern)}; it must be a regular expression")
    with contextlib.suppress(re.error):  # what only Java's dialect knows is not counted here
        groups = re.compile(pattern).groups
        if groups < len(record["fields"]):
            raise SettingsError(
                f"{where}: record.pattern has {groups} groups for the {len(record['fields'])} fields {list(record['fields'])}; give each one"
            )


def _refuse_target(name: str, target: Mapping[str, Any], where: str) -> None:
    """Raises SettingsError for what a mapping says of a table that is not so: columns, namespaces, SQL that asks for more than the record."""
    columns = columns_of(name, where)
    if unknown := sorted(set(target["columns"]) - columns):
        raise SettingsError(f"{where} has no columns {unknown}; there are {sorted(columns)}")
    identifiers = target.get("identifiers", ())
    with contextlib.suppress(UnreadableRulesError):  # a wrong file of rules is said of itself
        namespaces = rules("identity")["namespaces"]
        if unknown := sorted({one["namespace"] for one in identifiers} - set(namespaces)):
            raise SettingsError(f"{where}: identifiers names the namespaces {unknown}; conf/rules/identity.yml has {sorted(namespaces)}")
    said = {f"{part}.{column}": sql for part in ("columns", "extra") for column, sql in target.get(part, {}).items()}
    said |= {f"identifiers.{one['namespace']}": one["value"] for one in identifiers}
    said |= {part: target[part] for part in ("where", "reject") if part in target}
    for place, sql in said.items():
        if asked := not_of_the_row(str(sql)):
            raise SettingsError(f"{where}: {place} {asked}")


def record_of(source_name: str, stream: str) -> Mapping[str, Any] | None:
    """What a mapping reads of a stream's records, {format, schema} or {format, pattern, fields}; None where nothing reads them."""
    if not (CONF / "mappings" / f"{source_name}.yml").is_file():
        return None
    streams = mapping(source_name)["streams"]
    lookups = (spec.get("lookup") for spec in streams.values())
    read = streams.get(stream) or next((one for one in lookups if isinstance(one, Mapping) and one.get("stream") == stream), {})
    record = read.get("record")
    return record if isinstance(record, Mapping) else None


def names_in(ddl: str) -> frozenset[str]:
    """The columns that a Spark DDL string names, without those within a structure."""
    names, depth, is_next = set(), 0, True
    for token in re.findall(r"`(?:[^`]|``)*`|[<>(),]|[^\s`<>(),:]+", ddl):
        depth += (token in ("<", "(")) - (token in (">", ")"))
        if token == ",":
            is_next = is_next or depth == 0
        elif is_next:
            names.add(token.strip("`").replace("``", "`"))
            is_next = False
    return frozenset(names)


def columns_of(table: str, where: str) -> set[str]:
    """The columns of a declared table of silver, by conf/tables."""
    path = CONF / "tables" / f"{place_of(str(table))}.yml"
    if not path.is_file() or not str(table).startswith("silver."):
        known = sorted(f"silver.{p.stem}" for p in (CONF / "tables" / "silver").glob("*.yml"))
        raise SettingsError(f"{where}: there is no such table; there are {known}")
    columns = read_yaml(path).get("columns")
    if not isinstance(columns, Mapping):
        raise SettingsError(f"{path}: {NO_COLUMNS}")
    return set(columns)


def sources_of(table: str) -> tuple[str, ...]:
    """The sources whose mapping fills `table`; one whose declaration is wrong fills none (faults() says why)."""
    wrong = faults()
    sound = [name for name in source_names() if name not in wrong and (CONF / "mappings" / f"{name}.yml").is_file()]
    return tuple(name for name in sound if any(table in stream["tables"] for stream in mapping(name)["streams"].values()))

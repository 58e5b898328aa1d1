"""The SQL that stands in conf/rules: analysed before a run uses it, and found again in what Spark says of a row that it fails on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import and_

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession, functions as F

from conf.names import code_of, contract_of
from conf.rules import expressions
from conf.settings import SettingsError, rules
from conf.tables import table

# what no try mends: conditions of Spark's errors about an expression or a name
UNREADABLE = ("UNRESOLVED_", "PARSE_SYNTAX_ERROR", "DATATYPE_MISMATCH", "AMBIGUOUS_REFERENCE", "WRONG_NUM_ARGS", "INVALID_EXTRACT")
TRAFFIC = ", ".join(f"{name} string" for name in ("traffic_source", "traffic_medium", "traffic_campaign", "source_kind", "traffic_origin"))


def columns_seen(name: str) -> Mapping[str, tuple[str, str]]:
    """By the beginning of a place in conf/rules/<name>.yml: the columns, as DDL, that its SQL may name, and the type that it must have."""
    scored = table("segments.rfm")
    return {
        "channels": {"channels.": (TRAFFIC, "boolean")},
        "identity": {"namespaces.": ("value string", "string")},
        "journeys": {"": (table("silver.events").schema, "boolean")},
        "segments": {
            "rfm.": (", ".join(f"{c.name} {c.type}" for c in scored.columns if c.name != "rfm_segment"), "boolean"),
            "segments.": (f"{table('segments.profiles').schema}, as_of date", "boolean"),
        },
    }.get(name, {})


def refuse_wrong_sql(names: Iterable[str], spark: SparkSession) -> None:
    """Raises SettingsError naming the file and place of the first expression of these rules that Spark cannot parse or resolve, that cannot stand
    in a condition (an aggregate, a window), or that is of another type than it must be. One analysis per kind of expression, no job."""
    for said in (said for name in sorted(set(names)) for said in wrong_sql(name, spark)):
        raise SettingsError(said)


def wrong_sql(name: str, spark: SparkSession) -> Iterator[str]:
    """A sentence for each expression of conf/rules/<name>.yml that cannot be used."""
    for place, (columns, kind) in columns_seen(name).items():
        declared = {where: sql for where, sql in expressions(name, rules(name)).items() if where.startswith(place)}
        if declared:
            yield from (f"conf/rules/{name}.yml: {said}" for said in each_wrong(declared, spark.createDataFrame([], columns), kind))


def each_wrong(declared: Mapping[str, str], rows: DataFrame, kind: str | None) -> Iterator[str]:
    """A sentence for each expression, by its place, that cannot be used over the rows. kind: the type they must be of; None = any."""
    if wrong(declared, rows, kind):
        each = {where: wrong({where: sql}, rows, kind) for where, sql in declared.items()}
        yield from [f"{where}: {said}" for where, said in each.items() if said] or [f"{sorted(declared)} cannot stand together"]


def declared_wrongly(error: BaseException, name: str, source: str | None) -> str | None:
    """The sentence for what Spark cannot read or resolve of a table's declarations; None for any other error. source: whose mapping it may be."""
    if not isinstance(error, PySparkException) or not str(error.getCondition() or "").startswith(UNREADABLE):
        return None
    files = [contract_of(name), code_of(name), *([f"conf/mappings/{source}.yml"] if source else [])]
    return f"{name}{f', {source}' if source else ''}: {told(error)}; look in {', '.join(files)}"


def told(error: PySparkException) -> str:
    """What Spark has against an expression, in one line."""
    return " ".join(line.strip() for line in str(error).splitlines() if line.strip()).split(" SQLSTATE")[0][:300]


def wrong(declared: Mapping[str, str], rows: DataFrame, kind: str | None) -> str | None:
    """What Spark has against some expressions over these rows, said of the first; None where it has nothing."""
    first = next(iter(declared.values()))
    try:
        found = [F.expr(sql) for sql in declared.values()]
        rows = rows.where(reduce(and_, (one.isNotNull() for one in found)))
        kinds = {field.dataType.simpleString() for field in rows.select(*(one.alias(f"_{i}") for i, one in enumerate(found))).schema.fields}
    except PySparkException as error:
        return f"{first!r} is no SQL over its columns: {told(error)}"
    strange = sorted(kinds - {kind, "void"}) if kind else []
    return f"{first!r} is of type {strange[0]}; it must be {kind}" if strange else None


def place_of_failure(error: BaseException, names: Iterable[str]) -> str | None:
    """Where in these rules stands the SQL that failed on a row, as Spark's error quotes it: 'conf/rules/<name>.yml: <place>'; None where nowhere."""
    try:
        quoted = {context.fragment() for context in error.getQueryContext()} - {""}  # type: ignore[attr-defined]
    except Exception:  # an error that carries no such thing, or a plan made without SQL
        return None
    return next(
        (
            f"conf/rules/{name}.yml: {where}"
            for name in names
            for where, sql in expressions(name, rules(name)).items()
            if any(part in sql for part in quoted)
        ),
        None,
    )

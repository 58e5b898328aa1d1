"""Bronze records as candidates for one silver table: conf/mappings/<source>.yml turned into one select.

Nothing turns NULL in silence: a record that does not parse, or a value that does not fit its column's type, carries `_reason`
and its payload to the gate, which sets the row aside.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, functions as F, types as T

from conf.names import bronze_name, contract_of
from conf.rules import quoted as as_yaml
from conf.settings import mapping, rules, source as declared_source
from conf.tables import table
from spark_jobs.functions.attempts import can_fail, is_carried, tried, value_of
from spark_jobs.functions.fates import in_the_future
from spark_jobs.functions.identifiers import identifier_key, normalised, read_by_library, scoped
from spark_jobs.functions.ruled import each_wrong, told
from spark_jobs.functions.text import number_sql, stripped_sql, whole_number_sql
from spark_jobs.io.lake import Lake, quoted
from spark_jobs.io.vault import key_pads

BRONZE = (
    "_file STRING, _row BIGINT, _source STRING, _stream STRING, _account STRING, _extracted_at TIMESTAMP, _request_id STRING, "
    "_slice_from STRING, _slice_to STRING, _api_version STRING, _run_id STRING, _page INT, _sha256 STRING, _slice_id STRING, "
    "_attempt INT, _ingest_date DATE, payload STRING, payload_bytes BINARY"
)
# from_json reads the first value and overlooks what follows it: as the first of three in an array, in an object with a member after it, there is nothing
# to overlook. So one parse reads the record and says whether it is one object.
BEFORE, AFTER = '{"record":[', ',null,null],"end":0}'
IS_OBJECT = "_read.end = 0 and size(_read.record) = 3 and startswith(ltrim(payload), '{') and endswith(rtrim(payload), '}')"
# A time names its day: without one Spark takes today's. Years beyond these four digits are no years, and neither Python nor pandas has them.
# Its zone is an offset or a place: an abbreviation names several (Java takes BST for Bangladesh, and PST in July for daylight time).
ZONE = r"([zZ]|((UTC|GMT|UT)?[+-][0-9:]+)|UTC|GMT|UT|\\[?[A-Za-z_]+(/[A-Za-z0-9_+-]+)+\\]?)"
INSTANT = rf"^\\s*[1-9][0-9]{{3}}-[0-9]{{1,2}}-[0-9]{{1,2}}([T ]\\s*([0-9:.]+\\s*{ZONE}?)?)?\\s*$"
NO_YEAR = "9999-12-31 23:59:59.999999Z"
STRICT = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false"}
# A CSV row lands as an object, and a line that is no row of its header's fields as it is: it has too many or few, or a quote out of place.
MALFORMED = {
    "json": "'malformed_json'",
    "csv": "if(contains(payload, '\"'), 'malformed_csv', 'wrong_number_of_fields')",
}
CARRIED = ("_extracted_at", "_slice_id", "_slice_from", "_attempt", "_sha256")
# A number that may not survive Spark's way from JSON into text, which is through a double: an exponent, eight digits before a fraction or seven in it
# (Java writes some of these with an exponent, and no double holds more than 15), one below 0.001, a 0 at a fraction's end, an integer of 18 digits.
# In a text, 10:05.30, nothing of JSON follows; the scan costs a third of the parse itself where all records pass it.
INEXACT = r"[:,\[]\s*+-?+(?=[0-9])(?:[0-9]{18}|[0-9]++(?:\.[0-9]++)?+[eE]|[0-9]{8,}+\.|0\.000|[0-9]++\.(?:[0-9]{7}|[0-9]++(?<=[0-9]0)(?=[\s,}\]])))"
# Each number that stands outside of a string. Possessive: Java tries a group again by recursion.
NUMBERS = r'\G((?:[^"0-9-]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+)(-?[0-9][0-9.eE+-]*+)'
# What a number is marked with while it is read as a string, of Unicode's private use
MARK = "\ue000"
TEXTS = ("string", "boolean", "binary")
DATED = ("date", "timestamp")


def bronze_of(name: str, source: str) -> list[str]:
    """The bronze tables whose records the source's mapping routes to table `name`."""
    return [bronze_name(source, stream) for stream, spec in mapping(source)["streams"].items() if name in spec["tables"]]


def read_bronze(lake: Lake, source: str, stream: str, first: dt.date | None, last: dt.date | None) -> DataFrame:
    """The stream's records of the slices that touch the range; records without a slice belong to every range."""
    name = bronze_name(source, stream)
    if not lake.exists(name):
        return lake.spark.createDataFrame([], BRONZE)
    rows = lake.stored(name)
    if first and last:
        rows = rows.where(f"_slice_from is null or (_slice_from <= '{last}' and _slice_to >= '{first}')")
    return rows


def parsed(records: DataFrame, shape: Mapping[str, Any]) -> DataFrame:
    """The records with their fields as columns, `_reason` where the payload does not parse, and `_unmapped`: the names of its other fields.

    shape: {format: json or csv, schema: DDL} or {format: text, pattern: regex, fields: [names of the groups]}.
    """
    # of a record beyond the limit the beginning lands, under the sha256 of the whole
    is_cut = F.sha2("payload_bytes", 256) != F.col("_sha256") if "payload_bytes" in records.columns else F.lit(False)
    unreadable = F.when(F.col("payload").isNull(), F.when(is_cut, "too_large").otherwise("not_utf8"))
    if shape["format"] in MALFORMED:
        malformed = F.expr(MALFORMED[shape["format"]])
        options = {**STRICT, "mode": "PERMISSIVE", "columnNameOfCorruptRecord": "_corrupt"}
        schema = f"record ARRAY<STRUCT<{shape['schema']}>>, end INT, _corrupt STRING"
        whole = records.withColumn("_read", F.from_json(F.concat(F.lit(BEFORE), "payload", F.lit(AFTER)), schema, options))
        whole = whole.withColumn("_body", F.get("_read.record", F.lit(0)))
        fields = whole.select("_body.*").schema.fields
        is_broken = ~F.coalesce(F.expr(IS_OBJECT), F.lit(False)) | F.col("_read._corrupt").isNotNull()
        whole = whole.withColumn("_reason", unreadable.when(is_broken, malformed))
        if shape["format"] == "json":
            whole = with_exact_numbers(whole, fields, options)
        others = F.array_except(F.json_object_keys("payload"), F.array(*(F.lit(field.name) for field in fields)))
        return whole.select(*records.columns, "_reason", others.alias("_unmapped"), *(F.col("_body")[f.name].alias(f.name) for f in fields))
    matches = F.col("payload").rlike(shape["pattern"])
    whole = records.withColumns({"_reason": unreadable.when(~matches, "malformed_line"), "_unmapped": F.lit(None).cast("array<string>")})
    groups = [F.regexp_extract("payload", shape["pattern"], i).alias(name) for i, name in enumerate(shape["fields"], start=1)]
    return whole.select("*", *groups)


def with_exact_numbers(parsed: DataFrame, fields: Sequence[T.StructField], options: Mapping[str, str]) -> DataFrame:
    """The parsed records whose `_body` has numbers in text columns as they were received: 1e2, 1.10, 1234567890123456.78.

    Where a record has such a number, its columns of text are read again from a payload in which each number is a marked string.
    """
    texts = [field for field in fields if is_text(field.dataType)]
    if not texts:
        return parsed
    needs = F.col("payload").rlike(INEXACT) & ~F.col("payload").contains(MARK) & ~F.col("payload").contains("\\ue000")
    marked = F.when(needs, F.regexp_replace("payload", NUMBERS, f'$1"{MARK}$2"'))
    # no DDL: its short text of a structure loses the backticks of names within
    parsed = parsed.withColumn("_exact", F.from_json(marked, T.StructType(list(texts)), dict(options)))
    exact = {field.name: unmarked(F.col("_exact")[field.name], field.dataType) for field in texts}
    body = [
        F.when(F.col("_exact").isNull(), F.col("_body")[f.name]).otherwise(exact.get(f.name, F.col("_body")[f.name])).alias(f.name)
        for f in fields
    ]
    return parsed.withColumn("_body", F.struct(*body)).drop("_exact")


def is_text(kind: T.DataType) -> bool:
    """Whether a type holds no numbers and no times."""
    if isinstance(kind, T.ArrayType):
        return is_text(kind.elementType)
    if isinstance(kind, T.MapType):
        return is_text(kind.keyType) and is_text(kind.valueType)
    if isinstance(kind, T.StructType):
        return all(is_text(field.dataType) for field in kind.fields)
    return kind.simpleString() in TEXTS


def unmarked(value: Column, kind: T.DataType) -> Column:
    """The value with its marked numbers as they were received, at any depth of the type and of JSON that stays text."""
    if isinstance(kind, T.StringType):
        return F.when(value.contains(MARK), F.regexp_replace(value, f'"?{MARK}([-+0-9.eE]+)"?', "$1")).otherwise(value)
    if isinstance(kind, T.ArrayType):
        return F.transform(value, lambda one: unmarked(one, kind.elementType))
    if isinstance(kind, T.MapType):
        return F.transform_values(value, lambda _, one: unmarked(one, kind.valueType))
    if isinstance(kind, T.StructType):
        inner = F.struct(*(unmarked(value[field.name], field.dataType).alias(field.name) for field in kind.fields))
        return F.when(value.isNotNull(), inner)
    return value


def newest(records: DataFrame, key: str) -> DataFrame:
    """Of the parsed records the last delivered one per key."""
    order = F.struct("_extracted_at", "_attempt", "_file", "_row")
    columns = [c for c in records.columns if c != key]
    latest = records.groupBy(key).agg(F.max_by(F.struct(*columns), order).alias("_latest"))
    return latest.select(key, "_latest.*")


def identifier_values(declared: tuple[Mapping[str, str], ...], country: str) -> list[dict[str, Column]]:
    """Columns `_id_<i>` per declared identifier, in two steps: what its namespace's library makes of it, then its value after its
    namespace's normaliser, NULL where it is empty or blocked. country: SQL of the record's own country, which a phone number may lack."""
    namespaces = rules("identity")["namespaces"]
    by_library, values = {}, {}
    for i, item in enumerate(declared):
        rule, value = namespaces.get(item["namespace"], {}), item["value"]
        if rule.get("library"):
            by_library[f"_id_{i}"] = read_by_library(rule["library"], F.expr(stripped_sql(value)), F.expr(f"cast({country} as string)"))
            value = f"_id_{i}"
        values[f"_id_{i}"] = F.expr(normalised(value, rule))
    return [step for step in (by_library, values) if step]


def with_identifiers(rows: DataFrame, declared: tuple[Mapping[str, str], ...], scope: str, lake: Lake) -> DataFrame:
    """The `_id_<i>` columns as `_raw_identifiers` ARRAY<STRUCT<namespace, value>> and `identifiers` ARRAY<STRUCT<namespace, identifier_key>>,
    in declared order, each once, without what is NULL.

    Written out per declared identifier: a function over an array's elements is interpreted, and cost a fifth of reading an event.
    """
    names = [scoped(item["namespace"], scope, rules("identity")["namespaces"]) for item in declared]

    def listed(column: str, field: str) -> Column:
        nothing = F.array().cast(f"array<struct<namespace:string,{field}:string>>")
        each = [
            F.when(F.col(f"_id_{i}").isNull(), nothing).otherwise(
                F.array(F.struct(F.lit(name).alias("namespace"), F.col(f"{column}_{i}").alias(field)))
            )
            for i, name in enumerate(names)
        ]
        found = F.concat(*each) if each else nothing
        return found if len(set(names)) == len(names) else F.array_distinct(found)

    if names:
        rows = rows.crossJoin(F.broadcast(key_pads(lake)))
        rows = rows.withColumns({f"_key_{i}": identifier_key(F.lit(name), F.col(f"_id_{i}")) for i, name in enumerate(names)})
    rows = rows.withColumns({"_raw_identifiers": listed("_id", "value"), "identifiers": listed("_key", "identifier_key")})
    return rows.drop(*(f"_{kind}_{i}" for kind in ("id", "key") for i in range(len(names))), "_inner_pad", "_outer_pad")


def candidates(lake: Lake, source: str, name: str, first: dt.date | None, last: dt.date | None) -> DataFrame:
    """One row per bronze record that the source's mapping routes to table `name`.

    Columns: the contract's (typed; NULL where the mapping names none), PROVENANCE, `_extracted_at`, `_slice_id`, `_slice_from`,
    `_attempt`, the mapping's `extra:` columns, `_raw_identifiers` for the vault, and `_superseded`: the record is of a delivery of its
    slice that a later one replaced whole (a report restated, a bad file repaired).
    """
    contract, streams = table(name), mapping(source)["streams"]
    frames = [
        _stream_candidates(lake, source, stream, spec, contract, (first, last))
        for stream, spec in streams.items()
        if name in spec["tables"]
    ]
    return reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), frames)


def stated(expression: str, kind: str) -> str:
    """SQL of the value that is cast to the type: as it is, and null where a number is beyond any, or where a date or an instant does not name its
    day and its zone, or is no day of a year with four digits once its zone is counted in."""
    if kind.lower().startswith("decimal"):
        return number_sql(expression)
    if kind.lower() not in DATED:
        return f"({expression})"
    is_stated = f"try_cast(({expression}) as string) rlike '{INSTANT}' and try_cast(({expression}) as timestamp) < timestamp'{NO_YEAR}'"
    return f"case when {is_stated} then ({expression}) end"


def given(expression: str, kind: str, record_format: str) -> str:
    """SQL that is true where the record gives a value: an empty time is none, and so is all that is empty in a CSV file."""
    if kind.lower() not in DATED and record_format != "csv":
        return f"({expression}) is not null"
    return f"coalesce({stripped_sql(f'({expression})')}, '') <> ''"


def with_superseded(received: DataFrame) -> DataFrame:
    """The records with `_superseded`: whether their slice was delivered again since, if only to say that it has none (row 0, no record)."""
    latest = received.groupBy("_account", "_slice_id").agg(F.max("_attempt").alias("_last_attempt")).where("_last_attempt > 1")
    latest = latest.withColumnsRenamed({"_account": "_la", "_slice_id": "_ls"})
    same = F.col("_account").eqNullSafe(F.col("_la")) & F.col("_slice_id").eqNullSafe(F.col("_ls"))
    joined = received.where("_row > 0").join(F.broadcast(latest), same, "left")
    is_old = F.coalesce(F.col("_attempt") < F.col("_last_attempt"), F.lit(False))
    return joined.withColumn("_superseded", is_old).drop("_la", "_ls", "_last_attempt")


def with_attempts(records: DataFrame, expressions: Mapping[str, str]) -> tuple[DataFrame, dict[str, str], dict[str, Column]]:
    """The records with what is needed to evaluate a mapping's expressions, given by name, such that one that fails on a record fails there alone.

    Returns also the SQL of each expression's value, null where it fails, and by name whether it fails, of all those that could.
    """
    risky = [name for name, expression in expressions.items() if can_fail(expression)]
    if not risky:
        return records, dict(expressions), {}
    fields = records.select(*(F.expr(f"({expressions[name]})").alias(f"_{i}") for i, name in enumerate(risky))).schema.fields
    kinds = {name: field.dataType.simpleString() for name, field in zip(risky, fields) if is_carried(field.dataType.simpleString())}
    attempts = {name: f"_try_{i}" for i, name in enumerate(kinds)}
    records = records.withColumns({column: F.expr(tried(expressions[name], kinds[name])) for name, column in attempts.items()})
    values = {name: value_of(column, kinds[name]) for name, column in attempts.items()}
    return records, {**expressions, **values}, {name: F.col(column).isNull() for name, column in attempts.items()}


def _expressions(source: str, target: Mapping[str, Any]) -> dict[str, str]:
    """A table's SQL in a mapping: by column, extra.<column>, identifiers.<number>, where and reject."""
    columns = {"source": quoted(source), "ingested_at": "_extracted_at", **target["columns"]}
    found = {name: str(e) for name, e in columns.items() if e is not None}
    found |= {f"extra.{name}": str(e) for name, e in (target.get("extra") or {}).items()}
    found |= {f"identifiers.{i}": str(item["value"]) for i, item in enumerate(target.get("identifiers") or ())}
    return found | {key: str(target[key]) for key in ("where", "reject") if target.get(key)}


def _records(lake: Lake, source: str, stream: str, spec: Mapping[str, Any], days: tuple[dt.date | None, dt.date | None]) -> DataFrame:
    """The parsed records of a stream, with what it looks up in another one."""
    records, lookup = parsed(with_superseded(read_bronze(lake, source, stream, *days)), spec["record"]), spec.get("lookup")
    if not lookup:
        return records
    other = mapping(source)["streams"].get(lookup["stream"]) or {"record": lookup["record"]}
    found = newest(parsed(read_bronze(lake, source, lookup["stream"], None, None), other["record"]), lookup["on"])
    return records.join(F.broadcast(found.select(lookup["on"], *lookup["columns"])), on=lookup["on"], how="left")


def unmapped(source: str, name: str) -> Iterator[str]:
    """A sentence for each stream of a source's mapping to table `name` without which columns that are never null would be: each of its rows would
    be set aside."""
    for stream, spec in mapping(source)["streams"].items():
        if (target := spec["tables"].get(name)) is None:
            continue
        given = {place.removeprefix("extra.").split(".")[0] for place, sql in _expressions(source, target).items() if sql.lower() != "null"}
        wanted = {c.name: c.made_of for c in table(name).columns if not c.nullable and not c.name.startswith("_source_")}
        # what lacks only what is said to be lacking itself is not said again
        lacks = {c: set(of or ()) - given for c, of in wanted.items() if c not in given and (of is None or set(of) - given)}
        if said := [f"{c} (or {', '.join(sorted(of))})" if of else c for c, of in lacks.items() if not of & set(lacks)]:
            where, path = f"conf/mappings/{source}.yml, {name}: stream {stream}: columns", contract_of(name)
            yield f"{where}: nothing fills {' and '.join(said)}, never null by {path}; map what is missing, or no row of the stream gets in"


def wrong_expressions(lake: Lake, source: str, name: str) -> Iterator[str]:
    """A sentence for each part of a source's mapping to table `name` that Spark cannot use, or that is not there, with its place in the file."""
    yield from unmapped(source, name)
    for stream, spec in mapping(source)["streams"].items():
        if (target := spec["tables"].get(name)) is None:
            continue
        where = f"conf/mappings/{source}.yml, {name}: stream {stream}"
        try:
            records = _records(lake, source, stream, spec, (None, None))
            _ = records.columns
        except AnalysisException as error:
            parts = {"record": spec["record"], **({"lookup": spec["lookup"]} if spec.get("lookup") else {})}
            said = " or ".join(f"{part} {as_yaml(held)}" for part, held in parts.items())
            yield f"{where}: {said} cannot be read: {told(error)}"
            continue
        given = _expressions(source, target)
        conditions = {key: given.pop(key) for key in ("where",) if key in given}
        values = {key if "." in key or key == "reject" else f"columns.{key}": sql for key, sql in given.items()}
        for declared, kind in ((values, None), (conditions, "boolean")):
            if declared:
                yield from (f"{where}: {said}" for said in each_wrong(declared, records, kind))


def _stream_candidates(
    lake: Lake,
    source: str,
    stream: str,
    spec: Mapping[str, Any],
    contract: Any,
    days: tuple[dt.date | None, dt.date | None],
) -> DataFrame:
    target = spec["tables"][contract.name]
    declared = tuple(target.get("identifiers") or ())
    records, columns, failed = with_attempts(_records(lake, source, stream, spec, days), _expressions(source, target))
    is_first = next(iter(spec["tables"])) == contract.name
    if target.get("where"):
        routed = (F.coalesce(F.expr(columns["where"]), F.lit(False)) | failed.get("where", F.lit(False))) & F.col("_reason").isNull()
        records = records.where(routed | F.col("_reason").isNotNull()) if is_first else records.where(routed)
    elif not is_first:
        records = records.where(F.col("_reason").isNull())
    rejected = F.expr(columns["reject"]).cast("string") if target.get("reject") else F.lit(None).cast("string")
    broken = [F.when(has_failed, f"mapping_failed:{name.split('.')[0]}") for name, has_failed in failed.items()]
    record_format = spec["record"]["format"]
    types = {c.name: c.type for c in contract.columns}
    values: list[Column] = []
    misfits: list[Column] = []
    # kept as columns of their own, so that judging a cast does not make it again
    fitted: dict[str, Column] = {}

    def fit(column: str, expression: str, kind: str) -> Column:
        name = f"_fit_{column}"
        fitted[name] = F.expr(f"try_cast({stated(expression, kind)} as {kind})")
        misfits.append(F.when(F.expr(f"{given(expression, kind, record_format)} and {name} is null"), f"bad_value:{column}"))
        return F.col(name).alias(column)

    for column, kind in types.items():
        if column.startswith("_source_") or column == "identifiers":
            continue
        expression = columns.get(column, "null")
        if expression == "null":
            values.append(F.lit(None).cast(kind).alias(column))
        elif kind.startswith(("array", "map", "struct")):
            values.append(F.expr(f"({expression})").alias(column))
        elif kind.lower() == "string":
            text = f"try_cast(({expression}) as string)"
            # an id that is a whole number may have become a float on its way; its sender's own id of an event says nothing to anybody else
            is_id = column.endswith("_id") and not column.startswith("client_")
            values.append(F.expr(whole_number_sql(text) if is_id else text).alias(column))
        else:
            values.append(fit(column, expression, kind))
    # what is called …_at is an instant, here as in a contract
    extras = [
        fit(n, e, "timestamp") if n.endswith("_at") else F.expr(e).alias(n)
        for n, e in ((name, columns[f"extra.{name}"]) for name in target.get("extra") or {})
    ]
    sought = tuple({**item, "value": columns[f"identifiers.{i}"]} for i, item in enumerate(declared))
    for step in ({**fitted}, *identifier_values(sought, columns.get("country", "null"))):
        # Spark Connect takes no empty set of columns
        records = records.withColumns(step) if step else records
    dated = ((c, F.col(f"_fit_{c.name}")) for c in contract.columns if c.ahead_days is not None and f"_fit_{c.name}" in fitted)
    future = [in_the_future(c, at, F.col("_extracted_at")) for c, at in dated]
    rows = records.select(
        *values,
        *extras,
        F.col("_file").alias("_source_file"),
        F.col("_row").alias("_source_row"),
        F.coalesce(F.col("_reason"), *broken, rejected, *misfits, *future).alias("_reason"),
        *CARRIED,
        "_unmapped",
        "_superseded",
        *(f"_id_{i}" for i in range(len(declared))),
    )
    return with_identifiers(rows, declared, declared_source(source).identity_scope, lake)

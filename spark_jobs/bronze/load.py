"""bronze.<source>__<stream>: every landed record as received, once per landing file.

Reads only what a manifest names, checks each file's sha256 and record count against it, and appends in one commit per stream. A few
small files are read by this process (few.py). An event log of more is read by Structured Streaming (file source, availableNow), whose checkpoint keeps which files were read. An attempt without records
stands as one row of its manifest: number 0, no payload. It replaces what its slice delivered before, as any later attempt does.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, functions as F, types as T

from conf.landing import beside, lies_now
from conf.names import bronze_name, stream_of
from conf.printing import shown
from conf.settings import KEPT_BYTES, platform, source as declared_source
from conf.tables import Field, Table, Write
from spark_jobs.bronze.few import SAID, are_few, rows_of
from spark_jobs.bronze.parquet_rows import LARGEST_PLAIN, SCHEMA as ROWS, is_for_spark, is_plain_json, read_rows, refusal
from spark_jobs.engine.claims import Claims
from spark_jobs.engine.record import Recorder
from spark_jobs.engine.waves import in_waves
from spark_jobs.errors import GateError, ThroughlineError
from spark_jobs.io.commits import missing_files
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import BRONZE
from spark_jobs.io.publish import Fence, append, append_arrow, takes_arrow, without_missing
from spark_jobs.io.small import arrow_schema, open_table, query, table_uri

ENVELOPE = (
    "_row BIGINT, _source STRING, _stream STRING, _account STRING, _extracted_at TIMESTAMP, _request_id STRING, _slice_from STRING, "
    "_slice_to STRING, _api_version STRING, _run_id STRING, _page INT, _sha256 STRING, _slice_id STRING, _attempt INT, "
    "_ingest_date DATE, payload STRING, payload_bytes STRING"
)
TYPES = dict(part.split(" ") for part in BRONZE.split(", "))
COLUMNS = tuple(TYPES)
# How a Parquet row is written as JSON
JSON = {
    "ignoreNullFields": "false",
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}
# More files than these are read one after another by a task
MOST_TASKS = 32
# What a manifest must say for its files to be found and ordered
NEEDED = ("account", "slice_id", "attempt", "format", "extracted_at", "files")


def bronze_table(source: str, stream: str) -> Table:
    """The generic contract of every bronze table."""
    columns = [Field(name, kind.lower(), nullable=name not in ("_file", "_row")) for name, kind in TYPES.items()]
    write = Write(mode="append", cluster_by=("_ingest_date",))
    return Table(bronze_name(source, stream), "one record as received", ("_file", "_row"), tuple(columns), write)


@dataclass(frozen=True)
class Loaded:
    """What one stream's load did: records its manifests promised, records appended, files it had already, sentences about files that
    cannot be read."""

    table: str
    promised: int
    appended: int
    known_files: int
    refused: tuple[str, ...] = ()


def manifests(source: str, stream: str) -> list[dict[str, Any]]:
    """Every complete manifest of a stream with its own `path`, in order of slice and attempt; its files are those beside it."""
    root = Path(platform().landing, source, stream)
    found = [{**beside(path.parent, read_manifest(path)), "path": str(path.resolve())} for path in root.rglob("manifest.json")]
    complete = [m for m in found if m.get("slice_complete", True)]
    return sorted(complete, key=lambda m: (m["slice_id"], m["attempt"]))


def read_manifest(path: Path) -> dict[str, Any]:
    """One attempt's manifest. Raises ThroughlineError when it is cut or not a manifest."""
    advice = "move its folder away, pull its slice again and load again"
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise ThroughlineError(f"{path}: not valid JSON ({error}); {advice}") from None
    if not isinstance(manifest, dict) or not set(NEEDED) <= set(manifest):
        raise ThroughlineError(f"{path}: not a manifest, which has {list(NEEDED)}; {advice}")
    return manifest


def damage(file: Mapping[str, Any]) -> str | None:
    """How a landed file differs from what its manifest says; None when it does not."""
    try:
        with open(file["path"], "rb") as content:
            is_same = hashlib.file_digest(content, "sha256").hexdigest() == file["sha256"]
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if is_same else "its sha256 is not the manifest's"


def wanted(name: str, found: list[dict[str, Any]], known: Mapping[str, int]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The landed files (manifest, file) that bronze has not, all of them whole.

    A damaged attempt that was delivered again since is left out: nothing would be read of it. Raises GateError for any other damaged file.
    """
    newest = {(m["account"], m["slice_id"]): m["attempt"] for m in found}
    fresh = [(m, f) for m in found for f in m["files"] if f["path"] not in known and m["path"] not in known]
    damaged = [(m, f["path"], what) for m, f in fresh if (what := damage(f))]
    needed = [(m, path, what) for m, path, what in damaged if m["attempt"] == newest[m["account"], m["slice_id"]]]
    if needed:
        said = "; ".join(f"{path}: {what}" for _, path, what in needed[:3])
        days = sorted({m.get("slice_from") or m["extracted_at"][:10] for m, _, _ in needed})
        again = f"python -m connectors pull {needed[0][0]['source']} --from {days[0]} --to {days[-1]}"
        raise GateError(
            f"{name}: {len(needed)} landing file(s) were changed, cut or lost: {said}. Nothing was loaded. Pull what was dropped again "
            f"(`{again}`; if the drop is gone, deliver it again, under any name, and move the landed folder away first), then load again"
        )
    for m, path, what in damaged:
        print(shown(f"{name}: {path}: {what}; left out, because attempt {newest[m['account'], m['slice_id']]} replaced it"), flush=True)
    left_out = [m for m, _, _ in damaged]
    return [(m, f) for m, f in fresh if m not in left_out]


def without_refused(
    name: str, found: list[dict[str, Any]], fresh: list[tuple[dict[str, Any], dict[str, Any]]]
) -> tuple[list[tuple[dict[str, Any], dict[str, Any]]], tuple[str, ...]]:
    """The landed files (manifest, file) of which records can be made, and what is said of each other that no later attempt replaced."""
    newest = {(m["account"], m["slice_id"]): m["attempt"] for m in found}
    readable, said = [], []
    for m, file in fresh:
        what = refusal(file["path"]) if m["format"] == "parquet" and file["records"] else None
        if what is None:
            readable.append((m, file))
        elif m["attempt"] == newest[m["account"], m["slice_id"]]:
            said.append(f"{what}, dropped as {(m.get('origin') or {}).get('path')}")
        else:
            print(shown(f"{name}: {what}; left out, because attempt {newest[m['account'], m['slice_id']]} replaced it"), flush=True)
    return readable, tuple(said)


def files_in(lake: Lake, name: str) -> dict[str, int]:
    """The landing files that a bronze table holds, by where they lie now, with their numbers of records; read without Spark."""
    found = open_table(lake.root, name)
    if found is None:
        return {}
    counted = query(found, "select _file, count(*) as records from rows group by _file")
    landing = Path(platform().landing)
    names = [lies_now(landing, file) for file in counted["_file"].to_pylist()]
    return dict(zip(names, counted["records"].to_pylist()))


def path_read() -> Column:
    """The path of the file that a row was read from, as manifests write it."""
    # Spark gives it as a URL, in which a plus is a plus
    return F.url_decode(F.replace(F.regexp_replace("_metadata.file_path", "^file:/+", "/"), F.lit("+"), F.lit("%2B")))


def enveloped(rows: DataFrame) -> DataFrame:
    """Landed lines as bronze columns, in order."""
    return rows.withColumn("payload_bytes", F.unbase64("payload_bytes")).select(*COLUMNS)


def read_jsonl(lake: Lake, files: list[str]) -> DataFrame:
    """jsonl.gz parts; `_file` is the part's path."""
    rows = lake.spark.read.schema(ENVELOPE).json(files)
    return enveloped(rows.withColumn("_file", path_read()))


def read_parquet(lake: Lake, drops: list[tuple[dict[str, Any], dict[str, Any]]], for_spark: bool) -> DataFrame:
    """Parquet drops (manifest, file) of one schema: each row as JSON, numbered by its place in the file; a string column `payload`
    is the record as received. for_spark: whether Spark's reader knows their types, compression and encodings."""
    paths = [file["path"] for _, file in drops]
    found = rows_by_spark(lake, paths) if for_spark else None
    received = (rows_by_arrow(lake, paths) if found is None else found).withColumn("_sha256", F.sha2("payload", 256))
    # as landing does with records of text: of a longer one than its stream's limit the beginning stays, to be set aside
    is_long = F.octet_length("payload") > record_limit(drops[0][0])
    cut = F.when(is_long, F.substring(F.col("payload").cast("binary"), 1, KEPT_BYTES)).alias("payload_bytes")
    named = received.select("_file", "_row", F.lit(1).alias("_page"), F.when(~is_long, F.col("payload")).alias("payload"), cut, "_sha256")
    # one scan of all drops with what their manifests say beside it: a plan for each would be compiled for each
    facts = facts_of(lake, [(file["path"], m) for m, file in drops])
    return named.join(F.broadcast(facts), on="_file", how="left").select(*COLUMNS)


def record_limit(manifest: Mapping[str, Any]) -> int:
    """How many bytes a record of the manifest's stream may have."""
    stream = declared_source(manifest["source"]).streams.get(manifest["stream"], {})
    return int(stream.get("max_record_bytes") or platform().max_record_bytes)


def rows_by_spark(lake: Lake, paths: list[str]) -> DataFrame | None:
    """`_file`, `_row` and `payload` of Parquet files of one schema; None where Spark refuses it or writes its values in another form."""
    try:
        rows = lake.spark.read.parquet(*paths)
        if not all(is_plain_json(field.dataType) for field in rows.schema.fields):
            return None
        payload = F.col("payload") if dict(rows.dtypes).get("payload") == "string" else row_json(rows)
        named = rows.select(path_read().alias("_file"), (F.col("_metadata.row_index") + 1).alias("_row"), payload.alias("payload"))
        # over Spark Connect a plan is analysed when it is asked for its schema
        return named if named.schema else None
    except PySparkException:
        return None


def rows_by_arrow(lake: Lake, paths: list[str]) -> DataFrame:
    """`_file`, `_row` and `payload` of Parquet files of any schemas."""
    files = lake.spark.createDataFrame([(path,) for path in paths], "path STRING")
    return files.repartition(min(len(paths), MOST_TASKS)).mapInArrow(read_rows, ROWS)


def row_json(rows: DataFrame) -> Column:
    """A row as a JSON object of its columns, in their order."""
    values = [
        plain_number(F.col(quoted)).alias(field.name) if isinstance(field.dataType, T.DoubleType | T.FloatType) else F.col(quoted)
        for field in rows.schema.fields
        for quoted in [f"`{field.name.replace('`', '``')}`"]
    ]
    return F.to_json(F.struct(*values), JSON)


def plain_number(number: Column) -> Column:
    """A DOUBLE or FLOAT as a VARIANT whose JSON has no exponent from 0.00001 to below 10^16, and no point where it is whole."""
    wide = number.cast("double")
    size = F.abs(wide)
    return (
        F.when((size < LARGEST_PLAIN) & (F.rint(wide) == wide), wide.cast("bigint").cast("variant"))
        # Spark gives numbers of these sizes an exponent; of their 17 digits at most 10 and 23 stand behind the point
        .when((size >= 1e7) & (size < LARGEST_PLAIN), wide.cast("decimal(27,10)").cast("variant"))
        .when((size >= 1e-5) & (size < 1e-3), number.cast("string").cast("decimal(38,23)").cast("variant"))
        .otherwise(number.cast("variant"))
    )


def facts_of(lake: Lake, files: list[tuple[str, dict[str, Any]]]) -> DataFrame:
    """What manifests say of all rows of these files, one row per file (`_file`)."""
    said = [(file, *(m.get(k) for k in SAID), m["extracted_at"], int(m["attempt"])) for file, m in files]
    schema = f"_file STRING, {', '.join(f'_{k} STRING' for k in SAID)}, _extracted_at STRING, _attempt INT"
    facts = lake.spark.createDataFrame(said, schema).withColumn("_extracted_at", F.col("_extracted_at").cast("timestamp"))
    return facts.withColumn("_ingest_date", F.col("_extracted_at").cast("date"))


def read_empty(lake: Lake, empty: list[dict[str, Any]]) -> DataFrame:
    """One row for each manifest of an attempt without records: what it says, as row 0 of the manifest itself."""
    # first what makes the session, without which there are no columns
    facts = facts_of(lake, [(m["path"], m) for m in empty])
    given = facts.withColumn("_row", F.lit(0).cast("bigint"))
    nothing = {name: F.lit(None).cast(kind).alias(name) for name, kind in TYPES.items()}
    return given.select(*(F.col(name) if name in given.columns else column for name, column in nothing.items()))


def read_fresh(lake: Lake, fresh: list[tuple[dict[str, Any], dict[str, Any]]], empty: list[dict[str, Any]]) -> DataFrame:
    """The records of landed files (manifest, file) and the attempts without any, in bronze's columns."""
    jsonl = [file["path"] for m, file in fresh if m["format"] == "jsonl"]
    frames = [read_jsonl(lake, jsonl)] if jsonl else []
    by_schema: dict[tuple[bool, str], list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for m, file in fresh:
        if m["format"] == "parquet":
            footer = pq.read_metadata(file["path"])
            # a file without rows may have no columns either, and such a one Spark cannot read
            if file["records"] or footer.num_rows:
                # its first line tells two objects apart, not two schemas
                schema = str(footer.schema).partition("\n")[2]
                by_schema.setdefault((is_for_spark(footer), schema), []).append((m, file))
    frames += [read_parquet(lake, drops, for_spark) for (for_spark, _), drops in sorted(by_schema.items())]
    frames += [read_empty(lake, empty)] if empty else []
    return reduce(DataFrame.unionByName, frames)


def load_stream(lake: Lake, source: str, stream: str, fence: Fence) -> Loaded:
    """Append what was landed, can be read and is not yet in bronze. Raises GateError when a file does not hold what its manifest says."""
    contract = bronze_table(source, stream)
    found = manifests(source, stream)
    known = files_in(lake, contract.name) if found else {}
    fresh, refused = without_refused(contract.name, found, wanted(contract.name, found, known))
    promised = sum(f["records"] for _, f in fresh)
    empty = [m for m in found if m["path"] not in known and not any(f["records"] for f in m["files"])]
    if not fresh and not empty:
        return Loaded(contract.name, 0, 0, len(known), refused)
    if lake.is_local and are_few(fresh) and (not lake.exists(contract.name) or takes_arrow(lake, contract.name)):
        rows = rows_of(fresh, empty, arrow_schema(contract), record_limit)
        if rows is not None:
            lake.create(contract, is_few=True)
            _refuse_cut_files(contract.name, fresh, Counter(rows["_file"].to_pylist()), "nothing was loaded")
            append_arrow(lake, rows, contract, fence)
            return Loaded(contract.name, promised, promised, len(known), refused)
    lake.create(contract)
    if declared_source(source).kind == "event_log" and all(m["format"] == "jsonl" for m in found):
        if fresh:
            _stream_events(lake, contract, [file["path"] for _, file in fresh], fence)
        read = files_in(lake, contract.name)
        # a stream that ran while these were being published saw them unnamed, and will not read them again
        missed = [(m, f) for m, f in fresh if f["records"] and f["path"] not in read]
        if missed or empty:
            append(lake, read_fresh(lake, missed, empty), contract, sum(f["records"] for _, f in missed) + len(empty), fence)
            read = files_in(lake, contract.name)
        _refuse_cut_files(contract.name, fresh, read, "the file's records before the cut are in the table")
        return Loaded(contract.name, promised, promised, len(known))
    rows = read_fresh(lake, fresh, empty)
    counted = {f["path"]: pq.read_metadata(f["path"]).num_rows for m, f in fresh if m["format"] == "parquet"}
    if lines := [f["path"] for m, f in fresh if m["format"] == "jsonl"]:
        # counts need no column: of JSON lines only the ends of lines are looked for
        counted |= {r["_file"]: r["count"] for r in read_jsonl(lake, lines).groupBy("_file").count().collect()}
    _refuse_cut_files(contract.name, fresh, counted, "nothing was loaded")
    append(lake, rows, contract, promised + len(empty), fence)
    return Loaded(contract.name, promised, promised, len(known), refused)


def _refuse_cut_files(name: str, fresh: list[tuple[dict[str, Any], dict[str, Any]]], counted: Mapping[str, int], what: str) -> None:
    wrong = [
        f"{f['path']}: manifest says {f['records']}, file holds {counted.get(f['path'], 0)}"
        for _, f in fresh
        if counted.get(f["path"], 0) != f["records"]
    ]
    if wrong:
        raise GateError(
            f"{name}: {len(wrong)} landing file(s) hold other records than their manifests say: {'; '.join(wrong[:3])}. Pull the slice again; {what}."
        )


def _stream_events(lake: Lake, contract: Table, named: list[str], fence: Fence) -> None:
    """The named files of an event log through Structured Streaming; the Delta sink and the checkpoint make each file count once."""
    source, stream = stream_of(contract.name)
    # a part without a manifest is of a pull that died: its retry lands under a new attempt, so the part is never wanted
    landed = (
        lake.spark.readStream.schema(ENVELOPE)
        .option("maxFileAge", "3650d")
        .option("recursiveFileLookup", "true")
        .option("pathGlobFilter", "part-*.jsonl.gz")
        # the named ones are whole; a damaged one beside them must not stop the stream
        .option("ignoreCorruptFiles", "true")
    )
    rows = landed.json(f"{platform().landing}/{source}/{stream}")
    rows = enveloped(rows.withColumn("_file", path_read()))
    query = (
        rows.where(F.col("_file").isin(named))
        .writeStream.format("delta")
        .option("checkpointLocation", f"{lake.root}/_checkpoints/{contract.name}")
        .option("userMetadata", json.dumps({"run_id": fence.run_id}))
        .trigger(availableNow=True)
        .start(lake.path(contract.name))
    )
    query.awaitTermination()


def record_killed_loads(lake: Lake, recorder: Recorder, name: str, source: str) -> None:
    """The runs and the ledger of loads that ended after their append and before they wrote either."""
    for run_id, commits in recorder.unrecorded_loads(name).items():
        records = sum(records_at(lake, name, c["version"]) - records_at(lake, name, c["version"] - 1) for c in commits)
        at, version = (max(c[key] for c in commits) for key in ("timestamp", "version"))
        ended = dt.datetime.fromtimestamp(at / 1000, dt.UTC)
        # a replayed record, or an attempt without any, is no load to account for
        if records:
            recorder.add_load(run_id, name, source, records, records, ended, version, ended)


def records_at(lake: Lake, name: str, version: int) -> int:
    """How many landed records a bronze table held at a version; what was replayed, and the rows of attempts without records, are none."""
    if version < 0:
        return 0
    found = DeltaTable(table_uri(lake.root, name), version=version)
    return int(query(found, "select count(*) as n from rows where _row > 0 and not starts_with(_file, 'replay:')")["n"][0].as_py())


def load_source(lake: Lake, source: str, holder: str) -> list[dict[str, Any]]:
    """Every stream of a source into bronze; one line of facts per stream. Raises GateError naming every file that cannot be read, when all
    others are loaded."""
    declared = declared_source(source)
    names = {stream: bronze_name(source, stream) for stream in declared.streams}
    claims = Claims(lake, holder)
    fences = claims.acquire(list(names.values()))
    outcomes: list[dict[str, Any]] = []
    refused: list[str] = []
    recorder = Recorder(lake, uuid.uuid4().hex)

    def load(stream: str) -> None:
        name, run_id, started = names[stream], uuid.uuid4().hex, dt.datetime.now(dt.UTC)
        record_killed_loads(lake, recorder, name, source)
        if gone := missing_files(lake.root, name):
            recorder.add_loss(name, source, name, f"{name}: {len(gone)} of its data files are gone, {next(iter(gone))} among them")
            without_missing(lake, name, None, replace(fences[name], run_id=run_id))
        has_lost = bool(recorder.lost(name, source))
        before = lake.version(name)
        loaded = load_stream(lake, source, stream, replace(fences[name], run_id=run_id))
        seconds = (dt.datetime.now(dt.UTC) - started).total_seconds()
        print(f"{seconds:6.1f} s  {name:<42} {loaded.appended:,} records, {loaded.known_files} files known before", flush=True)
        if has_lost:
            print(f"{name}: had lost records that it held before; what of them lies in landing is in it again", flush=True)
        if loaded.promised or has_lost or lake.version(name) > before:
            recorder.add_load(run_id, name, source, loaded.promised, loaded.appended, started, lake.version(name))
        refused.extend(f"{name}: {one}" for one in loaded.refused)
        outcomes.append({"table": name, "rows_in": loaded.promised, "rows_out": loaded.appended, "wrote": lake.version(name) > before})

    try:
        recorder.prepare(names.values())
        recorder.drop_unfinished((name, source) for name in names.values())
        in_waves(list(names), lambda stream: (stream, ()), load)
    finally:
        try:
            recorder.flush()
        finally:
            claims.release()
    if refused:
        raise GateError("\n".join(["All other landed files are loaded, these are not:", *sorted(refused)]))
    return outcomes

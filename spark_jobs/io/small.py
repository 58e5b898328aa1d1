"""Small tables without Spark: what a gate, a claim or a report reads and writes in milliseconds, through delta-rs.

The ops tables have this one writer, so that its put-if-absent commits are what orders them on every storage.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from conf.names import place_of
from conf.settings import made
from conf.tables import Table, table, table_names
from spark_jobs.errors import ThroughlineError, of_trouble

Result = TypeVar("Result")
TRIES = 20
# what the threads of this process may do one after another only, by name
ALONE: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
# what this thread is alone in already
INSIDE = threading.local()
# what a table replaced stays readable so long: by who opened it before, and by who asks what changed since
KEEP_HOURS = 168
ARROW_TYPES = {
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "binary": pa.binary(),
}
NESTED = re.compile(r"(?P<kind>decimal|array|map|struct)[<(](?P<inner>.*)[>)]", re.IGNORECASE)
# what this writer keeps of a table's promises; one that makes others is Spark's
WRITTEN = {"appendOnly", "invariants", "changeDataFeed"}
LEGACY_WRITER = 4


class OvertakenError(ThroughlineError):
    """Somebody committed since the table was read; try again."""

    exit_code = 4


@contextlib.contextmanager
def told(name: str, folder: str) -> Iterator[None]:
    """What a disk or a damaged file does to the work of the block on a table ends in a sentence about that table."""
    try:
        yield
    except ThroughlineError:
        raise
    except Exception as error:
        trouble = of_trouble(error, name, folder)
        if trouble is None:
            raise
        raise trouble from error


def arrow_type(spark_type: str) -> pa.DataType:
    """The Arrow type of a contract's Spark type. Raises KeyError where there is none."""
    found = NESTED.fullmatch(spark_type.strip())
    if found is None:
        return ARROW_TYPES[spark_type.strip().lower()]
    parts = _parts_of(found["inner"])
    match found["kind"].lower():
        case "decimal":
            return pa.decimal128(*map(int, parts))
        case "array":
            return pa.list_(pa.field("element", arrow_type(*parts)))
        case "map":
            return pa.map_(*map(arrow_type, parts))
    return pa.struct([(name.strip(), arrow_type(kind)) for name, _, kind in (part.partition(":") for part in parts)])


def _parts_of(inner: str) -> list[str]:
    """What stands between the commas of a nested type, of its own level alone."""
    parts, depth = [""], 0
    for letter in inner:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def arrow_schema(contract: Table) -> pa.Schema:
    """The contract's columns."""
    return pa.schema([pa.field(c.name, arrow_type(c.type), nullable=c.nullable) for c in contract.columns])


def table_uri(lake: Path | str, name: str) -> str:
    """Where the table lies; s3a:// is Hadoop's word for what delta-rs calls s3://."""
    return f"{str(lake).replace('s3a://', 's3://')}/{place_of(name)}"


def open_table(lake: Path | str, name: str) -> DeltaTable | None:
    """The Delta table, or None when there is none yet."""
    uri = table_uri(lake, name)
    with told(name, uri):
        return DeltaTable(uri) if DeltaTable.is_deltatable(uri) else None


def names_aside(lake: Path | str) -> list[str]:
    """The tables that may have rows in quarantine: a local lake is searched; of one on an object store, every declared table may."""
    suffix, local = "__quarantine", Path(lake)
    found = (f"{path.parent.name}.{path.name.removesuffix(suffix)}" for path in local.glob(f"*/*{suffix}"))
    return sorted(found) if local.is_dir() else list(table_names())


def query(found: DeltaTable, sql: str = "select * from rows") -> pa.Table:
    """What a SQL query over an opened table (named `rows`, at the version it was opened at) returns.

    Not through deltalake's Arrow datasets, whose reading threads hold Python objects: a process that ends meanwhile aborts.
    Not through Polars either, which does not find a table whose path has a space.
    """
    folder = unquote(found.table_uri.removeprefix("file://").rstrip("/"))
    with told(".".join(folder.split("/")[-2:]), folder):
        return pa.table(QueryBuilder().register("rows", found).execute(sql).read_all())


def read_arrow(lake: Path | str, name: str) -> pa.Table:
    """All rows with exactly the contract's columns; what the table lacks is null, a table that is not there has no rows."""
    return rows_as_declared(open_table(lake, name), table(name))


def rows_as_declared(found: DeltaTable | None, contract: Table) -> pa.Table:
    """The rows of an opened table, as its contract types them."""
    schema = pa.schema([pa.field(f.name, f.type) for f in arrow_schema(contract)])
    if found is None:
        return schema.empty_table()
    wanted = set(schema.names)
    present = [f.name for f in found.schema().fields if f.name in wanted]
    named = ", ".join(f'"{name}"' for name in present)
    rows = query(found, f"select {named} from rows")
    columns = [rows[f.name].cast(f.type) if f.name in present else pa.nulls(rows.num_rows, f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def sources_in(lake: Path | str, name: str) -> set[str]:
    """The values of the partition column `source` that a table holds."""
    found = open_table(lake, name)
    return {p["source"] for p in found.partitions()} if found is not None else set()


def create_table(lake: Path | str, contract: Table, properties: Mapping[str, str]) -> None:
    """The table, empty; one that another machine makes at this moment stays."""
    with told(contract.name, table_uri(lake, contract.name)):
        DeltaTable.create(
            table_uri(lake, contract.name),
            arrow_schema(contract),
            mode="ignore",
            partition_by=list(contract.write.partition_by),
            configuration=dict(properties),
        )


def is_written_here(found: DeltaTable) -> bool:
    """Whether this writer keeps all that the table asks of its writers."""
    protocol = found.protocol()
    return set(protocol.writer_features or ()) <= WRITTEN if protocol.writer_features else protocol.min_writer_version <= LEGACY_WRITER


def is_read_here(found: DeltaTable) -> bool:
    """Whether this reader gives all values of a table as they are: an instant as INT96, by Spark's default, overflows beyond the year 2262."""
    for uri in found.file_uris():
        with contextlib.suppress(OSError, pa.ArrowException):
            schema = pq.read_metadata(unquote(uri.removeprefix("file://"))).schema
            if any(schema.column(place).physical_type == "INT96" for place in range(len(schema))):
                return False
    return True


def append_table(lake: Path | str, contract: Table, rows: pa.Table, app: str, number: int, said: str) -> bool:
    """Rows with the contract's columns as one commit, which says so much of itself; unless `app` made one of this number, or of a later one,
    before: False."""
    schema = arrow_schema(contract)
    rows = pa.Table.from_arrays([rows[f.name].cast(f.type) for f in schema], schema=schema)

    def attempt() -> bool:
        found = DeltaTable(table_uri(lake, contract.name))
        last = found.transaction_version(app)
        if last is not None and last >= number:
            return False
        commit = CommitProperties({"userMetadata": said}, max_commit_retries=0, app_transactions=[Transaction(app, number)])
        try:
            write_deltalake(found, rows, mode="append", commit_properties=commit)
        except CommitFailedError as error:
            raise OvertakenError(f"{contract.name}: other runs were always quicker; try again") from error
        return True

    with told(contract.name, table_uri(lake, contract.name)):
        return until_first(attempt)


@contextlib.contextmanager
def _noted(inside: set[str], folder: str) -> Iterator[None]:
    inside.add(folder)
    try:
        yield
    finally:
        inside.discard(folder)


@contextlib.contextmanager
def alone(lake: Path | str, name: str) -> Iterator[None]:
    """No other thread, and on a local lake no other process of this machine, is in such a block of the table meanwhile."""
    folder = table_uri(lake, name)
    inside: set[str] = vars(INSIDE).setdefault("folders", set())
    if folder in inside:
        yield
        return
    with ALONE[folder], _noted(inside, folder):
        if "://" in folder:
            yield
            return
        made(Path(lake))
        Path(folder).mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
        try:
            # some network file systems lock no folders; there the table's own commits decide
            with contextlib.suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_EX)
            yield
        finally:
            os.close(held)


def opened(lake: Path | str, contract: Table) -> DeltaTable:
    """The table, made when it is not there; of several that make it at once one does, and all get it."""
    found = open_table(lake, contract.name)
    if found is not None:
        return found
    with told(contract.name, table_uri(lake, contract.name)), alone(lake, contract.name):
        try:
            return DeltaTable.create(table_uri(lake, contract.name), arrow_schema(contract), mode="ignore")
        except DeltaError:
            # another machine was quicker
            found = open_table(lake, contract.name)
            if found is None:
                raise
            return found


def append_rows(found: DeltaTable, contract: Table, rows: Sequence[tuple[Any, ...]], unless_overtaken: bool = False) -> None:
    """A few rows, in the contract's column order, as one commit.

    unless_overtaken: only as the very next version of the table as it was opened; raises OvertakenError when another was quicker.
    """
    _write(found, contract, rows, "append", unless_overtaken)


def until_first(attempt: Callable[[], Result]) -> Result:
    """What the attempt returns, made anew whenever another run was quicker. Raises OvertakenError if others always are."""
    for left in reversed(range(TRIES)):
        try:
            return attempt()
        except OvertakenError:
            if not left:
                raise
            time.sleep(random.uniform(0.05, 0.4))
    raise AssertionError("no try was made")


def overwrite_rows(found: DeltaTable, contract: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """The whole table anew, only as the very next version of it as it was opened; raises OvertakenError when another was quicker."""
    _write(found, contract, rows, "overwrite", True)


def _write(
    found: DeltaTable, contract: Table, rows: Sequence[tuple[Any, ...]], mode: Literal["append", "overwrite"], unless_overtaken: bool
) -> None:
    schema = arrow_schema(contract)
    columns = {f.name: pa.array([r[i] for r in rows], f.type) for i, f in enumerate(schema)}
    commit = CommitProperties(max_commit_retries=0) if unless_overtaken else None
    # columns that the contract got after the table was made
    is_wider = bool(set(schema.names) - {f.name for f in found.schema().fields})
    with told(contract.name, unquote(found.table_uri.removeprefix("file://").rstrip("/"))):
        try:
            write_deltalake(
                found, pa.table(columns, schema=schema), mode=mode, schema_mode="merge" if is_wider else None, commit_properties=commit
            )
        except CommitFailedError as error:
            if unless_overtaken:
                raise OvertakenError(f"{contract.name}: other runs were always quicker; try again") from error
            raise

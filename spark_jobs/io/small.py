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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

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
}


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
    """The Arrow type of a contract's simple Spark type. Raises KeyError on nested types, which gold and ops tables never have."""
    decimal = re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", spark_type.lower())
    return pa.decimal128(int(decimal[1]), int(decimal[2])) if decimal else ARROW_TYPES[spark_type.lower()]


def arrow_schema(contract: Table) -> pa.Schema:
    """The contract's columns."""
    return pa.schema([pa.field(c.name, arrow_type(c.type), nullable=c.nullable) for c in contract.columns])


def table_uri(lake: Path | str, name: str) -> str:
    """Where the table lies; s3a:// is Hadoop's word for what delta-rs calls s3://."""
    return f"{str(lake).replace('s3a://', 's3://')}/{name.replace('.', '/')}"


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

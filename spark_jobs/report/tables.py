"""Reading the lake without Spark: Delta tables as Arrow, in the shape of their contracts.

The report and `status` start in a second because of this: no JVM. A table that is not there yet is empty, not an error.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from conf.tables import Table, table

ARROW_TYPES = {
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
}


def arrow_type(spark_type: str) -> pa.DataType:
    """The Arrow type of a contract's simple Spark type. Raises KeyError on nested types, which gold and ops tables never have."""
    decimal = re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", spark_type.lower())
    return pa.decimal128(int(decimal[1]), int(decimal[2])) if decimal else ARROW_TYPES[spark_type.lower()]


def table_uri(lake: Path | str, name: str) -> str:
    """Where the table lies; s3a:// is Hadoop's word for what delta-rs calls s3://."""
    return f"{str(lake).replace('s3a://', 's3://')}/{name.replace('.', '/')}"


def open_table(lake: Path | str, name: str) -> DeltaTable | None:
    """The Delta table, or None when there is none yet."""
    uri = table_uri(lake, name)
    return DeltaTable(uri) if DeltaTable.is_deltatable(uri) else None


def read_arrow(lake: Path | str, name: str) -> pa.Table:
    """All rows with exactly the contract's columns; what the table lacks is null, a table that is not there has no rows."""
    contract: Table = table(name)
    schema = pa.schema([(c.name, arrow_type(c.type)) for c in contract.columns])
    found = open_table(lake, name)
    if found is None:
        return schema.empty_table()
    wanted = set(schema.names)
    present = [f.name for f in found.schema().fields if f.name in wanted]
    rows = found.to_pyarrow_table(columns=present)
    columns = [rows[f.name].cast(f.type) if f.name in present else pa.nulls(rows.num_rows, f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def without_zone(rows: pa.Table) -> pa.Table:
    """The rows with UTC instants as plain ones: DuckDB needs an extension for any with a zone."""
    plain = [pa.field(f.name, pa.timestamp("us")) if pa.types.is_timestamp(f.type) else f for f in rows.schema]
    return rows.cast(pa.schema(plain))


def connect(lake: Path | str, names: list[str]) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that knows the tables as gold_people, ops_runs and so on; its instants are UTC."""
    connection = duckdb.connect()
    for name in names:
        connection.register(name.replace(".", "_"), without_zone(read_arrow(lake, name)))
    return connection


def records(connection: duckdb.DuckDBPyConnection, query: str, values: object = None) -> list[dict[str, Any]]:
    """The query's rows as dicts; instants are aware, in UTC."""
    result = connection.execute(query, values)
    names = [d[0] for d in result.description]
    return [dict(zip(names, (v.replace(tzinfo=dt.UTC) if isinstance(v, dt.datetime) else v for v in row))) for row in result.fetchall()]

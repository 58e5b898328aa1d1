"""Queries over the lake without Spark: Delta tables in DuckDB, in the shape of their contracts.

The report and `status` start in a second because of this: no JVM. A table that is not there yet is empty, not an error.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from spark_jobs.io.small import read_arrow


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

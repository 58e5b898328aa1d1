"""Every gold table reads the same through Spark, delta-rs, Polars and DuckDB."""

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable
from duckdb_extensions import import_extension

from conf.tables import table, table_names
from spark_jobs.io.small import query

GOLD = [n for n in table_names() if n.startswith("gold.")]


@pytest.fixture(scope="module")
def duck():
    import_extension("delta")
    connection = duckdb.connect()
    connection.execute("LOAD delta; SET TimeZone='UTC'")
    return connection


def comparable(rows):
    return sorted(tuple(str(v) for v in row) for row in rows)


@pytest.mark.parametrize("name", GOLD)
def test_four_engines_read_the_same_rows(built, duck, name):
    lake, _ = built
    columns = [
        c.name for c in table(name).columns if c.type in ("string", "bigint", "int", "date", "boolean") or c.type.startswith("decimal")
    ]
    path = lake.path(name)
    by_spark = comparable(lake.read(name).select(*columns).collect())
    assert by_spark
    opened = DeltaTable(path)
    assert opened.protocol().min_reader_version == 1
    assert comparable(tuple(r.values()) for r in query(opened).select(columns).to_pylist()) == by_spark
    assert comparable(pl.read_delta(path).select(columns).iter_rows()) == by_spark
    assert comparable(duck.execute(f"select {', '.join(columns)} from delta_scan('{path}')").fetchall()) == by_spark

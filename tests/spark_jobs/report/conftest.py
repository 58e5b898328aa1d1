"""A small lake of gold and ops tables, written without Spark."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf.tables import table
from spark_jobs.io.small import arrow_type


@pytest.fixture
def lake(tmp_path):
    """An empty lake."""
    root = tmp_path / "lake"
    root.mkdir()
    return root


@pytest.fixture
def write(lake):
    """write(name, rows): the rows as the table `name`, typed by its contract; columns a row does not name are null."""

    def write_rows(name: str, rows: list[dict]) -> Path:
        schema = pa.schema([(c.name, arrow_type(c.type)) for c in table(name).columns])
        path = lake / name.replace(".", "/")
        write_deltalake(str(path), pa.Table.from_pylist(rows, schema=schema), mode="append")
        return path

    return write_rows


@pytest.fixture
def set_aside(lake):
    """set_aside(name, rows): the rows as the quarantine of the table `name`."""

    def write_rows(name: str, rows: list[dict]) -> None:
        schema = pa.schema(
            [
                ("quarantine_id", pa.string()),
                ("source", pa.string()),
                ("payload", pa.string()),
                ("_reason", pa.string()),
                ("_quarantined_at", pa.timestamp("us", tz="UTC")),
                ("_status", pa.string()),
            ]
        )
        write_deltalake(str(lake / (name.replace(".", "/") + "__quarantine")), pa.Table.from_pylist(rows, schema=schema), mode="append")

    return write_rows

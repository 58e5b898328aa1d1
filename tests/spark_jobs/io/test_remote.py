"""A lake that is named by an address, as one in an object store is, not by a path."""

import datetime as dt

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from typer.testing import CliRunner

from conf.tables import table
from spark_jobs.__main__ import app
from spark_jobs.io import small
from spark_jobs.io.lake import Lake
from spark_jobs.io.small import arrow_type, names_aside, table_uri

PEOPLE = "gold.people"


def test_a_table_that_is_not_there_yet_is_found_absent_and_then_made(spark, tmp_path):
    lake = Lake(spark, f"file://{tmp_path}/lake")
    assert not lake.is_local and lake.version(PEOPLE) == -1 and lake.read(PEOPLE).count() == 0
    assert lake.create(table(PEOPLE)) and lake.version(PEOPLE) >= 0
    assert not lake.create(table(PEOPLE))


@pytest.fixture
def address(home, monkeypatch):
    """The address of a lake with a person and a row in quarantine; what lies at it is in a folder."""
    root = "s3a://bucket/lake"
    # an address that went through a path has lost a slash, and leads nowhere
    monkeypatch.setattr(small, "table_uri", lambda lake, name: table_uri(str(lake).replace(root, f"{home}/there"), name))
    schema = pa.schema([(c.name, arrow_type(c.type)) for c in table(PEOPLE).columns])
    write_deltalake(small.table_uri(root, PEOPLE), pa.Table.from_pylist([{"person_id": "p1"}], schema=schema))
    aside = {
        "quarantine_id": "q1",
        "source": "shop",
        "_reason": "malformed_json",
        "_status": "open",
        "_file": "f",
        "_line": 1,
        "_payload": "{",
    }
    aside["_quarantined_at"] = dt.datetime(2026, 3, 31, tzinfo=dt.UTC)
    write_deltalake(small.table_uri(root, "silver.events__quarantine"), pa.Table.from_pylist([aside]))
    return root


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("quarantine", "list"), "malformed_json"),
        (("quarantine", "list", "silver.events"), "malformed_json"),
        (("explain", "table", PEOPLE), "data s3a://bucket/lake/gold/people"),
        (("report",), "report.html"),
    ],
)
def test_what_reads_without_spark_reads_a_lake_at_an_address(address, home, words, said):
    done = CliRunner(env={"COLUMNS": "300"}).invoke(app, [*words, "--lake", address], catch_exceptions=False)
    assert done.exit_code == 0 and said in done.output
    assert "s3a:/bucket" not in done.output


def test_in_an_object_store_every_declared_table_may_have_rows_aside(tmp_path):
    assert "silver.events" in names_aside("s3a://bucket/lake")
    (tmp_path / "silver" / "orders__quarantine").mkdir(parents=True)
    assert names_aside(tmp_path) == ["silver.orders"]

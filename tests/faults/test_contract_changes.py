"""A contract that lost a column or changed a type: told before anything is written, and a stored table follows it where no value is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conf.tables import Field, Table, Write
from spark_jobs.engine import differences as differing
from spark_jobs.engine.differences import differences, refuse_changed
from spark_jobs.errors import ContractChangedError
from spark_jobs.io.lake import Lake
from spark_jobs.io.publish import Fence, publish
from spark_jobs.io.small import open_table
from spark_jobs.ops import migrate as migrating
from spark_jobs.ops.migrate import migrate

NAME = "silver.parcels"
COLUMNS = (
    Field("source", "string", nullable=False),
    Field("parcel_id", "string", nullable=False),
    Field("day", "date", nullable=False),
    Field("weight", "decimal(18,3)"),
    Field("note", "string"),
    Field("marks", "ARRAY<STRUCT<name: STRING, at: TIMESTAMP>>"),
)
STORED = Table(NAME, "one parcel", ("parcel_id",), COLUMNS, Write("merge", "day", partition_by=("source",), cluster_by=("day",)))
ROWS = [("a", "p1", "2026-03-01", "1.250", "n1"), ("b", "p2", "2026-03-02", None, None), ("b", "p3", "2026-03-02", "7.000", "n3")]


def without(contract, *names):
    return replace(contract, columns=tuple(c for c in contract.columns if c.name not in names))


def retyped(contract, name, kind):
    return replace(contract, columns=tuple(replace(c, type=kind) if c.name == name else c for c in contract.columns))


@pytest.fixture(params=[("source",), ()], ids=["partitioned", "clustered"])
def stored(request, spark, tmp_path, monkeypatch):
    """(lake, declare): a stored table, and what makes another contract the declared one."""
    lake = Lake(spark, str(tmp_path))
    contract = replace(STORED, write=replace(STORED.write, partition_by=request.param))
    values = "values " + ", ".join(f"({', '.join('null' if v is None else repr(v) for v in row)})" for row in ROWS)
    rows = spark.sql(f"select * from {values} as t(source, parcel_id, day, weight, note)")
    kinds = {c.name: c.type for c in COLUMNS}
    rows = rows.selectExpr(*(f"cast({c} as {kinds[c]}) as {c}" for c in rows.columns), f"cast(null as {kinds['marks']}) as marks")
    publish(lake, rows, 3, contract, None, None, Fence(f"{NAME}/a", 7, "r1"))

    def declare(changed):
        changed = replace(changed, write=contract.write)
        for module in (differing, migrating):
            monkeypatch.setattr(module, "table", lambda _: changed)
        monkeypatch.setattr(migrating, "table_names", lambda: (NAME,))
        return changed

    return lake, declare


def rows_of(lake, *columns):
    return sorted(map(tuple, lake.spark.read.format("delta").load(lake.path(NAME)).select(*columns).collect()), key=str)


def test_a_table_made_by_its_contract_differs_in_nothing(stored):
    lake, declare = stored
    assert differences(lake.root, declare(STORED)) == []
    refuse_changed(lake.root, [NAME])
    assert migrate(lake, "", "test", dry_run=False) == [] and lake.version(NAME) == 1


def test_a_new_column_stops_nobody(stored):
    lake, declare = stored
    wider = declare(replace(STORED, columns=(*COLUMNS, Field("colour", "string"))))
    refuse_changed(lake.root, [NAME])
    assert [str(one) for one in differences(lake.root, wider)] == ["colour (string) is new"]


def test_every_column_that_went_or_changed_is_named_in_one_sentence_and_nothing_is_written(stored):
    lake, declare = stored
    declare(retyped(without(STORED, "note"), "weight", "double"))
    with pytest.raises(ContractChangedError) as told:
        refuse_changed(lake.root, [NAME])
    said = str(told.value)
    assert "note (string) is stored and no longer declared" in said
    assert "weight is stored as decimal(18,3) and declared as double" in said and "python -m spark_jobs migrate silver.parcels" in said
    assert lake.version(NAME) == 1


def test_migrate_writes_the_table_by_its_contract_once_and_keeps_layout_rules_and_rows(stored, capsys):
    lake, declare = stored
    before = open_table(lake.root, NAME)
    changed = declare(retyped(without(STORED, "note"), "weight", "decimal(28,4)"))
    assert len(migrate(lake, NAME, "test", dry_run=True)) == 2 and lake.version(NAME) == 1
    migrate(lake, NAME, "test", dry_run=False)
    assert "written again by its contract" in capsys.readouterr().out
    after = open_table(lake.root, NAME)
    assert differences(lake.root, changed) == [] and migrate(lake, NAME, "test", dry_run=False) == []
    assert after.version() == before.version() + 1
    assert after.metadata().partition_columns == before.metadata().partition_columns
    assert after.metadata().configuration == before.metadata().configuration
    assert after.transaction_version(f"{NAME}/a") == before.transaction_version(f"{NAME}/a")
    clustered = lake.spark.sql(f"DESCRIBE DETAIL {lake.sql_name(NAME)}").first()["clusteringColumns"]
    assert clustered == ([] if changed.write.partition_by else ["day"])
    assert [(r[0], str(r[1])) for r in rows_of(lake, "parcel_id", "weight")] == [("p1", "1.2500"), ("p2", "None"), ("p3", "7.0000")]


def test_values_that_do_not_fit_are_counted_and_nothing_is_written(stored):
    lake, declare = stored
    declare(retyped(STORED, "weight", "int"))
    with pytest.raises(ContractChangedError, match=r"1 rows of weight do not fit int exactly.*python -m spark_jobs rebuild silver.parcels"):
        migrate(lake, NAME, "test", dry_run=False)
    declare(replace(STORED, columns=tuple(replace(c, nullable=c.name in ("note", "marks")) for c in without(STORED, "marks").columns)))
    with pytest.raises(ContractChangedError, match="1 rows have no weight, which is declared as never null"):
        migrate(lake, NAME, "test", dry_run=False)
    assert lake.version(NAME) == 1 and len(rows_of(lake, "parcel_id")) == 3

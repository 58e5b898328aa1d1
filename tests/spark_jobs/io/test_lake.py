"""Publishing: compare before write, one commit, fenced."""

import datetime as dt
import json
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from conf.tables import Field, Table, Write, table
from spark_jobs.errors import LostClaimError
from spark_jobs.io import changes, publish as into
from spark_jobs.io.lake import Lake
from spark_jobs.io.publish import Fence
from spark_jobs.io.ranges import Range

JAN_1, JAN_2 = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
BOTH = Range(JAN_1, JAN_2)
COLUMNS = (
    Field("source", "string", False),
    Field("id", "int", False),
    Field("day", "date", False),
    Field("seen", "int"),
    Field("ingested_at", "string"),
)
DDL = "source STRING, id INT, day DATE, seen INT, ingested_at STRING"


def contract(mode="replace", date="day", dedupe=None, partition=("source",)):
    return Table("silver.visits", "one visit", ("source", "id"), COLUMNS, Write(mode, date, partition, (), dedupe))


@pytest.fixture
def lake(spark, tmp_path):
    return Lake(spark, str(tmp_path / "lake"))


def publish(lake, rows, table, generation=1, run_id="r1", source="a", days=BOTH, among=None):
    batch = lake.spark.createDataFrame(rows, DDL)
    keys = None if among is None else lambda rows: rows.where(F.col("seen").isin(among))
    return into.publish(
        lake, batch.select(*table.column_names), len(rows), table, source, days, Fence("visits/a", generation, run_id), keys
    )


def stored(lake):
    return sorted((r.id, str(r.day), r.seen) for r in lake.rows(contract()).collect())


def test_the_same_rows_again_make_no_new_version(lake):
    rows = [("a", 1, JAN_1, 5, "x"), ("a", 2, JAN_2, 6, "x")]
    assert publish(lake, rows, contract()).wrote
    version = lake.version("silver.visits")
    again = publish(lake, [(*r[:4], "stored later") for r in reversed(rows)], contract(), generation=2)
    assert (again.wrote, again.unchanged, lake.version("silver.visits")) == (False, 2, version)


def test_only_the_day_that_differs_is_rewritten_and_a_vanished_row_goes(lake):
    publish(lake, [("a", 1, JAN_1, 5, "x"), ("a", 2, JAN_2, 6, "x"), ("a", 3, JAN_2, 7, "x")], contract())
    done = publish(lake, [("a", 1, JAN_1, 5, "x"), ("a", 2, JAN_2, 60, "x")], contract(), generation=2)
    assert (done.changed, done.unchanged) == (1, 1)
    assert stored(lake) == [(1, "2026-01-01", 5), (2, "2026-01-02", 60)]


def test_another_source_is_left_alone(lake):
    publish(lake, [("a", 1, JAN_1, 5, "x")], contract())
    publish(lake, [("b", 9, JAN_1, 1, "x")], contract(), source="b", run_id="r2", generation=2)
    assert stored(lake) == [(1, "2026-01-01", 5), (9, "2026-01-01", 1)]


def test_a_range_leaves_the_days_outside_it(lake):
    publish(lake, [("a", 1, JAN_1, 5, "x"), ("a", 2, JAN_2, 6, "x")], contract())
    publish(lake, [], contract(), days=Range(JAN_2, JAN_2), generation=2)
    assert stored(lake) == [(1, "2026-01-01", 5)]


def test_a_range_with_gaps_leaves_the_days_in_them(lake):
    days = [dt.date(2026, 1, day) for day in range(1, 6)]
    publish(lake, [("a", day.day, day, 5, "x") for day in days], contract(), days=Range.of(days))
    done = publish(
        lake, [("a", 1, days[0], 6, "x"), ("a", 5, days[4], 5, "x")], contract(), days=Range.of([days[0], days[2], days[4]]), generation=2
    )
    assert (done.changed, done.unchanged) == (1, 1)
    assert stored(lake) == [(1, "2026-01-01", 6), (2, "2026-01-02", 5), (4, "2026-01-04", 5), (5, "2026-01-05", 5)]


def test_among_some_values_rows_come_change_and_go_and_all_others_stay(lake):
    one = contract(partition=())
    publish(lake, [("a", 1, JAN_1, 5, "x"), ("a", 2, JAN_1, 6, "x"), ("a", 3, JAN_2, 6, "x"), ("a", 4, JAN_2, 7, "x")], one)
    done = publish(lake, [("a", 2, JAN_1, 6, "y"), ("a", 5, JAN_2, 6, "x")], one, generation=2, among=[6])
    assert (done.changed, done.unchanged, done.wrote) == (2, 1, True)
    assert stored(lake) == [(1, "2026-01-01", 5), (2, "2026-01-01", 6), (4, "2026-01-02", 7), (5, "2026-01-02", 6)]
    version = lake.version("silver.visits")
    again = publish(lake, [("a", 5, JAN_2, 6, "z"), ("a", 2, JAN_1, 6, "z")], one, generation=3, among=[6])
    assert (again.wrote, again.unchanged, lake.version("silver.visits")) == (False, 2, version)
    publish(lake, [], one, generation=4, days=Range(JAN_2, JAN_2), among=[6, 7])
    assert stored(lake) == [(1, "2026-01-01", 5), (2, "2026-01-01", 6)]


def test_what_changed_is_net_of_what_was_written_again_as_it_was(lake, monkeypatch):
    monkeypatch.setattr("spark_jobs.io.changes.table", lambda _: contract())
    publish(lake, [("a", 1, JAN_1, 5, "x"), ("a", 2, JAN_1, 6, "x")], contract())
    publish(lake, [("b", 9, JAN_1, 1, "x")], contract(), generation=2, source="b")
    since = lake.version("silver.visits")
    publish(lake, [("a", 1, JAN_1, 5, "y"), ("a", 2, JAN_1, 60, "y"), ("a", 3, JAN_1, 7, "y")], contract(), generation=3)
    publish(lake, [("b", 9, JAN_1, 2, "x")], contract(), generation=4, source="b")

    def changed(**options):
        return sorted(r["seen"] for r in changes.changed(lake, "silver.visits", since, F.col("seen"), **options).collect())

    assert changed() == [1, 2, 6, 7, 60]
    assert changed(source="a") == [6, 7, 60]
    assert changed(source="a", only_lost=True) == [6]
    assert (changes.changed_days(lake, "silver.visits", since, "b"), changes.changed_days(lake, "silver.visits", since, "c")) == (
        [JAN_1],
        [],
    )
    since = lake.version("silver.visits")
    added = lake.spark.createDataFrame([("a", 4, JAN_1, 70, "y"), ("a", 5, JAN_1, 70, "y")], DDL)
    into.append(lake, added, contract(), 2, Fence("visits/a", 5, "r1"))
    assert (changed(), changed(source="b"), changed(only_lost=True)) == ([70], [], [])


def test_what_maintenance_may_have_removed_is_not_remembered(lake):
    publish(lake, [("a", 1, JAN_1, 5, "x")], contract())
    since = lake.version("silver.visits")
    publish(lake, [("a", 1, JAN_1, 6, "x")], contract(), generation=2)
    now = dt.datetime.now(dt.UTC)
    assert [changes.remembers(lake, "silver.visits", since, now + dt.timedelta(days=days)) for days in (0, 5, 7)] == [True, True, False]
    Path(lake.path("silver.visits"), "_delta_log", f"{since + 1:020d}.json").unlink()
    assert not changes.remembers(lake, "silver.visits", since, now)


def test_merge_inserts_updates_and_counts_what_was_there(lake):
    merging = contract("merge")
    publish(lake, [("a", 1, JAN_1, 5, "x"), ("a", 2, JAN_1, 6, "x")], merging)
    done = publish(lake, [("a", 1, JAN_1, 5, "y"), ("a", 2, JAN_1, 7, "y"), ("a", 3, JAN_2, 8, "y")], merging, generation=2)
    assert (done.unchanged, done.changed) == (1, 2)
    assert stored(lake) == [(1, "2026-01-01", 5), (2, "2026-01-01", 7), (3, "2026-01-02", 8)]
    version = lake.version("silver.visits")
    assert not publish(lake, [("a", 2, JAN_1, 7, "z")], merging, generation=3).wrote
    assert lake.version("silver.visits") == version


def test_of_two_copies_the_first_stays_in_whatever_order_they_come(lake):
    merging = contract("merge", dedupe={"keep": "first", "by": ("seen",)})
    publish(lake, [("a", 1, JAN_1, 5, "x")], merging)
    later = publish(lake, [("a", 1, JAN_1, 9, "x")], merging, generation=2)
    assert (later.wrote, later.outranked) == (False, 1)
    publish(lake, [("a", 1, JAN_1, 3, "x")], merging, generation=3)
    assert stored(lake) == [(1, "2026-01-01", 3)]


def test_a_zombie_with_an_older_claim_writes_nothing_and_is_told(lake):
    publish(lake, [("a", 1, JAN_1, 5, "x")], contract(), generation=7)
    with pytest.raises(LostClaimError, match="newer run"):
        publish(lake, [("a", 1, JAN_1, 99, "x")], contract(), generation=6, run_id="zombie")
    assert stored(lake) == [(1, "2026-01-01", 5)]


def test_an_input_written_by_another_tool_is_read_as_the_contract_types_it(lake):
    deltalake = pytest.importorskip("deltalake")
    import pyarrow as pa

    columns = {"source": ["a"], "id": pa.array([1], pa.int64()), "day": [JAN_1], "note": ["ignored"]}
    deltalake.write_deltalake(lake.path("silver.visits"), pa.table(columns))
    row = lake.rows(contract()).first()
    assert row.asDict() == {"source": "a", "id": 1, "day": JAN_1, "seen": None, "ingested_at": None}


def test_a_write_measures_only_the_columns_that_readers_skip_by(lake):
    publish(lake, [("a", 1, JAN_1, 5, "x")], contract())
    log = (Path(lake.path("silver.visits")) / "_delta_log" / "00000000000000000001.json").read_text(encoding="utf-8")
    stats = next(json.loads(json.loads(line)["add"]["stats"]) for line in log.splitlines() if '"add"' in line)
    assert (stats["numRecords"], list(stats["minValues"])) == (1, ["day"])


def test_a_table_that_another_tool_wrote_in_one_commit_is_compared_with(lake):
    publish(lake, [("a", 1, JAN_1, 5, "x")], contract())
    copied = Table("silver.copied", "one visit", ("source", "id"), COLUMNS, Write("replace", "day", ("source",), (), None))
    lake.rows(contract()).write.format("delta").partitionBy("source").save(lake.path("silver.copied"))
    done = publish(lake, [("a", 1, JAN_1, 5, "x")], copied)
    assert (done.wrote, done.unchanged) == (False, 1)


def test_a_column_that_the_contract_got_since_is_added(lake):
    publish(
        lake,
        [("a", 1, JAN_1, 5, "x")],
        Table("silver.visits", "one visit", ("source", "id"), COLUMNS[:3], Write("replace", "day", ("source",))),
    )
    assert publish(lake, [("a", 1, JAN_1, 5, "x"), ("a", 2, JAN_1, 6, "x")], contract(), generation=2).wrote
    assert stored(lake) == [(1, "2026-01-01", 5), (2, "2026-01-01", 6)]


def test_a_row_that_moves_to_another_day_is_there_once(lake):
    merge = contract(mode="merge", dedupe={"keep": "last", "by": ["seen"]})
    publish(lake, [("a", 1, JAN_1, 5, "x"), ("a", 2, JAN_1, 5, "x")], merge)
    publish(lake, [("a", 1, JAN_2, 6, "x")], merge, generation=2)
    assert stored(lake) == [(1, "2026-01-02", 6), (2, "2026-01-01", 5)]


def test_a_value_that_moves_to_another_column_is_a_change(spark, tmp_path):
    columns = (*COLUMNS[:3], Field("first", "string"), Field("last", "string"))
    table = Table(
        "silver.visits", "one visit", ("source", "id"), columns, Write("merge", "day", ("source",), (), {"keep": "last", "by": []})
    )
    lake = Lake(spark, str(tmp_path / "lake"))
    for generation, row in enumerate([("a", 1, JAN_1, "ann", None), ("a", 1, JAN_1, None, "ann")], start=1):
        batch = spark.createDataFrame([row], "source STRING, id INT, day DATE, first STRING, last STRING")
        assert into.publish(lake, batch, 1, table, "a", BOTH, Fence("visits/a", generation, f"r{generation}")).wrote
    assert [tuple(r)[3:] for r in lake.rows(table).collect()] == [(None, "ann")]


@pytest.mark.parametrize("kind", ["INT96", "TIMESTAMP_MICROS"])
def test_an_instant_of_the_year_9999_is_read_as_it_was_written_by_whomever(spark, tmp_path, kind):
    lake = Lake(spark, str(tmp_path))
    chosen = spark.conf.get("spark.sql.parquet.outputTimestampType")
    spark.conf.set("spark.sql.parquet.outputTimestampType", kind)
    try:
        spark.sql("select timestamp'9999-12-31 00:00:00' as at").write.format("delta").save(lake.path("silver.any"))
    finally:
        spark.conf.set("spark.sql.parquet.outputTimestampType", chosen)
    assert lake.is_few and lake.stored("silver.any").select(F.year("at")).first()[0] == 9999


def test_a_table_without_rows_is_read_whatever_its_types(spark, tmp_path):
    contract, lake = table("silver.events"), Lake(spark, str(tmp_path))
    lake.create(contract)
    assert lake.is_few and lake.read(contract.name).collect() == []
    assert lake.stored(contract.name).schema == spark.createDataFrame([], contract.schema).schema

"""ops.schema_changes: counted once per delivered slice, whatever is run again."""

import datetime as dt

import pytest

from spark_jobs.engine.schema_changes import Change, changes_in, record_changes
from spark_jobs.io.small import open_table, read_arrow

EVENTS = "source STRING, event_name STRING, event_date DATE, _slice_id STRING, _drift ARRAY<STRUCT<path: STRING, kind: STRING, json_type: STRING>>"
ADDED, MISSING = ("/colour", "added", "string"), ("/price", "missing", None)


def day(number):
    return dt.date(2026, 1, number)


def change(slice_id, first, last, rows, run_id="r1", path="/colour"):
    return Change(("site", "product_viewed", path, "added", "string"), slice_id, day(first), day(last), rows, run_id)


@pytest.fixture
def recorded(tmp_path):
    def recorded(*changes):
        record_changes(str(tmp_path), list(changes))
        return read_arrow(str(tmp_path), "ops.schema_changes").to_pylist()

    return recorded


def test_events_are_counted_per_way_and_slice_whatever_their_fate(spark):
    rows = [
        ("site", "product_viewed", day(5), "s1", [ADDED]),
        ("site", "product_viewed", day(3), "s1", [ADDED, MISSING]),
        ("site", "product_viewed", day(6), "s2", [ADDED]),
        ("site", "page_viewed", day(6), "s2", None),
    ]
    found = {(*c.key[2:], c.slice_id): (c.first_seen, c.last_seen, c.rows) for c in changes_in(spark.createDataFrame(rows, EVENTS), "r1")}
    assert found == {
        ("/colour", "added", "string", "s1"): (day(3), day(5), 2),
        ("/price", "missing", "", "s1"): (day(3), day(3), 1),
        ("/colour", "added", "string", "s2"): (day(6), day(6), 1),
    }


def test_rows_without_drift_tell_nothing(spark):
    assert changes_in(spark.createDataFrame([("site",)], "source STRING"), "r1") == []


def test_one_row_per_way_that_adds_up_its_slices(recorded):
    recorded(change("s1", 3, 5, 2))
    [row] = recorded(change("s2", 6, 6, 1, "r2"))
    assert (row["source"], row["event_name"], row["path"], row["kind"], row["json_type"]) == (
        "site",
        "product_viewed",
        "/colour",
        "added",
        "string",
    )
    assert (row["first_seen"], row["last_seen"], row["rows"], row["run_id"]) == (day(3), day(6), 3, "r2")


def test_a_slice_that_is_read_again_counts_once_and_makes_no_version(recorded, tmp_path):
    first = recorded(change("s1", 3, 5, 2), change("s1", 3, 3, 1, path="/size"))
    version = open_table(tmp_path, "ops.schema_changes").version()
    assert recorded(change("s1", 3, 5, 2, "r2")) == first
    assert open_table(tmp_path, "ops.schema_changes").version() == version


def test_a_slice_delivered_anew_replaces_its_part(recorded):
    recorded(change("s1", 3, 5, 2), change("s2", 6, 6, 1))
    [row] = recorded(change("s1", 4, 4, 7, "r2"))
    assert (row["first_seen"], row["last_seen"], row["rows"]) == (day(4), day(6), 8)


def test_any_order_of_runs_leaves_the_same_rows(recorded, tmp_path):
    parts = [change("s1", 3, 5, 2), change("s2", 6, 6, 1), change("s3", 1, 1, 4, path="/size")]
    for one in parts:
        whole = recorded(one)
    record_changes(str(tmp_path / "other"), [*parts[::-1], parts[1]])
    assert read_arrow(str(tmp_path / "other"), "ops.schema_changes").to_pylist() == whole


def test_nothing_to_tell_makes_no_table(tmp_path):
    record_changes(str(tmp_path), [])
    assert open_table(tmp_path, "ops.schema_changes") is None

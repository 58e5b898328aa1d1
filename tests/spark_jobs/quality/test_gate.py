"""Fates of a batch's rows."""

import pytest

from conf.tables import Field, Table, Write
from spark_jobs.quality import gate
from spark_jobs.quality.gate import judge, validate

COLUMNS = (Field("id", "string", False), Field("seen", "int"), Field("row", "int"))
BATCH = "id STRING, seen INT, row INT, _reason STRING, _restated BOOLEAN"


def contract(keep):
    return Table("silver.visits", "one visit", ("id",), COLUMNS, Write("merge", None, (), (), {"by": ["seen"], "keep": keep}))


def fates(spark, rows, keep="first"):
    """(row, fate) of (id, seen, row, reason, is it restated) rows, sorted by row."""
    judged = judge(spark.createDataFrame(rows, BATCH), contract(keep), True, 35)
    assert judged.total == judged.rows.count()
    assert judged.measures["one_row_per_key"] == 0
    return sorted((r["row"], r["_fate"]) for r in judged.rows.collect())


@pytest.mark.parametrize(("keep", "kept"), [("first", 1), ("last", 2)])
def test_of_copies_the_one_that_the_contract_names_stays(spark, keep, kept):
    rows = [("a", 5, 1, None, False), ("a", 6, 2, None, False), ("b", 9, 3, None, False), ("a", 1, 4, "bad", False)]
    assert fates(spark, rows, keep) == [(r, "used" if r == kept else "duplicate") for r in (1, 2)] + [(3, "used"), (4, "quarantined")]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (4, [(1, "used")]),  # earlier than what is stored: it takes its place
        (5, [(1, "used")]),  # the stored record itself, read again
        (6, [(1, "duplicate"), (2, "restated")]),
    ],
)
def test_a_stored_row_that_comes_back_changed_is_there_once(spark, seen, expected):
    assert fates(spark, [("a", seen, 1, None, False), ("a", 5, 2, None, True)]) == expected


def test_a_stored_row_without_a_copy_comes_back(spark):
    assert fates(spark, [("a", 6, 1, None, False), ("b", 5, 2, None, True)]) == [(1, "used"), (2, "restated")]


def test_a_copy_that_the_search_left_stops_the_batch(spark, monkeypatch):
    monkeypatch.setattr(gate, "with_duplicates", lambda rows, contract: (rows.drop("_place"), 1))
    judged = judge(spark.createDataFrame([("a", 5, 1, None, False), ("a", 6, 2, None, False)], BATCH), contract("first"), True, 35)
    (found,) = [c for c in validate(judged, contract("first")) if c.check_id == "one_row_per_key"]
    assert (found.severity, found.passed, found.rows_failed) == ("block", False, 1)


DELIVERED = BATCH + ", _slice_id STRING, _attempt INT, _source_file STRING"


def delivered(spark, rows):
    """(row, fate, reason) of (id, seen, row, slice, attempt, file) rows of a table that keeps the last by nothing that the rows say."""
    table = Table(
        "silver.visits", "one visit", ("id",), COLUMNS, Write("merge", None, (), (), {"by": ["_attempt", "_source_file"], "keep": "last"})
    )
    given = [(key, seen, row, None, False, *rest) for key, seen, row, *rest in rows]
    judged = judge(spark.createDataFrame(given, DELIVERED), table, True, 35)
    assert judged.measures["one_row_per_key"] == 0
    return sorted((r["row"], r["_fate"], r["_reason"]) for r in judged.rows.collect())


def test_rows_of_one_delivery_that_contradict_each_other_are_no_duplicates(spark):
    rows = [("a", 5, 1, "s", 1, "f1"), ("a", 6, 2, "s", 1, "f2"), ("b", 5, 3, "s", 1, "f1"), ("b", 5, 3, "s", 1, "f2")]
    assert delivered(spark, rows) == [
        (1, "quarantined", "contradicts_its_delivery"),
        (2, "used", None),
        (3, "duplicate", None),
        (3, "used", None),
    ]


def test_a_later_delivery_and_a_repaired_record_contradict_nothing(spark):
    rows = [("a", 5, 1, "s", 1, "f"), ("a", 6, 2, "t", 2, "f"), ("b", 5, 3, "s", 1, "/f"), ("b", 6, 4, "s", 1, "replay:q/1")]
    assert [fate for _, fate, _ in delivered(spark, rows)] == ["duplicate", "used", "duplicate", "used"]

"""Tables built at once, each after what it reads, none after an error; and what a part of a table's rows is."""

import datetime as dt
import threading

import pytest
from pyspark.sql import functions as F

from spark_jobs.io.ranges import Range
from spark_jobs.run import AT_ONCE, Part, in_waves

READS = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}


def named(item):
    name = item.split("/")[0]
    return name, READS[name]


def test_an_item_begins_after_every_item_of_the_tables_it_reads():
    begun, ended, lock = [], [], threading.Lock()

    def build(item):
        with lock:
            begun.append(item)
            missing = {p for p in plan if named(p)[0] in named(item)[1]} - set(ended)
        assert not missing
        with lock:
            ended.append(item)

    plan = ["a/x", "a/y", "b", "c", "d", "e"]
    in_waves(plan, named, build)
    assert sorted(ended) == sorted(plan)


def test_tables_that_read_nothing_of_each_other_are_built_together():
    meeting = threading.Barrier(AT_ONCE, timeout=10)
    in_waves(["a/x", "e"], named, lambda item: meeting.wait() and None)
    assert not meeting.broken


def test_after_an_error_what_runs_ends_and_nothing_new_begins():
    begun, ended, failed = [], [], threading.Event()

    def build(item):
        begun.append(item)
        if item == "a":
            failed.set()
            raise ValueError("no a")
        assert failed.wait(10)
        ended.append(item)

    with pytest.raises(ValueError, match="no a"):
        in_waves(["a", "e", "b"], named, build)
    assert (sorted(begun), ended) == (["a", "e"], ["e"])


def test_a_part_is_all_of_the_days_asked_for_and_some_keys_of_some_other_days(spark):
    days = [dt.date(2026, 1, day) for day in range(1, 9)]
    rows = spark.createDataFrame([(key, day) for day in days for key in ("k1", "k2", None)], "key STRING, day DATE")
    keys = spark.createDataFrame([(days[0], "k2"), (days[1], "k2"), (days[5], "k1")], "day DATE, client_key STRING")
    part = Part(Range.of([days[0], days[1], days[5], days[7]]), keys, Range(days[7], days[7]))

    def kept(*around):
        return sorted((r["day"].day, r["key"] or "") for r in part.narrows(rows, F.col("key"), "day", *around).collect())

    assert kept() == [(1, "k2"), (2, "k2"), (6, "k1"), (8, ""), (8, "k1"), (8, "k2")]
    whole = [(day, key) for day in (7, 8) for key in ("", "k1", "k2")]
    assert kept(1, 1) == sorted([*whole, (1, "k2"), (2, "k2"), (3, "k2"), (5, "k1"), (6, "k1")])
    assert Part(part.days).narrows(rows, F.col("key"), "day") is rows

"""What a part of a table's rows is."""

import datetime as dt

from pyspark.sql import functions as F

from spark_jobs.io.ranges import Range
from spark_jobs.parts import Part


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

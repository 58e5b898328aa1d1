"""What a part of a table's rows is."""

import datetime as dt

from pyspark.sql import functions as F

from spark_jobs.engine.parts import Part
from spark_jobs.io.ranges import Range


def test_a_part_is_all_of_the_days_asked_for_and_some_keys_of_some_other_days(spark):
    days = [dt.date(2026, 1, day) for day in range(1, 9)]
    each = [(key, day) for day in days for key in ("k1", "k2", None)]
    rows = spark.createDataFrame([(place, *one) for place, one in enumerate(each)], "place INT, key STRING, day DATE")
    keys = spark.createDataFrame([(days[0], "k2"), (days[1], "k2"), (days[5], "k1")], "day DATE, client_key STRING")
    part = Part(Range.of([days[0], days[1], days[5], days[7]]), keys, Range(days[7], days[7]))

    def said(found):
        return sorted((r["day"].day, r["key"] or "") for r in found.collect())

    def picked(*around):
        found, counted = part.picks(rows, F.col("key"), "day", ["place"], *around)
        assert counted.count() == found.count() and found.columns == rows.columns
        return said(found)

    own = [(1, "k2"), (2, "k2"), (6, "k1"), (8, ""), (8, "k1"), (8, "k2")]
    assert said(part.narrows(rows, F.col("key"), "day")) == picked(0, 0) == own
    whole = [(day, key) for day in (7, 8) for key in ("", "k1", "k2")]
    assert picked(1, 1) == sorted([*whole, (1, "k2"), (2, "k2"), (3, "k2"), (5, "k1"), (6, "k1")])
    assert Part(part.days).narrows(rows, F.col("key"), "day") is rows
    assert Part(part.days).picks(rows, F.col("key"), "day", ["place"], 1, 1) == (rows, rows)

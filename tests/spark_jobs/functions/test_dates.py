"""Corrected clocks and versions: rows in, rows out, both written by hand."""

import datetime as dt

from pyspark.sql import functions as F

from spark_jobs.functions.dates import corrected_at, plausible_at, versions_of

SHAPE = (
    "source STRING, thing_id STRING, valid_from TIMESTAMP, colour STRING, _extracted_at TIMESTAMP, _attempt INT, "
    "_source_file STRING, _source_row BIGINT, _reason STRING"
)


def at(day, hour=0):
    return dt.datetime(2026, 1, day, hour)


def versions(spark, *deliveries):
    rows = [
        ("s", d[0], d[1], d[2], d[3] if len(d) > 3 else at(20), 1, "f", i, d[4] if len(d) > 4 else None) for i, d in enumerate(deliveries)
    ]
    result = versions_of(spark.createDataFrame(rows, SHAPE), ["source", "thing_id"], ["colour"]).orderBy("_source_row").collect()
    return [(row["valid_from"], row["valid_to"]) for row in result]


def test_a_version_ends_where_the_next_begins(spark):
    assert versions(spark, ("a", at(1), "red"), ("a", at(5), "blue"), ("b", at(3), "red")) == [(at(1), at(5)), (at(5), None), (at(3), None)]


def test_deliveries_that_change_nothing_repeat_the_first(spark):
    assert versions(spark, ("a", at(1), "red"), ("a", at(2), "red"), ("a", at(3), "blue"), ("a", at(4), "red")) == [
        (at(1), at(3)), (at(1), at(3)), (at(3), at(4)), (at(4), None),
    ]  # fmt: skip


def test_two_deliveries_of_one_instant_make_no_version_without_length(spark):
    assert versions(spark, ("a", at(1), "red", at(10)), ("a", at(1), "blue", at(11)), ("a", at(2), "blue")) == [(at(1), None)] * 3


def test_without_a_vendor_time_the_extraction_counts(spark):
    assert versions(spark, ("a", None, "red", at(7)), ("a", None, "blue", at(8))) == [(at(7), at(8)), (at(8), None)]


def test_a_record_set_aside_ends_nobody_s_version(spark):
    assert versions(spark, ("a", at(1), "red"), ("a", at(2), "blue", at(20), "malformed_json")) == [(at(1), None), (at(2), None)]


def test_a_slow_clock_is_corrected_by_its_own_difference(spark):
    times = [F.lit(t).cast("timestamp") for t in ("2026-01-05 12:00:00", "2020-01-01 00:00:10", "2020-01-01 00:00:00")]
    assert spark.range(1).select(corrected_at(*times)).first()[0] == dt.datetime(2026, 1, 5, 11, 59, 50)


def test_an_implausible_time_becomes_the_time_of_receipt(spark):
    received = F.lit("2026-01-05 12:00:00").cast("timestamp")
    stated = ["1999-12-31 23:59:59", "2000-01-01 00:00:00", "2026-01-06 12:00:00", "2026-01-06 12:00:01", None]
    found = (
        spark.range(1).select(*(plausible_at(F.lit(s).cast("timestamp"), received).alias(f"t{i}") for i, s in enumerate(stated))).first()
    )
    noon = dt.datetime(2026, 1, 5, 12)
    assert tuple(found) == (noon, dt.datetime(2000, 1, 1), dt.datetime(2026, 1, 6, 12), noon, noon)

"""Bronze payloads as fields: what does not parse is named."""

import json
import random

import pytest
from hypothesis import assume, given as given_any, settings, strategies as st
from pyspark.sql import functions as F
from pyspark.sql.classic.dataframe import DataFrame

from conf.settings import mapping, source_names
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import INEXACT, candidates, given, parsed, stated

SHAPE = {"format": "json", "schema": "id STRING, at STRING, page STRUCT<url: STRING>, tags ARRAY<STRING>"}
CASES = [
    ('{"id": "a", "page": {"url": "x"}}', None),
    ('  {"id": "a"}  ', None),
    ("{}", None),
    ('{"id": "é 😀 \\u0000 ] } , [ {"}', None),
    ('{"id": null}', None),
    ('{"id": 7}', None),
    ("", "malformed_json"),
    ("   ", "malformed_json"),
    ("{", "malformed_json"),
    ('{"id": "a"', "malformed_json"),
    ('{"id": "a"} x', "malformed_json"),
    ('{"id": "a"} {"id": "b"}', "malformed_json"),
    ('{"id": "a"},{"id": "b"}', "malformed_json"),
    ('{"id": "a"}]', "malformed_json"),
    ('{"id": "a"}],{}', "malformed_json"),
    ('[{"id": "a"}]', "malformed_json"),
    ('"text"', "malformed_json"),
    ("7", "malformed_json"),
    ("null", "malformed_json"),
    ('{id: "a"}', "malformed_json"),
    ("{'id': 'a'}", "malformed_json"),
    ('{"id": "a",}', "malformed_json"),
    ('{"id": NaN}', "malformed_json"),
    ('{"id": 01}', "malformed_json"),
    ('{"id": "a\tb"}', "malformed_json"),
    ('{"other": {"deep": [1, 2}}', "malformed_json"),
    ('{"page": "not a struct"}', "malformed_json"),
    ('{"tags": {"not": "a list"}}', "malformed_json"),
    (None, "not_utf8"),
]


@pytest.fixture
def read(spark):
    rows = spark.createDataFrame([(n, payload) for n, (payload, _) in enumerate(CASES)], "n INT, payload STRING")
    return {r["n"]: r for r in parsed(rows, SHAPE).collect()}


def test_a_payload_is_one_json_object_whose_fields_fit(read):
    assert [(payload, read[n]["_reason"]) for n, (payload, _) in enumerate(CASES)] == CASES
    assert (read[0]["id"], read[0]["page"]["url"], read[5]["id"]) == ("a", "x", "7")


def test_a_line_that_is_no_csv_row_is_called_so(spark):
    lines = ['{"id": "1"}', "1,x,y", "1", '1,"x', '1,"x"y', None]
    rows = spark.createDataFrame([(n, line) for n, line in enumerate(lines)], "n INT, payload STRING")
    found = {r["n"]: r["_reason"] for r in parsed(rows, {"format": "csv", "schema": "id STRING"}).collect()}
    assert [found[n] for n in range(len(lines))] == [
        None, "wrong_number_of_fields", "wrong_number_of_fields", "malformed_csv", "malformed_csv", "not_utf8",
    ]  # fmt: skip


@pytest.mark.parametrize("source", source_names())
def test_every_declared_mapping_makes_a_plan_that_spark_connect_takes_too(spark, home, monkeypatch, source):
    add = DataFrame.withColumns

    def with_some(frame, columns):
        assert columns, "Spark Connect takes no empty set of columns"
        return add(frame, columns)

    monkeypatch.setattr(DataFrame, "withColumns", with_some)
    lake = Lake(spark, str(home / "lake"))
    for name in {name for stream in mapping(source)["streams"].values() for name in stream["tables"]}:
        assert candidates(lake, source, name, None, None).columns


TIMES = [
    ("2026-01-05T12:00:00Z", True), ("2026-01-05 12:00:00.123+02:00", True), (" 2026-1-5 ", True), ("9999-12-31", True),
    ("12:00:00", False), ("T12:00", False), ("2026", False), ("2026-01", False), ("+12026-01-05T12:00:00Z", False), ("-290000-01-01", False),
    ("+294247-01-10T00:00:00Z", False), ("0000-01-01", False), ("2026-02-30", False), ("now", False), ("soon", False), ("1767614400", False),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["date", "timestamp"])
def test_a_time_names_its_day_in_a_year_of_four_digits(spark, kind):
    rows = spark.createDataFrame([(text,) for text, _ in TIMES], "text STRING").selectExpr(
        f"try_cast({stated('text', kind)} as {kind}) as at"
    )
    assert [row["at"] is not None for row in rows.collect()] == [is_time for _, is_time in TIMES]


def test_fields_that_the_schema_does_not_name_are_told(spark):
    rows = spark.createDataFrame([('{"id": "a", "release": {"x": 1}, "at": null}',), ('{"id": "a"}',), ("{",)], "payload STRING")
    assert [row["_unmapped"] or [] for row in parsed(rows, SHAPE).collect()] == [["release"], [], []]


ZONES = [
    ("2026-07-10 10:11:12 BST", None),  # Britain's or Bangladesh's
    ("2026-07-10 10:11:12 PST", None),
    ("2026-07-10 10:11:12 CEST", None),
    ("2026-07-10 10:11:12 CET", None),  # a place in summer time to Java, an hour less to who wrote it
    ("2026-07-10 10:11:12 IST", None),
    ("2026-07-10T10:11:12EST", None),
    ("2026-07-10 10:11:12 am", None),
    ("2026-07-10 10:11:12 GMT", "10:11:12"),
    ("2026-07-10 10:11:12 UTC", "10:11:12"),
    ("2026-07-10T10:11:12Z", "10:11:12"),
    ("2026-07-10T10:11:12.5+0100", "09:11:12"),
    ("2026-07-10 10:11:12 +01:00", "09:11:12"),
    ("2026-07-10T10:11:12 GMT+1", "09:11:12"),
    ("2026-07-10 10:11:12 Europe/London", "09:11:12"),
    ("2026-07-10 10:11", "10:11:00"),
    ("2026-07-10T", None),
]


def test_a_zone_is_an_offset_or_a_place_and_never_an_abbreviation(spark):
    rows = spark.createDataFrame([(text,) for text, _ in ZONES], "text STRING")
    found = rows.selectExpr(f"date_format(try_cast({stated('text', 'timestamp')} as timestamp), 'HH:mm:ss') as at").collect()
    assert [(text, row["at"]) for (text, _), row in zip(ZONES, found)] == ZONES


@pytest.mark.parametrize(("kind", "record_format", "is_none"), [
    ("timestamp", "csv", True), ("timestamp", "json", True), ("decimal(18,4)", "csv", True), ("int", "json", False),
])  # fmt: skip
def test_an_empty_time_is_none_and_so_is_all_that_is_empty_in_a_csv_file(spark, kind, record_format, is_none):
    rows = spark.createDataFrame([("",), (" \u00a0",), (None,), ("x",)], "text STRING")
    found = [row[0] for row in rows.selectExpr(given("text", kind, record_format)).collect()]
    assert found == [not is_none, not is_none, False, True]


NUMBERS = ["1234567890123456.78", "1e2", "1E400", "12345678.0", "1.10", "-0.50", "12345678901234567890123", "7"]


def test_numbers_become_text_as_they_were_received(spark):
    shape = {
        "format": "json",
        "schema": "v STRING, inner STRUCT<a: STRING, b: BOOLEAN>, list ARRAY<STRING>, map MAP<STRING, STRING>, properties STRING",
    }
    payloads = [
        f'{{"v": {n}, "inner": {{"a": {n}, "b": true}}, "list": [{n}, "{n}"], "map": {{"k": {n}}}, "properties": {{"p": [{n}, "say \\"{n}\\""]}}}}'
        for n in NUMBERS
    ]
    rows = parsed(spark.createDataFrame([(p,) for p in payloads], "payload STRING"), shape).collect()
    assert [row["_reason"] for row in rows] == [None] * len(NUMBERS)
    assert [(row["v"], row["inner"]["a"], row["inner"]["b"], row["list"], row["map"]["k"]) for row in rows] == [
        (n, n, True, [n, n], n) for n in NUMBERS
    ]
    assert [row["properties"] for row in rows] == [f'{{"p":[{n},"say \\"{n}\\""]}}' for n in NUMBERS]


def test_prices_of_all_lengths_become_text_as_they_were_received(spark):
    """Also those that are not read a second time: 20,000 numbers of up to 9 digits and a fraction of up to 8."""
    chance = random.Random(5)
    numbers = [
        f"{chance.choice(['', '-'])}{chance.randrange(10 ** chance.randrange(10))}.{chance.randrange(10**digits):0{digits}}"
        for digits in chance.choices(range(1, 9), k=20_000)
    ]
    rows = spark.createDataFrame([(f'{{"v": {n}, "list": [{n},{n} ]}}',) for n in numbers], "payload STRING")
    found = parsed(rows, {"format": "json", "schema": "v STRING, list ARRAY<STRING>"}).collect()
    assert [(row["v"], row["list"]) for row in found] == [(n, [n, n]) for n in numbers]


def test_a_time_of_day_is_no_number(spark):
    rows = spark.createDataFrame([('{"at": "10:05.30, 7:00.10]", "id": "a"}',)], "payload STRING")
    assert rows.select(F.col("payload").rlike(INEXACT)).first()[0]
    assert parsed(rows, SHAPE).first()["at"] == "10:05.30, 7:00.10]"
    said = ['{"event_at": "2026-03-09T00:00:00.700Z"}', '{"event_at": "2026-03-09 10:05:03.10", "page": {}}']
    assert not any(
        row[0] for row in spark.createDataFrame([(one,) for one in said], "t STRING").select(F.col("t").rlike(INEXACT)).collect()
    )


def test_numbers_beside_text_keep_their_types_and_a_wrong_one_is_named(spark):
    shape = {"format": "json", "schema": "id STRING, price DOUBLE, n BIGINT"}
    payloads = ['{"id": 7.50, "price": 1.50, "n": 12}', '{"id": 7.50, "price": "x", "n": 1}', '{"id": null, "price": 2.5}']
    rows = parsed(spark.createDataFrame([(p,) for p in payloads], "payload STRING"), shape).collect()
    assert [(row["id"], row["price"], row["n"], row["_reason"]) for row in rows] == [
        ("7.50", 1.5, 12, None),
        (rows[1]["id"], None, rows[1]["n"], "malformed_json"),
        (None, 2.5, None, None),
    ]


def test_a_payload_with_the_sign_that_marks_numbers_is_read_without_it(spark):
    rows = parsed(spark.createDataFrame([('{"id": "\ue0001.5", "at": 1.50}',)], "payload STRING"), SHAPE).collect()
    assert (rows[0]["id"], rows[0]["_reason"]) == ("\ue0001.5", None)


@settings(max_examples=60, deadline=None, database=None)
@given_any(
    st.dictionaries(
        st.text(max_size=4),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=3,
    )
)
def test_any_object_that_stays_text_says_what_was_received(spark, value):
    payload = json.dumps({"id": "a", "properties": value})
    # a payload with the sign that marks numbers is read without it (above)
    assume("\\ue000" not in payload)
    (row,) = parsed(spark.createDataFrame([(payload,)], "payload STRING"), {"format": "json", "schema": "properties STRING"}).collect()
    assert row["_reason"] is None
    # floats as text: 1e16 and 10000000000000000.0 are two ways to write what was sent in one
    assert json.loads(row["properties"], parse_float=str) == json.loads(json.dumps(value), parse_float=str)

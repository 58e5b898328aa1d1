"""Bronze payloads as fields: what does not parse is named."""

import pytest
from pyspark.sql.classic.dataframe import DataFrame

from conf.settings import mapping, source_names
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import candidates, parsed, stated

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

"""Bronze payloads as fields: what does not parse is named."""

import pytest
from pyspark.sql.classic.dataframe import DataFrame

from conf.settings import mapping, source_names
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import candidates, parsed

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

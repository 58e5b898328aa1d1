"""Hashes tell contents apart."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st
from pyspark.sql import functions as F

from conf.tables import table, table_names
from spark_jobs.functions.hashing import canonical_json, content_columns, row_hash

SIMPLE = {
    "string": st.sampled_from(["", "a", "null", "[]", "b"]),
    "boolean": st.booleans(),
    "int": st.integers(0, 3),
    "bigint": st.integers(0, 3),
    "double": st.sampled_from([0.0, 1.5]),
    "date": st.sampled_from([dt.date(2026, 1, 1), dt.date(2026, 1, 2)]),
    "timestamp": st.sampled_from([dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 2)]),
    "binary": st.sampled_from([b"", b"a"]),
}
IDENTIFIER = st.tuples(*[st.none() | SIMPLE["string"]] * 2)
NESTED = {
    "array<struct<namespace:string,identifier_key:string>>": st.lists(st.none() | IDENTIFIER, max_size=2),
    "array<string>": st.lists(st.none() | SIMPLE["string"], max_size=2),
    "map<string,boolean>": st.dictionaries(SIMPLE["string"], st.none() | st.booleans(), max_size=2),
}


def values(kind):
    """Values of a column's type, null among them."""
    kind = kind.lower().replace(" ", "")
    if kind.startswith("decimal"):
        return st.none() | st.sampled_from([Decimal(0), Decimal(1)])
    return st.none() | (SIMPLE | NESTED)[kind]


def row_of(contract):
    return st.tuples(*(values(c.type) for c in contract.columns))


def said(contract, row):
    """What a row says, as Python compares it."""
    content = content_columns(contract)
    return tuple(value for column, value in zip(contract.column_names, row) if column in content)


@pytest.mark.parametrize("name", table_names())
def test_rows_hash_alike_where_they_say_the_same_and_only_there(spark, name):
    contract = table(name)
    schema = contract.schema.replace(" NOT NULL", "")

    @settings(max_examples=2, deadline=None, database=None, derandomize=True)
    @given(st.lists(row_of(contract), min_size=30, max_size=30))
    def hashes_tell_apart(rows):
        # and each row with one value moved to the next column of its type
        rows = [*rows, *(moved for row in rows[:10] for moved in with_moved_values(contract, row))]
        found = spark.createDataFrame(rows, schema).select(row_hash(contract).alias("h")).collect()
        by_hash, by_content = {}, {}
        for row, one in zip(rows, found):
            assert one["h"] is not None
            by_hash.setdefault(one["h"], set()).add(repr(said(contract, row)))
            by_content.setdefault(repr(said(contract, row)), set()).add(one["h"])
        assert all(len(contents) == 1 for contents in by_hash.values())
        assert all(len(hashes) == 1 for hashes in by_content.values())

    hashes_tell_apart()


def with_moved_values(contract, row):
    """The row with each value moved into the next column where both have one type."""
    for place in range(len(row) - 1):
        if contract.columns[place].type == contract.columns[place + 1].type:
            yield (*row[:place], None, row[place], *row[place + 2 :])


def test_members_of_an_object_have_no_order_and_blanks_and_escapes_say_nothing(spark):
    texts = [
        '{"form": "demo", "plan": {"b": 1.50, "a": [1, null]}}',
        '{"plan":{"a":[1,null],"b":1.50},"form":"d\\u0065mo"}',
        '{"plan":{"a":[1,null],"b":1.51},"form":"demo"}',
        '{"a": 1, "a": 2}',
        "no JSON",
    ]
    found = [r[0] for r in spark.createDataFrame([(t,) for t in texts], "t STRING").select(canonical_json(F.col("t"))).collect()]
    assert found[0] == found[1] != found[2]
    assert found[3:] == texts[3:]

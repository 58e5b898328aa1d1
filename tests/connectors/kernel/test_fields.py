"""Which fields records have, and how they differ from what a mapping's schema names."""

import json

from connectors.kernel import fields


def pointers(ddl):
    return sorted(fields._declared(ddl))


def test_a_schema_s_pointers_go_into_structures_and_lists():
    assert pointers("id STRING, a STRUCT<`b c`: STRING, d: ARRAY<STRUCT<e: DECIMAL(10, 2)>>>, m MAP<STRING, STRUCT<x: INT>>, z STRING") == [
        "/a", "/a/b c", "/a/d", "/a/d/*", "/a/d/*/e", "/id", "/m", "/z",
    ]  # fmt: skip
    assert pointers("`a/b` STRING, `c``d` STRING") == ["/a~1b", "/c`d"]


def test_the_types_of_what_stands_at_each_pointer_are_counted_over_all_records():
    records = [b'{"a":{"b":1},"l":[1,"x"]}', b'{"a":{"b":null},"l":[],"n":1.5}']
    assert fields.fields_of(records) == {
        "/a": ["object"], "/a/b": ["integer", "null"], "/l": ["array"], "/l/*": ["integer", "string"], "/n": ["number"],
    }  # fmt: skip


def test_what_nobody_reads_and_what_no_record_has_are_the_differences(monkeypatch):
    record = {"format": "json", "schema": "id STRING, a STRUCT<b: STRING, gone: STRING>, whole STRING"}
    monkeypatch.setattr(fields.settings, "record_of", lambda source, stream: record)
    records = [json.dumps({"id": "1", "a": {"b": "x"}, "new": {"deep": {"deeper": 1}}, "whole": {"kept": 1}}).encode()]
    told = {(one["path"], one["kind"], one["json_type"]) for one in fields.differences("shop", "orders", records)}
    assert told == {("/new", "unmapped", "object"), ("/a/gone", "missing", "")}
    assert fields.differences("shop", "orders", []) == []
    monkeypatch.setattr(fields.settings, "record_of", lambda source, stream: {"format": "csv", "schema": "id STRING"})
    assert fields.differences("shop", "orders", records) == []

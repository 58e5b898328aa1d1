"""Configuration: what is unknown, missing or of another type is named with its file."""

import pytest

from conf import settings
from conf.settings import SettingsError, mapping, platform

RECORD = {"format": "json", "schema": "id STRING"}
GOOD = {"columns": {"order_id": "id"}}


def said(stream, spec):
    return {"streams": {stream: spec}}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, r"expected the keys \['streams'\]; got \[\]"),
        (said("orderz", {"record": RECORD, "tables": {"silver.order_lines": GOOD}}), "stream orderz: .* has the streams"),
        (said("order_lines", {"tables": {}}), r"stream order_lines: expected the keys \['record', 'tables'\]"),
        (said("order_lines", {"record": RECORD, "tables": {"silver.eventz": GOOD}}), "silver.eventz: there is no such table; there are"),
        (said("order_lines", {"record": RECORD, "tables": {"silver.order_lines": {}}}), "silver.order_lines: expected the keys"),
        (
            said("order_lines", {"record": RECORD, "tables": {"silver.order_lines": {"columns": {"produkt_id": "id"}}}}),
            r"silver.order_lines has no columns \['produkt_id'\]",
        ),
    ],
)
def test_a_mapping_that_names_what_there_is_not_is_an_error(monkeypatch, given, error):
    read = settings.read_yaml
    monkeypatch.setattr(settings, "read_yaml", lambda path: settings.freeze(given) if path.parent.name == "mappings" else read(path))
    mapping.cache_clear()
    with pytest.raises(SettingsError, match=error):
        mapping("sandbox_shop")
    mapping.cache_clear()


@pytest.mark.parametrize("value", ["many", 2.5, True, None])
def test_a_value_of_another_type_is_an_error(monkeypatch, value):
    read = settings.read_yaml
    monkeypatch.setattr(settings, "read_yaml", lambda path: {**read(path), "accept_late_days": value})
    with pytest.raises(SettingsError, match=r"accept_late_days is .*; it must be of type int"):
        platform()


@pytest.mark.parametrize("streams", ["[a]", "a.csv", "{orders: a.csv}", "{orders: }"])
def test_streams_are_a_mapping_of_mappings(tmp_path, monkeypatch, streams):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop_of_this_test.yml").write_text(f"source: shop_of_this_test\nconnector: file_drop\nstreams: {streams}\n")
    monkeypatch.setattr(settings, "CONF", tmp_path)
    with pytest.raises(settings.SettingsError, match=r"shop_of_this_test\.yml: streams is .*; give a mapping of names"):
        settings.source("shop_of_this_test")


def test_the_columns_of_a_schema_are_named_without_those_within_them():
    ddl = "id STRING, `Cost (GBP)` decimal(18,2) NOT NULL,at:timestamp, page STRUCT<url: STRING, path: STRUCT<a: INT, b: INT>>, tags map<string,int>"
    assert settings.names_in(ddl) == {"id", "Cost (GBP)", "at", "page", "tags"}
    assert settings.names_in("`a``b` INT") == {"a`b"} and settings.names_in("") == frozenset()


@pytest.mark.parametrize("name", settings.source_names())
def test_what_a_mapping_reads_of_a_stream_can_be_told(name):
    for stream in settings.source(name).streams:
        record = settings.record_of(name, stream)
        assert (record is not None) == (stream in mapping(name)["streams"])
        assert record is None or "pattern" in record or settings.names_in(record["schema"])

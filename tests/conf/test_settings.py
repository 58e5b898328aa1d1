"""Configuration: what is unknown, missing or of another type is named with its file."""

import pytest

from conf import settings, tables
from conf.settings import SettingsError, mapping, platform

RECORD = {"format": "json", "schema": "id STRING"}
GOOD = {"columns": {"order_id": "id"}}


def said(stream, spec):
    return {"streams": {stream: spec}}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, r"lacks the keys \['streams'\]"),
        (said("orderz", {"record": RECORD, "tables": {"silver.order_lines": GOOD}}), "stream orderz: .* has the streams"),
        (said("order_lines", {"tables": {}}), r"streams.order_lines: lacks the keys \['record'\]; it needs \['record', 'tables'\]"),
        (said("order_lines", {"record": RECORD, "tables": {"silver.eventz": GOOD}}), "silver.eventz: there is no such table; there are"),
        (
            said("order_lines", {"record": RECORD, "tables": {"silver.order_lines": {}}}),
            r"silver.order_lines: lacks the keys \['columns'\]",
        ),
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


def read_text(tmp_path, text):
    (file := tmp_path / "some.yml").write_text(text, encoding="utf-8")
    return settings.read_yaml(file)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key a stands twice"),
        ("a: {b: 1, b: 1}\n", "the key b stands twice"),
        ("a: &s {more: *s}\n", "an anchor stands within what it names"),
        ("day: 2026-13-45\n", "not valid YAML: month must be in"),
        (f"number: {'1' * 5000}\n", "not valid YAML: Exceeds the limit"),
        ("- a\n", "expected a mapping at the top, got tuple"),
    ],
)
def test_what_no_configuration_may_hold_is_one_sentence_that_names_the_file(tmp_path, text, error):
    with pytest.raises(SettingsError, match=rf"some\.yml: .*{error}"):
        read_text(tmp_path, text)


def test_a_merged_mapping_may_say_a_key_otherwise(tmp_path):
    found = read_text(tmp_path, "base: &base {a: 1, b: 2}\nown: {<<: *base, b: 3}\nother: *base\n")
    assert (found["own"], found["other"]) == ({"a": 1, "b": 3}, {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accept_late_days", 10**12),
        ("accept_late_days", -1),
        ("reporting_currency", "gbp"),
        ("reporting_time_zone", "Europe/Lundon"),
        ("max_quarantine_share", 25),
        ("max_quarantine_share", float("nan")),
        ("min_free_disk_gb", -5),
        ("spark_driver_memory", "lots"),
        ("lake", "~/lake"),
        ("landing", "here"),
        ("submit_mode", "both"),
    ],
)
def test_a_value_beyond_its_bounds_is_an_error(monkeypatch, key, value):
    read = settings.read_yaml
    for name in ("THROUGHLINE_LAKE", "THROUGHLINE_LANDING", "THROUGHLINE_SUBMIT_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "read_yaml", lambda path: {**read(path), key: value})
    with pytest.raises(SettingsError, match=rf"platform\.yml: {key} is .*; it must be "):
        platform()


@pytest.mark.parametrize("key", ["lake", "landing", "submit_mode", "spark_master"])
def test_a_key_that_may_be_null_may_be_absent(monkeypatch, key):
    read = settings.read_yaml
    monkeypatch.setattr(settings, "read_yaml", lambda path: {k: v for k, v in read(path).items() if k != key})
    assert platform().submit_mode in ("connect", "submit")


@pytest.mark.parametrize(
    ("said_more", "error"),
    [
        ("account: ../../evil", "account is"),
        ("account: EU/west", "account is"),
        ("account: ''", "account is"),
        ("account: 12", "account is 12; it must be of type str"),
        ("silver: silver.orders", "silver is .*; it must be of type tuple"),
        ("settings: 5", "settings is 5; it must be of type Mapping"),
    ],
)
def test_a_source_s_values_are_what_folders_and_tables_can_bear(tmp_path, monkeypatch, said_more, error):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "tried.yml").write_text(f"source: tried\nconnector: file_drop\nstreams: {{a: {{path: a.csv}}}}\n{said_more}\n")
    monkeypatch.setattr(settings, "CONF", tmp_path)
    with pytest.raises(SettingsError, match=error):
        settings.source("tried")


@pytest.mark.parametrize("name", ["on", "1", "2026-01-01"])
def test_a_stream_s_name_is_a_text(tmp_path, monkeypatch, name):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "tried.yml").write_text(f"source: tried\nconnector: file_drop\nstreams: {{{name}: {{path: a.csv}}}}\n")
    monkeypatch.setattr(settings, "CONF", tmp_path)
    with pytest.raises(SettingsError, match="cannot be the name of a source or stream"):
        settings.source("tried")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"columns": {"orders": "string"}}, "columns: expected a mapping by names"),
        ({"columns": None}, "columns: expected a mapping by names"),
        ({"write": "merge"}, "write: expected a mapping by names, got 'merge'"),
        ({"freshness": "daily"}, "freshness is 'daily'; it must be of type Mapping"),
        ({"retention_days": -30}, "retention_days is -30; it must be 1 or more"),
        ({"checks": [{"id": "nothing", "severity": "warn"}]}, "check nothing: it checks nothing"),
        ({"checks": ["sum"]}, "checks: expected a mapping by names, got 'sum'"),
    ],
)
def test_a_table_s_contract_that_says_nothing_sensible_is_an_error(monkeypatch, change, error):
    monkeypatch.setattr(tables, "read_yaml", lambda path: settings.freeze({**settings.read_yaml(path), **change}))
    with pytest.raises(SettingsError, match=rf"orders_daily\.yml.*{error}"):
        tables._parse("gold.orders_daily")


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

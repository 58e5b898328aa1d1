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

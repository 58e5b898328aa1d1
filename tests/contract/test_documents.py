"""The vendors' documents with their overlays: a wrong exchange does not pass, and each change has a reason and a place."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.contract.documents import FOLDER, OVERLAYS, changed, having, places

NAMES = sorted(path.stem for path in OVERLAYS.glob("*.yml"))


def test_a_path_leads_to_each_member_that_is_meant():
    document = {"paths": {"/a": {"get": {"parameters": [{"name": "x"}, {"name": "y"}]}}, "/b": {"get": {}}}}
    assert [key for _, key in places(document, ["paths", "*", "get", "parameters", {"name": "y"}])] == [1]
    made = changed(document, [{"why": "a reason", "at": ["paths", "*", "get", "parameters", {"name": "y"}], "merge": {"in": "header"}}])
    assert made["paths"]["/a"]["get"]["parameters"] == [{"name": "x"}, {"name": "y", "in": "header"}]


def test_what_an_extension_allows_becomes_an_enum():
    schema = {"type": "string", "x-open-enum": {"enums": [{"key": "BASIC"}, {"key": "BC"}]}}
    changed({"a": [schema]}, [{"why": "a reason", "everywhere": "x-open-enum", "enum_of": ["enums", "key"]}])
    assert schema["enum"] == ["BASIC", "BC"] and [*having({"a": [schema]}, "enum")] == [schema]


@pytest.mark.parametrize("name", NAMES)
def test_each_change_has_a_reason_and_a_place(name):
    if not FOLDER.is_dir():
        pytest.skip("the vendors' documents (../shared/vendor_specs) are not beside this clone")
    overlay = yaml.safe_load((OVERLAYS / f"{name}.yml").read_text())
    documents = [
        yaml.safe_load(path.read_text()) if path.suffix == ".yml" else json.loads(path.read_text())
        for path in FOLDER.glob(overlay["documents"])
    ]
    assert documents
    for change in overlay["changes"]:
        assert len(change["why"]) > 10
        found = [
            one
            for each in documents
            for one in (having(each, change["everywhere"]) if "everywhere" in change else places(each, change["at"]))
        ]
        assert found, f"{change} is nowhere"

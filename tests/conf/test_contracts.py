"""Event contracts: files that anybody may drop."""

import json

import pytest

from conf.contracts import contracts, read_contracts
from conf.settings import SettingsError, rules


@pytest.fixture
def dropped(tmp_path):
    def dropped(text, name="product_viewed"):
        (tmp_path / f"{name}.json").write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
        right, wrong = read_contracts(tmp_path)
        for said in wrong.values():
            raise SettingsError(said)
        return right

    return dropped


def test_a_dropped_file_is_a_contract_and_no_file_is_none(dropped, tmp_path):
    assert read_contracts(tmp_path) == ({}, {})
    assert dropped({"type": "object", "required": ["price"]}) == {"product_viewed": {"type": "object", "required": ["price"]}}


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ('{"type": "object",}', "product_viewed", "not valid JSON .*line 1"),
        ("", "product_viewed", "not valid JSON"),
        ("[]", "product_viewed", "expected an object, got list"),
        ({"type": "objekt"}, "product_viewed", "no valid JSON Schema at /type"),
        ({"properties": {"price": {"pattern": "("}}}, "product_viewed", "no valid JSON Schema at /properties/price/pattern"),
        ({"$ref": "#/$defs/price"}, "product_viewed", "no valid JSON Schema"),
        ({"$ref": "http://127.0.0.1:9/price.json"}, "product_viewed", "leads out of the file"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "product_viewed", "written in https://json-schema.org/draft/2020-12"),
        ({"requiredColumns": ["prize"]}, "product_viewed", "requiredColumns is .*'prize'.*columns of silver.events"),
        ({}, "Product Viewed", "snake_case"),
        ('{"required": ["price"], "required": []}', "product_viewed", r"members \['required'\] stand twice"),
        ('{"properties": {"price": {"type": "number", "type": "string"}}}', "product_viewed", r"\['type'\] stand twice"),
        ({"required_columns": ["order_id"]}, "product_viewed", r"\['/required_columns'\] are no keywords .*'required'.*requiredColumns"),
        ({"properties": {"price": {"typ": "number"}}}, "product_viewed", r"'/properties/price/typ'"),
        ({"allOf": [{"requried": ["price"]}]}, "product_viewed", r"'/allOf/0/requried'"),
        ({"items": {"requiredColumns": ["order_id"]}}, "product_viewed", r"'/items/requiredColumns'"),
    ],
)
def test_a_broken_file_is_one_error_that_names_the_file_and_what_to_do(dropped, text, name, said):
    with pytest.raises(SettingsError, match=said) as error:
        dropped(text, name)
    assert f"{name}.json" in str(error.value) and "\n" not in str(error.value)


def test_a_broken_file_takes_its_own_contract_and_no_other(dropped, tmp_path):
    dropped({"type": "object"})
    for name, text in {"page_viewed": "{", "Deal_Won": "{}"}.items():
        (tmp_path / f"{name}.json").write_text(text)
    right, wrong = read_contracts(tmp_path)
    assert right == {"product_viewed": {"type": "object"}} and sorted(wrong) == ["deal_won", "page_viewed"]
    assert all("\n" not in said and str(tmp_path) in said for said in wrong.values())


def test_members_may_be_called_like_anything_and_remarks_begin_with_x(dropped):
    schema = {
        "x-owner": "shop",
        "properties": {"typ": {"type": "string"}},
        "$defs": {"requried": {"enum": [{"typ": 1}]}},
        "examples": [{"a": 1}],
    }
    assert dropped(schema) == {"product_viewed": schema}


def test_the_shipped_contracts_load_and_cover_what_the_rules_name():
    journeys = rules("journeys")
    named = {*journeys["touchpoints"]["events"], *journeys["conversions"]["events"], *journeys["sessions"]["conversion_events"]}
    assert named <= set(contracts()[0])
    assert all(schema["title"] == name and schema["description"] for name, schema in contracts()[0].items())

"""Events against their contracts: what is set aside and why, what passes and is told, and that nothing else is touched."""

import datetime as dt

import jsonschema
import pytest
from hypothesis import given, settings, strategies as st

from conf.contracts import contracts
from spark_jobs.silver.enrich.contracts import Contract, with_contract

PRICED = {
    "type": "object",
    "required": ["price"],
    "properties": {
        "price": {"type": "number", "minimum": 0},
        "pieces": {"type": "integer"},
        "seen_on": {"type": "string", "format": "date"},
        "code": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "extra": {"type": "object"},
    },
    "$defs": {"line": {"type": "object", "properties": {"sku": {"type": "string"}, "of": {"$ref": "#/$defs/line"}}}},
}
CLOSED = {"type": "object", "additionalProperties": False, "patternProperties": {"^x_": {"type": "integer"}}}


@pytest.fixture
def judged():
    def judged(text, schema=PRICED):
        reason, drift = Contract("viewed", schema).judge(text)
        return reason, [(path, kind, found) for path, kind, found in drift or ()]

    return judged


@pytest.mark.parametrize("text", ['{"price": 1}', '{"price": 1.5, "pieces": 2, "code": null, "extra": {"any": [1]}}'])
def test_what_fits_passes_and_tells_nothing(judged, text):
    assert judged(text) == (None, [])


def test_unknown_properties_pass_and_are_told_by_their_path(judged):
    text = '{"price": 1, "colour": "red", "a/b": {"c": 1}, "lines": [{"sku": "s", "of": {"tax": 0.2}}, {"of": {"tax": 1}}]}'
    told = [("/a~1b", "added", "object"), ("/colour", "added", "string")]
    told += [("/lines/*/of/tax", "added", "integer"), ("/lines/*/of/tax", "added", "number")]
    assert judged(text) == (None, told)


@pytest.mark.parametrize(
    ("text", "path", "found"),
    [
        ('{"price": "12"}', "/price", "string"),
        ('{"price": true}', "/price", "boolean"),
        ('{"price": null}', "/price", "null"),
        ('{"price": 1, "pieces": 1.0}', "/pieces", "number"),
        ('{"price": 1, "pieces": 1.5}', "/pieces", "number"),
        ('{"price": 1, "pieces": false}', "/pieces", "boolean"),
        ('{"price": 1, "code": 7}', "/code", "integer"),
        ('{"price": 1, "lines": [{}, {"sku": 7}]}', "/lines/*/sku", "integer"),
        ("[1]", "/", "array"),
    ],
)
def test_a_value_of_another_type_is_set_aside_and_told(judged, text, path, found):
    assert judged(text) == (f"contract:viewed:{path} type", [(path, "retyped", found)])


def test_a_missing_property_is_set_aside_and_told_and_no_properties_are_an_empty_object(judged):
    missing = ("contract:viewed:/price required", [("/price", "missing", None)])
    assert judged("{}") == missing and judged(None) == missing and judged(None, {"type": "object"}) == (None, [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"price": -1}', "/price minimum"),
        ('{"price": 1, "seen_on": "2026-02-30"}', "/seen_on format"),
        ('{"price": 1', "/ not_json"),
        ('{"price": NaN}', "/ not_json"),
        ('{"price": 1, "extra": ' + '{"a":' * 5000 + "1" + "}" * 5001, "/ not_json"),
    ],
)
def test_any_other_violation_names_path_and_keyword(judged, text, reason):
    assert judged(text) == (f"contract:viewed:{reason}", [])


def test_a_closed_contract_names_the_property_that_it_does_not_know(judged):
    assert judged('{"x_a": 1, "b": 2}', CLOSED) == ("contract:viewed:/b additionalProperties", [("/b", "added", "integer")])


def test_a_pattern_is_matched_by_the_validator_s_engine_wherever_it_stands(judged):
    # a class that Python does not know
    named = {"type": "object", "patternProperties": {r"^\p{Lu}+$": {"type": "integer"}}}
    assert judged('{"AB": 1, "ab": "x"}', named) == (None, [("/ab", "added", "string")])


def test_a_pattern_that_takes_too_many_steps_fits_nothing_and_the_event_is_judged_without_it(judged):
    twice = r"(a)\1b"
    short, long = "a" * 10 + "b", "a" * 1_000_000 + "b"
    schema = {
        "type": "object",
        "properties": {"code": {"type": "string", "pattern": twice}},
        "patternProperties": {twice: {"type": "integer"}},
    }
    assert judged(f'{{"code": "{short}", "{short}": 1}}', schema) == (None, [])
    assert judged(f'{{"code": "{long}"}}', schema) == ("contract:viewed:/code pattern", [])
    assert judged(f'{{"{long}": 1}}', schema) == (None, [(f"/{long}"[:200], "added", "integer")])


def test_a_sender_that_makes_names_up_does_not_fill_the_log(judged):
    names = ", ".join(f'"k{i}": 1' for i in range(2000))
    assert len(judged(f'{{"price": 1, {names}}}')[1]) == 50


KEYS = st.sampled_from(["price", "pieces", "seen_on", "code", "lines", "extra", "sku", "of", "x_a", "b", "items", "coupon_upc", "cost"])
NUMBERS = st.integers(-9, 2**53) | st.floats(-1e9, 1e9) | st.integers(-3, 3).map(float)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=4)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12)
STRICT = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, x: isinstance(x, int) and not isinstance(x, bool)
    ),
)
ORACLES = {
    name: (Contract(name, schema), STRICT(dict(schema))) for name, schema in {**contracts()[0], "viewed": PRICED, "closed": CLOSED}.items()
}


@settings(max_examples=1000, deadline=None)
@given(name=st.sampled_from(sorted(ORACLES)), value=st.dictionaries(KEYS, JSON, max_size=6) | JSON)
def test_the_verdict_is_the_reference_validator_s(name, value):
    ours, oracle = ORACLES[name]
    import orjson

    reason, drift = ours.judge(orjson.dumps(value).decode())
    is_format = reason is not None and reason.endswith(" format")
    assert (reason is None or is_format) == oracle.is_valid(value)
    assert all(kind == "added" for _, kind, _ in drift or ()) or reason is not None


ROWS = "event_name STRING, properties STRING, product_id STRING, _reason STRING, received_at TIMESTAMP"


def test_one_event_is_set_aside_and_every_other_stays_as_it_is(spark):
    known = {"viewed": PRICED, "carted": {"requiredColumns": ["product_id"]}}
    now = dt.datetime(2026, 1, 5)
    rows = [
        ("viewed", '{"price": 1.50, "new": [1]}', None, None, now),
        ("viewed", '{"price": "1"}', None, None, now),
        ("viewed", '{"price": "1"}', None, "bad_value:event_at", now),
        ("unknown", "no json", None, None, now),
        (None, None, None, "malformed_json", now),
        ("carted", None, "P-1", None, now),
        ("carted", None, None, None, now),
    ]
    found = with_contract(spark.createDataFrame(rows, ROWS), known).collect()
    assert [(r.event_name, r.properties, r.product_id, r.received_at) for r in found] == [(r[0], r[1], r[2], r[4]) for r in rows]
    assert [r._reason for r in found] == [
        None, "contract:viewed:/price type", "bad_value:event_at", None, "malformed_json", None, "contract:carted:product_id required",
    ]  # fmt: skip
    assert [[tuple(d) for d in r._drift] if r._drift else None for r in found][:3] == [
        [("/new", "added", "array")], [("/price", "retyped", "string")], None,
    ]  # fmt: skip


def test_events_of_an_unreadable_contract_wait_for_it_and_every_other_goes_on(spark):
    rows = [
        ("viewed", "{}", None, None, None),
        ("carted", "{}", None, None, None),
        ("carted", "{}", None, "malformed_json", None),
        (None, "{}", None, None, None),
    ]
    for known in ({"viewed": {"required": ["price"]}}, {}):
        found = with_contract(spark.createDataFrame(rows, ROWS), known, ["carted"]).collect()
        assert [r._reason for r in found] == [
            "contract:viewed:/price required" if known else None, "contract:carted:unreadable", "malformed_json", None,
        ]  # fmt: skip


def test_without_contracts_nothing_is_asked(spark):
    [row] = with_contract(spark.createDataFrame([("viewed", "[", None, None, None)], ROWS), {}).collect()
    assert (row._reason, row._drift) == (None, None)

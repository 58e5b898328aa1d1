"""The files of conf/rules: a wrong one is one sentence that names the file, the key and what is allowed, and is never used."""

import copy
import shutil

import pytest
import yaml

from conf import settings
from conf.rules import expressions, is_pattern, plain
from conf.settings import CONF, SCHEMAS, SettingsError, read_yaml, rules

NAMES = sorted(path.stem for path in (CONF / "rules").glob("*.yml"))
GONE = object()


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The rules of a file after a change to it; the other files are the repository's."""
    shutil.copytree(CONF / "rules", tmp_path / "rules")
    monkeypatch.setattr(settings, "CONF", tmp_path)
    rules.cache_clear()

    def written(name, text):
        (tmp_path / "rules" / f"{name}.yml").write_text(text, encoding="utf-8")
        return rules(name)

    yield written
    rules.cache_clear()


def changed(name, place, value):
    """The text of a repository's file with another value at one place, or without that key."""
    whole = copy.deepcopy(plain(read_yaml(CONF / "rules" / f"{name}.yml")))
    held = whole
    for key in place[:-1]:
        held = held[key]
    if value is GONE:
        del held[place[-1]]
    else:
        held[place[-1]] = value
    return yaml.safe_dump(whole)


@pytest.mark.parametrize("name", NAMES)
def test_the_repository_s_rules_are_right(name):
    assert rules(name)


def subschemas(schema, path=()):
    """Every schema in a schema that judges a value, with its place."""
    if isinstance(schema, dict):
        if {"type", "enum", "pattern"} & set(schema) and path and path[-1] != "properties":
            yield path, schema
        for key, inner in schema.items():
            if key not in ("if", "enum"):
                yield from subschemas(inner, (*path, key))
    elif isinstance(schema, list):
        for place, inner in enumerate(schema):
            yield from subschemas(inner, (*path, place))


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_knows_no_other_keys_and_says_what_is_allowed(name):
    for path, schema in subschemas(plain(read_yaml(SCHEMAS / f"{name}.yml"))):
        assert schema.get("description"), path
        if schema.get("type") == "object":
            # of a model's keys those of its kind are known
            assert "additionalProperties" in schema or all("additionalProperties" in one["then"] for one in schema["allOf"]), path


def test_every_file_has_its_schema():
    assert sorted(path.stem for path in SCHEMAS.glob("*.yml")) == NAMES


WRONG = [
    # attribution
    ("attribution", ("exclude_channels",), [], r"unknown keys \['exclude_channels'\]; allowed are \['direct_channels'"),
    ("attribution", ("models",), GONE, r"lacks the keys \['models'\]"),
    ("attribution", ("models",), {}, r"models is {}; it must be a mapping of at least one model"),
    ("attribution", ("models",), None, r"models is None; it must be a mapping"),
    ("attribution", ("models", False), {"kind": "linear"}, r"models: the key False is no text; put it in quotes"),
    ("attribution", ("models", 1), {"kind": "linear"}, r"models: the key 1 is no text"),
    ("attribution", ("models", " mine"), {"kind": "linear"}, r"models: a key is ' mine'; it must be a name"),
    ("attribution", ("models", "mine"), "linear", r"models.mine is 'linear'; it must be a mapping"),
    ("attribution", ("models", "mine"), {"kind": "markov"}, r"models.mine.kind is 'markov'; it must be first, last"),
    ("attribution", ("models", "mine"), {"kind": "linear", "first": 1}, r"models.mine: unknown keys \['first'\]; allowed are \['kind'\]"),
    ("attribution", ("models", "mine"), {"kind": "time_decay"}, r"models.mine: lacks the keys \['half_life_days'\]"),
    ("attribution", ("models", "time_decay", "half_life_days"), 0, r"half_life_days is 0; it must be a number of days from 0.01"),
    ("attribution", ("models", "time_decay", "half_life_days"), 1e-9, r"half_life_days is 1e-09; it must be"),
    ("attribution", ("models", "time_decay", "half_life_days"), float("nan"), r"half_life_days is nan; it must be a finite number"),
    ("attribution", ("models", "position", "first"), float("nan"), r"models.position.first is nan; it must be a finite number"),
    ("attribution", ("models", "position", "first"), 0.5, r"models.position has the shares .*; first, middle and last must add up to 1"),
    (
        "attribution",
        ("models", "position"),
        {"kind": "position", "first": 1.4, "middle": -0.8, "last": 0.4},
        r"position.first is 1.4; it must be a share",
    ),
    (
        "attribution",
        ("models", "position"),
        {"kind": "position", "first": 0, "middle": 1, "last": 0},
        r"first and last must add up to more than 0",
    ),
    ("attribution", ("look_back_days", "click"), -5, r"look_back_days.click is -5; it must be a number of days from 0 to 3650"),
    ("attribution", ("look_back_days", "click"), 10**9, r"look_back_days.click is 1000000000; it must be"),
    ("attribution", ("look_back_days", "click"), float("inf"), r"look_back_days.click is inf; it must be a finite number"),
    ("attribution", ("look_back_days", "click"), "30", r"look_back_days.click is '30'; it must be a number of days"),
    ("attribution", ("look_back_days", "click"), True, r"look_back_days.click is True; it must be a number of days"),
    ("attribution", ("look_back_days", "clik"), 3, r"look_back_days: unknown keys \['clik'\]; allowed are \['click'"),
    ("attribution", ("interaction_order",), ["view", "visit", "open", "mailing", "engaged_view"], r"interaction_order is .* all six of"),
    ("attribution", ("interaction_order", 0), "view", r"interaction_order is .* each once"),
    ("attribution", ("direct_channels",), "Direct", r"direct_channels is 'Direct'; it must be a list of channels"),
    ("attribution", ("excluded_channels",), "Direct", r"excluded_channels is 'Direct'; it must be a list of channels"),
    ("attribution", ("excluded_channels",), ["Dirct"], r"excluded_channels names the channels \['Dirct'\]; there are .*'Direct'"),
    ("attribution", ("excluded_channels",), [False], r"excluded_channels \(item 1\) is False; it must be a channel's name"),
    # channels
    ("channels", ("own_host",), ["blog.example"], r"unknown keys \['own_host'\]"),
    ("channels", ("own_hosts",), "blog.example", r"own_hosts is 'blog.example'; it must be a list of hosts"),
    ("channels", ("own_hosts",), ["https://blog.example/"], r"own_hosts \(item 1\) is 'https://blog.example/'; it must be a host"),
    ("channels", ("own_hosts",), ["blog.example", "Forum.example"], r"own_hosts \(item 2\) is 'Forum.example'"),
    ("channels", ("payment_providers",), ["paypal.com", 1.5], r"payment_providers \(item 2\) is 1.5"),
    ("channels", ("payment_providers",), {"paypal.com": True}, r"payment_providers is .* it must be a list of hosts"),
    ("channels", ("channels", 0), {"channel": "Podcast", "when": "true"}, r"channels \(item 1\): lacks the keys \['number'\]"),
    ("channels", ("channels", 0), {"number": 101, "channel": "Podcast"}, r"channels.101: lacks the keys \['when'\]"),
    (
        "channels",
        ("channels", 0),
        {"number": 101, "channel": "Podcast", "wen": "true", "when": "true"},
        r"channels.101: unknown keys \['wen'\]",
    ),
    ("channels", ("channels", 0, "number"), 2, r"channels: the numbers \[2\] are there twice"),
    ("channels", ("channels", 0, "number"), "one", r"channels.one.number is 'one'; it must be a whole number"),
    ("channels", ("channels", 0, "when"), True, r"channels.1.when is True; it must be a condition in SQL"),
    ("channels", ("channels", 0, "when"), "traffic_medium rlike {paidd}", r"channels.1.when names the patterns \['paidd'\]; there are"),
    ("channels", ("channels", 0, "when"), "traffic_medium rlike {paid!r}", r"channels.1.when names the patterns \['paid'\]"),
    ("channels", ("channels", 0, "when"), "traffic_medium = '}'", r"channels.1.when is .*a brace is written twice"),
    ("channels", ("channels",), [], r"channels is \[\]; it must be a list of rules"),
    ("channels", ("patterns", "paid"), "^(ppc", r"patterns.paid is '\^\(ppc'; it must be a regular expression"),
    ("channels", ("patterns", "paid"), GONE, r"patterns: lacks the keys \['paid'\]"),
    ("channels", ("click_ids", "gclid", "agree"), ["search"], r"click_ids.gclid: unknown keys \['agree'\]"),
    ("channels", ("click_ids", "gclid", "agrees"), "search", r"click_ids.gclid.agrees is 'search'; it must be a list of kinds"),
    ("channels", ("click_ids", "gclid", "agrees"), ["serch"], r"click_ids.gclid.agrees \(item 1\) is 'serch'; it must be ai"),
    ("channels", ("click_ids", "GCLID"), {"source": "google", "medium": "cpc"}, r"click_ids: a key is 'GCLID'; it must be a text in lower"),
    ("channels", ("kinds", "ai"), GONE, r"kinds: lacks the keys \['ai'\]"),
    ("channels", ("kinds", "ai", "host"), [], r"kinds.ai: unknown keys \['host'\]; allowed are \['brands'"),
    ("channels", ("kinds", "ai", "hosts"), "x.com", r"kinds.ai.hosts is 'x.com'; it must be a list of hosts"),
    ("channels", ("kinds", "ai", "names"), [False], r"kinds.ai.names \(item 1\) is False; it must be a text in lower case, in quotes"),
    ("channels", ("kinds", "ai", "patterns"), ["["], r"kinds.ai.patterns \(item 1\) is '\['; it must be a regular expression"),
    ("channels", ("event_types", "emial"), "Email", r"event_types: unknown keys \['emial'\]"),
    ("channels", ("networks", "search"), None, r"networks.search is None; it must be a channel's name"),
    ("channels", ("mediums", "serch"), "organic", r"mediums: unknown keys \['serch'\]"),
    ("channels", ("scrubbed",), "email", r"scrubbed is 'email'; it must be a list of names"),
    ("channels", ("scrubbed",), [], r"scrubbed is \[\]; it must be a list of names"),
    ("channels", ("scrubbed_values_kept",), [True], r"scrubbed_values_kept \(item 1\) is True; it must be a text, in quotes"),
    ("channels", ("unassigned",), GONE, r"lacks the keys \['unassigned'\]"),
    ("channels", ("networks", "search"), "Paid \ud800", r"networks.search has half of a character"),
    # currencies
    ("currencies", ("decimals", "5"), ["EUR"], r"decimals: unknown keys \['5'\]; allowed are \['0'"),
    ("currencies", ("decimals", "0"), "JPY", r"decimals.0 is 'JPY'; it must be a list of currencies"),
    ("currencies", ("decimals", "3"), ["BHD", "JPY"], r"decimals: \['JPY'\] are there twice"),
    ("currencies", ("decimals", "3"), ["bhd"], r"decimals.3 \(item 1\) is 'bhd'; it must be the three capitals"),
    ("currencies", ("default",), 2.5, r"default is 2.5; it must be a whole number from 0 to 4"),
    ("currencies", ("defaults",), 2, r"unknown keys \['defaults'\]"),
    # identity
    ("identity", ("namespaces", "email", "scope"), "globl", r"namespaces.email.scope is 'globl'; it must be global or source"),
    ("identity", ("namespaces", "email", "pii"), "dirrect", r"namespaces.email.pii is 'dirrect'; it must be direct, indirect or none"),
    ("identity", ("namespaces", "email", "library"), "emial", r"namespaces.email.library is 'emial'; it must be email or phone"),
    ("identity", ("namespaces", "email", "normalize"), "lower(value)", r"namespaces.email: unknown keys \['normalize'\]; .*'normalise'"),
    ("identity", ("namespaces", "email", "links"), "yes", r"namespaces.email.links is 'yes'; it must be true or false"),
    ("identity", ("namespaces", "email", "rank"), GONE, r"namespaces.email: lacks the keys \['rank'\]"),
    ("identity", ("namespaces", "email", "rank"), -1, r"namespaces.email.rank is -1; it must be a whole number from 1 to 999"),
    ("identity", ("namespaces", "email", "block", "patterns"), ["^("], r"namespaces.email.block.patterns \(item 1\) is '\^\('"),
    ("identity", ("namespaces", "email", "block", "patterns"), ["o'"], r"block.patterns \(item 1\) is .*without '"),
    ("identity", ("namespaces", "email", "block", "patterns"), "^x", r"block.patterns is '\^x'; it must be a list"),
    ("identity", ("namespaces", "email", "block", "values"), [None], r"block.values \(item 1\) is None; it must be a text, in quotes"),
    ("identity", ("namespaces", "user.id"), {}, r"namespaces"),
    ("identity", ("namespaces",), {}, r"namespaces is {}; it must be a mapping of at least one"),
    ("identity", ("defaults", "max_neighbours"), 0, r"defaults.max_neighbours is 0; it must be a whole number from 1"),
    # journeys
    ("journeys", ("sessions", "event_types"), "page", r"sessions.event_types is 'page'; it must be a list of event types"),
    ("journeys", ("sessions", "event_types"), [], r"sessions.event_types is \[\]; it must be a list"),
    ("journeys", ("sessions", "event_types", 1), "scren", r"sessions.event_types \(item 2\) is 'scren'; it must be page, screen"),
    ("journeys", ("sessions", "view_types"), ["email"], r"sessions.view_types names \['email'\]; sessions.event_types has"),
    ("journeys", ("sessions", "client_namespaces"), "user_id", r"sessions.client_namespaces is 'user_id'; it must be a list"),
    ("journeys", ("sessions", "client_namespaces"), ["user_id", "user_id"], r"sessions.client_namespaces is .* each once"),
    ("journeys", ("sessions", "client_namespaces"), ["usr_id"], r"client_namespaces names \['usr_id'\]; conf/rules/identity.yml has"),
    ("journeys", ("sessions", "gap_minutes"), -1, r"sessions.gap_minutes is -1; it must be a whole number from 1 to 1440"),
    ("journeys", ("sessions", "gap_minutes"), "30", r"sessions.gap_minutes is '30'"),
    ("journeys", ("sessions", "gap_minute"), 30, r"sessions: unknown keys \['gap_minute'\]"),
    ("journeys", ("sessions", "bots", "most_per_minute", "pages"), 30, r"bots.most_per_minute: unknown keys \['pages'\]"),
    ("journeys", ("sessions", "bots", "no_dwell", "seconds"), float("nan"), r"no_dwell.seconds is nan"),
    (
        "journeys",
        ("touchpoints", "events", "ad_clicked", "interaction"),
        "clik",
        r"events.ad_clicked.interaction is 'clik'; it must be click",
    ),
    ("journeys", ("touchpoints", "events", "ad_clicked", "unles"), "true", r"events.ad_clicked: unknown keys \['unles'\]"),
    ("journeys", ("touchpoints", "events", True), {}, r"touchpoints.events: the key True is no text"),
    (
        "journeys",
        ("touchpoints", "events", "AdClicked"),
        {"interaction": "click", "channel": "Display"},
        r"a key is 'AdClicked'.*snake_case",
    ),
    ("journeys", ("touchpoints", "has_consent_without_a_row"), "no", r"has_consent_without_a_row is 'no'; it must be true or false"),
    ("journeys", ("touchpoints", "cost_per", "click"), "click", r"cost_per.click is 'click'; it must be clicks or impressions"),
    (
        "journeys",
        ("conversions", "events", "signed_up"),
        {"type": "signup", "when": "event_at > now()"},
        r"conversions.events.signed_up.when asks for now",
    ),
    (
        "segments",
        ("segments", 0, "when"),
        "last_order_date < current_date() - 30",
        r"segments.multi_buyers.when asks for current_date, but the same",
    ),
    ("segments", ("rfm", "rules", 0, "when"), "rand() < 0.5", r"rfm.rules.champions.when asks for rand"),
    ("journeys", ("conversions",), GONE, r"lacks the keys \['conversions'\]"),
    ("journeys", ("conversions", "order_statuses"), "completed", r"order_statuses is 'completed'; it must be a list"),
    ("journeys", ("conversions", "order_statuses"), ["complete"], r"order_statuses \(item 1\) is 'complete'; it must be completed"),
    ("journeys", ("conversions", "events", "signed_up"), {"typ": "signup"}, r"events.signed_up: unknown keys \['typ'\]"),
    ("journeys", ("conversions", "events", "signed_up"), {"when": "true"}, r"events.signed_up: lacks the keys \['type'\]"),
    (
        "journeys",
        ("conversions", "events", "signed_up"),
        "refund",
        r"events.signed_up is 'refund'; it must be a conversion's type, but refund",
    ),
    ("journeys", ("conversions", "events", "signed_up"), False, r"events.signed_up is False"),
    ("journeys", ("conversions", "events", "signed_up"), {"type": "signup", "value_amount": -1}, r"signed_up.value_amount is -1"),
    # segments
    ("segments", ("segments",), None, r"segments is None; it must be a list of segments"),
    ("segments", ("segments", 0, "wen"), "true", r"segments.multi_buyers: unknown keys \['wen'\]; allowed are \['name', 'when'\]"),
    ("segments", ("segments", 0, "when"), GONE, r"segments.multi_buyers: lacks the keys \['when'\]"),
    ("segments", ("segments", 0, "when"), 3, r"segments.multi_buyers.when is 3; it must be a condition in SQL"),
    ("segments", ("segments", 0, "name"), "browsers", r"segments: the names \['browsers'\] are there twice"),
    ("segments", ("segments", 0, "name"), "rfm_lost", r"name is 'rfm_lost'; .* begins with neither lifecycle_ nor rfm_"),
    ("segments", ("segments", 0, "name"), False, r"name is False; it must be a name"),
    ("segments", ("lifecycle", "active_days"), 400, r"lifecycle: active_days is 400 and at_risk_days 180"),
    ("segments", ("lifecycle", "active_days"), "ninety", r"lifecycle.active_days is 'ninety'; it must be a whole number of days"),
    ("segments", ("lifecycle", "active_day"), 9, r"lifecycle: unknown keys \['active_day'\]"),
    ("segments", ("rfm", "rules", 0, "name"), GONE, r"rfm.rules \(item 1\): lacks the keys \['name'\]"),
    ("segments", ("rfm", "rules"), "all", r"rfm.rules is 'all'; it must be a list of rules"),
    ("segments", ("rfm", "otherwise"), None, r"rfm.otherwise is None; it must be a name"),
]


@pytest.mark.parametrize(
    ("name", "place", "value", "said"), WRONG, ids=[f"{n}-{'.'.join(map(str, p))}-{i}" for i, (n, p, _, _) in enumerate(WRONG)]
)
def test_a_wrong_file_is_one_sentence(written, name, place, value, said):
    with pytest.raises(SettingsError, match=said) as error:
        written(name, changed(name, place, value))
    assert f"rules/{name}.yml: " in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 1000


RIGHT = [
    ("attribution", ("excluded_channels",), ["Direct Mail", "Paid Social"]),
    ("attribution", ("look_back_days", "view"), 0),
    ("attribution", ("look_back_days", "view"), 1.5),
    ("attribution", ("models",), {"Mine (2)": {"kind": "linear"}}),
    ("channels", ("own_hosts",), ["blog.example"]),
    ("channels", ("own_hosts",), None),
    ("channels", ("own_hosts",), GONE),
    ("channels", ("other_channels",), GONE),
    ("channels", ("other_channels",), ["Partner"]),
    ("channels", ("channels", 0, "when"), "traffic_medium rlike {paid} and traffic_source <> '{{'"),
    (
        "identity",
        ("namespaces", "loyalty_id"),
        {"rank": 12, "scope": "global", "pii": "none", "links": True, "unique": True, "known": True},
    ),
    ("identity", ("namespaces", "email", "block", "patterns"), [r"(?<name>x)\p{L}", "(?i)x", r"^[\w-.]+$", "a++", r"\Q(\E", "[a-z&&[^b]]"]),
    ("journeys", ("conversions", "events", "signed_up"), {"type": "signup", "when": "country = 'GB'", "value_amount": 2.5}),
    ("journeys", ("conversions", "order_statuses"), []),
    ("segments", ("segments",), []),
    ("segments", ("segments", 0, "when"), "orders >= 5"),
]


@pytest.mark.parametrize(("name", "place", "value"), RIGHT, ids=[f"{n}-{'.'.join(map(str, p))}-{i}" for i, (n, p, _) in enumerate(RIGHT)])
def test_what_is_right_stays_right(written, name, place, value):
    assert written(name, changed(name, place, value))


def test_a_whole_number_with_a_point_is_a_whole_number(written):
    read = written("journeys", changed("journeys", ("sessions", "gap_minutes"), 30).replace("gap_minutes: 30", "gap_minutes: 30.0"))
    assert repr(read["sessions"]["gap_minutes"]) == "30"


def test_a_channel_that_a_source_names_can_be_declared_and_then_excluded(written):
    written("channels", changed("channels", ("other_channels",), ["Partner"]))
    assert written("attribution", changed("attribution", ("excluded_channels",), ["Partner"]))["excluded_channels"] == ("Partner",)


@pytest.mark.parametrize("text", ["(", "[a", "a)", "*a", "(?P<x", "a{3,2}"])
def test_what_is_no_regular_expression_is_known(text):
    assert not is_pattern(text)


def test_the_sql_of_the_rules_is_known_by_its_place():
    assert expressions("segments", rules("segments"))["segments.multi_buyers.when"] == "orders >= 3"
    assert expressions("journeys", rules("journeys")) == {"touchpoints.events.email_opened.unless": "device_type = 'proxy'"}
    assert expressions("identity", rules("identity")) == {"namespaces.device_id.normalise": "lower(value)"}
    assert "rlike r'^(.*cp.*" in expressions("channels", rules("channels"))["channels.8.when"]
    assert expressions("attribution", rules("attribution")) == {}

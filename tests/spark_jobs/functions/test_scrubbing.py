"""What names a person goes, however it is written; everything else stays byte for byte."""

import json
import re
import time
from urllib.parse import unquote

import pyarrow as pa
import pytest
from hypothesis import example, given, settings, strategies as st

from conf.settings import rules
from conf.tables import Field, Table, Write
from spark_jobs.functions.identifiers import pads
from spark_jobs.functions.scrubbing import cleaned_values, declared_in, guard, scrubber, with_scrubbed
from tests.conf.test_personal import ADDRESSES, PHONES

DECLARED = declared_in(rules("channels"))
PATTERN = guard(DECLARED[0])


def cleaned(kind, text):
    """As a row of silver comes out of it: what the guard lets through is scrubbed."""
    found = cleaned_values(pa.array([text], pa.string()), [kind], PATTERN, DECLARED)
    return found[0][1] if found else text


def plain(text):
    """The text without escapes, in lower case."""
    for _ in range(6):
        text = unquote(text)
    return text.lower()


URLS = {
    "https://s.example/u?user%5Bemail%5D=ann.smith%40mail.example&x=1": "https://s.example/u?x=1",
    "https://s.example/u?user[email]=ann.smith@mail.example&x=1": "https://s.example/u?x=1",
    "https://s.example/u?e%6Dail=ann.smith%40mail.example": "https://s.example/u",
    "https://s.example/u?email[]=a&email.address=b&contact[e-mail][0]=c&customerEmail=d&billing_phone=5&tOKEN=e": "https://s.example/u",
    "https://s.example/a;phone=07700/edit;v=2?phone=+44 7700&x=1": "https://s.example/a/edit;v=2?x=1",
    "https://s.example/?x=1;phone=07700;y=2&token=a;b": "https://s.example/?x=1;y=2",
    "https://s.example/#/x?email=ann&y=1": "https://s.example/#/x?y=1",
    "https://s.example/#access_token=abc": "https://s.example/",
    "https://s.example/a?token=abc#top": "https://s.example/a#top",
    "https://s.example/a?email=x%40y.example&b=1": "https://s.example/a?b=1",
    "https://s.example/a?b=1&TOKEN=abc": "https://s.example/a?b=1",
    "https://s.example/a?myemail=1": None,
    "https://s.example/?r=https%3A%2F%2Fs.example%2F%3Fphone%3D077%26x%3D1&z=1": "https://s.example/?r=https%3A%2F%2Fs.example%2F%3Fx%3D1&z=1",
    "https://s.example/?next=/u?phone=07700": "https://s.example/?next=/u",
    "https://s.example/?utm_medium=email&utm_term=ann%2Esmith%2540mail.example": "https://s.example/?utm_medium=email&utm_term=[email]",
    "https://s.example/unsubscribe/ann.smith@mail.example.html": "https://s.example/unsubscribe/[email].html",
    "https://s.example/to%2Fann@mail.example/x": "https://s.example/to%2F[email]/x",
    "https://ann:secret@s.example/a": "https://s.example/a",
    "mailto:ann@mail.example": "mailto:[email]",
    # what these say names nobody
    "https://s.example/?mobile=true&token_count=3&mobile_os=ios&email[verified]=yes&email=": None,
    "https://s.example/?myemail=1&shipping=2&zip=3&tip=4&hotel=5&mailing=6": None,
    "https://s.example/img/logo@2x.png?v=1": None,
    "https://cdn.example/npm/vue@3.4.1/dist/vue.js": None,
    "https://maps.example/@52.52,13.40,15z": None,
    "https://blog.example/@ann/post?a=%zz&b=100%": None,
}


@pytest.mark.parametrize(("url", "clean"), URLS.items())
def test_an_address_loses_what_names_a_person_and_nothing_else(url, clean):
    assert cleaned("url", url) == (url if clean is None else clean)


JSONS = {
    '{"email":"a@b.example","plan":"pro","user":{"Phone" : "+44 1","n":1}}': '{"email":null,"plan":"pro","user":{"Phone":null,"n":1}}',
    '{"email": ["ann.smith@mail.example"], "n": 1.10}': '{"email":null, "n": 1.10}',
    '{"email": {"address": "x", "of": [{"]": "}"}]},"a":[1,2]}': '{"email":null,"a":[1,2]}',
    '{"user":{"Phone" : "+44 1","n":1},"phones":[1,2],"ip":-1.5e3}': '{"user":{"Phone":null,"n":1},"phones":null,"ip":null}',
    '{"mobile":true,"token":null,"token_count":3,"shipping":"dhl"}': None,
    r'{"u":"https:\/\/s.example\/?email=07700&b=\u00e9","k":"\/"}': r'{"u":"https://s.example/?b=\u00e9","k":"\/"}',
    r'{"e\u006dail":"x","b":"ann\u0040mail.example"}': r'{"e\u006dail":null,"b":"[email]"}',
    r'{"raw":"{\"phone\":\"07700\",\"n\":1.0}"}': r'{"raw":"{\"phone\":null,\"n\":1.0}"}',
    '{"ann@mail.example":1,"text":"write to Ann <ann@mail.example>, now"}': '{"[email]":1,"text":"write to Ann <[email]>, now"}',
    '{"a":"see https://s.example/?phone=07700 or call","q":"phone=1234&x=1"}': '{"a":"see https://s.example/ or call","q":"x=1"}',
    "write to ann@mail.example": "write to [email]",
    '{"email":"ann': '{"email":null',
    '{"phone":{"a":[': '{"phone":null',
    "[]": None,
    "": None,
}


@pytest.mark.parametrize(("text", "clean"), JSONS.items())
def test_json_stays_json_and_its_other_members_as_received(text, clean):
    assert cleaned("json", text) == (text if clean is None else clean)


KINDS = Table(
    name="silver.test",
    grain="",
    keys=(),
    columns=(
        *(Field(name, "string", holds=kind) for name, kind in (("u", "url"), ("t", ""), ("j", "json"), ("i", "id"), ("k", "id"))),
        Field("m", "map<string,boolean>"),
        Field("n", "bigint"),
    ),
    write=Write("merge"),
)


@pytest.fixture(scope="module")
def columns_of(spark):
    """The rows of (u, t, j, i, k, m) as KINDS has them scrubbed, with what is counted of each."""
    key = spark.createDataFrame([tuple(map(bytearray, pads(bytes(32))))], "_inner_pad BINARY, _outer_pad BINARY")

    def run(*rows):
        shape = "u STRING, t STRING, j STRING, i STRING, k STRING, m MAP<STRING, BOOLEAN>, n BIGINT, _reason STRING"
        given = spark.createDataFrame([(*row, 1, None) for row in rows], shape)
        return [(*tuple(r)[:6], r["_masked"]) for r in with_scrubbed(given, KINDS, key).collect()]

    return run


def test_columns_are_scrubbed_where_they_need_it_and_null_stays_null(columns_of):
    texts = ["https://s.example/?email=x", "/a/ann%40mail.example", "plain", None]
    found = columns_of(*((text, text, text, None, None, None) for text in texts))
    assert [row[:3] for row in found] == [("https://s.example/",) * 3, ("/a/[email]",) * 3, ("plain",) * 3, (None,) * 3]
    # what lost a declared parameter is as designed; what was masked is counted
    assert [row[6] for row in found] == [None, ["u", "t", "j"], None, None]


def test_an_id_that_names_a_person_is_the_same_hash_in_every_column_and_another_one_is_itself(columns_of):
    address, number = "Ann.Smith@mail.example", "+44 7700 900123"
    rows = [
        (None, None, None, address, address, None),
        (None, None, None, f"o-{address}", number, None),
        (None, None, None, "O-1%", "+1x", None),
    ]
    first, second, third = columns_of(*rows)
    assert first[3] == first[4] and first[3].startswith("hashed:") and len(first[3]) == 39
    assert second[3] != first[3] and second[4].startswith("hashed:") and second[6] == ["i", "k"]
    assert third[3:5] == ("O-1%", "+1x") and third[6] is None


def test_whatever_gives_way_gets_past_the_looks_that_spare_the_others(columns_of):
    texts = [*PHONES, *ADDRESSES]
    clean = [*PHONES.values(), *["[email]"] * len(ADDRESSES)]
    found = columns_of(*((text, text, json.dumps({"a": text, text: 1}, ensure_ascii=False), None, None, None) for text in texts))
    assert [row[1] for row in found] == [cleaned("text", one) for one in clean]
    assert [json.loads(row[2])["a"] for row in found] == [cleaned("text", one) for one in clean]
    assert all(row[6] == ["u", "t", "j"] for row in found)


def test_a_map_is_left_without_the_entries_that_a_person_s_address_names(columns_of):
    found = columns_of((None, None, None, None, None, {"marketing": True, "ann@mail.example": False}), (None,) * 5 + ({"ads": False},))
    assert [(row[5], row[6]) for row in found] == [({"marketing": True}, ["m"]), ({"ads": False}, None)]


HOSTILE = [
    '{"token":"' + r"x\"" * 200_000 + '","plan":"pro"}',
    '{"a@b.example":' + "[" * 200_000,
    '"' + r"\"" * 200_000 + "@",
    "https://s.example/?" + "mail" * 200_000 + "@",
    "https://s.example/?" + "email&" * 100_000 + "x=a%40",
    "https://s.example/" + ";email=" * 50_000,
    "a%40" * 100_000,
    "a." * 100_000 + "@" + "a." * 100_000,
    "://a" * 50_000 + "%3A%2F%2F" * 50_000 + "%40",
    "%25" * 200_000 + "40",
    "?a%3D" * 100_000,
]


def test_a_personal_value_of_any_length_is_emptied():
    assert cleaned("json", HOSTILE[0]) == '{"token":null,"plan":"pro"}'


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:24])
def test_a_text_of_any_length_takes_time_by_its_length(text):
    began = time.process_time()
    for kind in ("url", "text", "json"):
        cleaned(kind, text)
    assert time.process_time() - began < 20


def escaped_as(text, choices, level):
    """Some letters escaped, and the escapes themselves so many times."""
    written = "".join(f"%{ord(c):02{'x' if way == 2 else 'X'}}" if way else c for c, way in zip(text, choices))
    for _ in range(level if any(choices) else 0):
        written = written.replace("%", "%25")
    return written


mailboxes = st.from_regex(r"[a-z0-9]{1,8}([._+'-][a-z0-9]{1,8}){0,2}", fullmatch=True)
domains = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z][a-z0-9]{0,5}){0,2}\.(com|de|example|info|co\.uk)", fullmatch=True)
ways = st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=60, max_size=60)
KEYS = (
    "email", "EMAIL", "tOKEN", "e-mail", "E_Mail", "user_email", "customerEmail", "billing_phone", "billing-phone", "user[email]",
    "user%5Bemail%5D", "user%255Bphone%255D", "email[]", "email.address", "contact[e-mail][0]", "e%6Dail", "%65mail", "phones", "phone2", "accessToken",
    "userIp", "IPAddress", "first.name",
)  # fmt: skip
PLACES = (
    "https://s.example/?{}", "https://s.example/a?x=1&{}&y=2", "https://s.example/#{}", "https://s.example/#/x?y=1&{}", "https://s.example/a;{}",
    "https://s.example/a;{}/b?c=1", "https://s.example/?x=1;{};y=2", "/a?{}#b", "//s.example/?next=/b?{}", "x=1&{}", "see https://s.example/?{} now",
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    mailbox=mailboxes,
    domain=domains,
    ways=ways,
    level=st.integers(0, 2),
    kind=st.sampled_from(["url", "text", "json"]),
    place=st.integers(0, 9),
)
def test_an_e_mail_address_survives_nowhere(mailbox, domain, ways, level, kind, place):
    address = f"{mailbox}@{domain}"
    written = escaped_as(address, ways, level)
    in_text = (
        f"https://s.example/?utm_term={written}&x=1", f"https://s.example/unsubscribe/{written}", f"https://s.example/{written}/a?b=1",
        f"https://s.example/#{written}", f"https://s.example/?r=https%3A%2F%2Fs.example%2F%3Fx%3D{written}", f"Mail from {written}", written,
        f"<{written}>", f"mailto:{written}?subject=x", f"https://{written}@s.example/",
    )[place]  # fmt: skip
    if kind == "json":
        members = [in_text, [in_text], {"a": {in_text: 1.5}}, json.dumps({"b": in_text})]
        found = cleaned("json", json.dumps({"n": 1, "held": members[place % 4], "m": "x"}))
        assert json.loads(found)["n"] == 1 and json.loads(found)["m"] == "x"
        found = found.replace("\\", "")
    else:
        found = cleaned(kind, in_text)
    assert address not in plain(found)


@settings(max_examples=400, deadline=None)
@given(
    key=st.sampled_from(KEYS),
    place=st.sampled_from(PLACES),
    level=st.integers(0, 2),
    value=st.from_regex(r"\+?[1-9][0-9]{6,13}", fullmatch=True),
)
@example(key="email", place="https://s.example/?{}", level=0, value="1234567")
def test_a_value_under_a_declared_name_survives_nowhere(key, place, level, value):
    for kind in ("url", "text"):
        assert value not in plain(cleaned(kind, place.format(f"{key}={value}")))
    # the whole as another address's parameter, escaped as often as one likes
    inner = place.format(f"{key}={value}").replace(" ", "+")
    for _ in range(level + 1):
        inner = "".join(f"%{b:02X}" if chr(b) in "%=&?#/:;[]+" else chr(b) for b in inner.encode())
    assert value not in plain(cleaned("url", f"https://s.example/?next={inner}&z=1"))
    name = unquote(unquote(key))
    for held in (value, int(value), [value], {"a": [value, {"b": value}]}):
        found = cleaned("json", json.dumps({"a": 1.5, "of": [{name: held}], "z": "end"}))
        assert json.loads(found) == {"a": 1.5, "of": [{name: None}], "z": "end"}


harmless_words = st.sampled_from(
    ["lamp", "shipping", "zip", "page", "été", "price", "100%", "a b", "hotel", "mailing", "tips", "x-1", "%C3%A9", "2x", ""]
)
urls = st.builds(
    lambda path, pairs, fragment: "https://s.example/" + "/".join(path) + "?" + "&".join(f"{k}={v}" for k, v in pairs) + fragment,
    st.lists(harmless_words),
    st.lists(st.tuples(harmless_words, harmless_words)),
    st.just("") | harmless_words.map("#{}".format),
)
scalars = st.none() | st.booleans() | st.integers() | harmless_words | st.decimals(allow_nan=False, allow_infinity=False).map(float)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(harmless_words | st.sampled_from(["token_count", "mobile_os"]), inner, max_size=4)
    ),
)


@settings(max_examples=300, deadline=None)
@given(url=urls, value=values, indent=st.sampled_from([None, 1]), is_ascii=st.booleans())
def test_what_names_nobody_is_untouched(url, value, indent, is_ascii):
    text = json.dumps({"a": value, "url": url}, indent=indent, ensure_ascii=is_ascii)
    scrub = scrubber(*DECLARED)
    # with the guard and without it
    assert [cleaned("url", url), cleaned("text", url), cleaned("json", text)] == [url, url, text]
    assert [scrub.url(url), scrub.text(url), scrub.json(text)] == [url, url, text]


CHECKED = re.compile(r"(?i)[?&](email|phone|token)=(?!(true|false|yes|no|on|off|null|none|[01])?([&#;]|$))")


@settings(max_examples=500, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(
            ["email=", "PHONE=", "tOken=", "?", "&", "#", ";", "true", "1", " ", "\n", "\x00", "x", "%3D", "/", "@", "a.de", "//", '"']
        ),
        max_size=12,
    )
)
def test_what_the_table_s_check_forbids_never_remains(text):
    assert not CHECKED.search(cleaned("url", "".join(text)))

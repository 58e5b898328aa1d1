"""A vendor is asked over real HTTP: tried again when it helps, told apart by what to do, and no secret leaves but to its own origin."""

from __future__ import annotations

import email.utils
import gzip
import json
import time
from collections.abc import Iterator

import pytest

from connectors.kernel.auth import Credentials, auth_of, credentials_of, redacted
from connectors.kernel.budgets import Budget, Limit
from connectors.kernel.errors import (
    BrokenContractError,
    CredentialsError,
    ForeignOriginError,
    NothingThereError,
    RateLimitedError,
    RefusedRequestError,
    StreamDeclarationError,
    TemporaryError,
    TooMuchDataError,
)
from connectors.kernel.http import Call, Client, Rule, wait_asked
from tests.connectors.kernel.vendor import Said, Vendor, vendor

KEY = "pk_canary/9+8=7"
CREDENTIALS = Credentials("shop_main", {"login": "ann", "password": KEY})


@pytest.fixture
def there() -> Iterator[Vendor]:
    with vendor() as made:
        yield made


def client(there: Vendor, **more) -> Client:
    auth = auth_of({"kind": "bearer"}, CREDENTIALS, "conf/sources/shop.yml: auth")
    return Client(there.url, auth, **{"wait": lambda _: 0.0, **more})


def test_a_call_is_signed_and_its_answer_comes_whole_also_packed(there):
    there.says(Said(content=gzip.compress(b'{"n": 123456789012345678901}'), headers={"Content-Encoding": "gzip"}))
    answer = client(there, headers={"revision": "2026-07-15"}).ask(Call("/v1/events", {"size": 2}))
    (asked,) = there.asked
    assert answer.json() == {"n": 123456789012345678901}
    assert (asked.path, asked.params, asked.headers["revision"]) == ("/v1/events", {"size": "2"}, "2026-07-15")
    assert asked.headers["Authorization"] == f"Bearer {KEY}" and asked.headers["User-Agent"] == "throughline"


def test_the_machine_s_netrc_signs_nothing(there, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    there.says(Said(content={}))
    client(there).ask(Call("events"))
    assert there.asked[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("passing", [Said(500), Said(503), Said(429), Said(408), Said(200, {"data": []}, cut=3)])
def test_what_passes_is_tried_again(there, passing):
    there.says(passing, passing, Said(content={"id": 1}))
    made = client(there)
    assert made.ask(Call("events")).json() == {"id": 1} and made.calls == len(there.asked) == 3


def test_a_post_is_tried_again_with_its_body(there):
    there.says(Said(502), Said(content={}))
    client(there).ask(Call("search", body={"after": "x"}, method="POST"))
    assert [(one.method, json.loads(one.body)) for one in there.asked] == [("POST", {"after": "x"})] * 2


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [
        (400, RefusedRequestError, 1),
        (401, CredentialsError, 1),
        (403, CredentialsError, 1),
        (404, RefusedRequestError, 1),
        (413, TooMuchDataError, 1),
        (414, TooMuchDataError, 1),
        (500, TemporaryError, 3),
    ],
)
def test_a_status_says_what_to_do_and_what_only_a_person_mends_is_asked_once(there, status, kind, tries):
    there.says(Said(status, {"error": "no"}))
    with pytest.raises(kind, match=rf"GET http://127.0.0.1:\d+/events: answered {status} ") as error:
        client(there, tries=3).ask(Call("events"))
    assert len(there.asked) == tries and error.value.exit_code == (4 if status == 500 else 2)


RULES = (
    Rule("rate", path=("code",), values=frozenset({40100})),
    Rule("rate", frozenset({400}), ("error", "code"), frozenset({17})),
    Rule("split", frozenset({400}), ("error", "error_subcode"), frozenset({1487534})),
    Rule("config", path=(0, "errorCode"), values=frozenset({"INVALID_SESSION_ID"})),
    Rule("skip", frozenset({404})),
    Rule("fatal", frozenset({200}), ("code",), frozenset({40002})),
    Rule("split", path=("error", "message"), words="reduce the amount of data"),
)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Said(200, {"code": 40100, "message": "slow"}), RateLimitedError),
        (Said(400, {"error": {"code": 17}}), RateLimitedError),
        (Said(400, {"error": {"code": 100, "error_subcode": 1487534}}), TooMuchDataError),
        (Said(400, [{"errorCode": "INVALID_SESSION_ID"}]), CredentialsError),
        (Said(404, {}), NothingThereError),
        (Said(200, {"code": 40002}), RefusedRequestError),
        (Said(500, {"error": {"message": "Please reduce the amount of data you ask for"}}), TooMuchDataError),
        (Said(410, {"error": {"message": ["reduce the amount of data"]}}), RefusedRequestError),
    ],
)
def test_a_code_in_the_body_says_more_than_the_status(there, said, kind):
    there.says(said)
    with pytest.raises(kind):
        client(there, rules=RULES, deadline_seconds=0.2, wait=lambda _: 0.3).ask(Call("events"))
    assert len(there.asked) == 1


def test_the_wait_is_the_one_that_the_vendor_asks_for(there):
    slept: list[float] = []
    soon = time.time() + 5
    there.says(
        Said(429, {}, {"Retry-After": "7"}),
        Said(429, {}, {"X-RateLimit-Reset": f"{soon:.0f}"}),
        Said(503, {}, {"Retry-After": "0"}),
        Said(),
    )
    client(there, sleep=slept.append).ask(Call("events"))
    assert slept[0] == 7 and 3 < slept[1] < 6 and slept[2] == 0


def test_nobody_waits_beyond_the_deadline_and_the_error_says_how_long_it_would_be(there):
    there.says(Said(429, {}, {"Retry-After": "3600"}))
    with pytest.raises(RateLimitedError) as error:
        client(there, sleep=lambda _: pytest.fail("waited")).ask(Call("events"))
    assert error.value.retry_after == 3600 and error.value.exit_code == 4 and len(there.asked) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": email.utils.formatdate(1_000_000_060, usegmt=True)}, 60),
        ({"Retry-After": email.utils.formatdate(900_000_000, usegmt=True)}, 0),
        ({"X-RateLimit-Reset": "1000000030"}, 30),
        ({"RateLimit-Reset": "30"}, 30),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({}, None),
    ],
)
def test_a_wait_is_read_in_each_of_its_forms(headers, seconds):
    assert wait_asked(headers, now=lambda: 1_000_000_000.0) == seconds


def test_a_vendor_that_hangs_or_is_away_passes(there):
    there.answer = lambda _: time.sleep(0.5) or Said()
    with pytest.raises(TemporaryError, match=r"no whole answer \(ReadTimeout\)"):
        client(there, read_seconds=0.1, tries=2).ask(Call("events"))
    with pytest.raises(TemporaryError, match=r"no whole answer \(ConnectionError\)"):
        Client("http://127.0.0.1:1", client(there).auth, tries=1).ask(Call("events"))


def test_an_answer_has_a_limit_also_unpacked(there):
    there.says(Said(content=gzip.compress(b"[" + b" " * 2_000_000 + b"]"), headers={"Content-Encoding": "gzip"}))
    with pytest.raises(BrokenContractError, match="more than 1000000 bytes"):
        client(there, most_bytes=1_000_000).ask(Call("events"))


def test_an_answer_that_is_no_json_is_named(there):
    there.says(Said(content=b"<html>"))
    with pytest.raises(BrokenContractError, match="answered 200 with no JSON"):
        client(there).ask(Call("events")).json()


def test_credentials_go_to_their_origin_alone(there):
    with vendor() as other:
        other.says(Said())
        there.says(Said(302, {}, {"Location": f"{other.url}/events"}))
        with pytest.raises(ForeignOriginError, match=r"where the credentials must not go"):
            client(there).ask(Call("events"))
        host = there.url.removeprefix("http://")
        for url in (f"{other.url}/next", f"{other.url}\\@{host}/next", f"http://ann@{host}/next", f"https://{host}/next"):
            with pytest.raises(ForeignOriginError):
                client(there).ask(Call(url))
        assert other.asked == [] and len(there.asked) == 1
    there.says(Said())
    assert client(there).ask(Call(f"{there.url}/next?cursor=a%2Bb")).status == 200 and there.asked[-1].params == {"cursor": "a+b"}


def test_a_redirect_within_the_origin_is_named_and_not_followed(there):
    there.says(Said(301, {}, {"Location": "/v2/events?token=x"}))
    with pytest.raises(RefusedRequestError, match=r"moved to http://127\.0\.0\.1:\d+; set the path"):
        client(there).ask(Call("events"))
    assert len(there.asked) == 1


@pytest.mark.parametrize("url", ["http://api.example.com", "ftp://api.example.com", "api.example.com"])
def test_credentials_do_not_travel_in_clear(there, url):
    with pytest.raises(ForeignOriginError, match="give an https:// URL"):
        Client(url, client(there).auth)


def test_no_error_holds_a_secret_a_query_or_a_person(there):
    echo = {"error": f"bad key {KEY} of ann@mail.example", "quoted": "pk_canary%2F9%2B8%3D7", "line": "\x1b[31m"}
    for said in (Said(401, echo), Said(400, echo), Said(500, echo), Said(429, echo), Said(200, echo, cut=1)):
        there.says(said)
        with pytest.raises(Exception) as error:
            client(there, tries=1, deadline_seconds=0).ask(Call(f"lists/{KEY}/events", {"email": "ann@mail.example", "key": KEY}))
        text, chain = str(error.value), error.value
        assert (
            error.type.__module__ == "connectors.kernel.errors"
            and chain.__cause__ is None
            and chain.__suppress_context__ | (chain.__context__ is None)
        )
        assert "canary" not in text and "ann@" not in text and "key=" not in text and "\x1b" not in text and "/events: " in text


def test_a_secret_is_hidden_in_each_form_it_travels_in():
    assert redacted(f'{KEY} pk_canary%2F9%2B8%3D7 "a\\"bcdefg" on', (KEY, 'a"bcdefg', "on")) == '[secret] [secret] "[secret]" on'
    assert KEY not in repr(CREDENTIALS) and KEY not in repr(auth_of({"kind": "api_key"}, CREDENTIALS, ""))


@pytest.mark.parametrize(
    ("declared", "header", "value"),
    [
        ({"kind": "bearer"}, "Authorization", f"Bearer {KEY}"),
        ({"kind": "api_key", "header": "Access-Token"}, "Access-Token", KEY),
        ({"kind": "api_key", "prefix": "Klaviyo-API-Key "}, "Authorization", f"Klaviyo-API-Key {KEY}"),
        ({"kind": "basic"}, "Authorization", "Basic YW5uOnBrX2NhbmFyeS85Kzg9Nw=="),
    ],
)
def test_an_auth_fills_the_header_that_the_source_declares(declared, header, value):
    assert auth_of(declared, CREDENTIALS, "").headers() == {header: value}


@pytest.mark.parametrize("declared", [{}, {"kind": "magic"}, {"kind": ["bearer"]}, {"kind": "bearer", "colour": "red"}])
def test_an_auth_that_is_none_is_named_with_what_is_allowed(declared):
    with pytest.raises(StreamDeclarationError, match=r"conf/sources/shop\.yml: auth: got .* allowed are .*'basic'"):
        auth_of(declared, CREDENTIALS, "conf/sources/shop.yml: auth")


def test_credentials_come_by_reference_from_airflow_s_own_form():
    text = json.dumps({"conn_type": "http", "login": "ann", "password": KEY, "extra": json.dumps({"account": "9"})})
    assert credentials_of("shop_main", {"AIRFLOW_CONN_SHOP_MAIN": text}).values == {"account": "9", "login": "ann", "password": KEY}


@pytest.mark.parametrize("text", [None, "", f"http://ann:{KEY}@host", f'"{KEY}"', f'{{"password": "{KEY}", "extra": "{KEY}"}}'])
def test_credentials_that_are_none_are_said_without_a_word_of_them(text):
    with pytest.raises(CredentialsError, match=r"connection shop_main: is .*AIRFLOW_CONN_SHOP_MAIN") as error:
        credentials_of("shop_main", {} if text is None else {"AIRFLOW_CONN_SHOP_MAIN": text})
    assert KEY not in str(error.value) and error.value.__cause__ is None


def test_a_value_that_no_header_has_is_refused_without_being_shown():
    for value in (f"{KEY}\nX-Other: 1", f"{KEY}é"):
        with pytest.raises(CredentialsError, match="connection shop_main: password hold a sign that no header has") as error:
            auth_of({"kind": "bearer"}, Credentials("shop_main", {"password": value}), "")
        assert "canary" not in str(error.value)
    with pytest.raises(CredentialsError, match="connection shop_main: has no password; set it in Airflow's connection shop_main"):
        auth_of({"kind": "bearer"}, Credentials("shop_main", {}), "")


def test_an_auth_with_other_headers_is_tried_once_more(there):
    class Renewed:
        renewed = 0

        def headers(self):
            return {"Authorization": f"Bearer {self.renewed}"}

        def renew(self):
            self.renewed += 1
            return True

        def secrets(self):
            return ()

    there.answer = lambda asked: Said(200 if asked.headers["Authorization"] == "Bearer 1" else 401, {})
    auth = Renewed()
    assert Client(there.url, auth).ask(Call("events")).status == 200 and len(there.asked) == 2
    there.says(Said(401, {}))
    with pytest.raises(CredentialsError):
        Client(there.url, auth).ask(Call("events"))
    assert auth.renewed == 2


def test_one_answer_that_there_were_too_many_calls_stops_everybody(there, tmp_path):
    budget = Budget("shop/main/events", (Limit(1000, 1.0),), tmp_path / "budgets.sqlite")
    there.says(Said(429, {}, {"Retry-After": "600"}))
    with pytest.raises(RateLimitedError):
        client(there, budget=budget, deadline_seconds=5).ask(Call("events"))
    with pytest.raises(RateLimitedError, match=r"shop/main/events: its budget lets the next call through in \d+ s") as error:
        client(there, budget=budget, deadline_seconds=5).ask(Call("other"))
    assert len(there.asked) == 1 and 590 < error.value.retry_after <= 600


def test_a_header_that_says_how_much_of_a_limit_is_used_stops_everybody_before_it_is_reached(there, tmp_path):
    budget = Budget("shop/main/events", (Limit(1000, 1.0),), tmp_path / "budgets.sqlite")

    def pause(headers):
        return 600.0 if int(headers.get("Used", "0")) > 95 else 0.0

    there.says(Said(200, {}, {"Used": "94"}), Said(200, {}, {"Used": "96"}))
    one = client(there, budget=budget, deadline_seconds=5, pause=pause)
    assert [one.ask(Call("events")).status for _ in range(2)] == [200, 200]
    with pytest.raises(RateLimitedError, match="its budget lets the next call through"):
        one.ask(Call("events"))
    # and one that is refused waits as long as its headers say, with a budget or without
    there.says(Said(429, {}, {"Used": "100"}))
    with pytest.raises(RateLimitedError) as error:
        client(there, deadline_seconds=5, pause=pause).ask(Call("events"))
    assert error.value.retry_after == 600


def test_a_call_that_was_too_much_is_no_try_of_those_that_a_vendor_s_faults_have(there):
    there.says(Said(429), Said(429), Said(429), Said(500), Said(content={}))
    assert client(there, tries=2).ask(Call("events")).status == 200
    there.says(Said(500))
    with pytest.raises(TemporaryError):
        client(there, tries=2).ask(Call("events"))
    assert len(there.asked) == 5 + 2

"""Google Ads: answers of any length, restated days, and errors by Google's own codes."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import requests

from conf.settings import source
from connectors.kernel.auth import credentials_of
from connectors.kernel.errors import BrokenContractError, FailedStreamsError
from connectors.kernel.http import DEFAULT_RULES, classified
from connectors.kernel.paginate import members_in
from connectors.sandbox.apis import google_ads as sandbox_google, server
from connectors.sources.google_ads import CONNECTOR
from tests.connectors.sources.pulled import LAST, NOW, envelopes, make_world, payloads, pull, restate


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def there(rows, home, monkeypatch):
    with server.serving(rows, NOW) as sandbox:
        for name, value in sandbox.connections().items():
            monkeypatch.setenv(name, value)
        yield sandbox


def spend_of(home):
    """By day and ad the cost in the account's currency."""
    every = [(row["segments"]["date"], row["adGroupAd"]["ad"]["id"], row["metrics"]) for row in payloads(home, "google_ads", "ad_spend")]
    return {(day, ad): (Decimal(one["costMicros"]) / 1_000_000, int(one["clicks"])) for day, ad, one in every}


def true_spend(sandbox, first="2026-10-24", last="2026-11-20"):
    return {
        (row["spend_date"], row["ad_id"]): (Decimal(row["spend"]), int(row["clicks"]))
        for row in sandbox.served["google_ads"].spend(first, last)
    }


def test_a_stream_s_rows_are_the_vendor_s_bytes_to_the_last(there, home, monkeypatch):
    monkeypatch.setattr(sandbox_google, "PAGE_ROWS", 2)
    counts = pull("google_ads", home, "ad_spend")
    assert spend_of(home) == true_spend(there) and counts["ad_spend"].records == len(true_spend(there))
    (one, *_) = (line for line in envelopes(home, "google_ads", "ad_spend") if line["_slice_id"] == str(LAST))
    body = {"query": source("google_ads").streams["ad_spend"]["body"]["query"].format(day=LAST, last_day=LAST)}
    url = f"{there.url}/google_ads/v26/customers/1000000100/googleAds:searchStream"
    assert one["payload"] in requests.post(url, json=body, headers={"Authorization": f"Bearer {sandbox_google.TOKEN}"}, timeout=10).text
    # as Google writes them: texts
    assert isinstance(json.loads(one["payload"])["metrics"]["costMicros"], str)


def test_a_search_follows_page_tokens_and_asks_for_no_size(there, home, monkeypatch):
    monkeypatch.setattr(sandbox_google, "PAGE_ROWS", 1)
    assert pull("google_ads", home, "campaigns")["campaigns"].records == 3
    assert Counter(row["campaign"]["id"] for row in payloads(home, "google_ads", "campaigns")) == dict.fromkeys(
        ("21000000011", "21000000012", "21000000013"), 1
    )
    with pytest.raises(FailedStreamsError, match="PAGE_SIZE_NOT_SUPPORTED") as error:
        body = {**source("google_ads").streams["campaigns"]["body"], "pageSize": 100}
        pull("google_ads", home, "campaigns", more={"campaigns": {"body": body}})
    assert error.value.exit_code == 2


def test_complaint_4_cost_that_is_restated_within_thirty_days_replaces_its_day_whole(there, home):
    there.now = datetime(2026, 11, 2, tzinfo=UTC)
    pull("google_ads", home, "ad_spend", first_day=date(2026, 11, 1), last_day=date(2026, 11, 1))
    early, first = spend_of(home), true_spend(there, last="2026-11-01")
    assert early == first
    there.now = NOW
    restate(there, "google_ads", "2026-11-01")
    pull("google_ads", home, "ad_spend")
    assert spend_of(home) == true_spend(there)
    day = [key for key in early if key[0] == "2026-11-01"]
    assert {spend_of(home).get(key, (0, 0))[0] for key in day} == {0, Decimal("99.990001")}
    # a day was asked for again, and says what it said: no other attempt
    assert pull("google_ads", home, "ad_spend")["ad_spend"].landed == 0


def test_the_words_of_a_day_without_rows_are_no_fault(there, home):
    day = {"first_day": date(2025, 1, 1), "last_day": date(2025, 1, 1), "more": {"ad_spend": {"lookback": "0d"}}}
    counts = pull("google_ads", home, "ad_spend", **day)["ad_spend"]
    assert (counts.files, counts.records, counts.failures) == (1, 0, [])


@pytest.mark.parametrize("kind", ["429", "429_bare", "500", "internal"])
def test_what_passes_is_asked_again(there, home, kind):
    there.faults.append(server.Fault("google_ads", "searchStream", kind))
    day = {"first_day": LAST, "last_day": LAST, "is_named": True}
    pull("google_ads", home, "ad_spend", more={"ad_spend": {"lookback": "0d"}}, **day)
    assert spend_of(home) == true_spend(there, str(LAST))


@pytest.mark.parametrize("kind", ["cut", "broken_stream"])
def test_a_stream_that_breaks_in_the_middle_lands_nothing_of_its_day_and_the_next_pull_goes_on_there(there, home, kind):
    there.faults.append(server.Fault("google_ads", "searchStream", kind))
    with pytest.raises(FailedStreamsError) as error:
        pull("google_ads", home, "ad_spend")
    assert error.value.exit_code == 4 and not envelopes(home, "google_ads", "ad_spend")
    pull("google_ads", home, "ad_spend")
    assert spend_of(home) == true_spend(there)


@pytest.mark.parametrize(
    ("kind", "code", "verdict"),
    [
        ("quotaError", "RESOURCE_EXHAUSTED", "rate"), ("quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", "rate"),
        ("internalError", "TRANSIENT_ERROR", "transient"), ("internalError", "DEADLINE_EXCEEDED", "transient"),
        ("requestError", "RPC_DEADLINE_TOO_SHORT", "split"), ("authorizationError", "USER_PERMISSION_DENIED", "config"),
        ("queryError", "UNRECOGNIZED_FIELD", "fatal"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_list", [False, True])
def test_google_s_code_says_more_than_the_status(kind, code, verdict, is_list):
    body = json.loads(bytes(sandbox_google.failure(400, "INVALID_ARGUMENT", kind, code, "").body))
    content = json.dumps([body] if is_list else body).encode()
    assert classified(400, content, (*CONNECTOR.rules, *DEFAULT_RULES)) == verdict


@pytest.mark.parametrize(("kind", "said"), [("expired", "look at connection google_ads_main"), ("sunset", "UNSUPPORTED_VERSION")])
def test_what_only_a_person_can_mend_is_said_at_once_and_without_secrets(there, home, kind, said):
    there.faults.append(server.Fault("google_ads", "googleAds", kind, 99))
    with pytest.raises(FailedStreamsError, match=said) as error:
        pull("google_ads", home)
    assert error.value.exit_code == 2
    secrets = (*sandbox_google.CLIENT[1:], sandbox_google.DEVELOPER, sandbox_google.TOKEN)
    assert (
        not [one for one in secrets if one in str(error.value)]
        and there.asked.count("POST /google_ads/v26/customers/1000000100/googleAds:search") <= 2
    )


def test_the_developer_s_token_and_the_manager_are_named_where_there_are_any(there, home, monkeypatch):
    stream = CONNECTOR.declared(source("google_ads"), "ad_spend")
    (account,) = stream.accounts
    told = CONNECTOR.auth(stream.source, account, credentials_of("google_ads_main"))
    assert told.headers()["developer-token"] == sandbox_google.DEVELOPER and sandbox_google.DEVELOPER in told.secrets()
    said = json.loads(there.connections()["AIRFLOW_CONN_GOOGLE_ADS_MAIN"])
    del said["extra"]["developer_token"]
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_ADS_MAIN", json.dumps(said))
    assert set(CONNECTOR.auth(stream.source, account, credentials_of("google_ads_main")).headers()) == {"Authorization"}
    assert pull("google_ads", home, "campaigns")["campaigns"].records == 3
    managed = account.__class__(account.name, account.secret, account.zone, {**account.values, "login_customer_id": "900"})
    assert (CONNECTOR.headers(stream, account), CONNECTOR.headers(stream, managed)) == ({}, {"login-customer-id": "900"})


def test_a_list_of_any_length_is_given_member_by_member_whatever_its_blocks():
    every = [{"a": 'x]"{\\', "b": [1, {"c": "}"}], "deep": [[[[[[{"n": n}]]]]]], "long": 12345678901234567890123} for n in range(200)]
    for text in (json.dumps(every), json.dumps(every, indent=2) + "\n", "[]", " [ ] "):
        content = text.encode()
        for size in (1, 7, 100, 65536):
            found = list(members_in((content[i : i + size] for i in range(0, len(content), size)), "GET x", 10**6))
            assert [json.loads(one) for one in found] == json.loads(text) and all(one in content for one in found)


@pytest.mark.parametrize("content", [b'{"a": 1}', b'[{"a": 1}', b"", b"<html>", b'[{"a": "' + b"x" * 2000 + b'"}]'])
def test_what_is_no_list_ends_too_early_or_has_too_long_a_member_is_refused(content):
    with pytest.raises(BrokenContractError):
        list(members_in((content[i : i + 64] for i in range(0, len(content), 64)), "GET x", 1000))

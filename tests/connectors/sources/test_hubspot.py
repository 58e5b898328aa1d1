"""HubSpot over real HTTP: each contact once, however many changed in one instant, deleted ones too, and its refusals by their names."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conf.settings import source
from connectors.kernel import pulls
from connectors.kernel.errors import BrokenContractError, FailedStreamsError
from connectors.kernel.http import Answer, Call
from connectors.sandbox.apis import hubspot, server
from connectors.sources.hubspot import beyond
from tests.connectors.sources.crm import NOW, envelopes, make_world, payloads, pull, rows_of, unhurried

SEARCH = "POST /hubspot/crm/objects/2026-03/contacts/search"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def sandbox(folder, home, monkeypatch):
    for name in hubspot.LIMITS:
        monkeypatch.setitem(hubspot.LIMITS, name, (hubspot.LIMITS[name][0], ((10_000, 1.0),)))
    with server.serving(folder, NOW) as made:
        for name, value in made.connections().items():
            monkeypatch.setenv(name, value)
        yield made


def contact(number: int, at: str, **more: str) -> dict:
    shared = {"email": f"p{number}@mail.example", "phone": None, "first_name": "A", "last_name": "B", "country": "GB"}
    return {**shared, "crm_id": f"c-{number:06d}", "created_at": at, "updated_at": at, **more}


def test_every_contact_comes_once_as_it_is_in_force(sandbox, folder, home):
    pull(unhurried("hubspot"), home)
    found = payloads(home, "hubspot", "contacts")
    newest = sandbox.served["hubspot"].newest("contacts", "crm_id")
    assert Counter(one["properties"]["crm_id"] for one in found) == Counter(row["crm_id"] for row in newest)
    told = {one["properties"]["crm_id"]: (one["properties"]["email"], one["properties"]["phone"], one["updatedAt"]) for one in found}
    assert told == {row["crm_id"]: (row["email"], row["phone"], row["updated_at"]) for row in newest}
    assert len(rows_of(folder, "hubspot", "contacts")) > len(newest), "the world has contacts that changed"


def test_what_changed_since_comes_with_the_next_pull_and_nothing_else(sandbox, home):
    sandbox.now = datetime(2026, 11, 10, tzinfo=UTC)
    pull(unhurried("hubspot"), home)
    before = len(payloads(home, "hubspot", "contacts"))
    sandbox.now = NOW
    at = (datetime.now(UTC) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.123Z")
    sandbox.now = None
    sandbox.served["hubspot"].add("contacts", contact(1, at))
    counts = pull(unhurried("hubspot"), home, run="run-2")
    assert counts["contacts"].records == 1, "the look-back finds what stood in the search late"
    assert payloads(home, "hubspot", "contacts")[-1]["updatedAt"] == at and len(payloads(home, "hubspot", "contacts")) == before + 1


def test_complaint_1_more_than_10000_contacts_of_one_instant_all_come_and_the_search_ends(sandbox, home):
    tied = [contact(500_000 + n, "2026-11-01T10:00:00.000Z") for n in range(10_450)]
    sandbox.served["hubspot"].add("contacts", *tied)
    pull(unhurried("hubspot"), home, "contacts")
    found = Counter(one["properties"]["crm_id"] for one in payloads(home, "hubspot", "contacts"))
    assert set(found.values()) == {1} and {row["crm_id"] for row in tied} <= set(found)
    # one call per 200 contacts, one per empty year before
    assert sandbox.asked.count(SEARCH) <= len(found) // 200 + 1 + 17


def test_complaint_1_a_page_that_is_empty_or_short_is_not_the_last():
    call = Call(
        "search", body={"filterGroups": [{"filters": [{"propertyName": "hs_object_id", "operator": "GT", "value": "4"}]}]}, method="POST"
    )

    def after(text: str, count: int) -> Call | None:
        return beyond(call, Answer(200, {}, text.encode(), "POST search", ""), count)

    empty = after('{"total": 9, "results": [], "paging": {"next": {"after": "200"}}}', 0)
    assert empty is not None and empty.body == {**call.body, "after": "200"}
    for text in ('{"total":1,"results":[{"id":"7"}],"paging":{"next":{"after":"1"}}}', '{"total":2,"results":[{"id":"7"}]}'):
        short = after(text, 1)
        assert short is not None and short.body["filterGroups"][0]["filters"][0]["value"] == "7" and "after" not in short.body
    assert after('{"total":1,"results":[{"id":"7"}]}', 1) is None and after('{"total":0,"results":[]}', 0) is None
    for ids in ('"9"},{"id":"8"', '"3"', '"10"},{"id":"10"'):
        with pytest.raises(BrokenContractError, match="not sorted by hs_object_id"):
            after(f'{{"total":9,"results":[{{"id":{ids}}}],"paging":{{"next":{{"after":"1"}}}}}}', 2)


def test_complaint_3_more_fields_than_a_url_holds_are_no_fault(sandbox, home):
    gone = contact(600_001, "2026-11-02T10:00:00.000Z", archived_at="2026-11-03T10:00:00.000Z")
    sandbox.served["hubspot"].add("contacts", gone)
    wide = {"fields": (*(f"a_property_of_the_account_{n:04d}" for n in range(600)), "crm_id")}
    pull(unhurried("hubspot", contacts=wide, archived_contacts=wide), home)
    for stream in ("contacts", "archived_contacts"):
        found = payloads(home, "hubspot", stream)
        assert found and all(len(one["properties"]) == 604 and one["properties"]["crm_id"] for one in found)


def test_deleted_contacts_come_as_they_were_and_once(sandbox, home):
    rows = [contact(700_000 + n, "2026-11-02T10:00:00.000Z", archived_at="2026-11-03T10:00:00.000Z") for n in range(230)]
    sandbox.served["hubspot"].add("contacts", *rows)
    pull(unhurried("hubspot"), home)
    found = payloads(home, "hubspot", "archived_contacts")
    assert Counter(one["properties"]["email"] for one in found) == Counter(row["email"] for row in rows)
    assert {(one["archived"], one["archivedAt"]) for one in found} == {(True, "2026-11-03T10:00:00.000Z")}
    assert not {row["crm_id"] for row in rows} & {one["properties"]["crm_id"] for one in payloads(home, "hubspot", "contacts")}
    before = payloads(home, "hubspot", "archived_contacts")
    sandbox.now = None
    at = (datetime.now(UTC) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.123Z")
    # the vendor forgets those of before, and another one is deleted
    sandbox.served["hubspot"]._rows["contacts"] = [contact(700_999, at, archived_at=at)]
    assert pull(unhurried("hubspot"), home, "archived_contacts", run="run-2")["archived_contacts"].records == 1
    assert [one["archivedAt"] for one in payloads(home, "hubspot", "archived_contacts")] == [one["archivedAt"] for one in before] + [at]


def test_what_is_landed_is_the_vendor_s_bytes(sandbox, home):
    pull(unhurried("hubspot"), home, "contacts")
    line = envelopes(home, "hubspot", "contacts")[0]
    assert line["payload"].startswith('{"id":"') and line["_api_version"] == "2026-03" and line["_account"] == "main"


def test_too_many_calls_wait_and_nothing_is_lost(sandbox, home):
    sandbox.faults += [server.Fault("hubspot", "/search$", "429"), server.Fault("hubspot", "/search$", "locked")]
    pull(unhurried("hubspot"), home, "contacts")
    assert len(payloads(home, "hubspot", "contacts")) == len(sandbox.served["hubspot"].newest("contacts", "crm_id"))


@pytest.mark.parametrize(("kind", "code", "said"), [
    ("expired", 2, "EXPIRED_AUTHENTICATION"), ("malformed", 2, "530"), ("sunset", 2, "answered 404"),
])  # fmt: skip
def test_refusals_are_said_with_what_to_do_and_no_secret(sandbox, home, kind, code, said):
    sandbox.faults.append(server.Fault("hubspot", "/", kind, times=9))
    with pytest.raises(FailedStreamsError) as error:
        pull(unhurried("hubspot"), home)
    assert error.value.exit_code == code and said in str(error.value) and hubspot.TOKEN not in str(error.value)
    assert not payloads(home, "hubspot", "contacts")


def test_a_pull_that_breaks_off_in_a_page_asks_for_it_again(sandbox, home):
    sandbox.served["hubspot"].add("contacts", *(contact(800_000 + n, "2026-11-01T10:00:00.000Z") for n in range(500)))
    sandbox.faults.append(server.Fault("hubspot", "/search$", "cut"))
    pull(unhurried("hubspot", contacts={"step": "9000d"}), home, "contacts")
    assert set(Counter(one["id"] for one in payloads(home, "hubspot", "contacts")).values()) == {1}
    assert len(payloads(home, "hubspot", "contacts")) == len(sandbox.served["hubspot"].newest("contacts", "crm_id"))


def test_a_check_asks_once_per_stream(sandbox):
    assert set(pulls.check(source("hubspot"))) == {"contacts", "archived_contacts"} and len(sandbox.asked) == 2

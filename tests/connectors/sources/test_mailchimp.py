"""Mailchimp: lists that change while they are read, reports campaign by campaign, and connections that are too many."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date

import pytest

from conf.settings import source
from connectors.kernel.auth import Credentials, credentials_of
from connectors.kernel.errors import BrokenContractError, CredentialsError, FailedStreamsError, StreamDeclarationError
from connectors.kernel.http import Call, Client
from connectors.sandbox.apis import mailchimp as sandbox_mailchimp, server
from connectors.sources.mailchimp import CONNECTOR, _listed
from tests.connectors.kernel.vendor import Said, vendor
from tests.connectors.sources.pulled import NOW, envelopes, make_world, payloads, pull

REPORTS = ("sent_to", "email_activity", "unsubscribed", "abuse_reports")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = make_world(tmp_path_factory.mktemp("world"))
    # a second campaign, of another week, with a letter to each of ten
    kept = folder / "mailchimp"
    (campaign,) = [json.loads(line) for line in (kept / "campaigns.jsonl").read_text().splitlines()]
    more = {**campaign, "campaign_id": "e-97", "name": "newsletter-97", "updated_at": "2026-11-19T05:00:00.000Z"}
    (kept / "campaigns.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (campaign, more)))
    with (kept / "email_events.jsonl").open("a") as out:
        for number in range(10):
            who = {
                "email": f"p{number}@mail.example",
                "crm_id": f"c-9{number:05d}",
                "campaign_id": "e-97",
                "campaign_name": "newsletter-97",
            }
            for event, second in (("sent", 0), ("opened", 10), ("opened", 20), ("clicked", 30)):
                at = f"2026-11-19T06:00:{second + number:02d}.000Z"
                what = {"id": f"m-{event[:2].encode().hex()}{second:02d}{number:010d}", "event": event, "event_at": at, "received_at": at}
                out.write(json.dumps({**what, **who, **({"url": "https://shop.example/"} if event == "clicked" else {})}) + "\n")
    return folder


@pytest.fixture
def there(rows, home, monkeypatch):
    with server.serving(rows, NOW) as sandbox:
        for name, value in sandbox.connections().items():
            monkeypatch.setenv(name, value)
        yield sandbox


def events_of(home, stream):
    """(campaign, address, action, second) of each record."""
    found = []
    for record in payloads(home, "mailchimp", stream):
        member, activity = record["member"], record.get("activity", {})
        at = activity.get("timestamp") or member.get("timestamp") or member.get("date") or ""
        found.append((member["campaign_id"], member["email_address"], activity.get("action", stream), at[:19]))
    return found


def true_events(sandbox, *names):
    every = {row["id"]: row for row in sandbox.served["mailchimp"].rows("email_events") if row["event"] in names}
    return [(row["campaign_id"], row["email"], row["event"], row["event_at"][:19]) for row in every.values()]


def small(count):
    return {name: {"params": {**said["params"], "count": count}} for name, said in source("mailchimp").streams.items()}


def test_each_letter_that_was_sent_is_there_once_and_each_action_by_itself(there, home):
    pull("mailchimp", home, more=small(7))
    sent = {(campaign, address) for campaign, address, *_ in true_events(there, "sent")}
    assert Counter((campaign, address) for campaign, address, *_ in events_of(home, "sent_to")) == dict.fromkeys(sent, 1)
    names = sandbox_mailchimp.ACTIONS
    told = Counter((campaign, address, names[event], at) for campaign, address, event, at in true_events(there, *names))
    assert Counter(events_of(home, "email_activity")) == told and len(told) > 40
    assert {one[:2] for one in events_of(home, "unsubscribed")} == {one[:2] for one in true_events(there, "unsubscribed")}
    assert {one[:2] for one in events_of(home, "abuse_reports")} == {one[:2] for one in true_events(there, "complained")}


def test_an_action_s_record_is_the_vendor_s_bytes_beside_who_and_which_campaign(there, home):
    pull("mailchimp", home, "email_activity")
    line = next(one["payload"] for one in envelopes(home, "mailchimp", "email_activity") if '"click"' in one["payload"])
    record = json.loads(line)
    assert set(record) == {"campaign", "member", "activity"} and "activity" not in record["member"]
    assert set(record["member"]) == {"email_id", "email_address", "campaign_id", "list_id", "list_is_active"}
    assert record["activity"]["url"] and record["campaign"]["settings"]["title"].startswith("newsletter-")


def test_members_say_what_they_allow_to_the_last(there, home):
    pull("mailchimp", home, "members", more=small(5))
    found = {one["merge_fields"]["CRM_ID"]: one["status"] for one in payloads(home, "mailchimp", "members")}
    wanted = there.served["mailchimp"].newest("consents", "crm_id")
    assert found == {row["crm_id"]: "subscribed" if row["granted"] else "unsubscribed" for row in wanted} and len(found) > 20


def test_complaint_8_each_campaign_has_its_own_cursor_and_is_done_some_time_after_it_was_sent(there, home):
    pull("mailchimp", home, *REPORTS)
    cursors = home / "state" / "cursors" / "mailchimp" / "main"
    assert {path.name for path in cursors.glob("*.json")} == {
        f"{name}@{campaign}.json" for name in REPORTS for campaign in ("e-02", "e-97")
    }
    there.asked.clear()
    pull("mailchimp", home, *REPORTS)
    # nobody asks again for letters that were sent long ago; actions go on to come in
    assert {one for one in there.asked if "reports" in one and "sent-to" in one} == set()
    assert {one for one in there.asked if "email-activity" in one} == {
        f"GET /mailchimp/3.0/reports/{one}/email-activity" for one in ("e-02", "e-97")
    }
    late = {"email_activity": {"follow": "1d"}}
    there.asked.clear()
    pull("mailchimp", home, "email_activity", more=late)
    assert [one for one in there.asked if "reports" in one] == []


def test_complaint_8_a_pull_that_was_stopped_goes_on_with_the_campaigns_that_are_left(there, home):
    there.faults.append(server.Fault("mailchimp", "reports/e-97/email-activity", "expired", 99))
    with pytest.raises(FailedStreamsError):
        pull("mailchimp", home, "email_activity")
    first = {one[0] for one in events_of(home, "email_activity")}
    assert first == {"e-02"}
    there.faults.clear()
    pull("mailchimp", home, "email_activity")
    assert {one[0] for one in events_of(home, "email_activity")} == {"e-02", "e-97"}
    assert len(events_of(home, "email_activity")) == len(true_events(there, *sandbox_mailchimp.ACTIONS))


def test_complaint_8_there_is_a_first_day(there, home):
    pull("mailchimp", home, "email_activity", more={"email_activity": {"start_date": date(2026, 11, 15)}})
    assert {one[0] for one in events_of(home, "email_activity")} == {"e-97"}


def test_complaint_8_no_record_is_passed_over_where_a_list_gets_shorter_while_it_is_read():
    everybody = [f"m{number}" for number in range(6)]
    with vendor() as there:

        def answer(asked):
            offset = int(asked.params["offset"])
            if offset == 2 and "m0" in everybody:
                everybody.remove("m0")
            return Said(content={"members": [{"id": one} for one in everybody[offset : offset + 2]], "total_items": len(everybody)})

        there.answer = answer
        found = [
            json.loads(one)["id"] for page in _listed(Client(there.url, Nobody()), Call("members"), ("members",)) for one in page.records
        ]
    assert list(dict.fromkeys(found)) == ["m0", "m1", "m2", "m3", "m4", "m5"]


class Nobody:
    def headers(self):
        return {}

    def renew(self):
        return False

    def secrets(self):
        return ()


@pytest.mark.parametrize(
    "answers", [[{"members": [], "total_items": 3}], [{"members": [{"id": 1}], "total_items": 3}] * 2, [{"members": []}]]
)
def test_a_list_that_ends_before_its_count_or_repeats_a_page_is_refused(answers):
    with vendor() as there:
        there.says(*(Said(content=one) for one in answers))
        with pytest.raises(BrokenContractError):
            list(_listed(Client(there.url, Nobody()), Call("members"), ("members",)))


@pytest.mark.parametrize("kind", ["overload", "429", "500"])
def test_too_many_connections_are_waited_for_whether_429_or_a_403_without_json(there, home, kind):
    there.faults.append(server.Fault("mailchimp", "members", kind))
    pull("mailchimp", home, "members")
    assert len(payloads(home, "mailchimp", "members")) > 20


@pytest.mark.parametrize("kind", ["expired", "forbidden"])
def test_a_403_with_json_is_a_person_s_to_mend_and_no_secret_is_said(there, home, kind):
    there.faults.append(server.Fault("mailchimp", "members", kind, 9))
    with pytest.raises(FailedStreamsError, match="look at connection mailchimp_main") as error:
        pull("mailchimp", home, "members")
    assert (
        error.value.exit_code == 2
        and sandbox_mailchimp.KEY not in str(error.value)
        and there.asked.count("GET /mailchimp/3.0/lists/4ca5becb8d/members") == 1
    )


def test_a_campaign_that_is_gone_costs_no_other_and_a_wrong_list_is_said(there, home):
    there.faults.append(server.Fault("mailchimp", "reports/e-02/sent-to", "gone", 9))
    pull("mailchimp", home, "sent_to")
    assert {one[0] for one in events_of(home, "sent_to")} == {"e-97"}
    there.faults.append(server.Fault("mailchimp", "members", "gone", 9))
    with pytest.raises(FailedStreamsError, match="is the account's list right"):
        pull("mailchimp", home, "members")


@pytest.mark.parametrize(
    ("key", "place"), [("0123-us19", "https://us19.api.mailchimp.com/3.0"), ("0123-", ""), ("0123", ""), ("0-us1.x", ""), ("0-a/b", "")]
)
def test_the_data_centre_is_the_end_of_the_key_and_nothing_else(key, place):
    stream = CONNECTOR.declared(source("mailchimp"), "members")
    made = Credentials("mailchimp_main", {"password": key})
    if place:
        assert CONNECTOR.base_url(stream.source, stream.accounts[0], made) == place
        return
    with pytest.raises(CredentialsError, match="data centre") as error:
        CONNECTOR.base_url(stream.source, stream.accounts[0], made)
    assert key not in str(error.value)


def test_all_streams_share_ten_connections_and_need_no_user_s_name(there):
    found = source("mailchimp")
    streams = [CONNECTOR.declared(found, name) for name in found.streams]
    budgets = [CONNECTOR.client(one, one.accounts[0]).budget for one in streams]
    assert {(one.name, one.at_once) for one in budgets if one} == {("mailchimp/mailchimp_main/api", 10)}
    nameless = replace(credentials_of("mailchimp_main"), values={"password": "0123456789-us1"})
    assert CONNECTOR.auth(found, streams[0].accounts[0], nameless).headers()["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("wrong", [{"api": 0}, {"api": "10"}, 10])
def test_how_many_calls_at_once_is_a_number_by_a_budget_s_name(wrong):
    found = source("mailchimp")
    with pytest.raises(StreamDeclarationError, match=r"settings\.at_once is"):
        CONNECTOR.declared(replace(found, settings={**found.settings, "at_once": wrong}), "members")

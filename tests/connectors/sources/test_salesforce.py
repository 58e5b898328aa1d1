"""Salesforce over real HTTP: each record once by REST and by jobs, deleted ones too, jobs found again, and tokens that go nowhere else."""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from conf.settings import source
from connectors.kernel import jobs, pulls
from connectors.kernel.errors import FailedStreamsError, StreamDeclarationError
from connectors.sandbox.apis import salesforce, server
from connectors.sources.salesforce import CONNECTOR
from tests.connectors.sources.crm import NOW, envelopes, make_world, payloads, pull, rows_of, unhurried

JOB = "POST /salesforce/services/data/v67.0/jobs/query"
TOKEN = "POST /salesforce/services/oauth2/token"
BULK = {"above": 0, "max_records": 50_000, "most_seconds": 60}
FIELDS = {stream: source("salesforce").streams[stream]["fields"] for stream in source("salesforce").streams}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def sandbox(folder, home, monkeypatch):
    monkeypatch.setattr(jobs, "FIRST_WAIT", 0.01)
    with server.serving(folder, NOW) as made:
        for name, value in made.connections().items():
            monkeypatch.setenv(name, value)
        yield made


def lead(number: int, at: str = "2026-11-02T10:00:00.123Z", **more: object) -> dict:
    return {"id": f"k-{number:016x}", "event": "lead_created", "event_at": at, "received_at": at, "crm_id": f"c-{number:06d}", **more}


def deals(*count: int) -> list[dict]:
    """Stages of one deal, all of one second."""
    at, said = "2026-11-03T10:00:00.000Z", {"deal_id": "d-1", "stage": "proposal"}
    shared = {"event_at": at, "received_at": at, "crm_id": "c-1"}
    first = {**shared, "id": f"k-{0:016x}", "event": "deal_created", "properties": {"deal_id": "d-1"}}
    return [first, *({**shared, "id": f"k-{n:016x}", "event": "deal_stage_changed", "properties": said} for n in range(1, *count))]


def add(sandbox: server.Sandbox, *rows: dict) -> None:
    sandbox.served["salesforce"].add("contact_events", *rows)


def ids(home: Path, stream: str) -> Counter[str]:
    return Counter(one["Id"] for one in payloads(home, "salesforce", stream))


def test_every_record_comes_once_by_rest_and_by_jobs(sandbox, folder, home):
    pull(unhurried("salesforce"), home)
    rows = rows_of(folder, "salesforce", "contact_events")
    by = {name: {row["id"] for row in rows if row["event"] == name} for name in ("lead_created", "deal_created", "deal_stage_changed")}
    assert set(ids(home, "leads")) == by["lead_created"] and set(ids(home, "opportunities")) == by["deal_created"]
    assert by["deal_stage_changed"] <= set(ids(home, "opportunity_history"))
    assert len(ids(home, "opportunity_history")) == len(rows) - len(by["lead_created"])
    assert all(set(ids(home, stream).values()) == {1} for stream in FIELDS)
    assert sandbox.asked.count(JOB) == 1 and sandbox.asked.count(TOKEN) == 1
    for stream, form in (("leads", '{"attributes":{"type":"Lead"'), ("opportunity_history", '{"Id":"')):
        assert envelopes(home, "salesforce", stream)[0]["payload"].startswith(form)


def test_complaint_2_a_record_that_was_written_before_it_could_be_seen_is_not_missed(sandbox, home):
    sandbox.now = None
    pull(unhurried("salesforce"), home, "leads")
    before = datetime.now(UTC) - timedelta(minutes=4)
    add(sandbox, lead(0xABC, modified_at=before.strftime("%Y-%m-%dT%H:%M:%S.000Z")))
    assert "k-0000000000000abc" not in ids(home, "leads")
    pull(unhurried("salesforce"), home, "leads", run="run-2")
    assert ids(home, "leads")["k-0000000000000abc"] == 1


@pytest.mark.parametrize("stream", ["leads", "opportunity_history"])
def test_complaint_2_ties_on_a_time_at_a_page_s_and_a_window_s_end_are_neither_lost_nor_read_for_ever(sandbox, home, monkeypatch, stream):
    monkeypatch.setattr(salesforce, "PAGE", 7)
    at = "2026-11-03T00:00:00.000Z"
    # at the very end of one window of days, and the beginning of the next one
    tied = [lead(n, at) for n in range(1, 60)] if stream == "leads" else [{**one, "event_at": at, "received_at": at} for one in deals(60)]
    add(sandbox, *tied)
    asked = unhurried("salesforce", **{stream: {"step": "1d", "start_date": date(2026, 11, 1), "bulk": {**BULK, "max_records": 7}}})
    pull(asked, home, stream)
    found = ids(home, stream)
    assert set(found.values()) == {1} and {row["id"] for row in tied[1:]} <= set(found)


def test_complaint_2_a_job_s_results_come_to_the_last_page(sandbox, home):
    add(sandbox, *deals(20_001))
    pull(unhurried("salesforce", opportunity_history={"bulk": {**BULK, "max_records": 2_500}}), home, "opportunity_history")
    found = ids(home, "opportunity_history")
    assert len(found) >= 20_001 and set(found.values()) == {1}
    assert len([one for one in sandbox.asked if one.endswith("/results")]) == -(-len(found) // 2_500)


@pytest.mark.parametrize("stream", ["leads", "opportunity_history"])
def test_complaint_3_a_question_that_no_url_holds_is_asked_by_a_job(sandbox, home, stream):
    wide = (*FIELDS[stream], *(f"field_{n:04d}_of_the_organisation__c" for n in range(700)))
    pull(unhurried("salesforce", **{stream: {"fields": wide, "step": "9000d"}}), home, stream)
    found = payloads(home, "salesforce", stream)
    assert found and {len(one) for one in found} == {len(wide)} and JOB in sandbox.asked


def test_what_a_cell_says_stays_as_it_is(sandbox, home):
    texts = ["NA", "null", "", 'He said "hi", then\nleft', "a\x00b", "é\u2028ü", "x" * 3_000_000, " padded ", "007"]
    add(sandbox, *({**one, "fields": {"Description": text}} for one, text in zip(deals(len(texts) + 1)[1:], texts, strict=True)))
    fields = (*FIELDS["opportunity_history"], "Description")
    pull(unhurried("salesforce", opportunity_history={"fields": fields}), home, "opportunity_history")
    found = {one["Id"]: one["Description"] for one in payloads(home, "salesforce", "opportunity_history")}
    assert [found[f"k-{n:016x}"] for n in range(2, len(texts) + 1)] == texts[1:]
    # the deal's first row is that of its beginning
    assert found[f"h-{1:016x}"] == "NA"


def test_deleted_records_come_marked_as_such(sandbox, home):
    add(sandbox, lead(1), lead(1, is_deleted=True))
    pull(unhurried("salesforce"), home, "leads")
    assert {one["Id"]: one["IsDeleted"] for one in payloads(home, "salesforce", "leads")}["k-0000000000000001"] is True


def test_an_object_that_no_job_takes_is_asked_by_rest(sandbox, home):
    sandbox.faults.append(server.Fault("salesforce", "/jobs/query$", "no_bulk", times=99))
    pull(unhurried("salesforce"), home, "opportunity_history")
    found = payloads(home, "salesforce", "opportunity_history")
    assert found and set(found[0]["Opportunity"]) == {"attributes", "CreatedDate", "Crm_Id__c", "Deal_Id__c"}
    assert not jobs.jobs_of("salesforce", "main", "opportunity_history").known()


def test_a_killed_pull_s_job_is_found_again_though_time_went_on(sandbox, home):
    child = os.fork()
    if not child:
        jobs.Jobs._wait = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        pull(unhurried("salesforce"), home, "opportunity_history")
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]) and sandbox.asked.count(JOB) == 1
    (begun,) = jobs.jobs_of("salesforce", "main", "opportunity_history").known()
    counts = pull(unhurried("salesforce"), home, "opportunity_history", run="run-2")["opportunity_history"]
    landed = {one["_slice_id"] for one in envelopes(home, "salesforce", "opportunity_history")}
    assert landed == {begun} and set(ids(home, "opportunity_history").values()) == {1}
    # what came since is a window of its own
    assert sandbox.asked.count(JOB) == counts.files <= 2
    assert not jobs.jobs_of("salesforce", "main", "opportunity_history").known()


def test_a_job_that_is_gone_or_failed_is_asked_for_again(sandbox, home):
    sandbox.faults += [server.Fault("salesforce", "/jobs/query/[^/]*$", kind) for kind in ("lost_job", "failed_job")]
    pull(unhurried("salesforce"), home, "opportunity_history")
    assert sandbox.asked.count(JOB) == 3 and set(ids(home, "opportunity_history").values()) == {1}


def test_results_that_are_gone_are_asked_for_with_the_next_try(sandbox, home):
    sandbox.faults.append(server.Fault("salesforce", "/results$", "lost_job"))
    with pytest.raises(FailedStreamsError, match="its results are gone") as error:
        pull(unhurried("salesforce"), home, "opportunity_history")
    assert error.value.exit_code == 4 and not payloads(home, "salesforce", "opportunity_history")
    pull(unhurried("salesforce"), home, "opportunity_history", run="run-2")
    assert sandbox.asked.count(JOB) == 2 and set(ids(home, "opportunity_history").values()) == {1}


@pytest.mark.parametrize(
    ("stream", "path", "kind"), [("leads", "/queryAll$", "query_timeout"), ("opportunity_history", "/jobs/query/[^/]*$", "timed_out_job")]
)
def test_a_question_that_takes_too_long_is_asked_in_halves(sandbox, home, stream, path, kind):
    sandbox.faults.append(server.Fault("salesforce", path, kind))
    counts = pull(unhurried("salesforce", **{stream: {"step": "9000d"}}), home, stream)[stream]
    assert counts.files == 2 and ids(home, stream) and set(ids(home, stream).values()) == {1}


def test_a_page_of_results_that_breaks_off_is_read_on(sandbox, home):
    add(sandbox, *deals(5_001))
    sandbox.faults.append(server.Fault("salesforce", "/results$", "cut", times=2))
    pull(unhurried("salesforce"), home, "opportunity_history")
    found = ids(home, "opportunity_history")
    assert len(found) >= 5_001 and set(found.values()) == {1} and sandbox.asked.count(JOB) == 1


def test_pages_that_are_gone_begin_the_slice_anew(sandbox, home, monkeypatch):
    monkeypatch.setattr(salesforce, "PAGE", 5)
    sandbox.faults.append(server.Fault("salesforce", "/queryAll/", "lost_locator"))
    with pytest.raises(FailedStreamsError, match="its next pages are gone") as error:
        pull(unhurried("salesforce"), home, "leads")
    assert error.value.exit_code == 4 and not payloads(home, "salesforce", "leads")
    pull(unhurried("salesforce"), home, "leads", run="run-2")
    assert ids(home, "leads") and set(ids(home, "leads").values()) == {1}


def test_a_session_that_ended_is_opened_again_once(sandbox, home):
    sandbox.faults.append(server.Fault("salesforce", "/queryAll", "expired"))
    pull(unhurried("salesforce"), home, "leads")
    assert sandbox.asked.count(TOKEN) == 2 and ids(home, "leads")
    sandbox.faults.append(server.Fault("salesforce", "/queryAll", "expired", times=99))
    with pytest.raises(FailedStreamsError, match="INVALID_SESSION_ID") as error:
        pull(unhurried("salesforce"), home, "leads", run="run-2")
    assert error.value.exit_code == 2 and sandbox.asked.count(TOKEN) == 3
    assert salesforce.TOKEN not in str(error.value) and salesforce.SECRET not in str(error.value)


def test_calls_that_others_need_are_left_to_them(sandbox, home, monkeypatch):
    monkeypatch.setattr(salesforce, "PAGE", 5)
    monkeypatch.setattr(salesforce, "DAY_CALLS", 2)
    for stream in ("leads", "opportunity_history"):
        with pytest.raises(FailedStreamsError, match="of the organisation's 2 calls of a day are used, more than the 80 percent") as error:
            pull(unhurried("salesforce"), home, stream)
        assert error.value.exit_code == 4 and not payloads(home, "salesforce", stream)


def test_too_many_calls_wait_and_nothing_is_lost(sandbox, home):
    sandbox.faults.append(server.Fault("salesforce", "/queryAll", "429"))
    pull(unhurried("salesforce"), home, "leads")
    assert ids(home, "leads") and set(ids(home, "leads").values()) == {1}


@pytest.mark.parametrize(("instance", "is_allowed"), [
    ("https://acme.my.salesforce.com", True), ("https://acme--test.sandbox.my.salesforce.com", True), ("https://my.salesforce.com.example.com", False),
    ("https://acmemy.salesforce.com", False), ("https://example.com", False),
])  # fmt: skip
def test_a_token_leads_only_where_the_source_says(sandbox, home, monkeypatch, instance, is_allowed):
    monkeypatch.setattr("connectors.kernel.tokens.OAuth2.named", lambda self, key: instance)
    stream = CONNECTOR.declared(source("salesforce"), "leads")
    if is_allowed:
        assert CONNECTOR.client(stream, stream.accounts[0]).base_url == instance
        return
    with pytest.raises(
        FailedStreamsError, match=r"connection salesforce_main: its token holds for .*, where the credentials must not go"
    ) as error:
        pull(unhurried("salesforce"), home, "leads")
    assert error.value.exit_code == 2 and not [one for one in sandbox.asked if "/services/data" in one]


def test_a_check_asks_for_no_job(sandbox):
    assert {one.is_empty for one in pulls.check(source("salesforce")).values()} == {False}
    assert JOB not in sandbox.asked and len(sandbox.asked) == 4


@pytest.mark.parametrize("said", [
    {"bulk": {"above": 0}}, {"bulk": True}, {"bulk": {**BULK, "above": -1}}, {"bulk": {**BULK, "most_seconds": "1h"}}, {"params": {}},
])  # fmt: skip
def test_a_declaration_says_what_it_lacks(sandbox, home, said):
    asked = unhurried("salesforce", leads=said)
    with pytest.raises(StreamDeclarationError, match=r"conf/sources/salesforce.yml: streams.leads: (bulk|params)"):
        pull(asked, home)
    assert not sandbox.asked

"""SendGrid: its lists to the last address, its days restated, its answers by what they mean, and its signed events, kept before they are answered."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta

import pytest
import requests
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conf.settings import REPOSITORY, source
from connectors.kernel import http, pulls, receiver
from connectors.kernel.connector import Counts, Scope
from connectors.kernel.errors import ConnectorError, CredentialsError, FailedStreamsError, LandingError, StreamDeclarationError
from connectors.kernel.inbox import Delivery, Inbox
from connectors.kernel.landing import Landing, landed
from connectors.sandbox import files, world
from connectors.sandbox.apis import sendgrid as vendor, served, server
from connectors.sources.sendgrid import CONNECTOR, SIGNATURE, TIMESTAMP
from tests.connectors.kernel.landings import payloads

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 20)
# of the vendor's own libraries' tests
KNOWN_KEY = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
KNOWN_SIGNATURE = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
KNOWN_BODY = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the vendors serve of a small world."""
    place = tmp_path_factory.mktemp("world")
    files.write_world(world.make_world(people=200, days=28, until=LAST, seed=7), place / "drops")
    served.part(place / "drops", place / "apis")
    return place / "apis"


@pytest.fixture
def sandbox(folder, home, monkeypatch):
    with server.serving(folder, NOW) as one:
        for name, value in one.connections().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(http, "FULL_JITTER", lambda _: 0.01)
        yield one


@pytest.fixture
def connected(home, monkeypatch):
    """The connection alone."""
    monkeypatch.setenv("AIRFLOW_CONN_SENDGRID_MAIN", json.dumps(vendor.CONNECTIONS["sendgrid_main"]))


def pull(home, *streams, first=FIRST, last=LAST, is_named=True, say=lambda _: None) -> Counts:
    """The counts of all streams, or of some."""
    declared = source("sendgrid")
    total = Counts()
    for name in streams or declared.streams:
        one = CONNECTOR.pull_stream(CONNECTOR.declared(declared, name), Scope(first, last, is_named), Landing(home / "landing", "run"), say)
        for key in ("files", "landed", "skipped", "refused", "records"):
            setattr(total, key, getattr(total, key) + getattr(one, key))
        total.failures += one.failures
    return total


def records(home, stream):
    return [json.loads(one) for one in payloads(home / "landing", "sendgrid", stream)]


# what is asked for --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["bounces", "spam_reports", "unsubscribes"])
def test_a_list_of_suppressions_does_not_end_at_500(sandbox, home, stream):
    kinds = {"bounces": "bounced", "spam_reports": "complained"}
    shared = {
        "campaign_id": "e-01",
        "campaign_name": "n",
        "crm_id": "c-1",
        "granted": False,
        "event": kinds.get(stream, ""),
        "updated_at": "2026-11-10T10:00:00Z",
    }
    shared |= {"received_at": "2026-11-10T10:00:01Z", "event_at": "2026-11-10T10:00:00Z"}
    rows = [{**shared, "id": f"m-{n}", "email": f"p{n}@mail.example"} for n in range(1203)]
    sandbox.served["sendgrid"].add("email_events" if stream in kinds else "consents", *rows)
    pull(home, stream)
    found = Counter(one["email"] for one in records(home, stream))
    assert {row["email"] for row in rows} <= set(found) and set(found.values()) == {1}
    assert sum("/suppression/" in one for one in sandbox.asked) == 4


def test_addresses_of_one_second_at_the_border_of_two_windows_all_come(sandbox, home):
    at = "2026-11-15T00:00:00"
    rows = [{"crm_id": f"c-{n}", "granted": False, "updated_at": f"{at}.{n}00Z", "email": f"tie{n}@mail.example"} for n in range(3)]
    sandbox.served["sendgrid"].add("consents", *rows)
    pull(home, "unsubscribes", first=date(2026, 11, 14), last=date(2026, 11, 14))
    pull(home, "unsubscribes", first=date(2026, 11, 15), last=date(2026, 11, 15))
    assert {row["email"] for row in rows} <= {one["email"] for one in records(home, "unsubscribes")}


def test_each_suppression_of_the_world_comes(sandbox, home):
    pull(home, "unsubscribes", "bounces", "spam_reports", "group_suppressions", first=date(2026, 10, 1))
    world_rows = sandbox.served["sendgrid"]
    assert {one["email"] for one in records(home, "unsubscribes")} == {row["email"] for row in world_rows.rows("consents")}
    for stream, event in (("bounces", "bounced"), ("spam_reports", "complained"), ("group_suppressions", "unsubscribed")):
        assert {one["email"] for one in records(home, stream)} == {
            row["email"] for row in world_rows.rows("email_events") if row["event"] == event
        }


def test_a_day_whose_counts_grew_is_landed_anew_and_whole(sandbox, home):
    pull(home, "stats", first=date(2026, 11, 20))
    before = {one["date"]: one for one in records(home, "stats")}
    assert sorted(before) == [f"2026-11-{day}" for day in (17, 18, 19, 20)]
    late = {
        "id": "m-late",
        "event": "opened",
        "event_at": "2026-11-18T09:00:00Z",
        "received_at": "2026-11-20T22:00:00Z",
        "campaign_id": "e-01",
    }
    sandbox.served["sendgrid"].add("email_events", {**late, "email": "late@mail.example"})
    assert pull(home, "stats", first=date(2026, 11, 20)).landed == 1
    (newest,) = [one for one in landed(home / "landing", "sendgrid", "stats") if one.manifest["attempt"] == 2]
    assert newest.manifest["slice_id"] == "2026-11-18"
    opens = [one["stats"][0]["metrics"]["opens"] for one in records(home, "stats") if one["date"] == "2026-11-18"]
    assert opens == [opens[0], opens[0] + 1]


def test_too_many_calls_wait_until_the_instant_that_its_header_names(sandbox, home):
    sandbox.faults.append(server.Fault("sendgrid", "/stats", "429"))
    begun = time.time()
    assert pull(home, "stats", first=LAST).landed == 4
    assert time.time() - begun >= 0.5


@pytest.mark.parametrize(("kind", "words"), [("expired", "401"), ("forbidden", "403")])
def test_a_refusal_is_a_matter_of_the_connection_and_names_no_secret(sandbox, home, kind, words):
    sandbox.faults.append(server.Fault("sendgrid", "/", kind, 99))
    said = []
    (error,) = pull(home, "group_suppressions", say=said.append).failures
    assert isinstance(error, CredentialsError) and words in str(error)
    assert not [text for text in (*said, str(error)) if vendor.KEY in text or vendor.PUBLIC_KEY in text]


def test_a_subuser_is_asked_for_by_its_parent():
    (account,) = CONNECTOR.declared(source("sendgrid"), "stats").accounts
    assert CONNECTOR.headers(None, account) == {}
    assert CONNECTOR.headers(None, type(account)("b", "s", "UTC", {"subuser": "shop_b"})) == {"on-behalf-of": "shop_b"}


def test_one_stream_that_fails_costs_no_other(sandbox, home):
    sandbox.faults.append(server.Fault("sendgrid", "/stats", "expired", 99))
    with pytest.raises(FailedStreamsError) as caught:
        pulls.pull(source("sendgrid"), Scope(FIRST, LAST), Landing(home / "landing", "run"), lambda _: None)
    assert list(caught.value.failures) == ["sendgrid.stats"] and caught.value.done["group_suppressions"].records


# what it sends ------------------------------------------------------------------------------------------------------------


def signed(body: bytes, age: timedelta = timedelta()) -> dict[str, str]:
    return vendor.signed(body, (datetime.now(UTC) - age).timestamp())


@pytest.fixture
def hook(connected):
    (one,) = receiver.hooks_of(["sendgrid"])
    return one


@pytest.fixture
def client(hook):
    """client("POST", path, …): the receiver's answer."""
    with running(hook) as url:
        yield lambda method, path, **said: requests.request(method, url + path, timeout=10, **said)


BODY = b'[{"sg_event_id":"a","event":"open"},\n {"sg_event_id":"b","event":"click"}]\r\n'


def test_what_the_vendor_signed_for_its_own_libraries_is_signed(hook, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SENDGRID_MAIN", json.dumps({"extra": {"webhook_public_key": KNOWN_KEY}}))
    verify = CONNECTOR.verifier(hook.stream, hook.account)
    headers = {SIGNATURE: KNOWN_SIGNATURE, TIMESTAMP: "1600112502"}
    assert verify(headers, KNOWN_BODY) == datetime.fromtimestamp(1600112502, UTC)
    # the line's end is signed as well
    with pytest.raises(ConnectorError, match="did not sign"):
        verify(headers, KNOWN_BODY.rstrip())


def test_a_delivery_is_landed_as_it_came_by_the_next_pull(client, hook, home):
    answer = client("POST", hook.path, data=BODY, headers=signed(BODY))
    assert (hook.path, answer.status_code) == ("/sendgrid/main/events", 200)
    assert pull(home, "events").records == 2
    first = payloads(home / "landing", "sendgrid", "events")[0]
    assert first.startswith('{"event":{"sg_event_id":"a","event":"open"},"delivery":{"received_at": "20')
    assert pull(home, "events").records == 0
    assert client("GET", "/_health").json() == {hook.path: {"answers": {"200": 1}, "logs": 0}}


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (BODY, {}),
        (BODY.replace(b"a", b"c"), signed(BODY)),
        (BODY.rstrip(), signed(BODY)),
        (BODY, signed(BODY) | {SIGNATURE: "no base64!"}),
        (BODY, signed(BODY) | {SIGNATURE: base64.b64encode(b"no signature").decode()}),
        (BODY, signed(BODY) | {TIMESTAMP: "1600112502"}),
        (BODY, signed(BODY) | {TIMESTAMP: ""}),
        # the same bytes are signed
        (signed(BODY)[TIMESTAMP][-1:].encode() + BODY, signed(BODY) | {TIMESTAMP: signed(BODY)[TIMESTAMP][:-1]}),
        (BODY, signed(BODY, timedelta(hours=73))),
    ],
    # a signature is another one every second
    ids=["unsigned", "other body", "stripped", "no base64", "no signature", "other time", "no time", "time in the body", "three days ago"],
)
def test_what_is_not_signed_or_long_ago_is_refused_and_nothing_is_written(client, hook, home, content, headers):
    answer = client("POST", hook.path, data=content, headers=headers)
    assert (answer.status_code, answer.content, hook.inbox.waiting()) == (403, b"", [])


def test_a_delivery_of_three_days_is_taken_and_flagged(client, hook, home):
    for age in (timedelta(minutes=9), timedelta(minutes=11), timedelta(hours=71)):
        assert client("POST", hook.path, data=b"[1]", headers=signed(b"[1]", age)).status_code == 200
    pull(home, "events")
    assert [one["delivery"]["is_late"] for one in records(home, "events")] == [False, True, True]


def test_a_new_key_is_taken_beside_the_old_one_and_with_its_armour(hook, connected, monkeypatch):
    def said(*keys):
        monkeypatch.setenv("AIRFLOW_CONN_SENDGRID_MAIN", json.dumps({"extra": {"webhook_public_key": ",".join(keys)}}))
        return CONNECTOR.verifier(hook.stream, hook.account)

    armoured = f"-----BEGIN PUBLIC KEY-----\n{vendor.PUBLIC_KEY[:64]}\n{vendor.PUBLIC_KEY[64:]}\n-----END PUBLIC KEY-----\n"
    assert said(KNOWN_KEY, armoured)(signed(BODY), BODY)
    other = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for wrong in ("", "rubbish", base64.b64encode(b"rubbish").decode(), base64.b64encode(other).decode()):
        with pytest.raises(CredentialsError, match="webhook_public_key"):
            said(wrong)


def test_too_long_a_body_and_another_place_are_refused(client, hook, monkeypatch):
    monkeypatch.setattr(receiver, "MOST_BYTES", 100)
    assert client("POST", hook.path, data=b"[" + b" " * 100 + b"]").status_code == 413
    assert client("GET", hook.path).status_code == 405
    assert client("POST", "/sendgrid/other/events", data=b"[]").status_code == 404
    assert hook.inbox.waiting() == []


def test_a_body_that_does_not_come_is_not_waited_for(hook, monkeypatch):
    monkeypatch.setattr(receiver, "BODY_SECONDS", 0.05)

    def slowly():
        yield b"["
        time.sleep(0.3)
        yield b"]"

    with running(hook) as url:
        assert requests.post(url + hook.path, data=slowly(), timeout=5).status_code == 408


def test_what_cannot_be_kept_is_not_answered_as_if_it_were(client, hook, monkeypatch):
    def full(*_):
        raise LandingError("the disk is full")

    monkeypatch.setattr(Inbox, "put", full)
    answer = client("POST", hook.path, data=BODY, headers=signed(BODY))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


def test_nothing_is_answered_before_it_is_durable(client, hook, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda one: (synced.append(one), fsync(one)))
    client("POST", hook.path, data=BODY, headers=signed(BODY))
    first = len(synced)
    client("POST", hook.path, data=BODY, headers=signed(BODY))
    # a new log's folders too
    assert first > 2 and len(synced) == first + 1


@pytest.mark.parametrize(
    ("stream", "said", "words"),
    [
        ("events", {"oldest": "3 days"}, "give a length of time"),
        ("events", {"late": None}, "has .'oldest'.; a stream"),
        ("stats", {"late": "1m"}, "no other"),
    ],
)
def test_a_webhook_says_how_old_a_delivery_may_be_and_no_other_stream_does(stream, said, words):
    declared = source("sendgrid")
    changed = {key: value for key, value in {**declared.streams[stream], **said}.items() if value is not None}
    with pytest.raises(StreamDeclarationError, match=words):
        CONNECTOR.declared(type(declared)(**{**vars(declared), "streams": {stream: changed}}), stream)


def test_the_worlds_events_come_once_each_however_often_they_are_sent(folder, hook, home):
    rows = [row for row in served.Served(folder, "sendgrid", lambda: NOW).rows("email_events") if row["event"] in vendor.EVENTS]
    day = rows[0]["received_at"][:10]
    with running(hook) as url:
        sent = [vendor.deliver(folder, url + hook.path, now=NOW) for _ in range(2)]
        assert sent[0] == sent[1]
        part = vendor.deliver(folder, url + hook.path, day, day, NOW)
        assert 0 < part["events"] < sent[0]["events"]
    pull(home, "events")
    found = Counter(one["event"]["sg_event_id"] for one in records(home, "events"))
    assert set(found) == {row["id"] for row in rows} and len(rows) == sent[0]["events"]
    assert sum(found.values()) == 2 * len(rows) + part["events"]


def test_the_sandbox_says_where_it_could_not_deliver(folder):
    with pytest.raises(ConnectorError, match="receive` running"):
        vendor.deliver(folder, f"http://127.0.0.1:{free_port()}/x", now=NOW)


def test_what_a_killed_receiver_left_is_landed_when_one_begins_and_one_that_fails_costs_no_other(hook, home, monkeypatch):
    said, is_over = [], threading.Event()
    broken = receiver.Hook(hook.stream, hook.account, hook.verify, Inbox(home / "other"), hook.oldest, hook.late)
    monkeypatch.setattr(broken.inbox, "land", lambda *_: (_ for _ in ()).throw(LandingError("its disk is full")))
    hook.inbox.put(Delivery(BODY, NOW, NOW, False))
    lander = threading.Thread(
        target=receiver._land_on, args=([broken, hook], Landing(home / "landing", "run"), said.append, 900.0, is_over)
    )
    lander.start()
    until = time.monotonic() + 10
    while hook.inbox.waiting() and time.monotonic() < until:
        time.sleep(0.01)
    is_over.set()
    lander.join()
    assert len(records(home, "events")) == 2
    assert said[0] == "sendgrid.events (main): what came is kept, and not landed yet: its disk is full"


def test_a_receiver_without_a_key_does_not_begin(home):
    done = subprocess.run(
        [sys.executable, "-m", "connectors", "receive", "sendgrid", "--port", "0"],
        cwd=REPOSITORY, env={**os.environ, "THROUGHLINE_HOME": str(home)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2 and "AIRFLOW_CONN_SENDGRID_MAIN" in done.stderr


def test_a_receiver_that_is_killed_loses_nothing_that_it_answered(connected, home):
    """It is killed while four senders send, five times; each sender sends again what was not answered, as the vendor does."""
    port = free_port()
    url, command = f"http://127.0.0.1:{port}/sendgrid/main/events", [
        sys.executable, "-m", "connectors", "receive", "sendgrid", "--port", str(port), "--seconds", "0.2",
    ]  # fmt: skip
    answered: list[str] = []
    tries: Counter[str] = Counter()
    is_over = threading.Event()

    def send(number: int) -> None:
        n = 0
        while not is_over.is_set():
            body = json.dumps([{"sg_event_id": f"{number}-{n}"}]).encode()
            tries[f"{number}-{n}"] += 1
            try:
                is_taken = requests.post(url, data=body, headers=signed(body), timeout=5).status_code == 200
            except requests.RequestException:
                time.sleep(0.02)
                continue
            if is_taken:
                answered.append(f"{number}-{n}")
                n += 1

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for one in senders:
        one.start()
    try:
        for life in range(4):
            process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            json.loads(process.stdout.readline())
            before = len(answered)
            until = time.monotonic() + 20
            while len(answered) < before + 40 + 60 * life and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL if life < 3 else signal.SIGTERM)
            if life == 3:
                is_over.set()
            process.wait(20)
            process.stdout.close()
    finally:
        is_over.set()
        for one in senders:
            one.join()
        with suppress(ProcessLookupError):
            process.kill()
    pull(home, "events")
    found = Counter(one["event"]["sg_event_id"] for one in records(home, "events"))
    assert len(answered) > 200
    assert not set(answered) - set(found)
    assert all(number <= tries[one] for one, number in found.items())
    assert not [path for path in (home / "state" / "inbox").rglob("*") if path.is_file()]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        return one.getsockname()[1]


class running:
    """The receiver of a hook, over HTTP, until the block ends."""

    def __init__(self, hook):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.server = uvicorn.Server(uvicorn.Config(receiver.app_of([hook]), log_config=None, access_log=False, lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def __exit__(self, *_):
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(10)
        self.listening.close()

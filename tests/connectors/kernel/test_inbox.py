"""An inbox: what was put is durable, becomes slices, and is landed once, whatever is killed and whoever closes its logs."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections import Counter
from datetime import UTC, datetime

import pytest

from conf.settings import source
from connectors.kernel import inbox as module
from connectors.kernel.connector import Counts
from connectors.kernel.errors import LandingError
from connectors.kernel.inbox import Delivery, inbox_of
from connectors.kernel.landing import Landing, landed
from connectors.sources.sendgrid import CONNECTOR
from tests.connectors.kernel.landings import payloads

AT = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.fixture
def stream(home):
    return CONNECTOR.declared(source("sendgrid"), "events")


@pytest.fixture
def inbox(stream):
    return inbox_of(stream, stream.accounts[0])


def delivery(*ids: object) -> Delivery:
    return Delivery(json.dumps([{"id": one} for one in ids]).encode() + b"\r\n", AT, AT, False)


def land(inbox, stream, home) -> Counts:
    counts = Counts()
    inbox.close()
    inbox.land(stream, stream.accounts[0], Landing(home / "landing", "run"), lambda _: None, counts)
    return counts


def ids(home) -> list[object]:
    return [json.loads(one)["event"]["id"] for one in payloads(home / "landing", "sendgrid", "events")]


def test_what_was_put_becomes_a_slice_with_how_it_came(inbox, stream, home):
    inbox.put(delivery(1, 2))
    inbox.put(Delivery(b' [ {"id" : 3.10} ]', AT, AT, True))
    assert [path.stat().st_mode & 0o777 for path in inbox.waiting()] == [0o600]
    counts = land(inbox, stream, home)
    assert (counts.files, counts.landed, counts.records) == (1, 1, 3)
    assert payloads(home / "landing", "sendgrid", "events")[2] == (
        '{"event":{"id" : 3.10},"delivery":{"received_at": "2026-11-20T10:00:00.000000Z", "signed_at": "2026-11-20T10:00:00.000000Z", "is_late": true}}'
    )
    assert inbox.waiting() == []
    assert land(inbox, stream, home) == Counts()


def test_a_log_that_ends_anywhere_gives_what_is_whole(inbox, stream, home):
    inbox.put(delivery(1))
    (path,) = inbox.waiting()
    first = path.stat().st_size
    inbox.put(delivery(2))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        found = [said for said, _ in module.deliveries_in(path)]
        assert len(found) == (1 if size >= first else 0)
    # what a file system puts where it wrote nothing
    path.write_bytes(whole[:first] + bytes(len(whole) - first))
    assert land(inbox, stream, home).records == 1
    assert ids(home) == [1]


def test_a_log_without_anything_whole_leaves_no_slice(inbox, stream, home):
    inbox.put(delivery(1))
    (path,) = inbox.waiting()
    os.truncate(path, 20)
    counts = land(inbox, stream, home)
    assert (counts.landed, counts.skipped) == (0, 1)
    assert inbox.waiting() == [] and landed(home / "landing", "sendgrid", "events") == []


def test_a_kill_between_manifest_and_removal_lands_no_log_twice(inbox, stream, home):
    inbox.put(delivery(1))
    inbox.close()
    (path,) = inbox.waiting()
    shutil.copy(path, home / "kept")
    land(inbox, stream, home)
    shutil.copy(home / "kept", path)
    counts = land(inbox, stream, home)
    assert (counts.landed, counts.skipped, inbox.waiting()) == (0, 1, [])
    assert ids(home) == [1]


def test_a_kill_before_the_manifest_lands_the_log_the_next_time(inbox, stream, home, monkeypatch):
    inbox.put(delivery(1))
    with monkeypatch.context() as patched:
        patched.setattr(Landing, "_publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            land(inbox, stream, home)
    assert len(inbox.waiting()) == 1
    assert land(inbox, stream, home).records == 1
    assert ids(home) == [1]


def test_what_cannot_be_written_is_said_and_the_next_delivery_begins_a_log(inbox, stream, home, monkeypatch):
    inbox.put(delivery(1))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "fsync", full)
        with pytest.raises(LandingError, match="free some space"):
            inbox.put(delivery(2))
    inbox.put(delivery(3))
    assert len(inbox.waiting()) == 2
    land(inbox, stream, home)
    assert set(ids(home)) >= {1, 3}


def test_a_short_write_goes_on(inbox, stream, home, monkeypatch):
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda log, content: write(log, content[:7]))
    inbox.put(delivery(1, 2))
    land(inbox, stream, home)
    assert ids(home) == [1, 2]


def test_what_is_no_list_is_kept_as_it_came(inbox, stream, home):
    bodies = [b'{"id": 1}', b"\xff\xfe", b""]
    for body in bodies:
        inbox.put(Delivery(body, AT, AT, False))
    assert land(inbox, stream, home).records == 3
    assert payloads(home / "landing", "sendgrid", "events") == ['{"id": 1}', b"\xff\xfe", ""]


def test_young_and_small_logs_stay_open(inbox):
    inbox.put(delivery(1))
    inbox.close(most_bytes=1000, most_seconds=60)
    assert [path.suffix for path in inbox.waiting()] == [".log"]
    inbox.close(most_bytes=10, most_seconds=60)
    assert [path.suffix for path in inbox.waiting()] == [".closed"]


def test_many_put_while_others_close_and_land_and_nothing_is_lost_or_doubled(stream, home):
    boxes = [inbox_of(stream, stream.accounts[0]) for _ in range(3)]
    put: list[str] = []

    def fill(number: int) -> None:
        for n in range(60):
            boxes[number % 3].put(delivery(f"{number}-{n}"))
            put.append(f"{number}-{n}")

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    other = inbox_of(stream, stream.accounts[0])
    while any(one.is_alive() for one in threads):
        land(other, stream, home)
    land(other, stream, home)
    assert Counter(ids(home)) == Counter(put)
    assert len(put) == 360

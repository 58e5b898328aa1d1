"""What the contract of all APIs is tried with: one small world that the sandbox serves, each source that is declared, and what is said in between.

A source is tried when its connector is an Api; its vendor is the sandbox's app that has the source's connection.
"""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import orjson
import pytest
import requests

from conf import settings
from conf.settings import Source
from connectors.kernel import jobs, landing as landing_module, paginate, pulls, state
from connectors.kernel.api import Api
from connectors.kernel.connector import Counts, Scope, connector_of
from connectors.kernel.landing import Landing, landed, newest_of
from connectors.kernel.slices import DAY
from connectors.kernel.streams import length_of
from connectors.sandbox import files, world as worlds
from connectors.sandbox.apis import served, server
from tests.connectors.contract import deadly

MODES = ("range", "cursor", "snapshot")
# where a pull makes something last
DURABLE = (landing_module, state, jobs)
# a parameter that says how many records a page has
SIZE = re.compile(r"(?i)^(.*[^a-z])?(page_?size|size|limit|count|per_?page|max_?records|max_?results)\]?$")
WORD = re.compile(r"[a-z0-9_.@+-]+")
# by the kind of a row: what it is known by at a vendor, the first of these that the vendor shows
KNOWN_BY: Mapping[str, tuple[str, ...]] = {
    "ad_spend": ("ad_id", "ad_group_id", "campaign_id", "campaign_name"),
    "campaigns": ("campaign_id",),
    "contacts": ("email", "crm_id"),
    "consents": ("email", "crm_id"),
    "email_events": ("id",),
    "contact_events": ("id",),
}
# of these the newest row of a person or campaign is shown
NEWEST = {"campaigns": "campaign_id", "contacts": "crm_id", "consents": "crm_id"}
# so many times each ad and campaign stands in the world: a vendor with one has no pages
GROWN = 5
Payloads = Counter[tuple[str, str]]


def api_sources() -> list[str]:
    """The sources that are asked over HTTP, by name."""
    return [one.source for one in settings.sources() if isinstance(connector_of(one), Api)]


def streams_of(name: str) -> list[str]:
    """The streams of a source that are pulled."""
    return [key for key, said in settings.source(name).streams.items() if said.get("enabled") is not False and said["mode"] in MODES]


def vendor_of(source: Source) -> tuple[str, ModuleType]:
    """The sandbox's app that has the connection of a source."""
    secrets = {one["secret"] for one in source.settings["accounts"].values()}
    found = [(name, module) for name, module in server.vendors().items() if secrets & set(module.CONNECTIONS)]
    assert found, f"{source.source}: no app below connectors/sandbox/apis has the connection {sorted(secrets)}"
    return found[0]


@dataclass
class Clock:
    """Time that passes at once for whoever waits, for the client and the vendor alike."""

    waited: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    def time(self) -> float:
        return time.time() + sum(self.waited)

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.waited)


@dataclass(frozen=True)
class Exchange:
    """One question as it was sent, and its answer, read to its end."""

    request: requests.PreparedRequest
    response: requests.Response

    @property
    def is_token(self) -> bool:
        return (
            b"grant_type" in (self.request.body or b"")
            if isinstance(self.request.body, bytes)
            else "grant_type" in (self.request.body or "")
        )


@dataclass
class Line:
    """What went over the wire. changed: makes another answer of one; after: is told of each answer that came whole."""

    exchanges: list[Exchange] = field(default_factory=list)
    changed: Callable[[bytes], bytes] = bytes
    after: Callable[[Exchange], None] | None = None

    def send(self, adapter: requests.adapters.HTTPAdapter, request: requests.PreparedRequest, **named: Any) -> requests.Response:
        response = self._real(adapter, request, **named)
        one = Exchange(request, response)
        content = response.content
        if not one.is_token:
            response._content = self.changed(content)
        self.exchanges.append(one)
        if self.after:
            self.after(one)
        return response

    _real = staticmethod(requests.adapters.HTTPAdapter.send)


@dataclass
class World:
    """The sandbox with its vendors, and the days that its rows are of."""

    sandbox: server.Sandbox
    first: date
    last: date


@contextmanager
def serving_world(folder: Path) -> Iterator[World]:
    """A small world that ended yesterday: a pull asks for nothing that is not there yet."""
    last = datetime.now(UTC).date() - DAY
    made = worlds.make_world(people=300, days=28, until=last, seed=7)
    files.write_world(made, folder / "drops")
    served.part(folder / "drops", folder / "apis")
    for path in (folder / "apis").rglob("*.jsonl"):
        path.write_bytes(
            b"".join(orjson.dumps(row) + b"\n" for row in grown(path.stem, [orjson.loads(one) for one in path.read_bytes().splitlines()]))
        )
    with server.serving(folder / "apis", datetime.combine(last + DAY, datetime.min.time(), UTC)) as sandbox:
        yield World(sandbox, made.first_day, last)


def grown(kind: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each ad and campaign several times under ids of their own."""
    key = {"ad_spend": "ad_id", "campaigns": "campaign_id"}.get(kind)
    if not key:
        return rows
    return [*rows, *({**row, key: f"{row[key]}{n}"} for n in range(1, GROWN) for row in rows)]


@dataclass
class Vendor:
    """A source and its vendor, for one test. said: each sentence for a person."""

    world: World
    source: Source
    name: str
    module: ModuleType
    home: Path
    line: Line
    clock: Clock
    said: list[str] = field(default_factory=list)
    runs: Iterator[int] = field(default_factory=itertools.count)

    @property
    def sandbox(self) -> server.Sandbox:
        return self.world.sandbox

    @property
    def place(self) -> str:
        """Where the sandbox has the vendor's base URL."""
        return f"{self.sandbox.url}/{self.name}{getattr(self.module, 'BASE', '')}"

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """What the vendor shows of a kind: of figures those that are in force."""
        shown = self.sandbox.served[self.name]
        if kind == "ad_spend":
            return list(shown.spend(str(self.world.first), str(self.world.last)))
        return shown.newest(kind, NEWEST[kind]) if kind in NEWEST else shown.rows(kind)

    def kinds(self) -> list[str]:
        return sorted(path.stem for path in (self.sandbox.folder / self.name).glob("*.jsonl"))

    def declared(self, *names: str, **more: Any) -> Source:
        """The source with some of its streams, by default all that are pulled, from the world's first row on: what was before would take its time.
        A range stream has no look-back: each test says its days."""
        streams = {}
        for name in names or streams_of(self.source.source):
            said = {**self.source.streams[name], **more}
            if said["mode"] != "snapshot":
                said["start_date"] = self.start()
            if said["mode"] == "range":
                said["lookback"] = "0d"
            streams[name] = said
        return dataclasses.replace(self.source, streams=streams)

    def start(self) -> date:
        """The day of the vendor's first row."""
        texts = [str(row[key]) for kind in self.kinds() for row in self.rows(kind) for key in ("updated_at", "event_at") if key in row]
        return min([*(date.fromisoformat(text[:10]) for text in texts), self.world.first]) - DAY

    def mode(self, stream: str) -> str:
        return str(self.source.streams[stream]["mode"])

    def few_days(self, stream: str) -> tuple[date, date]:
        """All days; of a range stream, which has a slice for each, the last but a few."""
        return (self.world.last - 6 * DAY, self.world.last - 5 * DAY) if self.mode(stream) == "range" else (self.start(), self.world.last)

    def short(self, stream: str) -> Source:
        """A stream with few windows."""
        said = self.source.streams[stream]
        found = self.declared(stream)
        if said["mode"] != "cursor" or "step" not in said:
            return found
        start = max(self.start(), self.world.last - 2 * max(length_of(said["step"], stream), DAY))
        return dataclasses.replace(found, streams={stream: {**found.streams[stream], "start_date": start}})

    def pull(self, source: Source, days: tuple[date, date], home: Path | None = None, **scope: Any) -> dict[str, Counts]:
        if home:
            # nobody counted for it yet
            self.sandbox.counted.clear()
        with at_home(home or self.home):
            made = Landing((home or self.home) / "landing", f"run-{next(self.runs)}")
            return pulls.pull(source, Scope(*days, **scope), made, self.said.append)

    def lines(self, stream: str, home: Path | None = None) -> list[dict[str, Any]]:
        """The envelopes of a stream that are in force."""
        every = [
            one for one in landed((home or self.home) / "landing", self.source.source, stream) if one.manifest.get("slice_complete", True)
        ]
        parts = [Path(file["path"]) for one in newest_of(every).values() for file in one.manifest["files"]]
        return [json.loads(line) for part in parts for line in gzip.decompress(part.read_bytes()).splitlines()]

    def payloads(self, stream: str, home: Path | None = None) -> Payloads:
        """How often each record stands in each slice."""
        return Counter((line["_slice_id"], line["_sha256"]) for line in self.lines(stream, home))

    def asked(self) -> list[Exchange]:
        return [one for one in self.line.exchanges if not one.is_token]

    def fault(self, kind: str, times: int = 1) -> server.Fault:
        """What goes wrong next, whatever is asked."""
        self.sandbox.faults.append(one := server.Fault(self.name, "", kind, times))
        return one

    def warm(self, source: Source) -> None:
        """Have a token, so that a fault hits a stream's call."""
        pulls.check(source)
        self.line.exchanges.clear()

    def killed(self, source: Source, days: tuple[date, date], home: Path, step: int) -> bool:
        """Whether a pull into a home of its own was killed at a step; False when it has no such step and came to its end."""
        child = os.fork()
        if not child:
            try:
                steps = itertools.count()
                for module in DURABLE:
                    # before it nothing is otherwise than after the one before; only a report is asked for in between
                    made = deadly if module is jobs else deadly_after
                    module.write_durably = made(module.write_durably, steps, step)  # type: ignore[attr-defined]
                self.pull(source, days, home, is_named=False)
            finally:
                os._exit(1 if sys.exc_info()[0] else 0)
        _, status = os.waitpid(child, 0)
        assert not os.WIFSIGNALED(status) or os.WTERMSIG(status) == signal.SIGKILL
        assert os.WIFSIGNALED(status) or not os.WEXITSTATUS(status), "the pull failed"
        return os.WIFSIGNALED(status)


@contextmanager
def at_home(folder: Path) -> Iterator[None]:
    before = os.environ.get("THROUGHLINE_HOME")
    os.environ["THROUGHLINE_HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("THROUGHLINE_HOME") if before is None else os.environ.update(THROUGHLINE_HOME=before)


def deadly_after(function: Callable[..., Any], steps: Iterator[int], last: int) -> Callable[..., Any]:
    """The function, with a step after each call; the last of the steps is a kill."""

    def called(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return called


def with_small_pages(source: Source, stream: str, size: int) -> Source | None:
    """The source with pages of so many records; None where nothing that it declares says how many."""

    def lessened(values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: size if SIZE.match(key) and isinstance(value, int) and value > size else value for key, value in values.items()}

    said = source.streams[stream]
    sizes = {key: size for key, value in said.get("check", {}).items() if value == 1}
    less = {**said, "params": lessened({**said.get("params", {}), **sizes}), **({"body": lessened(said["body"])} if "body" in said else {})}
    same = all(less.get(key) == said.get(key, {}) for key in ("params", "body") if key in less)
    return None if same else dataclasses.replace(source, streams={**source.streams, stream: less})


def found_of(rows: list[dict[str, Any]], key: str, lines: list[dict[str, Any]]) -> tuple[int, int]:
    """How many of the rows' values at a key stand in the lines, and how many there are; of figures of a day in those of the day."""
    words: dict[str, set[str]] = {}
    for line in lines:
        said = WORD.findall((line["payload"] or "").lower())
        for name in ("", line["_slice_id"]):
            words.setdefault(name, set()).update(said)
    wanted = {(row.get("spend_date", ""), str(row[key]).lower()) for row in rows if row.get(key)}
    return sum(value in words.get(day, ()) for day, value in wanted), len(wanted)


@contextmanager
def noted_pages(vendor: Vendor) -> Iterator[list[tuple[int, int]]]:
    """Of each page that is read in the block its number, and how many calls were made by then."""
    noted: list[tuple[int, int]] = []
    real = paginate.Page

    def note(number: int, *more: Any) -> paginate.Page:
        noted.append((number, len(vendor.asked())))
        return real(number, *more)

    modules = [one for name, one in sys.modules.items() if name.startswith("connectors.") and getattr(one, "Page", None) is real]
    for one in modules:
        one.Page = note  # type: ignore[attr-defined]
    try:
        yield noted
    finally:
        for one in modules:
            one.Page = real  # type: ignore[attr-defined]


def secrets_of(module: ModuleType) -> set[str]:
    """What a vendor's connections hold that nobody may read."""

    def values(said: Any) -> Iterator[str]:
        if isinstance(said, Mapping):
            yield from (one for key, value in said.items() if key != "host" for one in values(value))
        elif isinstance(said, str) and "{url}" not in said and len(said) >= 12:
            yield said

    return {one for said in module.CONNECTIONS.values() for one in values(said)}


def snapshot(folder: Path) -> dict[str, int]:
    """Every path below a folder, and when it was last written."""
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def prepare(monkeypatch: pytest.MonkeyPatch, world: World, name: str, home: Path) -> Vendor:
    """A vendor for one test, with time that costs none."""
    for key, value in world.sandbox.connections().items():
        monkeypatch.setenv(key, value)
    source = settings.source(name)
    vendor, module = vendor_of(source)
    line, clock = Line(), Clock()
    client = Api.client

    def quick(self: Api, stream: Any, account: Any) -> Any:
        made = client(self, stream, account)
        made.sleep = clock.sleep
        if made.budget:
            made.budget = dataclasses.replace(made.budget, clock=clock.time, sleep=clock.sleep)
        return made

    monkeypatch.setattr(Api, "client", quick)
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=time.sleep))
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", lambda adapter, request, **named: line.send(adapter, request, **named))
    # a kill takes nothing from the disk
    monkeypatch.setattr(os, "fsync", lambda _: None)
    for key in ("FIRST_WAIT", "LONGEST_WAIT"):
        monkeypatch.setattr(jobs, key, 0.001)
    for kept in (world.sandbox.faults, world.sandbox.asked, world.sandbox.counted, world.sandbox.answers):
        kept.clear()
    return Vendor(world, source, vendor, module, home, line, clock)

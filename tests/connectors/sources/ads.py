"""For the tests of ad accounts: one small world, its vendors over HTTP, and what a pull of them landed."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from conf.settings import Source, source
from connectors.kernel.api import Api
from connectors.kernel.connector import Counts, Scope, connector_of
from connectors.kernel.landing import Landed, Landing, landed, newest_of
from connectors.sandbox import files, world
from connectors.sandbox.apis import served, server

FIRST, LAST = date(2026, 10, 24), date(2026, 11, 20)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def make_world(folder: Path) -> Path:
    """The rows of a world's vendors."""
    files.write_world(world.make_world(people=200, days=28, until=LAST, seed=7), folder / "drops")
    served.part(folder / "drops", folder / "apis")
    return folder / "apis"


@dataclasses.dataclass
class Account:
    """A vendor of the sandbox and a home that it is pulled into. changed: what its streams say besides."""

    sandbox: server.Sandbox
    name: str
    home: Path
    changed: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def source(self) -> Source:
        found = source(self.name)
        streams = {name: {**said, **self.changed.get(name, {})} for name, said in found.streams.items()}
        return dataclasses.replace(found, streams=streams)

    @property
    def api(self) -> Api:
        found = connector_of(self.source)
        assert isinstance(found, Api)
        return found

    def pull(self, stream: str, first: date = FIRST, last: date = LAST, **scope: Any) -> Counts:
        landing = Landing(self.home / "landing", "run")
        return self.api.pull_stream(self.api.declared(self.source, stream), Scope(first, last, **scope), landing, lambda _: None)

    def newest(self, stream: str) -> dict[str, Landed]:
        """By slice the attempt that is in force."""
        attempts = newest_of(landed(self.home / "landing", self.name, stream))
        return {name: attempts[account, name] for account, name in sorted(attempts)}

    def records(self, stream: str) -> list[dict[str, Any]]:
        """The records of all slices as they are in force."""
        parts = [Path(file["path"]) for one in self.newest(stream).values() for file in one.manifest["files"]]
        lines = [line for part in parts for line in gzip.decompress(part.read_bytes()).splitlines()]
        return [json.loads(json.loads(line)["payload"]) for line in lines]

    def asked(self, pattern: str) -> int:
        """How many calls there were of paths with these words."""
        return sum(pattern in one for one in self.sandbox.asked)

    def fault(self, path: str, kind: str, times: int = 1) -> None:
        self.sandbox.faults.append(server.Fault(self.name, path, kind, times))

    def spend(self, first: date = FIRST, last: date = LAST) -> dict[tuple[str, str], Decimal]:
        """What the vendor says now, by day and ad."""
        rows = self.sandbox.served[self.name].spend(str(first), str(last))
        return {(row["spend_date"], row["ad_id"]): Decimal(row["spend"]) for row in rows}

    def restate(self, day: str, delivered: str) -> None:
        """The vendor says of a day, on a later one, that it cost more."""
        served = self.sandbox.served[self.name]
        rows = list(served.spend(day, day))
        served.add("ad_spend", *({**row, "delivered": delivered, "spend": str(Decimal(row["spend"]) + 1)} for row in rows))

    def said(self) -> bytes:
        """All that is in the home."""
        return b"".join(gzip.decompress(one.read_bytes()) if one.suffix == ".gz" else one.read_bytes() for one in files_of(self.home))


def files_of(folder: Path) -> list[Path]:
    return [one for one in folder.rglob("*") if one.is_file()]


@contextmanager
def account(folder: Path, name: str, home: Path, monkeypatch: Any) -> Iterator[Account]:
    """A vendor that is asked in this process's environment."""
    monkeypatch.setenv("THROUGHLINE_HOME", str(home))
    # what a power failure leaves is no question here
    monkeypatch.setattr("os.fsync", lambda _: None)
    with server.serving(folder, NOW) as sandbox:
        for key, value in sandbox.connections().items():
            monkeypatch.setenv(key, value)
        yield Account(sandbox, name, home)

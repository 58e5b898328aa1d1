"""For tests of sources that are asked over HTTP: a small world whose vendors are served, and what pulls of them landed."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from conf.settings import source
from connectors.kernel import pulls
from connectors.kernel.connector import Counts, Scope
from connectors.kernel.landing import Landing, landed, newest_of
from connectors.sandbox import files, world
from connectors.sandbox.apis import served
from connectors.sandbox.apis.server import Sandbox

LAST = date(2026, 11, 20)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def make_world(folder: Path) -> Path:
    """A world of four weeks, parted; its vendors' rows are below the folder that is returned."""
    files.write_world(world.make_world(people=200, days=28, until=LAST, seed=7), folder / "drops")
    served.part(folder / "drops", folder / "apis")
    return folder / "apis"


def pull(
    name: str, home: Path, *streams: str, said: list[str] | None = None, more: dict[str, Any] | None = None, **scope: Any
) -> dict[str, Counts]:
    """A scheduled pull of the world's last day, by default of all streams. more: by stream what its declaration says otherwise."""
    found = source(name)
    wanted = {key: {**found.streams[key], **(more or {}).get(key, {})} for key in streams or found.streams}
    days = {"first_day": LAST, "last_day": LAST, "is_named": False, **scope}
    return pulls.pull(
        replace(found, streams=wanted), Scope(**days), Landing(home / "landing", "run"), (said if said is not None else []).append
    )


def restate(sandbox: Sandbox, vendor: str, day: str) -> None:
    """Let the vendor say on the world's last day that the ads of a day cost more, and one of them nothing at all."""
    _, *rows = sandbox.served[vendor].spend(day, day)
    assert rows
    sandbox.served[vendor].add("ad_spend", *({**row, "spend": "99.990001", "delivered": str(LAST)} for row in rows))


def envelopes(home: Path, name: str, stream: str) -> list[dict[str, Any]]:
    """The records of each slice's newest attempt, in their envelopes."""
    newest = newest_of(landed(home / "landing", name, stream)).values()
    parts = [Path(file["path"]) for one in newest for file in one.manifest["files"]]
    return [json.loads(line) for part in parts for line in gzip.decompress(part.read_bytes()).splitlines()]


def payloads(home: Path, name: str, stream: str) -> list[Any]:
    return [json.loads(one["payload"]) for one in envelopes(home, name, stream)]

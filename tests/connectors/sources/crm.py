"""For the tests of the CRMs: one small world, its vendors over HTTP, and what a pull of them landed."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from conf.settings import Source, source
from connectors.kernel import pulls
from connectors.kernel.connector import Counts, Scope
from connectors.kernel.landing import Landing, landed, newest_of
from connectors.sandbox import files, world
from connectors.sandbox.apis import served

END = date(2026, 11, 20)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def make_world(folder: Path) -> Path:
    """The rows of a world's vendors; the drops, whole, lie beside them."""
    for name in ("whole", "drops"):
        files.write_world(world.make_world(people=200, days=28, until=END, seed=7), folder / name)
    served.part(folder / "drops", folder / "apis")
    return folder / "apis"


def unhurried(name: str, **streams: Any) -> Source:
    """The source without its budgets, and with some of its streams said anew."""
    found = source(name)
    budgets = {key: ((10_000, 1),) for key in found.settings["budgets"]}
    changed = {key: {**one, **streams.get(key, {})} for key, one in found.streams.items()}
    return dataclasses.replace(found, settings={**found.settings, "budgets": budgets}, streams=changed)


def pull(asked: Source, home: Path, *names: str, run: str = "run-1", **scope: Any) -> dict[str, Counts]:
    """A scheduled pull of some of a source's streams, by default of all."""
    if names:
        asked = dataclasses.replace(asked, streams={name: asked.streams[name] for name in names})
    return pulls.pull(asked, Scope(END, END, **{"is_named": False, **scope}), Landing(home / "landing", run), lambda _: None)


def payloads(home: Path, name: str, stream: str) -> list[dict[str, Any]]:
    """The records of each slice's newest attempt."""
    return [json.loads(one["payload"]) for one in envelopes(home, name, stream)]


def envelopes(home: Path, name: str, stream: str) -> list[dict[str, Any]]:
    newest = newest_of(landed(home / "landing", name, stream)).values()
    ordered = sorted(newest, key=lambda one: (one.extracted_at, one.manifest["slice_id"]))
    parts = [Path(file["path"]) for one in ordered for file in one.manifest["files"]]
    return [json.loads(line) for part in parts for line in gzip.decompress(part.read_bytes()).splitlines()]


def rows_of(folder: Path, vendor: str, kind: str) -> Sequence[dict[str, Any]]:
    return [json.loads(line) for line in (folder / vendor / f"{kind}.jsonl").read_bytes().splitlines()]

"""Whole lakes of a small sandbox world, built in this process by the engine that the DAGs call."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import gzip
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from conf.settings import REPOSITORY
from conf.tables import table, table_names
from spark_jobs.bronze.load import load_source
from spark_jobs.embedded import services
from spark_jobs.engine.outcome import Outcome
from spark_jobs.engine.runner import Runner
from spark_jobs.engine.selection import select_tables
from spark_jobs.functions.hashing import content_columns
from spark_jobs.io.lake import Lake
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import open_table, rows_as_declared

FIRST, LAST = dt.date(2026, 3, 24), dt.date(2026, 3, 31)
DAYS = Range(FIRST, LAST)
SOURCES = ("sandbox_shop", "sandbox_marketing", "sandbox_site")
# a JVM that sees a few rows compiles no method a second time, which took a third of its CPU (conf/spark/few.yml says it of a build in one process)
FEW_ROWS_JVM = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"}
SELECTION = ("silver", "identity", "journeys", "attribution", "segments", "gold")


@contextlib.contextmanager
def home_at(path: Path) -> Iterator[None]:
    """THROUGHLINE_HOME for a block."""
    before = os.environ.get("THROUGHLINE_HOME")
    os.environ["THROUGHLINE_HOME"] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["THROUGHLINE_HOME"]
        else:
            os.environ["THROUGHLINE_HOME"] = before


@contextlib.contextmanager
def services_at(path: Path, profile: str = "embedded") -> Iterator[services.Services]:
    """The services of a home of few rows, for a block."""
    with home_at(path), pytest.MonkeyPatch.context() as patch:
        for name, value in FEW_ROWS_JVM.items():
            patch.setenv(name, value)
        with services.running(print, small=True, profile=profile) as found:
            yield found


def command(home: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`python -m …` for a home."""
    env = {**os.environ, "THROUGHLINE_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, "-m", *words], cwd=REPOSITORY, env=env, check=check, capture_output=True, text=True)


def make_drops(home: Path, people: int = 150) -> None:
    words = ["sandbox", "make", "--out", str(home / "drops"), "--people", str(people), "--days", "8", "--until", str(LAST), "--seed", "3"]
    command(home, "connectors", *words)


def break_delivery(path: Path) -> bytes:
    """Give every event of a drop file a currency that there is not; returns the file as it was."""
    good = path.read_bytes()
    # as bytes: a line or two of the log are no text
    lines = [line[:-1] + b',"currency":"pounds"}' if line.endswith(b"}") else line for line in gzip.decompress(good).splitlines()]
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    return good


def pull(home: Path) -> None:
    for source in SOURCES:
        command(home, "connectors", "pull", source, "--from", str(FIRST), "--to", str(LAST))


def load(spark, home: Path) -> Lake:
    lake = Lake(spark, str(home / "lake"))
    with home_at(home):
        for source in SOURCES:
            load_source(lake, source, "test")
    return lake


def run(
    lake: Lake, home: Path, selection=SELECTION, days: Range = DAYS, force: bool = False, source: str | None = None, changed: bool = False
) -> list[Outcome]:
    with home_at(home):
        return Runner(lake, "test", force=force).run(select_tables(selection), days, source, changed)


def said_later(event: str | bytes, day: dt.date) -> str:
    """Another event that says the same, and is received only on that day."""
    said = json.loads(event)
    said.pop("sent_at", None)
    return json.dumps({**said, "id": f"late-{said['id']}", "received_at": f"{day}T12:00:00.000Z"}, separators=(",", ":"))


def site_events(home: Path) -> list[bytes]:
    """The lines of the site's drop files that are JSON and have a visitor, in the order of the files."""
    files = sorted((home / "drops/sandbox_site/events").glob("*.jsonl.gz"))
    lines = [one for path in files for one in gzip.decompress(path.read_bytes()).splitlines() if b'"anonymous_id"' in one]
    return [one for one in lines if one.endswith(b"}") and b"\xff" not in one]


def deliver(home: Path, late: list[str]) -> dt.date:
    """These events arrive on the day after the world's last one; returns that day."""
    arrival = LAST + dt.timedelta(days=1)
    (home / f"drops/sandbox_site/events/{arrival}.jsonl.gz").write_bytes(gzip.compress("\n".join(late).encode()))
    command(home, "connectors", "pull", "sandbox_site", "--from", str(arrival), "--to", str(arrival))
    return arrival


def deliver_refusals(home: Path, most: int) -> dt.date:
    """On the day after the world's last one it is told that contacts refused marketing on its second day; returns that day."""
    arrival, refused = LAST + dt.timedelta(days=1), f"{FIRST + dt.timedelta(days=1)}T00:00:00.000Z"
    folder = home / "drops/sandbox_marketing/consents"
    said = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    asked = [one for one in said if one["purpose"] == "marketing" and one["granted"]][:most]
    lines = [json.dumps({**one, "granted": False, "updated_at": refused}) for one in asked]
    (folder / f"{arrival}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command(home, "connectors", "pull", "sandbox_marketing", "--from", str(arrival), "--to", str(arrival))
    return arrival


def deliver_late(home: Path, days: list[dt.date]) -> dt.date:
    """An event of each of the days arrives on the day after the world's last one; returns that day."""
    lines = site_events(home)
    found = [next(one for one in lines if f'"event_at":"{day}T1'.encode() in one) for day in days]
    return deliver(home, [said_later(one, LAST + dt.timedelta(days=1)) for one in found])


def deliver_bridge(home: Path) -> dt.date:
    """A late event of a visitor who never logged in carries another one's user id; returns the day after the world's last one."""
    lines = [json.loads(one) for one in site_events(home)]
    known = {event["anonymous_id"] for event in lines if event.get("user_id")}
    stranger = next(event for event in lines if event["anonymous_id"] not in known and not event.get("user_id"))
    user = next(event["user_id"] for event in lines if event.get("user_id"))
    late = said_later(json.dumps({**stranger, "user_id": user}), LAST + dt.timedelta(days=1))
    return deliver(home, [late])


def fill(spark, home: Path, change: Callable[[Path], None] = lambda _: None, key_of: Path | None = None) -> Lake:
    """A home from drop files to bronze. change: what to do to the drops first; key_of: the home whose identifier key it shares."""
    make_drops(home)
    change(home / "drops")
    if key_of is not None:
        shutil.copytree(key_of / "vault", home / "vault")
    pull(home)
    return load(spark, home)


def build(spark, home: Path, change: Callable[[Path], None] = lambda _: None, key_of: Path | None = None) -> Lake:
    """A home from drop files to gold, as `fill` begins it."""
    lake = fill(spark, home, change, key_of)
    run(lake, home)
    return lake


def hashes(lake: Lake, layers=("silver", "identity", "journeys", "attribution", "segments", "gold")) -> dict[str, tuple[int, str]]:
    """Per table how many rows it has and a hash of them in any order, without what tells one run from another; read without Spark, which is
    many times slower."""
    found = {}
    for name in table_names():
        if name.split(".")[0] in layers and (stored := open_table(lake.root, name)) is not None:
            rows = rows_as_declared(stored, table(name)).select(content_columns(table(name)))
            # a map's entries have no order
            values = [map(sorted_map, c.to_pylist()) if pa.types.is_map(c.type) else c.to_pylist() for c in rows.columns]
            texts = sorted(map(repr, zip(*values)))
            found[name] = (len(texts), hashlib.sha256("\n".join(texts).encode()).hexdigest())
    return found


def sorted_map(entries: list | None) -> list | None:
    return entries and sorted(entries)


def versions(lake: Lake) -> dict[str, int]:
    return {name: lake.version(name) for name in table_names() if not name.startswith("ops.")}


def shuffle_split_triple(drops: Path) -> None:
    """The same facts in another order and number: every file shuffled, one day's events thrice, half of another day's in the next file."""
    chance = random.Random(11)
    events = sorted((drops / "sandbox_site" / "events").glob("*.jsonl.gz"))
    lines = {path: gzip.decompress(path.read_bytes()).splitlines() for path in events}
    lines[events[2]] *= 3
    half = len(lines[events[4]]) // 2
    lines[events[5]] += lines[events[4]][:half]
    lines[events[4]] = lines[events[4]][half:]
    for path, found in lines.items():
        chance.shuffle(found)
        path.write_bytes(gzip.compress(b"\n".join(found) + b"\n"))
    for path in (drops / "sandbox_shop" / "order_lines").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        rows *= 2
        chance.shuffle(rows)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])

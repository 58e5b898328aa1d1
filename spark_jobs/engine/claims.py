"""ops.claims: who may write which table; the generation of a claim fences off whoever lost it.

The table is a log: a claim's state is its row with the highest (generation, claimed_at). Taking claims is one append that may only be the
log's very next version, so of two runs that read the same state exactly one commits. A claim that is
not expired and held by another stops the newcomer; the same holder (a task's retry) takes it over at once, with a higher
generation, so that a zombie of the earlier try can no longer commit.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
from typing import Any

import psutil
from deltalake import DeltaTable

from conf.tables import table
from spark_jobs.errors import ClaimHeldError, DamagedTableError
from spark_jobs.io.lake import Lake
from spark_jobs.io.publish import COMMITS_OF_CLAIM, Fence
from spark_jobs.io.small import OvertakenError, append_rows, open_table, opened, overwrite_rows, read_arrow, rows_as_declared, until_first

VALID_FOR = dt.timedelta(minutes=20)
LOG = "ops.claims"
# what this process holds, for whoever must end it in the middle of its work
HELD: set[Claims] = set()


class Claims:
    """The claims of one process on one lake."""

    def __init__(self, lake: Lake, holder: str) -> None:
        self.lake, self.holder = lake, holder
        self.held: dict[str, int] = {}

    def acquire(self, names: list[str]) -> dict[str, Fence]:
        """A fence per claim. Raises ClaimHeldError naming the holder when another run has one of them."""
        wanted = sorted(set(names))
        if not wanted:
            return {}

        def attempt() -> dict[str, int]:
            log, now = opened(self.lake.root, table(LOG)), dt.datetime.now(dt.UTC)
            state = newest_states(log, wanted)
            for name, row in state.items():
                if not is_same(row["holder"], self.holder) and row["expires_at"] > now and not is_gone(row["holder"]):
                    raise ClaimHeldError(
                        f"{name} is being written by {row['holder']} (until {row['expires_at']:%H:%M} UTC at the latest); try again when it is done"
                    )
            generations = {
                name: max(state[name]["generation"] if name in state else 0, written_generation(self.lake, name)) + 1 for name in wanted
            }
            rows = [(name, generation, self.holder, now, now + VALID_FOR) for name, generation in generations.items()]
            append_rows(log, table(LOG), rows, unless_overtaken=True)
            return generations

        try:
            self.held = until_first(attempt)
        except OvertakenError:
            raise ClaimHeldError(f"could not claim {wanted}: other runs were always quicker; try again") from None
        HELD.add(self)
        return {name: Fence(name, generation, "") for name, generation in self.held.items()}

    def release(self) -> None:
        """Give the claims back: rows of the same generation that expire now; a claim lost meanwhile has a higher one."""
        if self.held:
            now = dt.datetime.now(dt.UTC)
            rows = [(name, generation, self.holder, now, now) for name, generation in self.held.items()]
            append_rows(opened(self.lake.root, table(LOG)), table(LOG), rows)
            self.held = {}
        HELD.discard(self)


def release_all() -> None:
    """Give back whatever this process holds: its work was stopped and another run may go on."""
    for claims in list(HELD):
        claims.release()


def newest_states(log: DeltaTable, names: list[str]) -> dict[str, dict[str, Any]]:
    """Per claim its row with the highest (generation, claimed_at)."""
    rows = rows_as_declared(log, table(LOG)).to_pylist()
    newest = sorted((r for r in rows if r["claim"] in names), key=lambda r: (r["generation"], r["claimed_at"]))
    return {r["claim"]: r for r in newest}


def claims_on(lake: Lake, name: str) -> list[str]:
    """Every claim that was ever taken on a table, and the table's own."""
    rows = read_arrow(lake.root, LOG)["claim"].to_pylist()
    return sorted({name, *(claim for claim in rows if claim.split("/")[0] == name)})


def drop_old(root: str, before: dt.datetime) -> None:
    """Leave of the log what was claimed since then, and of each claim the newest row, whatever its age: generations only ever grow."""

    def attempt() -> None:
        log = opened(root, table(LOG))
        old, kept = old_rows(log, before)
        if old:
            overwrite_rows(log, table(LOG), [tuple(row.values()) for row in kept])

    until_first(attempt)


def old_rows(log: DeltaTable, before: dt.datetime) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the log that drop_old drops, and those that it leaves."""
    rows = rows_as_declared(log, table(LOG)).to_pylist()
    newest = newest_states(log, [row["claim"] for row in rows])
    split: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []
    for row in rows:
        split[row["claimed_at"] >= before or row == newest[row["claim"]]].append(row)
    return split


def written_generation(lake: Lake, claim: str) -> int:
    """The generation that the claimed table, or its quarantine, was last written with, by its own log; 0 without any. It is what a commit must
    exceed where the log of claims has lost its newest rows."""
    name = claim.split("/")[0]
    newest: list[int] = []
    for apart in ("", "__quarantine"):
        # a log that cannot be read takes no commit either
        with contextlib.suppress(DamagedTableError):
            found = open_table(lake.root, f"{name}{apart}")
            newest += [found.transaction_version(f"{claim}{apart}") or 0] if found else []
    return max(newest, default=0) // COMMITS_OF_CLAIM


def claim_of(name: str, source: str | None) -> str:
    """What is claimed to write a table, or a source's part of it."""
    return f"{name}/{source}" if source else name


def own_holder(task: str = "") -> str:
    """The name of this process as a holder: task@host/pid, or host/pid."""
    process = f"{socket.gethostname()}/{os.getpid()}"
    return f"{task}@{process}" if task else process


def is_same(holder: str, other: str) -> bool:
    """Whether two holders are tries of one task, or one process."""
    return holder.rpartition("@")[0] == other.rpartition("@")[0] != "" or holder == other


def is_gone(holder: str) -> bool:
    """Whether the holder was a process of this machine that lives no more."""
    host, _, pid = holder.rpartition("@")[2].rpartition("/")
    return host == socket.gethostname() and pid.isdigit() and not psutil.pid_exists(int(pid))

"""How many calls a vendor's endpoints may be asked, counted together by all processes of a machine.

A budget belongs to a (vendor, account, endpoint class) and has moving windows, as 75 calls a second and 700 a minute, of which SHARE is spent:
the vendor counts by its own clock. What one process learns of a limit, all know: until `paused_until` nobody asks. Some vendors count what is asked
at the same time instead: a call has a slot then, a file that is locked as long as its process is in the call.
"""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.kernel.database import transaction
from connectors.kernel.errors import RateLimitedError

SHARE = 0.95
SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (budget TEXT NOT NULL, called_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS calls_by_budget ON calls (budget, called_at);
CREATE TABLE IF NOT EXISTS pauses (budget TEXT PRIMARY KEY, until REAL NOT NULL);
"""
# How long somebody who found no slot waits before another look
SLOT_SECONDS = 0.05
COUNTED = "FROM calls WHERE budget = ? AND called_at > ?"


@dataclass(frozen=True)
class Limit:
    """At most `calls` in any `seconds`."""

    calls: int
    seconds: float

    @property
    def spent(self) -> int:
        """How many of them are made."""
        return max(1, int(self.calls * SHARE))


@dataclass(frozen=True)
class Budget:
    """One budget, kept in a file that every process of the machine opens.

    name: "vendor/account/class". at_once: how many calls are made at the same time, None where the vendor does not count them. clock, sleep: seconds since 1970 and how they pass; another one only in tests.
    """

    name: str
    limits: tuple[Limit, ...]
    file: Path
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    at_once: int | None = None

    def take(self, most_seconds: float) -> float:
        """Wait for a call's turn and count it; returns the seconds waited. Raises RateLimitedError at once where it would be more than
        `most_seconds`: nobody holds a worker for that."""
        waited = 0.0
        while (wait := self._try()) > 0:
            if waited + wait > most_seconds:
                raise RateLimitedError(f"{self.name}: its budget lets the next call through in {wait:.0f} s; try again then", wait)
            self.sleep(wait)
            waited += wait
        return waited

    @contextmanager
    def slot(self, most_seconds: float) -> Iterator[None]:
        """A block that at most `at_once` threads of all processes are in; what is killed in it frees it. Raises RateLimitedError where none was
        free within `most_seconds`."""
        if self.at_once is None:
            yield
            return
        folder = self.file.parent / "slots" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        until = self.clock() + most_seconds
        while (held := _locked(folder, self.at_once)) is None:
            if self.clock() >= until:
                raise RateLimitedError(f"{self.name}: {self.at_once} calls are under way, as many as may be at once; try again later")
            self.sleep(SLOT_SECONDS)
        try:
            yield
        finally:
            os.close(held)

    def pause(self, seconds: float) -> None:
        """Let nobody through for as long; a longer pause stays."""
        with self._open() as base:
            base.execute(
                "INSERT INTO pauses VALUES (?, ?) ON CONFLICT (budget) DO UPDATE SET until = max(until, excluded.until)",
                (self.name, self.clock() + seconds),
            )

    def used(self) -> tuple[tuple[Limit, int], ...]:
        """Of each limit how many calls count now."""
        with self._open() as base:
            since = [(limit, (self.name, self.clock() - limit.seconds)) for limit in self.limits]
            return tuple((limit, base.execute(f"SELECT count(*) {COUNTED}", values).fetchone()[0]) for limit, values in since)

    def paused_until(self) -> float | None:
        """The instant, in seconds since 1970, that nobody asks before; None when there is none."""
        with self._open() as base:
            until = base.execute("SELECT until FROM pauses WHERE budget = ?", (self.name,)).fetchone()
        return until[0] if until and until[0] > self.clock() else None

    def _try(self) -> float:
        """0 when a call was counted, else the seconds until another try may succeed."""
        with self._open() as base:
            now = self.clock()
            paused = base.execute("SELECT until FROM pauses WHERE budget = ?", (self.name,)).fetchone()
            waits = [paused[0] - now] if paused else []
            for limit in self.limits:
                # of the calls in the window the one that has to leave it first
                since = (self.name, now - limit.seconds, limit.spent - 1)
                first = base.execute(f"SELECT called_at {COUNTED} ORDER BY called_at DESC LIMIT 1 OFFSET ?", since).fetchone()
                waits += [first[0] + limit.seconds - now] if first else []
            wait = max(waits, default=0.0)
            if wait <= 0:
                base.execute("INSERT INTO calls VALUES (?, ?)", (self.name, now))
                oldest = now - max((limit.seconds for limit in self.limits), default=0.0)
                base.execute("DELETE FROM calls WHERE budget = ? AND called_at <= ?", (self.name, oldest))
                return 0.0
        # a clock's least step on: what is due at this very instant is due
        return max(wait, 0.001)

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        # a count lost with the machine's power is no loss: the vendor's window goes on meanwhile
        return transaction(self.file, SCHEMA, "NORMAL")


def _locked(folder: Path, slots: int) -> int | None:
    """A slot's file, locked; None where all are."""
    for number in random.sample(range(slots), slots):
        slot = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return slot
        except BlockingIOError:
            os.close(slot)
    return None

"""ops.claims: who may write which table; the generation of a claim fences off whoever lost it.

The table is a log: a claim's state is its row with the highest (generation, claimed_at). Taking claims is one append whose Delta
transaction version is the log's own version + 1, so of two runs that read the same state exactly one commits. A claim that is
not expired and held by another stops the newcomer; the same holder (a task's retry) takes it over at once, with a higher
generation, so that a zombie of the earlier try can no longer commit.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import socket
import time
import uuid
from typing import Any

import psutil
from pyspark.sql import functions as F

from conf.tables import table
from spark_jobs.errors import ClaimHeldError, LostClaimError
from spark_jobs.io.lake import Fence, Lake

VALID_FOR = dt.timedelta(minutes=20)
TRIES = 20
LOG = "ops.claims"


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
        self.lake.create(table(LOG))
        for _ in range(TRIES):
            version, now = self.lake.version(LOG), _now()
            state = self._state(wanted)
            for name, row in state.items():
                if row["holder"] != self.holder and row["expires_at"] > now and not is_gone(row["holder"]):
                    raise ClaimHeldError(
                        f"{name} is being written by {row['holder']} (until {row['expires_at']:%H:%M} UTC at the latest); try again when it is done"
                    )
            generations = {name: (state[name]["generation"] if name in state else 0) + 1 for name in wanted}
            rows = [(name, generation, self.holder, now, now + VALID_FOR) for name, generation in generations.items()]
            try:
                self.lake.append_rows(table(LOG), rows, Fence("claims", version + 1, uuid.uuid4().hex))
            except LostClaimError:
                time.sleep(random.uniform(0.1, 0.8))
                continue
            self.held = generations
            return {name: Fence(name, generation, "") for name, generation in generations.items()}
        raise ClaimHeldError(f"could not claim {wanted}: other runs were always quicker; try again")

    def _state(self, names: list[str]) -> dict[str, dict[str, Any]]:
        rows = self.lake.read(LOG).where(F.col("claim").isin(names))
        newest = (
            rows.groupBy("claim")
            .agg(F.max_by(F.struct("generation", "holder", "expires_at"), F.struct("generation", "claimed_at")).alias("s"))
            .select("claim", "s.*")
        )
        return {r["claim"]: {**r.asDict(), "expires_at": r["expires_at"].replace(tzinfo=None)} for r in newest.collect()}

    def release(self) -> None:
        """Give the claims back: rows of the same generation that expire now; a claim lost meanwhile has a higher one."""
        if self.held:
            now = _now()
            self.lake.append_rows(table(LOG), [(name, generation, self.holder, now, now) for name, generation in self.held.items()])
            self.held = {}


def own_holder() -> str:
    """The name of this process as a holder: host and process id."""
    return f"{socket.gethostname()}/{os.getpid()}"


def is_gone(holder: str) -> bool:
    """Whether the holder was a process of this machine that lives no more."""
    host, _, pid = holder.rpartition("/")
    return host == socket.gethostname() and pid.isdigit() and not psutil.pid_exists(int(pid))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)

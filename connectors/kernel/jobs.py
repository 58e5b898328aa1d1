"""Reports that a vendor makes while one waits: asked for once per slice, found again by whoever goes on after a kill.

$THROUGHLINE_HOME/state/jobs/<source>/<account>/<stream>.json: by slice {"asked_at", "id"}. The wish is written before the vendor is asked and the id
when the vendor gave it; a wish without an id is a job that nobody can find again, and the next pull asks for another one.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from conf.settings import home, made
from connectors.kernel.connector import Say
from connectors.kernel.errors import PassingError, TemporaryError
from connectors.kernel.landing import write_durably

# A report is asked for again when the vendor made no more of it than an error this often
MOST_JOBS = 3
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0


class FailedJobError(PassingError):
    """A vendor gave a report up; another one may succeed."""


@dataclass(frozen=True)
class Jobs:
    """The jobs of one stream's account.

    title: how a person names the stream; most_seconds: how long a report may take; fresh_seconds: how old one may be that is taken over from a
    pull before: what it says was true then. sleep, clock: how time passes; another one only in tests.
    """

    title: str
    file: Path
    most_seconds: float = 3600.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    fresh_seconds: float = 7 * 86_400.0

    def done(self, slice_id: str, submit: Callable[[], str], poll: Callable[[str], bool], say: Say) -> str:
        """The id of a report that is ready.

        submit: asks for it, and gives its id. poll: whether it is ready. Raises FailedJobError where the vendor gave it up, which is asked for again
        MOST_JOBS times; TemporaryError after most_seconds: the next pull waits on.
        """
        for left in reversed(range(MOST_JOBS)):
            job = self.id_of(slice_id)
            if job is None:
                job = self._submitted(slice_id, submit)
            else:
                say(f"{self.title}: goes on waiting for report {job} of {slice_id}")
            try:
                self._wait(job, slice_id, poll)
                return job
            except FailedJobError:
                self.forget(slice_id)
                if not left:
                    raise
        raise AssertionError("the last one returned or raised")

    def id_of(self, slice_id: str) -> str | None:
        """The job that a pull before asked for, None where there is none, or nobody knows its id."""
        job: str | None = self._read().get(slice_id, {}).get("id")
        return job

    def known(self) -> tuple[str, ...]:
        """The slices whose jobs can be found again."""
        return tuple(key for key, said in self._read().items() if said.get("id"))

    def forget(self, slice_id: str) -> None:
        """Its report is landed, or nobody wants it any more; and those of its parts, slice_id/part."""
        self._write({key: said for key, said in self._read().items() if key != slice_id and not key.startswith(f"{slice_id}/")})

    def _submitted(self, slice_id: str, submit: Callable[[], str]) -> str:
        wish = {"asked_at": datetime.now(UTC).isoformat(), "id": None}
        self._write({**self._read(), slice_id: wish})
        job = submit()
        self._write({**self._read(), slice_id: {**wish, "id": job}})
        return job

    def _wait(self, job: str, slice_id: str, poll: Callable[[str], bool]) -> None:
        until, wait = self.clock() + self.most_seconds, FIRST_WAIT
        while not poll(job):
            if self.clock() >= until:
                raise TemporaryError(
                    f"{self.title}: report {job} of {slice_id} was not ready after {self.most_seconds:.0f} s; the next pull waits on",
                    LONGEST_WAIT,
                )
            self.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 2, LONGEST_WAIT)

    def _read(self) -> Mapping[str, Any]:
        try:
            said = json.loads(self.file.read_bytes())
            since = datetime.now(UTC) - timedelta(seconds=self.fresh_seconds)
            return {key: one for key, one in said.items() if datetime.fromisoformat(one["asked_at"]) >= since}
        except (FileNotFoundError, ValueError, AttributeError, KeyError, TypeError):
            return {}

    def _write(self, jobs: Mapping[str, Any]) -> None:
        if self.file.is_relative_to(home()):
            made(home() / "state")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self.file, json.dumps(jobs).encode())


def jobs_of(source: str, account: str, stream: str, most_seconds: float = 3600.0, fresh_seconds: float = 7 * 86_400.0) -> Jobs:
    """The jobs of a stream in this home."""
    file = home() / "state" / "jobs" / source / account / f"{stream}.json"
    return Jobs(f"{source}.{stream} ({account})", file, most_seconds, fresh_seconds=fresh_seconds)

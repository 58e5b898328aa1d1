"""What vendors send by themselves, durable before they are answered: logs that a receiver appends to, and slices of the landing made of them.

$THROUGHLINE_HOME/state/inbox/<source>/<account>/<stream>/<slice_id>.log: per delivery a line {"bytes", "sha256", "delivery"} and its body. What
follows a body that is not whole was never answered: a process that was killed, or that could not write on, left it, and nobody writes there again.
Who wants a log's deliveries renames it to .closed, under its lock; the receiver then begins another one. It becomes one slice, and is removed when
the slice's manifest stands: a kill at any moment loses nothing that was answered, and lands no log twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from conf.settings import home, made
from connectors.kernel.connector import Counts, Say
from connectors.kernel.errors import BrokenContractError, LandingError
from connectors.kernel.http import Answer
from connectors.kernel.landing import (
    CANNOT_WRITE,
    Landing,
    PageRecord,
    Slice,
    fsync_folder,
    instant_text,
    landed,
    make_durably,
    next_instant,
)
from connectors.kernel.paginate import records_at
from connectors.kernel.streams import Account, Stream

OPEN, CLOSED = ".log", ".closed"


@dataclass(frozen=True)
class Delivery:
    """One request of a vendor. signed_at: what the vendor signed it with; is_late: whether that was long before."""

    body: bytes = field(repr=False)
    received_at: datetime
    signed_at: datetime
    is_late: bool


@dataclass
class Inbox:
    """The deliveries of one stream's account that are not landed yet; any number of processes may put, close and land at once."""

    folder: Path
    _log: tuple[Path, int] | None = None
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def put(self, delivery: Delivery) -> None:
        """Keep a delivery; it is durable when this returns. Raises LandingError."""
        said = {
            "received_at": instant_text(delivery.received_at),
            "signed_at": instant_text(delivery.signed_at),
            "is_late": delivery.is_late,
        }
        head = {"bytes": len(delivery.body), "sha256": sha256(delivery.body).hexdigest(), "delivery": said}
        with self._one_at_a_time, _keeping(self.folder):
            log = self._locked()
            try:
                _write(log, b"%b\n%b\n" % (json.dumps(head).encode(), delivery.body))
                os.fsync(log)
                fcntl.flock(log, fcntl.LOCK_UN)
            except BaseException:
                # what stands in it now nobody knows: it ends here
                self._leave()
                raise

    def close(self, most_bytes: int = 0, most_seconds: float = 0.0) -> None:
        """Let the logs that hold as much, or are as old, become slices; by default all. Whoever is writing is waited for."""
        for path in sorted(self.folder.glob(f"*{OPEN}")):
            # another process may have closed it meanwhile
            with _keeping(path), suppress(FileNotFoundError), path.open("rb") as log:
                if log.seek(0, os.SEEK_END) < most_bytes and time.time() - _begun(path) < most_seconds:
                    continue
                fcntl.flock(log, fcntl.LOCK_EX)
                if path.exists():
                    path.rename(path.with_suffix(CLOSED))
                    fsync_folder(self.folder)

    def waiting(self) -> list[Path]:
        """The logs that are not landed yet, the earliest first."""
        return sorted(path for kind in (OPEN, CLOSED) for path in self.folder.glob(f"*{kind}"))

    def land(self, stream: Stream, account: Account, landing: Landing, say: Say, counts: Counts) -> None:
        """Make slices of the closed logs. Raises LandingError, LandingBusyError; what is not landed stays for the next time."""
        if not any(self.folder.glob(f"*{CLOSED}")):
            return
        with landing.alone(stream.source.source, stream.name, say):
            before = landed(landing.root, stream.source.source, stream.name)
            known = {one.slice for one in before}
            for path in sorted(self.folder.glob(f"*{CLOSED}")):
                counts.files += 1
                # else it was landed and not yet removed when its process was killed, or nothing whole was written to it
                if (account.name, path.stem) not in known and next(deliveries_in(path), None):
                    origin = {"path": str(stream.said["path"]), "request_id": sha256(path.stem.encode()).hexdigest()[:16]}
                    piece = Slice(stream.source.source, stream.name, account.name, path.stem, None, None, stream.source.api_version, origin)
                    before.append(done := landing.land_records(piece, records_in(path), next_instant(before)))
                    counts.landed += 1
                    counts.records += done.records
                else:
                    counts.skipped += 1
                with _keeping(path):
                    path.unlink()
                    fsync_folder(self.folder)

    def _locked(self) -> int:
        """The log of this process, under its lock; a new one where there is none, or somebody closed it."""
        while True:
            if self._log is None:
                made(home() / "state")
                make_durably(self.folder)
                path = self.folder / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}{OPEN}"
                self._log = path, os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fsync_folder(self.folder)
            path, log = self._log
            fcntl.flock(log, fcntl.LOCK_EX)
            if path.exists():
                return log
            self._leave()

    def _leave(self) -> None:
        if self._log:
            os.close(self._log[1])
        self._log = None


def inbox_of(stream: Stream, account: Account) -> Inbox:
    """The inbox of a stream's account in this home."""
    return Inbox(home() / "state" / "inbox" / stream.source.source / account.name / stream.name)


def deliveries_in(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """What a log says of each of its whole deliveries, and its body."""
    with path.open("rb") as log:
        while line := log.readline():
            try:
                head = json.loads(line)
                body, end = log.read(head["bytes"]), log.read(1)
            except (ValueError, KeyError, TypeError):
                return
            if end != b"\n" or sha256(body).hexdigest() != head["sha256"]:
                return
            yield head["delivery"], body


def records_in(path: Path) -> Iterator[PageRecord]:
    """A log's events as {"event": as it came, "delivery": how it came}; a body that is no list as it is: a gate sets it aside."""
    row = 0
    for number, (said, body) in enumerate(deliveries_in(path), start=1):
        try:
            how = json.dumps(said).encode()
            events = [b'{"event":%b,"delivery":%b}' % (event, how) for event in records_at(Answer(200, {}, body, path.name, ""), ())]
        except BrokenContractError:
            events = [body]
        for event in events:
            row += 1
            yield PageRecord(row, event, number)


@contextmanager
def _keeping(place: Path) -> Iterator[None]:
    """Raises LandingError, which says what to do, where the block cannot write."""
    try:
        yield
    except OSError as error:
        advice = CANNOT_WRITE.get(error.errno or 0, "look at its disk")
        raise LandingError(
            f"{error.filename or place}: what a vendor sends cannot be kept ({error.strerror or error}); what was answered is: {advice}"
        ) from error


def _begun(path: Path) -> float:
    return datetime.strptime(path.name.rpartition("-")[0], "%Y-%m-%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp()


def _write(log: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(log, left) :]

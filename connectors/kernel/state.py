"""How far a stream was pulled: a cursor per (source, account, stream), moved by whoever holds the stream's lease, when what it says is landed.

$THROUGHLINE_HOME/state/cursors/<source>/<account>/<stream>.json; a pull of days that somebody named has a file of its own beside it and never
moves the cursor. A file is absent or whole, also after a kill.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from conf.settings import home, made
from connectors.kernel.errors import ConnectorError, StreamBusyError
from connectors.kernel.landing import write_durably

LEASE = ".lease"


@dataclass(frozen=True)
class Key:
    """Whose state it is; days: those that somebody named, inclusive, None for the stream's own cursor. part: of the account, which has a cursor of
    its own."""

    source: str
    account: str
    stream: str
    days: tuple[date, date] | None = None
    part: str = ""

    @property
    def title(self) -> str:
        return f"{self.source}.{self.stream} ({self.account})"

    @property
    def file(self) -> Path:
        """Its place below the folder of cursors."""
        name = f"{self.stream}@{self.part}" if self.part else self.stream
        name += f"~{self.days[0]}~{self.days[1]}" if self.days else ""
        return Path(self.source, self.account, f"{name}.json")


class State:
    """A stream's state in the hands of who holds its lease.

    cursor: what the last landed record says, None before the first pull; done: the slices of this pull that are landed, in any order.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        said = read(path)
        self.cursor: Any = said.get("cursor")
        self.done: frozenset[str] = frozenset(said.get("done", ()))

    def finish(self, slice_id: str) -> None:
        """Remember a slice, whose files are durable, so that a pull that is killed goes on after it."""
        self._write(self.cursor, self.done | {slice_id})

    def move(self, cursor: Any) -> None:
        """Set the cursor when all slices up to it are landed; the next pull begins there, with no slice done."""
        self._write(cursor, frozenset())

    def forget(self) -> None:
        """There is nothing left to remember: all that somebody named is landed."""
        self._path.unlink(missing_ok=True)
        self.cursor, self.done = None, frozenset()

    def _write(self, cursor: Any, done: frozenset[str]) -> None:
        write_durably(self._path, json.dumps({"cursor": cursor, "done": sorted(done)}).encode())
        self.cursor, self.done = cursor, done


@contextmanager
def leased(key: Key, root: Path | None = None) -> Iterator[State]:
    """The state of a stream that nobody else pulls meanwhile, whatever days; a lease ends with its process.

    root: the folder of cursors, by default this home's. Raises StreamBusyError where another process holds it.
    """
    path = _folder(root) / key.file
    path.parent.mkdir(parents=True, exist_ok=True)
    lease = os.open(path.parent / f".{key.stream}{LEASE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StreamBusyError(f"{key.title}: another pull of this stream is under way; pull again when it is done") from None
        yield State(path)
    finally:
        os.close(lease)


def state_of(key: Key, root: Path | None = None) -> State:
    """The state of a part, for whoever holds the lease of its stream."""
    return State(_folder(root) / key.file)


def peek(key: Key, root: Path | None = None) -> Mapping[str, Any]:
    """What a stream's state says now, for whoever only looks: {} before its first pull."""
    return read(_folder(root, is_made=False) / key.file)


def reset(key: Key, root: Path | None = None) -> bool:
    """Forget a stream's state, so that the next pull begins at its start; whether there was any. Raises StreamBusyError."""
    with leased(key, root):
        path = _folder(root) / key.file
        was = path.exists()
        path.unlink(missing_ok=True)
        return was


def read(path: Path) -> Mapping[str, Any]:
    """A state's file; {} where it is not there. Raises ConnectorError where it is none."""
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        said = None
    if not isinstance(said, dict) or set(said) != {"cursor", "done"} or not isinstance(said["done"], list):
        raise ConnectorError(f"{path}: is no state of a stream; move it away, and the next pull begins at the stream's start")
    return said


def _folder(root: Path | None, is_made: bool = True) -> Path:
    if root is not None:
        return root
    if is_made:
        made(home() / "state")
    return home() / "state" / "cursors"

"""Small facts that all processes of a machine share: SQLite files, which their owner alone reads."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from conf.settings import made

# How long a process waits for another one that writes
BUSY_SECONDS = 30.0


@contextmanager
def transaction(file: Path, schema: str, synchronous: str) -> Iterator[sqlite3.Connection]:
    """A block in a transaction that no other process writes in, of a file that is made where it is not there.

    schema: statements that change nothing where they were run before. synchronous: SQLite's word: FULL is on the disk when the block ends.
    """
    made(file.parent)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as base:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute(f"PRAGMA synchronous = {synchronous}")
        base.executescript(schema)
        base.execute("BEGIN IMMEDIATE")
        try:
            yield base
        except BaseException:
            base.execute("ROLLBACK")
            raise
        base.execute("COMMIT")

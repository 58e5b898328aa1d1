"""Files that an operator names on the command line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from spark_jobs.errors import ThroughlineError


def read_given(path: Path, most: int) -> bytes:
    """What a file holds. most: bytes. Raises ThroughlineError where it cannot be read, is no regular file (a pipe may never end, nor begin), or is
    larger."""
    try:
        # without it the opening of a pipe waits for who writes into it
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ThroughlineError(f"{path}: cannot be read (it is no regular file)")
            found = file.read(most + 1)
    except OSError as error:
        raise ThroughlineError(f"{path}: cannot be read ({error.strerror})") from None
    if len(found) > most:
        raise ThroughlineError(f"{path}: cannot be read (it has more than {most:,} bytes)")
    return found

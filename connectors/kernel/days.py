"""What a vendor answers of several days at once, parted: each day becomes a slice of its own, however the answer mixes them.

The records wait in files of this machine's temporary folder that nobody else can open and that end with the process; few of them wait in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from tempfile import SpooledTemporaryFile
from typing import IO

from connectors.kernel.errors import BrokenContractError, LandingError

# of each day
HELD_BYTES = 2**20
HEAD = struct.Struct(">II")
# the number of its page, and a record as it came
Found = tuple[int, bytes]


@contextmanager
def parted(
    found: Iterable[Found], day_of: Callable[[bytes], date], days: Collection[date], title: str
) -> Iterator[Callable[[date], Iterator[Found]]]:
    """Of each of the days its records, in the order in which they came, once all are read.

    Raises BrokenContractError where one is of no day or of another one, LandingError where they cannot be kept.
    """
    with ExitStack() as stack:
        kept: dict[date, IO[bytes]] = {day: stack.enter_context(SpooledTemporaryFile(HELD_BYTES)) for day in days}
        for page, payload in found:
            try:
                file = kept[day_of(payload)]
            except (KeyError, ValueError, TypeError) as error:
                raise BrokenContractError(
                    f"{title}: a record of page {page} is of no day that was asked for ({error}); nothing of these days was landed: look at the "
                    "stream's declaration, where the day stands in a record"
                ) from None
            try:
                file.write(HEAD.pack(page, len(payload)))
                file.write(payload)
            except OSError as error:
                raise LandingError(
                    f"{title}: the temporary folder cannot be written ({error.strerror}); free some space, then pull again"
                ) from None
        yield lambda day: _read(kept[day])


def _read(file: IO[bytes]) -> Iterator[Found]:
    file.seek(0)
    while head := file.read(HEAD.size):
        page, size = HEAD.unpack(head)
        yield page, file.read(size)

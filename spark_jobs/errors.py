"""What can go wrong in a job, named by what is wrong; every message says what was got, where, and what to do.

exit_code is what the command line ends with: 2 a user's mistake, 3 a gate (do not retry), 4 a passing hindrance (retry).
"""

from __future__ import annotations

import re


class ThroughlineError(Exception):
    """Root of all errors that are answered with a sentence, not a stack trace."""

    exit_code = 2


# how Spark, Hadoop and Delta say that a file cannot be read
UNREADABLE = ("FAILED_READ_FILE", "PATH_NOT_FOUND", "FileNotFoundException", "EOFException", "is not a Parquet file", "FILE_NOT_EXIST")


def of_damaged_file(error: Exception, table: str) -> ThroughlineError | None:
    """The sentence for an error that says a file is missing or damaged; None for any other error."""
    text = str(error)
    if not any(word in text for word in UNREADABLE):
        return None
    path = re.search(r"(?:file:)?(/[^\s'\",;\]]+\.(?:parquet|jsonl?|gz|csv)(?:\.gz)?)", text)
    return ThroughlineError(
        f"{table}: a file that it reads is missing or damaged{f': {path.group(1)}' if path else ''}. Nothing was published. Restore the file, "
        "or, where it is part of a table, remove the table's folder and build it again from what it is made of."
    )


class SelectionError(ThroughlineError):
    """The selection or the range names nothing that can be built."""


class MissingColumnsError(ThroughlineError):
    """An input table lacks columns that its contract says are never null."""


class GateError(ThroughlineError):
    """A gate stopped a batch: nothing of it was published."""

    exit_code = 3


class LedgerError(ThroughlineError):
    """Rows or sums went missing between input and output: nothing was published."""

    exit_code = 3


class ClaimHeldError(ThroughlineError):
    """Another run is writing the same table; try again when it is done."""

    exit_code = 4


class LostClaimError(ThroughlineError):
    """A newer run took this one's claim: its commit was refused and nothing was written."""

    exit_code = 4

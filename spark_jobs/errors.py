"""What can go wrong in a job, named by what is wrong; every message says what was got, where, and what to do.

exit_code is what the command line ends with: 2 a user's mistake, 3 a gate (do not retry), 4 a passing hindrance (retry).
"""


class ThroughlineError(Exception):
    """Root of all errors that are answered with a sentence, not a stack trace."""

    exit_code = 2


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

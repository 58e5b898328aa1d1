"""What can go wrong while records are brought in; every message says what was got, where, and what to do next.

exit_code is what the command line ends with: 2 what only a person can mend (never tried again), 4 a passing hindrance (try again).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conf.printing import shown


class ConnectorError(Exception):
    """Root of all errors of the connectors that are answered with a sentence, not a stack trace."""

    exit_code = 2


class MissingFolderError(ConnectorError):
    """A folder that a source needs is not named or not there."""


class StreamDeclarationError(ConnectorError):
    """A stream in conf/sources says something this connector does not understand."""


class UnreadableFileError(ConnectorError):
    """A dropped file is cut off, damaged or not what its name says; nothing of it was landed."""


class ChangedFileError(UnreadableFileError):
    """A dropped file was changed while it was being landed; nothing of it was landed."""


class CredentialsError(ConnectorError):
    """A vendor does not know who asks, or does not let them: a key or token is missing, wrong, expired or lacks a scope."""


class RefusedRequestError(ConnectorError):
    """A vendor says that a request is wrong, and will say so again."""


class ForeignOriginError(ConnectorError):
    """A vendor's answer leads to another origin, where the credentials must not go."""


class BrokenContractError(ConnectorError):
    """A vendor's answer is not what its documents say: no JSON, a missing key, a cursor that comes back; nothing of it was landed."""


class TooMuchDataError(ConnectorError):
    """A vendor answers no question of this size; a smaller slice may be answered."""


class NothingThereError(ConnectorError):
    """What was asked for is not there any more; whoever asked goes on without it."""


class UnsignedDeliveryError(ConnectorError):
    """What came by a webhook was not signed by its vendor, or too long ago; nothing of it was kept."""


class PassingError(ConnectorError):
    """A hindrance that passes by itself; retry_after: the seconds after which another try is welcome, None when nobody said."""

    exit_code = 4

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimitedError(PassingError):
    """A vendor, or the budget kept for it, lets nothing more through for now."""


class TemporaryError(PassingError):
    """A vendor cannot be reached, does not answer in time or says that the fault is its own."""


class LandingError(PassingError):
    """The landing folder cannot be written: its disk is full or read-only; what is landed is whole."""


class StreamBusyError(PassingError):
    """Another pull holds the lease of the same stream; try again when it is done."""


class LandingBusyError(PassingError):
    """Another pull is landing the same stream or slice; try again when it is done."""


class FailedStreamsError(ConnectorError):
    """Some streams of a pull or check failed when all others were done.

    failures: by "source.stream" what each one said; done: by stream what came of those that went on.
    It is a passing hindrance when one of the failures is: another try brings that one, and says the others again.
    """

    def __init__(self, failures: Mapping[str, Sequence[ConnectorError]], done: Mapping[str, Any]) -> None:
        self.failures, self.done = failures, done
        # several streams may lack one and the same thing
        super().__init__("\n".join(dict.fromkeys(shown(error) for error in self._errors())))

    def _errors(self) -> list[ConnectorError]:
        return [error for errors in self.failures.values() for error in errors]

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # the root's is one for all of its kind
        return max(error.exit_code for error in self._errors())

    @property
    def retry_after(self) -> float | None:
        """The seconds after which all that can be tried again may be."""
        return max((wait for error in self._errors() if (wait := getattr(error, "retry_after", None)) is not None), default=None)

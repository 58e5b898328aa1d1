"""What can go wrong while records are brought in; every message says what was got, where, and what to do next.

exit_code is what the command line ends with: 2 a user's mistake, 4 a passing hindrance (retry).
"""


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


class LandingError(ConnectorError):
    """The landing folder cannot be written: its disk is full or read-only; what is landed is whole."""

    exit_code = 4


class LandingBusyError(ConnectorError):
    """Another pull is landing the same slice; try again when it is done."""

    exit_code = 4

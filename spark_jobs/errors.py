"""What can go wrong in a job, named by what is wrong; every message says what was got, where, and what to do.

exit_code is what the command line ends with: 2 a user's mistake, 3 a gate (do not retry), 4 a passing hindrance (retry).
"""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path

from conf.names import LAYERS
from conf.settings import REPOSITORY, SettingsError


class ThroughlineError(Exception):
    """Root of all errors that are answered with a sentence, not a stack trace."""

    exit_code = 2


class NoSpaceError(ThroughlineError):
    """A disk filled up in the middle of the work; the same work may be done again when there is room."""

    exit_code = 4


class ReadOnlyError(ThroughlineError):
    """A file system takes no writes for now; the same work may be done again when it does."""

    exit_code = 4


class NotAllowedError(ThroughlineError):
    """A file or folder belongs to somebody else."""


class DamagedTableError(ThroughlineError):
    """A table's log or data cannot be read: something is missing in it or cut."""


class NoMemoryError(ThroughlineError):
    """The work needs more memory than it was given."""


# how Spark, Hadoop, Delta and Parquet's readers say that a file is missing, cut or damaged
UNREADABLE = (
    "FAILED_READ_FILE", "PATH_NOT_FOUND", "FileNotFoundException", "EOFException", "is not a Parquet file", "FILE_NOT_EXIST",
    "Object at location", "Requested range was invalid", "Parquet error", "Parquet argument error", "CANNOT_READ_FILE_FOOTER",
    "ParquetDecodingException", "Could not read page", "Expected to read",
)  # fmt: skip
BROKEN_LOG = (
    "DELTA_VERSIONS_NOT_CONTIGUOUS", "DELTA_LOG_FILE_NOT_FOUND", "DELTA_TRUNCATED_TRANSACTION_LOG", "DELTA_STATE_RECOVER_ERROR", "DELTA_MISSING_PART_FILES",
    "Expected contiguous commit files", "No table metadata or protocol found", "Kernel error: Json error", "JsonEOFException",
)  # fmt: skip
# what the machine says, in this order -> which error that is, what it means, what to do about it
TROUBLES: tuple[tuple[tuple[str, ...], type[ThroughlineError], str, str], ...] = (
    (
        ("No space left on device", "Disk quota exceeded", "StorageFull"), NoSpaceError, "the disk is full",
        "Nothing of what was begun is published in part. Free some space, then do the same again",
    ),
    (
        ("Read-only file system",), ReadOnlyError, "its file system is read-only",
        "Nothing was written. Mount it for writing, then do the same again",
    ),
    (
        ("Permission denied", "AccessDeniedException", "Operation not permitted"), NotAllowedError, "this user may not read or write it",
        "Give the files back to the user that runs this (`chown -R`), then do the same again",
    ),
    (
        BROKEN_LOG, DamagedTableError, "the table's log cannot be read: a commit is missing in it or cut",
        "Restore its _delta_log from a back-up, or build the table again: `python -m spark_jobs rebuild {table}`",
    ),
    (
        UNREADABLE, DamagedTableError, "a file that it reads is missing or damaged",
        "Nothing was published. Restore the file, or build the table again: `python -m spark_jobs rebuild {table}`",
    ),
    (
        ("OutOfMemoryError", "MemoryError", "Cannot allocate memory"), NoMemoryError, "it needs more memory than it was given",
        "Give Spark more (spark_driver_memory in conf/platform.yml), or build fewer days at once",
    ),
)  # fmt: skip
# an absolute path of a file or folder
PATH = re.compile(r"(?<![\w./:])(?:file:/*(?=/))?(/[^\s'\",;:<>()\[\]/#]+/[^\s'\",;:<>()\[\]#]*[^\s'\",;:<>()\[\].#])")
FOLDERS = "|".join(("bronze", "vault", *LAYERS, "ops"))
# of a Spark error's parameters those that name what the lake declares, never a value of a row
NAMING = ("tableName", "relationName", "objectName", "columnName", "fieldName", "routineName", "sourceType", "targetType")
CONDITION = re.compile(r"(?:^|\n|[:(] ?|Exception )\[([A-Z]+(?:_[A-Z0-9]+)+(?:\.[A-Z_]+)*)\]")
JAVA_CLASS = re.compile(r"(?:^|\n|: |by: )((?:java|javax|org|io|com)(?:\.[a-z0-9_]+)+\.[A-Z]\w*(?:Exception|Error))\b")


def of_trouble(error: BaseException, table: str = "", folder: str = "") -> ThroughlineError | None:
    """The sentence for what a machine or a disk does to any work: full, read-only, another's, cut or missing files, too little memory; None for
    any other error. table and its folder: what the error's text may not name itself."""
    chain = _chain(error)
    if said := _of_rules(chain, table):
        return said
    text = "\n".join(f"{type(one).__name__}: {one}" for one in chain)
    if any(hasattr(one, "getCondition") for one in chain):
        # what Spark and Java quote are the values of rows
        text = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "''", text)
    for words, kind, meaning, advice in TROUBLES:
        if any(word in text for word in words):
            place = next((path for path in PATH.findall(text) if folder in path), folder)
            of_place = re.search(rf"/({FOLDERS})/(\w+)/", place)
            named = table or (".".join(of_place.groups()) if of_place else "")
            broken = ".".join(of_place.groups()) if of_place else table or "TABLE"
            said = ": ".join(filter(None, (named or "the lake", meaning, place)))
            return kind(f"{said}. {advice.format(table=broken.removesuffix('__quarantine'))}.")
    return None


def _of_rules(chain: list[BaseException], table: str) -> ThroughlineError | None:
    """The sentence for an expression of conf/rules that failed on a row of the table's run; the row's values stay untold."""
    asked = [one for one in chain if hasattr(one, "getQueryContext")]
    if not asked or not table:
        return None
    from spark_jobs.functions.ruled import place_of_failure
    from spark_jobs.job import jobs

    names = jobs()[table].rules_read() if table in jobs() else ()
    found = ((one, place) for one in asked if (place := place_of_failure(one, names)))
    return next(
        (
            ThroughlineError(
                f"{place} failed on a row of {table} ({one.getCondition()}). Nothing of it was published. "  # type: ignore[attr-defined]
                "Write it so that it holds for every row, as try_divide and try_cast do."
            )
            for one, place in found
        ),
        None,
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it."""
    found: list[BaseException] = []
    while error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__ or error
    return found


def safe_message(error: BaseException) -> str:
    """An error as it may be kept and shown: our own sentences whole; of others what kind they are and which tables and columns they name,
    because their texts quote the values of rows."""
    if isinstance(error, (ThroughlineError, SettingsError)):
        return str(error)
    text = str(error)
    condition = str(error.getCondition() or "") if hasattr(error, "getCondition") else ""
    kinds = list(dict.fromkeys(filter(None, [condition, *CONDITION.findall(text)])))
    kinds = kinds or list(dict.fromkeys(JAVA_CLASS.findall(text)))
    given = (error.getMessageParameters() or {}) if hasattr(error, "getMessageParameters") else {}
    names = [given[name] for name in NAMING if given.get(name)]
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(str(REPOSITORY)) and "/.venv/" not in f.filename]
    place = f" at {Path(own[-1].filename).relative_to(REPOSITORY)}:{own[-1].lineno}" if own else ""
    said = ", ".join(kinds[:4]) or type(error).__name__
    return f"{said}{f' ({chr(44).join(names)})' if names else ''}{place}"


# how a Spark Connect client says that its server, or its session there, is gone
LOST_SESSIONS = ("INVALID_HANDLE.", "RESPONSE_ALREADY_RECEIVED", "NO_ACTIVE_SESSION")


def of_lost_server(error: BaseException) -> ThroughlineError | None:
    """The sentence for an error that says the Spark server ended under its client; None for any other error."""
    code = next((str(getattr(error, name)()) for name in ("getGrpcStatusCode", "code") if callable(getattr(error, name, None))), "")
    condition = str(error.getCondition()) if hasattr(error, "getCondition") else ""
    if "SPARK_REMOTE" not in os.environ or not (code.endswith("UNAVAILABLE") or condition.startswith(LOST_SESSIONS)):
        return None
    address = os.environ["SPARK_REMOTE"].split("/;")[0]
    return LostServerError(
        f"the Spark server at {address} does not answer, or was started again meanwhile. What was not published is not there in part either: "
        "run this again when `make status` says that the server is up."
    )


class SelectionError(ThroughlineError):
    """The selection or the range names nothing that can be built."""


class MissingColumnsError(ThroughlineError):
    """An input table lacks columns that its contract says are never null."""


class LostDataError(ThroughlineError):
    """A table lacks commits or files that it had: it must be brought back before anything is built from it."""


class ContractChangedError(ThroughlineError):
    """A table was made by another contract than it has now: it must be migrated before it is written."""


class GateError(ThroughlineError):
    """A gate stopped a batch: nothing of it was published."""

    exit_code = 3


class LedgerError(ThroughlineError):
    """Rows or sums went missing between input and output: nothing was published."""

    exit_code = 3


class LostKeyError(ThroughlineError):
    """The identifier key of a lake is gone; a new one would orphan every person."""


class WrongKeyError(ThroughlineError):
    """The key file holds another key than the lake was made with."""


class LostServerError(ThroughlineError):
    """The Spark server ended while it was asked; the same work may be done again once it is back."""

    exit_code = 4


class HomeInUseError(ThroughlineError):
    """Something works with this home's files: nothing may be removed now."""

    exit_code = 4


class ClaimHeldError(ThroughlineError):
    """Another run is writing the same table; try again when it is done."""

    exit_code = 4


class LostClaimError(ThroughlineError):
    """A newer run took this one's claim: its commit was refused and nothing was written."""

    exit_code = 4

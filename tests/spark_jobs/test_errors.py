"""Errors as sentences."""

import errno

import pytest

from spark_jobs.errors import DamagedTableError, GateError, NoSpaceError, NotAllowedError, ReadOnlyError, of_trouble, safe_message


def test_a_file_that_cannot_be_read_is_named_with_its_table_and_what_to_do():
    spark = Exception(
        "An error occurred while calling o1.count.\n: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:/lake/silver/events/part-0.snappy.parquet. SQLSTATE"
    )
    said = str(of_trouble(spark, "journeys.sessions"))
    assert said.startswith(
        "journeys.sessions: a file that it reads is missing or damaged: /lake/silver/events/part-0.snappy.parquet. Nothing"
    )
    assert "Restore the file" in said
    assert of_trouble(ValueError("something else"), "journeys.sessions") is None


@pytest.mark.parametrize(
    ("error", "kind", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/lake/silver/x.parquet"), NoSpaceError, 4, "the disk is full: /lake/silver/x.parquet"),
        (OSError(errno.EROFS, "Read-only file system", "/lake/ops/claims"), ReadOnlyError, 4, "its file system is read-only: /lake/ops/claims"),
        (PermissionError(errno.EACCES, "Permission denied", "/lake/gold/people/a"), NotAllowedError, 2, "gold.people: this user may not read or write it"),
        (Exception("java.io.IOException: No space left on device\n\tat x"), NoSpaceError, 4, "the lake: the disk is full."),
        (
            Exception("[DELTA_VERSIONS_NOT_CONTIGUOUS] Versions (0, 2) are not contiguous. file:/l/silver/orders/_delta_log/0.json"),
            DamagedTableError, 2, "`python -m spark_jobs rebuild silver.orders`",
        ),
    ],
)  # fmt: skip
def test_what_a_disk_does_is_a_sentence_with_its_exit_code(error, kind, code, said):
    told = of_trouble(error)
    assert type(told) is kind and told.exit_code == code and said in str(told)


def test_the_cause_of_an_error_tells_too():
    outer = RuntimeError("job aborted")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert isinstance(of_trouble(outer), NoSpaceError)


def test_of_our_own_errors_the_sentence_is_kept_and_of_others_the_kind():
    assert safe_message(GateError("stopped at the gate")) == "stopped at the gate"
    java = Exception("An error occurred while calling o1.save.\n: java.lang.IllegalStateException: jo@example.com\n\tat x")
    assert safe_message(java) == "java.lang.IllegalStateException"
    assert safe_message(KeyError("jo@example.com")) == "KeyError"

"""Files that an operator names."""

import os
from pathlib import Path

import pytest

from spark_jobs.errors import ThroughlineError
from spark_jobs.io.given import read_given


@pytest.mark.timeout(20)
def test_what_may_never_end_or_begin_is_refused_in_one_sentence(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for path in (Path("/dev/zero"), Path("/dev/null"), tmp_path / "pipe", tmp_path / "large", tmp_path, tmp_path / "none"):
        with pytest.raises(ThroughlineError, match=f"{path}: cannot be read") as error:
            read_given(path, 10)
        assert "\n" not in str(error.value)


def test_a_file_of_the_most_bytes_is_read_through_a_link_too(tmp_path):
    (tmp_path / "there").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert read_given(tmp_path / "link", 10) == b"x" * 10

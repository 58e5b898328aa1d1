"""Reading what others dropped: every line whole, or its beginning and the sha256 of the whole."""

from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given, strategies as st

from connectors.kernel import drops
from connectors.kernel.drops import limited_lines
from connectors.kernel.landing import Cut


class TooLargeError(Exception):
    pass


def refuse() -> None:
    raise TooLargeError


pieces = st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"b" * 7, b"c" * 50]), max_size=30)


@given(pieces, st.sampled_from([1, 3, 7, 64]), st.sampled_from([1, 5, 20]))
def test_lines_are_those_of_the_file_and_long_ones_are_cut_whatever_is_read_at_once(given_pieces, block, limit):
    text = b"".join(given_pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drops, "READ_BYTES", block)
        found = list(limited_lines(io.BytesIO(text), limit, 10**9, refuse))
    expected = list(io.BytesIO(text))
    assert len(found) == len(expected)
    for line, whole in zip(found, expected):
        record = whole.rstrip(b"\r\n")
        assert isinstance(line, Cut) == (len(record) > limit)
        if isinstance(line, Cut):
            assert record.startswith(line) and line.sha256 == hashlib.sha256(record).hexdigest()
        else:
            assert line == whole


def test_a_line_of_as_many_bytes_as_allowed_is_whole():
    assert list(limited_lines(io.BytesIO(b"12345\r\n123456\r\n"), 5, 100, refuse)) == [b"12345\r\n", b"123456"]


@pytest.mark.parametrize("text", [b"1\n" * 6, b"1" * 11])
def test_what_is_larger_than_allowed_is_refused(text):
    assert list(limited_lines(io.BytesIO(text[:10]), 3, 10, refuse))
    with pytest.raises(TooLargeError):
        list(limited_lines(io.BytesIO(text), 3, 10, refuse))

"""The records of text that others wrote: CSV rows and lines, as received, in time that grows with the text and memory that does not.

A CSV row is a JSON object of strings under the header's names. A row with another number of fields is its own text, so that it is set aside
later with the bytes it came with; so is a line that is no CSV. A quoted field may hold any number of lines; a quote that never closes, or not
within MAX_ROW_BYTES, costs its own line only. Text is UTF-8.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import orjson

from connectors.kernel.errors import UnreadableFileError
from connectors.kernel.landing import Cut, Record

# What is held in memory of a row whose quote is still open
MAX_ROW_BYTES = 16 * 2**20
# UTF-32 first: the mark of its little endian begins with that of UTF-16
MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32 (little endian)"),
    (codecs.BOM_UTF32_BE, "UTF-32 (big endian)"),
    (codecs.BOM_UTF16_LE, "UTF-16 (little endian)"),
    (codecs.BOM_UTF16_BE, "UTF-16 (big endian)"),
)
# Which of four bytes are zero in text that has no mark, where the first of them or the last is a letter of the Latin script
ZEROS = {
    (False, True, True, True): "UTF-32 (little endian)",
    (True, True, True, False): "UTF-32 (big endian)",
    (False, True, False, True): "UTF-16 (little endian)",
    (True, False, True, False): "UTF-16 (big endian)",
}
# The rest of a quoted field, and the quote that closes it where there is one
QUOTED = re.compile(r'[^"]*+(?:""[^"]*+)*+("?)')


def wide_encoding(first: bytes) -> str | None:
    """The name of the encoding with more than one byte for every letter that a text's first bytes are in; None for any other."""
    for mark, name in MARKS:
        if first.startswith(mark):
            return name
    quarters = [first[i::4] for i in range(4)]
    shares = [one.count(0) / len(one) if one else 0.5 for one in quarters]
    # a few letters of another script may stand between, and a run of zeros is what a crash leaves in a log
    is_clear = all(share < 0.25 or share > 0.75 for share in shares)
    return ZEROS.get(tuple(share > 0.75 for share in shares)) if is_clear else None  # type: ignore[arg-type]


def _without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines without the byte order mark that some tools begin a UTF-8 file with: it belongs to no record."""
    rest = iter(lines)
    for first in itertools.islice(rest, 1):
        yield first if isinstance(first, Cut) else first.removeprefix(codecs.BOM_UTF8)
    yield from rest


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a text that comes block by block, with their line ends."""
    parts: list[bytes] = []
    for block in blocks:
        for line in io.BytesIO(block):
            parts.append(line)
            if line.endswith(b"\n"):
                yield b"".join(parts)
                parts.clear()
    if parts:
        yield b"".join(parts)


def line_records(lines: Iterable[bytes], skip_blank: bool) -> Iterator[Record]:
    """One record per line, as received, without its line end."""
    for number, line in enumerate(_without_mark(lines), start=1):
        payload = line if isinstance(line, Cut) else line.rstrip(b"\r\n")
        if payload.strip() or not skip_blank:
            yield Record(number, payload)


def _of_no_header(path: Path | str) -> str:
    return f"{path}: has no header, so it is no CSV file; nothing of it was landed: deliver it with its header, which alone says that there are no rows"


def csv_records(
    lines: Iterable[bytes],
    delimiter: str,
    path: Path | str,
    say: Callable[[str], None] = print,
    refuse: Callable[[Sequence[str]], None] = lambda _: None,
) -> Iterator[Record]:
    """One record per CSV row: a JSON object of strings, or the line's own bytes when it is no row with the header's fields.

    refuse: raises where the header's names are those of another file.

    `row` is the line of the file that the row begins on; the header is line 1. Time grows with the file, whatever its quotes; memory is
    bounded by MAX_ROW_BYTES beside one line, and the first row that goes beyond is said.
    """
    csv.field_size_limit(2**31 - 1)
    rows = _Rows(_without_mark(lines), delimiter)

    given: deque[str] = deque()
    # a reader for each row would take longer than reading it
    reader = csv.reader(_Given(given), delimiter=delimiter, strict=True)

    def fields_of(text: bytes) -> list[str]:
        given.append(_decoded(text))
        return next(reader)

    line = rows.next_line()
    if line is None:
        raise UnreadableFileError(_of_no_header(path))
    try:
        if isinstance(line, Cut):
            raise OverflowError("too long")
        try:
            header = fields_of(line)
        except csv.Error:
            header = fields_of(rows.whole_row(line, None) or line)
    except (csv.Error, OverflowError) as error:
        raise UnreadableFileError(f"{path}: line 1: no header of a CSV file ({error}); deliver the file with a clean header") from error
    names = [name.strip() for name in header]
    if not "".join(names):
        raise UnreadableFileError(_of_no_header(path))
    if len(set(names)) < len(names) or "" in names:
        raise UnreadableFileError(
            f"{path}: line 1: the header names {names} hold a repeated or empty name; deliver the file with a clean header"
        )
    refuse(names)
    is_said = False
    while (line := rows.next_line()) is not None:
        first, row, fields = rows.number, line, None
        if isinstance(line, Cut):
            yield Record(first, line)
            continue
        try:
            fields = fields_of(line)
        except csv.Error:  # a quote that is open at the line's end or followed by text, a carriage return within a line
            try:
                row = rows.whole_row(line, len(names)) or line
                fields = fields_of(row) if row is not line else None
            except OverflowError:
                if not is_said:
                    say(
                        f"{path}: line {first}: a quote that does not close within {MAX_ROW_BYTES // 2**20} MB; its line is kept as it is, "
                        "and the next one is read as a row, here and wherever else that is so"
                    )
                is_said = True
        if not fields and not line.strip():
            continue
        if fields is not None and len(fields) == len(names):
            yield Record(first, _as_object(names, fields) or row.rstrip(b"\r\n"))
        else:
            yield Record(first, line.rstrip(b"\r\n"))


def _as_object(names: list[str], fields: list[str]) -> bytes | None:
    """The row as a JSON object; None when it is not valid UTF-8."""
    try:
        return orjson.dumps(dict(zip(names, fields)))
    except orjson.JSONEncodeError:
        return None


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


class _Given:
    """What was put into a queue; it may be added to after its end was read."""

    def __init__(self, queue: deque[str]) -> None:
        self._queue = queue

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._queue:
            raise StopIteration
        return self._queue.popleft()


class _Rows:
    """The lines of a CSV file, each with the lines after it that its open quote takes in.

    A line end within quotes leads to the same end of the row whichever line the quote was opened in, so each line is looked through once as
    the continuation of a row, however many rows turn out to be none.
    """

    def __init__(self, lines: Iterable[bytes], delimiter: str) -> None:
        self._source = iter(lines)
        self._delimiter = delimiter
        self._plain = re.compile(rf"[^{re.escape(delimiter)}\r\n]*+")
        # lines that were looked through as the continuation of a row, the fields that end in each, and the sums of both
        self._ahead: deque[bytes] = deque()
        self._ends: deque[int] = deque()
        self._bytes = self._fields = 0
        # whether the row that they continue goes on, ends in the last of them, or is none
        self._is_open = self._is_row = False
        self.number = 0

    def next_line(self) -> bytes | None:
        """The next line, which begins a row; None at the end of the file."""
        if self._ahead:
            line: bytes | None = self._ahead.popleft()
            self._bytes -= len(cast(bytes, line))
            self._fields -= self._ends.popleft()
        else:
            line = next(self._source, None)
        if line is not None:
            self.number += 1
        return line

    def whole_row(self, line: bytes, width: int | None) -> bytes | None:
        """The row of `width` fields (None: any number) that begins with the line just read and takes in the lines after it.

        Returns None when the lines make no such row; then only the one line is taken. Raises OverflowError for more than MAX_ROW_BYTES.
        """
        fields, is_open, _ = self._scanned(line, is_open=False)
        if not is_open:
            return None
        if not self._ahead:
            self._is_open = True
        while self._is_open:
            if len(line) + self._bytes > MAX_ROW_BYTES:
                raise OverflowError
            self._look_further()
        if not self._is_row or (width is not None and fields + self._fields != width):
            return None
        row = line + b"".join(self._ahead)
        self.number += len(self._ahead)
        self._ahead.clear()
        self._ends.clear()
        self._bytes = self._fields = 0
        return row

    def _look_further(self) -> None:
        """Look through one more line as the continuation of an open row."""
        line = next(self._source, None)
        if line is None:
            self._is_open = self._is_row = False
            return
        # a line that is longer than its limit closes no quote: it is a record of its own
        fields, self._is_open, self._is_row = (0, False, False) if isinstance(line, Cut) else self._scanned(line, is_open=True)
        self._ahead.append(line)
        self._ends.append(fields)
        self._bytes += len(line)
        self._fields += fields

    def _scanned(self, line: bytes, is_open: bool) -> tuple[int, bool, bool]:
        """How many fields end in the line, whether it ends within quotes, and whether it ends a row, by RFC 4180; is_open: whether it
        begins within quotes."""
        if is_open and b'"' not in line:
            return 0, True, False
        text, place, ended = _decoded(line), 0, 0
        while True:
            if is_open or text.startswith('"', place):
                match = cast(re.Match[str], QUOTED.match(text, place if is_open else place + 1))
                if not match[1]:
                    return ended, True, False
                is_open, place = False, match.end()
            else:
                place = cast(re.Match[str], self._plain.match(text, place)).end()
            ended += 1
            if not text.startswith(self._delimiter, place):
                return ended, False, not text[place:].strip("\r\n")
            place += 1

"""Files that somebody puts into a folder: CSV, JSON lines, access logs and Parquet, plain or gzipped. No API, no version.

A stream in conf/sources/<source>.yml:
    path: pattern or list of patterns, relative to its root. Globs work; {date} stands for YYYY-MM-DD and makes the file a slice of that
        day; {delivery} beside it marks a report: of the files of one day whose names differ in it alone, the later name restates the
        earlier one, whole (attempt + 1).
    format: csv | jsonl | text | parquet; by default what the file's suffix says (.csv, .jsonl, .log, .parquet, each also with .gz)
    delimiter: of a CSV file, by default a comma
    root: drops ($THROUGHLINE_DROPS/<source>/<stream>, by default under $THROUGHLINE_HOME/drops) | data ($THROUGHLINE_DATA) |
        repository (files that come with Throughline); by default the source's settings.root, else drops

A CSV row lands as a JSON object of strings under the header's names. A row with another number of fields lands as its own text, so that
it is set aside later with the bytes it came with; so does a line that is no CSV. A quoted field may hold any number of lines; a quote that
never closes, or not within MAX_ROW_BYTES, costs its own line only. Text is UTF-8; a file of UTF-16 or UTF-32 is refused.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import itertools
import os
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from conf import settings
from connectors.errors import MissingFolderError, StreamDeclarationError, UnreadableFileError
from connectors.kernel.landing import Landed, Landing, Record, Slice, file_sha256, landed

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".log": "text", ".txt": "text", ".parquet": "parquet"}
FORMATS = ("csv", "jsonl", "text", "parquet")
ROOTS = ("drops", "data", "repository")
KEYS = ("path", "format", "delimiter", "root")
DAY = r"(?P<date>\d{4}-\d{2}-\d{2})"
DELIVERY = r"(?P<delivery>[^/]+?)"
# What a folder's name can say with a ~ for each /; file systems end at 255 bytes
MAX_PLAIN_PATH = 200
PLAIN_PATH = r"[A-Za-z0-9-][A-Za-z0-9._/-]*"
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
FIRST_BYTES = 4096
# The rest of a quoted field, and the quote that closes it where there is one
QUOTED = re.compile(r'[^"]*+(?:""[^"]*+)*+("?)')
WORKERS = 8


@dataclass(frozen=True)
class Stream:
    """One stream's declaration, checked."""

    source: settings.Source
    name: str
    patterns: tuple[str, ...]
    format: str | None
    delimiter: str
    root: Path

    @property
    def is_report(self) -> bool:
        return any("{delivery}" in pattern for pattern in self.patterns)


@dataclass(frozen=True)
class Drop:
    """One dropped file that matches a stream's pattern; day is None when the stream is not cut by day."""

    path: Path
    slice_id: str
    day: date | None


@dataclass
class Counts:
    """What one pull did."""

    files: int = 0
    landed: int = 0
    skipped: int = 0
    records: int = 0


def pull(source: settings.Source, first_day: date, last_day: date, landing: Landing, say: Callable[[str], None]) -> dict[str, Counts]:
    """Land every dropped file of the range that is not landed yet.

    Args:
        first_day, last_day: inclusive; files without a {date} belong to every range.
        say: takes one sentence for a person to read.

    Returns: counts by stream name, in the order of the declaration.
    Raises: StreamDeclarationError or MissingFolderError, which end the pull; UnreadableFileError when all that is whole is landed, naming
        every file that is not, and what to do.
    """
    streams = [declared(source, name) for name in source.streams]
    refused: list[str] = []
    counts = {stream.name: pull_stream(stream, first_day, last_day, landing, say, refused) for stream in streams}
    if refused:
        landed_files = sum(one.landed for one in counts.values())
        say(
            f"{source.source}: {len(refused)} files were refused, {landed_files} landed with {sum(one.records for one in counts.values())} records"
        )
        raise UnreadableFileError("\n".join(refused))
    return counts


def declared(source: settings.Source, name: str) -> Stream:
    """The stream's declaration. Raises StreamDeclarationError naming what is allowed, MissingFolderError for an unset root."""
    values = source.streams[name]
    where = f"conf/sources/{source.source}.yml: streams.{name}"
    unknown = sorted(set(values) - set(KEYS))
    if unknown or "path" not in values:
        raise StreamDeclarationError(f"{where}: unknown keys {unknown}, or no path; allowed are {list(KEYS)}")
    patterns = tuple(values["path"]) if isinstance(values["path"], tuple | list) else (values["path"],)
    if values.get("format") not in (None, *FORMATS):
        raise StreamDeclarationError(f"{where}: format is {values['format']!r}; allowed are {list(FORMATS)}")
    delimiter = values.get("delimiter", ",")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise StreamDeclarationError(f"{where}: delimiter is {delimiter!r}; give one character")
    for pattern in patterns or ("",):
        if not _is_pattern(pattern):
            raise StreamDeclarationError(
                f"{where}: path is {pattern!r}; give a pattern relative to the stream's root, as '{{date}}.csv', in which ** stands alone "
                "between slashes and {delivery} stands once"
            )
        if "{delivery}" in pattern and "{date}" not in pattern:
            raise StreamDeclarationError(f"{where}: {pattern!r} has {{delivery}} but no {{date}}; a report restates days")
    root = values.get("root") or source.settings.get("root") or "drops"
    if root not in ROOTS:
        raise StreamDeclarationError(f"{where}: root is {root!r}; allowed are {list(ROOTS)}")
    return Stream(source, name, patterns, values.get("format"), delimiter, _root_folder(root, source.source, name))


def _is_pattern(value: object) -> bool:
    """Whether a value is a pattern that glob and _as_regex take alike."""
    if not isinstance(value, str) or value.count("{delivery}") > 1:
        return False
    folders = value.split("/")
    return not {"", ".", ".."} & set(folders) and folders[-1] != "**" and all(one == "**" or "**" not in one for one in folders)


def _root_folder(root: str, source: str, stream: str) -> Path:
    if root == "repository":
        return settings.REPOSITORY
    if root == "drops":
        return Path(os.environ.get("THROUGHLINE_DROPS") or settings.home() / "drops") / source / stream
    folder = os.environ.get("THROUGHLINE_DATA")
    if not folder:
        raise MissingFolderError(f"{source} reads files below THROUGHLINE_DATA, which is not set: export THROUGHLINE_DATA=<folder>")
    if not Path(folder).is_dir():
        raise MissingFolderError(f"THROUGHLINE_DATA is {folder}, which is no folder: set it to the folder that holds {source}'s files")
    return Path(folder)


def pull_stream(
    stream: Stream, first_day: date, last_day: date, landing: Landing, say: Callable[[str], None], refused: list[str]
) -> Counts:
    """Land one stream's files of the range: each content once, a changed file as the slice's next attempt, and so a file whose landed
    parts were damaged or lost since. New files of earlier days too, when they are no older than the stream's first landed day and
    accept_late_days: they came late, or restate their day. A file that cannot be read adds its error to `refused`."""
    found = matching(stream, refused)
    drops = [drop for drop in found if drop.day is None or first_day <= drop.day <= last_day]
    before = landed(landing.root, stream.source.source, stream.name)
    known = [date.fromisoformat(one.manifest["slice_from"]) for one in before if one.manifest.get("slice_from")]
    paths = {one.origin.get("path") for one in before}
    earliest = max(min(known, default=first_day), first_day - timedelta(days=settings.platform().accept_late_days))
    late = [d for d in found if d.day is not None and earliest <= d.day < first_day and str(d.path.resolve()) not in paths]
    if late:
        say(f"{stream.source.source}.{stream.name}: {len(late)} files of days before {first_day} came since, from {late[0].day} on")
    drops = [*late, *drops]
    if not drops:
        patterns = " or ".join(str(stream.root / pattern) for pattern in stream.patterns)
        say(f"{stream.source.source}.{stream.name}: no files match {patterns} from {first_day} to {last_day}")
    newest = {one.origin.get("path"): one for one in before}
    last = {one.slice: one for one in before}
    contents = {one.origin.get("sha256") for one in before}
    counts = Counts(files=len(drops))
    slices: dict[str, list[tuple[Drop, str, datetime]]] = {}
    for place, drop in enumerate(drops):
        sha256, path = file_sha256(drop.path), str(drop.path.resolve())
        earlier = newest.get(path)
        is_same = earlier is not None and earlier.origin.get("sha256") == sha256
        is_copy = earlier is None and not stream.is_report and sha256 in contents
        # what was replaced since is not read any more, whatever became of it
        is_damaged = is_same and earlier is not None and earlier is last[earlier.slice] and not earlier.is_whole()
        if is_damaged:
            say(f"{stream.source.source}.{stream.name}: what was landed of {drop.path} was changed, cut or lost; it is landed again")
        elif is_same or is_copy:
            counts.skipped += 1
            continue
        # Attempts of one pull differ in extracted_at, so that "the newest" has one meaning everywhere.
        extracted_at = datetime.now(UTC) + timedelta(microseconds=place)
        slices.setdefault(drop.slice_id, []).append((drop, sha256, extracted_at))
        contents.add(sha256)
    # Small files wait for the disk most of the time; the attempts of one slice stay in order.
    with ThreadPoolExecutor(max_workers=WORKERS) as workers:
        for attempts, error in workers.map(lambda todo: _land_slice(stream, todo, landing, say), slices.values()):
            counts.records += sum(one.records for one in attempts)
            counts.landed += len(attempts)
            refused += [error] if error else []
    return counts


def _land_slice(
    stream: Stream, todo: list[tuple[Drop, str, datetime]], landing: Landing, say: Callable[[str], None]
) -> tuple[list[Landed], str | None]:
    """Land a slice's files in order. Ends at one that cannot be read, with its error: landed after a later one it would replace that."""
    attempts: list[Landed] = []
    for drop, sha256, extracted_at in todo:
        try:
            attempts.append(land_file(stream, drop, sha256, extracted_at, landing, say))
        except UnreadableFileError as error:
            return attempts, str(error)
    return attempts, None


def matching(stream: Stream, refused: list[str]) -> list[Drop]:
    """The files below the root that match one of the stream's patterns, by slice, then file name. A file whose name has a date that is no
    day adds its error to `refused`."""
    found: dict[Path, Drop] = {}
    for pattern in stream.patterns:
        # ** stands for folders only where it stands alone
        glob = pattern.replace("{date}", "????-??-??").replace("{delivery}", "?*").replace("?**", "?*")
        exact = re.compile(_as_regex(pattern))
        for path in stream.root.glob(glob):
            relative = path.relative_to(stream.root).as_posix()
            match = exact.fullmatch(relative)
            if match is None or not path.is_file() or path.name.endswith(".tmp"):
                continue
            try:
                found[path] = Drop(path, *_slice_of(stream, pattern, relative, match))
            except UnreadableFileError as error:
                refused.append(str(error))
    return sorted(found.values(), key=lambda drop: (drop.slice_id, drop.path.as_posix()))


def _as_regex(pattern: str) -> str:
    parts, seen = [], False
    for piece in re.split(r"(\{date\}|\{delivery\}|\*\*/|\*|\?)", pattern):
        if piece == "{date}":
            parts.append(r"(?P=date)" if seen else DAY)
            seen = True
        else:
            known = {"{delivery}": DELIVERY, "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
            parts.append(known.get(piece) or re.escape(piece))
    return "".join(parts)


def _slice_of(stream: Stream, pattern: str, relative: str, match: re.Match[str]) -> tuple[str, date | None]:
    """The slice's id, another one for every path unless a later delivery restates an earlier one, and its day."""
    text, dated = match.groupdict().get("date"), [one for one in stream.patterns if "{date}" in one]
    if text is None:
        # beside slices of days, a path that begins with a day could be taken for one of theirs
        return _folder_name(relative, is_plain=not (dated and re.match(DAY, relative))), None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise UnreadableFileError(f"{stream.root / relative}: {text} in its name is no day ({error}); rename the file") from error
    # Several files of a day are several slices, unless the later one is declared to restate the earlier, packed or not.
    suffix = ".gz" if "{delivery}" in pattern else ""
    first = next((one for one in dated if not set("*?") & set(one)), "")
    if pattern.removesuffix(suffix) == first.removesuffix(suffix):
        return text, day
    start, end = match.span("delivery") if "{delivery}" in pattern else (0, 0)
    return f"{text}~{_folder_name((relative[:start] + relative[end:]).removesuffix(suffix))}", day


def _folder_name(relative: str, is_plain: bool = True) -> str:
    """A path as the name of one folder: a/b.csv is a~b.csv; a path of other signs gets some digits of its sha256, so that no two share one."""
    # Spark hides folders that begin with _ or . and reads k=v as a partition.
    name = re.sub(r"[^A-Za-z0-9._-]+|^[._]+", "~", relative)
    if is_plain and len(name) <= MAX_PLAIN_PATH and re.fullmatch(PLAIN_PATH, relative):
        return name
    return f"{name[:MAX_PLAIN_PATH]}~{hashlib.sha256(os.fsencode(relative)).hexdigest()[:12]}"


def land_file(stream: Stream, drop: Drop, sha256: str, extracted_at: datetime, landing: Landing, say: Callable[[str], None]) -> Landed:
    """Land one file as one attempt. Raises UnreadableFileError, and lands nothing, when the file is damaged or its text is not UTF-8."""
    source = stream.source
    origin = {"path": str(drop.path.resolve()), "sha256": sha256, "bytes": drop.path.stat().st_size}
    piece = Slice(source.source, stream.name, source.account, drop.slice_id, drop.day, drop.day, source.api_version, origin)
    kind = stream.format or _format_of(drop.path, stream)
    try:
        if kind == "parquet":
            rows = pq.ParquetFile(drop.path).metadata.num_rows
            return landing.land_whole(piece, drop.path, sha256, rows, extracted_at)
        with _opened(drop.path) as file:
            if encoding := wide_encoding(file.read(FIRST_BYTES)):
                how = " (Excel: 'CSV UTF-8')" if kind == "csv" else ""
                raise UnreadableFileError(f"{drop.path}: is {encoding}, not UTF-8: save it as UTF-8{how} and deliver it again")
            file.seek(0)
            is_csv = kind == "csv"
            records = csv_records(file, stream.delimiter, drop.path, say) if is_csv else line_records(file, skip_blank=kind == "jsonl")
            return landing.land_records(piece, records, extracted_at)
    except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowInvalid) as error:
        raise UnreadableFileError(
            f"{drop.path}: cannot be read as {kind} ({error}); nothing of it was landed: deliver the file again"
        ) from error


def _format_of(path: Path, stream: Stream) -> str:
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise StreamDeclarationError(
            f"conf/sources/{stream.source.source}.yml: streams.{stream.name}: {path.name} does not say its format; "
            f"add format: one of {list(FORMATS)}"
        )
    return SUFFIXES[suffix]


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines without the byte order mark that some tools begin a UTF-8 file with: it belongs to no record."""
    rest = iter(lines)
    for first in itertools.islice(rest, 1):
        yield first.removeprefix(codecs.BOM_UTF8)
    yield from rest


def line_records(lines: Iterable[bytes], skip_blank: bool) -> Iterator[Record]:
    """One record per line, as received, without its line end."""
    for number, line in enumerate(_without_mark(lines), start=1):
        payload = line.rstrip(b"\r\n")
        if payload.strip() or not skip_blank:
            yield Record(number, payload)


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
        fields, self._is_open, self._is_row = self._scanned(line, is_open=True)
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


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def csv_records(lines: Iterable[bytes], delimiter: str, path: Path, say: Callable[[str], None] = print) -> Iterator[Record]:
    """One record per CSV row: a JSON object of strings, or the line's own bytes when it is no row with the header's fields.

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
        return
    try:
        try:
            header = fields_of(line)
        except csv.Error:
            header = fields_of(rows.whole_row(line, None) or line)
    except (csv.Error, OverflowError) as error:
        raise UnreadableFileError(f"{path}: line 1: no header of a CSV file ({error}); deliver the file with a clean header") from error
    names = [name.strip() for name in header]
    if len(set(names)) < len(names) or "" in names:
        raise UnreadableFileError(
            f"{path}: line 1: the header names {names} hold a repeated or empty name; deliver the file with a clean header"
        )
    is_said = False
    while (line := rows.next_line()) is not None:
        first, row, fields = rows.number, line, None
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

"""Files that somebody puts into a folder: CSV, JSON lines, access logs and Parquet, plain or gzipped. No API, no version.

A stream in conf/sources/<source>.yml:
    path: pattern or list of patterns, relative to its root. * and ? work within a name, ** stands for folders; {date} stands for YYYY-MM-DD
        and makes the file a slice of that day; {delivery} beside it marks a report: of the files of one day whose names differ in it
        alone, the later name (numbers in it compared as numbers) restates the earlier one, whole (attempt + 1).
    format: csv | jsonl | text | parquet; by default what the file's suffix says (.csv, .jsonl, .log, .parquet, each also with .gz)
    delimiter: of a CSV file, by default a comma
    root: an address (s3://bucket/folder, gs://, sftp://host/folder, https://host/folder), read as the connection that `secret` names |
        drops ($THROUGHLINE_DROPS/<source>/<stream>, by default under $THROUGHLINE_HOME/drops) | data ($THROUGHLINE_DATA) |
        repository (files that come with Throughline); by default the source's settings.root, else drops
    follow_symlinks: whether links that lead out of the root are followed, by default false; a link that stays below it always is
    max_record_bytes: what one record may have, by default conf/platform.yml's; of a longer one the first 64 KiB land, to be set aside
    max_expanded_bytes: what one file may hold when it is unpacked, by default conf/platform.yml's; a larger one is refused

A CSV row lands as a JSON object of strings under the header's names, what is none as its own text (connectors.kernel.formats). Text is UTF-8;
a file of UTF-16 or UTF-32 is refused.
What a mapping reads of the stream says which file is another one: a CSV or Parquet file that has none of its columns, or a file of which
not one record can be read, is refused; a record that cannot be read costs itself where others can.
A CSV file with its header alone, and JSON lines or a log without a line, are an empty delivery: they say that there are no records. A file
of 0 bytes that should have a header or is packed is an upload that has only begun, and is refused.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import tempfile
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from conf import settings
from conf.personal import masked_text
from connectors.kernel import mirror
from connectors.kernel.connector import Counts, Finding, Plan, Planned, Say, Scope
from connectors.kernel.deliveries import Drop, Todo, land_new
from connectors.kernel.drops import READ_BYTES, Folder, Watched, limited_lines, unreadable, within
from connectors.kernel.errors import ChangedFileError, MissingFolderError, StreamDeclarationError, UnreadableFileError
from connectors.kernel.formats import csv_records, line_records, wide_encoding
from connectors.kernel.landing import Cut, Landed, Landing, Record, Rehearsal, Slice, landed
from connectors.kernel.patterns import WILD, as_regex, in_order, is_pattern, slice_of

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".log": "text", ".txt": "text", ".parquet": "parquet"}
FORMATS = ("csv", "jsonl", "text", "parquet")
SETTINGS = ("root", "secret", "time_zone", "currency")
ROOTS = ("drops", "data", "repository")
KEYS = ("enabled", "path", "format", "delimiter", "root", "secret", "follow_symlinks", "max_record_bytes", "max_expanded_bytes")
# Spark reads no JSON string beyond 20 million characters, and a record that is no UTF-8 grows by a third in base64
MOST_RECORD_BYTES = 14 * 2**20
LIMITS = {"max_record_bytes": MOST_RECORD_BYTES, "max_expanded_bytes": 2**63 - 1}
FIRST_BYTES = 4096
# How many of the last files a check tries to open
LOOKED_AT = 3
KINDS_WITH_HEADER = ("csv", "parquet")
# How many columns an error names, and how many letters of each
MOST_NAMES, LONGEST_NAME = 8, 40


@dataclass(frozen=True)
class Stream:
    """One stream's declaration, checked."""

    source: settings.Source
    name: str
    patterns: tuple[str, ...]
    format: str | None
    delimiter: str
    folder: Folder
    max_record_bytes: int
    max_expanded_bytes: int
    # the columns that the source's mapping reads, and the pattern of a line that it reads; none where it reads none
    columns: frozenset[str] = frozenset()
    line: re.Pattern[bytes] | None = None
    # where the files are when they are not on this machine, and the connection by which they are read
    address: str = ""
    secret: str = ""

    @property
    def title(self) -> str:
        return f"{self.source.source}.{self.name}"

    @property
    def account(self) -> str:
        return self.source.account

    @property
    def places(self) -> str:
        return " or ".join(f"{self.address or self.folder.root}/{pattern}" for pattern in self.patterns)

    def bring(self, say: Say) -> None:
        """Fetch what is new at the stream's address, where it has one."""
        if self.address:
            mirror.bring(self.address, self.secret, self.patterns, self.folder.root, say)

    @property
    def is_report(self) -> bool:
        return any("{delivery}" in pattern for pattern in self.patterns)


def declared(source: settings.Source, name: str) -> Stream:
    """The stream's declaration. Raises StreamDeclarationError naming what is allowed, MissingFolderError for an unset root."""
    values = source.streams[name]
    where = f"conf/sources/{source.source}.yml: streams.{name}"
    if strange := sorted(map(str, set(source.settings) - set(SETTINGS))):
        raise StreamDeclarationError(f"conf/sources/{source.source}.yml: settings: unknown keys {strange}; allowed are {list(SETTINGS)}")
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
        if not is_pattern(pattern):
            raise StreamDeclarationError(
                f"{where}: path is {pattern!r}; give a pattern relative to the stream's root, as '{{date}}.csv', in which ** stands alone "
                "between slashes, {delivery} stands once, and no braces but those of {date} and {delivery} do"
            )
        if "{delivery}" in pattern and "{date}" not in pattern:
            raise StreamDeclarationError(f"{where}: {pattern!r} has {{delivery}} but no {{date}}; a report restates days")
    root = values.get("root") or source.settings.get("root") or "drops"
    is_away = mirror.is_address(root)
    if not is_away and root not in ROOTS:
        raise StreamDeclarationError(f"{where}: root is {root!r}; allowed are {list(ROOTS)} and addresses, as s3://bucket/folder")
    address = mirror.checked(root, where) if is_away else ""
    secret = values.get("secret") or source.settings.get("secret") or ""
    if not isinstance(secret, str) or (secret and not is_away):
        raise StreamDeclarationError(f"{where}: secret is {secret!r}; give the name of a connection, beside a root that is an address")
    follows = values.get("follow_symlinks", False)
    if not isinstance(follows, bool):
        raise StreamDeclarationError(f"{where}: follow_symlinks is {follows!r}; give true or false")
    limits = {key: _limit(values, key, most, where) for key, most in LIMITS.items()}
    base, below = (mirror.folder_of(source.source, name), Path()) if is_away else _root_folder(root, source.source, name)
    key = f"streams.{name}.follow_symlinks: true in conf/sources/{source.source}.yml"
    folder = Folder(base / below, Path(os.path.realpath(base)) / below, follows, key)
    columns, line = _read_of(source.source, name)
    return Stream(
        source,
        name,
        patterns,
        values.get("format"),
        delimiter,
        folder,
        **limits,
        columns=columns,
        line=line,
        address=address,
        secret=secret,
    )


def _read_of(source: str, stream: str) -> tuple[frozenset[str], re.Pattern[bytes] | None]:
    """The columns, or the pattern of a line, that the source's mapping reads of a stream."""
    record = settings.record_of(source, stream) or {}
    if record.get("format") in ("csv", "json"):
        return settings.names_in(str(record.get("schema", ""))), None
    pattern = str(record.get("pattern", ""))
    try:
        with warnings.catch_warnings():
            # Java and Python mean other sets by [a[b]] and [a&&b]
            warnings.simplefilter("error", FutureWarning)
            # of bytes, so that a line in any encoding is judged
            return frozenset(), re.compile(pattern.encode(), re.ASCII) if pattern and pattern.isascii() else None
    except (re.error, FutureWarning):  # what only Java's dialect knows judges no line here
        return frozenset(), None


def _limit(values: Mapping[str, Any], key: str, most: int, where: str) -> int:
    """A limit in bytes: the stream's own, else the installation's."""
    given = values.get(key)
    limit = getattr(settings.platform(), key) if given is None else given
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
        raise StreamDeclarationError(
            f"{'conf/platform.yml' if given is None else where}: {key} is {limit!r}; give a whole number from 1 to {most}"
        )
    return limit


def _root_folder(root: str, source: str, stream: str) -> tuple[Path, Path]:
    """The folder that is configured, and the stream's place below it."""
    if root == "repository":
        return settings.REPOSITORY, Path()
    if root == "drops":
        return Path(os.environ.get("THROUGHLINE_DROPS") or settings.home() / "drops"), Path(source, stream)
    folder = os.environ.get("THROUGHLINE_DATA")
    if not folder:
        raise MissingFolderError(f"{source} reads files below THROUGHLINE_DATA, which is not set: export THROUGHLINE_DATA=<folder>")
    if not Path(folder).is_dir():
        raise MissingFolderError(f"THROUGHLINE_DATA is {folder}, which is no folder: set it to the folder that holds {source}'s files")
    return Path(folder), Path()


def pull_stream(stream: Stream, scope: Scope, landing: Landing, say: Say) -> Counts:
    """Land one stream's files of the days, whoever named them: each content once, by the rules of connectors.kernel.deliveries."""
    first_day, last_day = scope.days
    stream.bring(say)
    refused: list[str] = []
    found = matching(stream, refused)
    counts, days = Counts(), (first_day, last_day)
    is_new = not (landing.root / stream.source.source / stream.name).exists()
    if not is_new or any(drop.day is None or first_day <= drop.day <= last_day for drop in found):
        with landing.alone(stream.source.source, stream.name, say):
            before = landed(landing.root, stream.source.source, stream.name)
            counts = land_new(stream, found, days, before, lambda todo: land_file(stream, todo, landing, say), say)
    if not counts.files:
        say(f"{stream.title}: no files match {stream.places} from {first_day} to {last_day}")
    counts.files += len(refused)
    counts.refused += len(refused)
    counts.failures[:0] = [UnreadableFileError(sentence) for sentence in refused]
    return counts


def plan_stream(stream: Stream, scope: Scope, landing: Landing, say: Say) -> Plan:
    """What pull_stream would land: the same reading, without a write."""
    if stream.address:
        # what is looked at is fetched, and not kept
        with tempfile.TemporaryDirectory() as folder:
            place = Path(os.path.realpath(folder))
            here = replace(stream, address="", folder=replace(stream.folder, root=place, real_root=place))
            mirror.bring(stream.address, stream.secret, stream.patterns, place, say)
            return plan_stream(here, scope, landing, say)
    rehearsal = Rehearsal(landing.root, landing.run_id)
    counts = pull_stream(stream, scope, rehearsal, say)
    slices = tuple(
        Planned(one.manifest["slice_id"], one.manifest["attempt"], str(one.origin["path"]), one.records, int(one.origin["bytes"]))
        for one in rehearsal.attempts
    )
    return Plan(counts, slices)


def check_stream(stream: Stream) -> Finding:
    """Whether the folder can be looked into and, of the last files, one can be opened; of an address, which files it has."""
    if stream.address:
        there = mirror.names(stream.address, stream.secret, stream.patterns)
        return Finding(
            f"{len(there)} files match, the last of them is {there[-1]}" if there else f"no files match {stream.places}", not there
        )
    refused: list[str] = []
    found = matching(stream, refused)
    for drop in found[: -LOOKED_AT - 1 : -1]:
        try:
            stream.folder.opened(drop.path).close()
            return Finding("; ".join([f"{len(found)} files match, the last of them is {drop.name}", *refused]))
        except UnreadableFileError as error:
            refused.append(str(error))
    if refused:
        raise UnreadableFileError("; ".join(refused))
    return Finding(f"no files match {stream.places}", is_empty=True)


def matching(stream: Stream, refused: list[str]) -> list[Drop]:
    """The files below the root that match one of the stream's patterns, by slice, then file name. A file whose name has a date that is no
    day, a link that is not followed and a folder that cannot be looked into add their sentences to `refused`, each once."""
    folder, found = stream.folder, dict[Path, Drop]()
    said: dict[str, None] = {}
    if folder.leads_out(folder.root):
        refused.append(folder.said_of_link(folder.root))
        return []
    for pattern in stream.patterns:
        exact = re.compile(as_regex(pattern))
        parts = [re.compile(as_regex(part)) if part != "**" and WILD.search(part) else part for part in pattern.split("/")]
        for path in folder.below(parts, said):
            relative = path.relative_to(folder.root).as_posix()
            match = exact.fullmatch(relative)
            if match is None or path.name.endswith(".tmp"):
                continue
            try:
                if folder.leads_out(path):
                    said[folder.said_of_link(path)] = None
                elif stat.S_ISREG(os.stat(path).st_mode):
                    found[path] = Drop(path, relative, *slice_of(stream.patterns, pattern, relative, match))
            except OSError as error:
                said[unreadable(path, error)] = None
            except ValueError as error:
                said[f"{path}: {match['date']} in its name is no day ({error}); rename the file"] = None
    refused.extend(said)
    return sorted(found.values(), key=lambda drop: (drop.slice_id, in_order(drop.name)))


def land_file(stream: Stream, todo: Todo, landing: Landing, say: Say) -> Landed:
    """Land one file as one attempt. Raises UnreadableFileError, and lands nothing, when the file is damaged, empty where it cannot be, larger
    than its limit or its text not UTF-8; ChangedFileError when it holds something else than when it was looked at."""
    source, drop = stream.source, todo.drop
    origin = {"path": os.path.realpath(drop.path), "name": drop.name, "sha256": todo.sha256, "bytes": todo.bytes}
    piece = Slice(source.source, stream.name, source.account, drop.slice_id, drop.day, drop.day, source.api_version, origin)
    kind = stream.format or _format_of(drop.path, stream)
    is_packed = drop.path.name.endswith(".gz")
    if not todo.bytes and (is_packed or kind in KINDS_WITH_HEADER):
        raise UnreadableFileError(_of_no_bytes(drop.path, kind))
    try:
        with stream.folder.opened(drop.path) as file:
            if kind == "parquet":
                count = partial(_parquet_rows, stream, drop.path)
                return landing.land_whole(piece, cast(BinaryIO, file), todo.sha256, count, todo.extracted_at)
            if encoding := wide_encoding(_first_bytes(file, is_packed)):
                how = " (Excel: 'CSV UTF-8')" if kind == "csv" else ""
                raise UnreadableFileError(f"{drop.path}: is {encoding}, not UTF-8: save it as UTF-8{how} and deliver it again")
            return landing.land_records(piece, _records(stream, todo, file, kind, say), todo.extracted_at)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableFileError(_not_of(drop.path, kind, error)) from error
    except OSError as error:  # of the drop: what the landing folder refuses is a LandingError
        raise UnreadableFileError(unreadable(drop.path, error)) from error


def _not_of(path: Path, kind: str, error: Exception) -> str:
    return f"{path}: cannot be read as {kind} ({error}); nothing of it was landed: deliver the file again"


def _of_no_bytes(path: Path, kind: str) -> str:
    none = "; a day without rows is a file with its header alone" if kind == "csv" else ""
    return f"{path}: has 0 bytes, so it is an upload that has only begun or failed; nothing of it was landed: deliver the file again, whole{none}"


def _parquet_rows(stream: Stream, path: Path, copy: Path) -> int:
    """The rows of a landed copy, by its footer. Raises UnreadableFileError when they would be more than the stream's limit as JSON.

    Encodings may say a row in less than a bit: a row has no fewer bytes than its columns' names.
    """
    import pyarrow as pa  # type: ignore[import-untyped]  # a declaration is checked without it
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        footer = pq.read_metadata(copy)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(_not_of(path, "parquet", error)) from error
    groups = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
    names = footer.schema.to_arrow_schema().names
    if max(groups, footer.num_rows * sum(len(name) + 4 for name in names)) > stream.max_expanded_bytes:
        _refuse_large(stream, path)
    # a file without rows may have no columns; in `payload` stand records as they were received
    if names and "payload" not in names:
        _refuse_foreign(stream, path, names)
    return int(footer.num_rows)


def _refuse_large(stream: Stream, path: Path) -> None:
    raise UnreadableFileError(
        f"{path}: holds more than {stream.max_expanded_bytes} bytes when it is unpacked; nothing of it was landed: deliver it in parts, or, "
        f"if it is right, set streams.{stream.name}.max_expanded_bytes in conf/sources/{stream.source.source}.yml"
    )


def _refuse_foreign(stream: Stream, path: Path, names: Sequence[str]) -> None:
    """Raises UnreadableFileError where a file has none of the columns that the mapping reads."""
    if stream.columns and stream.columns.isdisjoint(names):
        raise UnreadableFileError(
            f"{path}: its columns are {_listed(names)}, and conf/mappings/{stream.source.source}.yml reads none of them for {stream.title}, "
            f"but {_listed(sorted(stream.columns))}: it is another file; nothing of it was landed: deliver the right one"
        )


def _listed(names: Sequence[str]) -> str:
    """Some names as an error shows them: a file without a header has a row of somebody's in its place."""
    some = ", ".join(masked_text(name)[:LONGEST_NAME] for name in names[:MOST_NAMES])
    return f"({some}{', …' if len(names) > MOST_NAMES else ''})"


def _is_read(stream: Stream, payload: bytes) -> bool:
    """Whether the mapping can read a record: it is a JSON object with one of its columns, or a line that its pattern fits."""
    if stream.line is not None:
        return stream.line.search(payload) is not None
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and not stream.columns.isdisjoint(found)


def _some_read(stream: Stream, path: Path, records: Iterable[Record]) -> Iterator[Record]:
    """The records. Raises UnreadableFileError at their end when there were some and the mapping can read not one: it is another file, which
    would replace its day's with nothing."""
    left, unread = iter(records), 0
    if stream.columns or stream.line is not None:
        for record in left:
            yield record
            if _is_read(stream, record.payload):
                break
            unread += 1
        else:
            if unread:
                expected = (
                    f"a record with one of {_listed(sorted(stream.columns))}" if stream.columns else "a line of the mapping's pattern"
                )
                raise UnreadableFileError(
                    f"{path}: holds {unread} records, and not one is {expected}, as conf/mappings/{stream.source.source}.yml reads them for "
                    f"{stream.title}: it is another file, or damaged; nothing of it was landed: deliver the right one"
                )
    yield from left


def _format_of(path: Path, stream: Stream) -> str:
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise UnreadableFileError(
            f"{path}: its name does not say its format, so nothing of it was landed: take it away, or, if it belongs there, set "
            f"streams.{stream.name}.format in conf/sources/{stream.source.source}.yml to one of {list(FORMATS)}"
        )
    return SUFFIXES[suffix]


def _first_bytes(file: io.FileIO, is_packed: bool) -> bytes:
    text = gzip.GzipFile(fileobj=file, mode="rb") if is_packed else file
    first = text.read(FIRST_BYTES)
    file.seek(0)
    return first or b""


def _records(stream: Stream, todo: Todo, file: io.FileIO, kind: str, say: Say) -> Iterator[Record]:
    """The records of an open file. Raises ChangedFileError at its end when it held something else than when it was looked at."""
    path, limit = todo.drop.path, stream.max_record_bytes
    watched = Watched(file)
    packed = io.BufferedReader(watched, READ_BYTES)
    text = cast(BinaryIO, gzip.GzipFile(fileobj=packed, mode="rb") if path.name.endswith(".gz") else packed)
    lines = limited_lines(text, limit, stream.max_expanded_bytes, partial(_refuse_large, stream, path))
    refuse = partial(_refuse_foreign, stream, path)
    found = csv_records(lines, stream.delimiter, path, say, refuse) if kind == "csv" else line_records(lines, skip_blank=kind == "jsonl")
    for record in _some_read(stream, path, found):
        # several lines of a CSV file may make one row that is too long
        yield (
            Record(record.row, within(record.payload, limit))
            if len(record.payload) > limit and not isinstance(record.payload, Cut)
            else record
        )
    while packed.read(READ_BYTES):
        pass
    if watched.digest.hexdigest() != todo.sha256:
        raise ChangedFileError(f"{path}: was changed while it was being landed; nothing of it was landed: pull again when it is whole")

"""Files that somebody puts into a folder: CSV, JSON lines, access logs and Parquet, plain or gzipped. No API, no version.

A stream in conf/sources/<source>.yml:
    path: pattern or list of patterns, relative to its root. * and ? work within a name, ** stands for folders; {date} stands for YYYY-MM-DD
        and makes the file a slice of that day; {delivery} beside it marks a report: of the files of one day whose names differ in it
        alone, the later name (numbers in it compared as numbers) restates the earlier one, whole (attempt + 1).
    format: csv | jsonl | text | parquet; by default what the file's suffix says (.csv, .jsonl, .log, .parquet, each also with .gz)
    delimiter: of a CSV file, by default a comma
    root: drops ($THROUGHLINE_DROPS/<source>/<stream>, by default under $THROUGHLINE_HOME/drops) | data ($THROUGHLINE_DATA) |
        repository (files that come with Throughline); by default the source's settings.root, else drops
    follow_symlinks: whether links that lead out of the root are followed, by default false; a link that stays below it always is
    max_record_bytes: what one record may have, by default conf/platform.yml's; of a longer one the first 64 KiB land, to be set aside
    max_expanded_bytes: what one file may hold when it is unpacked, by default conf/platform.yml's; a larger one is refused

A CSV row lands as a JSON object of strings under the header's names. A row with another number of fields lands as its own text, so that
it is set aside later with the bytes it came with; so does a line that is no CSV. A quoted field may hold any number of lines; a quote that
never closes, or not within MAX_ROW_BYTES, costs its own line only. Text is UTF-8; a file of UTF-16 or UTF-32 is refused.
What a mapping reads of the stream says which file is another one: a CSV or Parquet file that has none of its columns, or a file of which
not one record can be read, is refused; a record that cannot be read costs itself where others can.
A CSV file with its header alone, and JSON lines or a log without a line, are an empty delivery: they say that there are no records. A file
of 0 bytes that should have a header or is packed is an upload that has only begun, and is refused.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import itertools
import os
import re
import stat
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from conf import settings
from conf.personal import masked_text
from conf.printing import shown
from connectors.errors import ChangedFileError, ConnectorError, MissingFolderError, StreamDeclarationError, UnreadableFileError
from connectors.kernel.drops import READ_BYTES, Folder, Watched, limited_lines, unreadable, within
from connectors.kernel.landing import Cut, Landed, Landing, Record, Slice, landed, newest_of, next_instant

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".log": "text", ".txt": "text", ".parquet": "parquet"}
FORMATS = ("csv", "jsonl", "text", "parquet")
SETTINGS = ("root", "time_zone", "currency")
ROOTS = ("drops", "data", "repository")
KEYS = ("path", "format", "delimiter", "root", "follow_symlinks", "max_record_bytes", "max_expanded_bytes")
DAY = r"(?P<date>\d{4}-\d{2}-\d{2})"
DELIVERY = r"(?P<delivery>[^/]+?)"
# What a folder's name can say with a ~ for each /; file systems end at 255 bytes
MAX_PLAIN_PATH = 200
PLAIN_PATH = r"[A-Za-z0-9-][A-Za-z0-9._/-]*"
# What is held in memory of a row whose quote is still open
MAX_ROW_BYTES = 16 * 2**20
# Spark reads no JSON string beyond 20 million characters, and a record that is no UTF-8 grows by a third in base64
MOST_RECORD_BYTES = 14 * 2**20
LIMITS = {"max_record_bytes": MOST_RECORD_BYTES, "max_expanded_bytes": 2**63 - 1}
# How often a file that is being written is landed anew in one pull
TRIES = 3
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
WILD = re.compile(r"[*?]|\{date\}|\{delivery\}")
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

    @property
    def title(self) -> str:
        return f"{self.source.source}.{self.name}"

    @property
    def is_report(self) -> bool:
        return any("{delivery}" in pattern for pattern in self.patterns)


@dataclass(frozen=True)
class Drop:
    """One dropped file that matches a stream's pattern; name: its path below the root; day is None when the stream is not cut by day."""

    path: Path
    name: str
    slice_id: str
    day: date | None


@dataclass(frozen=True)
class Todo:
    """A drop that was looked at: what it holds, and the instant its attempt is to have."""

    drop: Drop
    sha256: str
    bytes: int
    extracted_at: datetime


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
    Raises: StreamDeclarationError, MissingFolderError, LandingError or LandingBusyError, which end the pull; UnreadableFileError when all that
        is whole is landed, naming every file that is not, and what to do.
    """
    streams = [declared(source, name) for name in source.streams]
    refused: list[str] = []
    say = partial(_say_harmlessly, say)
    try:
        counts = {stream.name: pull_stream(stream, first_day, last_day, landing, say, refused) for stream in streams}
    except ConnectorError:
        for sentence in refused:
            say(sentence)
        raise
    if refused:
        landed_files = sum(one.landed for one in counts.values())
        say(
            f"{source.source}: {len(refused)} files were refused, {landed_files} landed with {sum(one.records for one in counts.values())} records"
        )
        raise UnreadableFileError("\n".join(shown(one) for one in refused))
    return counts


def _say_harmlessly(say: Callable[[str], None], text: str) -> None:
    say(shown(text))


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
        if not _is_pattern(pattern):
            raise StreamDeclarationError(
                f"{where}: path is {pattern!r}; give a pattern relative to the stream's root, as '{{date}}.csv', in which ** stands alone "
                "between slashes, {delivery} stands once, and no braces but those of {date} and {delivery} do"
            )
        if "{delivery}" in pattern and "{date}" not in pattern:
            raise StreamDeclarationError(f"{where}: {pattern!r} has {{delivery}} but no {{date}}; a report restates days")
    root = values.get("root") or source.settings.get("root") or "drops"
    if root not in ROOTS:
        raise StreamDeclarationError(f"{where}: root is {root!r}; allowed are {list(ROOTS)}")
    follows = values.get("follow_symlinks", False)
    if not isinstance(follows, bool):
        raise StreamDeclarationError(f"{where}: follow_symlinks is {follows!r}; give true or false")
    limits = {key: _limit(values, key, most, where) for key, most in LIMITS.items()}
    base, below = _root_folder(root, source.source, name)
    key = f"streams.{name}.follow_symlinks: true in conf/sources/{source.source}.yml"
    folder = Folder(base / below, Path(os.path.realpath(base)) / below, follows, key)
    columns, line = _read_of(source.source, name)
    return Stream(source, name, patterns, values.get("format"), delimiter, folder, **limits, columns=columns, line=line)


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


def _is_pattern(value: object) -> bool:
    """Whether a value is a pattern that glob and _as_regex take alike."""
    if not isinstance(value, str) or value.count("{delivery}") > 1 or set(re.findall(r"\{[^/]*?\}", value)) - {"{date}", "{delivery}"}:
        return False
    folders = value.split("/")
    return not {"", ".", ".."} & set(folders) and folders[-1] != "**" and all(one == "**" or "**" not in one for one in folders)


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


def pull_stream(
    stream: Stream, first_day: date, last_day: date, landing: Landing, say: Callable[[str], None], refused: list[str]
) -> Counts:
    """Land one stream's files of the range: each content once, a changed file as the slice's next attempt, and so a file whose landed
    parts were damaged or lost since. New files of earlier days too, when they are no older than the stream's first landed day and
    accept_late_days: they came late, or restate their day. A file that cannot be read adds its error to `refused`.

    A file is compared with what is in force: the newest attempt of each slice. A new slice that holds what another one in force holds is a
    copy and is not landed; when that other one is replaced, the copy's turn comes, of whichever day it is. What has no records has no copy.
    """
    found = matching(stream, refused)
    is_new = not (landing.root / stream.source.source / stream.name).exists()
    if is_new and not any(drop.day is None or first_day <= drop.day <= last_day for drop in found):
        _say_no_files(stream, first_day, last_day, say)
        return Counts()
    with landing.alone(stream.source.source, stream.name, say):
        return _pull_found(stream, found, (first_day, last_day), landing, say, refused)


def _say_no_files(stream: Stream, first_day: date, last_day: date, say: Callable[[str], None]) -> None:
    patterns = " or ".join(str(stream.folder.root / pattern) for pattern in stream.patterns)
    say(f"{stream.title}: no files match {patterns} from {first_day} to {last_day}")


def _pull_found(
    stream: Stream, found: list[Drop], days: tuple[date, date], landing: Landing, say: Callable[[str], None], refused: list[str]
) -> Counts:
    first_day, last_day = days
    before = landed(landing.root, stream.source.source, stream.name)
    known = [date.fromisoformat(one.manifest["slice_from"]) for one in before if one.manifest.get("slice_from")]
    earliest = max(
        min(known, default=first_day), first_day - min(timedelta(days=settings.platform().accept_late_days), first_day - date.min)
    )
    paths = {one.origin.get("path") for one in before}
    unlanded = [drop for drop in found if os.path.realpath(drop.path) not in paths]
    late = [drop for drop in unlanded if drop.day is not None and earliest <= drop.day < first_day]
    if late:
        say(f"{stream.title}: {len(late)} files of days before {first_day} came since, from {late[0].day} on")
    drops = [*late, *(drop for drop in found if drop.day is None or first_day <= drop.day <= last_day)]
    if not drops:
        _say_no_files(stream, first_day, last_day, say)
    instant = next_instant(before)
    if instant - datetime.now(UTC) > timedelta(seconds=1):
        say(f"{stream.title}: the clock is behind the newest landing, of {instant:%Y-%m-%d %H:%M} UTC; what lands now counts as later")
    work = _Work(stream, landing, say, refused, newest_of(before), instant, Counts(files=len(drops)))
    again, fresh, skipped = _sorted_out(stream, work.looked_at(drops), before, say)
    work.counts.skipped += skipped
    gone = work.land_again(again)
    if gone and not stream.is_report:
        asked = {drop.path for drop in drops}
        fresh += work.released([drop for drop in unlanded if drop.path not in asked], gone)
    work.land_fresh(fresh)
    return work.counts


@dataclass
class _Work:
    """One stream's pull under way. force: of each slice the newest attempt; instant: of the next attempt."""

    stream: Stream
    landing: Landing
    say: Callable[[str], None]
    refused: list[str]
    force: dict[tuple[str, str], Landed]
    instant: datetime
    counts: Counts

    def looked_at(self, drops: Iterable[Drop]) -> list[Todo]:
        """What each drop holds; one that cannot be read adds its sentence to `refused`."""
        todos = []
        for drop in drops:
            try:
                todos.append(Todo(drop, *self.stream.folder.hashed(drop.path), self.instant))
            except UnreadableFileError as error:
                self.refused.append(str(error))
            # attempts of one pull differ in their instants, so that "the newest" has one meaning everywhere
            self.instant += timedelta(microseconds=1)
        return todos

    def land(self, todos: Iterable[Todo]) -> list[Landed]:
        """Land them, those of one slice in their order; what cannot be landed adds its sentence to `refused`."""
        slices: dict[str, list[Todo]] = {}
        for todo in todos:
            slices.setdefault(todo.drop.slice_id, []).append(todo)
        done: list[Landed] = []
        # small files wait for the disk most of the time
        with ThreadPoolExecutor(max_workers=WORKERS) as workers:
            for attempts, error in workers.map(lambda some: _land_slice(self.stream, some, self.landing, self.say), slices.values()):
                done += attempts
                self.refused += [error] if error else []
        for one in done:
            earlier = self.force.get(one.slice)
            if earlier and earlier.records and not one.records:
                self.say(f"{one.origin['path']}: has no records, and so replaces the {earlier.records} that were delivered before")
            self.force[one.slice] = one
        self.counts.landed += len(done)
        self.counts.records += sum(one.records for one in done)
        return done

    def land_again(self, todos: list[Todo]) -> dict[str, int]:
        """Land what is a new delivery of its slice. Returns the sha256 and bytes of what is in force nowhere any more."""
        slices = {_slice(self.stream, todo.drop) for todo in todos}
        replaced = [one.origin for place, one in self.force.items() if place in slices]
        self.land(todos)
        held = {one.origin.get("sha256") for one in self.force.values()}
        return {str(one["sha256"]): int(one["bytes"]) for one in replaced if {"sha256", "bytes"} <= set(one) and one["sha256"] not in held}

    def released(self, drops: list[Drop], gone: Mapping[str, int]) -> list[Todo]:
        """Of files that were never landed, those that are copies of what is gone: it is they now that hold it."""
        todos = [todo for todo in self.looked_at(d for d in drops if _size(d.path) in gone.values()) if todo.sha256 in gone]
        self.counts.files += len(todos)
        if todos:
            self.say(
                f"{self.stream.title}: {len(todos)} files hold what was replaced just now, as {todos[0].drop.path}; they are landed too"
            )
        return todos

    def land_fresh(self, todos: list[Todo]) -> None:
        """Land what is of new slices, of equal files one; a file without records is no copy of another."""
        empty: set[str] = set()
        copies: list[Todo] = []
        while todos:
            held = {one.origin.get("sha256") for one in self.force.values() if one.records}
            now: dict[str, list[Todo]] = {}
            later = []
            for todo in todos:
                if todo.sha256 in held:
                    copies.append(todo)
                elif todo.sha256 in now and todo.sha256 not in empty:
                    later.append(todo)
                else:
                    now.setdefault(todo.sha256, []).append(todo)
            done = self.land(todo for some in now.values() for todo in some)
            empty |= {str(one.origin["sha256"]) for one in done if not one.records}
            todos = later
        if copies:
            self.counts.skipped += len(copies)
            self.say(
                f"{self.stream.title}: {len(copies)} files hold what others hold that are landed, as {copies[0].drop.path}; they are not landed"
            )


def _sorted_out(
    stream: Stream, todos: list[Todo], before: Sequence[Landed], say: Callable[[str], None]
) -> tuple[list[Todo], list[Todo], int]:
    """The drops that are landed whatever others hold (changed, damaged, reports), those of new slices, and how many need nothing."""
    force = newest_of(before)
    in_order = sorted(before, key=lambda one: int(one.manifest["attempt"]))
    by_path = {one.origin.get("path"): one for one in in_order}
    by_name = {(one.slice, one.origin.get("name")): one for one in in_order}
    again, fresh, skipped = [], [], 0
    for todo in todos:
        drop, place = todo.drop, _slice(stream, todo.drop)
        in_slice = by_name.get((place, drop.name)) if stream.is_report else force.get(place)
        earlier = in_slice or by_path.get(os.path.realpath(drop.path))
        if earlier is not None and earlier.origin.get("sha256") == todo.sha256:
            # what was replaced since is not read any more, whatever became of it
            if earlier is force[earlier.slice] and not earlier.is_whole():
                say(f"{stream.title}: what was landed of {drop.path} was changed, cut or lost; it is landed again")
                again.append(todo)
            else:
                skipped += 1
        elif stream.is_report and (later := _restated_by(drop, force.get(place))):
            say(
                f"{drop.path}: {later} is landed and restates it, so it is not landed; if it is the newer one, deliver it under a later name"
            )
            skipped += 1
        elif earlier is not None or stream.is_report:
            again.append(todo)
        else:
            fresh.append(todo)
    return again, fresh, skipped


def _slice(stream: Stream, drop: Drop) -> tuple[str, str]:
    return stream.source.account, drop.slice_id


def _restated_by(drop: Drop, newest: Landed | None) -> str | None:
    """The name of the landed delivery of the drop's slice that comes after it; None when there is none."""
    name = None if newest is None else newest.origin.get("name")
    return name if name is not None and _in_order(drop.name.removesuffix(".gz")) < _in_order(name.removesuffix(".gz")) else None


def _in_order(name: str) -> list[tuple[int, str]]:
    """A name as what it is sorted by: numbers in it as numbers, so that 9 comes before 10."""
    return [(int(one), "") if one.isdecimal() else (-1, one) for one in re.split(r"([0-9]+)", name)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _land_slice(stream: Stream, todos: list[Todo], landing: Landing, say: Callable[[str], None]) -> tuple[list[Landed], str | None]:
    """Land a slice's files in order. Ends at one that cannot be landed, with its error: landed after a later one it would replace that."""
    attempts: list[Landed] = []
    for todo in todos:
        try:
            attempts.append(_land_steady(stream, todo, landing, say))
        except UnreadableFileError as error:
            return attempts, str(error)
    return attempts, None


def _land_steady(stream: Stream, todo: Todo, landing: Landing, say: Callable[[str], None]) -> Landed:
    """Land a file; anew when it is changed meanwhile, but not for ever."""
    for _ in range(TRIES - 1):
        try:
            return land_file(stream, todo, landing, say)
        except ChangedFileError:
            sha256, size = stream.folder.hashed(todo.drop.path)
            todo = replace(todo, sha256=sha256, bytes=size)
    return land_file(stream, todo, landing, say)


def matching(stream: Stream, refused: list[str]) -> list[Drop]:
    """The files below the root that match one of the stream's patterns, by slice, then file name. A file whose name has a date that is no
    day, a link that is not followed and a folder that cannot be looked into add their sentences to `refused`, each once."""
    folder, found = stream.folder, dict[Path, Drop]()
    said: dict[str, None] = {}
    if folder.leads_out(folder.root):
        refused.append(folder.said_of_link(folder.root))
        return []
    for pattern in stream.patterns:
        exact = re.compile(_as_regex(pattern))
        parts = [re.compile(_as_regex(part)) if part != "**" and WILD.search(part) else part for part in pattern.split("/")]
        for path in folder.below(parts, said):
            relative = path.relative_to(folder.root).as_posix()
            match = exact.fullmatch(relative)
            if match is None or path.name.endswith(".tmp"):
                continue
            try:
                if folder.leads_out(path):
                    said[folder.said_of_link(path)] = None
                elif stat.S_ISREG(os.stat(path).st_mode):
                    found[path] = Drop(path, relative, *_slice_of(stream, pattern, relative, match))
            except OSError as error:
                said[unreadable(path, error)] = None
            except UnreadableFileError as error:
                said[str(error)] = None
    refused.extend(said)
    return sorted(found.values(), key=lambda drop: (drop.slice_id, _in_order(drop.name)))


def _as_regex(pattern: str) -> str:
    parts, seen = [], False
    for piece in re.split(r"(\{date\}|\{delivery\}|\*\*/|\*|\?)", pattern):
        if piece == "{date}":
            parts.append(r"(?P=date)" if seen else DAY)
            seen = True
        else:
            known = {"{delivery}": DELIVERY, "**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
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
        raise UnreadableFileError(f"{stream.folder.root / relative}: {text} in its name is no day ({error}); rename the file") from error
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


def land_file(stream: Stream, todo: Todo, landing: Landing, say: Callable[[str], None]) -> Landed:
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


def _records(stream: Stream, todo: Todo, file: io.FileIO, kind: str, say: Callable[[str], None]) -> Iterator[Record]:
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


def _without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines without the byte order mark that some tools begin a UTF-8 file with: it belongs to no record."""
    rest = iter(lines)
    for first in itertools.islice(rest, 1):
        yield first if isinstance(first, Cut) else first.removeprefix(codecs.BOM_UTF8)
    yield from rest


def line_records(lines: Iterable[bytes], skip_blank: bool) -> Iterator[Record]:
    """One record per line, as received, without its line end."""
    for number, line in enumerate(_without_mark(lines), start=1):
        payload = line if isinstance(line, Cut) else line.rstrip(b"\r\n")
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


def _of_no_header(path: Path) -> str:
    return f"{path}: has no header, so it is no CSV file; nothing of it was landed: deliver it with its header, which alone says that there are no rows"


def csv_records(
    lines: Iterable[bytes],
    delimiter: str,
    path: Path,
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

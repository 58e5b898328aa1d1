"""Landing: the files every pulled or dropped record ends in before anything reads it.

<landing>/<source>/<stream>/<account>/<slice_id>/<attempt>/part-00001.jsonl.gz (or .parquet) and, last of all, manifest.json.
A part or manifest is written as .tmp, fsynced, renamed, and its folder fsynced; only parts that a manifest names exist for a reader,
so a killed attempt never counts and its number is never used again. A manifest's files lie beside it: it names them by the path they were
landed under, and where the landing folder was moved or copied since, they are those of the same names there.
A line of a part is one record in its envelope: the columns of bronze but `_file`, with the record in `payload`, or its bytes as base64
in `payload_bytes` when they are not valid UTF-8. A record beyond its stream's limit has its first KEPT_BYTES there, while `_sha256` is that
of the whole record.
Which attempt is the newest is said by its number. Instants say when, and of one stream's attempts each later one has a later instant,
whatever the machine's clock says.
"""

from __future__ import annotations

import base64
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from conf.landing import beside
from conf.settings import KEPT_BYTES, made
from connectors.kernel.errors import ChangedFileError, ConnectorError, LandingBusyError, LandingError, UnreadableFileError

MANIFEST = "manifest.json"
ORDER = ("extracted_at", "slice_id", "attempt")
PART_RECORDS = 50_000
PART_BYTES = 64 * 1024 * 1024
PART_SECONDS = 60.0
# Fast enough to keep up with a disk; a landing file is read once and then kept, so size matters less than CPU.
GZIP_LEVEL = 3
COPY_BYTES = 1024 * 1024
# Linux's ioctl for a copy that shares the other file's blocks until one of the two is written
FICLONE = 0x40049409
# How long a pull waits for another one of the same stream
WAIT_SECONDS = 600.0
CANNOT_WRITE = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some space, or ask for a larger quota",
    errno.EROFS: "mount its disk so that it can be written",
    errno.EACCES: "let the user that runs the pull write there",
    errno.EPERM: "let the user that runs the pull write there",
}


class Cut(bytes):
    """The first KEPT_BYTES of a record that is too long to be taken in whole; sha256: that of the whole record."""

    sha256: str

    def __new__(cls, beginning: bytes, sha256: str) -> Cut:
        made_of = super().__new__(cls, beginning[:KEPT_BYTES])
        made_of.sha256 = sha256
        return made_of


class Record(NamedTuple):
    """One record as received: the number of its line or row in the file (from 1) and its bytes, without the line end; a Cut when there are
    more of them than the stream's limit."""

    row: int
    payload: bytes


class PageRecord(NamedTuple):
    """One record of an API's answer; page: of its slice, from 1."""

    row: int
    payload: bytes
    page: int


@dataclasses.dataclass(frozen=True)
class Slice:
    """What one attempt lands: a piece of a stream that is complete in itself.

    slice_id: a folder name; first_day and last_day: the days it covers (inclusive), None when the stream is not cut by day.
    origin: what it was read from, e.g. {"path", "name", "sha256", "bytes"} of a dropped file.
    """

    source: str
    stream: str
    account: str
    slice_id: str
    first_day: date | None
    last_day: date | None
    api_version: str
    origin: Mapping[str, Any]
    is_complete: bool = True


@dataclasses.dataclass(frozen=True)
class Landed:
    """One complete attempt: its folder and what its manifest says."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def records(self) -> int:
        return sum(int(file["records"]) for file in self.manifest["files"])

    @property
    def origin(self) -> Mapping[str, Any]:
        origin: Mapping[str, Any] = self.manifest.get("origin") or {}
        return origin

    @property
    def slice(self) -> tuple[str, str]:
        """Account and slice: what a later attempt replaces whole."""
        return self.manifest["account"], self.manifest["slice_id"]

    @property
    def extracted_at(self) -> datetime:
        return datetime.fromisoformat(self.manifest["extracted_at"])

    def is_whole(self) -> bool:
        """Whether its files are there and hold what the manifest says."""
        try:
            return all(file_sha256(Path(file["path"])) == file["sha256"] for file in self.manifest["files"])
        except OSError:
            return False


def instant_text(instant: datetime) -> str:
    """An instant as landing files write it: 2026-11-20T10:11:12.000000Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable: without it a rename may be lost when the power fails."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_durably(folder: Path) -> None:
    """The folder and those above it, where they are missing, each durable in the one that it lies in."""
    if not folder.is_dir():
        make_durably(folder.parent)
        folder.mkdir(exist_ok=True)
        fsync_folder(folder.parent)


def write_durably(path: Path, content: bytes | memoryview) -> None:
    """Write content so that `path` is either absent or whole: .tmp, fsync, rename, fsync of the folder."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    fsync_folder(path.parent)


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Raises LandingError, which says what to do, where the block cannot write."""
    try:
        yield
    except OSError as error:
        advice = CANNOT_WRITE.get(error.errno or 0, "look at its disk")
        raise LandingError(
            f"{error.filename or place}: the landing folder cannot be written ({error.strerror or error}); what is landed is whole, the rest waits: "
            f"{advice}, then pull again"
        ) from error


def _copy(source: BinaryIO, target: Path) -> None:
    """The file as it is now, under a name and an inode of its own: a reflink where the file system has them, else a copy; not durable yet.
    Never a hard link: whoever rewrites the source in place would rewrite this one too."""
    with _writing(target), target.open("wb") as out:
        try:
            fcntl.ioctl(out, FICLONE, source.fileno())
            return
        except OSError:  # another file system, or one without reflinks
            source.seek(0)
        while chunk := _chunk(source):
            out.write(chunk)


def _chunk(source: BinaryIO) -> bytes:
    try:
        return source.read(COPY_BYTES)
    except OSError as error:
        raise UnreadableFileError(f"{source.name}: cannot be read to its end ({error.strerror}); deliver the file again") from error


def newest_of(attempts: Iterable[Landed]) -> dict[tuple[str, str], Landed]:
    """Of each slice the attempt with the highest number: what is in force."""
    return {one.slice: one for one in sorted(attempts, key=lambda one: int(one.manifest["attempt"]))}


def next_instant(attempts: Iterable[Landed]) -> datetime:
    """The instant of a stream's next attempt: now, or, where the clock was set back, just after the newest that there is."""
    after = max((one.extracted_at for one in attempts), default=datetime.min.replace(tzinfo=UTC))
    now = datetime.now(UTC)
    return now if after < now else after + timedelta(microseconds=1)


def landed(root: Path, source: str, stream: str) -> list[Landed]:
    """Every complete attempt of a stream, in the order in which they were landed."""
    folder = root / source / stream
    found = []
    for path in folder.glob(f"*/*/*/{MANIFEST}"):
        try:
            manifest = json.loads(path.read_bytes())
        except ValueError as error:
            raise ConnectorError(f"{path}: not valid JSON ({error}); move its folder away and pull again") from error
        if not isinstance(manifest, dict) or not set(ORDER) <= set(manifest):
            raise ConnectorError(f"{path}: not a manifest, which has {list(ORDER)}; move its folder away and pull again")
        found.append(one := Landed(path.parent, beside(path.parent, manifest)))
        try:
            _ = one.extracted_at
        except (TypeError, ValueError):
            raise ConnectorError(f"{path}: extracted_at is no instant; move its folder away and pull again") from None
    return sorted(found, key=lambda one: tuple(one.manifest[name] for name in ORDER))


class Landing:
    """Writes attempts under one landing folder, for one run.

    Args:
        root: the landing folder (local).
        run_id: the run that lands; stands in every record.
    """

    def __init__(self, root: Path, run_id: str) -> None:
        self.root = root
        self.run_id = run_id

    def land_records(self, piece: Slice, records: Iterable[Record | PageRecord], extracted_at: datetime) -> Landed:
        """Land records as parts of gzipped JSON lines and publish them with a manifest.

        Nothing is visible to a reader until the manifest stands; when `records` raises, the attempt's folder is removed.
        """
        with self._new_attempt(piece) as (folder, attempt):
            head = self._envelope_head(piece, attempt, extracted_at)
            files = []
            for number, (compressed, count) in enumerate(_parts(head, records), start=1):
                name = f"part-{number:05d}.jsonl.gz"
                with _writing(folder):
                    write_durably(folder / name, compressed)
                files.append({"path": str((folder / name).resolve()), "sha256": hashlib.sha256(compressed).hexdigest(), "records": count})
            return self._publish(folder, piece, attempt, extracted_at, "jsonl", files)

    def land_whole(self, piece: Slice, file: BinaryIO, sha256: str, count: Callable[[Path], int], extracted_at: datetime) -> Landed:
        """Publish a Parquet file as it is, as the one part of an attempt: every delivery has a path of its own, also under an old name.

        file: open for reading. sha256: that of what is expected in it. count: the records in the copy that is landed.
        Raises ChangedFileError, and lands nothing, when the file holds something else by now.
        """
        with self._new_attempt(piece) as (folder, attempt):
            part = folder / "part-00001.parquet"
            temporary = part.with_name(part.name + ".tmp")
            _copy(file, temporary)
            if file_sha256(temporary) != sha256:
                raise ChangedFileError(
                    f"{file.name}: was changed while it was being landed; nothing of it was landed: pull again when it is whole"
                )
            records = count(temporary)
            with _writing(temporary):
                with temporary.open("rb") as copy:
                    os.fsync(copy.fileno())
                temporary.rename(part)
                fsync_folder(folder)
            files = [{"path": str(part.resolve()), "sha256": sha256, "records": records}]
            return self._publish(folder, piece, attempt, extracted_at, "parquet", files)

    @contextmanager
    def alone(self, source: str, stream: str, say: Callable[[str], None]) -> Iterator[None]:
        """A block in which no other process lands the stream: two that look for what is new would land it twice.

        Waits for the other one. Raises LandingBusyError after WAIT_SECONDS.
        """
        path = self.root / source / stream / ".pull.lock"
        lock = None
        # where nothing can be written nothing can be landed either
        with suppress(OSError):
            made(self.root)
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("ab")
        if lock is None:
            yield
            return
        with lock:
            until = time.monotonic() + WAIT_SECONDS
            is_said = False
            while not _locked(lock):
                if not is_said:
                    say(f"{source}.{stream}: another pull is landing this stream; waiting until it is done")
                    is_said = True
                if time.monotonic() >= until:
                    raise LandingBusyError(
                        f"{source}.{stream}: another pull was still landing this stream after {WAIT_SECONDS:.0f} s; pull again when it is done"
                    )
                time.sleep(0.1)
            yield

    @contextmanager
    def _new_attempt(self, piece: Slice) -> Iterator[tuple[Path, int]]:
        """The folder and number of a slice's next attempt; the folder is removed when the block raises."""
        slice_folder = self._slice_folder(piece)
        with _writing(slice_folder):
            made(self.root)
            make_durably(slice_folder)
            attempt = 1 + _last_attempt(slice_folder)
            folder = slice_folder / str(attempt)
            try:
                folder.mkdir()
            except FileExistsError as error:
                raise LandingBusyError(f"{folder}: another pull is landing this slice; pull again when it is done") from error
        try:
            yield folder, attempt
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _slice_folder(self, piece: Slice) -> Path:
        return self.root / piece.source / piece.stream / piece.account / piece.slice_id

    def _envelope_head(self, piece: Slice, attempt: int, extracted_at: datetime) -> bytes:
        """The part of the envelope that all records of an attempt share, as the open beginning of a JSON object."""
        shared = {
            "_source": piece.source,
            "_stream": piece.stream,
            "_account": piece.account,
            "_extracted_at": instant_text(extracted_at),
            "_request_id": _request_id(piece),
            "_slice_from": piece.first_day and piece.first_day.isoformat(),
            "_slice_to": piece.last_day and piece.last_day.isoformat(),
            "_api_version": piece.api_version,
            "_run_id": self.run_id,
            "_slice_id": piece.slice_id,
            "_attempt": attempt,
            "_ingest_date": extracted_at.astimezone(UTC).date().isoformat(),
        }
        return orjson.dumps(shared)[:-1]

    def _manifest(self, piece: Slice, attempt: int, extracted_at: datetime, kind: str, files: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "source": piece.source,
            "stream": piece.stream,
            "account": piece.account,
            "slice_id": piece.slice_id,
            "attempt": attempt,
            "slice_from": piece.first_day and piece.first_day.isoformat(),
            "slice_to": piece.last_day and piece.last_day.isoformat(),
            "slice_complete": piece.is_complete,
            "format": kind,
            "extracted_at": instant_text(extracted_at),
            "request_id": _request_id(piece),
            "api_version": piece.api_version,
            "run_id": self.run_id,
            "origin": dict(piece.origin),
            "files": files,
        }

    def _publish(self, folder: Path, piece: Slice, attempt: int, extracted_at: datetime, kind: str, files: list[dict[str, Any]]) -> Landed:
        manifest = self._manifest(piece, attempt, extracted_at, kind, files)
        with _writing(folder):
            write_durably(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
            fsync_folder(folder.parent)
        return Landed(folder, manifest)


class Rehearsal(Landing):
    """A landing that writes nothing: it reads what would be landed, and keeps what each attempt's manifest would say."""

    def __init__(self, root: Path, run_id: str) -> None:
        super().__init__(root, run_id)
        self.attempts: list[Landed] = []

    def land_records(self, piece: Slice, records: Iterable[Record | PageRecord], extracted_at: datetime) -> Landed:
        """What would be landed: every record is read, so that what would be refused is."""
        return self._rehearsed(piece, sum(1 for _ in records), extracted_at)

    def land_whole(self, piece: Slice, file: BinaryIO, sha256: str, count: Callable[[Path], int], extracted_at: datetime) -> Landed:
        """What would be landed of a Parquet file."""
        return self._rehearsed(piece, count(Path(file.name)), extracted_at)

    @contextmanager
    def alone(self, source: str, stream: str, say: Callable[[str], None]) -> Iterator[None]:
        """Who only reads is in nobody's way."""
        yield

    def _rehearsed(self, piece: Slice, records: int, extracted_at: datetime) -> Landed:
        folder = self._slice_folder(piece)
        attempt = 1 + max(_last_attempt(folder), *(int(one.manifest["attempt"]) for one in self.attempts if one.folder.parent == folder), 0)
        manifest = self._manifest(piece, attempt, extracted_at, "rehearsal", [{"records": records}])
        self.attempts.append(done := Landed(folder / str(attempt), manifest))
        return done


def _last_attempt(folder: Path) -> int:
    """The highest number of a slice's attempts, killed ones too; 0 when there is none."""
    return max((int(one.name) for one in folder.iterdir() if one.name.isdigit()), default=0) if folder.is_dir() else 0


def _locked(lock: BinaryIO) -> bool:
    """Whether this process holds the lock now, or the file system knows no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _request_id(piece: Slice) -> str | None:
    """What identifies the request a slice came from; of a dropped file, the first digits of its sha256."""
    told = piece.origin.get("request_id", piece.origin.get("sha256"))
    return None if told is None else str(told)[:16]


def _parts(head: bytes, records: Iterable[Record | PageRecord]) -> Iterator[tuple[bytes, int]]:
    """Envelope lines, gzipped, cut into parts of at most PART_RECORDS records, about PART_BYTES bytes and PART_SECONDS. The same lines make the
    same bytes."""
    part: _Part | None = None
    for record in records:
        part = part or _Part()
        part.add(_envelope(head, record))
        if part.is_full():
            yield part.packed(), part.count
            part = None
    if part:
        yield part.packed(), part.count


class _Part:
    """A part that is being made: only a few of its lines are held unpacked."""

    def __init__(self) -> None:
        # 16 more window bits: a gzip header, of which zlib sets no time
        self._gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self._lines: list[bytes] = []
        self._held, self._blocks = 0, list[bytes]()
        self.count, self.bytes, self._until = 0, 0, time.monotonic() + PART_SECONDS

    def add(self, line: bytes) -> None:
        self._lines.append(line)
        self.count += 1
        self._held += len(line)
        if self._held >= COPY_BYTES:
            self._pack()

    def is_full(self) -> bool:
        return self.count == PART_RECORDS or self.bytes + self._held >= PART_BYTES or time.monotonic() >= self._until

    def packed(self) -> bytes:
        self._pack()
        return b"".join([*self._blocks, self._gzip.flush()])

    def _pack(self) -> None:
        self._blocks.append(self._gzip.compress(b"".join(self._lines)))
        self.bytes += self._held
        self._lines, self._held = [], 0


def _envelope(head: bytes, record: Record | PageRecord) -> bytes:
    payload = record.payload
    if isinstance(payload, Cut):
        sha256, body = payload.sha256, b',"payload":null,"payload_bytes":"' + base64.b64encode(payload) + b'"}\n'
    else:
        sha256 = hashlib.sha256(payload).hexdigest()
        try:
            body = b',"payload":' + orjson.dumps(payload.decode("utf-8")) + b',"payload_bytes":null}\n'
        except UnicodeDecodeError:
            body = b',"payload":null,"payload_bytes":"' + base64.b64encode(payload) + b'"}\n'
    page = b"%d" % record.page if isinstance(record, PageRecord) else b"null"
    return b'%b,"_row":%d,"_page":%b,"_sha256":"%b"%b' % (head, record.row, page, sha256.encode(), body)

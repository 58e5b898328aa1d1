"""Landing: the files every pulled or dropped record ends in before anything reads it.

<landing>/<source>/<stream>/<account>/<slice_id>/<attempt>/part-00001.jsonl.gz (or .parquet) and, last of all, manifest.json.
A part or manifest is written as .tmp, fsynced, renamed, and its folder fsynced; only parts that a manifest names exist for a reader,
so a killed attempt never counts and its number is never used again. A manifest names its files by absolute path.
A line of a part is one record in its envelope: the columns of bronze but `_file`, with the record in `payload`, or its bytes as base64
in `payload_bytes` when they are not valid UTF-8.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from connectors.errors import ConnectorError, LandingBusyError

MANIFEST = "manifest.json"
ORDER = ("extracted_at", "slice_id", "attempt")
PART_RECORDS = 50_000
PART_BYTES = 64 * 1024 * 1024
# Fast enough to keep up with a disk; a landing file is read once and then kept, so size matters less than CPU.
GZIP_LEVEL = 3


class Record(NamedTuple):
    """One record as received: the number of its line or row in the file (from 1) and its bytes, without the line end."""

    row: int
    payload: bytes


@dataclasses.dataclass(frozen=True)
class Slice:
    """What one attempt lands: a piece of a stream that is complete in itself.

    slice_id: a folder name; first_day and last_day: the days it covers (inclusive), None when the stream is not cut by day.
    origin: what it was read from, e.g. {"path", "sha256", "bytes"} of a dropped file.
    """

    source: str
    stream: str
    account: str
    slice_id: str
    first_day: date | None
    last_day: date | None
    api_version: str
    origin: Mapping[str, Any]


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


def write_durably(path: Path, content: bytes | memoryview) -> None:
    """Write content so that `path` is either absent or whole: .tmp, fsync, rename, fsync of the folder."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    fsync_folder(path.parent)


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file, which takes no space; where the file system allows none, a durable copy."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or somebody else's file
        temporary = target.with_name(target.name + ".tmp")
        shutil.copyfile(source, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.rename(target)
    fsync_folder(target.parent)


def landed(root: Path, source: str, stream: str) -> list[Landed]:
    """Every complete attempt of a stream, oldest first (by slice, then attempt)."""
    folder = root / source / stream
    found = []
    for path in folder.glob(f"*/*/*/{MANIFEST}"):
        try:
            manifest = json.loads(path.read_bytes())
        except ValueError as error:
            raise ConnectorError(f"{path}: not valid JSON ({error}); move its folder away and pull again") from error
        if not isinstance(manifest, dict) or not set(ORDER) <= set(manifest):
            raise ConnectorError(f"{path}: not a manifest, which has {list(ORDER)}; move its folder away and pull again")
        found.append(Landed(path.parent, manifest))
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

    def land_records(self, piece: Slice, records: Iterable[Record], extracted_at: datetime) -> Landed:
        """Land records as parts of gzipped JSON lines and publish them with a manifest.

        Nothing is visible to a reader until the manifest stands; when `records` raises, the attempt's folder is removed.
        """
        with self._new_attempt(piece) as (folder, attempt):
            head = self._envelope_head(piece, attempt, extracted_at)
            files = []
            for number, (content, count) in enumerate(_parts(head, records), start=1):
                name = f"part-{number:05d}.jsonl.gz"
                compressed = gzip.compress(content, compresslevel=GZIP_LEVEL, mtime=0)
                write_durably(folder / name, compressed)
                files.append({"path": str((folder / name).resolve()), "sha256": hashlib.sha256(compressed).hexdigest(), "records": count})
            return self._publish(folder, piece, attempt, extracted_at, "jsonl", files)

    def land_whole(self, piece: Slice, path: Path, sha256: str, records: int, extracted_at: datetime) -> Landed:
        """Publish a Parquet file as it is, as the one part of an attempt: every delivery has a path of its own, also under an old name."""
        with self._new_attempt(piece) as (folder, attempt):
            part = folder / "part-00001.parquet"
            _link_or_copy(path.resolve(), part)
            files = [{"path": str(part.resolve()), "sha256": sha256, "records": records}]
            return self._publish(folder, piece, attempt, extracted_at, "parquet", files)

    @contextmanager
    def _new_attempt(self, piece: Slice) -> Iterator[tuple[Path, int]]:
        """The folder and number of a slice's next attempt; the folder is removed when the block raises."""
        slice_folder = self.root / piece.source / piece.stream / piece.account / piece.slice_id
        slice_folder.mkdir(parents=True, exist_ok=True)
        attempt = 1 + max((int(one.name) for one in slice_folder.iterdir() if one.name.isdigit()), default=0)
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
            "_page": None,
            "_slice_id": piece.slice_id,
            "_attempt": attempt,
            "_ingest_date": extracted_at.astimezone(UTC).date().isoformat(),
        }
        return orjson.dumps(shared)[:-1]

    def _publish(self, folder: Path, piece: Slice, attempt: int, extracted_at: datetime, kind: str, files: list[dict[str, Any]]) -> Landed:
        manifest = {
            "source": piece.source,
            "stream": piece.stream,
            "account": piece.account,
            "slice_id": piece.slice_id,
            "attempt": attempt,
            "slice_from": piece.first_day and piece.first_day.isoformat(),
            "slice_to": piece.last_day and piece.last_day.isoformat(),
            "slice_complete": True,
            "format": kind,
            "extracted_at": instant_text(extracted_at),
            "request_id": _request_id(piece),
            "api_version": piece.api_version,
            "run_id": self.run_id,
            "origin": dict(piece.origin),
            "files": files,
        }
        write_durably(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
        fsync_folder(folder.parent)
        return Landed(folder, manifest)


def _request_id(piece: Slice) -> str | None:
    """What identifies the request a slice came from; of a dropped file, the first digits of its sha256."""
    sha256 = piece.origin.get("sha256")
    return None if sha256 is None else str(sha256)[:16]


def _parts(head: bytes, records: Iterable[Record]) -> Iterator[tuple[memoryview, int]]:
    """Envelope lines, cut into parts of at most PART_RECORDS records and about PART_BYTES bytes."""
    buffer, count = io.BytesIO(), 0
    for row, payload in records:
        buffer.write(_envelope(head, row, payload))
        count += 1
        if count == PART_RECORDS or buffer.tell() >= PART_BYTES:
            yield buffer.getbuffer(), count
            buffer, count = io.BytesIO(), 0
    if count:
        yield buffer.getbuffer(), count


def _envelope(head: bytes, row: int, payload: bytes) -> bytes:
    digest = hashlib.sha256(payload).hexdigest().encode()
    try:
        body = b',"payload":' + orjson.dumps(payload.decode("utf-8")) + b',"payload_bytes":null}\n'
    except UnicodeDecodeError:
        body = b',"payload":null,"payload_bytes":"' + base64.b64encode(payload) + b'"}\n'
    return b'%b,"_row":%d,"_sha256":"%b"%b' % (head, row, digest, body)

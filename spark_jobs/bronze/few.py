"""Landed files as bronze rows, read by this process: where they are few, starting Spark costs more than reading them."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from conf.settings import KEPT_BYTES
from spark_jobs.bronze.parquet_rows import read_rows

# as landed, and as read
FEW_BYTES, HELD_BYTES = 4_000_000, 64_000_000
# What a manifest says of all rows of its files
SAID = ("source", "stream", "account", "request_id", "slice_from", "slice_to", "api_version", "run_id", "slice_id")
Landed = tuple[dict[str, Any], dict[str, Any]]
Row = dict[str, Any]


def are_few(fresh: Sequence[Landed]) -> bool:
    """Whether all these files (manifest, file) are small enough to be read here."""
    return sum(Path(file["path"]).stat().st_size for _, file in fresh) <= FEW_BYTES


def rows_of(fresh: Sequence[Landed], empty: Sequence[Mapping[str, Any]], schema: pa.Schema, limit: Callable[[Row], int]) -> pa.Table | None:
    """The records of landed files (manifest, file) and the attempts without any, a row each, with the columns of `schema`; None where they
    hold more than a process should. limit: of a manifest's stream, the bytes that a record may have."""
    rows: list[Row] = []
    held = 0
    for m, file in fresh:
        read = rows_of_lines(file["path"]) if m["format"] == "jsonl" else rows_of_parquet(file["path"], m, limit(m))
        for row, size in read:
            held += size
            if held > HELD_BYTES:
                return None
            rows.append(row)
    rows += [{**facts_of(m), "_file": m["path"], "_row": 0} for m in empty]
    return pa.table({f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in schema}, schema=schema)


def rows_of_lines(path: str) -> Iterator[tuple[Row, int]]:
    """The records of a jsonl.gz part, each with its number of bytes; a line that is no record is left out."""
    with gzip.open(path) as lines:
        for line in lines:
            try:
                said = orjson.loads(line)
                row = {**said, "_file": path, **instants(said["_extracted_at"], said["_ingest_date"])}
            except (ValueError, KeyError, TypeError):
                continue
            row["payload_bytes"] = said.get("payload_bytes") and base64.b64decode(said["payload_bytes"])
            yield row, len(line)


def rows_of_parquet(path: str, manifest: Row, limit: int) -> Iterator[tuple[Row, int]]:
    """The rows of a Parquet drop as JSON, each with its number of bytes."""
    facts = facts_of(manifest)
    # a file without rows may have no columns either
    paths = [pa.record_batch({"path": [path]})] if pq.read_metadata(path).num_rows else []
    for batch in read_rows(iter(paths)):
        for number, payload in zip(batch["_row"].to_pylist(), batch["payload"].to_pylist()):
            row = {**facts, "_file": path, "_row": number, "_page": 1}
            received = b"" if payload is None else payload.encode()
            if payload is not None:
                row["_sha256"] = hashlib.sha256(received).hexdigest()
                # as landing does with records of text: of a longer one than its stream's limit the beginning stays, to be set aside
                row |= {"payload_bytes": received[:KEPT_BYTES]} if len(received) > limit else {"payload": payload}
            yield row, len(received)


def facts_of(manifest: Mapping[str, Any]) -> Row:
    """What a manifest says of all rows of its files."""
    named = {f"_{name}": manifest.get(name) for name in SAID}
    return {**named, "_attempt": int(manifest["attempt"]), **instants(manifest["extracted_at"])}


def instants(extracted_at: str, ingest_date: str | None = None) -> Row:
    """When something was received, and the day of that."""
    at = dt.datetime.fromisoformat(extracted_at)
    at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    return {"_extracted_at": at, "_ingest_date": dt.date.fromisoformat(ingest_date) if ingest_date else at.astimezone(dt.UTC).date()}

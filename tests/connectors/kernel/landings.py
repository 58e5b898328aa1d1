"""What a landing folder holds, for tests."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import orjson

from connectors.kernel.landing import landed


def payloads(root: Path, source: str, stream: str) -> list[str | bytes]:
    """Every record's payload, in the order in which it was landed; bytes where it is no text."""
    files = [file["path"] for one in landed(root, source, stream) for file in one.manifest["files"]]
    lines = [orjson.loads(line) for path in files for line in gzip.decompress(Path(path).read_bytes()).splitlines()]
    return [base64.b64decode(line["payload_bytes"]) if line["payload"] is None else line["payload"] for line in lines]

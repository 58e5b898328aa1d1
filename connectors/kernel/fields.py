"""Which fields the records of a stream have, and how they differ from what its mapping reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from conf import settings
from connectors.kernel.http import parsed

TOKENS = re.compile(r"`(?:[^`]|``)*`|[<>(),:]|[^\s`<>(),:]+")
KINDS: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
Paths = dict[str, set[str]]


def fields_of(records: Iterable[bytes]) -> dict[str, list[str]]:
    """By JSON pointer (* is any place of a list) the JSON types of what stands there."""
    found: Paths = {}
    for record in records:
        _walk(parsed(record), "", found)
    return {path: sorted(kinds) for path, kinds in sorted(found.items()) if path}


def read_by(source: str, stream: str) -> frozenset[str] | None:
    """The pointers that a mapping's schema names, and those of structures that it reads as text; None where no mapping reads JSON of the stream."""
    record = settings.record_of(source, stream) or {}
    return frozenset(_declared(str(record["schema"]))) if record.get("format") == "json" else None


def differences(source: str, stream: str, records: Sequence[bytes]) -> list[dict[str, Any]]:
    """Rows of ops.schema_changes: fields that the vendor sends and nobody reads (unmapped), and those that the mapping reads and no record of some
    has (missing)."""
    declared, today = read_by(source, stream), str(datetime.now(UTC).date())
    if declared is None or not records:
        return []
    found = fields_of(records)
    told: list[dict[str, Any]] = []
    for path, kinds in found.items():
        is_read = any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in declared)
        # of what nobody reads the outermost
        if not is_read and path.rpartition("/")[0] not in {row["path"] for row in told} and not _is_within(path, told):
            told.append({"path": path, "kind": "unmapped", "json_type": kinds[0]})
    told += [{"path": path, "kind": "missing", "json_type": ""} for path in sorted(declared) if path not in found]
    shared = {"source": source, "event_name": stream, "first_seen": today, "last_seen": today, "rows": len(records)}
    return [{**shared, **row} for row in told]


def _is_within(path: str, told: Sequence[Mapping[str, Any]]) -> bool:
    return any(path.startswith(f"{row['path']}/") for row in told)


def _walk(value: Any, path: str, found: Paths) -> None:
    found.setdefault(path, set()).add(KINDS.get(type(value), "number"))
    if isinstance(value, dict):
        for key, one in value.items():
            _walk(one, f"{path}/{key.replace('~', '~0').replace('/', '~1')}", found)
    elif isinstance(value, list):
        for one in value:
            _walk(one, f"{path}/*", found)


def _declared(ddl: str) -> list[str]:
    """The pointers of a Spark DDL: a STRUCT<x: STRING>, b ARRAY<STRUCT<y: STRING>> -> /a, /a/x, /b, /b/*, /b/*/y."""
    tokens = TOKENS.findall(ddl)
    found: list[str] = []
    place = 0

    def columns(path: str) -> None:
        nonlocal place
        while place < len(tokens) and tokens[place] != ">":
            name = tokens[place].strip("`").replace("``", "`")
            place += 1
            if place < len(tokens) and tokens[place] == ":":
                place += 1
            found.append(own := f"{path}/{name.replace('~', '~0').replace('/', '~1')}")
            kind(own)
            if place < len(tokens) and tokens[place] == ",":
                place += 1

    def kind(path: str) -> None:
        nonlocal place
        word = tokens[place].upper() if place < len(tokens) else ""
        place += 1
        if place < len(tokens) and tokens[place] == "<":
            place += 1
            if word == "STRUCT":
                columns(path)
            elif word == "ARRAY":
                found.append(f"{path}/*")
                kind(f"{path}/*")
            else:
                _skip()
            place += 1
        elif place < len(tokens) and tokens[place] == "(":
            while tokens[place] != ")":
                place += 1
            place += 1

    def _skip() -> None:
        nonlocal place
        depth = 1
        while place < len(tokens):
            depth += (tokens[place] == "<") - (tokens[place] == ">")
            if not depth:
                return
            place += 1

    columns("")
    return found

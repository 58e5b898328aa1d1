"""Whether a table still has what was committed to it: the commits that a run saw, and the data files that its log names. Read without Spark.

A table's newest commits are lost when a disk crashes or half of a back-up comes back: the log then ends earlier, or goes on with others
under the same numbers. So a run keeps of each version the commit's own id beside its number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from spark_jobs.io.small import open_table, table_uri

Seen = tuple[int, str]
LOST: Seen = (0, "")


def commit_ids(lake: Path | str, name: str, *wanted: int) -> dict[int, str]:
    """The ids of the commits that a table's log still has of the wanted versions."""
    uri = table_uri(lake, name)
    if "://" in uri:
        found = open_table(lake, name)
        return {h["version"]: _id_of(h) for h in (found.history() if found else ()) if h["version"] in wanted}
    paths = {version: Path(uri, "_delta_log", f"{version:020d}.json") for version in wanted}
    return {version: _id_of(said) for version, path in paths.items() if (said := _commit_info(path)) is not None}


def _id_of(info: Mapping[str, Any]) -> str:
    return str(info.get("txnId") or info.get("timestamp"))


def _commit_info(path: Path) -> dict[str, Any] | None:
    """What a commit says of itself; None where it is not there."""
    try:
        with path.open(encoding="utf-8") as lines:
            said = next((line for line in lines if '"commitInfo"' in line), "{}")
    except FileNotFoundError:
        return None
    return dict(json.loads(said).get("commitInfo", {}))


def seen_at(lake: Path | str, versions: Mapping[str, int]) -> dict[str, Seen]:
    """Of each table that is there, its version and the id of that commit; tables whose logs say nothing of it are left out."""
    found = {name: commit_ids(lake, name, version) for name, version in versions.items() if version >= 0}
    return {name: (versions[name], ids[versions[name]]) for name, ids in found.items() if versions[name] in ids}


def versions(lake: Path | str, name: str) -> tuple[int, int]:
    """The oldest and the newest version whose commits the log has; (-1, -1) without a table."""
    uri = table_uri(lake, name)
    if "://" in uri:
        found = open_table(lake, name)
        there = [h["version"] for h in found.history()] if found else []
    else:
        there = [int(p.name[:20]) for p in Path(uri, "_delta_log").glob("[0-9]*.json")]
    return min(there, default=-1), max(there, default=-1)


def is_there(lake: Path | str, name: str, seen: Seen) -> bool:
    """Whether the table's log has the commit that was seen. One older than all that the log has was tidied away below a checkpoint; one without
    an id is LOST."""
    version, commit = seen
    if not commit:
        return False
    found = commit_ids(lake, name, version).get(version)
    if found is not None:
        return found == commit
    oldest, newest = versions(lake, name)
    return version < oldest and newest >= 0


def missing_files(lake: Path | str, name: str) -> dict[str, str | None]:
    """The data files that a local table's newest version names and that are not on disk, each with the source whose rows it held where the
    table is partitioned by it; an object store is not asked for each."""
    folder = table_uri(lake, name)
    found = open_table(lake, name) if "://" not in folder else None
    if found is None:
        return {}
    listed = found.get_add_actions(flatten=True)
    paths = [os.path.join(folder, unquote(urlparse(path).path)) for path in listed["path"].to_pylist()]
    sources = listed["partition.source"].to_pylist() if "partition.source" in listed.schema.names else [None] * len(paths)
    return {path: source for path, source in zip(paths, sources) if not os.path.exists(path)}

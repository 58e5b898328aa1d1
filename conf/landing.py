"""Where landed files lie: `<landing>/<source>/<stream>/<account>/<slice>/<attempt>/<file>`, written by connectors and read by jobs.

Paths in manifests and in bronze's `_file` are those that files were landed under. The landing folder may be moved or copied: then what the
path ends in says which file is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEPTH = 6


def beside(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest as it is where it lies now: its files are those of their names in its own folder."""
    where = folder.resolve()
    return {**manifest, "files": [{**file, "path": str(where / Path(file["path"]).name)} for file in manifest.get("files", ())]}


def lies_now(landing: Path, file: str) -> str:
    """A landed file's path below the landing folder as it is now; what is no landed file's path, as `replay:…`, is itself."""
    return str(landing.resolve().joinpath(*Path(file).parts[-DEPTH:])) if file.startswith("/") else file

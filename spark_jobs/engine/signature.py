"""What decides what a job makes of its inputs: the files of its code, its contracts and its declarations, and one hash of them."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from conf.contracts import FOLDER
from conf.settings import CONF, REPOSITORY
from spark_jobs.job import Job

ENGINE = REPOSITORY / "spark_jobs" / "engine" / "runner.py"
# what everything is computed under
SETTINGS = (CONF / "platform.yml", CONF / "spark" / "session.yml")
NAMED_RULES = re.compile(r'\brules(?:_of)?\("(\w+)"\)')
NAMED_TABLES = re.compile(r'\btable\("([\w.]+)"\)')
# two threads that make trees at once count each other's depth (Python 3.11: "AST constructor recursion depth mismatch")
PARSING = threading.Lock()


@cache
def imports(path: Path) -> frozenset[Path]:
    """The files of this repository that a module imports, wherever in it."""
    names = set[str]()
    with PARSING:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = (REPOSITORY.joinpath(*name.split(".")) for name in names if name.split(".")[0] in ("conf", "spark_jobs"))
    found = (path for module in ours for path in (module.with_suffix(".py"), module / "__init__.py"))
    return frozenset(path for path in found if path.is_file())


@cache
def named(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The tables and the rules that a module asks for by name."""
    text = path.read_text(encoding="utf-8")
    return frozenset(NAMED_TABLES.findall(text)), frozenset(NAMED_RULES.findall(text))


@cache
def closure(path: Path) -> frozenset[Path]:
    """A module and all that it imports, through any number of modules."""
    seen, waiting = set[Path](), [path]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imports(path)
    return frozenset(seen)


def files_of(job: Job, source: str | None) -> set[Path]:
    """The files that decide what a job makes of its inputs for a source: the engine's code and its own, the contracts of its table and of those
    it reads, its rules, the source's declaration and mapping, event contracts where it reads them."""
    own = closure(REPOSITORY.joinpath("spark_jobs", *job.table.split(".")).with_suffix(".py"))
    code = own | closure(ENGINE)
    asked = [named(path) for path in code]
    tables = {job.table, *job.upstream()}.union(*(tables for tables, _ in asked))
    rules = set(job.rules_read()).union(*(rules for _, rules in asked))
    found = {(CONF / "tables").joinpath(*name.split(".")).with_suffix(".yml") for name in tables}
    found |= {path for name in rules for path in (CONF / "rules").glob(f"**/{name}.yml")}
    found |= {CONF / kind / f"{source}.yml" for kind in ("sources", "mappings")} if source else set()
    found |= set(FOLDER.glob("*.json")) if CONF / "contracts" / "__init__.py" in own else set()
    return {path for path in (*code, *SETTINGS, *found) if path.is_file()}


@cache
def _hash_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def code_hash(job: Job, source: str | None) -> str:
    """Hash of these files, each by its path and what it says."""
    digest = hashlib.sha256()
    for path in sorted(files_of(job, source)):
        digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + _hash_of(path))
    return digest.hexdigest()


def signature_of(settings: str, job: Job, source: str | None, part: str, versions: Mapping[str, int]) -> str:
    """Hash of all that decides what a part of a table holds; `self` is covered by the output's version, which the recorder compares as well.

    settings: the reporting ones; part: its days and keys in words; versions: of the job's inputs.
    """
    asked = [job.table, source, part, dict(versions), code_hash(job, source), settings]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

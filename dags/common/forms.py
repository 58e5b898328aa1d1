"""What the trigger forms offer to pick from: days, sources, models and campaigns. Every field may stay empty, or the form cannot be submitted."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import Param

from conf.settings import REPOSITORY, home, platform

# a DAG file is read again and again: longer than this it does not wait for the lake
READ_SECONDS = 10


def day(title: str, description: str) -> Param:
    """A date picker that may stay empty."""
    return Param(None, type=["null", "string"], format="date", title=title, description=description)


def dry_run(is_on: bool) -> Param:
    """The switch that makes a run say what it would do, and do nothing."""
    return Param(is_on, type="boolean", title="Dry run", description="Only say what would be done: the answer is the run's note")


def picks(title: str, description: str, choices: Mapping[str, str], only: bool = True) -> Param:
    """A list to pick several from, or none.

    choices: value -> the words it is shown with. only: other values are refused; else a list or a single text of any values is taken
    over REST.
    """
    kinds: dict[str, Any] = (
        {"type": ["null", "array"], "items": {"type": "string", "enum": [*choices]}} if only else {"type": ["null", "array", "string"]}
    )
    return Param(None, title=title, description=description, examples=[*choices], values_display=dict(choices), **kinds)


def campaigns() -> dict[str, str]:
    """The lake's campaigns: id -> the words to pick it by; nothing where there is no lake, or none that can be read in time.

    Kept in campaigns.json of Airflow's folder, and read again only after gold.campaign_daily got a new version (of a lake that is not on this
    machine: in the next hour, and so is one that did not answer).
    """
    state, kept = _version(), Path(os.environ.get("AIRFLOW_HOME") or home() / "airflow", "campaigns.json")
    if not state:
        return {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["version"] == state:
            return dict(known["campaigns"])
    try:
        found: dict[str, str] = json.loads(_ask("campaigns"))
    except (OSError, ValueError, subprocess.SubprocessError):
        found = {}
        if "://" not in state:
            return found
    _keep(kept, {"version": state, "campaigns": found})
    return found


def _version() -> str:
    lake = platform().lake
    if "://" in lake:
        return f"{lake} {dt.datetime.now(dt.UTC):%Y-%m-%d %H}"
    commits = Path(lake, "gold", "campaign_daily", "_delta_log").glob("[0-9]*.json")
    return f"{lake} {newest}" if (newest := max((path.name for path in commits), default="")) else ""


def _ask(*words: str) -> str:
    """What a command of spark_jobs prints, in a process of its own: reading a DAG file loads no engine and cannot hang."""
    return subprocess.run(
        [sys.executable, "-m", "spark_jobs", *words],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=READ_SECONDS, check=True,
    ).stdout  # fmt: skip


def _keep(path: Path, value: Any) -> None:
    """Whole or not at all, and only if the home may be written."""
    with contextlib.suppress(OSError):
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.rename(path)

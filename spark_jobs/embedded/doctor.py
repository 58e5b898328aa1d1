"""What must be right before anything starts, each with its fix."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from conf.settings import DiskFullError, accounts_of, connections_of, home, platform, refuse_full_disk, source, source_names
from spark_jobs.embedded.airflow_api import AirflowApi
from spark_jobs.embedded.jars import is_right, locked
from spark_jobs.embedded.services import PREFERRED_PORTS, is_free, running_state
from spark_jobs.errors import ThroughlineError
from spark_jobs.printing import cell, console, listing

# a version that ends so soon is said
SUNSET_DAYS = 90
PAIRS = (("pyspark", "4.2.0"), ("delta-spark", "4.4.0"))


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `fix` is empty when it is right. is_fatal: nothing can start before it is mended."""

    name: str
    seen: str
    fix: str = ""
    is_fatal: bool = True


def java_version() -> str:
    """`java -version`'s version, '' when there is no Java."""
    try:
        java = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
        shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return ""
    found = re.search(r'version "([^"]+)"', shown)
    return found.group(1) if found else ""


def java_finding(version: str) -> Finding:
    major = version.split(".")[0]
    fix = (
        ""
        if major in ("17", "21")
        else "install Java 17 (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME and PATH to Java 17 or 21"
    )
    return Finding("Java", version or "none", fix)


def version_findings(installed: dict[str, str], delta_jar: str) -> list[Finding]:
    """The pairs that must fit: pyspark with itself, delta-spark with its JAR."""
    found = [
        Finding(
            name,
            installed.get(name, "none"),
            "" if installed.get(name) == wanted else f"this release needs {name} {wanted}: run `make setup`",
        )
        for name, wanted in PAIRS
    ]
    client = installed.get("pyspark-client")
    if client and client != installed.get("pyspark"):
        found.append(
            Finding(
                "pyspark-client",
                client,
                f"pyspark is {installed.get('pyspark')} and pyspark-client {client}; they share files and must be equal: run `make setup`",
            )
        )
    fix = (
        ""
        if delta_jar == installed.get("delta-spark")
        else f"delta-spark is {installed.get('delta-spark')} and its JAR {delta_jar}: pin both alike in pyproject.toml and conf/spark/jars.lock"
    )
    return [*found, Finding("Delta JAR", delta_jar, fix)]


def home_finding(folder: Path) -> Finding:
    """folder: the home, or the nearest folder above it that there is."""
    is_right = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return Finding(
        "home", str(home()), "" if is_right else f"{folder} cannot be written: make it yours, or set THROUGHLINE_HOME to a folder that is"
    )


def disk_finding(folder: Path, *places: str) -> Finding:
    """Whether there is room where things are written, by the same limit that every command keeps. places: lake and landing, which may lie
    elsewhere."""
    seen = f"{shutil.disk_usage(folder).free / 1e9:.0f} GB free"
    try:
        for place in (home(), *places):
            refuse_full_disk(place)
    except DiskFullError as error:
        return Finding("disk", seen, str(error))
    return Finding("disk", seen)


def key_finding(lake: str) -> Finding:
    """Whether the key that the lake's people are known by is there."""
    from spark_jobs.io.keys import key_state

    try:
        state = key_state(lake)
    except Exception as error:
        # damaged tables and storage that is away have checks of their own
        return Finding("key", "unknown", f"{lake} could not be read: {str(error).splitlines()[0]}", is_fatal=False)
    return Finding("key", state.seen, state.fix)


def memory_finding(free_gb: float, needed_gb: float) -> Finding:
    return Finding(
        "memory",
        f"{free_gb:.1f} GB available",
        ""
        if free_gb >= needed_gb
        else f"{needed_gb} GB are needed: stop something, or lower spark_driver_memory and min_memory_gb in conf/platform.yml",
    )


def available_memory() -> float:
    """Bytes that may still be taken: the machine's, or the container's where that is less."""
    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return float(free)


def connection_findings(known: Collection[str], today: dt.date) -> list[Finding]:
    """Of each source that is asked over HTTP whether its connections are there, and when the version that it asks ends.

    known: the connections that Airflow keeps; those in this environment are found besides.
    """
    found = []
    for name in source_names():
        for connection in connections_of(name):
            variable = f"AIRFLOW_CONN_{connection.upper()}"
            seen = "in this environment" if os.environ.get(variable) else "in Airflow" if connection in known else ""
            advice = f"to pull {name}, add the connection in Airflow (Admin, Connections), or set {variable}"
            found.append(Finding(f"connection {connection}", seen or "not there", "" if seen else advice, is_fatal=False))
        end = source(name).settings.get("sunset")
        if isinstance(end, dt.date) and accounts_of(name) and (end - today).days < SUNSET_DAYS:
            ended = "ended" if end < today else "ends"
            advice = f"set a newer api_version, and its sunset, in conf/sources/{name}.yml"
            found.append(Finding(f"{name}'s API", f"version {source(name).api_version} {ended} on {end}", advice, is_fatal=False))
    return found


def airflow_connections() -> set[str]:
    """The names of the connections that the running Airflow keeps; none where it does not run or does not answer."""
    up = running_state()
    if up is None or "airflow" not in up["ports"]:
        return set()
    try:
        listed = AirflowApi(f"http://127.0.0.1:{up['ports']['airflow']}").call("GET", "/connections?limit=1000")["connections"]
    except ThroughlineError:
        return set()
    return {one["connection_id"] for one in listed}


def findings() -> list[Finding]:
    """Everything that is looked at, in order."""
    settings, folder = platform(), home()
    while not folder.exists():
        folder = folder.parent
    installed = {}
    for name in ("pyspark", "pyspark-client", "delta-spark"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    jars = locked()
    delta = next(j for j in jars if j.artifact.startswith("delta-spark"))
    right = Finding(
        "Python",
        sys.version.split()[0],
        "" if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed: remove .venv and run `make setup` with it",
    )
    bad = [j.path.name for j in jars if not is_right(j, j.path)]
    found = [right, java_finding(java_version()), *version_findings(installed, delta.version)]
    found.append(
        Finding("JARs", f"{len(jars) - len(bad)} of {len(jars)}", f"missing or changed: {', '.join(bad)}: run `make setup`" if bad else "")
    )
    found.append(home_finding(folder))
    found.append(disk_finding(folder, settings.lake, settings.landing))
    found.append(key_finding(settings.lake))
    found.append(memory_finding(available_memory() / 1e9, settings.min_memory_gb))
    up = running_state()
    for port in PREFERRED_PORTS.values():
        taken = not is_free(port)
        mine = up is not None and port in up["ports"].values()
        found.append(
            Finding(
                f"port {port}",
                "ours" if mine else "taken" if taken else "free",
                "another will be picked and said" if taken and not mine else "",
                is_fatal=False,
            )
        )
    return found


def doctor() -> bool:
    """Print what was found; True when everything needed is right."""
    found = [*findings(), *connection_findings(airflow_connections(), dt.datetime.now(dt.UTC).date())]
    shown = listing("", "seen", "fix")
    for one in found:
        shown.add_row(one.name, cell(one.seen), cell(one.fix, "red" if one.is_fatal else "yellow") if one.fix else cell("right", "green"))
    console().print(shown)
    return not any(one.fix and one.is_fatal for one in found)

"""The record of a benchmark area: tests/bench/records/<area>.json, the newest figures of every size, and the table that is printed."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import platform
from importlib.metadata import version
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from conf.settings import REPOSITORY
from tests.bench.measure import Usage

FOLDER = REPOSITORY / "tests" / "bench" / "records"
SHOWN = {
    "cpu_seconds": "CPU-s",
    "peak_mb": "peak MB",
    "spark_jobs": "Spark jobs",
    "files": "files",
    "bytes": "bytes",
    "peer_cpu_seconds": "peer CPU-s",
    "ratio": "ratio",
    "at_most": "aim",
    "events_per_cpu_second": "events per CPU-s",
}


def row(case: str, size: int, used: Usage | None) -> dict[str, Any]:
    """One case's figures; what is not known is null."""
    cpu, peak = (round(used.cpu_seconds, 1), round(used.peak_mb)) if used else (None, None)
    return {
        "case": case,
        "size": size,
        "cpu_seconds": cpu,
        "peak_mb": peak,
        "spark_jobs": None,
        "peer": None,
        "peer_cpu_seconds": None,
        "ratio": None,
        "at_most": None,
    }


def against(line: dict[str, Any], peer: str, peer_cpu: float, at_most: float, digits: int = 1) -> dict[str, Any]:
    """The row beside its peer of the same run."""
    ratio = round(line["cpu_seconds"] / peer_cpu, digits)
    return {**line, "peer": peer, "peer_cpu_seconds": round(peer_cpu, 1), "ratio": ratio, "at_most": at_most}


def keep(area: str, rows: list[dict[str, Any]], packages: tuple[str, ...]) -> None:
    """Write the area's record, in which these rows replace those of about the same size, and print it."""
    path = FOLDER / f"{area}.json"
    sizes = {r["size"] for r in rows}
    before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    # a quick run does not forget what the long one measured
    rows = sorted([*(r for r in before if not any(abs(r["size"] - s) < s / 2 for s in sizes)), *rows], key=lambda r: r["size"])
    exponents = {}
    for case in dict.fromkeys(str(r["case"]) for r in rows):
        points = [(float(r["size"]), float(r["cpu_seconds"])) for r in rows if r["case"] == case and r["cpu_seconds"]]
        if len(points) > 1:
            (a, x), (b, y) = points[0], points[-1]
            exponents[case] = round(math.log(y / x) / math.log(b / a), 2)
    machine = {"cores": os.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 1e9), "system": platform.platform()}
    record = {
        "machine": machine, "versions": {name: version(name) for name in packages}, "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "rows": rows, "exponents": exponents,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    shown = Table("case", "size", *SHOWN.values())
    for r in rows:
        shown.add_row(str(r["case"]), f"{r['size']:,}", *("" if r.get(k) is None else str(r[k]) for k in SHOWN))
    out = Console(soft_wrap=True, width=140)
    out.print(shown)
    out.print(f"growth exponents {exponents}; record in {path.relative_to(REPOSITORY)}")

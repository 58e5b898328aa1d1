"""`make bench-score`: how right the pipeline is about a sandbox world of 50,000 people, and the CPU-seconds of each stage. QUICK=1: 5,000."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from conf.settings import REPOSITORY
from tests.bench.measure import measure
from tests.bench.pipeline import FIRST, LAST
from tests.bench.records import keep, row

# the exchange rates come with the shop, and what marketing spent wants them
SOURCES = ("sandbox_shop", "sandbox_marketing", "sandbox_site")


def main() -> None:
    people, home = 5_000 if os.environ.get("QUICK") else 50_000, Path(tempfile.mkdtemp(prefix="throughline-bench-"))
    env, days, python = (
        {"THROUGHLINE_HOME": str(home), "PYTHONPATH": str(REPOSITORY)},
        ["--from", str(FIRST), "--to", str(LAST)],
        [sys.executable, "-m"],
    )
    try:
        words = ["--out", str(home / "drops"), "--people", str(people), "--days", "30", "--until", str(LAST)]
        made = measure([*python, "connectors", "sandbox", "make", *words], env, REPOSITORY)
        size = sum(json.loads(made.output.splitlines()[-1])["records"].values())
        rows = [row("make", size, made)]
        for source in SOURCES:
            for stage in (
                ["connectors", "pull", source, *days],
                ["spark_jobs", "load", source],
                ["spark_jobs", "run", "silver", "--source", source, *days],
            ):
                rows.append(
                    row(f"{stage[1] if stage[1] != 'run' else 'conform'} {source}", size, measure([*python, *stage], env, REPOSITORY))
                )
        for layer in ("identity", "journeys", "attribution"):
            rows.append(row(layer, size, measure([*python, "spark_jobs", "run", layer, *days], env, REPOSITORY)))
        scored = measure([*python, "connectors", "sandbox", "score"], env, REPOSITORY)
        rows.append(row("score", size, scored))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    Console().print(f"{people:,} people, {size:,} records\n{scored.output}", highlight=False, soft_wrap=True)
    keep("score", rows, ("pyspark", "delta-spark", "polars"))


if __name__ == "__main__":
    main()

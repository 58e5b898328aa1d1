"""`make bench-engine`: what a small lake costs (150 people, 8 days, three sources, all layers), beside the build of 2026-11-29.

Both builds take in the same drops, side by side on this machine: as commands, each in its own process (`connectors pull` and `spark_jobs load`
per source, one `spark_jobs run` of all layers), and in one JVM that has built the same lake before. The older build is a git worktree of its
commit, run by this environment. QUICK=1: the commands alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from conf.settings import REPOSITORY
from tests.bench.measure import Usage, measure
from tests.bench.records import against, keep, row
from tests.whole.worlds import FIRST, LAST, SELECTION, SOURCES, make_drops

OLD = "4e96fdc"
PEOPLE = 150
AIM, AIM_WARM, AIM_JOBS = 0.5, 0.41, 300

# the last home's figures: CPU-seconds of this process and its JVM, and Spark jobs
WARM = """
import json, sys
from pathlib import Path
from spark_jobs.io.session import get_session
from tests.bench.stages import cpu_seconds, jobs_begun
from tests.whole import worlds

import inspect
few = {'few': True} if 'few' in inspect.signature(get_session).parameters else {}
spark = get_session('bench', small=True, **few)
for home in sys.argv[1:]:
    cpu, jobs = cpu_seconds(), jobs_begun()
    worlds.run(worlds.load(spark, Path(home)), Path(home))
print(json.dumps({'cpu_seconds': cpu_seconds() - cpu, 'spark_jobs': jobs_begun() - jobs}))
"""


def commands() -> dict[str, list[list[str]]]:
    """The stages of a whole build, each as command lines."""
    days = ["--from", str(FIRST), "--to", str(LAST)]
    return {
        "pull": [["connectors", "pull", source, *days] for source in SOURCES],
        "load": [["spark_jobs", "load", source] for source in SOURCES],
        "run": [["spark_jobs", "run", *SELECTION, *days]],
    }


def total(parts: list[Usage]) -> Usage:
    """Of commands one after another."""
    return Usage(sum(p.cpu_seconds for p in parts), sum(p.wall_seconds for p in parts), max(p.peak_mb for p in parts), "")


def build(code: Path, home: Path, stages: tuple[str, ...] = ("pull", "load", "run")) -> dict[str, Usage]:
    """A home's lake from its drops by the commands of the build whose code lies there; per stage what they used."""
    env = {"THROUGHLINE_HOME": str(home), "PYTHONPATH": str(code)}
    found = commands()
    return {stage: total([measure([sys.executable, "-m", *words], env, code) for words in found[stage]]) for stage in stages}


def warm(code: Path, homes: list[Path]) -> tuple[Usage, int]:
    """The last of these homes' lakes, loaded and built in a JVM that built the others: CPU-seconds and Spark jobs."""
    for home in homes:
        build(code, home, ("pull",))
    used = measure([sys.executable, "-c", WARM, *map(str, homes)], {"PYTHONPATH": str(code)}, code)
    said = json.loads(used.output.splitlines()[-1])
    return Usage(said["cpu_seconds"], used.wall_seconds, used.peak_mb, ""), said["spark_jobs"]


def compare(root: Path, old: Path) -> list[dict[str, Any]]:
    """The rows of the record."""
    make_drops(root / "made", PEOPLE)

    def home(name: str) -> Path:
        shutil.copytree(root / "made" / "drops", root / name / "drops")
        return root / name

    codes = {"new": REPOSITORY, "old": old}
    cold = {name: build(code, home(f"{name}-cold")) for name, code in codes.items()}
    rows = [
        against(row(f"{stage}, a process each", PEOPLE, cold["new"][stage]), OLD, cold["old"][stage].cpu_seconds, AIM, 2)
        for stage in ("pull", "load", "run")
    ]
    whole = {name: total(list(stages.values())) for name, stages in cold.items()}
    rows.append(against(row("whole, a process each", PEOPLE, whole["new"]), OLD, whole["old"].cpu_seconds, AIM, 2))
    if not os.environ.get("QUICK"):
        done = {name: warm(code, [home(f"{name}-warm-{n}") for n in range(2)]) for name, code in codes.items()}
        line = against(row("load and run in a warm JVM", PEOPLE, done["new"][0]), OLD, done["old"][0].cpu_seconds, AIM_WARM, 2)
        rows.append({**line, "spark_jobs": done["new"][1], "peer_spark_jobs": done["old"][1], "jobs_at_most": AIM_JOBS})
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder, "old")
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        subprocess.run([*git, "add", "--detach", str(old), OLD], check=True, capture_output=True)
        try:
            keep("engine", compare(Path(folder), old), ("pyspark", "delta-spark"))
        finally:
            subprocess.run([*git, "remove", "--force", str(old)], check=True)


if __name__ == "__main__":
    main()

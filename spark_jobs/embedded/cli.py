"""Commands of the embedded services; `spark_jobs/__main__.py` takes them over. Nothing here imports Spark before a command runs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)
# everything that a home ever gets, and what of it may be somebody's only copy
MADE = ("lake", "landing", "airflow", "spark", "logs", "drops", "vault", "report.html", "services.json", "world_end.txt")
KEPT = ("drops", "vault")
Once = Annotated[bool, typer.Option("--once", help="end by itself and stop everything; without a terminal that is so anyway")]


@app.command()
def demo(once: Once = False) -> None:
    """A small seeded shop through Airflow into the report."""
    from spark_jobs.embedded.demo import demo as run

    raise typer.Exit(run(once))


@app.command()
def real(data: Annotated[Path, typer.Option(help="folder with the real sources' files")], once: Once = False) -> None:
    """The same DAGs on real files."""
    from conf.settings import REPOSITORY
    from spark_jobs.embedded.demo import real as run

    os.environ.setdefault("THROUGHLINE_HOME", str(REPOSITORY / ".throughline-real"))
    raise typer.Exit(run(data, once))


@app.command()
def up() -> None:
    """Airflow and the Spark server, nothing else, until Ctrl-C; due days start by themselves."""
    from spark_jobs.embedded.demo import up as run

    raise typer.Exit(run())


@app.command()
def doctor() -> None:
    """Java, ports, disk, memory and version pairs, with the fix for each."""
    from spark_jobs.embedded.doctor import doctor as run_doctor

    raise typer.Exit(0 if run_doctor() else 1)


@app.command()
def status() -> None:
    """Services, last runs, freshness against deadlines, open quarantine, versions."""
    from spark_jobs.embedded.status import status as show_status

    show_status()


@app.command()
def jars() -> None:
    """Fetch the locked JARs into this environment, checked by sha256."""
    from spark_jobs.embedded.jars import fetch

    fetch()


@app.command()
def register() -> None:
    """Name the gold tables in the running server's catalog, so that JDBC clients see them as gold.<table>."""
    from spark_jobs.embedded.maintain import register as run

    run()


@app.command()
def maintain(lake: Annotated[str, typer.Option(help="root of the lake; default: conf/platform.yml")] = "") -> None:
    """Compact and vacuum every table and drop rows older than its retention."""
    from spark_jobs.embedded.maintain import maintain as run_maintain

    run_maintain(lake)


@app.command()
def clean() -> None:
    """Remove what was made here: in .throughline and .throughline-real beside the code, or in THROUGHLINE_HOME, where the key that people are
    known by (vault) and the files that were dropped (drops) stay."""
    from conf.settings import REPOSITORY, home
    from spark_jobs.embedded.services import running_state, stop_leftovers

    homes = [home()] if os.environ.get("THROUGHLINE_HOME") else [REPOSITORY / ".throughline", REPOSITORY / ".throughline-real"]
    for folder in homes:
        os.environ["THROUGHLINE_HOME"] = str(folder)
        if running_state():
            print(f"{folder} is in use by running services; stop them first (Ctrl-C where they were started).", file=sys.stderr)
            raise typer.Exit(1)
        stop_leftovers()
        is_default = folder.parent == REPOSITORY
        made = [folder / name for name in MADE if is_default or name not in KEPT]
        for path in (path for path in made if path.exists()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            print(f"removed {path}")
        left = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        if folder.is_dir() and not left:
            folder.rmdir()
        elif left:
            print(f"{folder} keeps {', '.join(left)}: remove them yourself if they are not needed")

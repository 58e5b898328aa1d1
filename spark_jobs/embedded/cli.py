"""Commands of the embedded services; `spark_jobs/__main__.py` takes them over. Nothing here imports Spark before a command runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)
Once = Annotated[bool, typer.Option("--once", help="end by itself and stop everything; without a terminal that is so anyway")]


@app.command()
def demo(
    once: Once = False,
    vendor: Annotated[list[str] | None, typer.Option(help="a source whose API the sandbox serves, may be said again; default: all")] = None,
) -> None:
    """A small seeded shop through Airflow into the report. What no vendor's API serves is dropped as files."""
    from spark_jobs.embedded.demo import demo as run

    raise typer.Exit(run(once, vendor or ()))


@app.command()
def real(data: Annotated[Path, typer.Option(help="folder with the real sources' files")], once: Once = False) -> None:
    """The same DAGs on real files."""
    from conf.settings import REPOSITORY
    from spark_jobs.embedded.demo import real as run

    os.environ.setdefault("THROUGHLINE_HOME", str(REPOSITORY / ".throughline-real"))
    raise typer.Exit(run(data, once))


@app.command()
def up(
    profile: Annotated[str, typer.Option(help="embedded, or full: the services of docker/compose.yml as processes")] = "embedded",
) -> None:
    """Airflow and the Spark server, nothing else, until Ctrl-C; due days start by themselves."""
    from spark_jobs.embedded.demo import up as run

    raise typer.Exit(run(profile))


@app.command()
def pools() -> None:
    """Airflow's pools, one per vendor, as JSON for `airflow pools import`."""
    from spark_jobs.embedded import services

    print(json.dumps(services.pools()))


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
def jars(s3: Annotated[bool, typer.Option("--s3", help="those for lakes at s3a:// too, 690 MB")] = False) -> None:
    """Fetch the locked JARs into this environment, checked by sha256."""
    from spark_jobs.embedded.jars import fetch

    fetch(s3)


@app.command()
def serve(
    master: Annotated[str, typer.Option(help="of the standalone cluster: spark://HOST:7077")],
    host: Annotated[str, typer.Option(help="the name or address to listen on")],
    connect_port: Annotated[int, typer.Option()] = 15002,
    jdbc_port: Annotated[int, typer.Option()] = 10000,
) -> None:
    """Become the Spark Connect and JDBC server of a standalone cluster, as docker/compose.yml does."""
    from spark_jobs.embedded import services

    services.serve({"connect": connect_port, "jdbc": jdbc_port}, master, host)


@app.command()
def secrets(folder: Annotated[Path, typer.Argument(help="where docker/compose.yml looks for them: docker/secrets")]) -> None:
    """Make what docker/compose.yml takes from files: each secret once, in a folder that its owner alone enters."""
    from spark_jobs.embedded.full import make_secrets

    make_secrets(folder)


@app.command()
def maintain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say how many files, bytes and rows it is about")] = False,
    lake: Annotated[str, typer.Option(help="root of the lake; default: conf/platform.yml")] = "",
) -> None:
    """Compact and vacuum every table and drop rows older than its retention."""
    from spark_jobs.embedded.maintain import maintain as run_maintain, plan
    from spark_jobs.printing import say_plan

    say_plan(*plan(lake)) if dry_run else run_maintain(lake)


@app.command()
def clean() -> None:
    """Remove what was made here: in .throughline and .throughline-real beside the code, or in THROUGHLINE_HOME, where the key that people are
    known by (vault) and the files that were dropped (drops) stay. Only folders that Throughline marked as its own go."""
    from conf.settings import REPOSITORY, home
    from spark_jobs.embedded.clean import clean as run_clean

    is_named = bool(os.environ.get("THROUGHLINE_HOME"))
    run_clean([home()] if is_named else [REPOSITORY / ".throughline", REPOSITORY / ".throughline-real"], keeps_copies=is_named)

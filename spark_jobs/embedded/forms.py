"""Commands behind Airflow's trigger forms: what there is to pick from, what a backfill would do, and the note on a run that says so; and Airflow's
own command line for this home."""

from __future__ import annotations

import itertools
import json
import os
from typing import Annotated

import typer

from conf.printing import shown
from conf.settings import platform, source as declared
from spark_jobs.errors import ThroughlineError

app = typer.Typer(add_completion=False, no_args_is_help=True)
# of those with the newest days; a longer list is none to pick from
OFFERED, ID_CHARACTERS = 300, 100


@app.command()
def campaigns() -> None:
    """The lake's campaigns as JSON: id to the words to pick it by, the newest first."""
    from spark_jobs.ops.backfill import campaigns as of_lake, labelled

    # what senders name so is kept in every version of the DAG
    named = ((key, c) for key, c in of_lake(platform().lake).items() if len(key) <= ID_CHARACTERS and key.isprintable())
    print(json.dumps({key: shown(labelled(key, campaign.name)) for key, campaign in itertools.islice(named, OFFERED)}))


@app.command()
def plan(
    what: Annotated[
        list[str] | None, typer.Argument(help="tables, layers, +table, table+ or all; or the answers of a form as JSON")
    ] = None,
    from_: Annotated[str, typer.Option("--from", help="first day, YYYY-MM-DD")] = "",
    to: Annotated[str, typer.Option("--to", help="last day, inclusive")] = "",
    source: Annotated[str, typer.Option(help="only this source's part of shared tables")] = "",
    changed: Annotated[bool, typer.Option(help="also the days that inputs touched since the last success")] = False,
    note: Annotated[
        bool, typer.Option("--note", help="as the note of a run: Markdown, which is also in the JSON of the last line")
    ] = False,
    lake: Annotated[str, typer.Option(help="root of the lake; default: conf/platform.yml")] = "",
) -> None:
    """What `run` would build with the same words, and why; or what a backfill would do, given the answers of its form (`plan '{"from": …}'`).

    Nothing is written.
    """
    words = what or []
    if from_ or to:
        of_selection(words, from_, to, source, changed, note, lake)
    elif len(words) > 1:
        raise ThroughlineError(f"say for which days {' '.join(words)} would be built: --from and --to (YYYY-MM-DD)")
    else:
        of_form(words[0] if words else "{}")


def of_selection(words: list[str], from_: str, to: str, source: str, changed: bool, is_note: bool, root: str) -> None:
    """The engine's plan, a line per part of a table, and its sum as JSON in the last line; is_note: as Markdown, and whole in the JSON too."""
    from spark_jobs.command import day, open_lake
    from spark_jobs.engine.plan import note_of, steps
    from spark_jobs.engine.selection import select_tables
    from spark_jobs.io.ranges import Range
    from spark_jobs.printing import cell, console, listing, say_plan

    if not words:
        raise ThroughlineError("say what would be built: tables, layers, +table, table+ or all")
    first, last = day(from_), day(to)
    if first > last:
        raise ThroughlineError(f"--from {first} is after --to {last}")
    names = select_tables(words)
    if source:
        own = declared(source).silver
        names = [name for name in names if not own or name in own]
    found = steps(open_lake(root), names, Range(first, last), source or None, changed)
    busy = [one for one in found if not one.is_idle]
    facts = {"tables": len({one.table for one in busy}), "parts": len(busy), "idle": len(found) - len(busy)}
    if is_note:
        return say_plan(note_of(found, Range(first, last)), facts)
    lines = listing("table", "days", "rows to read", "why", numbers=("rows to read",))
    for one in found:
        lines.add_row(cell(one.name), cell(one.days), f"{one.rows:,}", cell(one.why))
    console().print(lines if found else "nothing to build: no source has delivered anything to these tables yet")
    print(json.dumps(facts), flush=True)


def of_form(answers: str) -> None:
    """What the answers of campaign_backfill's form ask for."""
    from spark_jobs.ops.backfill import plan as of_answers
    from spark_jobs.printing import say_plan

    try:
        said = json.loads(answers)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ThroughlineError(
            f'{answers!r} is no JSON object: write it as {{"sources": ["sandbox_shop"], "from": "2026-03-24"}}, or tables with --from and --to'
        )
    made = of_answers(said, platform().lake)
    say_plan(made["note"], made)


@app.command(hidden=True)
def note(dag_id: str, run_id: str, text: str) -> None:
    """Put a text on a run, where Airflow's page of the run shows it; the embedded Airflow only."""
    from spark_jobs.embedded.airflow_api import AirflowApi

    # where tasks reach it; users may have another address
    AirflowApi(os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].removesuffix("/execution/")).note(dag_id, run_id, text)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def airflow(context: typer.Context) -> None:
    """Airflow's own command line for the running services of this home: airflow backfill create …"""
    from spark_jobs.embedded import services

    state = services.running_state()
    if state is None:
        raise ThroughlineError("no services run for this home: start them with make up")
    command, env = services.airflow_command(state)
    os.execve(command[0], [*command, *context.args], env)

"""Commands behind Airflow's trigger forms: what there is to pick from, what a backfill would do, and the note on a run that says so; and Airflow's
own command line for this home."""

from __future__ import annotations

import itertools
import json
import os
from typing import Annotated

import typer

from conf.printing import shown
from conf.settings import platform
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
def plan(answers: Annotated[str, typer.Argument(help="what a form of campaign_backfill was answered, a JSON object")] = "{}") -> None:
    """What a backfill would do: days, sources, rows and tables; nothing is changed."""
    from spark_jobs.ops.backfill import plan as of_answers

    try:
        said = json.loads(answers)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ThroughlineError(f'{answers!r} is no JSON object: write it as {{"sources": ["sandbox_shop"], "from": "2026-03-24"}}')
    made = of_answers(said, platform().lake)
    print(made["note"])
    print(json.dumps(made), flush=True)


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

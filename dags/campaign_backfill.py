"""### Rebuild what a past campaign touched
**What**: pulls the chosen sources again for the range and rebuilds every table above them. With `dry_run` (the default) it only says
what would be done: which days, sources, rows and tables. The answer is the run's **note** (and the result of the task `plan`).

**Reads** the sources' records of the range. **Writes** bronze, silver and everything above it, for the range only.

**Run again**: safe; equal rows make no new table version.

**Affects** everyone who reads gold or the report: past days may change. Nothing is activated a second time.
"""

from __future__ import annotations

import datetime as dt

from airflow.sdk import DAG, chain

from conf.names import ABOVE_SILVER
from conf.settings import rules
from connectors.kernel.declarations import sound_sources
from dags.common.defaults import COMMON, FIRST_DAY, LAST_DAY
from dags.common.forms import campaigns, day, dry_run, picks
from dags.common.spark import CommandOperator, PlanOperator, SparkJobOperator

RANGE = ["--from", FIRST_DAY, "--to", LAST_DAY]
DAYS = "Inclusive. May stay empty in a dry run: it takes the campaigns' days then, else all that the sources have"
PARAMS = {
    "campaign": picks(
        "Campaigns", "Their days are proposed; rows of other campaigns of the days are rebuilt alike", campaigns(), only=False
    ),
    "sources": picks("Sources", "Empty: all that ever landed here", {one.source: one.source for one in sound_sources()}),
    "from": day("First day (UTC)", DAYS),
    "to": day("Last day (UTC)", DAYS),
    "models": picks(
        "Models", "Attribution models of interest; empty: all (all are always rebuilt)", {m: m for m in rules("attribution")["models"]}
    ),
    "dry_run": dry_run(True),
}

with DAG(
    dag_id="campaign_backfill",
    description="Rebuild a past campaign's days",
    doc_md=__doc__,
    schedule=None,
    params=PARAMS,
    tags=["backfill"],
    **COMMON,
):
    plan = PlanOperator(task_id="plan", arguments=["plan", "{{ params | tojson }}"], execution_timeout=dt.timedelta(minutes=10))
    pull = CommandOperator.partial(task_id="pull", arguments=["pull", "{source}", *RANGE]).expand(source=plan.output)
    load = SparkJobOperator.partial(task_id="load", arguments=["load", "{source}", *RANGE]).expand(source=plan.output)
    conform = SparkJobOperator.partial(task_id="conform", arguments=["run", "silver", "--source", "{source}", *RANGE]).expand(
        source=plan.output
    )
    layers = [SparkJobOperator(task_id=layer, arguments=["run", layer, *RANGE, "--changed"]) for layer in ABOVE_SILVER]
    chain(pull, load, conform, *layers, SparkJobOperator(task_id="report", arguments=["report"]))

"""### Rebuild what a past campaign touched
**What**: pulls the named sources again for the range and rebuilds every table above them. With `dry_run` (the default) it only says
what would be done: which days, sources and tables.

**Reads** the sources' records of the range. **Writes** bronze, silver and everything above it, for the range only.

**Run again**: safe; equal rows make no new table version.

**Affects** everyone who reads gold or the report: past days may change. Nothing is activated a second time.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, task

from conf.settings import platform, source, source_names
from conf.tables import table_names
from dags.common.defaults import COMMON, FIRST_DAY, LAST_DAY, RANGE_PARAMS
from dags.common.spark import CommandOperator, SparkJobOperator

LAYERS = ("identity", "journeys", "attribution", "segments", "gold")
RANGE = ["--from", FIRST_DAY, "--to", LAST_DAY]
PARAMS = {
    "campaign": Param(
        "", type="string", description="Campaign id; stands in the plan, and rows of other campaigns of the days are rebuilt alike"
    ),
    "sources": Param(
        [], type="array", items={"type": "string", "enum": list(source_names())}, description="Empty: all that ever landed here"
    ),
    **RANGE_PARAMS,
    "models": Param(
        [], type="array", items={"type": "string"}, description="Attribution models of interest; empty: all (all are always rebuilt)"
    ),
    "dry_run": Param(True, type="boolean", description="Only say what would be done"),
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

    @task.short_circuit(retries=0)
    def plan(params: dict[str, Any]) -> list[str]:
        """The sources to rebuild; none in a dry run, which ends here."""
        from airflow.sdk.exceptions import AirflowFailException

        if not params["from"] or not params["to"]:
            raise AirflowFailException("say which days: the params from and to (YYYY-MM-DD) are empty")
        log = logging.getLogger("airflow.task")
        log.info("campaign %r, %s to %s, models %s", params["campaign"], params["from"], params["to"], params["models"] or "all")
        chosen = params["sources"] or [name for name in source_names() if Path(platform().landing, name).is_dir()]
        for name in chosen:
            log.info("would pull %s again and rebuild %s", name, ", ".join(source(name).silver))
        for name in LAYERS:
            log.info("would rebuild %s", ", ".join(t for t in table_names() if t.split(".")[0] == name))
        return [] if params["dry_run"] else list(chosen)

    chosen = plan()
    pull = CommandOperator.partial(task_id="pull", arguments=["pull", "{source}", *RANGE]).expand(source=chosen)
    load = SparkJobOperator.partial(task_id="load", arguments=["load", "{source}", *RANGE]).expand(source=chosen)
    conform = SparkJobOperator.partial(task_id="conform", arguments=["run", "silver", "--source", "{source}", *RANGE]).expand(source=chosen)
    last = conform
    pull >> load >> conform
    for layer in LAYERS:
        step = SparkJobOperator(task_id=layer, arguments=["run", layer, *RANGE, "--changed"])
        last >> step
        last = step
    last >> SparkJobOperator(task_id="report", arguments=["report"])

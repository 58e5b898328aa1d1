"""### From silver to the report
**What**: people, journeys, attributed revenue and segments from what all channels brought in, then the tables for BI and the report page.
A gate stands before each table: a batch that fails a blocking check is not published, and nothing downstream runs.

**Reads** `silver.*`. **Writes** `identity.*`, `journeys.*`, `attribution.*`, `segments.*`, `gold.*`, `report.html`.

**Run again**: trigger with `from` and `to` (one run rebuilds the whole range), or backfill its days (with All Runs, where days have
a run already). Days that late data touched are added by themselves; unchanged work is skipped. A scheduled run waits for the day's ingests.

**Dry run**: with `dry_run` it says what it would do and why, as the run's **note** and behind the first task's link `Plan`; nothing is written.

**Affects** everyone who reads gold or the report.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow.sdk import DAG

from conf.names import ABOVE_SILVER
from connectors.kernel.declarations import sound_sources
from dags.common.assets import assets_of_layer
from dags.common.defaults import COMMON, DAILY, RANGE, RANGE_PARAMS, planned, wait_for_runs
from dags.common.spark import SparkJobOperator

# a refund or a rate may have come after the order or the spend that it changes: those are built again first
BEFORE = {"identity": ["silver.orders", "silver.ad_spend"]}

with DAG(
    dag_id="build_daily",
    description="Identity, journeys, attribution, segments, gold and the report",
    doc_md=__doc__,
    schedule=DAILY,
    params=RANGE_PARAMS,
    tags=["build", "daily"],
    **COMMON,
):
    before = ["build_orders", *(f"ingest_{one.source}" for one in sound_sources())]

    def layer(name: str, **kwargs: Any) -> SparkJobOperator:
        return SparkJobOperator(
            task_id=name, arguments=["run", *BEFORE.get(name, ()), name, *RANGE, "--changed"], outlets=assets_of_layer(name), **kwargs
        )

    every = planned(*BEFORE["identity"], *ABOVE_SILVER)
    identity = layer("identity", pre_execute=partial(wait_for_runs, before), plan=every)
    journeys = layer("journeys")
    attribution = layer("attribution")
    segments = layer("segments")
    gold = layer("gold")
    report = SparkJobOperator(task_id="report", arguments=["report"])
    identity >> journeys >> [attribution, segments] >> gold >> report

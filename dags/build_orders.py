"""### Orders and revenue by day, as soon as the orders are in
**What**: `gold.orders_daily` and the report page, without waiting for the channels that take longer. Who ordered and which channel earned
it is `build_daily`'s part.
A gate stands before each table: a batch that fails a blocking check is not published, and the page stays as it was.

**Reads** `silver.order_lines`, `silver.refunds`, `silver.fx_rates`. **Writes** `silver.orders`, `gold.orders_daily`, `report.html`.

**Run again**: trigger with `from` and `to` (one run rebuilds the whole range), or backfill its days (with All Runs, where days have
a run already); unchanged work is skipped. A scheduled run waits for the ingests that bring orders.

**Dry run**: with `dry_run` it says what it would do and why, as the run's **note** and behind the first task's link `Plan`; nothing is written.

**Affects** who reads the day's orders in gold or in the report.
"""

from __future__ import annotations

from functools import partial

from airflow.sdk import DAG

from connectors.kernel.declarations import sound_sources
from dags.common.assets import assets
from dags.common.defaults import COMMON, DAILY, RANGE, RANGE_PARAMS, planned, wait_for_runs
from dags.common.spark import SparkJobOperator

# a refund or a rate may have come after the order it changes: such orders are built again first
TABLES = ["silver.orders", "gold.orders_daily"]

with DAG(
    dag_id="build_orders",
    description="Orders and revenue by day, and the report",
    doc_md=__doc__,
    schedule=DAILY,
    params=RANGE_PARAMS,
    tags=["build", "daily"],
    **COMMON,
):
    ingests = [f"ingest_{one.source}" for one in sound_sources() if "silver.orders" in one.silver]
    orders = SparkJobOperator(
        task_id="orders",
        arguments=["run", *TABLES, *RANGE, "--changed"],
        outlets=assets(TABLES),
        pre_execute=partial(wait_for_runs, ingests),
        plan=planned(*TABLES),
    )
    report = SparkJobOperator(task_id="report", arguments=["report"])
    orders >> report

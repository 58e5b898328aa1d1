"""### Bring one channel in
**What**: `pull` lands the channel's records of the range, `load` appends them to bronze (each file once), `conform` makes silver rows of
them; a gate stands before each table.

**Reads** what `conf/sources/<source>.yml` names. **Writes** the source's bronze tables and its part of the silver tables.

**Run again**: trigger with `from` and `to`; a range that was loaded already changes nothing. A scheduled run takes its partition's day, and
the files of earlier days that came since: late ones, and reports that restate a day.

**Dry run**: with `dry_run` it says what it would do and why, as the run's **note** and behind the first task's link `Plan`; nothing is written.

**Affects** only this channel: others' rows are in other partitions. `build_daily` picks up every day that changed here.
"""

from __future__ import annotations

from airflow.sdk import DAG

from connectors.kernel.declarations import sound_sources
from dags.common.assets import assets, bronze_assets
from dags.common.defaults import COMMON, DAILY, RANGE, RANGE_PARAMS, planned
from dags.common.spark import CommandOperator, SparkJobOperator

for declared in sound_sources():
    name = declared.source
    with DAG(
        dag_id=f"ingest_{name}",
        description=declared.description,
        doc_md=__doc__,
        schedule=DAILY,
        params=RANGE_PARAMS,
        tags=["ingest", declared.kind, name],
        owner_links={},
        **{**COMMON, "default_args": {**COMMON["default_args"], "owner": declared.owner}},
    ):
        pull = CommandOperator(task_id="pull", arguments=["pull", name, *RANGE], plan=planned("silver", "--source", name))
        load = SparkJobOperator(task_id="load", arguments=["load", name, *RANGE], outlets=bronze_assets(name))
        conform = SparkJobOperator(
            task_id="conform", arguments=["run", "silver", "--source", name, *RANGE, "--changed"], outlets=assets(declared.silver)
        )
        pull >> load >> conform

"""### Bring one channel in
**What**: `check` tries every stream with the cheapest real look, `pull` lands the channel's records of the range, one task per account where it is
asked over HTTP, `load` appends them to bronze (each file once), `conform` makes silver rows of them; a gate stands before each table. A stream or
account that fails costs no other: what was landed goes on, and `whole` ends red.

**Reads** what `conf/sources/<source>.yml` names. **Writes** the source's bronze tables and its part of the silver tables.

**Run again**: trigger with `from` and `to`; a range that was loaded already changes nothing. A scheduled run takes its partition's day, and
the files of earlier days that came since: late ones, and reports that restate a day. A stream with a cursor of its own goes on from it,
unless somebody named the days.

**Dry run**: with `dry_run` it says which files or requests the pull would land, and what would be built and why, as the run's **note** and behind the
first task's link `Plan`; nothing is written.

**Affects** only this channel: others' rows are in other partitions. `build_daily` picks up every day that changed here.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TriggerRule

from conf.settings import accounts_of, pool_of
from connectors.kernel.declarations import sound_sources
from dags.common.assets import assets, bronze_assets
from dags.common.defaults import COMMON, DAILY, RANGE, RANGE_PARAMS, WHOSE_DAYS, planned
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
        # what it finds wrong the pull says again, of the streams that are wrong alone
        landed = ["connectors", "pull", name, *RANGE, WHOSE_DAYS, "--dry-run"]
        check = CommandOperator(
            task_id="check", arguments=["check", name], days=RANGE, plan=[landed, *planned("silver", "--source", name)], retries=0
        )
        shared = {"task_id": "pull", "trigger_rule": TriggerRule.ALL_DONE}
        if accounts := accounts_of(name):
            pull: Any = CommandOperator.partial(
                **shared,
                pool=pool_of(name),
                map_index_template="{{ task.account }}",
                arguments=["pull", name, "--account", "{account}", *RANGE, WHOSE_DAYS],
            ).expand(account=list(accounts))
        else:
            pull = CommandOperator(**shared, arguments=["pull", name, *RANGE, WHOSE_DAYS])
        load = SparkJobOperator(
            task_id="load", arguments=["load", name, *RANGE], outlets=bronze_assets(name), trigger_rule=TriggerRule.ALL_DONE
        )
        conform = SparkJobOperator(
            task_id="conform", arguments=["run", "silver", "--source", name, *RANGE, "--changed"], outlets=assets(declared.silver)
        )
        whole = EmptyOperator(task_id="whole")
        check >> pull >> load >> conform >> whole
        [check, pull] >> whole

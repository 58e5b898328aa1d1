"""What all DAGs share: the day they are about, retries, owners, and the range a run was asked for."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Any

from airflow.sdk import CronPartitionTimetable

from dags.common.callbacks import say_what_failed
from dags.common.forms import day, dry_run

log = logging.getLogger(__name__)

START = dt.datetime(2010, 1, 1, tzinfo=dt.UTC)
# at midnight a run begins whose partition key is the day that just ended; a backfill makes exactly the days asked for
DAILY = CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d")
FIRST_DAY = "{{ params['from'] or partition_key or '' }}"
LAST_DAY = "{{ params['to'] or partition_key or '' }}"
RANGE = ["--from", FIRST_DAY, "--to", LAST_DAY]
WHOSE_DAYS = "{{ '--named' if params['from'] else '--scheduled' }}"
RANGE_PARAMS = {
    "from": day("First day (UTC)", "Inclusive. A run by hand needs both days, or a partition key (advanced options)"),
    "to": day("Last day (UTC)", "Inclusive"),
    "dry_run": dry_run(False),
}
TASK_DEFAULTS: dict[str, Any] = {
    "owner": "data-ops",
    "retries": 2,
    "retry_delay": dt.timedelta(seconds=15),
    "retry_exponential_backoff": True,
    "max_retry_delay": dt.timedelta(minutes=10),
    "execution_timeout": dt.timedelta(hours=6),
    "on_failure_callback": say_what_failed,
}
COMMON: dict[str, Any] = {"start_date": START, "catchup": False, "default_args": TASK_DEFAULTS, "max_active_runs": 1, "max_active_tasks": 2}
MAX_WAIT_SECONDS = 2 * 3600


def planned(*words: str) -> list[list[str]]:
    """The commands that say what `run` would build with these words, of the run's range and what changed since."""
    return [["spark_jobs", "plan", *words, *RANGE, "--changed", "--note"]]


def wait_for_runs(dag_ids: list[str], context: Any) -> None:
    """Before a scheduled day is built: wait until none of these DAGs runs or is queued. A range given by hand is built at once, and a run
    without any days is refused at once.

    A dry run is answered at once too. After MAX_WAIT_SECONDS the build goes on with what there is; the days that come in later are rebuilt by the next run (--changed).
    """
    if context["params"].get("from") or context["params"].get("dry_run") or not context["dag_run"].partition_key:
        return
    until = time.monotonic() + MAX_WAIT_SECONDS
    if str(getattr(context["dag_run"].run_type, "value", context["dag_run"].run_type)) == "scheduled":
        # at midnight the other DAGs' runs of the same day may not have been queued yet
        time.sleep(15)
    while time.monotonic() < until:
        busy = [d for d in dag_ids if context["ti"].get_dr_count(dag_id=d, states=["queued", "running"])]
        if not busy:
            return
        log.info("waiting for %s", ", ".join(busy))
        time.sleep(10)
    log.warning("they did not end within %s s; building with what there is", MAX_WAIT_SECONDS)

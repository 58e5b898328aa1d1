"""### Keep the lake small and fast
**What**: compacts small files (OPTIMIZE), removes files that no version of the last week needs (VACUUM), and drops rows older than a
table's `retention_days`.

**Reads and writes** every table. **Run again**: safe at any time; readers are not disturbed.

**Dry run**: with `dry_run` it says what it would do and why, as the run's **note** and behind the first task's link `Plan`; nothing is written.

**Affects** nobody's numbers; time travel further back than a week ends.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable

from dags.common.defaults import COMMON
from dags.common.forms import dry_run
from dags.common.spark import SparkJobOperator

with DAG(
    dag_id="maintain_tables",
    description="Compact, vacuum, and apply retention",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 3 * * 0", timezone="UTC"),
    params={"dry_run": dry_run(False)},
    tags=["maintenance"],
    **COMMON,
):
    SparkJobOperator(task_id="maintain", arguments=["maintain"], plan=[["spark_jobs", "maintain", "--dry-run"]])

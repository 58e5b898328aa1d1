"""silver.campaigns: every version of a vendor's campaign, with the interval in which it held.

The whole history of the source is given at once, so that intervals have no gap and no overlap. Deliveries that change nothing are
duplicates of the version they repeat.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from spark_jobs.functions.dates import versions_of
from spark_jobs.job import Job

KEY = ["source", "campaign_id"]
ATTRIBUTES = [
    "campaign_name",
    "campaign_type",
    "channel",
    "status",
    "start_at",
    "end_at",
    "account_id",
    "budget_amount",
    "currency",
    "attributes",
]


def version_campaigns(mapped: DataFrame) -> DataFrame:
    """One row per delivered campaign, with valid_from and valid_to (null = current)."""
    return versions_of(mapped, KEY, ATTRIBUTES)


JOB = Job(table="silver.campaigns", inputs={"mapped": "mapped:silver.campaigns"}, transform=version_campaigns)

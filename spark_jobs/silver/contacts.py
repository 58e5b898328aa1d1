"""silver.contacts: every version of a vendor's contact, with the interval in which it held.

The whole history of the source is given at once, so that intervals have no gap and no overlap. Deliveries that change nothing are
duplicates of the version they repeat.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from spark_jobs.functions.dates import versions_of
from spark_jobs.job import Job

KEY = ["source", "contact_id"]
ATTRIBUTES = ["identifiers", "created_at", "country", "lifecycle_stage", "is_deleted", "attributes"]


def version_contacts(mapped: DataFrame) -> DataFrame:
    """One row per delivered contact, with valid_from and valid_to (null = current)."""
    return versions_of(mapped, KEY, ATTRIBUTES)


JOB = Job(table="silver.contacts", inputs={"mapped": "mapped:silver.contacts"}, transform=version_contacts)

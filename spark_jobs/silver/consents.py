"""silver.consents: what one identifier allowed or refused for one purpose, and from when until when.

The whole history of the source is given at once, so that intervals have no gap and no overlap. A choice repeated is a duplicate of
the first. A record without an identifier has nobody to hold for and is set aside by the gate (identifier_key is null).
"""

from __future__ import annotations

from pyspark.sql import DataFrame, functions as F

from spark_jobs.functions.dates import versions_of
from spark_jobs.functions.text import stripped
from spark_jobs.job import Job

KEY = ["source", "identifier_key", "purpose"]


def version_consents(mapped: DataFrame) -> DataFrame:
    """One row per delivered choice, with valid_from and valid_to (null = current); the identifier is the record's first."""
    first = F.try_element_at("identifiers", F.lit(1))
    choices = mapped.withColumns(
        {
            "identifier_key": F.coalesce("identifier_key", first["identifier_key"]),
            "namespace": F.coalesce("namespace", first["namespace"]),
            "purpose": F.lower(stripped(F.col("purpose"))),
        }
    )
    return versions_of(choices, KEY, ["is_granted"]).drop("identifiers")


JOB = Job(table="silver.consents", inputs={"mapped": "mapped:silver.consents"}, transform=version_consents)

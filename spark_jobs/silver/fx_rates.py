"""silver.fx_rates: one currency's rate to the reporting currency on one day.

Rates are stated, never invented: a day without a row has no rate, and what needs it stays null.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, functions as F

from spark_jobs.functions.text import stripped
from spark_jobs.job import Job


def conform_fx_rates(mapped: DataFrame) -> DataFrame:
    """One row per mapped rate, currencies in upper case."""
    return mapped.withColumn("currency", F.upper(stripped(F.col("currency"))))


JOB = Job(table="silver.fx_rates", inputs={"mapped": "mapped:silver.fx_rates"}, transform=conform_fx_rates)

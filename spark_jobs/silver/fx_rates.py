"""silver.fx_rates: one currency's rate to the reporting currency on one day.

Rates are stated, never invented: a day without a row has no rate, and what needs it stays null. Where several sources state another rate of
one day and currency, that of the source whose name sorts last stands, in whatever order they are built; the others are set aside.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, functions as F

from conf.tables import table
from spark_jobs.functions.text import stripped
from spark_jobs.job import Job

KEYS = list(table("silver.fx_rates").keys)


def conform_fx_rates(mapped: DataFrame, existing: DataFrame) -> DataFrame:
    """One row per mapped rate, currencies in upper case. existing: silver.fx_rates, of every source."""
    rates = mapped.withColumn("currency", F.upper(stripped(F.col("currency"))))
    stored = existing.select(*KEYS, F.col("rate").alias("_stored_rate"), F.col("source").alias("_stored_source"))
    is_another = (F.col("_stored_source") > F.col("source")) & (F.col("_stored_rate") != F.col("rate"))
    reason = F.coalesce("_reason", F.when(is_another, F.lit("rate_of_another_source")))
    return rates.join(stored, on=KEYS, how="left").withColumn("_reason", reason).drop("_stored_rate", "_stored_source")


JOB = Job(table="silver.fx_rates", inputs={"mapped": "mapped:silver.fx_rates", "existing": "self"}, transform=conform_fx_rates)

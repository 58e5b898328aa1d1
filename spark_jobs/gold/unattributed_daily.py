"""gold.unattributed_daily: the revenue that no touch earned, per model, day and reason.

A conversion without credit is never dropped and never spread over channels: it keeps its value and says why.
"""

from pyspark.sql import DataFrame, functions as F

from conf.settings import Platform
from spark_jobs.job import Job


def count_unattributed(credits: DataFrame, conversions: DataFrame, platform: Platform) -> DataFrame:
    """One row per (day, model, reason).

    credits: attribution.credits; conversions: journeys.conversions (the instant that the day is of);
    both with a day on either side of the range, because their days are UTC.
    """
    day = F.to_date(F.from_utc_timestamp("converted_at", platform.reporting_time_zone)).alias("day")
    uncredited = credits.where("reason is not null").select("model", "conversion_id", "reason", "credit", "credit_amount")
    dated = uncredited.join(conversions.select("conversion_id", day), on="conversion_id", how="inner")
    return dated.groupBy("day", "model", "reason").agg(
        F.coalesce(F.sum("credit"), F.lit(0)).cast("decimal(20,10)").alias("conversions"),
        F.coalesce(F.sum("credit_amount"), F.lit(0)).cast("decimal(28,2)").alias("revenue_amount"),
        F.lit(platform.reporting_currency).alias("currency"),
    )


JOB = Job(
    table="gold.unattributed_daily",
    inputs={"credits": "attribution.credits", "conversions": "journeys.conversions"},
    transform=count_unattributed,
    lookback_days=1,
    lookahead_days=1,
)

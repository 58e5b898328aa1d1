"""gold.channel_daily: what each channel cost and earned, per model and day, for people and BI tools.

What no touch earned is its own channel, Unattributed, so that the channels of a model add up to all revenue.
"""

from pyspark.sql import DataFrame, functions as F

from conf.names import UNATTRIBUTED
from conf.settings import Platform
from spark_jobs.job import Job


def name_channel_results(results: DataFrame, platform: Platform) -> DataFrame:
    """One row per (day, model, channel).

    results: attribution.channel_daily; channel is null on what was not attributed.
    """
    channel = F.when(F.coalesce("channel", F.lit("")).isin("", "unattributed"), UNATTRIBUTED).otherwise(F.col("channel"))
    return results.groupBy("day", "model", channel.alias("channel")).agg(
        F.sum("spend").cast("decimal(28,6)").alias("spend_amount"),
        F.sum("impressions").alias("impressions"),
        F.sum("clicks").alias("clicks"),
        F.coalesce(F.sum("conversions"), F.lit(0)).cast("decimal(20,10)").alias("conversions"),
        F.coalesce(F.sum("revenue"), F.lit(0)).cast("decimal(28,2)").alias("revenue_amount"),
        F.lit(platform.reporting_currency).alias("currency"),
    )


JOB = Job(table="gold.channel_daily", inputs={"results": "attribution.channel_daily"}, transform=name_channel_results)

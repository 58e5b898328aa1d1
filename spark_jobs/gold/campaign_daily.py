"""gold.campaign_daily: what each campaign cost and earned, per model and day, with the name people know it by.

A campaign's name is the newest one its vendor gave; without one it is the newest name its touches carried.
"""

from pyspark.sql import DataFrame, functions as F

from conf.names import UNATTRIBUTED
from conf.settings import Platform
from spark_jobs.job import Job


def newest_names(campaigns: DataFrame, touchpoints: DataFrame) -> DataFrame:
    """(campaign_id, campaign_name), one row per campaign; a vendor's name ranks above a tag on a touch."""
    declared = campaigns.select("campaign_id", "campaign_name", F.lit(1).alias("rank"), F.col("valid_from").alias("said_at"))
    tagged = touchpoints.select("campaign_id", "campaign_name", F.lit(0).alias("rank"), F.col("touched_at").alias("said_at"))
    named = declared.unionByName(tagged).where("campaign_id is not null and campaign_name is not null")
    newest = F.max(F.struct("rank", "said_at", "campaign_name")).alias("newest")
    return named.groupBy("campaign_id").agg(newest).select("campaign_id", F.col("newest.campaign_name").alias("campaign_name"))


def name_campaign_results(results: DataFrame, campaigns: DataFrame, touchpoints: DataFrame, platform: Platform) -> DataFrame:
    """One row per (day, model, channel, campaign_id).

    results: attribution.campaign_daily; campaigns: silver.campaigns, all versions; touchpoints: journeys.touchpoints, all.
    """
    channel = F.when(F.coalesce("channel", F.lit("")).isin("", "unattributed"), UNATTRIBUTED).otherwise(F.col("channel"))
    keyed = results.withColumn("channel", channel).withColumn("campaign_id", F.coalesce("campaign_id", F.lit("")))
    summed = keyed.groupBy("day", "model", "channel", "campaign_id").agg(
        F.sum("spend").cast("decimal(28,6)").alias("spend_amount"),
        F.sum("impressions").alias("impressions"),
        F.sum("clicks").alias("clicks"),
        F.coalesce(F.sum("conversions"), F.lit(0)).cast("decimal(20,10)").alias("conversions"),
        F.coalesce(F.sum("revenue"), F.lit(0)).cast("decimal(28,2)").alias("revenue_amount"),
        F.lit(platform.reporting_currency).alias("currency"),
    )
    return summed.join(newest_names(campaigns, touchpoints), on="campaign_id", how="left")


JOB = Job(
    table="gold.campaign_daily",
    inputs={"results": "attribution.campaign_daily", "campaigns": "silver.campaigns@all", "touchpoints": "journeys.touchpoints@all"},
    transform=name_campaign_results,
)

"""attribution.campaign_daily: what each campaign cost and earned, per model and day of the reporting time zone; only sums."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame

from conf.settings import Platform
from spark_jobs.functions.results import daily_results
from spark_jobs.job import Job


def sum_campaigns(credits: DataFrame, ad_spend: DataFrame, rules: Mapping[str, Any], platform: Platform) -> DataFrame:
    """One row per (day, model, channel, campaign_id). credits: attribution.credits; ad_spend: silver.ad_spend."""
    return daily_results(credits, ad_spend, rules, platform.reporting_time_zone, ("channel", "campaign_id"))


JOB = Job(
    table="attribution.campaign_daily",
    inputs={"credits": "attribution.credits", "ad_spend": "silver.ad_spend"},
    transform=sum_campaigns,
    # a reporting day reaches into the UTC days beside it
    lookback_days=1,
    lookahead_days=1,
    rules="attribution",
)

"""attribution.channel_daily: what each channel cost and earned, per model and day of the reporting time zone; only sums."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame

from conf.settings import Platform
from spark_jobs.functions.results import daily_results
from spark_jobs.job import Job


def sum_channels(credits: DataFrame, ad_spend: DataFrame, rules: Mapping[str, Any], platform: Platform) -> DataFrame:
    """One row per (day, model, channel). credits: attribution.credits; ad_spend: silver.ad_spend."""
    return daily_results(credits, ad_spend, rules, platform.reporting_time_zone, ("channel",))


JOB = Job(
    table="attribution.channel_daily",
    inputs={"credits": "attribution.credits", "ad_spend": "silver.ad_spend"},
    transform=sum_channels,
    # a reporting day reaches into the UTC days beside it
    lookback_days=1,
    lookahead_days=1,
    rules="attribution",
)

"""Credit and spend added up beside each other: spend is summed on its own and never multiplied by a join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, functions as F

from conf.names import UNATTRIBUTED


def daily_results(credits: DataFrame, ad_spend: DataFrame, rules: Mapping[str, Any], time_zone: str, keys: Sequence[str]) -> DataFrame:
    """One row per (day, model, *keys): spend, impressions, clicks, conversions, revenue.

    credits: attribution.credits; their day is that of converted_at in `time_zone`. ad_spend: silver.ad_spend; its day is the ad account's.
    """
    day = F.to_date(F.from_utc_timestamp("converted_at", time_zone))
    earned = credits.withColumns(
        {
            "day": day,
            "channel": F.when(F.col("reason").isNull(), F.coalesce("channel", F.lit("Unassigned"))).otherwise(UNATTRIBUTED),
            "campaign_id": F.coalesce("campaign_id", F.lit("")),
        }
    )
    earned = earned.groupBy("day", "model", *keys).agg(F.sum("credit").alias("conversions"), F.sum("credit_amount").alias("revenue"))
    spent = ad_spend.withColumns({"day": F.col("spend_date"), "channel": F.coalesce("channel", F.lit("Unassigned"))})
    spent = spent.groupBy("day", *keys).agg(
        F.round(F.sum("reporting_amount"), 6).alias("spend"), F.sum("impressions").alias("impressions"), F.sum("clicks").alias("clicks")
    )
    names = F.array(*(F.lit(name) for name in rules["models"]))
    spent = spent.withColumn("model", F.explode(names))
    both = earned.join(spent, on=["day", "model", *keys], how="full")
    nothing = {
        "conversions": F.coalesce("conversions", F.lit(0).cast("decimal(20,10)")),
        "revenue": F.coalesce("revenue", F.lit(0).cast("decimal(28,2)")),
    }
    return both.withColumns(nothing)

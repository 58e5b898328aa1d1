"""silver.ad_spend: what one ad of one account cost on one of the account's own days.

Vendors restate the last 28 to 30 days, so every pull replaces the source's days; of two extractions of a day the newer stands, whole.
Rows of one delivery that name the same ad and day are parts of its day (by network, device, country …): they stand beside each other,
numbered by `part`, and add up. Days are the ad account's, never UTC: a report that needs another zone must say that it mixes days.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from spark_jobs.functions.money import converted, with_rate
from spark_jobs.job import Job

AD_AND_DAY = ("source", "account_id", "campaign_id", "ad_group_id", "ad_id", "spend_date")
# an ad may cost less than a cent a day: what is summed is rounded only when it is summed
EXACT, EXACT_DECIMALS = "decimal(28,10)", 10


def part() -> Column:
    """1, 2, … over the different rows that the newest delivery of an ad and day has of it; 1 on those of older deliveries, which it replaces."""
    usable = F.col("_reason").isNull()
    delivery = F.struct("_extracted_at", "_attempt", "_slice_id")
    newest = F.max(F.when(usable, delivery)).over(W.partitionBy(*AD_AND_DAY))
    place = F.dense_rank().over(W.partitionBy(*AD_AND_DAY, usable, delivery).orderBy("_sha256"))
    return F.when(F.coalesce(delivery == newest, F.lit(False)), place).otherwise(1)


def conform_ad_spend(mapped: DataFrame, fx_rates: DataFrame, platform: Any) -> DataFrame:
    """One row per mapped vendor row, with its part and its amount in the reporting currency at spend_date's rate."""
    spend = mapped.withColumns(
        {
            "ad_group_id": F.coalesce("ad_group_id", F.lit("")),
            "ad_id": F.coalesce("ad_id", F.lit("")),
            "extracted_at": F.coalesce("extracted_at", "_extracted_at"),
        }
    )
    # rows of other tools have no record's hash: then each is the only part
    spend = spend if "_sha256" in spend.columns else spend.withColumn("_sha256", F.lit(None).cast("string"))
    spend = spend.withColumn("part", part())
    priced = with_rate(spend, fx_rates, "spend_date", platform.reporting_currency)
    return priced.withColumn("reporting_amount", converted(F.col("spend_amount").cast("decimal(18,6)"), EXACT, EXACT_DECIMALS)).drop(
        "_rate"
    )


JOB = Job(
    table="silver.ad_spend",
    inputs={"mapped": "mapped:silver.ad_spend", "fx_rates": "silver.fx_rates@all"},
    transform=conform_ad_spend,
)

"""silver.ad_spend: what one ad of one account cost on one of the account's own days.

Vendors restate the last 28 to 30 days, so every pull replaces the source's days; of two extractions of a day the newer stands. Days
are the ad account's, never UTC: a report that needs another zone must say that it mixes days.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, functions as F

from spark_jobs.functions.money import to_reporting_currency
from spark_jobs.job import Job


def conform_ad_spend(mapped: DataFrame, fx_rates: DataFrame, platform: Any) -> DataFrame:
    """One row per mapped vendor row, with its amount in the reporting currency at spend_date's rate."""
    spend = mapped.withColumns(
        {
            "ad_group_id": F.coalesce("ad_group_id", F.lit("")),
            "ad_id": F.coalesce("ad_id", F.lit("")),
            "extracted_at": F.coalesce("extracted_at", "_extracted_at"),
        }
    ).drop("reporting_amount")
    return to_reporting_currency(spend, fx_rates, "spend_amount", "spend_date", platform.reporting_currency)


JOB = Job(
    table="silver.ad_spend",
    inputs={"mapped": "mapped:silver.ad_spend", "fx_rates": "silver.fx_rates@all"},
    transform=conform_ad_spend,
)

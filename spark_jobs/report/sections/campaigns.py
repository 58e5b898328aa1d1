"""Which campaigns earned most."""

from __future__ import annotations

from typing import Any

from spark_jobs.report.facts import Facts, with_ratios
from spark_jobs.report.tables import records

TABLES = ("gold.campaign_daily",)
MOST = 12


def view(facts: Facts) -> dict[str, Any]:
    """campaigns: per model the campaigns that earned or cost most."""
    rows = records(
        facts.connection,
        """select model, channel, campaign_id, any_value(campaign_name) as campaign_name, sum(revenue_amount) as revenue,
                  sum(conversions) as conversions, nullif(sum(spend_amount), 0) as spend
           from gold_campaign_daily where campaign_id <> '' group by model, channel, campaign_id
           qualify row_number() over (partition by model order by sum(revenue_amount) desc, coalesce(sum(spend_amount), 0) desc,
                                                         campaign_id) <= ?
           order by model, revenue desc, campaign_id""",
        [MOST],
    )
    campaigns: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        campaigns.setdefault(row["model"], []).append(with_ratios(row))
    return {"campaigns": campaigns}

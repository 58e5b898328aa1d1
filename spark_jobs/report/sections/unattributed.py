"""What no channel earned, and why."""

from __future__ import annotations

from typing import Any

from spark_jobs.report import wording
from spark_jobs.report.facts import Facts
from spark_jobs.report.tables import records

TABLES = ("gold.unattributed_daily",)


def view(facts: Facts) -> dict[str, Any]:
    """unattributed: per model the reasons, the most revenue first."""
    rows = records(
        facts.connection,
        """select model, reason, sum(revenue_amount) as revenue, sum(conversions) as conversions from gold_unattributed_daily
           group by model, reason order by model, abs(sum(revenue_amount)) desc, reason""",
    )
    unattributed = {}
    for model in facts.models:
        own = [r for r in rows if r["model"] == model]
        top = max((abs(float(r["revenue"])) for r in own), default=0) or 1
        unattributed[model] = [{**r, "text": wording.reason_text(r["reason"]), "width": abs(float(r["revenue"])) / top * 100} for r in own]
    return {"unattributed": unattributed}

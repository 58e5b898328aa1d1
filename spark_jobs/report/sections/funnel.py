"""From visit to order."""

from __future__ import annotations

from typing import Any

from spark_jobs.report import wording
from spark_jobs.report.facts import Facts
from spark_jobs.report.tables import records

TABLES = ("gold.funnel_daily",)
STEPS = {
    "sessions": "Sessions",
    "product_views": "Product views",
    "carts": "Added to cart",
    "checkouts": "Checkouts",
    "orders": "Orders",
}


def view(facts: Facts) -> dict[str, Any]:
    """steps: over the sources that measure any step after the visit, named in `sources`; a step nobody counts is left out.

    per_hundred: orders of 100 visits, None without either.
    """
    sums = ", ".join(f"coalesce(sum({step}), 0)::bigint as {step}" for step in STEPS)
    row = records(
        facts.connection,
        f"""select {sums}, string_agg(distinct source, ', ' order by source) as sources
            from gold_funnel_daily where source in (
                select source from gold_funnel_daily group by source having sum(product_views + carts + checkouts + orders) > 0)""",
    )[0]
    steps = [{"name": name, "count": row[step], "of_previous": "", "previous": ""} for step, name in STEPS.items() if row[step]]
    top = max((s["count"] for s in steps), default=0) or 1
    for before, step in zip([None, *steps], steps):
        step["width"] = step["count"] / top * 100
        if before:
            step |= {"of_previous": wording.share(step["count"], before["count"]), "previous": before["name"]}
    per_hundred = 100 * row["orders"] / row["sessions"] if row["sessions"] and row["orders"] else None
    return {"steps": steps, "sources": row["sources"], "per_hundred": per_hundred}

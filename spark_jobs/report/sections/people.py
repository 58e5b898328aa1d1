"""How many people there are, how well they are known, and how many identifiers hang together."""

from __future__ import annotations

from typing import Any

from spark_jobs.report.facts import Facts
from spark_jobs.report.tables import records

TABLES = ("gold.people",)
# a person with as many identifiers or more is in the last band
LAST_BAND = 6


def view(facts: Facts) -> dict[str, Any]:
    """Counts of people; bands: people by their number of identifiers; lifecycle, rfm: people by group, the largest first."""
    counts = records(
        facts.connection,
        """select count(*) as people, count(*) filter (where is_known) as known, coalesce(sum(identifiers), 0)::bigint as identifiers,
                  coalesce(sum(merged_people), 0)::bigint as merges, count(*) filter (where orders > 0) as buyers,
                  count(*) filter (where orders > 1) as repeat_buyers from gold_people""",
    )[0]
    bands = records(
        facts.connection,
        "select least(identifiers, ?) as identifiers, count(*) as people from gold_people group by 1 order by 1",
        [LAST_BAND],
    )
    top = max((b["people"] for b in bands), default=0) or 1
    for band in bands:
        band["name"] = f"{LAST_BAND} or more" if band["identifiers"] == LAST_BAND else str(band["identifiers"])
        band["width"] = band["people"] / top * 100
    groups = {
        column: records(
            facts.connection,
            f"select {column} as name, count(*) as people from gold_people where {column} is not null group by 1 order by 2 desc, 1",
        )
        for column in ("lifecycle", "rfm")
    }
    return {**counts, "bands": bands, **groups}

"""Segments over time."""

from __future__ import annotations

import datetime as dt
from typing import Any

from spark_jobs.report import wording
from spark_jobs.report.charts import sparkline
from spark_jobs.report.facts import Facts
from spark_jobs.report.tables import records

TABLES = ("gold.segments_daily",)


def view(facts: Facts) -> dict[str, Any]:
    """segments: each one's size now, who came and went, and its line over time; the largest first."""
    segments = records(
        facts.connection,
        """select segment, max_by(members, day) as members, sum(entered)::bigint as entered, sum(left_members)::bigint as left_members,
                  min(day) as first_day, max(day) as last_day from gold_segments_daily group by segment order by members desc, segment""",
    )
    lines: dict[str, dict[dt.date, float]] = {}
    for row in records(facts.connection, "select segment, day, members from gold_segments_daily order by day"):
        lines.setdefault(row["segment"], {})[row["day"]] = row["members"]
    for one in segments:
        one["name"] = wording.segment_name(one["segment"])
        one["line"] = sparkline(lines[one["segment"]], wording.whole, one["name"])
    return {"segments": segments}

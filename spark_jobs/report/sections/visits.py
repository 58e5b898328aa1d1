"""Visits over time by channel."""

from __future__ import annotations

import datetime as dt
from typing import Any

from spark_jobs.report import wording
from spark_jobs.report.charts import stacked_columns
from spark_jobs.report.facts import Facts, visits_by_channel
from spark_jobs.report.palette import REST_COLOUR
from spark_jobs.report.tables import records
from spark_jobs.report.wording import OTHER

TABLES = ("gold.sessions_daily",)


def view(facts: Facts) -> dict[str, Any]:
    """Totals, and a chart over time of the channels that have a colour of their own on this page, and the rest."""
    total = records(
        facts.connection,
        """select coalesce(sum(sessions), 0)::bigint as sessions, coalesce(sum(engaged_sessions), 0)::bigint as engaged,
                  coalesce(sum(page_views), 0)::bigint as page_views, coalesce(sum(bot_sessions), 0)::bigint as bots,
                  min(day) as first_day, max(day) as last_day from gold_sessions_daily""",
    )[0]
    ranked = visits_by_channel(facts.connection)
    shown = [r["channel"] for r in ranked if facts.colours.get(r["channel"], REST_COLOUR) != REST_COLOUR]
    series: dict[str, dict[dt.date, float]] = {channel: {} for channel in shown}
    for row in records(
        facts.connection,
        "select day, channel, sum(sessions)::bigint as sessions from gold_sessions_daily group by day, channel order by day",
    ):
        own = series.setdefault(row["channel"] if row["channel"] in shown else OTHER, {})
        own[row["day"]] = own.get(row["day"], 0) + row["sessions"]
    series = {name: values for name, values in series.items() if sum(values.values())}
    return {
        **total,
        "ranked": ranked,
        "chart": stacked_columns(series, facts.colours, wording.whole, "Sessions over time by channel"),
        "legend": [(name, facts.colours[name], wording.whole(sum(values.values()))) for name, values in series.items()],
    }

"""What several sections of the page stand on: the lake's tables, the models, each model's results and the channels' colours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from conf.names import UNATTRIBUTED
from conf.settings import Platform
from spark_jobs.report import wording
from spark_jobs.report.palette import colours_of
from spark_jobs.report.tables import connect, records

TABLES = ("gold.channel_daily", "gold.orders_daily", "gold.sessions_daily")


@dataclass(frozen=True)
class Facts:
    """Every section's view is given these, and every template knows them by their names.

    connection: the tables as gold_people, ops_runs and so on; now: in the reporting time zone; model: the one shown first, "" before there
    is any; by_model: model -> {bars, total, credited, best, paid, earned}; colours: channel -> #rrggbb;
    first_day, last_day: of any order, session or result.
    """

    lake: Path | str
    connection: duckdb.DuckDBPyConnection
    currency: str
    time_zone: str
    now: dt.datetime
    first_day: dt.date | None
    last_day: dt.date | None
    models: list[str]
    model: str
    by_model: dict[str, dict[str, Any]]
    colours: dict[str, str]


def facts_of(lake: Path | str, platform: Platform, now: dt.datetime, tables: Iterable[str] = ()) -> Facts:
    """The facts of a lake. now: aware instant, for freshness only; tables: what the sections query, besides these facts' own."""
    connection = connect(lake, list(dict.fromkeys([*TABLES, *tables])))
    results = channel_results(connection)
    models = models_of(results)
    model = wording.PREFERRED_MODEL if wording.PREFERRED_MODEL in models else models[0] if models else ""
    by_model = {m: model_view([r for r in results if r["model"] == m]) for m in models}
    credited = [r["channel"] for r in by_model[model]["earned"]] if models else []
    first_day, last_day = period_of(connection)
    return Facts(
        lake=lake,
        connection=connection,
        currency=platform.reporting_currency,
        time_zone=platform.reporting_time_zone,
        now=now.astimezone(ZoneInfo(platform.reporting_time_zone)),
        first_day=first_day,
        last_day=last_day,
        models=models,
        model=model,
        by_model=by_model,
        colours=colours_of(credited, [r["channel"] for r in visits_by_channel(connection)]),
    )


def channel_results(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Sums per (model, channel); spend is None where no day has any."""
    return records(
        connection,
        """select model, channel, sum(revenue_amount) as revenue, sum(conversions) as conversions, nullif(sum(spend_amount), 0) as spend,
                  sum(impressions)::bigint as impressions, sum(clicks)::bigint as clicks
           from gold_channel_daily group by model, channel order by model, revenue desc, channel""",
    )


def models_of(results: list[dict[str, Any]]) -> list[str]:
    """The models there are, in the order people learn them."""
    found = {r["model"] for r in results}
    return [m for m in wording.MODELS if m in found] + sorted(found - set(wording.MODELS))


def with_ratios(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with roas and cpa; both None without spend, cpa also without conversions."""
    spend = float(row["spend"]) if row["spend"] else None
    revenue, conversions = float(row["revenue"] or 0), float(row["conversions"] or 0)
    return {**row, "roas": revenue / spend if spend else None, "cpa": spend / conversions if spend and conversions > 0 else None}


def model_view(results: list[dict[str, Any]]) -> dict[str, Any]:
    """One model's channels: those that earned, by revenue, those of them that cost, and the bars of all; what is not attributed comes last."""
    rows = [with_ratios(r) for r in results]
    total = sum(float(r["revenue"]) for r in rows)
    top = max((abs(float(r["revenue"])) for r in rows), default=0) or 1
    earned = sorted((r for r in rows if r["channel"] != UNATTRIBUTED), key=lambda r: (-r["revenue"], r["channel"]))
    rest = [r for r in rows if r["channel"] == UNATTRIBUTED]
    return {
        "bars": [
            {**r, "width": max(float(r["revenue"]), 0) / top * 100, "share": wording.share(r["revenue"], total)} for r in earned + rest
        ],
        "total": total,
        "credited": sum(float(r["revenue"]) for r in earned),
        "best": earned[0] if earned else None,
        "paid": [r for r in earned if r["spend"]],
        "earned": earned,
    }


def visits_by_channel(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """{channel, sessions} of the channels that brought any, the most first."""
    return records(
        connection,
        """select channel, sum(sessions)::bigint as sessions from gold_sessions_daily
           group by channel having sum(sessions) <> 0 order by 2 desc, 1""",
    )


def period_of(connection: duckdb.DuckDBPyConnection) -> tuple[dt.date | None, dt.date | None]:
    """First and last day that any order, session or result is of."""
    days = " union all ".join(f"select day from {name.replace('.', '_')}" for name in TABLES)
    row = records(connection, f"select min(day) as first_day, max(day) as last_day from ({days})")[0]
    return row["first_day"], row["last_day"]

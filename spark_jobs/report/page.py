"""The report: ONE HTML page about what marketing earned and how far its numbers can be trusted.

Reads gold.* and ops.* without Spark and asks no other host for anything: it opens from disk, from a mail and in print.
Ratios (ROAS, CPA, shares) are made here from the tables' sums. What is not known is said in words, never shown as 0.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from conf.settings import Platform
from spark_jobs.errors import ThroughlineError, of_trouble
from spark_jobs.report import wording
from spark_jobs.report.charts import sparkline, stacked_columns
from spark_jobs.report.health import TableHealth, open_quarantine, table_health
from spark_jobs.report.tables import connect, records

TABLES = [
    "gold.channel_daily", "gold.campaign_daily", "gold.unattributed_daily", "gold.sessions_daily", "gold.funnel_daily",
    "gold.orders_daily", "gold.people", "gold.segments_daily", "ops.runs", "ops.quality_results",
]  # fmt: skip
UNATTRIBUTED = "Unattributed"
# seven hues that stay apart for colour-blind readers and in grey print; what is left over and what is unknown are greys
HUES = ("#2b5c8a", "#e0913a", "#3f9b86", "#b8506a", "#7f74b5", "#b9a52f", "#5fa8d3")
REST_COLOUR, UNKNOWN_COLOUR = "#9aa5b1", "#c9ced6"
MAX_CAMPAIGNS, MAX_PROBLEMS = 12, 40
FUNNEL = (
    ("sessions", "Sessions"),
    ("product_views", "Product views"),
    ("carts", "Added to cart"),
    ("checkouts", "Checkouts"),
    ("orders", "Orders"),
)
LAYER_WORDS = {
    "bronze": "Records as received", "silver": "Events, orders and spend", "identity": "People", "journeys": "Visits and contacts",
    "attribution": "Attribution", "segments": "Segments", "gold": "Reporting tables",
}  # fmt: skip


def models_of(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The models there are, in the order people learn them."""
    found = {r["model"] for r in records(connection, "select distinct model from gold_channel_daily")}
    return [m for m in wording.MODELS if m in found] + sorted(found - set(wording.MODELS))


def channel_results(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Sums per (model, channel); spend is None where no day has any."""
    return records(
        connection,
        """select model, channel, sum(revenue_amount) as revenue, sum(conversions) as conversions, nullif(sum(spend_amount), 0) as spend,
                  sum(impressions)::bigint as impressions, sum(clicks)::bigint as clicks
           from gold_channel_daily group by model, channel order by model, revenue desc, channel""",
    )


def with_ratios(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with roas and cpa; both None without spend, cpa also without conversions."""
    spend = float(row["spend"]) if row["spend"] else None
    revenue, conversions = float(row["revenue"] or 0), float(row["conversions"] or 0)
    return {**row, "roas": revenue / spend if spend else None, "cpa": spend / conversions if spend and conversions > 0 else None}


def colours_of(channels: list[str]) -> dict[str, str]:
    """One colour per channel for the whole page, by rank."""
    named = [c for c in channels if c != UNATTRIBUTED]
    colours = {c: HUES[i] if i < len(HUES) else REST_COLOUR for i, c in enumerate(named)}
    return {**colours, UNATTRIBUTED: UNKNOWN_COLOUR, "Other": REST_COLOUR}


def attribution_view(results: list[dict[str, Any]], models: list[str], colours: Mapping[str, str]) -> dict[str, Any]:
    """Per model its bars and spend table, and the heat table of channel × model."""
    by_model: dict[str, Any] = {}
    for model in models:
        rows = [with_ratios(r) for r in results if r["model"] == model]
        total = sum(float(r["revenue"]) for r in rows)
        top = max((abs(float(r["revenue"])) for r in rows), default=0) or 1
        earned = sorted((r for r in rows if r["channel"] != UNATTRIBUTED), key=lambda r: (-r["revenue"], r["channel"]))
        rest = [r for r in rows if r["channel"] == UNATTRIBUTED]
        bars = [{**r, "width": max(float(r["revenue"]), 0) / top * 100, "share": wording.share(r["revenue"], total)} for r in earned + rest]
        credited = sum(float(r["revenue"]) for r in earned)
        paid = [r for r in earned if r["spend"]]
        by_model[model] = {
            "bars": bars,
            "total": total,
            "credited": credited,
            "best": earned[0] if earned else None,
            "paid": paid,
            "earned": earned,
        }
    channels = [b["channel"] for b in by_model[models[0]]["bars"]] if models else []
    for model in models:
        channels += [b["channel"] for b in by_model[model]["bars"] if b["channel"] not in channels]
    channels.sort(key=lambda c: c == UNATTRIBUTED)
    cells = {(r["model"], r["channel"]): float(r["revenue"]) for r in results}
    named = [v for (_, c), v in cells.items() if c != UNATTRIBUTED]
    top = max(named, default=0) or 1
    heat = []
    for channel in channels:
        values = [cells.get((m, channel)) for m in models]
        known = [v for v in values if v is not None]
        heat.append({
            "channel": channel,
            "colour": colours.get(channel, REST_COLOUR),
            "cells": [{"value": v, "alpha": round(max(v or 0, 0) / top * 0.55, 3) * (channel != UNATTRIBUTED)} for v in values],
            "spread": (max(known) - min(known)) if len(known) > 1 else None,
        })  # fmt: skip
    return {"by_model": by_model, "heat": heat}


def campaign_results(connection: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """The campaigns that earned or cost most, per model."""
    rows = records(
        connection,
        """select model, channel, campaign_id, any_value(campaign_name) as campaign_name, sum(revenue_amount) as revenue,
                  sum(conversions) as conversions, nullif(sum(spend_amount), 0) as spend
           from gold_campaign_daily where campaign_id <> '' group by model, channel, campaign_id
           qualify row_number() over (partition by model order by sum(revenue_amount) desc, coalesce(sum(spend_amount), 0) desc,
                                                         campaign_id) <= ?
           order by model, revenue desc, campaign_id""",
        [MAX_CAMPAIGNS],
    )
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["model"], []).append(with_ratios(row))
    return grouped


def unattributed_view(connection: duckdb.DuckDBPyConnection, models: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The reasons per model, the most revenue first."""
    rows = records(
        connection,
        """select model, reason, sum(revenue_amount) as revenue, sum(conversions) as conversions from gold_unattributed_daily
           group by model, reason order by model, abs(sum(revenue_amount)) desc, reason""",
    )
    view: dict[str, list[dict[str, Any]]] = {}
    for model in models:
        own = [r for r in rows if r["model"] == model]
        top = max((abs(float(r["revenue"])) for r in own), default=0) or 1
        view[model] = [{**r, "text": wording.reason_text(r["reason"]), "width": abs(float(r["revenue"])) / top * 100} for r in own]
    return view


def funnel_view(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The steps over the sources that measure any step after the visit; a step nobody counts is left out."""
    sums = ", ".join(f"coalesce(sum({step}), 0)::bigint as {step}" for step, _ in FUNNEL)
    row = records(
        connection,
        f"""select {sums}, min(day) as first_day, max(day) as last_day, string_agg(distinct source, ', ' order by source) as sources
            from gold_funnel_daily where source in (
                select source from gold_funnel_daily group by source having sum(product_views + carts + checkouts + orders) > 0)""",
    )[0]
    steps = [{"name": name, "count": row[step]} for step, name in FUNNEL if row[step]]
    top = max((s["count"] for s in steps), default=0) or 1
    for i, step in enumerate(steps):
        step["width"] = step["count"] / top * 100
        step["of_previous"] = wording.share(step["count"], steps[i - 1]["count"]) if i else ""
        step["previous"] = steps[i - 1]["name"] if i else ""
    per_hundred = 100 * row["orders"] / row["sessions"] if row["sessions"] and row["orders"] else None
    return {**row, "steps": steps, "per_hundred": per_hundred}


def sessions_view(connection: duckdb.DuckDBPyConnection, colours: dict[str, str]) -> dict[str, Any]:
    """Totals, and a chart over time of the channels that have a colour of their own on this page, and the rest. Hues that no channel has are
    given to the largest without."""
    total = records(
        connection,
        """select coalesce(sum(sessions), 0)::bigint as sessions, coalesce(sum(engaged_sessions), 0)::bigint as engaged,
                  coalesce(sum(page_views), 0)::bigint as page_views, coalesce(sum(bot_sessions), 0)::bigint as bots,
                  min(day) as first_day, max(day) as last_day from gold_sessions_daily""",
    )[0]
    ranked = records(
        connection, "select channel, sum(sessions)::bigint as sessions from gold_sessions_daily group by channel order by 2 desc, 1"
    )
    ranked = [r for r in ranked if r["sessions"]]
    free = [hue for hue in HUES if hue not in colours.values()]
    plain = [r["channel"] for r in ranked if colours.get(r["channel"], REST_COLOUR) == REST_COLOUR]
    colours |= dict(zip(plain, free))
    shown = [r["channel"] for r in ranked if colours.get(r["channel"], REST_COLOUR) != REST_COLOUR]
    series: dict[str, dict[dt.date, float]] = {c: {} for c in shown}
    for row in records(
        connection, "select day, channel, sum(sessions)::bigint as sessions from gold_sessions_daily group by day, channel order by day"
    ):
        own = series.setdefault(row["channel"] if row["channel"] in shown else "Other", {})
        own[row["day"]] = own.get(row["day"], 0) + row["sessions"]
    series = {name: values for name, values in series.items() if sum(values.values())}
    chart = stacked_columns(series, colours, wording.whole, "Sessions over time by channel")
    return {**total, "ranked": ranked, "chart": chart, "legend": [(name, colours[name], sum(v.values())) for name, v in series.items()]}


def people_view(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """How many people there are, how well they are known, and how many identifiers hang together."""
    facts = records(
        connection,
        """select count(*) as people, count(*) filter (where is_known) as known, coalesce(sum(identifiers), 0)::bigint as identifiers,
                  coalesce(sum(merged_people), 0)::bigint as merges, count(*) filter (where orders > 0) as buyers,
                  count(*) filter (where orders > 1) as repeat_buyers from gold_people""",
    )[0]
    bands = records(
        connection,
        """select least(identifiers, 6) as identifiers, count(*) as people from gold_people group by 1 order by 1""",
    )
    top = max((b["people"] for b in bands), default=0) or 1
    shown = [
        {"name": "6 or more" if b["identifiers"] == 6 else str(b["identifiers"]), "people": b["people"], "width": b["people"] / top * 100}
        for b in bands
    ]
    groups = {
        column: records(
            connection,
            f"select {column} as name, count(*) as people from gold_people where {column} is not null group by 1 order by 2 desc, 1",
        )
        for column in ("lifecycle", "rfm")
    }
    return {**facts, "bands": shown, **groups}


def segments_view(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Each segment's size now, who came and went, and its line over time; the largest first."""
    facts = records(
        connection,
        """select segment, max_by(members, day) as members, sum(entered)::bigint as entered, sum(left_members)::bigint as left_members,
                  min(day) as first_day, max(day) as last_day from gold_segments_daily group by segment order by members desc, segment""",
    )
    lines: dict[str, dict[dt.date, float]] = {}
    for row in records(connection, "select segment, day, members from gold_segments_daily order by day"):
        lines.setdefault(row["segment"], {})[row["day"]] = row["members"]
    for fact in facts:
        fact["name"] = wording.segment_name(fact["segment"])
        fact["line"] = sparkline(lines[fact["segment"]], wording.whole, fact["name"])
    return facts


def orders_view(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Each source's orders and revenue in its own currency and in the reporting currency."""
    rows = records(
        connection,
        """select source, currency, bool_or(is_sample) as is_sample,
                  sum(orders)::bigint as orders, sum(cancelled_orders)::bigint as cancelled,
                  sum(gross_amount) as gross, sum(net_amount) as net, sum(refunded_amount) as refunded, sum(reporting_amount) as reporting,
                  any_value(reporting_currency) as reporting_currency, sum(orders_without_rate)::bigint as without_rate,
                  min(day) as first_day, max(day) as last_day
           from gold_orders_daily group by source, currency order by reporting desc nulls last, source""",
    )
    for row in rows:
        days = records(
            connection,
            "select day, sum(net_amount) as net from gold_orders_daily where source = ? and currency = ? group by day order by day",
            [row["source"], row["currency"]],
        )
        monthly: dict[dt.date, float] = {}
        span = (row["last_day"] - row["first_day"]).days
        for d in days:
            start = d["day"] if span <= 62 else d["day"] - dt.timedelta(days=d["day"].weekday())
            monthly[start] = monthly.get(start, 0.0) + float(d["net"] or 0)
        row["line"] = sparkline(
            monthly,
            lambda v, c=row["currency"]: wording.money(v, c),
            f"{row['source']}: net revenue per {'day' if span <= 62 else 'week'}",
            "#3f9b86",
        )
    return rows


def revenue_view(connection: duckdb.DuckDBPyConnection, currency: str) -> dict[str, Any]:
    """Net revenue in the reporting currency: all of it (None before there is any), and over time by the largest sources and the rest."""
    rows = records(
        connection,
        """select day, source, sum(reporting_amount) as net from gold_orders_daily
           where reporting_amount is not null group by day, source order by day, source""",
    )
    of_source: dict[str, dict[dt.date, float]] = {}
    for row in rows:
        of_source.setdefault(row["source"], {})[row["day"]] = float(row["net"])
    ranked = sorted(of_source, key=lambda s: (-sum(of_source[s].values()), s))
    series: dict[str, dict[dt.date, float]] = {}
    for place, source in enumerate(ranked):
        own = series.setdefault(source if place < len(HUES) else "Other", {})
        for day, net in of_source[source].items():
            own[day] = own.get(day, 0.0) + net
    colours = dict(zip(series, [*HUES, REST_COLOUR]))
    chart = stacked_columns(series, colours, lambda v: wording.short_money(v, currency), "Net revenue over time by source")
    legend = [(name, colours[name], wording.short_money(sum(values.values()), currency)) for name, values in series.items()]
    return {"total": sum(r["net"] for r in rows) if rows else None, "chart": chart, "legend": legend if len(series) > 1 else []}


def problems_view(connection: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """Checks that failed in each table's newest checked run, and the runs that failed last."""
    checks = records(
        connection,
        """with checked as (
             select q.*, coalesce(r.source, '') as source, coalesce(r.finished_at, r.started_at) as ended_at
             from ops_quality_results q left join ops_runs r on r.run_id = q.run_id and r.table_name = q.table_name
           ), newest as (
             select *, rank() over (partition by table_name, source order by ended_at desc nulls last, run_id desc) as place from checked
           )
           select table_name, source, check_id, severity, observed, sample, rows_checked, rows_failed
           from newest where place = 1 and not passed
           order by case severity when 'block' then 0 when 'quarantine' then 1 else 2 end,
                     rows_failed desc, table_name, check_id limit ?""",
        [MAX_PROBLEMS],
    )
    runs = records(
        connection,
        """select table_name, coalesce(source, '') as source, from_date, to_date, error, coalesce(finished_at, started_at) as ended_at
           from ops_runs where status = 'failed' qualify row_number() over (partition by table_name, source order by ended_at desc) = 1
           order by ended_at desc limit 10""",
    )
    return {"checks": checks, "failed_runs": runs}


def period_of(connection: duckdb.DuckDBPyConnection) -> tuple[dt.date | None, dt.date | None]:
    """First and last day that any order, session or result is of."""
    parts = [f"select day from {t}" for t in ("gold_orders_daily", "gold_sessions_daily", "gold_channel_daily")]
    row = records(connection, f"select min(day) as first_day, max(day) as last_day from ({' union all '.join(parts)})")[0]
    return row["first_day"], row["last_day"]


def layers_of(health: list[TableHealth]) -> list[tuple[str, list[TableHealth]]]:
    """The tables grouped by layer, in the data's order."""
    grouped: dict[str, list[TableHealth]] = {}
    for table in health:
        grouped.setdefault(table.table.split(".")[0], []).append(table)
    return [(f"{layer}: {LAYER_WORDS.get(layer, '')}".rstrip(": "), tables) for layer, tables in grouped.items()]


def gather(lake: Path | str, platform: Platform, now: dt.datetime) -> dict[str, Any]:
    """Everything that the page shows, computed from the lake's tables. now: aware instant, for freshness only."""
    connection = connect(lake, TABLES)
    models = models_of(connection)
    model = wording.PREFERRED_MODEL if wording.PREFERRED_MODEL in models else models[0] if models else ""
    results = channel_results(connection)
    ranked = [r["channel"] for r in sorted((r for r in results if r["model"] == model), key=lambda r: (-r["revenue"], r["channel"]))]
    colours = colours_of(ranked)
    waiting = open_quarantine(lake)
    health = table_health(lake, now, waiting)
    built = [t for t in health if t.status in ("ok", "late", "failed", "lost")]
    sessions = sessions_view(connection, colours)
    first_day, last_day = period_of(connection)
    return {
        "currency": platform.reporting_currency,
        "time_zone": platform.reporting_time_zone,
        "now": now.astimezone(ZoneInfo(platform.reporting_time_zone)),
        "first_day": first_day,
        "last_day": last_day,
        "models": models,
        "model": model,
        "colours": colours,
        **attribution_view(results, models, colours),
        "campaigns": campaign_results(connection),
        "unattributed": unattributed_view(connection, models),
        "funnel": funnel_view(connection),
        "sessions": sessions,
        "people": people_view(connection),
        "segments": segments_view(connection),
        "orders": orders_view(connection),
        "revenue": revenue_view(connection, platform.reporting_currency),
        "health": layers_of(health),
        "health_counts": {s: sum(t.status == s for t in health) for s in ("ok", "late", "failed", "lost", "absent")},
        "tables_lost": [t for t in health if t.status == "lost"],
        "tables_built": len(built),
        "checks_passed": sum(t.checks_passed for t in built),
        "checks_failed": sum(t.checks_failed for t in built),
        "ledger_open": [t.table for t in built if t.is_closed is False],
        "quarantine": waiting,
        **problems_view(connection),
    }


def script_hash(script: str) -> str:
    """The source by which a Content-Security-Policy lets exactly this script run (W3C CSP 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def build_report(lake: Path | str, out: Path, platform: Platform, now: dt.datetime | None = None) -> Path:
    """Write the page to `out` and return it.

    lake: root of the tables; what is not there yet is said on the page. now: the instant freshness is measured from.
    """
    facts = gather(lake, platform, now or dt.datetime.now(dt.UTC))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["say"] = wording
    environment.filters["sha256"] = script_hash
    environment.globals["UNATTRIBUTED"] = UNATTRIBUTED
    html = environment.get_template("page.html.j2").render(**facts)
    return written(Path(out), html)


def written(out: Path, html: str) -> Path:
    """The page in its file, whole or not at all, whoever else writes it at the same time. Raises ThroughlineError where no file can be."""
    if out.exists() and not out.is_file():
        raise ThroughlineError(f"{out}: is no file, so the page was not written; give another path")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=out.parent, prefix=f".{out.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(html)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
        temporary.replace(out)
    except OSError as error:
        if told := of_trouble(error, str(out)):
            raise told from error
        raise
    return out

"""Orders and revenue per source."""

from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb

from spark_jobs.report import wording
from spark_jobs.report.charts import sparkline, stacked_columns
from spark_jobs.report.facts import Facts
from spark_jobs.report.palette import GREEN, HUES, REST_COLOUR
from spark_jobs.report.tables import records
from spark_jobs.report.wording import OTHER

TABLES = ("gold.orders_daily",)
# a source's line is of days up to such a span, of weeks beyond it
MOST_DAYS = 62


def view(facts: Facts) -> dict[str, Any]:
    """orders: per source and currency; their number and how many have no exchange rate; revenue: in the reporting currency, over time."""
    orders = per_source(facts.connection)
    return {
        "orders": orders,
        "total_orders": sum(row["orders"] for row in orders),
        "without_rate": sum(row["without_rate"] for row in orders),
        "revenue": revenue(facts.connection, facts.currency),
    }


def per_source(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
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
        is_daily = (row["last_day"] - row["first_day"]).days <= MOST_DAYS
        values: dict[dt.date, float] = {}
        for d in days:
            start = d["day"] if is_daily else d["day"] - dt.timedelta(days=d["day"].weekday())
            values[start] = values.get(start, 0.0) + float(d["net"] or 0)
        row["line"] = sparkline(
            values,
            lambda v, c=row["currency"]: wording.money(v, c),
            f"{row['source']}: net revenue per {'day' if is_daily else 'week'}",
            GREEN,
        )
    return rows


def revenue(connection: duckdb.DuckDBPyConnection, currency: str) -> dict[str, Any]:
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
        own = series.setdefault(source if place < len(HUES) else OTHER, {})
        for day, net in of_source[source].items():
            own[day] = own.get(day, 0.0) + net
    colours = dict(zip(series, [*HUES, REST_COLOUR]))
    chart = stacked_columns(series, colours, lambda v: wording.short_money(v, currency), "Net revenue over time by source")
    legend = [(name, colours[name], wording.short_money(sum(values.values()), currency)) for name, values in series.items()]
    return {"total": sum(r["net"] for r in rows) if rows else None, "chart": chart, "legend": legend if len(series) > 1 else []}

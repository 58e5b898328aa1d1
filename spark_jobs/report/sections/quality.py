"""How far the page's numbers can be trusted: every table's state, what waits in quarantine, which checks and runs failed."""

from __future__ import annotations

from typing import Any

import duckdb

from spark_jobs.report.facts import Facts
from spark_jobs.report.health import TableHealth, open_quarantine, table_health
from spark_jobs.report.tables import records

TABLES = ("ops.runs", "ops.quality_results")
MOST_CHECKS = 40
LAYER_WORDS = {
    "bronze": "Records as received", "silver": "Events, orders and spend", "identity": "People", "journeys": "Visits and contacts",
    "attribution": "Credit for revenue", "segments": "Who belongs to which", "gold": "Reporting tables",
}  # fmt: skip


def view(facts: Facts) -> dict[str, Any]:
    """health: (layer, its tables) in the data's order; health_counts: tables per status; and what of them is not well."""
    quarantine = open_quarantine(facts.lake)
    health = table_health(facts.lake, facts.now, quarantine)
    built = [t for t in health if t.status in ("ok", "late", "failed", "lost")]
    return {
        "health": by_layer(health),
        "health_counts": {s: sum(t.status == s for t in health) for s in ("ok", "late", "failed", "lost", "absent")},
        "tables_lost": [t for t in health if t.status == "lost"],
        "tables_built": len(built),
        "checks_passed": sum(t.checks_passed for t in built),
        "checks_failed": sum(t.checks_failed for t in built),
        "ledger_open": [t.table for t in built if t.is_closed is False],
        "quarantine": quarantine,
        "checks": failed_checks(facts.connection),
        "failed_runs": failed_runs(facts.connection),
    }


def by_layer(health: list[TableHealth]) -> list[tuple[str, list[TableHealth]]]:
    """The tables grouped by layer, in the data's order."""
    grouped: dict[str, list[TableHealth]] = {}
    for table in health:
        grouped.setdefault(table.table.split(".")[0], []).append(table)
    return [(f"{layer}: {LAYER_WORDS.get(layer, '')}".rstrip(": "), tables) for layer, tables in grouped.items()]


def failed_checks(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Checks that failed in each table's newest checked run, the gravest first."""
    return records(
        connection,
        """with checked as (
             select q.*, coalesce(r.source, '') as source, r.number, coalesce(r.finished_at, r.started_at) as ended_at
             from ops_quality_results q left join ops_runs r on r.run_id = q.run_id and r.table_name = q.table_name
           ), newest as (
             select *, rank() over (partition by table_name, source order by number desc nulls last, ended_at desc nulls last, run_id desc) as place from checked
           )
           select table_name, source, check_id, severity, observed, sample, rows_checked, rows_failed
           from newest where place = 1 and not passed
           order by case severity when 'block' then 0 when 'quarantine' then 1 else 2 end,
                     rows_failed desc, table_name, check_id limit ?""",
        [MOST_CHECKS],
    )


def failed_runs(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The runs that failed last, one per table and source."""
    return records(
        connection,
        """select table_name, coalesce(source, '') as source, from_date, to_date, error, coalesce(finished_at, started_at) as ended_at
           from ops_runs where status = 'failed' qualify row_number() over (partition by table_name, source order by number desc nulls last, ended_at desc) = 1
           order by ended_at desc limit 10""",
    )

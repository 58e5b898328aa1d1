"""`explain table <name>`: everything a newcomer asks about one table, read without Spark."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from conf.names import contract_of, place_of
from conf.settings import REPOSITORY, sources_of
from conf.tables import table
from spark_jobs.io.small import read_arrow
from spark_jobs.job import jobs
from spark_jobs.printing import cell, console, listing


def rows_of(lake: Path | str, name: str, about: str) -> pl.DataFrame:
    """The ops rows about one table."""
    return pl.DataFrame(read_arrow(lake, name)).filter(pl.col("table_name") == about)


def explain_table(name: str, lake: Path | str) -> None:
    """Print contract, neighbours, last runs and ledger of a table."""
    contract, out = table(name), console()
    out.print(cell(name, "bold"), contract.grain, sep=": ")
    if contract.description:
        out.print(contract.description)
    out.print(
        f"key {', '.join(contract.keys) or '-'} · write {contract.write.mode} · contract {contract_of(name)} · data {lake}/{place_of(name)}"
    )
    columns = listing("column", "type", "null", "meaning")
    for c in contract.columns:
        columns.add_row(
            c.name,
            c.type,
            "yes" if c.nullable else "no",
            " ".join(filter(None, (c.meaning, c.unit and f"[{c.unit}]", c.pii and f"PII: {c.pii}"))),
        )
    out.print(columns)
    for check in contract.checks:
        out.print(f"check {check.id} ({check.severity}): {check.expect or check.unique or check.rows}")
    job = jobs().get(name)
    if job is not None:
        upstream = list(job.upstream()) + [f"bronze of {s}" for s in sources_of(name)] * job.is_mapped()
        out.print(f"job {Path('spark_jobs', *name.split('.')).with_suffix('.py')} · code under {REPOSITORY.name}/")
        out.print(f"upstream   {', '.join(upstream) or '-'}")
    out.print(f"downstream {', '.join(sorted(n for n, j in jobs().items() if name in j.upstream())) or '-'}")
    runs = rows_of(lake, "ops.runs", name)
    if runs.is_empty():
        out.print("It was never run on this lake.")
        return
    last = listing(
        "finished", "source", "range", "status", "rows out", "version", "error", numbers=("rows out", "version"), title="last runs"
    )
    for r in runs.sort("finished_at", descending=True).head(8).iter_rows(named=True):
        last.add_row(
            f"{r['finished_at']:%Y-%m-%d %H:%M:%S}",
            cell(r["source"]),
            f"{r['from_date']}…{r['to_date']}",
            r["status"],
            f"{r['rows_out'] or 0:,}",
            str(r["output_version"]),
            cell((r["error"] or "")[:200]),
        )
    out.print(last)
    ledger = rows_of(lake, "ops.ledger", name)
    if not ledger.is_empty():
        fates = ("rows_in", "rows_used", "unchanged", "duplicates", "late", "quarantined", "rows_out")
        rows = listing("finished", "source", "input", *fates, "closed", numbers=fates, title="ledger")
        for r in ledger.sort("finished_at", descending=True).head(8).iter_rows(named=True):
            rows.add_row(
                f"{r['finished_at']:%Y-%m-%d %H:%M:%S}",
                cell(r["source"]),
                r["input_name"],
                *(f"{r[f] or 0:,}" for f in fates),
                "yes" if r["is_closed"] else "NO",
            )
        out.print(rows)

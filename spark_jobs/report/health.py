"""How each table of the lake is: when it last succeeded, against which deadline, what became of its rows, what waits in quarantine.

Read from ops.* and the Delta logs without Spark; `status` prints it and the report page shows it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from conf.names import LAYERS, quarantine_of
from conf.settings import source_names
from conf.tables import table, table_names
from spark_jobs.errors import DamagedTableError
from spark_jobs.io.commits import Seen, is_there, missing_files, versions
from spark_jobs.io.small import names_aside, open_table, query
from spark_jobs.report.tables import connect, records

# of each table and source the newest run that did the work; its row counts, summed over the sources
HEALTH = """
with ended as (
    select *, coalesce(source, '') as of_source, coalesce(finished_at, started_at) as ended_at,
           row(coalesce(number, 0), coalesce(finished_at, started_at)) as place
    from ops_runs
), newest as (
    select table_name, of_source, max_by(status, place) as status, max_by(error, place) as error, max_by(ended_at, place) as last_run_at,
           max_by(ended_at, place) filter (where status in ('success', 'skipped')) as last_success_at,
           max_by(run_id, place) filter (where status = 'success') as built_by
    from ended group by table_name, of_source
), fates as (
    select run_id, sum(rows_in) as rows_in, sum(rows_used) as rows_used, sum(unchanged) as unchanged, sum(duplicates) as duplicates,
           sum(late) as late, sum(quarantined) as quarantined, max(rows_out) as rows_out, bool_and(is_closed) as is_closed
    from ops_ledger group by run_id
), judged as (
    select run_id, table_name, count(*) filter (where passed) as checks_passed, count(*) filter (where not passed) as checks_failed
    from ops_quality_results group by run_id, table_name
), last_checked as (
    select table_name, of_source, max_by(run_id, place) as run_id from ended
    where run_id in (select run_id from judged) group by table_name, of_source
)
select n.table_name,
       bool_or(n.status = 'failed') as is_failed, max_by(n.status, n.last_run_at) as last_status, max(n.last_run_at) as last_run_at,
       min(n.last_success_at) as last_success_at, any_value(n.error) filter (where n.status = 'failed') as error,
       sum(f.rows_in)::bigint as rows_in, sum(f.rows_used)::bigint as rows_used, sum(f.unchanged)::bigint as unchanged,
       sum(f.duplicates)::bigint as duplicates, sum(f.late)::bigint as late, sum(f.quarantined)::bigint as quarantined,
       sum(f.rows_out)::bigint as rows_out, bool_and(f.is_closed) as is_closed,
       coalesce(sum(j.checks_passed), 0)::bigint as checks_passed, coalesce(sum(j.checks_failed), 0)::bigint as checks_failed
from newest n
left join fates f on f.run_id = n.built_by
left join last_checked c on c.table_name = n.table_name and c.of_source = n.of_source
left join judged j on j.run_id = c.run_id and j.table_name = n.table_name
group by n.table_name
"""

# machines' clocks differ by minutes; a success further ahead was made under another clock
MOST_SKEW_HOURS = 0.25

# what the newest run of each table and source saw of its table and of that one's inputs
SEEN = """
select table_name, coalesce(source, '') as source, max_by(commits, row(coalesce(number, 0), coalesce(finished_at, started_at))) as commits
from ops_runs where commits is not null group by 1, 2
"""

# of one table's quarantine
WAITING = """
select coalesce(_reason, 'unknown') as reason, coalesce(source, '') as source, count(*) as rows, min(_quarantined_at) as since
from rows where _status = 'open' group by 1, 2
"""


@dataclass(frozen=True)
class TableHealth:
    """One table's state; counts are of the newest run that built it (of each of its sources), None where it never ran.

    status: ok, late (last success older than the deadline, or later than the clock that is now: nobody knows how old it is), failed (the newest run of a source failed), lost (commits or files of it that
    were there are gone, or cannot be read: error says which),
    unrecorded (there, but no run of ours is on record: another tool wrote it) or absent (never built).
    last_success_at: of a table with several sources the oldest of their newest successes; a run that found nothing to do counts.
    rows: rows in the table now, None where the Delta log does not say.
    """

    table: str
    status: str
    last_status: str | None = None
    last_run_at: dt.datetime | None = None
    last_success_at: dt.datetime | None = None
    deadline_hours: float | None = None
    age_hours: float | None = None
    error: str | None = None
    rows: int | None = None
    rows_in: int | None = None
    rows_used: int | None = None
    unchanged: int | None = None
    duplicates: int | None = None
    late: int | None = None
    quarantined: int | None = None
    rows_out: int | None = None
    is_closed: bool | None = None
    checks_passed: int = 0
    checks_failed: int = 0
    open_quarantine: int = 0


def count_rows(lake: Path | str, name: str) -> int | None:
    """Rows in the table, None where there is no table or the log does not say how many a file has.

    A file's statistics count its deleted rows too: a table with deletion vectors is asked itself.
    """
    found = open_table(lake, name)
    if found is None:
        return None
    if "deletionVectors" in (found.protocol().reader_features or ()):
        return int(query(found, "select count(*) as rows from rows")["rows"][0].as_py())
    counts = found.get_add_actions(flatten=True)
    if "num_records" not in counts.schema.names:
        return 0 if counts.num_rows == 0 else None
    listed = counts["num_records"].to_pylist()
    return None if None in listed else sum(listed)


def open_quarantine(lake: Path | str) -> list[dict]:
    """What waits in quarantine: {table, reason, rows, since, source}, the largest first."""
    found = []
    for name in names_aside(lake):
        # of one that cannot be read its table's state tells
        with contextlib.suppress(DamagedTableError):
            aside = open_table(lake, quarantine_of(name))
            found += [{"table": name, **row} for row in query(aside, WAITING).to_pylist()] if aside else []
    return sorted(found, key=lambda r: (-r["rows"], r["table"], r["reason"], r["source"]))


def table_health(lake: Path | str, now: dt.datetime, waiting: list[dict] | None = None) -> list[TableHealth]:
    """Every declared table and every table that ever ran, by layer as the data flows, then by name.

    now: an aware instant; freshness is measured from it. waiting: open_quarantine(lake), when the caller has it already.
    """
    connection = connect(lake, ["ops.runs", "ops.ledger", "ops.quality_results"])
    ran = {r.pop("table_name"): r for r in records(connection, HEALTH)}
    seen: dict[str, list[Seen]] = {}
    for row in records(connection, SEEN):
        if row["source"] in ("", *source_names()):
            seen.setdefault(row["table_name"], []).extend(
                what for name, what in json.loads(row["commits"]).items() if name == row["table_name"]
            )
    waits: dict[str, int] = {}
    for row in open_quarantine(lake) if waiting is None else waiting:
        waits[row["table"]] = waits.get(row["table"], 0) + row["rows"]
    layers = ("bronze", "vault", *LAYERS)
    declared = [n for n in table_names() if n.split(".")[0] in layers and n.split(".")[0] != "vault"]
    names = sorted({*declared, *ran}, key=lambda n: (layers.index(n.split(".")[0]) if n.split(".")[0] in layers else len(layers), n))
    found = []
    for name in names:
        what = lost(lake, name, seen.get(name, ()))
        try:
            health = _health(lake, name, ran.get(name), waits.get(name, 0), now, name in declared)
        except DamagedTableError as error:
            health, what = TableHealth(name, "lost"), what or str(error)
        found.append(replace(health, status="lost", error=what) if what else health)
    return found


def lost(lake: Path | str, name: str, seen: Iterable[Seen]) -> str | None:
    """What of a table and its quarantine is gone or cannot be read, and what to do; None where all is there. seen: commits that it must have."""
    layer = name.split(".")[0]
    mend = f"python -m spark_jobs load {name.split('.')[1].split('__')[0]}" if layer == "bronze" else f"python -m spark_jobs rebuild {name}"
    try:
        gone = [path for one in (name, quarantine_of(name)) for path in missing_files(lake, one)]
    except DamagedTableError as error:
        return str(error)
    if gone:
        return f"{len(gone)} of its data files are gone, {gone[0]} among them; the next run mends it, or `{mend}` at once"
    if not all(is_there(lake, name, what) for what in seen):
        return (
            f"commits that runs left in it are gone (its log ends at {versions(lake, name)[1]}); the next run mends it, or `{mend}` at once"
        )
    return None


def _health(lake: Path | str, name: str, ran: dict | None, waiting: int, now: dt.datetime, is_declared: bool) -> TableHealth:
    deadline = table(name).freshness.get("deadline_hours") if is_declared else None
    if ran is None:
        rows = count_rows(lake, name)
        return TableHealth(
            name, "absent" if open_table(lake, name) is None else "unrecorded", deadline_hours=deadline, rows=rows, open_quarantine=waiting
        )
    values = dict(ran)
    is_failed, succeeded = values.pop("is_failed"), values["last_success_at"]
    age = (now - succeeded).total_seconds() / 3600 if succeeded else None
    is_late = deadline is not None and age is not None and not -MOST_SKEW_HOURS <= age <= deadline
    status = "failed" if is_failed else "late" if is_late else "ok"
    return TableHealth(name, status, deadline_hours=deadline, age_hours=age, rows=count_rows(lake, name), open_quarantine=waiting, **values)

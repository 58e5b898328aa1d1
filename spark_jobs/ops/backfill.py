"""What a campaign's backfill would do, told without Spark: the days, sources, rows and tables, and the campaigns there are to choose from."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.names import ABOVE_SILVER, LAYERS
from conf.printing import shown
from conf.settings import faults, platform, source, source_names
from conf.tables import table, table_names
from spark_jobs.errors import ThroughlineError
from spark_jobs.io.small import open_table, query

NAME_CHARACTERS = 80
CAMPAIGN_DAYS = """
select campaign_id, max(campaign_name) as campaign_name, min(day) as first_day, max(day) as last_day
from rows where campaign_id <> '' group by campaign_id order by last_day desc, campaign_id
"""


@dataclass(frozen=True)
class Campaign:
    """A campaign that spent or earned: the name people know it by ('' = none), and the first and last of its days in gold."""

    name: str
    first: dt.date
    last: dt.date


def campaigns(lake: Path | str) -> dict[str, Campaign]:
    """Every campaign of gold.campaign_daily by its id, the ones with the newest days first."""
    found = open_table(lake, "gold.campaign_daily")
    rows = query(found, CAMPAIGN_DAYS).to_pylist() if found is not None else []
    return {r["campaign_id"]: Campaign(r["campaign_name"] or "", r["first_day"], r["last_day"]) for r in rows}


def labelled(campaign: str, name: str) -> str:
    """The words to know a campaign by: its name, cut where it is long, and its id."""
    return f"{name[:NAME_CHARACTERS]} ({campaign})" if name and name != campaign else campaign


def listed(value: Any) -> list[str]:
    """A form's answer as a list: nothing, one value or several."""
    return [value] if isinstance(value, str) and value else list(value or [])


def day_of(answers: Mapping[str, Any], key: str) -> dt.date | None:
    """A day of the answers, None where it is empty. Raises ThroughlineError when it is no day."""
    try:
        return dt.date.fromisoformat(answers[key]) if answers.get(key) else None
    except (TypeError, ValueError):
        raise ThroughlineError(f"{key} is {answers[key]!r}, which is no day: write YYYY-MM-DD") from None


def rows_by_day(lake: Path | str, name: str) -> dict[str, Counter[dt.date]]:
    """How many rows each source has on each day of a silver table; empty where the table is absent or its rows have no day."""
    contract, found = table(name), open_table(lake, name)
    if found is None or not contract.write.date or "source" not in contract.column_names:
        return {}
    counted: dict[str, Counter[dt.date]] = {}
    for row in query(found, f"select source, {contract.write.date} as day, count(*) as rows from rows group by 1, 2").to_pylist():
        counted.setdefault(row["source"], Counter())[row["day"]] += row["rows"]
    return counted


def rows_of_sources(lake: Path | str, chosen: list[str]) -> dict[str, Counter[dt.date]]:
    """How many silver rows each source has on each day, over all its tables whose rows have a day."""
    held = {name: rows_by_day(lake, name) for name in sorted({t for s in chosen for t in source(s).silver})}
    return {s: sum((held[t].get(s, Counter()) for t in source(s).silver), Counter()) for s in chosen}


def span(days: Iterable[dt.date]) -> str:
    """The first and the last of some days, as a person reads them."""
    ordered = sorted(days)
    return f"{ordered[0]} to {ordered[-1]}" if ordered else "none yet"


def plan(answers: Mapping[str, Any], lake: Path | str) -> dict[str, Any]:
    """What the trigger form's answers ask for.

    answers: campaign (an id or several), sources, from, to, models, dry_run; what is empty or absent is: all.
    Returns: note, the plan as Markdown; from and to; sources, those to rebuild (none in a dry run).
    Raises ThroughlineError where the answers name no day, no source or days in the wrong order. A dry run without days takes those of its
    campaigns, else all that the chosen sources have.
    """
    is_dry, wrong = answers.get("dry_run", True), faults()
    landed = [name for name in source_names() if Path(platform().landing, name).is_dir()]
    chosen = listed(answers.get("sources")) or [name for name in landed if name not in wrong]
    left_out = {} if answers.get("sources") else {name: wrong[name] for name in landed if name in wrong}
    days = rows_of_sources(lake, chosen)
    asked, known = listed(answers.get("campaign")), campaigns(lake)
    of_campaigns = [day for c in asked if c in known for day in (known[c].first, known[c].last)]
    proposed = of_campaigns or [day for counted in days.values() for day in counted]
    first, last = day_of(answers, "from"), day_of(answers, "to")
    if not is_dry and not (first and last):
        hint = f"; for what was chosen they would be {span(proposed)}" if proposed else ""
        raise ThroughlineError(f"say which days to rebuild: fill in from and to (YYYY-MM-DD){hint}")
    if not chosen and not is_dry:
        raise ThroughlineError("no source has landed anything yet: choose sources, or run their ingest DAGs first")
    first, last = first or min(proposed, default=last), last or max(proposed, default=first)
    if first and last and first > last:
        raise ThroughlineError(f"from {first} is after to {last}: nothing lies between them")
    note = told(answers, days, left_out, {c: known.get(c) for c in asked}, first, last, engine_plan(lake, chosen, first, last))
    return {"note": note, "from": str(first or ""), "to": str(last or ""), "sources": [] if is_dry else chosen}


def engine_plan(lake: Path | str, chosen: list[str], first: dt.date | None, last: dt.date | None) -> list[str]:
    """What the engine would build of these sources' days and of all that is made of them, as the lake is now, a line each."""
    if not (chosen and first and last):
        return []
    from spark_jobs.engine.plan import told as steps_told
    from spark_jobs.engine.selection import select_tables
    from spark_jobs.io.lake import Lake
    from spark_jobs.io.session import session_for

    names = select_tables(LAYERS)
    opened = Lake(lambda: session_for(str(lake)), str(lake))
    return ["", "As the lake is now the engine would build:", *steps_told(opened, names, first, last, True, chosen)]


def told(
    answers: Mapping[str, Any],
    days: Mapping[str, Counter[dt.date]],
    left_out: Mapping[str, str],
    asked: Mapping[str, Campaign | None],
    first: dt.date | None,
    last: dt.date | None,
    engine: list[str],
) -> str:
    """The plan as Markdown: what matters first, a line per campaign and source, then those of the engine's plan."""
    is_dry = answers.get("dry_run", True)
    if not (days and first and last):
        return "**Dry run: there is nothing to rebuild yet.** No source has brought in rows: run the ingest DAGs first."
    begun = "Dry run, nothing was changed. This would rebuild" if is_dry else "Rebuilds"
    count = (last - first).days + 1
    lines = [f"**{begun} {first} to {last}** ({count} day{'s' * (count > 1)})", ""]
    for campaign, found in asked.items():
        named = shown(labelled(campaign, found.name if found else "")).replace("`", "'")
        lines.append(f"- campaign `{named}`: {f'in gold {found.first} to {found.last}' if found else 'not in gold yet'}")
    for name, held in days.items():
        inside = sum(rows for day, rows in held.items() if first <= day <= last)
        lines.append(f"- {name}: pulled again, {inside:,} rows of these days now (it has {span(held)})")
    lines += [f"- {name}: left out, {sentence}" for name, sentence in left_out.items()]
    above = [f"{layer} ({sum(n.split('.')[0] == layer for n in table_names())})" for layer in ABOVE_SILVER]
    models = ", ".join(listed(answers.get("models"))) or "all"
    lines += [f"- then {', '.join(above)}, the report; models: {models}"]
    lines += engine
    if is_dry:
        lines += ["", f"To do it: trigger again with from {first}, to {last}, and dry_run off."]
    return "\n".join(lines)

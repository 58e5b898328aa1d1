"""What is true of the sandbox world: beside the data, for whoever scores the product, and never read by it.

<out>/truth/records.parquet: one row per line of the web event log: day (of the file), row (from 1), client_event_id, fate (used, duplicate,
quarantined: the one place it must be found in), why, visit and person (-1: a crawler; null: no event).
<out>/truth/visits.parquet: one row per person's visit: visit, person, started_at, ended_at (UTC), events, channel (GA4's name).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from connectors.sandbox import pools
from connectors.sandbox.site import Texts, days_of, malformed_lines
from connectors.sandbox.text import hexadecimal, joined
from connectors.sandbox.world import CONFLICT, HOUR, LOGIN, RETRY, World

GAP = HOUR // 2
# who brought the visitor, in GA4's words; an ad's own network says more
GROUPS = {
    "paid_search": "Paid Search",
    "paid_social": "Paid Social",
    "display": "Display",
    "affiliates": "Affiliates",
    "organic": "Organic Search",
    "organic_social": "Organic Social",
    "assistant": "AI Assistant",
    "referral": "Referral",
    "direct": "Direct",
    "email": "Email",
}


def write_truth(world: World, out: Path) -> None:
    """Both tables below <out>/truth, for a world whose events were written as JSON lines."""
    folder = out / "truth"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(records(world), folder / "records.parquet")
    pq.write_table(visits(world), folder / "visits.parquet")


def records(world: World) -> pa.Table:
    """One row per line of the log, in the order of the files."""
    events = world.events
    parts = []
    for place, (day, chunks) in enumerate(days_of(world)):
        first, end = chunks[0].start if chunks else 0, chunks[-1].stop if chunks else 0
        copy, visit = events.copy[first:end], events.visit[first:end]
        person = world.visits.person[visit]
        broken = len(malformed_lines(place))
        fate = np.where(copy == RETRY, "duplicate", "used").tolist() + ["quarantined"] * broken
        why = np.where(copy == RETRY, "sent_twice", np.where(copy == CONFLICT, "other_body", "")).tolist() + ["malformed"] * broken
        columns = {
            "day": pa.array([day] * len(fate), pa.date32()),
            "row": pa.array(range(1, len(fate) + 1), pa.int64()),
            "client_event_id": pa.concat_arrays([joined("e-", hexadecimal(events.id[first:end])), pa.nulls(broken, pa.string())]),
            "fate": pa.array(fate),
            "why": pa.array(why),
            "visit": pa.array([*visit.tolist(), *[None] * broken], pa.int64()),
            "person": pa.array([*person.tolist(), *[None] * broken], pa.int64()),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def visits(world: World) -> pa.Table:
    """One row per visit of a person, with what they did in it: a copy is no second event, another body is one, and signing in says who
    somebody is, not what they do. Coming back to the same browser within half an hour, without a campaign, is the same visit."""
    events, seen, texts = world.events, world.visits, Texts(world)
    kept = (events.copy != RETRY) & (events.kind != LOGIN)
    visit, at = events.visit[kept], events.event_at[kept]
    count = np.bincount(visit, minlength=len(seen.person))
    began, ended = np.full(len(seen.person), np.iinfo(np.int64).max), np.zeros(len(seen.person), dtype=np.int64)
    np.minimum.at(began, visit, at)
    np.maximum.at(ended, visit, at)
    groups = np.asarray([group_of(entry) for entry in texts.entries])
    is_tagged = np.asarray([bool(entry.source or entry.click_id_type) for entry in texts.entries])
    order = np.lexsort((began, seen.cookie))
    order = order[(seen.person[order] >= 0) & (count[order] > 0)]
    before = np.r_[order[0], order[:-1]]
    goes_on = (seen.cookie[order] == seen.cookie[before]) & (began[order] - ended[before] < GAP) & ~is_tagged[texts.entry[order]]
    goes_on[0] = False
    first = np.flatnonzero(~goes_on)
    instant = pa.timestamp("ms", "UTC")
    return pa.table(
        {
            "visit": pa.array(order[first]),
            "person": pa.array(seen.person[order[first]]),
            "started_at": pa.array(began[order[first]]).cast(instant),
            "ended_at": pa.array(np.maximum.reduceat(ended[order], first)).cast(instant),
            "events": pa.array(np.add.reduceat(count[order], first)),
            "channel": pa.array(groups[texts.entry[order[first]]]),
        }
    )


def group_of(entry: pools.Entry) -> str:
    """GA4's default channel group of a way in."""
    is_shopping = entry.ad >= 0 and pools.ADS[entry.ad].network == "shopping"
    return "Paid Shopping" if is_shopping else GROUPS[entry.channel]

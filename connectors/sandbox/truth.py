"""What is true of the sandbox world: beside the data, for whoever scores the product, and never read by it.

One Parquet file per table below <out>/truth; what a table holds stands in the docstring of its function. person is always the place of a
true human being in the world; -1 is a crawler, null nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from connectors.sandbox import crm, effects, files, marketing, pools, site
from connectors.sandbox.chance import HOUR, NEVER, Ints, mixed
from connectors.sandbox.log import CONFLICT, LOGIN, NORMAL, ORDER, RETRY, known_at
from connectors.sandbox.mess import DUPLICATE, FAULTS, LATE, QUARANTINED, USED
from connectors.sandbox.orders import CURRENCIES, exchange_rates, in_pounds
from connectors.sandbox.site import Texts
from connectors.sandbox.text import hexadecimal, joined, numbers, taken
from connectors.sandbox.visits import BURST, PUSH, RUSH, SMS, is_held_out
from connectors.sandbox.weblog import days_of
from connectors.sandbox.world import World

GAP = HOUR // 2
INSTANT = pa.timestamp("ms", "UTC")
HUMAN_OR_NOT = ("human", "proxy", "scanner")
RECORD = pa.schema(
    {"day": pa.date32(), "row": pa.int64(), "client_event_id": pa.string(), "fate": pa.string(), "why": pa.string()}
    | {"visit": pa.int64(), "person": pa.int64(), "event_at": INSTANT, "told": pa.int64()}
)


def write_truth(world: World, out: Path) -> None:
    """All tables below <out>/truth, for a world whose events were written as JSON lines."""
    folder = out / "truth"
    folder.mkdir(parents=True, exist_ok=True)
    texts = Texts(world)
    for name, table in TABLES.items():
        pq.write_table(table(texts), folder / f"{name}.parquet")
    with pq.ParquetWriter(folder / "records.parquet", RECORD) as writer:
        for part in records(texts):
            writer.write_table(part)


def instants(values: Ints) -> pa.Array:
    """ms since 1970 as UTC timestamps; NEVER is null."""
    return pa.array(values, mask=np.asarray(values) >= NEVER).cast(INSTANT)


def records(texts: Texts) -> Iterator[pa.Table]:
    """A table per file of the log, one row per line of the web event log: day (of the file), row (from 1), client_event_id (null: it cannot be read), fate (used,
    duplicate, late, quarantined: the one place it must be found in), why, visit, person, event_at (the best that can be known) and told:
    a number that two events of a person share when the log itself tells that they are one person's."""
    world, events = texts.world, texts.world.events
    fault_fate, names = [fault.fate for fault in FAULTS], [fault.name for fault in FAULTS]
    cannot_be_read = np.asarray([name in ("cut_short", "not_utf8") for name in names])
    at, visit_told = known_at(events), told(texts)
    for day, chunks in days_of(world):
        places = np.concatenate([np.arange(rows.start, rows.stop) for rows in chunks]) if chunks else np.zeros(0, dtype=np.int64)
        copy, fault, visit = events.copy[places], events.fault[places], events.visit[places]
        fate = np.where(copy == RETRY, len(names), fault)
        why = np.where(copy == RETRY, len(names), np.where(copy == CONFLICT, len(names) + 1, fault))
        why = np.where((why == 0) & world.visits.has_new_release[visit], len(names) + 2, why)
        identifier = joined("e-", hexadecimal(events.id[places]))
        columns = {
            "day": pa.array([day] * len(places), pa.date32()),
            "row": pa.array(np.arange(1, len(places) + 1)),
            "client_event_id": pa.compute.if_else(pa.array(cannot_be_read[fault]), None, identifier),
            "fate": taken([*fault_fate, DUPLICATE], fate),
            "why": taken([*names, "sent_twice", "other_body", "unknown_field"], why),
            "visit": pa.array(visit.astype(np.int64)),
            "person": pa.array(world.visits.person[visit]),
            "event_at": instants(at[places]),
            "told": pa.array(visit_told[visit]),
        }
        yield pa.table(columns, schema=RECORD)


def told(texts: Texts) -> Ints:
    """Per visit the number of its component: visits of one person hang together by a cookie, a login or an address that was typed."""
    world = texts.world
    visits, people, count = world.visits, world.people, len(world.visits)
    events = world.events
    kept = np.asarray([fault.fate == USED for fault in FAULTS])[events.fault]
    who = visits.person
    seen = [(np.flatnonzero(visits.has_cookie), visits.cookie[visits.has_cookie])]
    for kind in (LOGIN, ORDER):
        mask = kept & (events.kind == kind)
        visit = events.visit[mask].astype(np.int64)
        known = texts.has_login[visit] & ~visits.has_placeholder_user[visit]
        seen.append((visit[known], (1 << 40) + who[visit[known]]))
        tells = site.tells_email(texts, visit, events.kind[mask])
        slot = np.zeros(len(visit), dtype=np.int64)
        usable = tells
        if kind == ORDER and len(world.orders):
            order = texts.order[visit]
            slot = world.orders.slot[order]
            usable = tells & ~world.orders.is_placeholder[order] & ~world.orders.has_typo[order]
        seen.append((visit[usable], (2 << 40) + people.mailbox[who[visit[usable]].clip(0), slot[usable]]))
    visit = np.concatenate([place for place, _ in seen])
    said = np.concatenate([value.astype(np.uint64) for _, value in seen])
    # What two people share tells nothing about either: an identifier counts per true person.
    _, value = np.unique(mixed(said, who[visit]), return_inverse=True)
    size = count + (int(value.max()) + 1 if len(value) else 0)
    edges = coo_array((np.ones(len(visit), dtype=np.int8), (visit, count + value)), shape=(size, size))
    return np.asarray(connected_components(edges, directed=False)[1][:count], dtype=np.int64)


def visits(texts: Texts) -> pa.Table:
    """One row per visit of a person with a cookie, with what they did in it: visit, person, started_at, ended_at, events, shown_channel
    (GA4's name for what the landing says) and channel (what truly brought the visitor).

    A copy leaves no second event, another body does, and signing in says who somebody is, not what they do. Coming back to the same
    browser within half an hour, without a campaign, is the same visit; so is another member of the household who takes over.
    """
    world = texts.world
    events, seen = world.events, world.visits
    is_kept = np.asarray([fault.fate == USED for fault in FAULTS])[events.fault]
    kept = is_kept & (events.copy != RETRY) & (events.kind != LOGIN)
    visit, at = events.visit[kept], known_at(events)[kept]
    count = np.bincount(visit, minlength=len(seen))
    began, ended = np.full(len(seen), NEVER), np.zeros(len(seen), dtype=np.int64)
    np.minimum.at(began, visit, at)
    np.maximum.at(ended, visit, at)
    landed = np.zeros(len(seen), dtype=bool)
    landed[events.visit[kept & (events.kind == 0)]] = True
    is_tagged = np.asarray([bool(entry.source or entry.click_id_type) for entry in texts.entries])[texts.entry] & landed
    order = np.lexsort((began, seen.cookie))
    order = order[(seen.person[order] >= 0) & (count[order] > 0) & seen.has_cookie[order]]
    before = np.r_[order[:1], order[:-1]]
    goes_on = (seen.cookie[order] == seen.cookie[before]) & (began[order] - ended[before] <= GAP) & ~is_tagged[order]
    goes_on[:1] = False
    first = np.flatnonzero(~goes_on)
    whole = order[first]
    # without its landing a visit says nothing of its way in
    shown = np.where(landed[whole], texts.entry[whole], len(texts.entries))
    return pa.table(
        {
            "visit": pa.array(whole),
            "person": pa.array(seen.person[whole]),
            "started_at": instants(began[whole]),
            "ended_at": instants(np.maximum.reduceat(ended[order], first) if len(first) else first),
            "events": pa.array(np.add.reduceat(count[order], first) if len(first) else first),
            "shown_channel": taken([*(entry.group for entry in texts.entries), "Direct"], shown),
            "channel": taken([one.group for one in pools.CAMPAIGNS], seen.campaign[whole]),
        }
    )


def crawlers(texts: Texts) -> pa.Table:
    """One row per visit of a crawler: visit, anonymous_id, started_at, events, and sign: what gives it away. stated: its agent says what it
    is; inhuman_rate: it calls itself a browser and takes dozens of pages within a minute; no_dwell: it stays about a second on each of a
    dozen or more; none: it is dressed as a person and as slow as one."""
    world = texts.world
    seen = world.visits
    visit = np.flatnonzero(seen.person < 0)
    done = np.bincount(world.events.visit[world.events.copy == NORMAL], minlength=len(seen))
    sign = np.select([~seen.is_disguised[visit], seen.pace[visit] == BURST, seen.pace[visit] == RUSH], [0, 1, 2], default=3)
    return pa.table(
        {
            "visit": pa.array(visit),
            "anonymous_id": hexadecimal(seen.cookie[visit]),
            "started_at": instants(seen.started[visit]),
            "events": pa.array(done[visit]),
            "sign": taken(("stated", "inhuman_rate", "no_dwell", "none"), sign),
        }
    )


def people(texts: Texts) -> pa.Table:
    """One row per person: household, whether there is an account, favourite category, when they joined and left, when consent was withdrawn
    and erasure asked for (null: never)."""
    world = texts.world
    one = world.people
    return pa.table(
        {
            "person": pa.array(np.arange(len(one))),
            "household": pa.array(one.household),
            "has_account": pa.array(one.has_account),
            "is_contact": pa.array(one.is_contact),
            "devices": pa.array(one.devices),
            "shares_device": pa.array(one.shares_device),
            "office": pa.array(one.office, mask=one.office < 0),
            "favourite_category": taken(pools.CATEGORIES, one.taste),
            "keenness": pa.array(one.keenness),
            "joined_at": instants(one.joined),
            "left_at": instants(np.where(one.left < world.end, one.left, NEVER)),
            "marketing_withdrawn_at": instants(one.marketing_withdrawn_at),
            "erasure_asked_at": instants(one.erasure_asked_at),
        }
    )


def identifiers(texts: Texts) -> pa.Table:
    """One row per identifier and person who used it: namespace, value, person. A shared browser and a recycled address stand twice."""
    world = texts.world
    people, seen = world.people, world.visits
    everybody = np.arange(len(people))
    contacts = np.flatnonzero(people.is_contact)
    humans = np.flatnonzero((seen.person >= 0) & seen.has_cookie)
    once = humans[np.unique(mixed(seen.cookie[humans], seen.person[humans]), return_index=True)[1]]
    parts = [("user_id", texts.user_id, everybody), ("crm_id", joined("c-", numbers(contacts, 6)), contacts)]
    for slot in range(people.mailbox.shape[1]):
        has = np.flatnonzero(people.mailboxes > slot)
        parts.append(("email", texts.mailbox(people.mailbox[has, slot]), has))
    parts += [("phone", texts.phone(everybody, 0 * everybody + slot), everybody) for slot in (0, 1)]
    parts.append(("anonymous_id", hexadecimal(seen.cookie[once]), seen.person[once]))
    tables = [
        pa.table({"namespace": pa.array([name] * len(who), pa.string()), "value": values, "person": pa.array(who)})
        for name, values, who in parts
    ]
    return pa.concat_tables(tables)


def pounds_of_orders(world: World) -> Any:
    """GBP per order, at its day's rate."""
    orders = world.orders
    return in_pounds(orders.total, orders.is_euro, exchange_rates(world.seed, world.days)[0][world.day_of(orders.ordered_at)]).round(2)


def orders(texts: Texts) -> pa.Table:
    """One row per order: order_id, person, visit, ordered_at, lines, amount, currency, pounds, refunded (in its currency), has_event
    (its order_completed was not set aside), and what caused it: cause (itself, visit or exposure), channel and campaign_id of that
    contact, caused_at. An order of itself would have come without any marketing."""
    world = texts.world
    one, causes, shown = world.orders, world.causes, world.exposures
    by_visit, by_exposure = causes.visit[one.visit], causes.exposure[one.visit]
    is_visit, is_exposure = by_visit >= 0, by_exposure >= 0
    campaign = np.where(is_visit, world.visits.campaign[by_visit.clip(0)], 0)
    at = np.where(is_visit, world.visits.started[by_visit.clip(0)], NEVER)
    if len(shown):
        campaign = np.where(is_exposure, shown.campaign[by_exposure.clip(0)], campaign)
        at = np.where(is_exposure, shown.at[by_exposure.clip(0)], at)
    has_cause = pa.array(is_visit | is_exposure)

    def of_cause(name: str) -> pa.Array:
        return pa.compute.if_else(has_cause, taken([getattr(c, name) for c in pools.CAMPAIGNS], campaign), None)

    refunded = np.bincount(one.line_order[one.refund_line], weights=one.refund_amount, minlength=len(one))
    return pa.table(
        {
            "order_id": texts.order_id,
            "person": pa.array(one.person),
            "visit": pa.array(one.visit),
            "ordered_at": instants(one.ordered_at),
            "lines": pa.array(np.bincount(one.line_order, minlength=len(one))),
            "amount": pa.array(one.total / 100),
            "currency": taken(CURRENCIES, one.is_euro.astype(np.int64)),
            "pounds": pa.array(pounds_of_orders(world)),
            "refunded": pa.array(refunded / 100),
            "cause": taken(("itself", "visit", "exposure"), is_visit + 2 * is_exposure),
            "channel": of_cause("group"),
            "campaign": of_cause("key"),
            "campaign_id": of_cause("campaign_id"),
            "caused_at": instants(at),
        }
    )


def campaigns(texts: Texts) -> pa.Table:
    """One row per campaign and unpaid channel: its lift and hold-out, the contacts it had, and the orders and pounds it truly caused."""
    world, one = texts.world, texts.world.orders
    visit, exposure = world.causes.visit[one.visit], world.causes.exposure[one.visit]
    count = len(pools.CAMPAIGNS)
    cause = np.where(visit >= 0, world.visits.campaign[visit.clip(0)], -1)
    if len(world.exposures):
        cause = np.where(exposure >= 0, world.exposures.campaign[exposure.clip(0)], cause)
    caused = cause >= 0
    people = np.arange(len(world.people))
    return pa.table(
        {
            "campaign": pa.array([c.key for c in pools.CAMPAIGNS]),
            "campaign_id": pa.array([c.campaign_id for c in pools.CAMPAIGNS]),
            "channel": pa.array([c.group for c in pools.CAMPAIGNS]),
            "lift": pa.array([c.lift for c in pools.CAMPAIGNS]),
            "hold_out": pa.array([c.hold_out for c in pools.CAMPAIGNS]),
            "held_out_people": pa.array([int(is_held_out(world.seed, np.full(len(people), c), people).sum()) for c in range(count)]),
            "visits": pa.array(np.bincount(world.visits.campaign[world.visits.person >= 0], minlength=count)),
            "exposures": pa.array(np.bincount(world.exposures.campaign, minlength=count)),
            "orders": pa.array(np.bincount(cause[caused], minlength=count)),
            "pounds": pa.array(np.bincount(cause[caused], weights=pounds_of_orders(world)[caused], minlength=count).round(2)),
        }
    )


def holdouts(texts: Texts) -> pa.Table:
    """One row per campaign with a hold-out and person whom chance kept from it."""
    people, parts = np.arange(len(texts.world.people)), []
    for place, one in enumerate(pools.CAMPAIGNS):
        held = people[is_held_out(texts.world.seed, np.full(len(people), place), people)] if one.hold_out else people[:0]
        parts.append(pa.table({"campaign": pa.array([one.key] * len(held), pa.string()), "person": pa.array(held)}))
    return pa.concat_tables(parts)


def touches(texts: Texts) -> pa.Table:
    """One row per contact that is no visit: kind, person, at, campaign, and client_event_id and actor (human, proxy, scanner) of those that
    the e-mail tool reported."""
    world = texts.world
    shown, mail, seen = world.exposures, marketing.mail_events(world), world.visits
    is_mail = shown.kind == effects.MAIL
    clicked = np.isin(seen.channel, (SMS, PUSH))
    kinds = ("email_sent", "sms_sent", "push_sent", "mailing_sent", "ad_impressed")
    keys = [c.key for c in pools.CAMPAIGNS]
    parts = (
        (taken(kinds, shown.kind[~is_mail]), shown.person[~is_mail], shown.at[~is_mail], taken(keys, shown.campaign[~is_mail]), None),
        (
            taken(("sms_clicked", "push_opened"), (seen.channel[clicked] == PUSH).astype(np.int64)),
            seen.person[clicked],
            seen.started[clicked] - 1_500,
            taken(keys, seen.campaign[clicked]),
            None,
        ),
        (
            joined("email_", taken(marketing.MAIL_EVENTS, mail.kind)),
            mail.person,
            mail.at,
            pa.array([pools.NEWSLETTER] * len(mail.at), pa.string()),
            (joined("m-", hexadecimal(mail.id)), taken(HUMAN_OR_NOT, mail.actor)),
        ),
    )
    tables = []
    for kind, person, at, campaign, seen_by in parts:
        nothing = pa.nulls(len(person), pa.string())
        identifier, actor = seen_by or (nothing, nothing)
        columns = {"kind": kind, "person": pa.array(person), "at": instants(at), "campaign": campaign}
        tables.append(pa.table(columns | {"client_event_id": identifier, "actor": actor}))
    return pa.concat_tables(tables)


def consents(texts: Texts) -> pa.Table:
    """One row per choice of a contact: person, purpose, is_granted, at."""
    person, purpose, granted, at, _ = crm.choices(texts.world)
    purposes = taken(crm.PURPOSES, purpose)
    return pa.table({"person": pa.array(person), "purpose": purposes, "is_granted": pa.array(granted), "at": instants(at)})


def ad_spend(texts: Texts) -> pa.Table:
    """One row per day and ad as last restated: day, ad_id, clicks, impressions, spend (text, GBP). A row that a restatement left out is gone."""
    world = texts.world
    reports = marketing.ad_reports(world)
    newest: dict[int, int] = {}
    for report in reports:
        newest[report.day] = max(report.delivered, newest.get(report.day, 0))
    last = [report for report in reports if report.delivered == newest[report.day]]
    return pa.table(
        {
            "day": pa.array([world.first_day + timedelta(days=r.day) for r in last], pa.date32()),
            "ad_id": pa.array([pools.ADS[r.ad].ad_id for r in last], pa.string()),
            "clicks": pa.array([r.clicks for r in last], pa.int64()),
            "impressions": pa.array([r.impressions for r in last], pa.int64()),
            "spend": pa.array([r.spend_text for r in last], pa.string()),
        }
    )


def faults(texts: Texts) -> pa.Table:
    """One row per record of the other streams that is used nowhere: source, stream, file (below the stream's folder), record (how its line
    begins, of ad spend its ad_id), fate (duplicate, quarantined) and why: sent_twice, restated by a later delivery, or what is broken."""
    world, orders = texts.world, texts.world.orders
    day_of = [str(world.first_day + timedelta(days=place)) for place in range(world.days)]
    rows: list[tuple[str, str, str, str, str, str]] = []
    again = files.lines_again(world)
    order = orders.line_order[again]
    delivered = world.day_of(orders.ordered_at[order]) + 1
    names = joined(taken(texts.order_id, order), ",", numbers(orders.line_number[again]), ",").to_pylist()
    for place, name in zip(delivered.tolist(), names, strict=True):
        rows.append(("sandbox_shop", "order_lines", f"{day_of[place]}.csv", name, DUPLICATE, "sent_twice"))
    for place, day in enumerate(day_of):
        for line in files.broken_lines(world, place):
            name = line.decode().split(",")[0]
            rows.append(("sandbox_shop", "order_lines", f"{day}.csv", f"{name},1,", QUARANTINED, name.split("-")[1]))
        for line in marketing.broken_mails(world, place):
            rows.append(("sandbox_marketing", "email_events", f"{day}.jsonl", line.decode(), QUARANTINED, "cut_short"))
    reports = marketing.ad_reports(world)
    newest = {report.day: report.delivered for report in sorted(reports, key=lambda report: report.delivered)}
    for report in reports:
        if report.delivered < newest[report.day]:
            file = f"{day_of[report.day]}/delivered-{day_of[report.delivered]}.csv"
            rows.append(("sandbox_marketing", "ad_spend", file, pools.ADS[report.ad].ad_id, DUPLICATE, "restated"))
    columns = ("source", "stream", "file", "record", "fate", "why")
    return pa.table({name: pa.array([row[place] for row in rows], pa.string()) for place, name in enumerate(columns)})


def ledger(texts: Texts) -> pa.Table:
    """One row per silver table and source whose faults are counted: how many records are duplicates, late and quarantined."""
    events = texts.world.events
    befell = np.bincount(events.fault, minlength=len(FAULTS))
    late, quarantined = (sum(befell[code] for code, fault in enumerate(FAULTS) if fault.fate == fate) for fate in (LATE, QUARANTINED))
    others = Counter(zip(*(faults(texts)[name].to_pylist() for name in ("stream", "fate")), strict=True))

    def of_stream(stream: str) -> tuple[int, int, int]:
        return others[stream, DUPLICATE], 0, others[stream, QUARANTINED]

    rows = (
        ("silver.events", "sandbox_site", (events.copy == RETRY).sum(), late, quarantined),
        ("silver.events", "sandbox_marketing", *of_stream("email_events")),
        ("silver.order_lines", "sandbox_shop", *of_stream("order_lines")),
        ("silver.ad_spend", "sandbox_marketing", *of_stream("ad_spend")),
    )
    names = ("table_name", "source", "duplicates", "late", "quarantined")
    return pa.table({name: pa.array([row[i] if i < 2 else int(row[i]) for row in rows]) for i, name in enumerate(names)})


TABLES: dict[str, Callable[[Texts], pa.Table]] = {
    "visits": visits,
    "crawlers": crawlers,
    "people": people,
    "identifiers": identifiers,
    "orders": orders,
    "campaigns": campaigns,
    "holdouts": holdouts,
    "touches": touches,
    "consents": consents,
    "ad_spend": ad_spend,
    "faults": faults,
    "ledger": ledger,
}

"""Campaigns, what the ad accounts report of them, and what the e-mail tool saw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from connectors.sandbox import effects, pools, site
from connectors.sandbox.chance import DAY, HOUR, Flags, Floats, Ints, Words, below, happens, mixed, stream
from connectors.sandbox.drops import by_day, objects
from connectors.sandbox.orders import exchange_rates, in_pounds
from connectors.sandbox.site import Texts
from connectors.sandbox.text import hexadecimal, instants, joined, numbers, taken, taken_where
from connectors.sandbox.visits import EMAIL, newsletter_week
from connectors.sandbox.world import World

# Days after the day at which a vendor reports it again: share of clicks not yet found invalid, of conversions already counted.
RESTATEMENTS = {0: (1.04, 0.6), 2: (1.01, 0.8), 7: (1.0, 0.95), 28: (1.0, 1.0)}
# A vendor claims every order that followed a click, and some that did not.
CLAIMED = 1.3
COST_PER_CLICK = np.array([one.cost_per_click for one in pools.ADS])
OF_CAMPAIGN = np.array([pools.PLACES[one.campaign.key] for one in pools.ADS])
# so many people the budgets of the campaigns are meant for
BUDGETED_PEOPLE = 2_000
SENT, DELIVERED, BOUNCED, OPENED, CLICKED, UNSUBSCRIBED, COMPLAINED = range(7)
MAIL_EVENTS = ("sent", "delivered", "bounced", "opened", "clicked", "unsubscribed", "complained")
HUMAN, PROXY, SCANNER = range(3)


def write_campaigns(texts: Texts, folder: Path) -> int:
    """Every campaign when it begins; halfway, each ad campaign's budget changes; every newsletter when it leaves."""
    world = texts.world
    rows: list[Mapping[str, object]] = []
    at: list[int] = []
    for number, one in enumerate(c for c in pools.CAMPAIGNS if c.campaign_id):
        begins, ends = (int(share * world.days) for share in (one.begins, one.ends))
        for version, day in ((0, begins), (1, raised_on(world, one))):
            if version and not one.budget:
                continue
            instant = world.start + day * DAY + number * 1000 + version
            rows.append(
                {"campaign_id": one.campaign_id, "name": one.name, "channel": one.group, "account_id": one.account_id, "status": "active"}
                | {"daily_budget": f"{daily_budget(world, one, day)}.00" if one.budget else None, "currency": "GBP" if one.budget else None}
                | {"starts_on": str(world.first_day + timedelta(days=begins))}
                | {"ends_on": str(world.first_day + timedelta(days=ends - 1)) if one.ends < 1 and ends > begins else None}
                | {"updated_at": _stamp(instant)}
            )
            at.append(instant)
    for week, (campaign_id, name) in enumerate(site.newsletters(world)):
        begin = world.start + (week - 1) * 7 * DAY + 5 * HOUR
        if begin < world.end:
            sent_on = str(world.first_day + timedelta(days=7 * (week - 1)))
            rows.append(
                {"campaign_id": campaign_id, "name": name, "channel": "Email", "account_id": "mail-500", "status": "sent"}
                | {"daily_budget": None, "currency": None, "starts_on": sent_on, "ends_on": sent_on, "updated_at": _stamp(begin)}
            )
            at.append(begin)
    return by_day(world, folder, ".jsonl", objects(rows), np.asarray(at))


def raised_on(world: World, campaign: pools.Campaign) -> int:
    """The day from which a campaign may cost more."""
    return max(world.days // 2, int(campaign.begins * world.days))


def daily_budget(world: World, campaign: pools.Campaign, day: int) -> int:
    """GBP that a campaign may cost on a day, 0 without a budget. What goes beyond it the vendor does not bill."""
    if not campaign.budget:
        return 0
    raised = 10 if day >= raised_on(world, campaign) else 0
    return math.ceil((campaign.budget + raised) * len(world.people.household) / BUDGETED_PEOPLE)


def _stamp(instant: int) -> str:
    return str(instants(np.asarray([instant]))[0].as_py())


@dataclass(frozen=True)
class Report:
    """One vendor's figures of one day and ad as of one delivery."""

    delivered: int  # place of the day
    day: int
    ad: int
    impressions: int
    clicks: int
    spend: float
    conversions: float
    value: float

    @property
    def spend_text(self) -> str:
        return f"{self.spend:.6f}"


def ad_reports(world: World) -> list[Report]:
    """Every row that is ever delivered, by day, then delivery. A restatement leaves a row out now and then."""
    days, ads, visits = world.days, len(pools.ADS), world.visits
    ad = np.asarray([one.ad for one in pools.ENTRIES] + [-1])[visits.entry]
    came = ad >= 0
    cell = world.day_of(visits.started[came]) * ads + ad[came]
    order = world.order_of_visit
    rates = exchange_rates(world.seed, days)[0]
    pounds = in_pounds(world.orders.total, world.orders.is_euro, rates[world.day_of(world.orders.ordered_at)])
    value = np.where(order >= 0, pounds[order.clip(0)], 0.0) if len(pounds) else np.zeros(len(order))

    def table(weights: Floats | Flags | None) -> Floats:
        return np.bincount(cell, weights=weights, minlength=days * ads).reshape(days, ads).astype(np.float64)

    clicks, sold, earned = table(None), table(world.causes.has_order[came]), table(value[came])
    noise = stream(world.seed, "spend").uniform(0.9, 1.1, (2, days, ads))
    limits = np.array([[daily_budget(world, one, day) or np.inf for one in pools.CAMPAIGNS] for day in range(days)])
    found = []
    for day in range(days):
        for delay, (valid, counted) in RESTATEMENTS.items():
            if day + delay >= days:
                continue
            clicked = np.ceil(clicks[day] * 1.12 * valid).astype(np.int64)
            billed = clicked * COST_PER_CLICK * noise[1, day]
            billed *= np.minimum(1.0, limits[day] / np.maximum(np.bincount(OF_CAMPAIGN, billed, len(pools.CAMPAIGNS)), 0.01))[OF_CAMPAIGN]
            for number, one in enumerate(pools.ADS):
                is_off = not one.campaign.begins * days <= day < max(one.campaign.ends * days, 1)
                if (is_off and not clicks[day, number]) or (delay and (day + number) % 29 == 0):
                    continue
                shown = int(clicked[number] / one.click_rate * noise[0, day, number]) + 40
                claims = (float(total[day, number]) * CLAIMED * counted for total in (sold, earned))
                found.append(Report(day + delay, day, number, shown, int(clicked[number]), float(billed[number]), *claims))
    return found


def write_ad_spend(texts: Texts, folder: Path) -> int:
    """A report per day, delivered again for 28 days. Halfway the vendors give the column of the spend another name."""
    world = texts.world
    header = (
        "account_id,account_time_zone,network,campaign_id,campaign_name,ad_group_id,ad_id,spend_date,impressions,clicks,{},currency,"
        "conversions,conversion_value"
    )
    deliveries: dict[tuple[int, int], list[str]] = {}
    reports = ad_reports(world)
    for report in reports:
        one, day = pools.ADS[report.ad], world.first_day + timedelta(days=report.day)
        name = "spend" if report.delivered < world.days // 2 else "amount_spent"
        rows = deliveries.setdefault((report.day, report.delivered), [header.format(name)])
        rows.append(
            f"{one.campaign.account_id},Europe/London,{one.network},{one.campaign_id},{one.campaign.name},{one.ad_group_id},{one.ad_id},{day},"
            f"{report.impressions},{report.clicks},{report.spend_text},GBP,{report.conversions:.4f},{report.value:.2f}"
        )
    for (place, delivered), rows in deliveries.items():
        target = folder / str(world.first_day + timedelta(days=place))
        target.mkdir(exist_ok=True)
        (target / f"delivered-{world.first_day + timedelta(days=delivered)}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return len(reports)


@dataclass(frozen=True)
class MailEvents:
    """What the e-mail tool saw, one place per event; kind in MAIL_EVENTS, actor HUMAN, PROXY or SCANNER."""

    kind: Ints
    person: Ints
    week: Ints
    at: Ints
    actor: Ints
    id: Words


def mail_events(world: World) -> MailEvents:
    """Every newsletter: sent, delivered or bounced, opened by people and proxies, clicked by people (a visit follows) and scanners, left."""
    seed, mess, shown = world.seed, world.mess, world.exposures
    is_mail = shown.kind == effects.MAIL
    person, week, sent_at = shown.person[is_mail], shown.number[is_mail], shown.at[is_mail]
    random = stream(seed, "newsletters")
    bounces = random.random(len(person)) < 0.015
    there = ~bounces
    opens = there & (random.random(len(person)) < 0.24)
    opened_at = sent_at + random.exponential(5 * HOUR, len(person)).astype(np.int64) + 20_000
    proxied = there & happens(mess.proxy_open, seed, 61, person)
    scanned = there & (random.random(len(person)) < mess.scanner_click)
    unsubscribed_at = world.people.unsubscribed_at[person]
    leaving = there & (unsubscribed_at >= sent_at) & (unsubscribed_at < sent_at + 7 * DAY)
    complains = there & (random.random(len(person)) < 0.001)
    visits = world.visits
    clicks = np.flatnonzero(visits.channel == EMAIL)
    clicked_at, clicker = visits.started[clicks], visits.person[clicks]
    clicked_week = newsletter_week(world.start, clicked_at)
    soon = below(30_000, seed, 62, person, week)
    parts = (
        (SENT, HUMAN, person, week, sent_at),
        (DELIVERED, HUMAN, person[there], week[there], sent_at[there] + 2_500),
        (BOUNCED, HUMAN, person[bounces], week[bounces], sent_at[bounces] + 2_500),
        (OPENED, HUMAN, person[opens], week[opens], opened_at[opens]),
        (OPENED, PROXY, person[proxied], week[proxied], sent_at[proxied] + 4_000 + soon[proxied]),
        (OPENED, HUMAN, clicker, clicked_week, clicked_at - 45_000),
        (CLICKED, HUMAN, clicker, clicked_week, clicked_at - 1_500),
        (CLICKED, SCANNER, person[scanned], week[scanned], sent_at[scanned] + 3_000 + soon[scanned] // 10),
        (UNSUBSCRIBED, HUMAN, person[leaving], week[leaving], unsubscribed_at[leaving]),
        (COMPLAINED, HUMAN, person[complains], week[complains], opened_at[complains] + HOUR),
    )
    kind, actor = (np.concatenate([np.full(len(p[2]), p[i]) for p in parts]) for i in (0, 1))
    about, number, at = (np.concatenate([p[i] for p in parts]) for i in (2, 3, 4))
    inside = (at >= world.start) & (at < world.end)
    kind, actor, about, number, at = (one[inside] for one in (kind, actor, about, number, at))
    return MailEvents(kind, about, number, at, actor, mixed(seed, 7, kind, actor, about, number, at))


def write_email_events(texts: Texts, folder: Path) -> int:
    """One line per event of the e-mail tool; now and then a line is cut."""
    world, seen = texts.world, mail_events(texts.world)
    letters = site.newsletters(world)
    link = [f',"url":"{pools.SITE}/?utm_source=newsletter&utm_medium=email&utm_campaign={name}&utm_id={i}"' for i, name in letters]
    agents = [*pools.AGENTS, pools.PROXY_AGENT, pools.SCANNER_AGENT]

    def written(places: Ints) -> pa.Array:
        kind, person, week, at, actor = (field[places] for field in (seen.kind, seen.person, seen.week, seen.at, seen.actor))
        own = below(len(pools.AGENTS), world.seed, 63, person)
        agent = np.select([actor == PROXY, actor == SCANNER], [len(pools.AGENTS), len(pools.AGENTS) + 1], default=own)
        has_agent = kind >= OPENED
        return joined(
            '{"id":"m-', hexadecimal(seen.id[places]), '","event":"', taken(MAIL_EVENTS, kind),
            '","event_at":"', instants(at), '","received_at":"', instants(at + 1_000 + (person * 37 + kind * 11) % 3_000),
            '","email":"', taken(texts.email, person), '","crm_id":"c-', numbers(person, 6),
            '","campaign_id":"', taken([i for i, _ in letters], week), '","campaign_name":"', taken([n for _, n in letters], week), '"',
            taken([*link, ""], np.where(kind == CLICKED, week, len(link))),
            taken(("", ',"user_agent":"'), has_agent.astype(np.int64)), taken_where(has_agent, pa.array(agents), agent),
            taken(("", '"'), has_agent.astype(np.int64)), "}",
        )  # fmt: skip

    return by_day(world, folder, ".jsonl", written, seen.at, extra=lambda place: broken_mails(world, place))


def broken_mails(world: World, place: int) -> list[bytes]:
    """The lines of a day's e-mail events that are cut."""
    return [b'{"id":"m-cut-%d","event":"opened","event_at":' % place] if world.mess.cut_short and place % 14 == 6 else []

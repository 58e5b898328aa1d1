"""The CRM: contacts with their duplicates and stale rows, consent over time, and what happened with each contact besides the e-mails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from connectors.sandbox import effects, pools, site
from connectors.sandbox.chance import DAY, HOUR, Flags, Ints, below, happens, mixed, stream
from connectors.sandbox.drops import by_day, of_parts
from connectors.sandbox.people import HAS_PHONE
from connectors.sandbox.site import Texts
from connectors.sandbox.text import amounts, hexadecimal, instants, joined, numbers, taken, taken_where
from connectors.sandbox.visits import PUSH, SMS
from connectors.sandbox.world import World

PURPOSES = ("analytics", "marketing", "personalisation", "email")
STAGES = ("qualified", "proposal", "negotiation")
SCORES = (0, 3, 6, 7, 8, 8, 9, 9, 10, 10)


def write_contacts(texts: Texts, folder: Path) -> int:
    """Each contact when created; some change later, some of these rows come again out of date; some stand there twice under another id."""
    world, people = texts.world, texts.world.people
    person = np.flatnonzero(people.is_contact)
    created = people.created[person]
    random = stream(world.seed, "contact changes")
    changed = np.flatnonzero(random.random(len(person)) < 0.08)
    changed_at = world.start + random.integers(0, world.days * DAY, len(changed))
    keep = changed_at > created[changed]
    changed, changed_at = changed[keep], changed_at[keep]
    is_stale = random.random(len(changed)) < world.mess.stale_row / 0.08
    stale, stale_at = changed[is_stale], changed_at[is_stale] + DAY
    twice = np.flatnonzero(random.random(len(person)) < world.mess.twice_in_crm)
    place = np.concatenate([np.arange(len(person)), changed, stale, twice])
    who = person[place]
    updated = np.concatenate([created, changed_at, created[stale], created[twice] + HOUR])
    delivered = np.concatenate([created, changed_at, stale_at, created[twice] + HOUR])
    sizes = (len(person), len(changed), len(stale), len(twice))
    version = np.repeat([0, 1, 0, 2], sizes)
    has_phone = happens(HAS_PHONE, world.seed, 6, who) & (version != 2) | (version == 1)
    mail = pa.concat_arrays([texts.email, pa.compute.utf8_upper(texts.email)]).take(pa.array(who + len(people) * (version == 2)))
    rows = joined(
        '{"crm_id":"', taken(("c-", "c-", "c-9"), version), numbers(who, 6), '","email":"', mail,
        '","phone":', taken(("null", '"'), has_phone.astype(np.int64)), taken_where(has_phone, texts.phone(who, 0 * who), np.arange(len(who))),
        taken(("", '"'), has_phone.astype(np.int64)),
        ',"first_name":"', taken(pools.FIRST_NAMES, people.first_name[who]), '","last_name":"',
        taken(pools.LAST_NAMES, people.last_name[who]),
        '","country":"', taken([code for code, _, _ in pools.COUNTRIES], people.country[who]),
        '","created_at":"', instants(created[place]), '","updated_at":"', instants(updated), '"}',
    )  # fmt: skip
    inside = delivered < world.end
    return by_day(world, folder, ".jsonl", rows.filter(pa.array(inside)), delivered[inside])


def choices(world: World) -> tuple[Ints, Ints, Flags, Ints, Ints]:
    """Person, purpose, whether granted, instant and evidence (0: form, 1: taken back) of every choice a contact made."""
    people = world.people
    person = np.flatnonzero(people.is_contact)
    said = (people.allows_analytics, people.allows_marketing, people.allows_personalisation, np.ones(len(people), dtype=bool))
    parts = [
        (person, np.full(len(person), n), flags[person], people.created[person], np.zeros_like(person)) for n, flags in enumerate(said)
    ]
    for n, taken_back_at, could in ((1, people.marketing_withdrawn_at, people.allows_marketing), (3, people.unsubscribed_at, said[3])):
        left = person[(taken_back_at[person] < world.end) & could[person]]
        parts.append((left, np.full(len(left), n), np.zeros(len(left), dtype=bool), taken_back_at[left], np.ones_like(left)))
    who, purpose, granted, at, evidence = (np.concatenate(column) for column in zip(*parts, strict=True))
    return who, purpose, granted, at, evidence


def write_consents(texts: Texts, folder: Path) -> int:
    """What each contact allows, per purpose, when created; and what they took back, when they did."""
    person, purpose, granted, at, evidence = choices(texts.world)

    def written(places: Ints) -> pa.Array:
        who = person[places]
        return joined(
            '{"email":"', taken(texts.email, who), '","crm_id":"c-', numbers(who, 6), '","purpose":"', taken(PURPOSES, purpose[places]),
            '","granted":', taken(("false", "true"), granted[places].astype(np.int64)),
            ',"evidence":"', taken(("sign_up_form", "preference_centre"), evidence[places]), '","updated_at":"', instants(at[places]), '"}',
        )  # fmt: skip

    return by_day(texts.world, folder, ".jsonl", written, at)


def write_contact_events(texts: Texts, folder: Path) -> int:
    """Texts, notes, mailings and ads shown; leads and deals; tickets, reviews and surveys; wishes to be forgotten. One line each."""
    parts = [*_exposures(texts), *_clicks(texts), *_sales(texts), *_after_orders(texts), *_erasures(texts)]
    at = np.concatenate([when for _, when in parts])
    return by_day(texts.world, folder, ".jsonl", of_parts([rows for rows, _ in parts]), at)


def _rows(texts: Texts, number: int, kind: str, event: str, at: Ints, *identity: Any, more: Any = "") -> tuple[pa.Array, Ints]:
    """The lines of one kind of event, as far as the world's days go, and their instants.

    identity: member name, column, member name, column …; more: further members, each after a comma.
    """
    names, columns = identity[::2], identity[1::2]
    members: list[Any] = []
    for name, column in zip(names, columns, strict=True):
        members += [f',"{name}":"', column, '"']
    ids = mixed(texts.world.seed, 8, number, np.arange(len(at)))
    row = joined(
        '{"id":"k-', hexadecimal(ids), f'","type":"{kind}","event":"{event}","event_at":"', instants(at), '","received_at":"',
        instants(at + 500 + below(3_000, ids)), '"', *members, more, "}",
    )  # fmt: skip
    inside = (at >= texts.world.start) & (at < texts.world.end)
    return row.filter(pa.array(inside)), at[inside]


def _crm_id(person: Ints) -> pa.Array:
    return joined("c-", numbers(person, 6))


def _campaign(key: str) -> str:
    one = pools.CAMPAIGNS[pools.PLACES[key]]
    return f',"channel":"{one.group}","campaign_id":"{one.campaign_id}","campaign_name":"{one.name}"'


def _exposures(texts: Texts) -> list[tuple[pa.Array, Ints]]:
    world, shown = texts.world, texts.world.exposures
    found = []
    messages = ((effects.TEXT, "sms_sent", "s-61"), (effects.NOTE, "push_sent", "u-71"), (effects.MAILING, "mailing_sent", "p-81"))
    for number, (kind, event, key) in enumerate(messages):
        mask = shown.kind == kind
        person = shown.person[mask]
        found.append(_rows(texts, number, "crm", event, shown.at[mask], "crm_id", _crm_id(person), more=_campaign(key)))
    # An ad is seen with a cookie of the shop only when the person was there: with that of the first visit.
    first = np.searchsorted(world.visits.person, shown.person).clip(0, len(world.visits) - 1)
    can_tell = (shown.kind == effects.IMPRESSION) & (world.visits.person[first] == shown.person) & world.visits.has_cookie[first]
    pool = [_campaign(one.key) if one.campaign_id else "" for one in pools.CAMPAIGNS]
    cookie = hexadecimal(world.visits.cookie[first[can_tell]])
    campaign = taken(pool, shown.campaign[can_tell])
    found.append(_rows(texts, 3, "ad", "ad_impressed", shown.at[can_tell], "anonymous_id", cookie, more=campaign))
    return found


def _clicks(texts: Texts) -> list[tuple[pa.Array, Ints]]:
    """A click just before each visit that a text or a note brought."""
    visits, found = texts.world.visits, []
    for number, channel, event, key in ((4, SMS, "sms_clicked", "s-61"), (5, PUSH, "push_opened", "u-71")):
        mask = visits.channel == channel
        found.append(
            _rows(texts, number, "crm", event, visits.started[mask] - 1_500, "crm_id", _crm_id(visits.person[mask]), more=_campaign(key))
        )
    return found


def _sales(texts: Texts) -> list[tuple[pa.Array, Ints]]:
    """New contacts are leads; some contacts negotiate a deal that goes through stages until it is won or lost."""
    world, people = texts.world, texts.world.people
    random = stream(world.seed, "deals")
    new = np.flatnonzero(people.is_contact & (people.created >= world.start) & happens(0.3, world.seed, 71, np.arange(len(people))))
    found = [_rows(texts, 6, "crm", "lead_created", people.created[new] + HOUR, "crm_id", _crm_id(new))]
    person = np.flatnonzero(people.is_contact & (random.random(len(people)) < 0.06))
    opened = np.maximum(people.created[person], world.start) + random.integers(HOUR, 20 * DAY, len(person))
    deal = joined('"deal_id":"d-', numbers(person, 6), '"')
    stages = random.integers(0, len(STAGES) + 1, len(person))
    found.append(_rows(texts, 7, "crm", "deal_created", opened, "crm_id", _crm_id(person), more=joined(',"properties":{', deal, "}")))
    for place, stage in enumerate(STAGES):
        on = np.flatnonzero(stages > place)
        more = joined(',"properties":{', taken(deal, on), f',"stage":"{stage}"}}')
        at = opened[on] + (place + 1) * 2 * DAY
        found.append(_rows(texts, 8 + place, "crm", "deal_stage_changed", at, "crm_id", _crm_id(person[on]), more=more))
    is_won = random.random(len(person)) < 0.4
    value = joined(',"value":', amounts(below(400_000, world.seed, 72, person) + 20_000), ',"currency":"GBP"')
    for number, event, mask in ((12, "deal_won", is_won), (13, "deal_lost", ~is_won)):
        on = np.flatnonzero((stages == len(STAGES)) & mask)
        more = joined(taken(value, on) if event == "deal_won" else "", ',"properties":{', taken(deal, on), "}")
        found.append(_rows(texts, number, "crm", event, opened[on] + 9 * DAY, "crm_id", _crm_id(person[on]), more=more))
    return found


def _after_orders(texts: Texts) -> list[tuple[pa.Array, Ints]]:
    """Tickets soon after some orders, closed days later; reviews of what was bought, kinder where it is to the buyer's taste; surveys."""
    world, orders = texts.world, texts.world.orders
    random = stream(world.seed, "after orders")
    draw, wait = random.random((3, len(orders))), random.integers(HOUR, 6 * DAY, (3, len(orders)))
    first_line = np.searchsorted(orders.line_order, np.arange(len(orders)))
    asked, reviewed, surveyed = (np.flatnonzero(draw[i] < share) for i, share in enumerate((0.05, 0.08, 0.06)))

    def about(order: Ints) -> Any:
        return joined(',"order_id":"', taken(texts.order_id, order), '"')

    bought = orders.line_product[first_line[reviewed]]
    is_liked = site.category_of(bought) == world.people.taste[orders.person[reviewed]]
    stars = np.minimum(1 + below(9, world.seed, 73, reviewed) // 2 + is_liked, 5)
    opening = taken(pools.OPENINGS, 2 * (stars - 1) + below(2, world.seed, 75, reviewed))
    remark = taken(pools.REMARKS, below(len(pools.REMARKS), world.seed, 76, reviewed))
    review = joined(',"properties":{"rating":', numbers(stars), ',"text":"', opening, "; ", remark, '."}')
    product = joined(',"product_id":"', taken(site.product_ids(), bought), '"')
    score = joined(',"properties":{"score":', taken([str(s) for s in SCORES], below(len(SCORES), world.seed, 74, surveyed)), "}")
    topics = joined(',"properties":{"topic":"', taken(("delivery", "damage", "invoice", "question"), asked % 4), '"}')
    at = orders.ordered_at + wait
    drafts = (
        (14, "ticket_opened", asked, at[0][asked], joined(about(asked), topics)),
        (15, "ticket_closed", asked, at[0][asked] + 2 * DAY, joined(about(asked), topics)),
        (16, "review_submitted", reviewed, at[1][reviewed] + 5 * DAY, joined(about(reviewed), product, review)),
        (17, "survey_answered", surveyed, at[2][surveyed] + 3 * DAY, joined(about(surveyed), score)),
    )
    return [_rows(texts, n, "crm", event, when, "email", taken(texts.order_email, who), more=more) for n, event, who, when, more in drafts]


def _erasures(texts: Texts) -> list[tuple[pa.Array, Ints]]:
    people = texts.world.people
    person = np.flatnonzero(people.is_contact & (people.erasure_asked_at < texts.world.end))
    return [_rows(texts, 18, "crm", "erasure_requested", people.erasure_asked_at[person], "crm_id", _crm_id(person))]

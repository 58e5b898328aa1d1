"""What marketing truly does: whom it reaches without a visit, and which contact made which order happen.

A visit ends in an order when a uniform draw falls below base + lifts. base is the visitor's own wish to buy; every contact of the days
before adds its campaign's lift, lost by half every HALF_LIFE days. The draw falls either into base (they would have bought anyway) or
into the share of one contact: that one caused the order. People whom chance held out of a campaign have no contact with it, so the
difference between them and the others is its effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connectors.sandbox import pools
from connectors.sandbox.chance import DAY, HOUR, Flags, Floats, Ints, chosen, happens, stream
from connectors.sandbox.people import HAS_PHONE, People
from connectors.sandbox.visits import Visits, is_held_out, is_running, newsletter_at

BASE = 0.1
LAGS = 6  # contacts before the visit that still count
CARRY = 0.6  # of a campaign's lift is left when the contact was before this visit
IMPRESSIONS_PER_30_DAYS = 1.2
MAIL, TEXT, NOTE, MAILING, IMPRESSION = range(5)
# Of its campaign's lift a contact that brought nobody to the shop has so much.
STRENGTH = (0.25, 0.4, 0.3, 1.0, 0.35)
SHOWN = ("d-31", "m-21", "m-22")
SHOWN_WEIGHTS = (0.6, 0.25, 0.15)


@dataclass(frozen=True)
class Exposures:
    """Contacts without a visit, one place each: letters, texts, notes on the phone, mailings, ads shown.

    campaign: place in pools.CAMPAIGNS; number: which newsletter, text, note or ad of the campaign it was.
    """

    kind: Ints
    person: Ints
    at: Ints
    campaign: Ints
    number: Ints

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True)
class Causes:
    """Per visit: whether it ends in an order, and why: the visit or exposure that caused it, both -1 when it came of itself."""

    has_order: Flags
    visit: Ints
    exposure: Ints


def make_exposures(seed: int, people: People, days: int, start: int) -> Exposures:
    """In the order of the kinds; only people whom the campaign may reach."""
    contact, end = np.flatnonzero(people.is_contact), start + days * DAY
    weeks, fortnights = np.arange(1, (days - 1) // 7 + 2), np.arange(max(days // 14, 1))
    mailed, letter = _each(contact, weeks)
    texted, text = _each(contact[happens(HAS_PHONE, seed, 6, contact)], fortnights)
    noted, note = _each(contact[people.has_app[contact]], weeks)
    random = stream(seed, "impressions")
    shown = np.repeat(np.arange(len(people)), random.poisson(IMPRESSIONS_PER_30_DAYS * days / 30, len(people)))
    ads = np.asarray([pools.PLACES[key] for key in SHOWN])[chosen(random, SHOWN_WEIGHTS, len(shown))]
    seen_at = people.joined[shown] + (random.random(len(shown)) * (people.left - people.joined)[shown]).astype(np.int64)
    posted_at = np.full(len(contact), start + int(days * 0.3) * DAY + 9 * HOUR)
    drafts = (
        (MAIL, pools.NEWSLETTER, mailed, letter, newsletter_at(seed, start, letter, mailed)),
        # texts leave over a quarter of an hour, notes within a minute
        (TEXT, "s-61", texted, text, start + (text * 14 + 2) * DAY + 16 * HOUR + texted % 900_000),
        (NOTE, "u-71", noted, note, start + (note * 7 - 2) * DAY + 18 * HOUR + noted % 60_000),
        (MAILING, "p-81", contact, 0 * contact, posted_at),
        (IMPRESSION, ads, shown, shown % 2, seen_at),
    )
    parts = []
    for kind, key, person, number, at in drafts:
        campaign = np.full(len(person), pools.PLACES[key]) if isinstance(key, str) else key
        reached = ~is_held_out(seed, campaign, person) & is_running(campaign, at, start, days) & (at >= start) & (at < end - HOUR)
        if kind != IMPRESSION:
            reached &= people.may_be_written(person, at)
        if kind == MAIL:
            reached &= at < people.unsubscribed_at[person]
        parts.append([one[reached] for one in (np.full(len(person), kind), person, at, campaign, number)])
    return Exposures(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _each(person: Ints, number: Ints) -> tuple[Ints, Ints]:
    """Every person with every number."""
    return np.repeat(person, len(number)), np.tile(number, len(person))


def base_of(visits: Visits, people: People) -> Floats:
    """How likely each visit ends in an order without any marketing."""
    brand = np.asarray([one.campaign == "brand-search" for one in pools.ENTRIES] + [False])[visits.entry]
    intent = np.asarray(pools.INTENT)[visits.channel] * np.where(brand, pools.BRAND_INTENT, 1.0)
    base = BASE * people.keenness[visits.person.clip(0)] * intent * (0.55 + 0.15 * np.minimum(visits.ordinal, 5))
    return np.where(visits.person < 0, 0.0, base)


def decide_orders(seed: int, people: People, visits: Visits, exposures: Exposures) -> Causes:
    """Which visits end in an order, and what caused it."""
    count, lifts = len(visits), np.asarray([one.lift for one in pools.CAMPAIGNS])
    person = np.concatenate([visits.person, exposures.person])
    at = np.concatenate([visits.started, exposures.at])
    lift = np.concatenate([lifts[visits.campaign], lifts[exposures.campaign] * np.asarray(STRENGTH)[exposures.kind]])
    order = np.lexsort((at, person))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    here = place[:count]
    draw, edge = stream(seed, "orders decided").random(count), base_of(visits, people)
    cause = np.full(count, -1, dtype=np.int64)
    for lag in range(LAGS + 1):
        touch = order[(here - lag).clip(0)]
        is_own = (here >= lag) & (person[touch] == visits.person) & (visits.person >= 0)
        lost = 0.5 ** ((visits.started - at[touch]) / DAY / pools.HALF_LIFE)
        share = np.where(is_own, lift[touch] * lost * (CARRY if lag else 1.0), 0.0)
        cause = np.where((draw >= edge) & (draw < edge + share), touch, cause)
        edge = edge + share
    is_visit = (cause >= 0) & (cause < count)
    return Causes(draw < edge, np.where(is_visit, cause, -1), np.where(cause >= count, cause - count, -1))

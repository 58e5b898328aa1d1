"""The web event log: the steps of every visit, what befalls their records, and the copies that arrive besides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from connectors.sandbox import pools
from connectors.sandbox.chance import DAY, HOUR, MINUTE, Flags, Ints, Words, below, chosen, mixed, stream
from connectors.sandbox.mess import CODES, FAULTS, Mess
from connectors.sandbox.people import People
from connectors.sandbox.visits import Visits

LANDING, LOGIN, BROWSE, SEARCH, PRODUCT, CART, CHECKOUT, ORDER = range(8)
NORMAL, RETRY, CONFLICT = range(3)
# 1 January 2100
FAR_FUTURE = 4_102_444_800_000


@dataclass(frozen=True)
class Events:
    """One place per record of the web event log, by received time; copy says NORMAL, RETRY or CONFLICT, fault is a place in FAULTS.

    event_at is when it happened; what the record says of that is in `stated`.
    """

    visit: Ints
    kind: Ints
    event_at: Ints
    received_at: Ints
    product: Ints
    id: Words
    copy: Ints
    fault: Ints

    def __len__(self) -> int:
        return len(self.visit)


def make_events(seed: int, people: People, visits: Visits, has_order: Flags, days: int, start: int, mess: Mess) -> tuple[Events, Events]:
    """(what was done, one place per event; the records of the log, by received time)."""
    done = _done(seed, people, visits, has_order)
    return done, _with_copies(seed, _delayed(seed, done, days, start, mess), days, start, mess)


def _done(seed: int, people: People, visits: Visits, has_order: Flags) -> Events:
    """Landing, login, pages, search, products, cart, checkout, order: the steps of every visit in this order, seconds to minutes apart."""
    random, count = stream(seed, "events"), len(visits)
    is_bot = visits.person < 0
    has_account = people.has_account[visits.person.clip(0)] & ~is_bot
    has_cart = has_order | ~is_bot & (random.random(count) < 0.12)
    steps = (
        np.ones(count, dtype=np.int64),
        has_account & (has_order | (random.random(count) < 0.4)),
        random.geometric(0.55, count).clip(1, 8) - 1 + 4 * is_bot,
        ~is_bot & (random.random(count) < 0.22),
        np.where(is_bot, 0, np.maximum(random.geometric(0.45, count).clip(1, 9) - 1, has_cart)),
        has_cart,
        has_order | has_cart & (random.random(count) < 0.35),
        has_order,
    )
    ends = np.cumsum(np.stack(steps), axis=0)
    each = ends[-1]
    visit = np.repeat(np.arange(count, dtype=np.int32), each)
    begins = np.cumsum(each) - each
    step = np.arange(len(visit)) - begins[visit]
    kind = sum((step >= end[visit]).astype(np.int8) for end in ends[:-1])
    gaps = np.where(step == 0, 0, random.integers(4_000, 100_000, len(visit)))
    passed = np.cumsum(gaps)
    event_at = visits.started[visit] + passed - passed[begins][visit]
    return Events(
        visit=visit,
        kind=np.asarray(kind),
        event_at=event_at,
        received_at=event_at + random.integers(40, 4_000, len(visit)),
        product=_products(random, people, visits, visit, np.asarray(kind)),
        id=mixed(seed, 4, np.arange(len(visit))),
        copy=np.zeros(len(visit), dtype=np.int8),
        fault=np.zeros(len(visit), dtype=np.int8),
    )


def _products(random: np.random.Generator, people: People, visits: Visits, visit: Ints, kind: Ints) -> Ints:
    """What each event is about: half of all looks go to the visitor's favourite category; what was looked at last is put in the cart."""
    kinds = len(pools.NOUNS)
    popular = chosen(random, 1.0 / np.arange(8, pools.PRODUCTS + 8), len(visit)).astype(np.int16)
    rank = chosen(random, 1.0 / np.arange(3, 2 * len(pools.MATERIALS) + 3), len(visit)).astype(np.int16)
    taste = np.where(visits.person < 0, -1, people.taste[visits.person.clip(0)]).astype(np.int16)[visit]
    liked = rank // 2 * kinds + 2 * taste + rank % 2
    product = np.where((taste >= 0) & (random.random(len(visit)) < 0.55), liked, popular)
    looked = np.maximum.accumulate(np.where(kind == PRODUCT, np.arange(len(visit)), 0))
    return np.where(kind > PRODUCT, product[looked], product)


def _delayed(seed: int, done: Events, days: int, start: int, mess: Mess) -> Events:
    """The same with faults drawn, and received later where the fault says so; what would arrive after the world's end is not late."""
    random = stream(seed, "faults")
    shares = [getattr(mess, fault.name) for fault in FAULTS[1:]]
    fault = chosen(random, [1 - sum(shares), *shares], len(done)).astype(np.int8)
    wait = np.where(
        fault == CODES["late_minutes"],
        random.integers(5 * MINUTE, 10 * HOUR, len(fault)),
        np.where(fault == CODES["late_days"], random.integers(DAY, 30 * DAY, len(fault)), 0),
    )
    in_time = done.received_at + wait < start + days * DAY
    fault[~in_time] = 0
    return replace(done, received_at=done.received_at + np.where(in_time, wait, 0), fault=fault)


def _with_copies(seed: int, events: Events, days: int, start: int, mess: Mess) -> Events:
    """The log as it arrives: some are sent twice, a few come again under the same id with another body. What is copied has no fault."""
    random = stream(seed, "copies")
    draw = random.random(len(events))
    again = np.flatnonzero(draw < mess.sent_twice + mess.other_body)
    copy = np.where(draw[again] < mess.sent_twice, RETRY, CONFLICT).astype(np.int8)
    received = np.concatenate([events.received_at, events.received_at[again] + random.integers(1_000, 30_000, len(again))])
    received = np.minimum(received, start + days * DAY - 1)
    order = np.argsort(received, kind="stable")
    place = np.concatenate([np.arange(len(events)), again])[order]
    fault = events.fault.copy()
    fault[again] = 0
    return Events(
        visit=events.visit[place],
        kind=events.kind[place],
        event_at=events.event_at[place],
        received_at=received[order],
        product=events.product[place],
        id=events.id[place],
        copy=np.concatenate([events.copy, copy])[order],
        fault=fault[place],
    )


def stated(seed: int, events: Events, rows: slice) -> tuple[Ints, Ints]:
    """(event_at, sent_at) as the records of `rows` state them: by a clock that may be wrong, or by none."""
    fault, at, sent = events.fault[rows], events.event_at[rows], events.received_at[rows]
    number = events.id[rows]
    wrong = (1 + below(12, seed, 41, number)) * HOUR * (1 - 2 * below(2, seed, 42, number))
    shift = np.where(fault == CODES["clock_off"], wrong, 0)
    said = np.select(
        [fault == CODES["year_1970"], fault == CODES["year_2100"], fault == CODES["too_late"]],
        [below(MINUTE, seed, 43, number), FAR_FUTURE + below(DAY, seed, 43, number), at - (40 + below(30, seed, 43, number)) * DAY],
        default=at + shift,
    )
    return said, sent + shift


def known_at(events: Events) -> Ints:
    """The best anybody can know of when each event happened: a record that names 1970 or 2100 tells only when it was received."""
    is_lost = (events.fault == CODES["year_1970"]) | (events.fault == CODES["year_2100"])
    return np.where(is_lost, events.received_at, events.event_at)

"""The web event log: the steps of every visit, what befalls their records, and the copies that arrive besides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from connectors.sandbox import pools
from connectors.sandbox.chance import DAY, HOUR, MINUTE, Flags, Ints, Words, below, chosen, happens, mixed, stream
from connectors.sandbox.mess import CODES, FAULTS, Mess
from connectors.sandbox.people import People
from connectors.sandbox.visits import BURST, PATIENT, RUSH, Visits

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


def make_events(seed: int, people: People, visits: Visits, has_order: Flags) -> Events:
    """What was done, by visit: landing, login, pages, search, products, cart, checkout, order in this order, seconds to minutes apart;
    by hasty crawlers about a second apart."""
    random, count = stream(seed, "events"), len(visits)
    is_bot = visits.person < 0
    has_account = people.has_account[visits.person.clip(0)] & ~is_bot
    has_cart = has_order | ~is_bot & (random.random(count) < 0.12)
    pages = random.geometric(0.55, count).clip(1, 8) - 1 + 4 * is_bot
    for pace, least, range_ in ((BURST, 40, 40), (RUSH, 12, 13)):
        pages = np.where(visits.pace == pace, least + below(range_, seed, 45, visits.token), pages)
    steps = (
        np.ones(count, dtype=np.int8),
        has_account & (has_order | (random.random(count) < 0.4)),
        pages,
        ~is_bot & (random.random(count) < 0.22),
        np.where(is_bot, 0, np.maximum(random.geometric(0.45, count).clip(1, 9) - 1, has_cart)),
        has_cart,
        has_order | has_cart & (random.random(count) < 0.35),
        has_order,
    )
    each = np.stack([one.astype(np.int8) for one in steps], axis=1)
    kind = np.repeat(np.tile(np.arange(len(steps), dtype=np.int8), count), each.ravel())
    sizes = each.sum(axis=1)
    visit = np.repeat(np.arange(count, dtype=np.int32), sizes)
    gaps = random.integers(4_000, 100_000, len(visit), dtype=np.int32)
    hasty = np.flatnonzero((visits.pace != PATIENT)[visit])
    gaps[hasty] = 250 + gaps[hasty] % 1_000
    begins = np.cumsum(sizes) - sizes
    gaps[begins] = 0
    event_at = np.cumsum(gaps, dtype=np.int64)
    event_at += (visits.started - event_at[begins])[visit]
    return Events(
        visit=visit,
        kind=kind,
        event_at=event_at,
        received_at=event_at + random.integers(40, 4_000, len(visit), dtype=np.int32),
        product=_products(random, people, visits, visit, kind),
        id=mixed(seed, 4, np.arange(len(visit))),
        copy=np.zeros(len(visit), dtype=np.int8),
        fault=np.zeros(len(visit), dtype=np.int8),
    )


def _products(random: np.random.Generator, people: People, visits: Visits, visit: Ints, kind: Ints) -> Ints:
    """What each event is about: half of all looks go to the visitor's favourite category; what was looked at last is put in the cart."""
    taste = np.where(visits.person < 0, -1, people.taste[visits.person.clip(0)]).astype(np.int16)[visit]
    likes = (taste >= 0) & (random.random(len(visit), dtype=np.float32) < 0.55)
    product = np.empty(len(visit), dtype=np.int16)
    product[~likes] = chosen(random, 1.0 / np.arange(8, pools.PRODUCTS + 8), int((~likes).sum()))
    rank = chosen(random, 1.0 / np.arange(3, 2 * len(pools.MATERIALS) + 3), int(likes.sum())).astype(np.int16)
    product[likes] = rank // 2 * len(pools.NOUNS) + 2 * taste[likes] + rank % 2
    looked = np.maximum.accumulate(np.where(kind == PRODUCT, np.arange(len(visit), dtype=np.int32), np.int32(0)))
    return np.where(kind > PRODUCT, product[looked], product)


def arrived(seed: int, done: Events, cookie: Words, days: int, start: int, mess: Mess) -> Events:
    """The records of what was done, by the time they were received: with their faults, and with the copies that come besides.

    cookie: of each visit; the clocks of some of these browsers are wrong.
    """
    shares = [1 - mess.sent_twice - mess.other_body, mess.sent_twice, mess.other_body]
    copy = chosen(stream(seed, "copied"), shares, len(done)).astype(np.int8)
    wrong_clock = happens(mess.clock_off, seed, 44, cookie)[done.visit]
    return _with_copies(seed, _delayed(seed, done, copy == NORMAL, wrong_clock, days, start, mess), copy, days, start)


def _delayed(seed: int, done: Events, may_fail: Flags, wrong_clock: Flags, days: int, start: int, mess: Mess) -> Events:
    """The same with faults drawn, and received later where the fault says so; what would arrive after the world's end is not late."""
    random = stream(seed, "faults")
    shares = [0.0 if fault.of_browser else getattr(mess, fault.name) for fault in FAULTS[1:]]
    fault = chosen(random, [1 - sum(shares), *shares], len(done)).astype(np.int8)
    fault[~may_fail] = 0
    received_at = done.received_at.copy()
    for name, least, most in (("late_minutes", 5 * MINUTE, 10 * HOUR), ("late_days", DAY, 30 * DAY)):
        place = np.flatnonzero(fault == CODES[name])
        later = done.received_at[place] + random.integers(least, most, len(place))
        in_time = later < start + days * DAY
        fault[place[~in_time]] = 0
        received_at[place[in_time]] = later[in_time]
    fault[wrong_clock & may_fail & (fault == 0)] = CODES["clock_off"]
    return replace(done, received_at=received_at, fault=fault)


def _with_copies(seed: int, events: Events, copy: Ints, days: int, start: int) -> Events:
    """The log as it arrives: some are sent twice, a few come again under the same id with another body. What is copied has no fault."""
    random = stream(seed, "copies")
    again = np.flatnonzero(copy)
    received = np.concatenate([events.received_at, events.received_at[again] + random.integers(1_000, 30_000, len(again))])
    np.minimum(received, start + days * DAY - 1, out=received)
    order = np.argsort(received, kind="stable").astype(np.int32)
    place = np.concatenate([np.arange(len(events), dtype=np.int32), again.astype(np.int32)])[order]
    return Events(
        visit=events.visit[place],
        kind=events.kind[place],
        event_at=events.event_at[place],
        received_at=received[order],
        product=events.product[place],
        id=events.id[place],
        copy=np.concatenate([events.copy, copy[again]])[order],
        fault=events.fault[place],
    )


def stated(seed: int, events: Events, cookie: Words, rows: slice) -> tuple[Ints, Ints]:
    """(event_at, sent_at) as the records of `rows` state them: by a clock that may be wrong, or by none. cookie: of each visit."""
    fault, at, sent = events.fault[rows], events.event_at[rows], events.received_at[rows]
    number = events.id[rows]
    browser = cookie[events.visit[rows]]
    wrong = (1 + below(12, seed, 41, browser)) * HOUR * (1 - 2 * below(2, seed, 42, browser))
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

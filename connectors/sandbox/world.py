"""The sandbox world as numbers: people, their visits, what they look at, order and send back. Seeded: same arguments, same world.

Everything is an array with one place per person, visit, event, order or order line; no loop runs over them. Each part draws from its own
Philox stream of the seed, so that a change in one part leaves the others as they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.sandbox import pools

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
DAY = 86_400_000  # milliseconds
HOUR = 3_600_000
PRODUCTS = len(pools.MATERIALS) * len(pools.NOUNS)
VISITS_PER_30_DAYS = 2.9
EMAIL = pools.CHANNELS.index("email")
DIRECT = pools.CHANNELS.index("direct")
LANDING, LOGIN, BROWSE, PRODUCT, CART, ORDER = range(6)
NORMAL, RETRY, CONFLICT = range(3)


@dataclass(frozen=True)
class People:
    """One place per person: has_account people sign in; contacts stand in the CRM."""

    has_account: Flags
    is_contact: Flags
    has_two_devices: Flags
    clears_cookies: Flags
    first_name: Ints
    last_name: Ints
    mail_host: Ints
    country: Ints
    address: Ints
    device: Ints
    consents_marketing: Flags

    def __len__(self) -> int:
        return len(self.country)


@dataclass(frozen=True)
class Visits:
    """One place per visit, by person, then start. person is -1 for a crawler; started in ms since 1970."""

    person: Ints
    started: Ints
    channel: Ints
    entry: Ints
    cookie: npt.NDArray[np.uint64]
    token: npt.NDArray[np.uint64]
    address: Ints
    agent: Ints
    pages: Ints
    products: Ints
    has_login: Flags
    has_cart: Flags
    has_order: Flags
    order: Ints  # place in Orders, -1 without


@dataclass(frozen=True)
class Events:
    """One place per record of the web event log, by received time; copy says NORMAL, RETRY or CONFLICT."""

    visit: Ints
    step: Ints
    kind: Ints
    event_at: Ints
    received_at: Ints
    product: Ints
    id: npt.NDArray[np.uint64]
    copy: Ints


@dataclass(frozen=True)
class Orders:
    """Orders and their lines. Amounts are pence or cents; line arrays are sorted by order."""

    person: Ints
    ordered_at: Ints
    is_euro: Flags
    is_placeholder: Flags
    total: Ints
    line_order: Ints
    line_number: Ints
    line_product: Ints
    line_quantity: Ints
    line_price: Ints


@dataclass(frozen=True)
class World:
    seed: int
    first_day: date
    days: int
    people: People
    visits: Visits
    events: Events
    orders: Orders
    prices: Ints  # product × 2: before and after its change
    price_change_day: Ints  # per product, the day of the change; `days` = never

    @property
    def start(self) -> int:
        """The first instant, in ms since 1970."""
        return (self.first_day - date(1970, 1, 1)).days * DAY


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one part of the world."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *name.encode()])))


def mixed(*parts: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """A well-spread 64-bit number of the given integers (splitmix64 rounds): ids that no two places share by chance."""
    state: Any = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        for part in parts:
            state = state + np.asarray(part).astype(np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(0x632BE59BD9B4E019)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray(state)


def chosen(random: np.random.Generator, weights: npt.ArrayLike, count: int) -> Ints:
    """`count` places of `weights`, drawn by weight."""
    edges = np.cumsum(np.asarray(weights, dtype=float))
    return np.searchsorted(edges / edges[-1], random.random(count), side="right").clip(0, len(edges) - 1).astype(np.int64)


def make_world(people: int, days: int, until: date, seed: int) -> World:
    """The whole world. until is its last day, inclusive."""
    first_day = until - timedelta(days=days - 1)
    start = (first_day - date(1970, 1, 1)).days * DAY
    persons = _people(seed, people)
    random = stream(seed, "prices")
    before = np.rint(np.exp(random.normal(2.9, 0.55, PRODUCTS)) * 2).astype(np.int64) * 50 + 145
    prices = np.stack([before, np.rint(before * random.choice([0.85, 0.9, 1.1], PRODUCTS)).astype(np.int64)], axis=1)
    change_day = np.where(random.random(PRODUCTS) < 0.3, random.integers(1, max(days, 2), PRODUCTS), days)
    visits = _visits(seed, persons, days, start)
    events = _events(seed, visits, days, start)
    orders = _orders(seed, persons, visits, events, prices, change_day, start)
    return World(seed, first_day, days, persons, visits, _with_copies(seed, events, days, start), orders, prices, change_day)


def _people(seed: int, count: int) -> People:
    random = stream(seed, "people")
    has_account = random.random(count) < 0.55
    return People(
        has_account=has_account,
        is_contact=has_account & (random.random(count) < 0.65) | (random.random(count) < 0.06),
        has_two_devices=random.random(count) < 0.22,
        clears_cookies=random.random(count) < 0.10,
        first_name=random.integers(0, len(pools.FIRST_NAMES), count),
        last_name=random.integers(0, len(pools.LAST_NAMES), count),
        mail_host=random.integers(0, len(pools.MAIL_HOSTS), count),
        country=chosen(random, [weight for _, _, weight in pools.COUNTRIES], count),
        address=random.integers(0, 254 * 254, count),
        device=random.integers(0, len(pools.AGENTS), count),
        consents_marketing=random.random(count) < 0.88,
    )


def _visits(seed: int, people: People, days: int, start: int) -> Visits:
    random = stream(seed, "visits")
    # A gamma rate per person: most come once or twice, some often.
    each = 1 + random.poisson(random.gamma(0.9, max(VISITS_PER_30_DAYS * days / 30 - 1, 0.2) / 0.9, len(people)))
    person = np.repeat(np.arange(len(people)), each)
    crawls = max(len(person) // 50, 3)
    person = np.concatenate([person, np.full(crawls, -1)])
    count = len(person)
    is_bot = person < 0
    hours = chosen(random, [1, 1, 1, 1, 1, 2, 4, 7, 9, 10, 11, 12, 13, 12, 11, 11, 12, 13, 15, 17, 18, 14, 8, 3], count)
    started = start + random.integers(0, days, count) * DAY + hours * HOUR + random.integers(0, HOUR, count)
    # The last visits end before the world does, so that every event has its day's file.
    started = np.minimum(started, start + days * DAY - 2 * HOUR + random.integers(0, HOUR // 2, count))
    order = np.lexsort((started, person))
    person, started, is_bot = person[order], started[order], is_bot[order]
    begins = np.flatnonzero(np.r_[True, person[1:] != person[:-1]])
    ordinal = np.arange(count) - np.repeat(begins, np.diff(np.r_[begins, count]))
    ordinal[is_bot] = 0

    channel = np.where(ordinal == 0, chosen(random, pools.FIRST_VISIT, count), chosen(random, pools.LATER_VISIT, count))
    known = np.where(is_bot, 0, person)
    channel = np.where(is_bot | (channel == EMAIL) & ~people.is_contact[known], DIRECT, channel)
    entry = _entries(random, channel)
    buys = np.asarray(pools.BUYS)[channel] * (0.135 + 0.03 * np.minimum(ordinal, 5))
    has_order = ~is_bot & (random.random(count) < buys)
    has_account = people.has_account[known] & ~is_bot
    has_cart = has_order | ~is_bot & (random.random(count) < 0.12)
    second = people.has_two_devices[known] & (random.random(count) < 0.4)
    cleared = np.where(people.clears_cookies[known], (started - start) // (7 * DAY), 0)
    serial = np.arange(count)
    cookie = np.where(is_bot, mixed(seed, 1, serial), mixed(seed, 2, known, second, cleared))
    agent = np.where(
        second, pools.DESKTOP_AGENTS + (people.device[known] % (len(pools.AGENTS) - pools.DESKTOP_AGENTS)), people.device[known]
    )
    return Visits(
        person=person,
        started=started,
        channel=channel,
        entry=entry,
        cookie=cookie,
        token=mixed(seed, 3, serial),
        address=np.where(is_bot, serial % 60_000, people.address[known]),
        agent=np.where(is_bot, len(pools.AGENTS) + serial % len(pools.BOT_AGENTS), agent),
        pages=random.geometric(0.55, count).clip(1, 8) - 1 + 4 * is_bot,
        products=np.where(is_bot, 0, np.maximum(random.geometric(0.42, count).clip(1, 9) - 1, has_cart)),
        has_login=has_account & (has_order | (random.random(count) < 0.4)),
        has_cart=has_cart,
        has_order=has_order,
        order=np.where(has_order, np.cumsum(has_order) - 1, -1),
    )


def _entries(random: np.random.Generator, channel: Ints) -> Ints:
    """A way in for each visit; e-mail visits get the places after pools.ENTRIES, one per campaign week (see files)."""
    entry = np.full(len(channel), -1, dtype=np.int64)
    draw = random.random(len(channel))
    for place, name in enumerate(pools.CHANNELS):
        of_channel = [i for i, one in enumerate(pools.ENTRIES) if one.channel == name]
        if of_channel:
            edges = np.cumsum([pools.ENTRIES[i].weight for i in of_channel])
            mask = channel == place
            entry[mask] = np.asarray(of_channel)[np.searchsorted(edges / edges[-1], draw[mask], side="right").clip(0, len(of_channel) - 1)]
    return entry


def _events(seed: int, visits: Visits, days: int, start: int) -> Events:
    """Landing, login, pages, products, cart, order: the steps of every visit in this order, seconds to minutes apart."""
    random = stream(seed, "events")
    ends = np.cumsum(
        np.stack(
            [
                np.ones(len(visits.person), dtype=np.int64),
                visits.has_login,
                visits.pages,
                visits.products,
                visits.has_cart,
                visits.has_order,
            ]
        ),
        axis=0,
    )
    each = ends[-1]
    visit = np.repeat(np.arange(len(each)), each)
    begins = np.cumsum(each) - each
    step = np.arange(len(visit)) - begins[visit]
    kind = sum((step >= end[visit]).astype(np.int64) for end in ends[:-1])
    gaps = np.where(step == 0, 0, random.integers(4_000, 100_000, len(visit)))
    passed = np.cumsum(gaps)
    event_at = visits.started[visit] + passed - passed[begins][visit]
    received = event_at + random.integers(40, 4_000, len(visit))
    late = np.where(random.random(len(visit)) < 0.01, random.integers(1, 6, len(visit)), 0)
    on_time = received + late * DAY < start + days * DAY
    popular = 1.0 / np.arange(3, PRODUCTS + 3)
    return Events(
        visit=visit,
        step=step,
        kind=np.asarray(kind),
        event_at=event_at,
        received_at=received + np.where(on_time, late, 0) * DAY,
        product=chosen(random, popular, len(visit)),
        id=mixed(seed, 4, np.arange(len(visit))),
        copy=np.zeros(len(visit), dtype=np.int64),
    )


def _with_copies(seed: int, events: Events, days: int, start: int) -> Events:
    """The log as it arrives: 0.5 % are sent twice, 0.1 % come again under the same id with another body."""
    random = stream(seed, "copies")
    draw = random.random(len(events.visit))
    again = np.flatnonzero(draw < 0.006)
    copy = np.where(draw[again] < 0.005, RETRY, CONFLICT)
    place = np.concatenate([np.arange(len(events.visit)), again])
    received = np.concatenate([events.received_at, events.received_at[again] + random.integers(1_000, 30_000, len(again))])
    received = np.minimum(received, start + days * DAY - 1)
    order = np.argsort(received, kind="stable")
    place = place[order]
    return Events(
        visit=events.visit[place],
        step=events.step[place],
        kind=events.kind[place],
        event_at=events.event_at[place],
        received_at=received[order],
        product=events.product[place],
        id=events.id[place],
        copy=np.concatenate([events.copy, copy])[order],
    )


def _orders(seed: int, people: People, visits: Visits, events: Events, prices: Ints, change_day: Ints, start: int) -> Orders:
    random = stream(seed, "orders")
    placed = np.flatnonzero(events.kind == ORDER)
    visit = events.visit[placed]
    count = len(placed)
    ordered_at = events.event_at[placed]
    lines = random.choice([1, 2, 3, 4], count, p=[0.55, 0.27, 0.12, 0.06])
    line_order = np.repeat(np.arange(count), lines)
    number = np.arange(len(line_order)) - np.repeat(np.cumsum(lines) - lines, lines) + 1
    # Different products on the lines of one order: steps of 7 never meet within four lines.
    product = (events.product[placed][line_order] + (number - 1) * 7) % PRODUCTS
    quantity = random.choice([1, 2, 3, 6], len(line_order), p=[0.78, 0.15, 0.05, 0.02])
    day = (ordered_at[line_order] - start) // DAY
    price = prices[product, (day >= change_day[product]).astype(np.int64)]
    person = visits.person[visit]
    euro = np.isin(people.country, [i for i, (code, _, _) in enumerate(pools.COUNTRIES) if code in pools.EURO_COUNTRIES])
    return Orders(
        person=person,
        ordered_at=ordered_at,
        is_euro=euro[person],
        is_placeholder=random.random(count) < 0.006,
        total=np.bincount(line_order, weights=price * quantity, minlength=count).astype(np.int64),
        line_order=line_order,
        line_number=number,
        line_product=product,
        line_quantity=quantity,
        line_price=price,
    )

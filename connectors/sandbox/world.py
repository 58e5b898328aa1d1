"""The sandbox world as numbers: people, their visits, what they look at, order and send back. Seeded: same arguments, same world.

Everything is an array with one place per person, visit, event, order or order line; no loop runs over them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from connectors.kernel.errors import ConnectorError
from connectors.sandbox import effects, log, orders as shop, people as folk, visits as traffic
from connectors.sandbox.chance import DAY, Ints
from connectors.sandbox.mess import MESS, Mess

# instants count from 1970, before which no contact may be created, and a record that names 2100 is one whose clock is wrong
EARLIEST, LATEST = date(1971, 1, 1), date(2099, 12, 31)


@dataclass(frozen=True)
class World:
    seed: int
    mess: Mess
    first_day: date
    days: int
    people: folk.People
    visits: traffic.Visits
    exposures: effects.Exposures
    causes: effects.Causes
    events: log.Events
    orders: shop.Orders
    prices: Ints  # product × 2: before and after its change
    price_change_day: Ints  # per product, the day of the change; `days` = never

    @property
    def start(self) -> int:
        """The first instant, in ms since 1970."""
        return (self.first_day - date(1970, 1, 1)).days * DAY

    @property
    def end(self) -> int:
        """The first instant after it."""
        return self.start + self.days * DAY

    def day_of(self, instant: Ints) -> Ints:
        """Place of the instants' days, from 0."""
        return (instant - self.start) // DAY

    def without_faults(self) -> World:
        """The same world whose records came in one piece, by a right clock; late ones and copies stay."""
        return replace(self, events=replace(self.events, fault=np.zeros_like(self.events.fault)))

    @property
    def order_of_visit(self) -> Ints:
        """Per visit its place in Orders, -1 without."""
        return np.where(self.causes.has_order, np.cumsum(self.causes.has_order) - 1, -1)


def make_world(people: int, days: int, until: date, seed: int, mess: Mess = MESS) -> World:
    """The whole world. until is its last day, inclusive. Raises ConnectorError where its days are not within EARLIEST … LATEST."""
    if until > LATEST or until.toordinal() - days + 1 < EARLIEST.toordinal():
        raise ConnectorError(
            f"a sandbox world of {days} days until {until} does not lie between {EARLIEST} and {LATEST}; give another --until or fewer --days"
        )
    first_day = until - timedelta(days=days - 1)
    start = (first_day - date(1970, 1, 1)).days * DAY
    persons = folk.make_people(seed, people, days, start, mess)
    visits = traffic.make_visits(seed, persons, days, start, mess)
    exposures = effects.make_exposures(seed, persons, days, start)
    causes = effects.decide_orders(seed, persons, visits, exposures)
    done = log.make_events(seed, persons, visits, causes.has_order)
    prices, change_day = shop.make_prices(seed, days)
    orders = shop.make_orders(seed, persons, visits, done, prices, change_day, days, start, mess)
    events = log.arrived(seed, done, visits.cookie, days, start, mess)
    return World(seed, mess, first_day, days, persons, visits, exposures, causes, events, orders, prices, change_day)

"""Orders and their lines, what is sent back, and what money is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from connectors.sandbox import pools
from connectors.sandbox.chance import DAY, HOUR, Flags, Floats, Ints, stream
from connectors.sandbox.log import ORDER, Events
from connectors.sandbox.mess import Mess
from connectors.sandbox.people import People
from connectors.sandbox.visits import Visits

CURRENCIES = ("GBP", "EUR")


@dataclass(frozen=True)
class Orders:
    """Orders, their lines and refunds. Amounts are pence or cents; line arrays are sorted by order.

    slot: which of the buyer's mailboxes was typed. visit: place in Visits.
    """

    visit: Ints
    person: Ints
    ordered_at: Ints
    is_euro: Flags
    slot: Ints
    has_typo: Flags
    is_placeholder: Flags
    is_placeholder_phone: Flags
    total: Ints
    line_order: Ints
    line_number: Ints
    line_product: Ints
    line_quantity: Ints
    line_price: Ints
    refund_line: Ints
    refund_quantity: Ints
    refunded_at: Ints

    def __len__(self) -> int:
        return len(self.visit)

    @property
    def refund_amount(self) -> Ints:
        return self.refund_quantity * self.line_price[self.refund_line]


def make_prices(seed: int, days: int) -> tuple[Ints, Ints]:
    """(product × 2: before and after its change, in pence; per product the day of the change, `days` = never)."""
    random = stream(seed, "prices")
    count = pools.PRODUCTS
    before = np.rint(np.exp(random.normal(2.9, 0.55, count)) * 2).astype(np.int64) * 50 + 145
    prices = np.stack([before, np.rint(before * random.choice([0.85, 0.9, 1.1], count)).astype(np.int64)], axis=1)
    return prices, np.where(random.random(count) < 0.3, random.integers(1, max(days, 2), count), days)


def exchange_rates(seed: int, days: int) -> npt.NDArray[np.float64]:
    """Currency (EUR, USD) × day: GBP for one."""
    random = stream(seed, "rates")
    return np.stack([begin + np.cumsum(random.normal(0, step, days)) for begin, step in ((0.8640, 0.0015), (0.7580, 0.002))]).round(6)


def make_orders(
    seed: int, people: People, visits: Visits, done: Events, prices: Ints, change_day: Ints, days: int, start: int, mess: Mess
) -> Orders:
    """done: what was done, in the order of the visits."""
    random = stream(seed, "orders")
    placed = np.flatnonzero(done.kind == ORDER)
    visit, ordered_at, count = done.visit[placed].astype(np.int64), done.event_at[placed], len(placed)
    lines = random.choice([1, 2, 3, 4], count, p=[0.55, 0.27, 0.12, 0.06])
    line_order = np.repeat(np.arange(count), lines)
    number = np.arange(len(line_order)) - np.repeat(np.cumsum(lines) - lines, lines) + 1
    # Different products on the lines of one order: steps of seven kinds never meet within four lines.
    product = (done.product[placed][line_order] + (number - 1) * 7) % pools.PRODUCTS
    quantity = random.choice([1, 2, 3, 6], len(line_order), p=[0.78, 0.15, 0.05, 0.02])
    price = prices[product, ((ordered_at[line_order] - start) // DAY >= change_day[product]).astype(np.int64)]
    person = visits.person[visit]
    euro = np.isin(people.country, [i for i, (code, _, _) in enumerate(pools.COUNTRIES) if code in pools.EURO_COUNTRIES])
    # Signed in, the account's address stands there already.
    slot = np.where(people.has_account[person], 0, random.integers(0, 3, count) % people.mailboxes[person])
    back, back_quantity, back_at = _sent_back(random, ordered_at[line_order], quantity, start + days * DAY)
    return Orders(
        visit=visit,
        person=person,
        ordered_at=ordered_at,
        is_euro=euro[person],
        slot=slot,
        has_typo=~people.has_account[person] & (random.random(count) < 2 * mess.typo_email),
        is_placeholder=random.random(count) < mess.placeholder_email,
        is_placeholder_phone=random.random(count) < mess.placeholder_phone,
        total=np.bincount(line_order, weights=price * quantity, minlength=count).astype(np.int64),
        line_order=line_order,
        line_number=number,
        line_product=product,
        line_quantity=quantity,
        line_price=price,
        refund_line=back,
        refund_quantity=back_quantity,
        refunded_at=back_at,
    )


def _sent_back(random: np.random.Generator, ordered_at: Ints, quantity: Ints, end: int) -> tuple[Ints, Ints, Ints]:
    """6 % of the lines come back, whole or in part, one to ten days later: line, quantity, instant."""
    draw = random.random(len(ordered_at))
    at = ordered_at + random.integers(1, 11, len(draw)) * DAY + random.integers(0, 8 * HOUR, len(draw))
    line = np.flatnonzero((draw < 0.06) & (at < end))
    return line, np.where(draw[line] < 0.02, np.maximum(quantity[line] // 2, 1), quantity[line]), at[line]


def in_pounds(cents: Ints, is_euro: Flags, rate_of_day: Floats) -> Floats:
    """Amounts in GBP. rate_of_day: GBP for one EUR on the day of each amount."""
    return cents / 100 * np.where(is_euro, rate_of_day, 1.0)

"""The people of the world, each with a true identity that no record tells: households, devices, addresses, tastes, consent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from connectors.sandbox import pools
from connectors.sandbox.chance import DAY, NEVER, Flags, Floats, Ints, below, chosen, happens, stream
from connectors.sandbox.mess import Mess

MAILBOXES = 3
HAS_PHONE = 0.6  # share of the contacts whose number stands in the CRM
OFFICE_SEATS = 40
SHOPPER_DAYS = 120  # how long somebody stays interested, on average


@dataclass(frozen=True)
class People:
    """One place per person; instants in ms since 1970, NEVER where it does not happen.

    has_account people sign in; contacts stand in the CRM since `created`. mailbox: person × slot → number of an e-mail address; slot 0
    belongs to the account, the others are typed now and then. joined, left: between these the person visits. taste: favourite category.
    """

    household: Ints
    has_account: Flags
    is_contact: Flags
    has_app: Flags
    devices: Ints
    shares_device: Flags
    first_name: Ints
    last_name: Ints
    mail_host: Ints
    mailboxes: Ints
    mailbox: Ints
    country: Ints
    address: Ints
    office: Ints  # -1: works nowhere we see
    joined: Ints
    left: Ints
    created: Ints
    unsubscribed_at: Ints
    taste: Ints
    keenness: Floats
    allows_analytics: Flags
    allows_marketing: Flags
    allows_personalisation: Flags
    marketing_withdrawn_at: Ints
    erasure_asked_at: Ints

    def __len__(self) -> int:
        return len(self.country)

    def may_be_written(self, person: Ints, at: Ints) -> Flags:
        """Whether a person, at the instant, is a contact who allows marketing and did not ask to be forgotten."""
        is_allowed = self.is_contact[person] & self.allows_marketing[person] & (self.created[person] < at)
        return is_allowed & (at < self.marketing_withdrawn_at[person]) & (at < self.erasure_asked_at[person])


def make_people(seed: int, count: int, days: int, start: int, mess: Mess) -> People:
    """start: the world's first instant. Households are neighbours in the list."""
    random = stream(seed, "people")
    household = np.cumsum(random.random(count) < 0.58) - 1
    household -= household[0] if count else 0
    size = np.bincount(household)[household]
    has_account = random.random(count) < 0.55
    is_contact = has_account & (random.random(count) < 0.8) | (random.random(count) < 0.15)
    end, span = start + days * DAY, days * DAY
    # The shop grows: six of ten knew it before the world begins, the others come ever more often as it goes on.
    is_new = random.random(count) < 0.4
    joined = np.where(is_new, start + (np.sqrt(random.random(count)) * 0.97 * span).astype(np.int64), start)
    left = joined + DAY + (random.exponential(SHOPPER_DAYS, count) * DAY).astype(np.int64)
    created = np.where(is_new, joined, start - random.integers(0, 300 * DAY, count))

    def sometime(share: float) -> Ints:
        """An instant of the world for about `share` of all, after they were created."""
        at = start + random.integers(0, span, count)
        return np.where((random.random(count) < share) & (at > created), at, NEVER)

    country = chosen(random, [weight for _, _, weight in pools.COUNTRIES], count)[household]
    given_again = random.random(count) < mess.recycled_email
    everybody = People(
        household=household,
        has_account=has_account,
        is_contact=is_contact,
        has_app=has_account & (random.random(count) < 0.3),
        devices=random.geometric(0.62, count).clip(1, 5),
        shares_device=(size > 1) & happens(mess.shared_device, seed, 21, household),
        first_name=random.integers(0, len(pools.FIRST_NAMES), count),
        last_name=below(len(pools.LAST_NAMES), seed, 22, household),
        mail_host=random.integers(0, len(pools.MAIL_HOSTS), count),
        mailboxes=random.geometric(0.7, count).clip(1, MAILBOXES),
        mailbox=np.arange(count)[:, None] * MAILBOXES + np.arange(MAILBOXES),
        country=country,
        address=below(254 * 254, seed, 23, household),
        office=np.where(random.random(count) < 0.15, random.integers(0, max(count * 15 // 100 // OFFICE_SEATS, 1), count), -1),
        joined=joined,
        left=np.minimum(left, end),
        created=created,
        unsubscribed_at=sometime(0.05),
        taste=random.integers(0, len(pools.CATEGORIES), count),
        keenness=random.gamma(2.0, 0.5, count).clip(0.05, 4.0),
        allows_analytics=random.random(count) < 0.93,
        allows_marketing=random.random(count) < 0.85,
        allows_personalisation=random.random(count) < 0.6,
        marketing_withdrawn_at=sometime(0.04),
        erasure_asked_at=sometime(0.004),
    )
    return replace(everybody, mailbox=_recycled(everybody, np.flatnonzero(given_again)))


def _recycled(people: People, owners: Ints) -> Ints:
    """The mailboxes, where the accounts of these new owners run on the second address of somebody far away who types it in orders."""
    mailbox = people.mailbox.copy()
    givers = np.flatnonzero(people.mailboxes > 1)
    if len(givers):
        # spread over all givers and half the list away: nobody gives twice, or to himself
        place = (np.arange(len(owners)) * len(givers) // max(len(owners), 1) + len(givers) // 2) % len(givers)
        mailbox[owners, 0] = people.mailbox[givers[place], 1]
    return mailbox

"""When people visit, by which way in, on which device, and what they look at; whether they buy is decided in effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connectors.sandbox import pools
from connectors.sandbox.chance import DAY, HOUR, Flags, Ints, Words, below, chosen, happens, mixed, stream
from connectors.sandbox.mess import Mess
from connectors.sandbox.people import HAS_PHONE, People

VISITS_PER_30_DAYS = 2.9
BY_HOUR = (1, 1, 1, 1, 1, 2, 4, 7, 9, 10, 11, 12, 13, 12, 11, 11, 12, 13, 15, 17, 18, 14, 8, 3)
BY_WEEKDAY = (1.0, 0.95, 0.95, 1.0, 0.9, 1.15, 1.3)  # from Monday
DIRECT, EMAIL, SMS, PUSH = (pools.CHANNELS.index(name) for name in ("direct", "email", "sms", "push"))
SHARED = 99  # the household's device, whoever holds it
PATIENT, BURST, RUSH = range(3)


@dataclass(frozen=True)
class Visits:
    """One place per visit, by person, then start. person is -1 for a crawler; started in ms since 1970.

    entry: place in `entries` of the world (before the landing's variant). campaign: place in pools.CAMPAIGNS of what brought the visitor.
    pace: PATIENT as people are, BURST (dozens of pages within a minute) or RUSH (a dozen or two, each for about a second).
    """

    person: Ints
    started: Ints
    ordinal: Ints
    channel: Ints
    entry: Ints
    variant: Ints
    campaign: Ints
    cookie: Words
    token: Words
    address: Ints
    is_office: Flags
    agent: Ints
    has_cookie: Flags
    has_placeholder_user: Flags
    has_new_release: Flags
    is_disguised: Flags
    pace: Ints

    def __len__(self) -> int:
        return len(self.person)


def newsletter_week(start: int, instant: Ints) -> Ints:
    """Which newsletter is the newest at the instant: one leaves every seventh day at 06:00, number 0 before the world begins."""
    return ((instant - start - 6 * HOUR - HOUR // 2) // (7 * DAY) + 1).clip(0)


def newsletter_at(seed: int, start: int, week: Ints, person: Ints) -> Ints:
    """When a newsletter leaves to a person: over twenty minutes."""
    return start + (week - 1) * 7 * DAY + 6 * HOUR + below(1_200_000, seed, 5, person, week)


def is_held_out(seed: int, campaign: Ints, person: Ints) -> Flags:
    """Whether chance keeps the campaign from the person."""
    shares = np.asarray([one.hold_out for one in pools.CAMPAIGNS])
    return np.asarray(below(1_000_000, seed, 31, campaign, person) < (shares[campaign] * 1_000_000).astype(np.int64))


def is_running(campaign: Ints, started: Ints, start: int, days: int) -> Flags:
    """Whether the campaign runs at the instant."""
    bounds = np.asarray([(one.begins, one.ends) for one in pools.CAMPAIGNS]) * days * DAY + start
    return np.asarray((bounds[campaign, 0] <= started) & ((started < bounds[campaign, 1]) | (bounds[campaign, 1] >= start + days * DAY)))


def make_visits(seed: int, people: People, days: int, start: int, mess: Mess) -> Visits:
    random = stream(seed, "visits")
    person, started = _times(random, people, days, start, mess)
    order = np.lexsort((started, person))
    person, started = person[order], started[order]
    ordinal = _ordinals(person)
    first = chosen(random, pools.FIRST_VISIT, len(person))
    channel = np.where(ordinal == 0, first, chosen(random, pools.LATER_VISIT, len(person)))
    known = person.clip(0)
    channel = np.where((person < 0) | ~_can_be_reached(seed, people, known, channel, started, start), DIRECT, channel)
    entry = _entries(random, channel)
    campaign = campaign_of(entry, channel)
    channel, entry, campaign = _fall_back(~is_running(campaign, started, start, days), channel, entry, campaign)
    # Whom a campaign never reaches comes by himself, or not at all.
    held = (person >= 0) & is_held_out(seed, campaign, known)
    anyway = np.asarray([one.anyway for one in pools.CAMPAIGNS])[campaign]
    channel, entry, campaign = _fall_back(held, channel, entry, campaign)
    kept = ~held | (random.random(len(person)) < anyway)
    person, started, channel, entry, campaign = (one[kept] for one in (person, started, channel, entry, campaign))
    return _on_devices(seed, people, mess, days, start, person, started, channel, entry, campaign)


def _times(random: np.random.Generator, people: People, days: int, start: int, mess: Mess) -> tuple[Ints, Ints]:
    """Person and instant of every visit, crawlers' at the end: between joining and leaving, by weekday and hour."""
    joined, left = ((one - start) / DAY for one in (people.joined, people.left))
    span = (left - joined).clip(0.2)
    # A gamma rate per person: most come once or twice, some often.
    each = 1 + random.poisson(random.gamma(0.9, np.maximum(VISITS_PER_30_DAYS * 1.75 * span / 30 - 1, 0.1) / 0.9))
    crawls = max(int(each.sum() * mess.bots), 3 if mess.bots else 0)
    person = np.concatenate([np.repeat(np.arange(len(people)), each), np.full(crawls, -1)])
    busy = np.cumsum([0, *(BY_WEEKDAY[(start // DAY + 3 + d) % 7] for d in range(days))])
    low, high = (np.interp(bound, np.arange(days + 1), busy) for bound in (joined, joined + span))
    low, high = (np.concatenate([one[person[: len(person) - crawls]], np.full(crawls, edge)]) for one, edge in ((low, 0), (high, busy[-1])))
    day = np.interp(low + random.random(len(person)) * (high - low), busy, np.arange(days + 1)).astype(np.int64).clip(0, days - 1)
    started = start + day * DAY + chosen(random, BY_HOUR, len(person)) * HOUR + random.integers(0, HOUR, len(person))
    # The last visits end before the world does, so that every event has its day's file.
    return person, np.minimum(started, start + days * DAY - 2 * HOUR + random.integers(0, HOUR // 2, len(person)))


def _ordinals(person: Ints) -> Ints:
    """The how-manieth visit of its person each is, from 0; 0 for crawlers."""
    if not len(person):
        return person
    begins = np.flatnonzero(np.r_[True, person[1:] != person[:-1]])
    ordinal = np.arange(len(person)) - np.repeat(begins, np.diff(np.r_[begins, len(person)]))
    return np.where(person < 0, 0, ordinal)


def _can_be_reached(seed: int, people: People, person: Ints, channel: Ints, started: Ints, start: int) -> Flags:
    """Messages bring only those who got them; every other channel brings anybody."""
    sent_at = newsletter_at(seed, start, newsletter_week(start, started), person)
    gets_mail = people.may_be_written(person, sent_at) & (sent_at < people.unsubscribed_at[person])
    may = people.may_be_written(person, started - 2 * DAY)
    has_phone = happens(HAS_PHONE, seed, 6, person)
    return np.select(
        [channel == EMAIL, channel == SMS, channel == PUSH], [gets_mail, may & has_phone, may & people.has_app[person]], default=True
    )


def _entries(random: np.random.Generator, channel: Ints) -> Ints:
    """A way in for each visit, by the weights of its channel; -1 for e-mail, whose ways in are the newsletters."""
    entry = np.full(len(channel), -1, dtype=np.int64)
    draw = random.random(len(channel))
    for place, name in enumerate(pools.CHANNELS):
        of_channel = [i for i, one in enumerate(pools.ENTRIES) if one.channel == name]
        if of_channel:
            edges = np.cumsum([pools.ENTRIES[i].weight for i in of_channel])
            mask = channel == place
            entry[mask] = np.asarray(of_channel)[np.searchsorted(edges / edges[-1], draw[mask], side="right").clip(0, len(of_channel) - 1)]
    return entry


def campaign_of(entry: Ints, channel: Ints) -> Ints:
    """The place in pools.CAMPAIGNS of what brought each visit."""
    keys = [pools.ADS[one.ad].key if one.ad >= 0 else one.campaign_id or one.channel for one in pools.ENTRIES]
    places = np.asarray([*(pools.PLACES[key] for key in keys), pools.PLACES[pools.NEWSLETTER]])
    return places[np.where(channel == EMAIL, len(keys), entry)]


def _fall_back(mask: Flags, channel: Ints, entry: Ints, campaign: Ints) -> tuple[Ints, Ints, Ints]:
    """Channel, entry and campaign with Direct where mask is true."""
    direct = next(i for i, one in enumerate(pools.ENTRIES) if one.channel == "direct")
    return tuple(np.where(mask, to, one) for to, one in ((DIRECT, channel), (direct, entry), (pools.PLACES["direct"], campaign)))  # type: ignore[return-value]


def _on_devices(
    seed: int, people: People, mess: Mess, days: int, start: int, person: Ints, started: Ints, channel: Ints, entry: Ints, campaign: Ints
) -> Visits:
    """The visits on their devices: a person's own, the household's, or at the office; a cookie lasts until it is lost."""
    count, serial = len(person), np.arange(len(person))
    is_bot, known = person < 0, person.clip(0)
    random = stream(seed, "devices")
    hour, weekday = started // HOUR % 24, (started // DAY + 3) % 7
    is_office = ~is_bot & (people.office[known] >= 0) & (hour >= 9) & (hour < 17) & (weekday < 5)
    number = np.where(random.random(count) < 0.65, 0, random.integers(0, 5, count) % people.devices[known])
    is_shared = people.shares_device[known] & ~is_office & (random.random(count) < 0.4)
    device = np.where(is_shared, mixed(seed, 24, people.household[known], SHARED), mixed(seed, 25, known, number))
    # A device's cookies are numbered by how many were lost before, on whichever device: the number only has to change.
    order = np.lexsort((started, device))
    lost = np.empty(count, dtype=np.int64)
    lost[order] = np.cumsum(random.random(count) < mess.lost_cookie)
    kinds = (pools.DESKTOP_AGENTS, len(pools.AGENTS) - pools.DESKTOP_AGENTS)
    wanted = (device % np.uint64(97)).astype(np.int64)
    agent = np.where((number == 0) | is_shared, wanted % kinds[0], kinds[0] + wanted % kinds[1])
    is_disguised = is_bot & (random.random(count) < mess.disguised_bots)
    is_hasty = is_disguised & happens(mess.hasty_bots, seed, 27, serial)
    bot_agent = np.where(is_disguised, serial % len(pools.AGENTS), len(pools.AGENTS) + serial % len(pools.BOT_AGENTS))
    variants = (mess.tags_upper, mess.tags_missing, mess.referrer_stripped)
    variant = chosen(random, [1 - sum(variants), *variants], count)
    is_new = (started - start >= days // 2 * DAY) & happens(mess.unknown_field, seed, 26, device)
    return Visits(
        person=person,
        started=started,
        ordinal=_ordinals(person).astype(np.int16),
        channel=channel.astype(np.int16),
        entry=entry.astype(np.int16),
        variant=np.where(is_bot, 0, variant).astype(np.int16),
        campaign=campaign.astype(np.int16),
        cookie=np.where(is_bot, mixed(seed, 1, serial), mixed(seed, 2, device, lost)),
        token=mixed(seed, 3, serial),
        address=np.where(is_bot, serial % 60_000, np.where(is_office, people.office[known], people.address[known])).astype(np.int32),
        is_office=is_office,
        agent=np.where(is_bot, bot_agent, agent).astype(np.int16),
        has_cookie=is_bot | (random.random(count) >= mess.no_cookie),
        has_placeholder_user=~is_bot & (random.random(count) < mess.placeholder_user),
        has_new_release=~is_bot & is_new,
        is_disguised=is_disguised,
        pace=np.where(is_hasty, BURST + below(2, seed, 28, serial), PATIENT).astype(np.int8),
    )

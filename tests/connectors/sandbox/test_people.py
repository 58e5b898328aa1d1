"""Who people are, and how little of it their records tell."""

from datetime import date

import numpy as np
import pytest

from connectors.sandbox import people as folk, pools, world
from connectors.sandbox.chance import DAY, NEVER
from connectors.sandbox.mess import CLEAN, MESS, tidy_but

UNTIL = date(2026, 11, 20)
START = 20_600 * DAY


@pytest.fixture(scope="module")
def crowd():
    return folk.make_people(5, 20_000, 30, START, MESS)


@pytest.fixture(scope="module")
def one():
    return world.make_world(people=6_000, days=30, until=UNTIL, seed=5)


def test_devices_fall_off_geometrically_from_one_to_five(crowd):
    counts = np.bincount(crowd.devices)
    assert len(counts) == 6 and counts[0] == 0 and (np.diff(counts[1:]) < 0).all()


def test_a_household_has_one_address_and_one_name_and_some_share_a_device(crowd):
    _, first, size = np.unique(crowd.household, return_index=True, return_counts=True)
    for column in (crowd.address, crowd.last_name, crowd.country):
        assert (column == np.repeat(column[first], size)).all()
    large = size > 1
    assert abs(crowd.shares_device[first][large].mean() - MESS.shared_device) < 0.03
    assert not crowd.shares_device[first][~large].any()


def test_an_office_is_shared_by_dozens_on_weekdays_only(one):
    visits = one.visits
    at_work = visits.is_office
    assert at_work.any() and ((visits.started[at_work] // DAY + 3) % 7 < 5).all()
    seats = np.bincount(one.people.office[one.people.office >= 0])
    assert 20 < seats.mean() < 80
    assert (visits.address[at_work] == one.people.office[visits.person[at_work]]).all()


def test_recycled_addresses_are_an_others_second_one():
    plain, recycled = (folk.make_people(5, 5_000, 30, START, mess) for mess in (CLEAN, tidy_but(recycled_email=0.1)))
    assert len(np.unique(plain.mailbox)) == plain.mailbox.size
    again = recycled.mailbox[:, 0] != plain.mailbox[:, 0]
    assert abs(again.mean() - 0.1) < 0.02
    assert np.isin(recycled.mailbox[again, 0], plain.mailbox[:, 1]).all()


def test_the_stated_share_of_people_has_an_address_that_somebody_else_uses_too(crowd):
    used = crowd.mailbox[np.arange(folk.MAILBOXES) < crowd.mailboxes[:, None]]
    _, users = np.unique(used, return_counts=True)
    expected = MESS.recycled_email * len(crowd)
    assert users.max() == 2
    assert abs((users == 2).sum() - expected) < 3 * expected**0.5
    owner, slot = crowd.mailbox // folk.MAILBOXES, crowd.mailbox % folk.MAILBOXES
    assert (crowd.mailboxes[owner] > np.where(owner == np.arange(len(crowd))[:, None], 0, slot)).all()


def test_a_lost_cookie_never_comes_back(one):
    visits = one.visits
    order = np.lexsort((visits.started, visits.cookie))
    cookie, agent = visits.cookie[order], visits.agent[order]
    same = cookie[1:] == cookie[:-1]
    assert (agent[1:][same] == agent[:-1][same]).all()
    seen = np.bincount(np.unique(np.stack([visits.person.clip(0).astype(np.uint64), visits.cookie]), axis=1)[0].astype(np.int64))
    assert seen.max() > 5


def test_nobody_visits_before_joining_or_long_after_leaving(one):
    human = one.visits.person >= 0
    person, started = one.visits.person[human], one.visits.started[human]
    assert (started >= one.people.joined[person] - DAY).all() and (started <= one.people.left[person] + DAY).all()
    early, late = (np.bincount(one.day_of(one.people.joined), minlength=30)[days].sum() for days in (slice(1, 8), slice(22, 29)))
    assert late > 1.5 * early


def test_the_shop_is_busier_on_sundays_and_in_the_evening(one):
    started = one.visits.started[one.visits.person >= 0]
    weekday, hour = np.bincount((started // DAY + 3) % 7, minlength=7), np.bincount(started // 3_600_000 % 24, minlength=24)
    assert weekday[6] > weekday[4] and hour[20] > 5 * hour[3]


def test_tastes_can_be_learned_from_what_people_look_at(one):
    looked = (one.events.kind == 4) & (one.visits.person[one.events.visit] >= 0)
    taste = one.people.taste[one.visits.person[one.events.visit[looked]]]
    liked = one.events.product[looked] % len(pools.NOUNS) // 2 == taste
    assert 0.5 < liked.mean() < 0.75


def test_consent_that_is_withdrawn_is_false_from_then_on(one):
    people = one.people
    gone = np.flatnonzero(people.is_contact & people.allows_marketing & (people.marketing_withdrawn_at < NEVER))
    at = people.marketing_withdrawn_at[gone]
    assert len(gone) > 50 and people.may_be_written(gone, at - 1).mean() > 0.9 and not people.may_be_written(gone, at + 1).any()
    exposed = one.exposures.person
    mailed = one.exposures.kind < 4
    assert (one.exposures.at[mailed] < people.marketing_withdrawn_at[exposed[mailed]]).all()

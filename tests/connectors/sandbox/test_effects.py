"""What causes orders: lifts, and nothing else; hold-outs show it."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from connectors.sandbox import effects, pools, world
from connectors.sandbox.chance import DAY

UNTIL = date(2026, 11, 20)


@pytest.fixture(scope="module")
def one():
    return world.make_world(people=15_000, days=30, until=UNTIL, seed=11)


def with_lifts(monkeypatch, change):
    monkeypatch.setattr(pools, "CAMPAIGNS", tuple(replace(c, lift=change(c)) for c in pools.CAMPAIGNS))


def test_without_lifts_every_order_comes_of_itself(one, monkeypatch):
    with_lifts(monkeypatch, lambda _: 0.0)
    causes = effects.decide_orders(11, one.people, one.visits, one.exposures)
    assert (causes.visit == -1).all() and (causes.exposure == -1).all()
    itself = one.causes.has_order & (one.causes.visit < 0) & (one.causes.exposure < 0)
    assert (causes.has_order == itself).all()


def test_a_lift_adds_its_probability_to_the_visits_it_brings(one, monkeypatch):
    with_lifts(monkeypatch, lambda c: 0.3 if c.key == "g-12" else 0.0)
    causes = effects.decide_orders(11, one.people, one.visits, one.exposures)
    brought = one.visits.campaign == pools.PLACES["g-12"]
    expected = (effects.base_of(one.visits, one.people) + 0.3 * brought)[brought]
    rate = causes.has_order[brought].mean()
    assert abs(rate - expected.mean()) < 0.05 and brought.sum() > 1000
    assert set(one.visits.campaign[causes.visit[causes.visit >= 0]]) == {pools.PLACES["g-12"]}


def test_a_cause_is_a_contact_of_the_same_person_at_or_before_the_visit(one):
    visits, shown, causes = one.visits, one.exposures, one.causes
    by_visit, by_exposure = np.flatnonzero(causes.visit >= 0), np.flatnonzero(causes.exposure >= 0)
    assert len(by_visit) > 100 and len(by_exposure) > 50
    assert (visits.person[causes.visit[by_visit]] == visits.person[by_visit]).all()
    assert (visits.started[causes.visit[by_visit]] <= visits.started[by_visit]).all()
    assert (shown.person[causes.exposure[by_exposure]] == visits.person[by_exposure]).all()
    assert (shown.at[causes.exposure[by_exposure]] <= visits.started[by_exposure]).all()
    assert causes.has_order[by_visit].all() and causes.has_order[by_exposure].all()


def test_crawlers_never_buy(one):
    assert not one.causes.has_order[one.visits.person < 0].any()


def test_messages_reach_contacts_while_their_campaign_runs(one):
    shown, people = one.exposures, one.people
    letters = shown.kind != effects.IMPRESSION
    assert people.is_contact[shown.person[letters]].all()
    assert {int(kind) for kind in shown.kind} == set(range(5))
    day = one.day_of(shown.at[shown.campaign == pools.PLACES["d-31"]])
    assert day.min() >= 3 and day.max() <= 26
    assert (shown.at >= one.start).all() and (shown.at < one.start + 30 * DAY).all()


def test_people_whom_a_strong_campaign_reaches_buy_more_than_those_held_out(monkeypatch):
    """The randomised comparison finds the effect that was put in, and none where none was."""
    strong = {"m-21": 0.6}
    with_lifts(monkeypatch, lambda c: strong.get(c.key, 0.0))
    monkeypatch.setattr(pools, "CAMPAIGNS", tuple(replace(c, hold_out=0.5 if c.hold_out else 0.0, anyway=0.0) for c in pools.CAMPAIGNS))
    made = world.make_world(people=20_000, days=30, until=UNTIL, seed=11)
    buyers = np.bincount(made.visits.person[made.causes.has_order], minlength=20_000)
    gains = {}
    for key in ("m-21", "d-31"):
        held = effects.is_held_out(11, np.full(20_000, pools.PLACES[key]), np.arange(20_000))
        gains[key] = buyers[~held].mean() - buyers[held].mean()
    assert gains["m-21"] > 0.1 and abs(gains["d-31"]) < 0.05

"""5,000 people of the sandbox world, from drop files to credits: the lake is right about what is true.

Costs about four minutes on two cores: the world of 5,000 people, built once.
"""

from pathlib import Path

import pytest

from conf.settings import rules
from connectors.sandbox.score import attribution, score
from tests.whole import worlds


@pytest.fixture(scope="module")
def scored(spark, tmp_path_factory):
    """(score lines by what they say, folder of the truth, root of the lake)."""
    home = tmp_path_factory.mktemp("scored")
    worlds.make_drops(home, people=5_000)
    worlds.pull(home)
    lake = worlds.load(spark, home)
    worlds.run(lake, home, ("silver", "identity", "journeys", "attribution"))
    truth = home / "drops" / "truth"
    return {s.what: s for s in score(truth, Path(lake.root))}, truth, Path(lake.root)


def test_every_fault_is_found_in_exactly_one_place_and_every_sum_is_exact(scored):
    found = scored[0]
    exact = [
        what
        for what in found
        if what.startswith(("records ", "instants", "order", "conver", "ad spend", "choices")) or "in the ledger" in what
    ]
    assert len(exact) > 15 and {"records cut_short", "records sent_twice", "records unknown_field", "records too_late"} <= set(exact)
    assert [found[what] for what in exact if found[what].right != found[what].of] == []


def test_people_visits_and_channels_are_as_right_as_what_the_log_tells(scored):
    found = scored[0]
    for what in ("channel of these visits", "flags that are crawlers'", "identity recall of what the log tells (pairs of events)"):
        assert found[what].right == found[what].of, found[what]
    # a crawler that calls itself a browser is known by its haste, and nobody else is
    for what in ("sessions of crawlers by their haste", "flagged sessions that are crawlers'"):
        assert found[what].right == found[what].of > 5, found[what]
    # browsers that a household shares join people whom nothing tells apart
    assert found["identity precision (pairs of events)"].share >= 0.9
    assert found["visits that are one session"].share >= 0.995


def test_every_model_is_measured_against_what_marketing_caused(scored):
    _, truth, lake = scored
    assert {fit.model for fit in attribution(truth, lake)} == set(rules("attribution")["models"])

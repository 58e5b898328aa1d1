"""The person map over days: who is one person, which id stays, since when it is known."""

import datetime as dt
import hashlib

import pytest

from conf.tables import table
from spark_jobs.identity.person_map import map_people

EVIDENCE = "rule STRING, a STRING, namespace_a STRING, first_seen_at TIMESTAMP"
EDGES = "a STRING, b STRING, status STRING"
RULES = {"namespaces": {"user_id": {"rank": 10}, "email": {"rank": 30}, "anonymous_id": {"rank": 70}}}
SPACE = {"a": "s.anonymous_id", "u": "s.user_id", "e": "email"}
COLUMNS = table("identity.person_map").column_names


def night(day):
    """The end of that day of January 2026."""
    return dt.datetime(2026, 1, day) + dt.timedelta(days=1)


def minted(key):
    return hashlib.sha256(f"person\x1f{key}\x1f0".encode()).hexdigest()[:32]


@pytest.fixture
def mapped(spark):
    def mapped(nodes, edges, published=(), day=1):
        evidence = [("presence", key, SPACE[key[0]], dt.datetime(2026, 1, first)) for key, first in nodes]
        result = map_people(
            spark.createDataFrame(evidence, EVIDENCE),
            spark.createDataFrame([(*e, "live")[:3] for e in edges], EDGES),
            spark.createDataFrame(list(published), table("identity.person_map").schema),
            dt.date(2026, 1, day),
            RULES,
        )
        return sorted((tuple(r) for r in result.select(*COLUMNS).collect()), key=str)

    return mapped


def current(rows):
    return {r[0]: r[2] for r in rows if r[4] is None}


def test_every_identifier_is_a_person_also_alone(mapped):
    assert mapped([("a1", 1), ("e1", 1)], []) == [
        ("a1", "s.anonymous_id", minted("a1"), night(1), None, "a1", night(1)),
        ("e1", "email", minted("e1"), night(1), None, "e1", night(1)),
    ]


def test_a_chain_is_one_person_named_by_its_best_ranked_member(mapped):
    found = mapped([("a1", 1), ("e1", 2), ("u1", 3), ("a2", 1)], [("a1", "e1"), ("e1", "u1"), ("a2", "u1")])
    assert current(found) == dict.fromkeys(("a1", "a2", "e1", "u1"), minted("u1"))


def test_only_live_edges_link(mapped):
    found = mapped([("a1", 1), ("u1", 1), ("u2", 1)], [("a1", "u1", "capped"), ("a1", "u2", "live")])
    assert current(found) == {"a1": minted("u2"), "u1": minted("u1"), "u2": minted("u2")}


def test_a_login_later_keeps_the_id_of_the_cookie(mapped):
    first = mapped([("a1", 1)], [])
    second = mapped([("a1", 1), ("u1", 2)], [("a1", "u1")], first, day=2)
    assert second == [
        ("a1", "s.anonymous_id", minted("a1"), night(1), None, "a1", night(1)),
        ("u1", "s.user_id", minted("a1"), night(2), None, "a1", night(1)),
    ]


def test_a_merge_keeps_the_older_id_and_closes_the_other(mapped):
    first = mapped([("a1", 1)], [], day=1)
    second = mapped([("a1", 1), ("u1", 2)], [], first, day=2)
    third = mapped([("a1", 1), ("u1", 2)], [("a1", "u1")], second, day=3)
    assert current(third) == {"a1": minted("a1"), "u1": minted("a1")}
    assert [r for r in third if r[4] is not None] == [("u1", "s.user_id", minted("u1"), night(2), night(3), "u1", night(2))]


def test_a_split_gives_the_old_id_back(mapped):
    nodes = [("a1", 1), ("u1", 1)]
    before = mapped(nodes, [], day=1)
    merged = mapped(nodes, [("a1", "u1")], before, day=2)
    split = mapped(nodes, [], merged, day=3)
    assert current(split) == current(before)
    assert len(split) == 4


def test_running_again_changes_nothing(mapped):
    nodes, edges = [("a1", 1), ("u1", 1), ("e1", 1)], [("a1", "u1")]
    first = mapped(nodes, edges)
    assert mapped(nodes[::-1], edges, first) == first
    assert mapped(nodes, edges, first, day=9) == first


def test_a_correction_at_the_same_instant_replaces_what_nobody_has_read(mapped):
    first = mapped([("a1", 1), ("u1", 1)], [])
    again = mapped([("a1", 1), ("u1", 1)], [("a1", "u1")], first)
    assert [r[3:5] for r in again] == [(night(1), None)] * 2


def test_an_identifier_that_vanishes_is_closed(mapped):
    first = mapped([("a1", 1), ("u1", 1)], [("a1", "u1")])
    second = mapped([("u1", 1)], [], first, day=2)
    assert current(second) == {"u1": minted("u1")}
    assert [r for r in second if r[4]] == [("a1", "s.anonymous_id", minted("u1"), night(1), night(2), "u1", night(1))]


def test_knowledge_does_not_go_backwards(mapped):
    first = mapped([("a1", 1)], [], day=10)
    second = mapped([("a1", 1), ("u1", 2)], [], first, day=3)
    assert [r[3] for r in second] == [night(10), night(10)]


def test_a_map_that_another_tool_wrote_without_anchors_keeps_its_ids(mapped):
    other = [("a1", "s.anonymous_id", "0" * 32, night(1), None, None, None)]
    assert current(mapped([("a1", 1), ("u1", 2)], [("a1", "u1")], other, day=2)) == {"a1": "0" * 32, "u1": "0" * 32}

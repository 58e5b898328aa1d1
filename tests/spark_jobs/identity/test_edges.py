"""Edges: what links, and why the rest does not."""

import datetime as dt

from spark_jobs.identity.edges import judge_edges

EVIDENCE = (
    "edge_key STRING, source STRING, rule STRING, polarity STRING, a STRING, b STRING, namespace_a STRING, namespace_b STRING, "
    "first_seen_at TIMESTAMP, last_seen_at TIMESTAMP, n BIGINT"
)
RULES = {
    "defaults": {"max_neighbours": 3, "max_unique_neighbours": 100},
    "namespaces": {
        "user_id": {"links": True, "unique": True},
        "email": {"links": True, "unique": False},
        "anonymous_id": {"links": True, "unique": False, "max_unique_neighbours": 2},
        "household_id": {"links": False, "unique": False},
    },
}
JAN_1, JAN_5 = dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 5)


def pair(a, b, source="site", first=JAN_1, last=JAN_1, n=1):
    space = {"a": "s.anonymous_id", "u": "s.user_id", "e": "email", "h": "s.household_id"}
    a, b = sorted((a, b))
    return (f"{a}-{b}", source, "seen_together", "link", a, b, space[a[0]], space[b[0]], first, last, n)


def presence(a):
    return (a, "site", "presence", "link", a, None, "email", None, JAN_1, JAN_1, 1)


def judged(spark, *rows):
    edges = judge_edges(spark.createDataFrame(list(rows), EVIDENCE), RULES)
    return {r.edge_key: (r.status, r.reason) for r in edges.collect()}


def test_two_linking_namespaces_make_a_live_edge_and_presence_none(spark):
    assert judged(spark, pair("a1", "u1"), presence("e1")) == {"a1-u1": ("live", None)}


def test_a_household_joins_nobody(spark):
    assert judged(spark, pair("h1", "e1"), pair("a1", "e1")) == {"e1-h1": ("blocked", "namespace_does_not_link"), "a1-e1": ("live", None)}


def test_an_undeclared_namespace_does_not_link(spark):
    row = list(pair("a1", "e1"))
    row[6] = "s.loyalty_card"
    assert judged(spark, tuple(row)) == {"a1-e1": ("blocked", "namespace_does_not_link")}


def test_two_users_on_a_device_link_and_a_third_caps_them_all(spark):
    two = [pair("a1", "u1"), pair("a1", "u2"), pair("a1", "e1")]
    assert set(judged(spark, *two).values()) == {("live", None)}
    assert judged(spark, *two, pair("a1", "u3")) == {
        "a1-u1": ("capped", "shared_device"),
        "a1-u2": ("capped", "shared_device"),
        "a1-u3": ("capped", "shared_device"),
        "a1-e1": ("live", None),
    }


def test_a_hub_is_capped_only_towards_the_namespace_it_floods(spark):
    rows = [pair("e1", f"a{i}") for i in range(4)] + [pair("e1", "u1"), pair("a1", "u1")]
    found = judged(spark, *rows)
    assert {k for k, v in found.items() if v == ("capped", "hub")} == {"a0-e1", "a1-e1", "a2-e1", "a3-e1"}
    assert found["e1-u1"] == found["a1-u1"] == ("live", None)


def test_sources_are_summed_into_one_edge(spark):
    edges = judge_edges(
        spark.createDataFrame([pair("a1", "u1", "shop", JAN_5, JAN_5, 2), pair("a1", "u1", "crm", JAN_1, JAN_1, 3)], EVIDENCE), RULES
    )
    assert [(r.sources, r.first_seen_at, r.last_seen_at, r.n) for r in edges.collect()] == [(["crm", "shop"], JAN_1, JAN_5, 5)]

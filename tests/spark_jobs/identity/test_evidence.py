"""Evidence: presence of every identifier, and every pair seen together."""

import datetime as dt

import pytest

from spark_jobs.identity.evidence import collect_evidence

IDENTIFIERS = "identifiers ARRAY<STRUCT<namespace STRING, identifier_key STRING>>"
A, U, E = ("s.anonymous_id", "a"), ("s.user_id", "u"), ("email", "e")


def day(number):
    return dt.datetime(2026, 1, number)


@pytest.fixture
def evidence_of(spark):
    def evidence_of(events=(), orders=(), contacts=()):
        tables = [
            spark.createDataFrame(list(rows), f"source STRING, {at} TIMESTAMP, {IDENTIFIERS}{more}")
            for rows, at, more in (
                ([(*row, None)[:4] for row in events], "event_at", ", is_bot BOOLEAN"),
                (orders, "ordered_at", ""),
                (contacts, "valid_from", ""),
            )
        ]
        return collect_evidence(*tables)

    return evidence_of


def facts(evidence):
    columns = ("source", "rule", "a", "b", "first_seen_at", "last_seen_at", "n")
    return sorted(tuple(str(v) for v in r) for r in evidence.select(*columns).collect())


def expect(source, rule, a, b, first, last, n):
    return (source, rule, a, str(b), str(day(first)), str(day(last)), str(n))


def test_an_identifier_alone_is_present(evidence_of):
    assert facts(evidence_of(events=[("site", day(3), [A])])) == [expect("site", "presence", "a", None, 3, 3, 1)]


def test_repeated_sightings_are_counted_with_first_and_last(evidence_of):
    rows = [("site", day(5), [U, A]), ("site", day(2), [A, U]), ("site", day(9), [A])]
    assert facts(evidence_of(events=rows)) == [
        expect("site", "presence", "a", None, 2, 9, 3),
        expect("site", "presence", "u", None, 2, 5, 2),
        expect("site", "seen_together", "a", "u", 2, 5, 2),
    ]


def test_three_identifiers_make_three_pairs(evidence_of):
    pairs = evidence_of(contacts=[("crm", day(1), [U, E, A])]).where("rule = 'seen_together'")
    assert sorted((r.a, r.namespace_a, r.b, r.namespace_b) for r in pairs.collect()) == [
        ("a", "s.anonymous_id", "e", "email"),
        ("a", "s.anonymous_id", "u", "s.user_id"),
        ("e", "email", "u", "s.user_id"),
    ]


def test_the_same_pair_of_two_sources_shares_its_edge_key(evidence_of):
    both = evidence_of(events=[("site", day(1), [A, U])], orders=[("shop", day(2), [U, A])]).where("b is not null").collect()
    assert {r.source for r in both} == {"site", "shop"}
    assert len({r.edge_key for r in both}) == 1


def test_rows_without_identifiers_or_with_one_twice_say_nothing_more(evidence_of):
    rows = [("site", day(1), []), ("site", day(1), None), ("site", day(1), [A, A])]
    assert facts(evidence_of(events=rows)) == [expect("site", "presence", "a", None, 1, 1, 1)]


def test_a_machine_s_events_make_no_person_and_take_none_away(evidence_of):
    rows = [("site", day(1), [A], True), ("site", day(2), [U, A], True), ("site", day(3), [U], False), ("site", day(4), [U], None)]
    assert facts(evidence_of(events=rows)) == [expect("site", "presence", "u", None, 3, 4, 2)]


def test_an_identifier_of_an_order_stays_when_a_machine_carries_it_too(evidence_of):
    found = evidence_of(events=[("site", day(1), [A, E], True)], orders=[("shop", day(2), [E])])
    assert facts(found) == [expect("shop", "presence", "e", None, 2, 2, 1)]

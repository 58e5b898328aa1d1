"""Persons: live ones counted, gone ones never forgotten."""

import datetime as dt

import pytest

from conf.tables import table
from spark_jobs.identity.persons import describe_persons

EVIDENCE = "rule STRING, a STRING, first_seen_at TIMESTAMP, last_seen_at TIMESTAMP"
RULES = {"namespaces": {"user_id": {"known": True}, "anonymous_id": {"known": False}}}


def day(number):
    return dt.datetime(2026, 1, number)


def mapping(key, person, valid_to=None, anchor=None):
    return (key, "s.user_id" if key.startswith("u") else "s.anonymous_id", person, day(1), valid_to, anchor or key, day(1))


@pytest.fixture
def described(spark):
    def described(person_map, seen=(), published=()):
        result = describe_persons(
            spark.createDataFrame(person_map, table("identity.person_map").schema),
            spark.createDataFrame([("presence", *s) for s in seen], EVIDENCE),
            spark.createDataFrame(list(published), table("identity.persons").schema),
            RULES,
        )
        names = [n for n in table("identity.persons").column_names if n not in ("anchor_key", "minted_at")]
        return sorted((tuple(r) for r in result.select(*names).collect()), key=str)

    return described


def test_a_person_spans_its_identifiers(described):
    found = described([mapping("a1", "P"), mapping("u1", "P")], [("a1", day(1), day(4)), ("u1", day(3), day(9))])
    assert found == [("P", day(1), day(9), 2, True, "live", None)]


def test_a_visitor_without_a_name_is_not_known(described):
    assert described([mapping("a1", "P")], [("a1", day(1), day(1))]) == [("P", day(1), day(1), 1, False, "live", None)]


def test_a_merged_person_points_at_the_holder_of_its_anchor(described):
    found = described([mapping("u1", "P"), mapping("a1", "P", anchor="u1"), mapping("a1", "Q", valid_to=day(2))])
    assert [(r[0], r[3], r[5], r[6]) for r in found] == [("P", 2, "live", None), ("Q", 0, "merged", "P")]


def test_an_id_that_is_only_in_the_published_table_is_not_forgotten(described):
    published = [("Q", day(1), day(2), 1, True, "live", None, "u9", day(1)), ("Z", None, None, 0, False, "erased", None, "a1", day(1))]
    found = described([mapping("a1", "P")], [("a1", day(1), day(1))], published)
    assert found[1:] == [("Q", day(1), day(2), 0, True, "retired", None), ("Z", None, None, 0, False, "erased", None)]

"""gold.people: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from conf.settings import platform
from spark_jobs.gold.people import describe_people

SEEN = dt.datetime(2026, 1, 5)
PERSONS = """person_id STRING, first_seen_at TIMESTAMP, last_seen_at TIMESTAMP, identifiers INT, is_known BOOLEAN,
    status STRING, merged_into STRING"""


def person(person_id, status="live", merged_into=None):
    return (person_id, SEEN, SEEN, 2 if status == "live" else 0, True, status, merged_into)


def described(spark, persons, profiles=(), memberships=()):
    """profiles: (person, sessions, orders, revenue); memberships: (person, segment, valid_to)."""
    rows = describe_people(
        spark.createDataFrame(list(persons), PERSONS),
        spark.createDataFrame(list(profiles), PROFILES),
        spark.createDataFrame(list(memberships), "person_id STRING, segment_id STRING, valid_to TIMESTAMP"),
        platform(),
    )
    return {r["person_id"]: r.asDict() for r in rows.collect()}


PROFILES = "person_id STRING, sessions BIGINT, orders BIGINT, revenue_amount DECIMAL(18,2)"


def test_only_the_living_are_listed_and_who_was_merged_into_them_is_counted(spark):
    people = described(
        spark, [person("p1"), person("p2", "merged", "p1"), person("p3", "merged", "p1"), person("p4", "erased"), person("p5", "retired")]
    )
    assert list(people) == ["p1"]
    assert people["p1"]["merged_people"] == 2


def test_a_person_who_did_nothing_has_zeros_and_no_revenue(spark):
    row = described(spark, [person("p1")])["p1"]
    assert (row["sessions"], row["orders"], row["revenue_amount"], row["merged_people"], row["segments"]) == (0, 0, None, 0, None)


def test_what_a_person_did_stands_beside_them(spark):
    row = described(spark, [person("p1")], [("p1", 4, 2, Decimal("31.50"))])["p1"]
    assert (row["sessions"], row["orders"], row["revenue_amount"], row["currency"]) == (4, 2, Decimal("31.50"), "GBP")


def test_current_segments_are_listed_in_order_with_lifecycle_and_rfm_apart(spark):
    memberships = [
        ("p1", "vip", None),
        ("p1", "big_spenders", None),
        ("p1", "left_long_ago", SEEN),
        ("p1", "lifecycle_active", None),
        ("p1", "rfm_champions", None),
    ]
    row = described(spark, [person("p1")], memberships=memberships)["p1"]
    assert (row["segments"], row["lifecycle"], row["rfm"]) == ("big_spenders, vip", "active", "champions")


def test_no_name_address_or_identifier_is_in_the_contract():
    from conf.tables import table

    assert not [c.name for c in table("gold.people").columns if c.pii or c.name in ("email", "phone", "identifier_key", "anchor_key")]

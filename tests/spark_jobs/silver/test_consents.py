"""silver.consents: rows in, rows out, both written by hand."""

import datetime as dt

from spark_jobs.silver.consents import version_consents

ANN, BOB = [("email", "k1"), ("shop.crm_id", "k2")], [("email", "k3")]


def at(day):
    return dt.datetime(2026, 1, day)


def choices(mapped, *rows):
    given = [dict(purpose="marketing", valid_from=at(1), is_granted=True, ids=ANN) | row for row in rows]
    result = version_consents(
        mapped(
            "silver.consents",
            [{**g, "identifiers": g["ids"]} for g in given],
            "identifiers array<struct<namespace:string,identifier_key:string>>",
        )
    )
    return [
        (r["identifier_key"], r["purpose"], r["valid_from"], r["valid_to"], r["is_granted"])
        for r in result.orderBy("_source_row").collect()
    ]


def test_a_refusal_ends_the_permission(mapped):
    assert choices(mapped, {}, {"valid_from": at(5), "is_granted": False}) == [
        ("k1", "marketing", at(1), at(5), True), ("k1", "marketing", at(5), None, False),
    ]  # fmt: skip


def test_purposes_and_people_do_not_touch_each_other(mapped):
    found = choices(mapped, {}, {"purpose": " Analytics ", "valid_from": at(2)}, {"ids": BOB, "valid_from": at(3), "is_granted": False})
    assert [(row[0], row[1], row[3]) for row in found] == [("k1", "marketing", None), ("k1", "analytics", None), ("k3", "marketing", None)]


def test_a_choice_repeated_is_the_first_one(mapped):
    assert [row[2:4] for row in choices(mapped, {}, {"valid_from": at(5)})] == [(at(1), None)] * 2


def test_a_record_of_nobody_has_no_key_for_the_gate_to_see(mapped):
    assert choices(mapped, {"ids": []})[0][0] is None

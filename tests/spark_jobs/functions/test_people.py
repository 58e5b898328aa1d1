"""Whose row is it: best-ranked identifier with a current person."""

import datetime as dt

from pyspark.sql import functions as F

from spark_jobs.functions.people import least_of, with_person

ROWS = "id INT, identifiers ARRAY<STRUCT<namespace STRING, identifier_key STRING>>"
MAP = "identifier_key STRING, namespace STRING, person_id STRING, valid_from TIMESTAMP, valid_to TIMESTAMP"
JAN_1, JAN_2 = dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 2)


def people_of(spark, identifiers, known):
    rows = spark.createDataFrame([(i, ids) for i, ids in enumerate(identifiers)], ROWS)
    person_map = spark.createDataFrame([(key, "", person, JAN_1, closed) for key, person, closed in known], MAP)
    return [r["person_id"] for r in with_person(rows, person_map).orderBy("id").collect()]


def test_the_best_ranked_identifier_names_the_person_whatever_its_place(spark):
    found = people_of(spark, [[("s.anonymous_id", "a"), ("s.user_id", "u")]], [("a", "P1", None), ("u", "P2", None)])
    assert found == ["P2"]


def test_an_identifier_without_a_current_row_is_passed_over(spark):
    found = people_of(spark, [[("s.user_id", "u"), ("email", "e")]], [("u", "P0", JAN_2), ("e", "P1", None)])
    assert found == ["P1"]


def test_rows_without_identifiers_stay_and_are_nobody(spark):
    found = people_of(spark, [[], None, [("email", "x")], [("email", "e")], [("email", "e")]], [("e", "P1", None)])
    assert found == [None, None, None, "P1", "P1"]


def test_an_undeclared_namespace_ranks_last(spark):
    found = people_of(spark, [[("s.loyalty_card", "l"), ("s.click_id", "c")]], [("l", "P1", None), ("c", "P2", None)])
    assert found == ["P2"]


def test_the_least_of_few_identifiers_is_that_of_many(spark):
    def said(*keys):
        return [("n", key) for key in keys]

    rows = [(0, None), (1, []), (2, said("b")), (3, said("c", "b", "x", "d")), (4, said("x", "e", "d", "c", "f", "a")), (5, said("x", "x"))]
    events = spark.createDataFrame(rows, "id INT, identifiers ARRAY<STRUCT<namespace: STRING, identifier_key: STRING>>")
    least = least_of(lambda i: F.when(i["identifier_key"] != "x", F.struct(i["identifier_key"].alias("key"))))
    found = {r["id"]: r["key"] for r in events.select("id", least["key"].alias("key")).collect()}
    assert found == {0: None, 1: None, 2: "b", 3: "b", 4: "a", 5: None}

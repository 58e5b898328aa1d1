"""The SQL of conf/rules: what Spark cannot run in its place is a sentence before any job, and one that fails on a row is named."""

import pytest
from pyspark.sql import functions as F

from conf.rules import plain
from conf.settings import SettingsError, freeze, rules
from spark_jobs.errors import ThroughlineError, of_trouble, safe_message
from spark_jobs.functions.ruled import refuse_wrong_sql
from spark_jobs.job import jobs

WITH_SQL = ("channels", "identity", "journeys", "segments")


@pytest.fixture
def changed(monkeypatch):
    """The repository's rules with one value changed, for who reads them from here on."""

    def changed(name, place, value):
        whole = plain(rules(name))
        held = whole
        for key in place[:-1]:
            held = held[key]
        held[place[-1]] = value
        frozen = freeze(whole)
        monkeypatch.setattr("spark_jobs.functions.ruled.rules", lambda asked: frozen if asked == name else rules(asked))

    return changed


def test_the_repository_s_sql_is_right_and_every_mapped_job_s_is_asked(spark):
    refuse_wrong_sql((*WITH_SQL, "attribution", "segments"), spark)
    assert jobs()["silver.events"].rules_read() == ("channels", "identity")
    assert jobs()["segments.rfm"].rules_read() == ("segments",)


@pytest.mark.parametrize(
    ("name", "place", "sql", "said"),
    [
        ("segments", ("segments", 1, "when"), "ordrs >= 3", r"segments.high_value.when: 'ordrs >= 3' is no SQL over its columns: .*ordrs"),
        ("segments", ("segments", 1, "when"), "orders >=", r"segments.high_value.when: 'orders >=' is no SQL"),
        ("segments", ("segments", 1, "when"), "wen orders > 3", r"segments.high_value.when: .* is no SQL"),
        ("segments", ("segments", 1, "when"), "orders", r"segments.high_value.when: 'orders' is of type bigint; it must be boolean"),
        ("segments", ("segments", 1, "when"), "count(*) > 3", r"segments.high_value.when: .* is no SQL .*INVALID_WHERE_CONDITION"),
        ("segments", ("rfm", "rules", 0, "when"), "rfm_segment = 'lost'", r"rfm.rules.champions.when: .* is no SQL"),
        (
            "journeys",
            ("touchpoints", "events", "email_opened", "unless"),
            "device = 'proxy'",
            r"touchpoints.events.email_opened.unless: .* is no SQL",
        ),
        (
            "journeys",
            ("conversions", "events", "deal_won"),
            {"type": "deal", "when": "country"},
            r"conversions.events.deal_won.when: .* of type string",
        ),
        ("channels", ("channels", 3, "when"), "utm_source = 'x'", r"channels.4.when: .* is no SQL"),
        ("identity", ("namespaces", "email", "normalise"), "lower(valu)", r"namespaces.email.normalise: .* is no SQL"),
        (
            "identity",
            ("namespaces", "email", "normalise"),
            "length(value)",
            r"namespaces.email.normalise: .* of type int; it must be string",
        ),
    ],
)
def test_sql_that_cannot_stand_there_is_named_before_anything_runs(spark, changed, name, place, sql, said):
    changed(name, place, sql)
    with pytest.raises(SettingsError, match=f"conf/rules/{name}.yml: {said}") as error:
        refuse_wrong_sql(WITH_SQL, spark)
    assert "\n" not in str(error.value)


def test_a_segment_s_condition_may_name_the_day_that_is_told(spark, changed):
    changed("segments", ("segments", 1, "when"), "datediff(as_of, last_order_date) > 60")
    refuse_wrong_sql(("segments",), spark)


@pytest.mark.parametrize("sql", ["100 / orders > 1", "cast(favourite_channel as int) > 1"])
def test_a_condition_that_fails_on_a_row_is_the_rules_fault_and_tells_no_value(spark, changed, sql):
    changed("segments", ("segments", 1, "when"), sql)
    refuse_wrong_sql(WITH_SQL, spark)
    rows = spark.createDataFrame([(0, "Ann Smith")], "orders bigint, favourite_channel string")
    with pytest.raises(Exception, match=r"DIVIDE_BY_ZERO|CAST_INVALID_INPUT") as failed:
        rows.where(F.expr(sql)).collect()
    told = of_trouble(failed.value, "segments.memberships")
    assert isinstance(told, ThroughlineError) and told.exit_code == 2
    assert "conf/rules/segments.yml: segments.high_value.when failed on a row of segments.memberships" in safe_message(told)
    assert "Ann" not in str(told)
    # the same failure in a job that runs no such rule is not theirs
    assert of_trouble(failed.value, "gold.people") is None

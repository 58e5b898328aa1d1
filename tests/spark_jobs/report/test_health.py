"""Table health: freshness, what became of rows, checks and quarantine, all from tables written by hand."""

import datetime as dt
import json

from spark_jobs.io.commits import seen_at
from spark_jobs.report import wording
from spark_jobs.report.health import count_rows, open_quarantine, table_health

NOW = dt.datetime(2026, 5, 3, 12, tzinfo=dt.UTC)


def run(run_id, hours_ago, **changes):
    """A successful run of silver.orders."""
    at = NOW - dt.timedelta(hours=hours_ago)
    row = dict(
        run_id=run_id,
        process_id="p",
        table_name="silver.orders",
        source="shop",
        status="success",
        rows_out=8,
        started_at=at,
        finished_at=at,
    )
    return row | changes


def ledger(run_id, **changes):
    row = dict(
        run_id=run_id,
        table_name="silver.orders",
        source="shop",
        input_name="order_lines",
        rows_in=10,
        rows_used=7,
        unchanged=0,
        duplicates=2,
        late=0,
        quarantined=1,
        rows_out=8,
        is_closed=True,
        started_at=NOW,
    )
    return row | changes


def health_of(lake, name="silver.orders"):
    return {t.table: t for t in table_health(lake, NOW)}[name]


def test_every_declared_table_is_listed_even_on_an_empty_lake(lake):
    assert {t.status for t in table_health(lake, NOW)} == {"absent"}


def test_a_table_within_its_deadline_is_ok_and_shows_what_became_of_its_rows(lake, write):
    write("ops.runs", [run("r1", 2)])
    write("ops.ledger", [ledger("r1"), ledger("r1", input_name="refunds", rows_in=5, rows_used=5, duplicates=0, quarantined=0)])
    health = health_of(lake)
    assert (health.status, health.age_hours) == ("ok", 2.0)
    assert (health.rows_in, health.rows_used, health.duplicates, health.quarantined, health.rows_out, health.is_closed) == (
        15,
        12,
        2,
        1,
        8,
        True,
    )


def test_a_table_past_its_deadline_is_late(lake, write):
    write("ops.runs", [run("r1", 200)])
    assert health_of(lake).status == "late"


def test_a_run_that_found_nothing_to_do_keeps_the_table_fresh_and_its_counts(lake, write):
    write("ops.runs", [run("r1", 200), run("r2", 1, status="skipped")])
    write("ops.ledger", [ledger("r1")])
    health = health_of(lake)
    assert (health.status, health.last_status, health.rows_in) == ("ok", "skipped", 10)


def test_the_newest_run_is_so_by_its_number_and_not_by_a_clock(lake, write):
    write("ops.runs", [run("old", 5), run("ahead", -48, number=1), run("after", 1, number=2, status="failed", error="broken")])
    health = health_of(lake)
    assert (health.status, health.error, health.last_run_at) == ("failed", "broken", NOW - dt.timedelta(hours=1))
    write("ops.runs", [run("repaired", 0.5, number=3)])
    assert (health_of(lake).status, health_of(lake).age_hours) == ("ok", 0.5)


def test_a_success_that_is_still_to_come_makes_nothing_fresh(lake, write):
    write("ops.runs", [run("skewed", -0.1)])
    assert health_of(lake).status == "ok"
    write("ops.runs", [run("ahead", -48)])
    health = health_of(lake)
    assert (health.status, wording.ago(health.age_hours)) == ("late", "2 days ahead of this clock")
    assert [wording.ago(one) for one in (None, 0.0, 5.0)] == ["–", "0 min ago", "5 h ago"]


def test_one_failed_source_makes_the_table_failed_and_says_why(lake, write):
    write("ops.runs", [run("r1", 2), run("r2", 1, source="till", status="failed", error="the gate stopped it")])
    health = health_of(lake)
    assert (health.status, health.error) == ("failed", "the gate stopped it")


def test_a_repaired_table_is_ok_again(lake, write):
    write("ops.runs", [run("r1", 2, status="failed", error="gate"), run("r2", 1)])
    assert (health_of(lake).status, health_of(lake).error) == ("ok", None)


def test_checks_are_of_the_newest_run_that_had_any(lake, write):
    check = dict(table_name="silver.orders", severity="warn", rows_checked=8, rows_failed=0)
    write("ops.runs", [run("r1", 3), run("r2", 2), run("r3", 1, status="skipped")])
    write(
        "ops.quality_results",
        [
            check | dict(run_id="r1", check_id="a", passed=False),
            check | dict(run_id="r2", check_id="a", passed=True),
            check | dict(run_id="r2", check_id="b", passed=False),
        ],
    )
    assert (health_of(lake).checks_passed, health_of(lake).checks_failed) == (1, 1)


def test_only_open_rows_wait_in_quarantine(lake, set_aside):
    row = dict(source="shop", payload="{}", _quarantined_at=NOW)
    set_aside(
        "silver.orders",
        [
            row | dict(quarantine_id=str(i), _reason=reason, _status=status)
            for i, (reason, status) in enumerate(
                [("bad_value:order_id", "open"), ("bad_value:order_id", "open"), ("malformed_json", "open"), ("malformed_json", "closed")]
            )
        ],
    )
    assert [(q["table"], q["reason"], q["rows"]) for q in open_quarantine(lake)] == [
        ("silver.orders", "bad_value:order_id", 2),
        ("silver.orders", "malformed_json", 1),
    ]
    assert health_of(lake).open_quarantine == 3


def test_rows_now_are_counted_from_the_log(lake, write):
    write("ops.runs", [run("r1", 1)])
    write("ops.runs", [run("r2", 1)])
    write("gold.people", [dict(person_id="p1", is_known=True, identifiers=1, merged_people=0, sessions=0, orders=0, currency="GBP")])
    health = health_of(lake, "gold.people")
    assert (health.rows, health.status) == (1, "unrecorded")


def test_deleted_rows_are_not_counted_though_their_file_still_has_them(spark, tmp_path):
    path = f"delta.`{tmp_path}/identity/edges`"
    spark.sql(f"CREATE TABLE {path} (id BIGINT) USING delta TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    spark.range(1000).coalesce(1).write.format("delta").mode("append").save(f"{tmp_path}/identity/edges")
    assert count_rows(tmp_path, "identity.edges") == 1000
    spark.sql(f"DELETE FROM {path} WHERE id < 100")
    assert count_rows(tmp_path, "identity.edges") == 900


def test_a_table_that_lost_what_its_newest_run_left_says_so(lake, write):
    write("gold.people", [dict(person_id="p1", is_known=True, identifiers=1, merged_people=0, sessions=0, orders=0, currency="GBP")])
    seen = seen_at(lake, {"gold.people": 0})
    write("ops.runs", [run("r1", 1, table_name="gold.people", source=None, commits=json.dumps(seen))])
    assert health_of(lake, "gold.people").status == "ok"
    write("ops.runs", [run("r2", 0, table_name="gold.people", source=None, commits=json.dumps({"gold.people": [1, "of a later commit"]}))])
    health = health_of(lake, "gold.people")
    assert health.status == "lost" and "commits that runs left in it are gone (its log ends at 0)" in health.error
    assert "`python -m spark_jobs rebuild gold.people`" in health.error

"""The engine on a whole small lake: nothing is lost, nothing is written twice, order does not matter, a broken delivery stops."""

import datetime as dt
import json
import shutil

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyspark.sql import functions as F

from conf.tables import table, table_names
from spark_jobs.bronze import few
from spark_jobs.bronze.load import load_source
from spark_jobs.embedded.maintain import maintain
from spark_jobs.engine.parts import touched
from spark_jobs.engine.runner import Runner
from spark_jobs.errors import GateError, ThroughlineError
from spark_jobs.functions.plans import FEW_ROWS
from spark_jobs.io import changes
from spark_jobs.io.lake import Lake
from spark_jobs.io.small import open_table, query, read_arrow
from spark_jobs.job import jobs
from spark_jobs.ops import replay
from tests.whole import worlds


@pytest.fixture
def copied(built, tmp_path):
    """The shared lake's home, copied, to be changed."""
    lake, home = built
    own = tmp_path / "home"
    shutil.copytree(home, own)
    return Lake(lake.spark, str(own / "lake")), own


def test_every_ledger_is_closed_and_every_promised_table_has_rows(built):
    lake, _ = built
    ledger = read_arrow(lake.root, "ops.ledger").to_pylist()
    assert ledger and all(r["is_closed"] for r in ledger)
    fates = ("rows_used", "unchanged", "duplicates", "late", "quarantined")
    assert all(r["rows_in"] == sum(r[f] for f in fates) for r in ledger)
    empty = [n for n, (rows, _) in worlds.hashes(lake).items() if rows == 0]
    assert not empty


def test_the_same_range_again_is_skipped_and_forced_again_it_makes_no_new_version(built):
    lake, home = built
    before = worlds.versions(lake)
    assert {o.status for o in worlds.run(lake, home)} == {"skipped"}
    forced = worlds.run(lake, home, ("silver", "identity", "journeys", "attribution"), force=True)
    assert not [o.table for o in forced if o.wrote]
    assert worlds.versions(lake) == before


def test_shuffled_split_and_repeated_input_gives_the_same_tables(spark, built, tmp_path):
    lake, home = built
    other = worlds.build(spark, tmp_path / "other", worlds.shuffle_split_triple, key_of=home)
    assert worlds.hashes(other) == worlds.hashes(lake)


def test_what_is_built_as_many_rows_is_equal_to_what_is_built_as_few(spark, built, tmp_path, monkeypatch):
    """A minute: files through Structured Streaming, tables through Spark's own reader and writer, batches on the executors' disks."""
    lake, home = built
    monkeypatch.setattr(few, "FEW_BYTES", -1)
    chosen = spark.conf.get(FEW_ROWS)
    spark.conf.unset(FEW_ROWS)
    try:
        other = worlds.build(spark, tmp_path / "other", key_of=home)
        assert not other.is_few and (tmp_path / "other/lake/_checkpoints").is_dir()
        assert worlds.hashes(other) == worlds.hashes(Lake(spark, lake.root))
    finally:
        spark.conf.set(FEW_ROWS, chosen)
    worlds.run(Lake(spark, other.root), tmp_path / "other")
    assert Lake(spark, other.root).is_few
    forced = worlds.run(Lake(spark, other.root), tmp_path / "other", ("silver", "identity", "journeys", "attribution"), force=True)
    assert not [o.table for o in forced if o.wrote]


def test_a_lake_whose_silver_another_tool_wrote_is_built_to_the_end(built, tmp_path):
    lake, home = built
    own = tmp_path / "foreign"
    shutil.copytree(home / "vault", own / "vault")
    for name in table_names():
        if name.startswith("silver.") and lake.exists(name):
            rows = query(open_table(lake.root, name))
            by = list(table(name).write.partition_by) or None
            write_deltalake(str(own / "lake" / name.replace(".", "/")), rows, partition_by=by)
    foreign = Lake(lake.spark, str(own / "lake"))
    derived = ("identity", "journeys", "attribution", "segments", "gold")
    worlds.run(foreign, own, derived)
    assert worlds.hashes(foreign, derived) == worlds.hashes(lake, derived)
    # a tool that keeps no change feed: what it adds is found all the same
    events = query(open_table(foreign.root, "silver.events"), "select * from rows where event_name = 'page_viewed' limit 1")
    again = pa.array(["late"], events.schema.field("event_id").type)
    write_deltalake(
        foreign.path("silver.events"), events.set_column(events.schema.get_field_index("event_id"), "event_id", again), mode="append"
    )
    wrote = {o.table for o in worlds.run(foreign, own, derived, worlds.Range(worlds.LAST, worlds.LAST), changed=True) if o.wrote}
    assert "journeys.sessions" in wrote
    everything = worlds.run(foreign, own, derived, force=True)
    assert [o.table for o in everything if o.wrote] == []


def test_a_broken_delivery_stops_at_its_gate_and_its_repair_leaves_no_trace(copied):
    lake, home = copied
    path = sorted((home / "drops/sandbox_site/events").glob("*.jsonl.gz"))[-1]
    good = worlds.break_delivery(path)
    worlds.pull(home)
    worlds.load(lake.spark, home)
    before, hashes = worlds.versions(lake), worlds.hashes(lake)
    with pytest.raises(GateError, match=r"silver.events.*set_aside_share.*currency_is_iso_4217"):
        worlds.run(lake, home, days=worlds.Range(worlds.LAST, worlds.LAST))
    assert {k: v for k, v in worlds.versions(lake).items() if not k.startswith("silver.")} == {
        k: v for k, v in before.items() if not k.startswith("silver.")
    }
    assert worlds.versions(lake)["silver.events"] == before["silver.events"]
    path.write_bytes(good)
    worlds.pull(home)
    worlds.load(lake.spark, home)
    worlds.run(lake, home)
    assert worlds.hashes(lake) == hashes


def test_late_events_are_built_on_all_their_days_though_runs_fail_or_look_elsewhere_before(copied, monkeypatch):
    lake, home = copied
    derived = ("identity", "journeys")
    worlds.run(lake, home, derived, worlds.Range(worlds.LAST, worlds.LAST), changed=True)
    early, late = worlds.FIRST, worlds.LAST - dt.timedelta(days=1)
    arrival = worlds.deliver_late(home, [early, late])
    with worlds.home_at(home):
        load_source(lake, "sandbox_site", "test")
    (conformed,) = worlds.run(lake, home, ("silver.events",), worlds.Range(arrival, arrival), source="sandbox_site")
    assert (conformed.rows_used, conformed.rows_in) == (2, 2)

    # a past day is built again: it may not pass for having seen what changed on later days
    worlds.run(lake, home, derived, worlds.Range(early, early), changed=True)
    build, tried = Runner._build, []

    def failing(self, job, source, part, *rest):
        if job.table == "journeys.sessions" and part.keys is not None:
            tried.append(part)
            raise OSError("the disk is gone")
        return build(self, job, source, part, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "_build", failing)
        with pytest.raises(OSError, match="the disk is gone"):
            worlds.run(lake, home, derived, worlds.Range(arrival, arrival), changed=True)
    # the changed clients' rows alone, of all days at once, without the days between; the first day was just built, the last was asked for
    assert len(tried) == 1 and tried[0].whole == worlds.Range(arrival, arrival)
    days, clients = tried[0].days, {r["client_key"] for r in tried[0].keys.collect()}
    assert days.gaps and {early + dt.timedelta(days=1), late} <= set(days.days())
    assert 1 <= len(clients) <= 2
    before = lake.read("journeys.sessions")
    others = {r["session_id"]: r["ended_at"] for r in before.collect() if r["client_key"] not in clients}
    again = worlds.run(lake, home, derived, worlds.Range(arrival, arrival), changed=True)
    assert [(o.days, o.wrote) for o in again if o.table == "journeys.sessions"] == [(days, True)]
    feed = changes.feed(lake, "journeys.sessions", lake.version("journeys.sessions") - 1).collect()
    assert {r["client_key"] for r in feed} <= clients
    assert others.items() <= {r["session_id"]: r["ended_at"] for r in lake.read("journeys.sessions").collect()}.items()
    once_more = worlds.run(lake, home, derived, worlds.Range(arrival, arrival), changed=True)
    everything = worlds.run(lake, home, derived, worlds.Range(worlds.FIRST, arrival), force=True)
    assert [o.table for o in (*once_more, *everything) if o.wrote] == []


def test_two_people_who_turn_out_to_be_one_take_their_sessions_along_and_nobody_elses(copied, monkeypatch):
    lake, home = copied
    derived = ("identity", "journeys")
    worlds.run(lake, home, derived, worlds.Range(worlds.LAST, worlds.LAST), changed=True)
    seen = {name: lake.version(name) for name in ("silver.events", "identity.person_map")}
    before = {r["session_id"]: r["person_id"] for r in lake.read("journeys.sessions").collect()}
    arrival = worlds.deliver_bridge(home)
    with worlds.home_at(home):
        load_source(lake, "sandbox_site", "test")
    worlds.run(lake, home, ("silver.events", *derived), worlds.Range(arrival, arrival), changed=True)
    merged = lake.read("identity.persons").where("status = 'merged'").select("person_id", "merged_into").collect()
    ids = {i for r in merged for i in (r["person_id"], r["merged_into"])}
    after = {r["session_id"]: r["person_id"] for r in lake.read("journeys.sessions").collect()}
    moved = {s for s in before if after[s] != before[s]}
    assert moved and {before[s] for s in moved} | {after[s] for s in moved} <= ids
    everything = worlds.run(lake, home, derived, worlds.Range(worlds.FIRST, arrival), force=True)
    assert [o.table for o in everything if o.wrote] == []

    job = jobs()["journeys.sessions"]
    days, keys = touched(lake, job, None, seen)
    assert keys and set(days) < set(worlds.Range(worlds.FIRST - dt.timedelta(days=3), arrival).days())
    # where maintenance removed what changed, every day is built again
    monkeypatch.setattr(changes, "remembers", lambda *_: False)
    days, keys = touched(lake, job, None, seen)
    assert keys is None and set(worlds.Range(worlds.FIRST, worlds.LAST).days()) <= days


def test_consent_that_was_taken_back_long_ago_reaches_the_touches_of_these_people_alone(copied):
    lake, home = copied
    worlds.run(lake, home, ("identity", "journeys"), worlds.Range(worlds.LAST, worlds.LAST), changed=True)
    before = {r["touchpoint_id"]: (r["person_id"], r["has_consent"]) for r in lake.read("journeys.touchpoints").collect()}
    arrival = worlds.deliver_refusals(home, 300)
    with worlds.home_at(home):
        load_source(lake, "sandbox_marketing", "test")
    worlds.run(lake, home, ("silver.consents",), worlds.Range(arrival, arrival), source="sandbox_marketing")
    # by a process of its own, which has no session yet when it looks for what changed
    done = worlds.command(home, "spark_jobs", "run", "journeys.touchpoints", "--from", str(arrival), "--to", str(arrival), "--changed")
    assert json.loads(done.stdout.splitlines()[-1])["wrote"] == 1
    after = {r["touchpoint_id"]: (r["person_id"], r["has_consent"]) for r in lake.read("journeys.touchpoints").collect()}
    feed = changes.feed(lake, "journeys.touchpoints", lake.version("journeys.touchpoints") - 1).collect()
    assert before.keys() == after.keys()
    changed = {i for i in before if before[i] != after[i]}
    assert changed == {r["touchpoint_id"] for r in feed} and all(before[i][1] and not after[i][1] for i in changed)
    everything = worlds.run(lake, home, ("journeys.touchpoints",), worlds.Range(worlds.FIRST, arrival), force=True)
    assert [o.table for o in everything if o.wrote] == []


def test_a_report_restated_for_a_past_day_is_conformed_by_a_later_days_run(built, copied):
    lake, home = copied
    for path in (home / "landing").rglob("manifest.json"):
        # the copy's files are those that were landed
        path.write_text(path.read_text(encoding="utf-8").replace(f'"{built[1]}/drops', f'"{home}/drops'), encoding="utf-8")
    silver = ("silver.ad_spend",)
    day, arrival = worlds.FIRST + dt.timedelta(days=2), worlds.LAST + dt.timedelta(days=1)
    folder = home / f"drops/sandbox_marketing/ad_spend/{day}"
    header, *lines = sorted(folder.glob("*.csv"))[-1].read_text(encoding="utf-8").splitlines()
    place = header.split(",").index("clicks")
    doubled = [",".join([*cells[:place], "777", *cells[place + 1 :]]) for cells in (line.split(",") for line in lines)]
    (folder / f"delivered-{arrival}.csv").write_text("\n".join([header, *doubled]) + "\n", encoding="utf-8")
    worlds.command(home, "connectors", "pull", "sandbox_marketing", "--from", str(arrival), "--to", str(arrival))
    with worlds.home_at(home):
        load_source(lake, "sandbox_marketing", "test")
    done = worlds.run(lake, home, silver, worlds.Range(arrival, arrival), source="sandbox_marketing", changed=True)
    assert [(o.days, o.wrote) for o in done] == [(worlds.Range(arrival, arrival), False), (worlds.Range(day, day), True)]
    clicks = {
        r["spend_date"]: r["clicks"]
        for r in lake.read("silver.ad_spend").groupBy("spend_date").agg(F.max("clicks").alias("clicks")).collect()
    }
    assert [d for d, most in clicks.items() if most == 777] == [day]
    (alone,) = worlds.run(lake, home, silver, worlds.Range(arrival, arrival), source="sandbox_marketing", changed=True)
    assert (alone.days, alone.wrote) == (worlds.Range(arrival, arrival), False)
    # and at last there was no spend at all
    (folder / f"delivered-{arrival + dt.timedelta(days=1)}.csv").write_text(header + "\n", encoding="utf-8")
    worlds.command(home, "connectors", "pull", "sandbox_marketing", "--from", str(arrival), "--to", str(arrival))
    with worlds.home_at(home):
        load_source(lake, "sandbox_marketing", "test")
    (_, emptied) = worlds.run(lake, home, silver, worlds.Range(arrival, arrival), source="sandbox_marketing", changed=True)
    assert (emptied.days, emptied.wrote, emptied.rows_used, emptied.rows_in) == (worlds.Range(day, day), True, 0, emptied.duplicates)
    assert clicks.keys() - {day} == {r["spend_date"] for r in lake.read("silver.ad_spend").select("spend_date").distinct().collect()}


def test_a_repaired_record_goes_back_in_once_and_closes_its_row(copied, capsys):
    lake, home = copied
    aside = replay.read_rows(home / "lake", "silver.events").to_dicts()
    row = next(r for r in aside if r["source"] == "sandbox_site" and r["payload"] and not r["payload"].rstrip().endswith("}"))
    template = next(
        json.loads(r["payload"])
        for r in lake.spark.read.format("delta")
        .load(lake.path(f"bronze.{row['source']}__events"))
        .where("payload is not null")
        .limit(50)
        .collect()
        if r["payload"].rstrip().endswith("}") and '"event_at":"2026' in r["payload"]
    )
    fixed = home / "fixed.json"
    fixed.write_text(json.dumps({**template, "id": "repaired-1"}), encoding="utf-8")
    before = lake.read("silver.events").count()
    worse = home / "worse.json"
    worse.write_text("{", encoding="utf-8")
    with worlds.home_at(home), pytest.raises(ThroughlineError, match="set aside again by malformed_json"):
        replay.replay(lake, "silver.events", row["quarantine_id"], worse, "test", lambda _: None)
    with worlds.home_at(home):
        replay.replay(lake, "silver.events", row["quarantine_id"], fixed, "test", lambda _: None)
    assert lake.read("silver.events").count() == before + 1
    assert lake.read("silver.events").where("client_event_id = 'repaired-1'").count() == 1
    with worlds.home_at(home):
        replay.replay(lake, "silver.events", row["quarantine_id"], fixed, "test", lambda _: None)
    assert lake.read("silver.events").count() == before + 1
    states = {r["quarantine_id"]: r["_status"] for r in replay.read_rows(home / "lake", "silver.events").to_dicts()}
    assert states.pop(row["quarantine_id"]) == "closed"
    # and the row of the repair that was none
    assert sorted(states.values()).count("closed") == 1


def test_maintenance_reaches_bronze_and_quarantine_and_changes_no_row(built, tmp_path, capsys):
    lake, home = built
    names = ("bronze.sandbox_site__events", "silver.events", "silver.events__quarantine", "gold.channel_daily")
    for name in names:
        shutil.copytree(home / "lake" / name.replace(".", "/"), tmp_path / name.replace(".", "/"))
    own = Lake(lake.spark, str(tmp_path))
    before = worlds.hashes(own)
    maintain(str(tmp_path), worlds.LAST)
    assert worlds.hashes(own) == before
    said = capsys.readouterr().out
    assert [f"{name}: compacted and vacuumed" in said for name in names] == [True] * len(names)

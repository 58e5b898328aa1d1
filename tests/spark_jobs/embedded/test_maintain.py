"""Housekeeping of the ops tables goes through their one writer and drops only what is past its retention."""

import datetime as dt
from decimal import Decimal

from conf.tables import table
from spark_jobs.embedded import maintain
from spark_jobs.embedded.maintain import maintain_small
from spark_jobs.io.lake import Lake
from spark_jobs.io.publish import Fence, append
from spark_jobs.io.small import append_rows, open_table, opened, read_arrow


def test_claims_past_their_retention_go_but_each_claims_newest_and_the_rest_is_one_file(tmp_path):
    contract = table("ops.claims")
    for claim, generation, day in (("a", 1, 1), ("a", 2, 2), ("b", 1, 1), ("b", 2, 60), ("b", 3, 61)):
        at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=day)
        append_rows(opened(str(tmp_path), contract), contract, [(claim, generation, "holder", at, at)])
    maintain_small(str(tmp_path), "ops.claims", dt.date(2026, 3, 1) + dt.timedelta(days=90))
    kept = read_arrow(str(tmp_path), "ops.claims")
    assert sorted(zip(kept["claim"].to_pylist(), kept["generation"].to_pylist())) == [("a", 2), ("b", 2), ("b", 3)]
    assert len(opened(str(tmp_path), contract).file_uris()) == 1


def test_a_table_made_for_few_rows_lies_in_its_clusters_once_it_has_grown(spark, tmp_path, monkeypatch):
    contract, lake = table("silver.fx_rates"), Lake(spark, str(tmp_path))
    assert lake.is_few and lake.create(contract)
    day = dt.date(2026, 3, 1)
    rows = spark.createDataFrame([(day, "USD", Decimal(1), "bank")], "rate_date date, currency string, rate decimal(18,8), source string")
    append(lake, rows, contract, 1, Fence("a", 1, "run"))

    def clusters() -> list[str]:
        maintain.compact(lake, contract.name, day)
        return spark.sql(f"DESCRIBE DETAIL {lake.sql_name(contract.name)}").first()["clusteringColumns"]

    assert clusters() == []
    monkeypatch.setattr(maintain, "CLUSTERED_BYTES", 0)
    assert clusters() == ["rate_date"]
    assert lake.read(contract.name).count() == 1


def test_a_dry_run_says_what_maintain_then_does_and_writes_nothing(spark, tmp_path, monkeypatch):
    home, today = tmp_path / "home", dt.date(2026, 3, 1)
    lake = Lake(spark, str(home / "lake"))
    contract, claims, runs = table("silver.fx_rates"), table("ops.claims"), table("ops.runs")
    lake.create(contract)
    schema = "rate_date date, currency string, rate decimal(18,8), source string"
    # the oldest day is past the retention of five years
    for number, day in enumerate((dt.date(2020, 1, 1), today, today), 1):
        rows = spark.createDataFrame([(day, f"C{number}", Decimal(1), "bank")], schema).coalesce(1)
        append(lake, rows, contract, number, Fence("a", number, "run"))
    long_ago, now = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    for generation, at in ((1, long_ago), (2, now)):
        append_rows(opened(lake.root, claims), claims, [("a", generation, "holder", at, at)])
        run = {"run_id": str(generation), "process_id": "p", "table_name": "t", "status": "ok", "started_at": at, "finished_at": at}
        run |= {"from_date": today, "to_date": today}
        append_rows(opened(lake.root, runs), runs, [tuple(run.get(name) for name in runs.column_names)])
    before = sorted((path, path.stat().st_mtime_ns) for path in home.rglob("*"))
    monkeypatch.setenv("THROUGHLINE_HOME", str(home))
    said, facts = maintain.plan(today=today)
    assert sorted((path, path.stat().st_mtime_ns) for path in home.rglob("*")) == before
    assert "`silver.fx_rates`: 3 files" in said and facts["rows"] == 3 and facts["tables"] == 3 and facts["files"] == 3 + 2 + 2
    assert facts["bytes"] == sum(f.stat().st_size for f in (home / "lake").rglob("*.parquet") if "_delta_log" not in f.parts)
    maintain.maintain(today=today)
    assert len(open_table(lake.root, contract.name).file_uris()) == 1
    assert [read_arrow(lake.root, name).num_rows for name in (contract.name, runs.name)] == [2, 1]


def test_a_dry_run_counts_files_that_no_version_needs_any_more(spark, tmp_path, monkeypatch):
    contract, lake = table("silver.fx_rates"), Lake(spark, str(tmp_path))
    lake.create(contract)
    for number in (1, 2):
        rows = spark.createDataFrame(
            [(dt.date(2026, 3, 1), f"C{number}", Decimal(1), "bank")], "rate_date date, currency string, rate decimal(18,8), source string"
        ).coalesce(1)
        append(lake, rows, contract, number, Fence("a", number, "run"))
    maintain.compact(lake, contract.name, dt.date(2026, 3, 2))
    found = maintain.upkeep(open_table(lake.root, contract.name), contract.name, dt.date(2026, 3, 2))
    assert found == maintain.Upkeep()
    monkeypatch.setattr(maintain, "KEEP_HOURS", 0)
    found = maintain.upkeep(open_table(lake.root, contract.name), contract.name, dt.date(2026, 3, 2))
    live = {str(path) for path in open_table(lake.root, contract.name).file_uris()}
    gone = [path for path in (tmp_path / "silver/fx_rates").rglob("*.parquet") if str(path) not in live and "_delta_log" not in path.parts]
    assert (found.old, found.old_bytes) == (len(gone), sum(path.stat().st_size for path in gone)) and found.old == 2


def test_what_cannot_be_read_does_not_stop_the_plan(tmp_path, monkeypatch):
    for contract in (table("ops.keys"), table("ops.runs")):
        opened(tmp_path, contract)
    (tmp_path / "ops/keys/_delta_log" / f"{0:020}.json").write_text("no json")
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    said, facts = maintain.plan(str(tmp_path))
    assert "`ops.keys` would be left: " in said and "1 more with nothing to do" in said and facts["tables"] == 0

"""Housekeeping of the ops tables goes through their one writer and drops only what is past its retention."""

import datetime as dt
from decimal import Decimal

from conf.tables import table
from spark_jobs.embedded import maintain
from spark_jobs.embedded.maintain import maintain_small
from spark_jobs.io.lake import Lake
from spark_jobs.io.publish import Fence, append
from spark_jobs.io.small import append_rows, opened, read_arrow


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

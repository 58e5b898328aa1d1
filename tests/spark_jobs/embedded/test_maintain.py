"""Housekeeping of the ops tables goes through their one writer and drops only what is past its retention."""

import datetime as dt

from conf.tables import table
from spark_jobs.embedded.maintain import maintain_small
from spark_jobs.io.small import append_rows, opened, read_arrow


def test_claims_past_their_retention_go_and_the_rest_is_one_file(tmp_path):
    contract = table("ops.claims")
    for day in (1, 2, 3):
        at = dt.datetime(2026, day, 1, tzinfo=dt.UTC)
        append_rows(opened(str(tmp_path), contract), contract, [(f"claim {day}", 1, "holder", at, at)])
    maintain_small(str(tmp_path), "ops.claims", dt.date(2026, 3, 31) + dt.timedelta(days=30))
    assert sorted(read_arrow(str(tmp_path), "ops.claims")["claim"].to_pylist()) == ["claim 2", "claim 3"]
    assert len(opened(str(tmp_path), contract).file_uris()) == 1

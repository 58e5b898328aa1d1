"""Which commits and files a table still has, whatever its folders are called."""

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from spark_jobs.io.commits import LOST, commit_ids, is_there, missing_files, seen_at, versions


def stored(root, rows=2):
    path = root / "silver" / "orders"
    for number in range(rows):
        write_deltalake(
            str(path), pa.table({"source": ["it's a b%", "ü:x"], "v": [number, number]}), partition_by=["source"], mode="append"
        )
    return path


def test_a_commit_is_there_while_its_id_stands_under_its_number(tmp_path):
    path = stored(tmp_path)
    seen = seen_at(tmp_path, {"silver.orders": 1, "silver.events": -1})
    assert list(seen) == ["silver.orders"] and versions(tmp_path, "silver.orders") == (0, 1)
    assert is_there(tmp_path, "silver.orders", seen["silver.orders"])
    assert not is_there(tmp_path, "silver.orders", (1, "of another")) and not is_there(tmp_path, "silver.orders", LOST)
    (path / "_delta_log" / f"{1:020d}.json").unlink()
    assert not is_there(tmp_path, "silver.orders", seen["silver.orders"]) and commit_ids(tmp_path, "silver.orders", 1) == {}
    assert not is_there(tmp_path, "silver.events", (0, "gone"))


def test_a_file_that_is_gone_is_named_with_its_source(tmp_path):
    path = stored(tmp_path)
    assert missing_files(tmp_path, "silver.orders") == {} == missing_files(tmp_path, "silver.events")
    files = sorted(path.glob("source=*/*.parquet"))
    files[0].unlink()
    gone = missing_files(tmp_path, "silver.orders")
    assert list(gone) == [str(files[0])] and set(gone.values()) <= {"it's a b%", "ü:x"}
    assert DeltaTable(str(path)).version() == 1

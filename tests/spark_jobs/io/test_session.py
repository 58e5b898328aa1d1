"""Which settings a session takes."""

from spark_jobs.io import session


def test_a_lake_is_small_while_it_holds_little_and_not_when_it_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "SMALL_BYTES", 10)
    # the claim of the very run that asks
    (tmp_path / "ops" / "claims").mkdir(parents=True)
    (tmp_path / "ops" / "claims" / "part.parquet").write_bytes(b"1234")
    assert not session.sizes(str(tmp_path))["small"]
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold" / "part.parquet").write_bytes(b"123456")
    assert session.sizes(str(tmp_path))["small"]
    (tmp_path / "gold" / "part-2.parquet").write_bytes(b"123456")
    assert not session.sizes(str(tmp_path))["small"]
    assert not session.sizes("s3a://bucket/lake")["small"]


def test_a_lake_of_few_rows_is_smaller_still(tmp_path, monkeypatch):
    rows = tmp_path / "silver" / "orders" / "part.parquet"
    rows.parent.mkdir(parents=True)
    rows.write_bytes(b"x" * 100)
    assert session.sizes(str(tmp_path))["few"] and session.sizes(str(tmp_path))["small"]
    monkeypatch.setattr(session, "FEW_BYTES", 100)
    assert not session.sizes(str(tmp_path))["few"] and session.sizes(str(tmp_path))["small"]

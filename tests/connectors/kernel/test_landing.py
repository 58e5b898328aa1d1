"""Landing: whole attempts or nothing, every byte kept."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connectors.kernel import landing as module
from connectors.kernel.errors import ConnectorError
from connectors.kernel.landing import Landing, Record, Slice, landed

AT = datetime(2026, 11, 20, 10, 11, 12, 345678, tzinfo=UTC)
DAY = date(2026, 11, 19)
ENVELOPE = {
    "_row", "_source", "_stream",
    "_account", "_extracted_at", "_request_id", "_slice_from", "_slice_to", "_api_version", "_run_id", "_page",
    "_sha256", "_slice_id", "_attempt", "_ingest_date", "payload", "payload_bytes",
}  # fmt: skip


def piece(slice_id: str = "2026-11-19") -> Slice:
    return Slice("shop", "orders", "main", slice_id, DAY, DAY, "1", {"path": "/drops/a.csv", "sha256": "ab" * 32})


def lines(part: str) -> list[dict]:
    return [json.loads(line) for line in gzip.decompress(Path(part).read_bytes()).splitlines()]


def test_a_record_lands_in_its_envelope(tmp_path):
    done = Landing(tmp_path, "run-1").land_records(piece(), [Record(3, b'{"a": "caf\xc3\xa9"}')], AT)
    (line,) = lines(done.manifest["files"][0]["path"])
    assert set(line) == ENVELOPE
    assert line["payload"] == '{"a": "café"}' and line["payload_bytes"] is None
    assert line["_row"] == 3 and line["_attempt"] == 1 and line["_slice_from"] == "2026-11-19"
    assert line["_extracted_at"] == "2026-11-20T10:11:12.345678Z" and line["_ingest_date"] == "2026-11-20"
    assert line["_sha256"] == hashlib.sha256(b'{"a": "caf\xc3\xa9"}').hexdigest()


def test_bytes_that_are_not_utf8_are_kept_as_they_came(tmp_path):
    done = Landing(tmp_path, "run-1").land_records(piece(), [Record(1, b"caf\xe9 \xff")], AT)
    (line,) = lines(done.manifest["files"][0]["path"])
    assert line["payload"] is None
    assert base64.b64decode(line["payload_bytes"]) == b"caf\xe9 \xff"


def test_parts_end_at_the_record_limit_and_the_manifest_names_each(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART_RECORDS", 2)
    done = Landing(tmp_path, "run-1").land_records(piece(), [Record(n, b"x") for n in range(1, 6)], AT)
    assert [Path(f["path"]).name for f in done.manifest["files"]] == ["part-00001.jsonl.gz", "part-00002.jsonl.gz", "part-00003.jsonl.gz"]
    assert [f["records"] for f in done.manifest["files"]] == [2, 2, 1]
    for file in done.manifest["files"]:
        assert hashlib.sha256(Path(file["path"]).read_bytes()).hexdigest() == file["sha256"]


def test_parts_end_at_the_byte_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART_BYTES", 1000)
    done = Landing(tmp_path, "run-1").land_records(piece(), [Record(n, b"x" * 700) for n in range(1, 4)], AT)
    assert [f["records"] for f in done.manifest["files"]] == [1, 1, 1]


def test_records_that_fail_half_way_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART_RECORDS", 1)

    def failing():
        yield Record(1, b"x")
        yield Record(2, b"y")
        raise EOFError("cut off")

    with pytest.raises(EOFError):
        Landing(tmp_path, "run-1").land_records(piece(), failing(), AT)
    assert landed(tmp_path, "shop", "orders") == []
    assert not list(tmp_path.rglob("part-*"))


def test_a_kill_before_the_manifest_is_invisible_and_its_number_is_not_used_again(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt  # like SIGKILL, it runs no clean-up of landing

    landing = Landing(tmp_path, "run-1")
    with monkeypatch.context() as patch:
        patch.setattr(Landing, "_publish", killed)
        with pytest.raises(KeyboardInterrupt):
            landing.land_records(piece(), [Record(1, b"x")], AT)
    assert list(tmp_path.rglob("part-*"))
    assert landed(tmp_path, "shop", "orders") == []
    again = landing.land_records(piece(), [Record(1, b"x")], AT)
    assert again.manifest["attempt"] == 2
    assert [one.manifest["attempt"] for one in landed(tmp_path, "shop", "orders")] == [2]


def test_the_manifest_is_written_after_every_part(tmp_path, monkeypatch):
    written = []
    real = module.write_durably
    monkeypatch.setattr(module, "PART_RECORDS", 1)
    monkeypatch.setattr(module, "write_durably", lambda path, content: (written.append(path.name), real(path, content)))
    Landing(tmp_path, "run-1").land_records(piece(), [Record(1, b"x"), Record(2, b"y")], AT)
    assert written == ["part-00001.jsonl.gz", "part-00002.jsonl.gz", "manifest.json"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_slice_without_records_is_complete(tmp_path):
    done = Landing(tmp_path, "run-1").land_records(piece(), [], AT)
    assert done.manifest["files"] == [] and done.manifest["slice_complete"] is True and done.records == 0


@pytest.mark.parametrize("content", ['{"attempt": 1, "fi', "[]", "{}"])
def test_a_manifest_that_is_none_is_named(tmp_path, content):
    done = Landing(tmp_path, "run-1").land_records(piece(), [Record(1, b"x")], AT)
    (done.folder / "manifest.json").write_text(content)
    with pytest.raises(ConnectorError, match=r"2026-11-19/1/manifest\.json: not .*; move its folder away and pull again"):
        landed(tmp_path, "shop", "orders")


def test_each_folder_that_is_made_is_durable_in_its_own(tmp_path, monkeypatch):
    synced = []
    fsync = module.fsync_folder
    monkeypatch.setattr(module, "fsync_folder", lambda folder: (synced.append(folder), fsync(folder)))
    done = Landing(tmp_path / "landing", "run-1").land_records(piece(), [Record(1, b"{}")], AT)
    wanted = [done.folder, *done.folder.parents]
    assert set(wanted[: wanted.index(tmp_path / "landing") + 1]) <= set(synced)

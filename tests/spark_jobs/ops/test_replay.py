"""What `quarantine show` says of a row set aside."""

import json
from pathlib import Path

import polars as pl
import pytest

from spark_jobs.ops import replay


@pytest.fixture
def shown(monkeypatch, tmp_path, capsys):
    """shown(file): the lines shown of one row of that file."""

    def lines(file: str | None) -> list[str]:
        row = dict(
            quarantine_id="q1", _status="open", _reason="malformed_json", _file=file, _row=file and 7, payload="{", payload_bytes=None
        )
        monkeypatch.setattr(replay, "read_rows", lambda lake, name: pl.DataFrame([row]))
        replay.show(tmp_path, "silver.orders", "", 5)
        return capsys.readouterr().out.splitlines()

    return lines


@pytest.fixture
def attempt(home) -> Path:
    """The folder that an attempt was landed in."""
    folder = home / "landing" / "shop" / "orders" / "main" / "2026-11-20..2026-11-20" / "001"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("landed_under", [None, "/elsewhere/landing"], ids=["here", "in a home that was moved"])
def test_the_line_is_shown_with_the_dropped_file_it_is_of(shown, attempt, landed_under):
    (attempt / "manifest.json").write_text(json.dumps({"origin": {"path": "/drops/shop/orders/2026-11-20.csv"}}))
    part = str(attempt / "part-00001.jsonl.gz")
    if landed_under:
        part = landed_under + part.partition("/landing")[2]
    assert shown(part) == ["q1  open  malformed_json", "  /drops/shop/orders/2026-11-20.csv line 7", "  {"]


@pytest.mark.parametrize("manifest", [None, "{", "[]", "{}"])
def test_a_part_whose_manifest_does_not_say_its_origin_is_shown_itself(shown, attempt, manifest):
    if manifest is not None:
        (attempt / "manifest.json").write_text(manifest)
    assert shown(str(attempt / "part-00001.jsonl.gz"))[1] == f"  {attempt}/part-00001.jsonl.gz line 7"


def test_a_replayed_or_derived_row_has_no_dropped_file(shown):
    assert (shown("replay:q0")[1], shown(None)[1]) == ("  replay:q0 line 7", "  a derived row")

"""Landed files into bronze: each once, whole, as it was received; also from a folder whose name a URL would write otherwise."""

import datetime as dt
import decimal
import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.settings import Source
from connectors.kernel import pulls
from connectors.kernel.connector import Scope
from connectors.kernel.landing import Landing
from spark_jobs.bronze import load
from spark_jobs.errors import GateError, ThroughlineError
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import parsed

DAY = dt.date(2026, 3, 1)
SHOP = Source(
    source="shop",
    connector="file_drop",
    streams={"orders": {"path": ["*.jsonl", "*.jsonl.gz", "*.parquet"]}},
    identity_scope="shop",
    account="eu",
)


@pytest.fixture
def shop(spark, tmp_path, monkeypatch):
    """The drop folder of a shop in a home with a name of many kinds of sign, and what loads it."""
    home = tmp_path / "a home, 100% ä+b"
    monkeypatch.setenv("THROUGHLINE_HOME", str(home))
    monkeypatch.setattr(load, "declared_source", lambda _: SHOP)
    drops, lake = home / "drops" / "shop" / "orders", Lake(spark, str(home / "lake"))
    drops.mkdir(parents=True)

    def loaded() -> list[dict]:
        pulls.pull(SHOP, Scope(DAY, DAY), Landing(home / "landing", "run-1"), print)
        return load.load_source(lake, "shop", "test")

    return drops, lake, loaded


def bronze(lake: Lake) -> list:
    return lake.spark.read.format("delta").load(lake.path("bronze.shop__orders")).orderBy("_file", "_row").collect()


def test_lines_and_parquet_rows_of_any_schema_are_records_as_received(shop):
    drops, lake, loaded = shop
    (drops / "plain.jsonl").write_bytes(b'{"id": "1"}\n\xff not utf-8\n')
    (drops / "packed.jsonl.gz").write_bytes(gzip.compress(b'{"id": "2"}\n'))
    pq.write_table(pa.table({"id": ["3", "4"], "amount": [1.5, None]}), drops / "wide table.parquet")
    pq.write_table(pa.table({"id": [5]}), drops / "narrow.parquet")
    pq.write_table(pa.table({"payload": ['{"id": "6"}', None]}), drops / "payload.parquet")
    assert [(o["rows_in"], o["rows_out"]) for o in loaded()] == [(8, 8)]
    rows = bronze(lake)
    found = {(r["_slice_id"].replace("~", " ").split(".")[0], r["_row"]): r["payload"] for r in rows if r["_file"].endswith(".parquet")}
    assert {k: v and json.loads(v) for k, v in found.items()} == {
        ("narrow", 1): {"id": 5},
        ("payload", 1): {"id": "6"},
        ("payload", 2): None,
        ("wide table", 1): {"id": "3", "amount": 1.5},
        ("wide table", 2): {"id": "4", "amount": None},
    }
    lines = [(r["_row"], r["payload"], r["payload_bytes"]) for r in rows if not r["_file"].endswith(".parquet")]
    assert sorted(lines, key=str) == [(1, '{"id": "1"}', None), (1, '{"id": "2"}', None), (2, None, bytearray(b"\xff not utf-8"))]
    assert all(Path(r["_file"]).is_file() and r["_source"] == "shop" and r["_account"] == "eu" and r["_attempt"] == 1 for r in rows)
    assert all(r["_extracted_at"].date() == r["_ingest_date"] and r["_slice_id"] for r in rows)


def test_a_file_is_loaded_once(shop):
    drops, lake, loaded = shop
    pq.write_table(pa.table({"id": ["1"]}), drops / "one.parquet")
    loaded()
    version = lake.version("bronze.shop__orders")
    (again,) = loaded()
    assert (again["rows_out"], again["wrote"], lake.version("bronze.shop__orders")) == (0, False, version)
    (drops / "two.jsonl").write_text('{"id": "2"}\n')
    assert loaded()[0]["rows_out"] == 1 and len(bronze(lake)) == 2


def rewritten(path: Path, ids: list[str]) -> None:
    """The file's rows replaced in place, as a tool does that opens it for writing: all names of the file see the new ones."""
    pq.write_table(pa.table({"id": ids}), path)


def test_a_parquet_drop_rewritten_under_its_name_is_loaded_as_the_next_attempt(shop):
    drops, lake, loaded = shop
    rewritten(drops / "a.parquet", ["1", "2"])
    loaded()
    rewritten(drops / "a.parquet", ["3", "4"])
    loaded()
    assert sorted((r["_attempt"], json.loads(r["payload"])["id"]) for r in bronze(lake)) == [(1, "1"), (1, "2"), (2, "3"), (2, "4")]


@pytest.mark.parametrize("kind", ["batch", "event_log"])
@pytest.mark.parametrize(
    "emptied",
    [pa.table({"id": pa.array([], "string")}), pa.table({"id": []}), pa.table({}), None],
    ids=["typed", "untyped", "no_columns", "lines"],
)
def test_a_drop_rewritten_without_records_is_an_attempt_too_and_loaded_once(shop, monkeypatch, kind, emptied):
    drops, lake, loaded = shop
    monkeypatch.setattr(load, "declared_source", lambda _: replace(SHOP, kind=kind))
    lines, rows = drops / "a.jsonl", drops / "a.parquet"
    if emptied is None:
        lines.write_text('{"id": "1"}\n')
        loaded()
        lines.write_text("")
    else:
        rewritten(rows, ["1"])
        loaded()
        pq.write_table(emptied, rows)
    assert [(o["rows_in"], o["rows_out"]) for o in loaded()] == [(0, 0)]
    (empty,) = (r for r in bronze(lake) if r["_attempt"] == 2)
    (record,) = (r for r in bronze(lake) if r["_attempt"] == 1)
    assert (empty["_row"], empty["payload"], empty["payload_bytes"], record["_row"]) == (0, None, None, 1)
    assert empty["_file"].endswith("2/manifest.json") and empty["_slice_id"] == record["_slice_id"] and empty["_ingest_date"]
    version = lake.version("bronze.shop__orders")
    assert [o["wrote"] for o in loaded()] == [False] and lake.version("bronze.shop__orders") == version


def test_a_drop_rewritten_before_it_was_loaded_is_loaded_as_it_was_and_as_it_is_now(shop):
    drops, lake, loaded = shop
    rewritten(drops / "a.parquet", ["1", "2"])
    pulls.pull(SHOP, Scope(DAY, DAY), Landing(drops.parents[2] / "landing", "run-1"), print)
    rewritten(drops / "a.parquet", ["3", "4"])
    loaded()
    assert sorted((r["_attempt"], json.loads(r["payload"])["id"]) for r in bronze(lake)) == [(1, "1"), (1, "2"), (2, "3"), (2, "4")]


def harm_parquet(drops: Path, landing: Path) -> None:
    rewritten(next(landing.rglob("part-*.parquet")), ["1", "9"])


def harm_lines(drops: Path, landing: Path) -> None:
    part = next(landing.rglob("part-*.jsonl.gz"))
    part.write_bytes(gzip.compress(gzip.decompress(part.read_bytes()).replace(b"3", b"9")))


def cut_lines(drops: Path, landing: Path) -> None:
    part = next(landing.rglob("part-*.jsonl.gz"))
    part.write_bytes(part.read_bytes()[:-12])


def lose_lines(drops: Path, landing: Path) -> None:
    next(landing.rglob("part-*.jsonl.gz")).unlink()


@pytest.mark.parametrize("kind", ["batch", "event_log"])
@pytest.mark.parametrize("harm", [harm_parquet, harm_lines, cut_lines, lose_lines])
def test_a_file_changed_cut_or_lost_since_it_was_pulled_is_refused_until_it_is_pulled_again(shop, monkeypatch, kind, harm):
    drops, lake, loaded = shop
    monkeypatch.setattr(load, "declared_source", lambda _: replace(SHOP, kind=kind))
    landing = drops.parents[2] / "landing"
    if harm is harm_parquet:
        rewritten(drops / "a.parquet", ["1", "2"])
    (drops / "lines.jsonl").write_text('{"id": "3"}\n{"id": "4"}\n')
    pulls.pull(SHOP, Scope(DAY, DAY), Landing(landing, "run-1"), print)
    harm(drops, landing)
    with pytest.raises(
        GateError, match=r"1 landing file.*1/part-00001\..*Nothing was loaded.*connectors pull shop --from \d{4}-\d\d-\d\d --to"
    ):
        load.load_source(lake, "shop", "test")
    assert not lake.exists("bronze.shop__orders")
    loaded()
    ids = {"1", "2", "3", "4"} if harm is harm_parquet else {"3", "4"}
    assert {json.loads(r["payload"])["id"] for r in bronze(lake)} == ids


def test_a_part_that_a_stream_saw_before_its_manifest_is_loaded_all_the_same(shop, monkeypatch):
    drops, lake, _ = shop
    monkeypatch.setattr(load, "declared_source", lambda _: replace(SHOP, kind="event_log"))
    landing = drops.parents[2] / "landing"
    for name in ("first", "second"):
        (drops / f"{name}.jsonl").write_text(f'{{"id": "{name}"}}\n')
    pulls.pull(SHOP, Scope(DAY, DAY), Landing(landing, "run-1"), print)
    manifest = next(path for path in landing.rglob("manifest.json") if "second" in str(path))
    hidden = manifest.rename(manifest.with_suffix(".later"))
    load.load_source(lake, "shop", "test")
    hidden.rename(manifest)
    assert [o["rows_out"] for o in load.load_source(lake, "shop", "test")] == [1]
    assert sorted(json.loads(r["payload"])["id"] for r in bronze(lake)) == ["first", "second"]


def test_a_manifest_of_other_counts_than_its_file_is_refused(shop):
    drops, lake, _ = shop
    (drops / "lines.jsonl").write_text('{"id": "3"}\n')
    pulls.pull(SHOP, Scope(DAY, DAY), Landing(drops.parents[2] / "landing", "run-1"), print)
    (path,) = (drops.parents[2] / "landing").rglob("manifest.json")
    path.write_text(path.read_text().replace('"records": 1', '"records": 2'))
    with pytest.raises(GateError, match="manifest says 2, file holds 1"):
        load.load_source(lake, "shop", "test")
    assert bronze(lake) == []


@pytest.mark.parametrize("content", ['{"attempt": 1, "fi', "[]", "{}"])
def test_a_manifest_that_is_none_is_named(shop, content):
    drops, lake, _ = shop
    (drops / "lines.jsonl").write_text('{"id": "3"}\n')
    pulls.pull(SHOP, Scope(DAY, DAY), Landing(drops.parents[2] / "landing", "run-1"), print)
    next((drops.parents[2] / "landing").rglob("manifest.json")).write_text(content)
    with pytest.raises(ThroughlineError, match=r"1/manifest\.json: not .*; move its folder away, pull its slice again"):
        load.load_source(lake, "shop", "test")


def found_in(lake: Lake) -> dict[str, list]:
    """The payloads of each dropped file, in order of its rows, by the file's name without its suffix."""
    found: dict[str, list] = {}
    for row in bronze(lake):
        found.setdefault(row["_slice_id"].split(".")[0], []).append(row["payload"])
    return found


NOON = dt.datetime(2026, 3, 25, 12, 0, 0, 123456)


def test_instants_to_the_nanosecond_are_loaded_to_the_microsecond_beside_files_of_other_schemas(shop):
    drops, lake, loaded = shop
    nanos = pa.array([1774440000123456789, -1, None], pa.int64())
    for name, kind in (("naive", pa.timestamp("ns")), ("utc", pa.timestamp("ns", "UTC"))):
        pq.write_table(pa.table({"id": ["1", "2", "3"], "at": nanos.cast(kind)}), drops / f"{name}.parquet")
    pq.write_table(pa.table({"id": ["4"], "at": pa.array([NOON], pa.timestamp("us"))}), drops / "micros.parquet")
    pq.write_table(
        pa.table({"lines": [[{"at": NOON}], None]}, pa.schema({"lines": pa.list_(pa.struct({"at": pa.timestamp("ns")}))})),
        drops / "nested.parquet",
    )
    (drops / "lines.jsonl").write_text('{"id": "5"}\n')
    assert [(o["rows_in"], o["rows_out"]) for o in loaded()] == [(10, 10)]
    instants = [
        '{"id":"1","at":"2026-03-25T12:00:00.123456"}',
        '{"id":"2","at":"1969-12-31T23:59:59.999999"}',
        '{"id":"3","at":null}',
    ]
    assert found_in(lake) == {
        "lines": ['{"id": "5"}'],
        "micros": ['{"id":"4","at":"2026-03-25T12:00:00.123456"}'],
        "naive": instants,
        "nested": ['{"lines":[{"at":"2026-03-25T12:00:00.123456"}]}', '{"lines":null}'],
        "utc": instants,
    }
    assert [r["_row"] for r in bronze(lake) if "naive" in r["_slice_id"]] == [1, 2, 3]
    assert all(r["_sha256"] and r["_extracted_at"] and r["_attempt"] == 1 for r in bronze(lake))
    assert [o["wrote"] for o in loaded()] == [False]


REFUSED_BY_SPARK = {
    "half": (pa.array([1.5, None, 0.1], pa.float16()), ["1.5", "null", "0.1"]),
    "time_s": (pa.array([dt.time(1, 2, 3)], pa.time32("s")), ['"01:02:03.000000"']),
    "time_us": (pa.array([dt.time(1, 2, 3, 4), None], pa.time64("us")), ['"01:02:03.000004"', "null"]),
    "time_ns": (pa.array([1_234_567_891], pa.time64("ns")), ['"00:00:01.234567"']),
    "uuid": (pa.array([b"0123456789abcdef", None], pa.uuid()), ['"30313233-3435-3637-3839-616263646566"', "null"]),
    "decimal": (pa.array([decimal.Decimal("1.5"), None], pa.decimal256(50, 2)), ["1.50", "null"]),
}
NESTED = {
    "list": (pa.array([[12345678.0, None], None, []], pa.list_(pa.float64())), ["[12345678,null]", "null", "[]"]),
    "large_list": (pa.array([[0.5], None], pa.large_list(pa.float64())), ["[0.5]", "null"]),
    "fixed_list": (pa.array([[1.0, 2.5], None, [3.0, 4.0]], pa.list_(pa.float64(), 2)), ["[1,2.5]", "null", "[3,4]"]),
    "struct": (
        pa.array([{"x": 12345678.0, "y": b"\xff"}, None], pa.struct({"x": pa.float64(), "y": pa.binary()})),
        ['{"x":12345678,"y":"/w=="}', "null"],
    ),
    "map": (
        pa.array([[("k", 1e15), ("l", None)], None, []], pa.map_(pa.string(), pa.float64())),
        ['{"k":1000000000000000,"l":null}', "null", "{}"],
    ),
    "map_of_days": (pa.array([[(dt.date(2026, 1, 1), 1)]], pa.map_(pa.date32(), pa.int64())), ['{"2026-01-01":1}']),
    "labels": (
        pa.array([[{"l": "a"}], [{"l": None}]], pa.list_(pa.struct({"l": pa.dictionary(pa.int32(), pa.string())}))),
        ['[{"l":"a"}]', '[{"l":null}]'],
    ),
}
READ_BY_SPARK = {
    "whole_unsigned": (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    "nothing": (pa.nulls(2), ["null", "null"]),
    "label": (pa.array(["a", None]).dictionary_encode(), ['"a"', "null"]),
    "span": (pa.array([dt.timedelta(seconds=1)], pa.duration("us")), ["1000000"]),
    "exact": (pa.array([decimal.Decimal("123456789012345678901.50")], pa.decimal128(38, 2)), ["123456789012345678901.50"]),
    "whole": (pa.array([9007199254740993, -(2**63)], pa.int64()), ["9007199254740993", "-9223372036854775808"]),
    "day": (pa.array([dt.date(1, 1, 1)]), ['"0001-01-01"']),
}


def test_a_column_of_any_type_is_loaded_with_what_it_says(shop):
    drops, lake, loaded = shop
    columns = REFUSED_BY_SPARK | NESTED | READ_BY_SPARK
    for name, (values, _) in columns.items():
        pq.write_table(pa.table({"v": values}), drops / f"{name}.parquet")
    loaded()
    assert found_in(lake) == {name: [f'{{"v":{value}}}' for value in expected] for name, (_, expected) in columns.items()}


def test_columns_may_be_called_and_packed_as_their_writer_likes(shop):
    drops, lake, loaded = shop
    names = pa.table([["x"], ["y"], ["z"]], names=["utm.source", "a `b`;{}", ""])
    pq.write_table(names, drops / "names.parquet")
    pq.write_table(pa.table([[1], [2]], names=["id", "ID"]), drops / "cases.parquet")
    pq.write_table(pa.table({"_metadata": [1], "_file": [2]}), drops / "metadata.parquet")
    pq.write_table(pa.table({"payload": ['{"id": "6"}'], "at": pa.array([NOON], pa.timestamp("ns"))}), drops / "received.parquet")
    numbers = pa.table({"n": [1, 2], "x": [0.5, 1.5]})
    for codec in ("none", "gzip", "brotli", "zstd", "lz4"):
        pq.write_table(numbers, drops / f"{codec}.parquet", compression=codec)
    pq.write_table(numbers, drops / "split.parquet", use_dictionary=False, column_encoding={"x": "BYTE_STREAM_SPLIT"})
    loaded()
    packed = ['{"n":1,"x":0.5}', '{"n":2,"x":1.5}']
    assert found_in(lake) == {
        "names": ['{"utm.source":"x","a `b`;{}":"y","":"z"}'],
        "cases": ['{"id":1,"ID":2}'],
        "metadata": ['{"_metadata":1,"_file":2}'],
        "received": ['{"id": "6"}'],
        **dict.fromkeys(("none", "gzip", "brotli", "zstd", "lz4", "split"), packed),
    }


def test_a_file_of_many_row_groups_keeps_its_rows_and_their_numbers(shop):
    drops, lake, loaded = shop
    table = pa.table(
        {
            "id": list(range(10_000)),
            "at": pa.array([NOON] * 10_000, pa.timestamp("ns")),
            "m": pa.array([[("k", 0.5)]] * 10_000, pa.map_(pa.string(), pa.float64())),
        }
    )
    pq.write_table(table, drops / "many.parquet", row_group_size=3_000)
    loaded()
    assert [(r["_row"], json.loads(r["payload"])["id"]) for r in bronze(lake)] == [(n + 1, n) for n in range(10_000)]


def test_a_number_has_no_exponent_where_it_is_whole_or_of_everyday_size(shop):
    drops, lake, loaded = shop
    said = {
        12345678.0: "12345678",
        1200.0: "1200",
        -12345678.0: "-12345678",
        9007199254740992.0: "9007199254740992",
        123456789.125: "123456789.125",
        0.1: "0.1",
        361.79: "361.79",
        0.0001: "0.0001",
        0.000012345678: "0.000012345678",
        1e-300: "1.0E-300",
        1e16: "1.0E16",
        float("inf"): '"Infinity"',
        float("nan"): '"NaN"',
    }
    values = [*said, None]
    pq.write_table(pa.table({"x": values, "short": pa.array([1.1, 12345678.0] * 7, pa.float32())}), drops / "a.parquet")
    loaded()
    expected = [f'{{"x":{text},"short":{short}}}' for text, short in zip([*said.values(), "null"], ["1.1", "12345678"] * 7)]
    assert found_in(lake) == {"a": expected}


def test_a_file_that_nobody_can_make_records_of_is_named_when_all_others_are_loaded(shop, capsys):
    drops, lake, loaded = shop
    pq.write_table(pa.table([[1], [2]], names=["id", "id"]), drops / "twice.parquet")
    pq.write_table(pa.table({"id": [3]}), drops / "once.parquet")
    for _ in range(2):
        with pytest.raises(
            GateError, match=r"bronze\.shop__orders: .*two columns are called 'id'; rename one and deliver .*twice\.parquet$"
        ):
            loaded()
        assert found_in(lake) == {"once": ['{"id":3}']}
    rewritten(drops / "twice.parquet", ["4"])
    loaded()
    assert found_in(lake) == {"once": ['{"id":3}'], "twice": ['{"id":"4"}']}
    assert "left out, because attempt 2 replaced it" in capsys.readouterr().out


@pytest.mark.parametrize("unit", ["us", "ns"], ids=["read by Spark", "read by Arrow"])
def test_a_parquet_row_beyond_its_stream_s_limit_is_its_beginning_and_too_large(shop, monkeypatch, unit):
    drops, lake, loaded = shop
    stream = {**SHOP.streams["orders"], "max_record_bytes": 100_000}
    monkeypatch.setattr(load, "declared_source", lambda _: replace(SHOP, streams={"orders": stream}))
    at = pa.array([NOON] * 4, pa.timestamp(unit))
    exact = "é" * ((100_000 - len('{"id":""}')) // 2) + "e"
    payloads = ['{"id":"1"}', f'{{"id":"{exact}"}}', f'{{"id":"{exact}+"}}', None]
    assert len(payloads[1].encode()) == 100_000
    pq.write_table(pa.table({"payload": payloads, "at": at}), drops / "received.parquet")
    pq.write_table(pa.table({"id": ["1", "x" * 100_000], "at": at[:2]}), drops / "rows.parquet")
    loaded()
    rows = [row for row in bronze(lake) if row["_slice_id"] == "received.parquet"]
    assert [row["payload"] for row in rows] == [*payloads[:2], None, None]
    long = payloads[2].encode()
    assert [row["payload_bytes"] for row in rows] == [None, None, bytearray(long[: 64 * 1024]), None]
    assert rows[2]["_sha256"] == hashlib.sha256(long).hexdigest()
    read = parsed(lake.spark.read.format("delta").load(lake.path("bronze.shop__orders")), {"format": "json", "schema": "id STRING"})
    why = [row["_reason"] for row in read.orderBy("_slice_id", "_row").collect()]
    assert why == [None, None, "too_large", "not_utf8", None, "too_large"]

"""File drops: each content once, each bad row kept, each missing thing said."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from conf.settings import Source
from connectors.kernel import formats, pulls
from connectors.kernel.connector import Scope
from connectors.kernel.errors import FailedStreamsError, MissingFolderError, StreamDeclarationError, UnreadableFileError
from connectors.kernel.formats import csv_records, line_records
from connectors.kernel.landing import Landing, landed
from tests.connectors.contract import ConnectorContract

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)


class Folders:
    """A world of dropped files, one for each stream and day; the name of a spoiled one is somebody's address."""

    secrets = ("bea@mail.example",)

    def __init__(self, root: Path) -> None:
        streams = {name: {"path": ["{date}.jsonl", "*.jsonl.gz"]} for name in ("orders", "refunds", "visits")}
        self.source = Source("contract_shop", "file_drop", streams, "shop", account="main", api_version="3")
        self.root = root / self.source.source

    def serve(self, stream, day, records):
        (self.root / stream).mkdir(parents=True, exist_ok=True)
        (self.root / stream / f"{day}.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))

    def spoil(self, stream):
        (self.root / stream / f"{self.secrets[0]} 1.jsonl.gz").write_bytes(b"no gzip")

    def close(self, stream):
        (self.root / stream).rename(self.root / f"{stream}-elsewhere")
        (self.root / stream).symlink_to("/")


class TestContract(ConnectorContract):
    @pytest.fixture
    def world(self, home) -> Folders:
        return Folders(home / "drops")


@pytest.fixture
def drops(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("THROUGHLINE_DROPS", str(tmp_path / "drops"))
    folder = tmp_path / "drops" / "shop" / "orders"
    folder.mkdir(parents=True)
    return folder


def shop(**stream) -> Source:
    return Source("shop", "file_drop", {"orders": {"path": "{date}.csv", **stream}}, "shop")


def pull(tmp_path, source=None, first=FIRST, last=LAST):
    said: list[str] = []
    try:
        counts = pulls.pull(source or shop(), Scope(first, last), Landing(tmp_path / "landing", "run-1"), said.append)["orders"]
    except FailedStreamsError as error:
        (failure, *_) = error.failures["shop.orders"]
        raise failure if not isinstance(failure, UnreadableFileError) else UnreadableFileError(str(error)) from error
    return counts, said


def payloads(tmp_path) -> list[dict]:
    found = []
    for one in landed(tmp_path / "landing", "shop", "orders"):
        for file in one.manifest["files"]:
            found += [json.loads(line) for line in gzip.decompress(Path(file["path"]).read_bytes()).splitlines()]
    return found


def payloads_of(one) -> list[str]:
    files = [gzip.decompress(Path(file["path"]).read_bytes()) for file in one.manifest["files"]]
    return [json.loads(line)["payload"] for content in files for line in content.splitlines()]


def rows(text: bytes, delimiter: str = ",") -> list[tuple[int, bytes]]:
    return [tuple(r) for r in csv_records(io.BytesIO(text), delimiter, Path("a.csv"))]


def test_a_file_is_landed_once_however_often_it_is_pulled(drops, tmp_path):
    (drops / "2026-11-20.csv").write_text("id,name\n1,a\n2,b\n")
    first, _ = pull(tmp_path)
    second, _ = pull(tmp_path)
    assert (first.landed, first.records, first.skipped) == (1, 2, 0)
    assert (second.landed, second.records, second.skipped) == (0, 0, 1)
    assert len(payloads(tmp_path)) == 2


def test_a_changed_file_is_the_next_attempt_of_its_slice_even_when_it_changes_back(drops, tmp_path):
    for content in ("id\n1\n", "id\n2\n", "id\n1\n"):
        (drops / "2026-11-20.csv").write_text(content)
        pull(tmp_path)
    done = landed(tmp_path / "landing", "shop", "orders")
    assert [(one.manifest["slice_id"], one.manifest["attempt"]) for one in done] == [
        ("2026-11-20", 1),
        ("2026-11-20", 2),
        ("2026-11-20", 3),
    ]


def test_a_copy_under_another_name_is_not_landed_again(drops, tmp_path):
    (drops / "2026-11-20.csv").write_text("id\n1\n")
    pull(tmp_path)
    (drops / "2026-11-21.csv").write_text("id\n1\n")
    counts, _ = pull(tmp_path)
    assert (counts.landed, counts.skipped) == (0, 2)


def test_a_later_delivery_restates_the_day_whole(drops, tmp_path):
    source = shop(path="{date}/delivered-{delivery}.csv")
    (drops / "2026-11-20").mkdir()
    for name, content in (("2026-11-20", "id\n1\n"), ("2026-11-22", "id\n2\n"), ("2026-11-23", "id\n1\n")):
        (drops / "2026-11-20" / f"delivered-{name}.csv").write_text(content)
    pull(tmp_path, source)
    done = landed(tmp_path / "landing", "shop", "orders")
    assert [(one.manifest["slice_id"], one.manifest["attempt"]) for one in done] == [
        ("2026-11-20", 1),
        ("2026-11-20", 2),
        ("2026-11-20", 3),
    ]
    assert [line["payload"] for line in payloads(tmp_path)] == ['{"id":"1"}', '{"id":"2"}', '{"id":"1"}']
    assert done[0].manifest["extracted_at"] < done[1].manifest["extracted_at"] < done[2].manifest["extracted_at"]


def test_only_slices_of_the_range_are_taken_and_unsliced_files_belong_to_every_range(drops, tmp_path):
    for day in ("2026-11-19", "2026-11-20", "2026-11-21"):
        (drops / f"{day}.csv").write_text(f"id\n{day}\n")
    (drops / "all.csv").write_text("id\nall\n")
    (drops / "notes-2026-11-20.csv").write_text("id\nother\n")
    pull(tmp_path, shop(path=["{date}.csv", "all.csv"]), date(2026, 11, 20), date(2026, 11, 20))
    assert [(line["payload"], line["_slice_from"], line["_slice_to"]) for line in payloads(tmp_path)] == [
        ('{"id":"2026-11-20"}', "2026-11-20", "2026-11-20"),
        ('{"id":"all"}', None, None),
    ]


def test_a_file_that_came_late_is_taken_by_the_next_pull_of_a_later_day(drops, tmp_path):
    def put(*days: int) -> None:
        for day in days:
            (drops / f"2026-11-{day}.csv").write_text(f"id\n{day}\n")

    def pulled(day: int) -> list[str]:
        before = {one.manifest["slice_id"] for one in landed(tmp_path / "landing", "shop", "orders")}
        pull(tmp_path, first=date(2026, 11, day), last=date(2026, 11, day))
        return sorted({one.manifest["slice_id"] for one in landed(tmp_path / "landing", "shop", "orders")} - before)

    put(10, 15, 17)
    assert pulled(15) == ["2026-11-15"]
    put(16)
    # what is older than the first landed day was never asked for
    assert pulled(17) == ["2026-11-16", "2026-11-17"]
    assert pulled(10) == ["2026-11-10"]
    put(11)
    assert pulled(18) == ["2026-11-11"]


def test_a_report_restated_for_a_past_day_is_taken_by_the_next_pull(drops, tmp_path):
    source = shop(path="{date}/delivered-{delivery}.csv")
    (drops / "2026-11-15").mkdir()
    (drops / "2026-11-15" / "delivered-2026-11-15.csv").write_text("id\n1\n")
    pull(tmp_path, source, date(2026, 11, 15), date(2026, 11, 15))
    (drops / "2026-11-15" / "delivered-2026-11-20.csv").write_text("id\n2\n")
    counts, said = pull(tmp_path, source, date(2026, 11, 20), date(2026, 11, 20))
    assert counts.landed == 1 and "1 files of days before 2026-11-20 came since, from 2026-11-15 on" in said[0]
    done = landed(tmp_path / "landing", "shop", "orders")
    assert [(one.manifest["slice_id"], one.manifest["attempt"]) for one in done] == [("2026-11-15", 1), ("2026-11-15", 2)]


def test_two_files_of_one_day_are_two_slices(drops, tmp_path):
    for name in ("a", "b"):
        (drops / f"2026-11-20-{name}.csv").write_text(f"id\n{name}\n")
    pull(tmp_path, shop(path="{date}-*.csv"))
    assert [one.manifest["attempt"] for one in landed(tmp_path / "landing", "shop", "orders")] == [1, 1]


@pytest.mark.parametrize(
    ("path", "files"),
    [
        (["north/{date}.csv", "south/{date}.csv"], ["north/2026-11-20.csv", "south/2026-11-20.csv"]),
        (["{date}.csv", "{date}.csv.gz"], ["2026-11-20.csv", "2026-11-20.csv.gz"]),
        (["{date}-*.csv", "*/*.csv"], ["2026-11-20-a.csv", "2026-11-20/2026-11-20-a.csv"]),
        ("**/*.csv", ["январь.csv", "февраль.csv"]),
        ("**/*.csv", ["a b.csv", "a+b.csv", "a/b.csv", "a~b.csv"]),
        ("*.csv", ["_a.csv", ".a.csv", "x" * 240 + ".csv", "x" * 241 + ".csv"]),
    ],
)
def test_two_files_are_never_one_slice(drops, tmp_path, path, files):
    for number, name in enumerate(files):
        (drops / name).parent.mkdir(exist_ok=True)
        content = f"id\n{number}\n".encode()
        (drops / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    pull(tmp_path, shop(path=path))
    done = landed(tmp_path / "landing", "shop", "orders")
    assert [one.manifest["attempt"] for one in done] == [1] * len(files) == [1] * len({one.slice for one in done})


@pytest.mark.parametrize(
    ("path", "file", "slice_id"),
    [
        ("{date}.csv", "2026-11-20.csv", "2026-11-20"),
        (["{date}.csv", "all.csv"], "2026-11-20.csv", "2026-11-20"),
        (["*/{date}.csv", "{date}.csv", "{date}.csv.gz"], "2026-11-20.csv", "2026-11-20"),
        ("{date}/delivered-{delivery}.csv", "2026-11-20/delivered-2026-11-21.csv", "2026-11-20"),
        (["{date}/{delivery}.csv", "{date}/{delivery}.csv.gz"], "2026-11-20/2.csv.gz", "2026-11-20"),
        ("{date}/*.csv", "2026-11-20/a.csv", "2026-11-20~2026-11-20~a.csv"),
        ("shop/all-1.csv", "shop/all-1.csv", "shop~all-1.csv"),
        ("*/*.csv", "2026-11-20/a.csv", "2026-11-20~a.csv"),
    ],
)
def test_a_slice_of_plain_names_keeps_its_id_so_that_lakes_go_on(drops, tmp_path, path, file, slice_id):
    (drops / file).parent.mkdir(exist_ok=True)
    (drops / file).write_bytes(gzip.compress(b"id\n1\n") if file.endswith(".gz") else b"id\n1\n")
    pull(tmp_path, shop(path=path))
    assert [one.manifest["slice_id"] for one in landed(tmp_path / "landing", "shop", "orders")] == [slice_id]


@pytest.mark.parametrize(
    ("path", "slices"),
    [
        ("*/{date}/d-{delivery}.csv", ["2026-11-20~north~2026-11-20~d-.csv", "2026-11-20~south~2026-11-20~d-.csv"]),
        (["north/{date}/d-{delivery}.csv", "south/{date}/d-{delivery}.csv"], ["2026-11-20", "2026-11-20~south~2026-11-20~d-.csv"]),
    ],
)
def test_reports_of_two_folders_restate_their_own_days_only(drops, tmp_path, path, slices):
    for folder in ("north", "south"):
        for delivery in ("20", "21"):
            (drops / folder / "2026-11-20").mkdir(parents=True, exist_ok=True)
            (drops / folder / "2026-11-20" / f"d-{delivery}.csv").write_text(f"id\n{folder}{delivery}\n")
    pull(tmp_path, shop(path=path))
    done = landed(tmp_path / "landing", "shop", "orders")
    assert sorted((one.manifest["slice_id"], one.manifest["attempt"]) for one in done) == [(name, n) for name in slices for n in (1, 2)]


@pytest.mark.parametrize("harm", [Path.unlink, lambda part: part.write_bytes(part.read_bytes()[:-9])])
def test_a_slice_whose_parts_were_lost_or_changed_is_landed_again(drops, tmp_path, harm):
    (drops / "2026-11-20.csv").write_text("id\n1\n")
    (drops / "2026-11-21.csv").write_text("id\n2\n")
    pull(tmp_path)
    harm(next((tmp_path / "landing").rglob("2026-11-20/1/part-*")))
    counts, said = pull(tmp_path)
    assert (counts.landed, counts.skipped) == (1, 1) and "2026-11-20.csv was changed, cut or lost" in said[0]
    done = landed(tmp_path / "landing", "shop", "orders")
    assert [(one.manifest["slice_id"], one.manifest["attempt"]) for one in done] == [
        ("2026-11-20", 1),
        ("2026-11-21", 1),
        ("2026-11-20", 2),
    ]
    assert pull(tmp_path)[0].skipped == 2


def test_a_lost_delivery_that_was_restated_since_is_not_landed_again(drops, tmp_path):
    source = shop(path="{date}/delivered-{delivery}.csv")
    (drops / "2026-11-20").mkdir()
    for n in (1, 2):
        (drops / f"2026-11-20/delivered-{n}.csv").write_text(f"id\n{n}\n")
    pull(tmp_path, source)
    next((tmp_path / "landing").rglob("1/part-*")).unlink()
    # as attempt 3 the older delivery would replace the newer
    assert pull(tmp_path, source)[0].landed == 0
    next((tmp_path / "landing").rglob("2/part-*")).unlink()
    assert pull(tmp_path, source)[0].landed == 1 and payloads_of(landed(tmp_path / "landing", "shop", "orders")[-1]) == ['{"id":"2"}']


def test_no_files_is_said_and_is_no_failure(drops, tmp_path):
    counts, said = pull(tmp_path)
    assert counts.files == 0
    assert len(said) == 1 and "no files match" in said[0] and str(drops / "{date}.csv") in said[0]


def test_a_csv_row_lands_as_an_object_of_strings():
    assert rows(b'\xef\xbb\xbfid,name\r\n01,"Mug, ""blue"""\r\n') == [(2, b'{"id":"01","name":"Mug, \\"blue\\""}')]


def test_a_quoted_line_break_stays_inside_its_row():
    assert rows(b'id,name\n1,"a\nb"\n2,c\n') == [(2, b'{"id":"1","name":"a\\nb"}'), (4, b'{"id":"2","name":"c"}')]


def test_a_ragged_row_keeps_its_own_text():
    assert rows(b"id,name\n1,a\n2,b,c\n3\n\n4,d\n") == [
        (2, b'{"id":"1","name":"a"}'),
        (3, b"2,b,c"),
        (4, b"3"),
        (6, b'{"id":"4","name":"d"}'),
    ]


def test_a_quote_that_never_closes_costs_its_line_only():
    text = b'id,name\n1,"open\n' + b"".join(b"%d,x\n" % n for n in range(2, 600))
    found = rows(text)
    assert found[0] == (2, b'1,"open')
    assert found[1:] == [(n + 1, b'{"id":"%d","name":"x"}' % n) for n in range(2, 600)]


def test_a_closed_quoted_field_holds_any_number_of_lines():
    thread = "\r\n".join(f"> line {n}, quoted" for n in range(250))
    assert rows(f'id,body\r\n71,"{thread}"\r\n72,x\r\n'.encode()) == [
        (2, json.dumps({"id": "71", "body": thread}, separators=(",", ":")).encode()),
        (252, b'{"id":"72","body":"x"}'),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'a,b\r\n1,"x\r\ny"\r\n2,z\r\n', [(2, b'{"a":"1","b":"x\\r\\ny"}'), (4, b'{"a":"2","b":"z"}')]),
        (b'a,b\n1,"x\n\n\ny"\n\n2,z\n', [(2, b'{"a":"1","b":"x\\n\\n\\ny"}'), (7, b'{"a":"2","b":"z"}')]),
        (b'a,b\n1,"x\n\ry"\n2,z\n', [(2, b'{"a":"1","b":"x\\n\\ry"}'), (4, b'{"a":"2","b":"z"}')]),
        (b'"a\nor b",c\n1,2\n', [(3, b'{"a\\nor b":"1","c":"2"}')]),
        (b'a,b,c\n1,"x\ny"\n4,5,6\n', [(2, b'1,"x'), (3, b'y"'), (4, b'{"a":"4","b":"5","c":"6"}')]),
        (b'a,b\n1,"x\ncaf\xe9"\n2,z\n', [(2, b'1,"x\ncaf\xe9"'), (4, b'{"a":"2","b":"z"}')]),
    ],
    ids=["both line ends", "blank lines", "carriage return", "in a name", "too few fields", "not utf-8"],
)
def test_line_ends_within_quotes_belong_to_the_field(text, expected):
    assert rows(text) == expected


written = st.lists(st.tuples(st.text('a,;"\r\n é'), st.text(max_size=4)), min_size=1, max_size=6)


@given(written, st.sampled_from(",;\t"), st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL)]))
def test_what_a_csv_writer_writes_comes_back_exactly(table, delimiter, style):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=style[0], quoting=style[1])
    writer.writerows([("a", "b"), *table])
    assert [tuple(json.loads(payload).values()) for _, payload in rows(text.getvalue().encode(), delimiter)] == table


@given(st.lists(st.text("ab é'", min_size=1).filter(str.strip), min_size=1, max_size=9), st.data())
def test_an_unclosed_quote_in_any_line_costs_that_line_only(values, data):
    open_at = data.draw(st.integers(0, len(values) - 1))
    lines = [f'{n},"{value}' if n == open_at else f"{n},{value}" for n, value in enumerate(values)]
    found = rows("\n".join(["a,b", *lines]).encode())
    assert [row for row, _ in found] == list(range(2, len(values) + 2))
    assert found[open_at][1] == lines[open_at].encode()
    assert [tuple(json.loads(payload).values()) for n, (_, payload) in enumerate(found) if n != open_at] == [
        (str(n), value) for n, value in enumerate(values) if n != open_at
    ]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("end", ["", '"\n'], ids=["never closed", "closed in a row of too many fields"])
def test_unclosed_quotes_in_every_line_of_a_large_file_cost_time_that_grows_with_it(end):
    # each line closes the quote of the line before and opens another
    text = b"a,b\n" + b'z",x,"\n' * 100_000 + end.encode()
    assert [payload for _, payload in rows(text)[:100_000]] == [b'z",x,"'] * 100_000


def test_a_quote_that_stays_open_beyond_the_limit_costs_its_line_and_is_said_once(drops, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_ROW_BYTES", 2**20)
    lines = [f"{n},{'x' * 90}\n" for n in range(20_000)]
    (drops / "2026-11-20.csv").write_text("".join(['a,b\n1,"open\n', *lines, '2,"open too\n', *lines, "3,y\n"]))
    counts, said = pull(tmp_path)
    assert counts.records == 40_003 and len(said) == 1
    assert "2026-11-20.csv: line 2: a quote that does not close within 1 MB; its line is kept as it is" in said[0]
    assert [line["_row"] for line in payloads(tmp_path) if not line["payload"].startswith("{")] == [2, 20_003]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'a,b\n1,"x""\n4,5\n6,7\n', [(2, b'1,"x""'), (3, b'{"a":"4","b":"5"}'), (4, b'{"a":"6","b":"7"}')]),
        (b'a,b\n4,5\n6,"7', [(2, b'{"a":"4","b":"5"}'), (3, b'6,"7')]),
        (b'a,b\n1,"x"y\n4,5\n', [(2, b'1,"x"y'), (3, b'{"a":"4","b":"5"}')]),
        (b"a,b\n1,x\ry\n4,5\r\n", [(2, b"1,x\ry"), (3, b'{"a":"4","b":"5"}')]),
        (b'a,b\n1,"x\n2,"y"\n4,"5\n6"\n', [(2, b'1,"x'), (3, b'{"a":"2","b":"y"}'), (4, b'{"a":"4","b":"5\\n6"}')]),
        (b'a,b\n1,"x\ry"\n', [(2, b'{"a":"1","b":"x\\ry"}')]),
    ],
    ids=["last column", "last line", "text after a quote", "carriage return", "closed by the next line's quote", "quoted carriage return"],
)
def test_a_row_that_is_no_csv_keeps_its_own_line_and_costs_no_other(text, expected):
    assert rows(text) == expected


def test_a_header_that_is_no_csv_is_refused():
    with pytest.raises(UnreadableFileError, match=r"a\.csv: line 1: no header of a CSV file .*clean header"):
        rows(b'"id,name\n1,a\n')


def test_a_byte_order_mark_is_no_part_of_the_first_name_or_record():
    assert rows(b'\xef\xbb\xbf"id","name"\n1,a\n') == [(2, b'{"id":"1","name":"a"}')]
    assert [tuple(r) for r in line_records([b'\xef\xbb\xbf{"a":1}\n', b"\xef\xbb\xbf{}\n"], skip_blank=True)] == [
        (1, b'{"a":1}'),
        (2, b"\xef\xbb\xbf{}"),
    ]


def test_a_row_that_is_not_utf8_keeps_its_bytes(drops, tmp_path):
    (drops / "2026-11-20.csv").write_bytes(b"id,name\n1,caf\xe9\n2,ok\n")
    pull(tmp_path)
    first, second = payloads(tmp_path)
    assert first["payload"] is None and first["payload_bytes"] == "MSxjYWbp"
    assert second["payload"] == '{"id":"2","name":"ok"}'


def test_json_and_log_lines_land_as_they_are():
    text = [b'{"a":1}\r\n', b"\n", b"{cut", b"\xff\n"]
    assert [tuple(r) for r in line_records(text, skip_blank=True)] == [(1, b'{"a":1}'), (3, b"{cut"), (4, b"\xff")]
    assert [tuple(r) for r in line_records([b"a\n", b"\n"], skip_blank=False)] == [(1, b"a"), (2, b"")]


def test_each_delivery_of_a_parquet_file_has_its_own_path_because_bronze_knows_files_by_their_paths(drops, tmp_path):
    drop = drops / "2026-11-20.parquet"
    for ids in ([1, 2, 3], [4]):
        pq.write_table(pa.table({"id": ids}), drops / "new.tmp")
        (drops / "new.tmp").rename(drop)
        pull(tmp_path, shop(path="{date}.parquet"))
    first, second = (Path(one.manifest["files"][0]["path"]) for one in landed(tmp_path / "landing", "shop", "orders"))
    assert first.name == second.name == "part-00001.parquet" and first != second
    assert (pq.read_table(first)["id"].to_pylist(), pq.read_table(second)["id"].to_pylist()) == ([1, 2, 3], [4])
    assert not second.samefile(drop)  # a second name would be rewritten with the drop


def test_a_parquet_file_is_landed_as_a_copy_of_its_own(drops, tmp_path):
    pq.write_table(pa.table({"id": [1]}), drops / "2026-11-20.parquet")
    counts, _ = pull(tmp_path, shop(path="{date}.parquet"))
    (done,) = landed(tmp_path / "landing", "shop", "orders")
    part = Path(done.manifest["files"][0]["path"])
    assert counts.records == 1 and not part.samefile(drops / "2026-11-20.parquet")
    assert part.read_bytes() == (drops / "2026-11-20.parquet").read_bytes() and not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(("name", "content"), [("a.jsonl.gz", gzip.compress(b'{"a":1}\n' * 900, mtime=0)[:-12]), ("a.parquet", b"PAR1 no")])
def test_a_damaged_file_names_itself_and_lands_nothing(drops, tmp_path, name, content):
    (drops / name).write_bytes(content)
    with pytest.raises(UnreadableFileError, match=rf"{name}: cannot be read .* deliver the file again"):
        pull(tmp_path, shop(path="a.*"))
    assert landed(tmp_path / "landing", "shop", "orders") == []


def test_what_is_whole_is_landed_before_every_damaged_file_is_named(drops, tmp_path):
    source = Source("shop", "file_drop", {"orders": {"path": ["{date}.csv.gz", "*.csv"]}, "refunds": {"path": "*.csv"}}, "shop")
    (drops.parent / "refunds").mkdir()
    (drops / "2026-11-19.csv.gz").write_bytes(gzip.compress(b"id\n1\n")[:-9])
    (drops / "2026-13-45.csv.gz").write_bytes(gzip.compress(b"id\n2\n"))
    (drops / "2026-11-20.csv.gz").write_bytes(gzip.compress(b"id\n3\n"))
    (drops / "twice.csv").write_text("id,id\n4,4\n")
    (drops.parent / "refunds" / "all.csv").write_text("id\n5\n")
    with pytest.raises(UnreadableFileError) as error:
        pull(tmp_path, source)
    assert [
        name for name in ("2026-11-19.csv.gz", "2026-13-45.csv.gz", "twice.csv", "2026-11-20", "all.csv") if name in str(error.value)
    ] == [
        "2026-11-19.csv.gz",
        "2026-13-45.csv.gz",
        "twice.csv",
    ]
    assert [line["payload"] for line in payloads(tmp_path)] == ['{"id":"3"}']
    assert len(landed(tmp_path / "landing", "shop", "refunds")) == 1


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16-le", "UTF-16 (little endian)"),
        ("utf-16-be", "UTF-16 (big endian)"),
        ("utf-32-le", "UTF-32 (little endian)"),
        ("utf-32-be", "UTF-32 (big endian)"),
    ],
)
@pytest.mark.parametrize("mark", ["\ufeff", ""], ids=["marked", "unmarked"])
@pytest.mark.parametrize(
    ("file", "text"),
    [("a.csv", "id,name\r\n1,Żubr\r\n"), ("a.jsonl", '{"id": "1"}\n'), ("a.log", "192.0.2.1 - -\n"), ("a.csv.gz", "id\n1\n")],
)
def test_text_of_wide_letters_is_refused_by_name_while_the_other_files_land(drops, tmp_path, encoding, name, mark, file, text):
    content = (mark + text).encode(encoding)
    (drops / file).write_bytes(gzip.compress(content) if file.endswith(".gz") else content)
    (drops / "b.csv").write_text("id\n2\n")
    with pytest.raises(UnreadableFileError) as error:
        pull(tmp_path, shop(path=["a.*", "b.csv"]))
    how = " (Excel: 'CSV UTF-8')" if "csv" in file else ""
    assert str(error.value) == f"{drops / file}: is {name}, not UTF-8: save it as UTF-8{how} and deliver it again"
    assert [line["payload"] for line in payloads(tmp_path)] == ['{"id":"2"}']


@pytest.mark.parametrize(
    "content", [b"", b"a", b"\x00" * 4096 + b"192.0.2.1 - -\n", b"a\x00b\x00\n1 2 3 4 5 6 7\n" * 9, "żółw,é\n".encode() * 9]
)
def test_zeros_in_a_file_of_utf8_are_no_other_encoding(drops, tmp_path, content):
    (drops / "a.log").write_bytes(content)
    assert pull(tmp_path, shop(path="a.log"))[0].landed == 1


def test_a_delivery_waits_for_the_damaged_one_it_restates(drops, tmp_path):
    source = shop(path="{date}/{delivery}.csv.gz")
    (drops / "2026-11-20").mkdir()
    (drops / "2026-11-20/1.csv.gz").write_bytes(gzip.compress(b"id\n1\n")[:-9])
    (drops / "2026-11-20/2.csv.gz").write_bytes(gzip.compress(b"id\n2\n"))
    with pytest.raises(UnreadableFileError, match=r"20/1\.csv\.gz: cannot be read"):
        pull(tmp_path, source)
    assert payloads(tmp_path) == []
    (drops / "2026-11-20/1.csv.gz").write_bytes(gzip.compress(b"id\n1\n"))
    pull(tmp_path, source)
    assert [line["payload"] for line in payloads(tmp_path)] == ['{"id":"1"}', '{"id":"2"}']


def test_a_header_with_a_repeated_name_is_refused():
    with pytest.raises(UnreadableFileError, match=r"a\.csv: line 1: .*\['id', 'id'\]"):
        rows(b"id,id\n1,2\n")


def test_a_wrong_declaration_names_what_is_allowed(drops, tmp_path):
    with pytest.raises(StreamDeclarationError, match=r"conf/sources/shop\.yml: streams\.orders: .*\['colour'\].*delimiter"):
        pull(tmp_path, shop(colour="red"))
    with pytest.raises(StreamDeclarationError, match=r"xml.*allowed are"):
        pull(tmp_path, shop(format="xml"))


@pytest.mark.parametrize(
    "path", ["", "/drops/a.csv", 5, None, [], [5], "a**.csv", "**", "../a.csv", "./a.csv", "{date}/{delivery}-{delivery}.csv"]
)
def test_a_path_that_is_no_pattern_is_answered_with_a_sentence(drops, tmp_path, path):
    with pytest.raises(StreamDeclarationError, match=r"conf/sources/shop\.yml: streams\.orders: path is .*relative to the stream's root"):
        pull(tmp_path, shop(path=path))


@pytest.mark.parametrize("path", ["{date}*.csv", "*{date}*.csv", "**/{date}*.csv", "{date}*{delivery}.csv", "{date}{delivery}*.csv"])
def test_a_day_or_a_delivery_may_stand_beside_a_wildcard(drops, tmp_path, path):
    (drops / "2026-11-20-a.csv").write_text("id\n1\n")
    assert pull(tmp_path, shop(path=path))[0].landed == 1


@pytest.mark.parametrize("delimiter", ["", ";;", 5, "\n"])
def test_a_delimiter_is_one_character(drops, tmp_path, delimiter):
    with pytest.raises(StreamDeclarationError, match=r"delimiter is .*; give one character"):
        pull(tmp_path, shop(delimiter=delimiter))


def test_a_real_source_without_its_folder_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("THROUGHLINE_DATA", raising=False)
    with pytest.raises(MissingFolderError, match="THROUGHLINE_DATA, which is not set"):
        pull(tmp_path, shop(root="data"))

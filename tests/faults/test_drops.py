"""What is dropped may be wrong, unreadable, swapped, huge or not there yet: it costs itself, and nothing is lost or landed twice."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import fcntl
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.settings import REPOSITORY, DiskFullError, Source, refuse_full_disk
from connectors.kernel import deliveries, landing as landing_module, pulls
from connectors.kernel.connector import Scope
from connectors.kernel.drops import Folder
from connectors.kernel.errors import FailedStreamsError, LandingBusyError, LandingError, StreamDeclarationError, UnreadableFileError
from connectors.kernel.landing import Landing, landed, newest_of
from connectors.sources import file_drop

FIRST, LAST = dt.date(2026, 3, 20), dt.date(2026, 3, 31)
NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user or mount a file system")


@pytest.fixture
def drops(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    folder = tmp_path / "drops" / "shop" / "orders"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home of another user; the folders of pytest are closed to others."""
    path = Path(tempfile.mkdtemp(dir="/tmp"))
    (path / "drops/sandbox_shop/refunds").mkdir(parents=True)
    for one in (path, *path.rglob("*")):
        os.chown(one, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def shop(**stream) -> Source:
    return Source("shop", "file_drop", {"orders": {"path": "{date}.csv", **stream}}, "shop")


def pull(home: Path, source: Source | None = None, first: dt.date = FIRST, last: dt.date = LAST):
    """(counts, sentences), the refused files' among them."""
    said: list[str] = []
    try:
        counts = pulls.pull(source or shop(), Scope(first, last), Landing(home / "landing", "run-1"), said.append)["orders"]
    except FailedStreamsError as error:
        failure = error.failures["shop.orders"][0]
        if not isinstance(failure, UnreadableFileError):
            raise failure from error
        return None, [*said, *str(error).split("\n")]
    return counts, said


def attempts(home: Path, source: str = "shop", stream: str = "orders"):
    return landed(home / "landing", source, stream)


def in_force(home: Path) -> dict[str, list[str]]:
    """By slice, the records of its newest attempt."""
    return {slice_id: records(one) for (_, slice_id), one in newest_of(attempts(home)).items()}


def lines(one) -> list[dict]:
    files = [gzip.decompress(Path(file["path"]).read_bytes()) for file in one.manifest["files"]]
    return [json.loads(line) for content in files for line in content.splitlines()]


def records(one) -> list[str]:
    return [line["payload"] for line in lines(one)]


def numbers(home: Path) -> list[tuple[str, int]]:
    return sorted((one.manifest["slice_id"], one.manifest["attempt"]) for one in attempts(home))


# a pull of nothing first, which imports everything: another user may not be allowed to read this Python
AS_USER = """
import contextlib, os, sys, tempfile
from connectors.__main__ import main
user, home = int(sys.argv.pop(1)), os.environ["THROUGHLINE_HOME"]
with tempfile.TemporaryDirectory() as os.environ["THROUGHLINE_HOME"], open(os.devnull, "w") as nowhere:
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        main()
os.environ["THROUGHLINE_HOME"] = home
os.setgroups([]), os.setgid(user), os.setuid(user)
sys.exit(main())
"""


def connectors(home: Path, *arguments: str, user: int | None = None) -> subprocess.CompletedProcess:
    own = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE_")} | {"THROUGHLINE_HOME": str(home)}
    command = ["-m", "connectors"] if user is None else ["-c", AS_USER, str(user)]
    return subprocess.run([sys.executable, *command, *arguments], cwd=REPOSITORY, env=own, capture_output=True, text=True, errors="replace")


def pull_refunds(home: Path, user: int | None = None) -> subprocess.CompletedProcess:
    return connectors(home, "pull", "sandbox_shop", "--from", str(FIRST), "--to", str(LAST), user=user)


def day(folder: Path, number: int, *ids: str) -> Path:
    path = folder / f"2026-03-{number}.csv"
    path.write_text("".join(f"{line}\n" for line in ("id", *ids)))
    return path


# --- what is compared with what


def test_a_day_that_held_another_day_s_content_and_is_corrected_costs_neither_day_its_rows(drops, tmp_path):
    day(drops, 25, "26a", "26b")
    day(drops, 26, "26a", "26b")
    assert pull(tmp_path)[0].landed == 1
    day(drops, 25, "25a")
    counts, said = pull(tmp_path)
    assert (counts.landed, counts.skipped) == (2, 0) and not said
    assert in_force(tmp_path) == {"2026-03-25": ['{"id":"25a"}'], "2026-03-26": ['{"id":"26a"}', '{"id":"26b"}']}
    assert pull(tmp_path)[0].skipped == 2


def test_the_other_day_s_turn_comes_though_only_the_corrected_day_is_pulled(drops, tmp_path):
    for number in (25, 26):
        day(drops, number, "26a")
    pull(tmp_path)
    day(drops, 25, "25a")
    counts, said = pull(tmp_path, first=dt.date(2026, 3, 25), last=dt.date(2026, 3, 25))
    assert (counts.files, counts.landed) == (2, 2) and "2026-03-26.csv; they are landed too" in said[0]
    assert in_force(tmp_path) == {"2026-03-25": ['{"id":"25a"}'], "2026-03-26": ['{"id":"26a"}']}


def test_logs_that_are_rotated_keep_every_line(drops, tmp_path):
    source = shop(path=["access.log", "access.log.*"], format="text")
    (drops / "access.log").write_text("first\n")
    pull(tmp_path, source)
    for content in ("second\n", "third\n"):
        for number in (1, 0):
            with contextlib.suppress(FileNotFoundError):
                (drops / f"access.log{f'.{number}' if number else ''}").rename(drops / f"access.log.{number + 1}")
        (drops / "access.log").write_text(content)
        pull(tmp_path, source)
    assert sorted(line for kept in in_force(tmp_path).values() for line in kept) == ["first", "second", "third"]


def test_a_file_that_was_renamed_is_its_old_self_until_the_old_name_means_something_else(drops, tmp_path):
    day(drops, 25, "a").rename(drops / "2026-03-24.csv")
    pull(tmp_path)
    (drops / "2026-03-24.csv").rename(drops / "2026-03-25.csv")
    assert pull(tmp_path)[0].landed == 0
    day(drops, 24, "b")
    pull(tmp_path)
    assert in_force(tmp_path) == {"2026-03-24": ['{"id":"b"}'], "2026-03-25": ['{"id":"a"}']}


def test_two_files_that_changed_places_both_land(drops, tmp_path):
    day(drops, 25, "a"), day(drops, 26, "b")
    pull(tmp_path)
    day(drops, 25, "b"), day(drops, 26, "a")
    assert pull(tmp_path)[0].landed == 2
    assert in_force(tmp_path) == {"2026-03-25": ['{"id":"b"}'], "2026-03-26": ['{"id":"a"}']}


def test_of_equal_new_files_one_lands_and_that_is_said(drops, tmp_path):
    for number in (24, 25, 26):
        day(drops, number, "same")
    counts, said = pull(tmp_path)
    assert (counts.landed, counts.skipped) == (1, 2) and said == [
        f"shop.orders: 2 files hold what others hold that are landed, as {drops}/2026-03-25.csv; they are not landed"
    ]


def test_an_older_delivery_of_a_report_that_comes_late_does_not_replace_the_newer_one(drops, tmp_path):
    source = shop(path="{date}/delivered-{delivery}.csv")
    folder = drops / "2026-03-25"
    folder.mkdir()
    for number in (9, 10):
        (folder / f"delivered-{number}.csv").write_text(f"id\n{number}\n")
    pull(tmp_path, source)
    (folder / "delivered-8.csv").write_text("id\n8\n")
    (folder / "delivered-9.csv").write_text("id\n9 again\n")
    counts, said = pull(tmp_path, source)
    assert counts.landed == 0 and len(said) == 2 and all("2026-03-25/delivered-10.csv is landed and restates it" in one for one in said)
    (folder / "delivered-11.csv").write_text("id\n11\n")
    pull(tmp_path, source)
    assert in_force(tmp_path) == {"2026-03-25": ['{"id":"11"}']}


# --- clocks


def test_a_clock_that_was_set_back_lands_nothing_twice_and_keeps_the_order(drops, tmp_path, monkeypatch):
    hours = 0.0

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime.now(tz) + dt.timedelta(hours=hours)

    for module in (landing_module, deliveries):
        monkeypatch.setattr(module, "datetime", Clock)
    day(drops, 25, "a")
    pull(tmp_path)
    hours = -24
    day(drops, 25, "b"), day(drops, 26, "c")
    counts, said = pull(tmp_path)
    assert counts.landed == 2 and "the clock is behind the newest landing" in said[0]
    for later in (-23, -22, 1):
        hours = later
        assert pull(tmp_path)[0].landed == 0
    assert numbers(tmp_path) == [("2026-03-25", 1), ("2026-03-25", 2), ("2026-03-26", 1)]
    instants = [one.manifest["extracted_at"] for one in sorted(attempts(tmp_path), key=lambda one: one.manifest["attempt"])]
    assert instants[0] < instants[1] != instants[2] > instants[0]
    assert in_force(tmp_path)["2026-03-25"] == ['{"id":"b"}']


def test_what_an_older_build_landed_with_a_clock_set_back_is_not_landed_again(drops, tmp_path):
    for content in ("a", "b"):
        day(drops, 25, content)
        pull(tmp_path)
    path = tmp_path / "landing/shop/orders/default/2026-03-25/2/manifest.json"
    said = json.loads(path.read_text()) | {"extracted_at": "2020-01-01T00:00:00.000000Z"}
    path.write_text(json.dumps(said))
    assert pull(tmp_path)[0].landed == 0 and in_force(tmp_path) == {"2026-03-25": ['{"id":"b"}']}


# --- empty deliveries, and uploads that have only begun


def test_days_without_rows_are_deliveries_and_never_copies_of_each_other(drops, tmp_path):
    for number in (24, 25, 26):
        day(drops, number)
    (drops / "quiet.log").touch()
    (drops / "quiet too.log").touch()
    counts, _ = pull(tmp_path, shop(path=["{date}.csv", "*.log"]))
    assert (counts.landed, counts.skipped, counts.records) == (5, 0, 0)
    assert pull(tmp_path, shop(path=["{date}.csv", "*.log"]))[0].skipped == 5


def test_an_empty_delivery_that_takes_records_back_says_so(drops, tmp_path):
    day(drops, 25, "a", "b")
    pull(tmp_path)
    path = day(drops, 25)
    assert pull(tmp_path)[1] == [f"{path}: has no records, and so replaces the 2 that were delivered before"]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl.gz", "a.log.gz", "a.parquet"])
def test_a_file_of_no_bytes_that_should_have_some_is_no_delivery(drops, tmp_path, name):
    (drops / name).touch()
    day(drops, 25, "good")
    counts, said = pull(tmp_path, shop(path=["a.*", "{date}.csv"]))
    assert counts is None and said[-1].startswith(f"{drops / name}: has 0 bytes, so it is an upload that has only begun or failed")
    assert numbers(tmp_path) == [("2026-03-25", 1)]


@pytest.mark.parametrize("content", [b"\n", b"\n\n", b"\xef\xbb\xbf", b" , \n1,2\n"])
def test_a_csv_without_a_header_is_no_delivery(drops, tmp_path, content):
    (drops / "2026-03-25.csv").write_bytes(content)
    assert "2026-03-25.csv: has no header, so it is no CSV file" in pull(tmp_path)[1][-1]
    assert numbers(tmp_path) == []


def test_a_shop_s_quiet_day_loads_though_nothing_else_came(tmp_path):
    folder = tmp_path / "drops/sandbox_shop/refunds"
    folder.mkdir(parents=True)
    (folder / "2026-03-25.csv").write_text("refund_id,order_id,amount\n")
    assert pull_refunds(tmp_path).returncode == 0
    env = {k: v for k, v in os.environ.items() if k != "SPARK_REMOTE"} | {"THROUGHLINE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "spark_jobs", "load", "sandbox_shop"], cwd=REPOSITORY, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    from deltalake import DeltaTable

    rows = DeltaTable(tmp_path / "lake/bronze/sandbox_shop__refunds").to_pyarrow_table().to_pylist()
    assert [(one["_row"], one["_slice_id"], one["payload"]) for one in rows] == [(0, "2026-03-25", None)]


# --- another file under a name that is expected


PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body>try again, or ask ops@shop.example, please</body></html>\n"
)
SPEND = "network,campaign_id,spend_date,spend,currency\n"


def parquet(columns: dict[str, list[object]]) -> bytes:
    pq.write_table(pa.table(columns), sink := pa.BufferOutputStream())
    return sink.getvalue().to_pybytes()


REPORT = ("sandbox_marketing", "ad_spend", "{date}/delivered-{delivery}.csv", f"{SPEND}search,c1,2026-03-25,5,GBP\n".encode())
CONTACTS = ("sandbox_marketing", "contacts", "{date}/{delivery}.jsonl", b'{"crm_id": "k1"}\n{ no json\n')
FOREIGN = {
    "a page as CSV": (*REPORT, PAGE, "its columns are (<!DOCTYPE html>), and conf/mappings/sandbox_marketing.yml reads none of them"),
    "another report": (*REPORT, b"Day;Cost\n1;2\n", "its columns are (Day;Cost)"),
    "another report without a row": (*REPORT, b"Day,Cost\n", "its columns are (Day, Cost)"),
    "rows of another header": (
        *REPORT,
        f"{SPEND}search,c1\nsearch,c2\n".encode(),
        "holds 2 records, and not one is a record with one of (",
    ),
    "a row in the header's place": (*REPORT, b"k1,ann@shop.example\nk2,bob@shop.example\n", "its columns are (k1, [email])"),
    "a page as JSON lines": (*CONTACTS, PAGE, "holds 3 records, and not one is a record with one of ("),
    "another stream's JSON lines": (*CONTACTS, b'{"Day": "1"}\n[{"crm_id": "k1"}]\n', "holds 2 records, and not one is"),
    "another table": (
        "sandbox_site",
        "events",
        "{date}/{delivery}.parquet",
        parquet({"id": ["e1"], "event": ["page_viewed"]}),
        parquet({"Day": ["1"]}),
        "its columns are (Day)",
    ),
    "a page as a log": (
        "web_access",
        "access",
        "{date}/{delivery}.log",
        b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8"\nno line of a log\n',
        PAGE,
        "and not one is a line of the mapping's pattern",
    ),
}


@pytest.mark.parametrize(("name", "stream", "path", "good", "other", "told"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_its_mapping_cannot_read_costs_itself_and_not_what_its_day_has(
    tmp_path, monkeypatch, name, stream, path, good, other, told
):
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    source = Source(name, "file_drop", {stream: {"path": path, "root": "drops"}}, "shop")
    for delivery, content in enumerate((good, other), start=1):
        file = tmp_path / "drops" / name / stream / path.replace("{date}", "2026-03-25").replace("{delivery}", str(delivery))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    with pytest.raises(FailedStreamsError, match="nothing of it was landed") as error:
        pulls.pull(source, Scope(FIRST, LAST), Landing(tmp_path / "landing", "run-1"), print)
    assert str(error.value).startswith(f"{file}: ") and told in str(error.value) and "@" not in str(error.value)
    assert [one.manifest["attempt"] for one in attempts(tmp_path, name, stream)] == [1]


def test_what_no_mapping_reads_is_landed_whatever_it_is(drops, tmp_path):
    for suffix in ("csv", "jsonl", "log"):
        (drops / f"page.{suffix}").write_bytes(PAGE.replace(b",", b"") + suffix.encode())
    assert pull(tmp_path, shop(path="page.*"))[0].landed == 3


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_json_lines_without_a_record_are_an_empty_delivery_of_what_a_mapping_reads_too(tmp_path, monkeypatch, content):
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    file = tmp_path / "drops/sandbox_marketing/contacts/2026-03-25.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    source = Source("sandbox_marketing", "file_drop", {"contacts": {"path": "{date}.jsonl"}}, "shop")
    assert pulls.pull(source, Scope(FIRST, LAST), Landing(tmp_path / "landing", "run-1"), print)["contacts"].landed == 1


# --- what cannot be read


@AS_ROOT
def test_what_another_user_may_not_read_costs_itself(open_home):
    folder = open_home / "drops/sandbox_shop/refunds"
    for number in (24, 25, 26):
        day(folder, number, "1")
        (folder / f"2026-03-{number}.csv").write_text(f"refund_id\n{number}\n")
    (folder / "2026-03-25.csv").chmod(0)
    closed = open_home / "drops/sandbox_shop/order_lines"
    closed.mkdir(mode=0o700)
    (folder / "2026-03-27.csv").symlink_to(folder / "nowhere.csv")
    (folder / "2026-03-28.csv").symlink_to(folder / "2026-03-28.csv")
    done = pull_refunds(open_home, NOBODY)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    told = [line.removeprefix("error: ") for line in done.stderr.splitlines() if "nothing" in line]
    assert len(told) == 4
    assert any("2026-03-25.csv: cannot be read (Permission denied); nothing of it was landed: let the user" in line for line in told)
    assert any("2026-03-27.csv: is a link that leads nowhere" in line for line in told)
    assert any("2026-03-28.csv: cannot be read (Too many levels of symbolic links)" in line for line in told)
    assert all("order_lines" not in line or "Permission denied" in line for line in told)
    assert sorted(path.parts[-3] for path in (open_home / "landing").rglob("manifest.json")) == ["2026-03-24", "2026-03-26"]
    (folder / "2026-03-25.csv").chmod(0o644)
    pull_refunds(open_home, NOBODY)
    assert len(list((open_home / "landing").rglob("manifest.json"))) == 3


def test_a_file_that_vanishes_while_the_pull_runs_costs_itself(drops, tmp_path, monkeypatch):
    hashed = Folder.hashed

    def gone(self, path):
        if path.name == "2026-03-25.csv":
            path.unlink()
        return hashed(self, path)

    monkeypatch.setattr(Folder, "hashed", gone)
    for number in (24, 25, 26):
        day(drops, number, str(number))
    _, said = pull(tmp_path)
    assert (
        "2026-03-25.csv: cannot be read (No such file or directory); nothing of it was landed: it was there when the pull began" in said[-1]
    )
    assert numbers(tmp_path) == [("2026-03-24", 1), ("2026-03-26", 1)]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="Linux's /proc/self/mem is a file whose first byte cannot be read")
def test_a_file_that_the_disk_cannot_give_costs_itself(drops, tmp_path):
    (drops / "2026-03-25.csv").symlink_to("/proc/self/mem")
    day(drops, 26, "a")
    _, said = pull(tmp_path, shop(follow_symlinks=True))
    assert "2026-03-25.csv: cannot be read (Input/output error); nothing of it was landed: deliver the file again" in said[-1]
    assert numbers(tmp_path) == [("2026-03-26", 1)]


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_file_that_grows_while_it_is_landed_is_landed_as_it_is_then(drops, tmp_path, monkeypatch, is_packed):
    write = (lambda path, text: path.write_bytes(gzip.compress(text.encode()))) if is_packed else Path.write_text
    path, hashed, left = drops / f"2026-03-25.csv{'.gz' if is_packed else ''}", Folder.hashed, [1]

    def growing(self, path):
        found = hashed(self, path)
        if left and left.pop():
            write(path, "id\na\nb\n")
        return found

    write(path, "id\na\n")
    monkeypatch.setattr(Folder, "hashed", growing)
    source = shop(path="{date}.csv*")
    assert pull(tmp_path, source)[0].landed == 1
    (one,) = attempts(tmp_path)
    assert records(one) == ['{"id":"a"}', '{"id":"b"}']
    assert one.origin["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and one.origin["bytes"] == path.stat().st_size
    assert pull(tmp_path, source)[0].skipped == 1


@pytest.mark.parametrize("name", ["2026-03-25.csv", "2026-03-25.parquet"])
def test_a_file_that_never_stands_still_lands_nothing(drops, tmp_path, monkeypatch, name):
    hashed, count = Folder.hashed, iter(range(100))

    def write(path):
        if name.endswith("csv"):
            path.write_text(f"id\n{next(count)}\n")
        else:
            pq.write_table(pa.table({"id": [next(count)]}), path)

    def growing(self, path):
        found = hashed(self, path)
        write(path)
        return found

    write(drops / name)
    monkeypatch.setattr(Folder, "hashed", growing)
    _, said = pull(tmp_path, shop(path="{date}.*"))
    assert "was changed while it was being landed; nothing of it was landed: pull again when it is whole" in said[-1]
    assert attempts(tmp_path) == [] and not list((tmp_path / "landing").rglob("part-*"))


def test_a_file_of_no_known_format_costs_itself(drops, tmp_path):
    (drops / "README").write_text("Put the files here.\n")
    day(drops, 26, "a")
    _, said = pull(tmp_path, shop(path="*"))
    assert f"{drops}/README: its name does not say its format, so nothing of it was landed: take it away" in said[-1]
    assert [records(one) for one in attempts(tmp_path)] == [['{"id":"a"}']]


# --- links


@pytest.fixture
def outside(tmp_path) -> Path:
    path = tmp_path / "elsewhere"
    path.mkdir()
    (path / "secret.csv").write_text("id\nsecret\n")
    (path / "2026-03-25.csv").write_text("id\nsecret\n")
    return path


def plant(kind: str, drops: Path, outside: Path) -> str:
    """Put a link out of the folder there; returns what is to be named."""
    link = drops / "2026-03-25.csv"
    if kind == "file":
        link.symlink_to(outside / "secret.csv")
    elif kind == "relative":
        link.symlink_to("../../../elsewhere/secret.csv")
    elif kind == "link to a link":
        (drops / "inner").symlink_to(outside / "secret.csv")
        link.symlink_to(drops / "inner")
    elif kind == "through a linked folder":
        (drops / "inner").symlink_to(outside)
        link.symlink_to(drops / "inner" / "secret.csv")
    elif kind == "folder":
        link = drops / "north"
        link.symlink_to(outside)
    elif kind == "link to a folder's parent":
        (drops / "north").mkdir()
        link = drops / "north" / "2026-03-25.csv"
        link.symlink_to(drops / ".." / ".." / ".." / "elsewhere" / "secret.csv")
    else:
        drops.rmdir()
        drops.symlink_to(outside)
        link = drops
    return str(link)


LINKS = ["file", "relative", "link to a link", "through a linked folder", "folder", "link to a folder's parent", "the stream's own folder"]


@pytest.mark.parametrize("kind", LINKS)
def test_no_link_is_followed_out_of_the_drop_folder(drops, tmp_path, outside, kind):
    named = plant(kind, drops, outside)
    (drops / "good.csv").write_text("id\ngood\n") if drops.is_dir() and not drops.is_symlink() else None
    source = shop(path=["{date}.csv", "*/{date}.csv", "good.csv"])
    _, said = pull(tmp_path, source)
    (told,) = [one for one in said if one.startswith(f"{named}: is a link that leads out of {tmp_path}/drops/shop/orders, to {outside}")]
    assert "streams.orders.follow_symlinks: true in conf/sources/shop.yml" in told
    assert all("secret" not in text for texts in in_force(tmp_path).values() for text in texts)
    assert "good" in str(in_force(tmp_path)) or kind == LINKS[-1]


@pytest.mark.parametrize("kind", LINKS)
def test_links_are_followed_where_that_is_declared(drops, tmp_path, outside, kind):
    plant(kind, drops, outside)
    counts, _ = pull(tmp_path, shop(path=["{date}.csv", "*/{date}.csv"], follow_symlinks=True))
    assert counts.landed == 1 and list(in_force(tmp_path).values()) == [['{"id":"secret"}']]


def test_a_link_that_stays_in_the_folder_is_followed(drops, tmp_path):
    (drops / "archive").mkdir()
    (drops / "archive/a.csv").write_text("id\na\n")
    (drops / "2026-03-25.csv").symlink_to("archive/a.csv")
    (drops / "north").symlink_to(drops / "archive")
    counts, said = pull(tmp_path, shop(path=["{date}.csv", "north/*.csv"]))
    assert (counts.landed, counts.skipped) == (1, 1) and "a.csv" in said[0]


def test_a_link_that_takes_a_file_s_place_after_it_was_found_is_not_followed(drops, tmp_path, outside, monkeypatch):
    found = file_drop.matching

    def swapped(stream, refused):
        drops_found = found(stream, refused)
        path.unlink()
        path.symlink_to(outside / "secret.csv")
        return drops_found

    path = day(drops, 25, "a")
    day(drops, 26, "b")
    monkeypatch.setattr(file_drop, "matching", swapped)
    assert "is a link that leads out of" in pull(tmp_path)[1][-1] and in_force(tmp_path) == {"2026-03-26": ['{"id":"b"}']}


def test_pipes_and_folders_in_a_file_s_place_hold_nothing_up(drops, tmp_path):
    os.mkfifo(drops / "2026-03-24.csv")
    (drops / "2026-03-25.csv").mkdir()
    day(drops, 26, "a")
    assert pull(tmp_path)[0].landed == 1


def test_follow_symlinks_is_true_or_false(drops, tmp_path):
    with pytest.raises(StreamDeclarationError, match="follow_symlinks is 'yes'; give true or false"):
        pull(tmp_path, shop(follow_symlinks="yes"))


# --- landed originals


def test_a_drop_that_is_rewritten_in_place_does_not_change_what_was_landed_of_it(drops, tmp_path):
    path = drops / "2026-03-25.parquet"
    pq.write_table(pa.table({"id": [1]}), path)
    pull(tmp_path, shop(path="{date}.parquet"))
    (one,) = attempts(tmp_path)
    part = Path(one.manifest["files"][0]["path"])
    assert part.stat().st_ino != path.stat().st_ino and part.stat().st_nlink == 1
    with path.open("r+b") as file:
        file.write(b"rewritten in place")
    assert one.is_whole() and pq.read_table(part)["id"].to_pylist() == [1]


# --- disks


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    path.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(drops: Path) -> None:
    for number in range(20, 30):
        day(drops, number, *(hashlib.sha256(f"{number} {n}".encode()).hexdigest() for n in range(1500)))


@AS_ROOT
def test_a_disk_that_fills_up_leaves_whole_attempts_only_and_says_what_to_do(drops, tmp_path):
    fill(drops)
    with small_disk(tmp_path / "landing", "600k"):
        with pytest.raises(LandingError) as error:
            pull(tmp_path)
        assert error.value.exit_code == 4
        assert "the landing folder cannot be written (No space left on device)" in str(error.value)
        assert "free some space on its disk, then pull again" in str(error.value)
        done = attempts(tmp_path)
        assert 0 < len(done) < 10 and all(one.is_whole() and one.records == 1500 for one in done)
        assert not list((tmp_path / "landing").rglob("*.tmp"))
        assert len(list((tmp_path / "landing").rglob("part-*"))) == len(done)
        subprocess.run(["mount", "-o", "remount,size=9M", str(tmp_path / "landing")], check=True)
        assert pull(tmp_path)[0].landed == 10 - len(done)
        assert len(in_force(tmp_path)) == 10 and all(len(one) == 1500 for one in in_force(tmp_path).values())


@AS_ROOT
def test_a_landing_folder_that_is_read_only_is_one_sentence(drops, tmp_path):
    day(drops, 25, "a")
    with small_disk(tmp_path / "landing", "9M"):
        pull(tmp_path)
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "landing")], check=True)
        assert pull(tmp_path)[0].skipped == 1
        day(drops, 26, "b")
        with pytest.raises(LandingError, match=r"\(Read-only file system\); what is landed is whole, the rest waits: mount its disk"):
            pull(tmp_path)
        subprocess.run(["mount", "-o", "remount,rw", str(tmp_path / "landing")], check=True)
        assert pull(tmp_path)[0].landed == 1 and numbers(tmp_path) == [("2026-03-25", 1), ("2026-03-26", 1)]


@AS_ROOT
def test_a_landing_folder_of_somebody_else_is_one_sentence_and_tried_again(open_home):
    folder = open_home / "drops/sandbox_shop/refunds"
    (folder / "2026-03-25.csv").write_text("refund_id\n1\n")
    (open_home / "landing").mkdir(mode=0o755)
    done = pull_refunds(open_home, NOBODY)
    assert done.returncode == 4 and "Traceback" not in done.stderr
    assert "cannot be written (Permission denied)" in done.stderr and "let the user that runs the pull write there" in done.stderr
    (open_home / "landing").chmod(0o777)
    assert pull_refunds(open_home, NOBODY).returncode == 0


@AS_ROOT
def test_a_pull_does_not_begin_on_a_disk_with_too_little_room(tmp_path):
    with small_disk(tmp_path / "home", "9M"):
        folder = tmp_path / "home/drops/sandbox_shop/refunds"
        folder.mkdir(parents=True)
        (folder / "2026-03-25.csv").write_text("refund_id\n1\n")
        done = pull_refunds(tmp_path / "home")
        assert done.returncode == 4 and "0.0 GB are free on its disk, and conf/platform.yml says min_free_disk_gb: 5" in done.stderr
        assert not (tmp_path / "home/landing").exists()
        with pytest.raises(DiskFullError):
            refuse_full_disk(tmp_path / "home" / "not" / "there")
    refuse_full_disk(tmp_path)
    refuse_full_disk("s3a://bucket/landing")


# --- sizes


def whole(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def test_a_record_beyond_its_limit_lands_as_its_beginning_and_the_sha256_of_the_whole(drops, tmp_path):
    long = b'{"id": "' + b"x" * 200_000 + b'"}'
    (drops / "a.jsonl").write_bytes(b"\n".join([b'{"id": "1"}', long, b"y" * 100_000, b"y" * 100_001, b'{"id": "3"}']) + b"\r\n")
    assert pull(tmp_path, shop(path="a.jsonl", max_record_bytes=100_000))[0].records == 5
    first, cut, exact, one_more, last = lines(attempts(tmp_path)[0])
    assert (first["payload"], last["payload"], last["_row"], len(exact["payload"])) == ('{"id": "1"}', '{"id": "3"}', 5, 100_000)
    for line, content in ((cut, long), (one_more, b"y" * 100_001)):
        assert line["payload"] is None and base64.b64decode(line["payload_bytes"]) == content[: 64 * 1024]
        assert line["_sha256"] == whole(content) != whole(content[: 64 * 1024])


def test_a_csv_row_beyond_its_limit_costs_itself(drops, tmp_path):
    text = ["id,name", "1,a", f"2,{'x' * 3000}", '3,"open', f"4,{'y' * 5000}", "5,b", '6,"' + "z\n" * 700 + '"', "7,c"]
    (drops / "a.csv").write_text("\n".join(text) + "\n")
    assert pull(tmp_path, shop(path="a.csv", max_record_bytes=1000))[0].records == 7
    found = lines(attempts(tmp_path)[0])
    assert [line["payload"] for line in found] == [
        '{"id":"1","name":"a"}',
        None,
        '3,"open',
        None,
        '{"id":"5","name":"b"}',
        None,
        '{"id":"7","name":"c"}',
    ]
    assert [line["_sha256"] for line in found][1] == whole(text[2].encode()) and found[3]["_sha256"] == whole(text[4].encode())


def test_a_line_of_400_megabytes_in_a_gz_takes_constant_memory(tmp_path):
    folder = tmp_path / "drops/sandbox_site/events"
    folder.mkdir(parents=True)
    size, block = 400 * 2**20, b"x" * 2**20
    with gzip.open(folder / "2026-03-25.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b'{"id": "1"}\n')
        for _ in range(size // len(block)):
            file.write(block)
        file.write(b'\n{"id": "2"}\n')
    code = (
        "import sys; from connectors.__main__ import main; code = main(); "
        "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))); sys.exit(code)"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE_")} | {"THROUGHLINE_HOME": str(tmp_path)}
    words = ["pull", "sandbox_site", "--from", str(FIRST), "--to", str(LAST)]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) < 150 * 1024
    first, cut, last = lines(attempts(tmp_path, "sandbox_site", "events")[0])
    assert (first["payload"], last["payload"]) == ('{"id": "1"}', '{"id": "2"}')
    assert cut["payload"] is None and len(base64.b64decode(cut["payload_bytes"])) == 64 * 1024
    digest = hashlib.sha256()
    for _ in range(size // len(block)):
        digest.update(block)
    assert cut["_sha256"] == digest.hexdigest()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.log", "a.parquet", "one line.log.gz"])
def test_a_file_that_unpacks_to_more_than_its_limit_is_refused_by_name(drops, tmp_path, name):
    content = b"id\n" + (b"x" if name.startswith("one") else b"{}\n") * 1_000_000
    if name.endswith("parquet"):
        pq.write_table(pa.table({"id": pa.nulls(1_000_000, pa.string())}), drops / name)
        assert (drops / name).stat().st_size < 10_000
    else:
        (drops / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    day(drops, 26, "good")
    source = shop(path=["*.*", "{date}.csv"], max_expanded_bytes=900_000)
    _, said = pull(tmp_path, source)
    assert (
        said[-1].startswith(f"{drops / name}: holds more than 900000 bytes when it is unpacked")
        and "streams.orders.max_expanded_bytes" in said[-1]
    )
    assert [texts for texts in in_force(tmp_path).values()] == [['{"id":"good"}']]
    assert len(list((tmp_path / "landing").rglob("part-*"))) == 1


@pytest.mark.parametrize("value", [0, -1, "8 MB", True, 15 * 2**20])
def test_a_limit_of_a_record_is_a_number_that_spark_can_read(drops, tmp_path, value):
    with pytest.raises(StreamDeclarationError, match=r"max_record_bytes is .*; give a whole number from 1 to 14680064"):
        pull(tmp_path, shop(max_record_bytes=value))


# --- names, and two at once


def test_names_of_line_ends_and_escape_codes_are_printed_harmlessly(tmp_path):
    folder = tmp_path / "drops/sandbox_marketing/ad_spend/2026-03-25"
    folder.mkdir(parents=True)
    name = b"delivered-\x1b[31m\n\xff\xe2\x80\xae.csv"
    Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_text("id,id\n1,2\n")
    done = connectors(tmp_path, "pull", "sandbox_marketing", "--from", str(FIRST), "--to", str(LAST))
    assert done.returncode == 2
    (told,) = [line for line in done.stderr.splitlines() if "repeated or empty name" in line]
    assert "delivered-\\x1b[31m\\n\\udcff\\u202e.csv" in told and "\x1b" not in done.stderr and "Traceback" not in done.stderr


def test_two_pulls_at_once_land_every_file_once(tmp_path):
    folder = tmp_path / "drops/sandbox_shop/refunds"
    folder.mkdir(parents=True)
    for number in range(20, 32):
        (folder / f"2026-03-{number}.csv").write_text("refund_id\n" + "".join(f"{number}-{n}\n" for n in range(3000)))
    own = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE_")} | {"THROUGHLINE_HOME": str(tmp_path)}
    words = [sys.executable, "-m", "connectors", "pull", "sandbox_shop", "--from", str(FIRST), "--to", str(LAST)]
    both = [subprocess.Popen(words, cwd=REPOSITORY, env=own, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    counts = [json.loads(one.communicate()[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(one["landed"] for one in counts) == [0, 12] and sum(one["skipped"] for one in counts) == 12
    assert [one.manifest["attempt"] for one in attempts(tmp_path, "sandbox_shop", "refunds")] == [1] * 12


def test_a_pull_that_waits_too_long_for_another_is_tried_again_later(drops, tmp_path, monkeypatch):
    day(drops, 25, "a")
    pull(tmp_path)
    monkeypatch.setattr(landing_module, "WAIT_SECONDS", 0.3)
    with (tmp_path / "landing/shop/orders/.pull.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        begun = time.monotonic()
        with pytest.raises(LandingBusyError, match=r"shop\.orders: another pull was still landing this stream") as error:
            pull(tmp_path)
        assert error.value.exit_code == 4 and time.monotonic() - begun < 5
    assert pull(tmp_path)[0].skipped == 1

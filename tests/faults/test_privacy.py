"""An address and a phone number in every text field of every stream reach nothing but landing, bronze, quarantine and the vault."""

import contextlib
import copy
import csv
import gzip
import io
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.settings import mapping, platform
from conf.tables import table, table_names
from spark_jobs.functions.scrubbing import kinds_of
from spark_jobs.io.lake import Lake
from spark_jobs.job import jobs
from spark_jobs.ops.replay import list_open
from spark_jobs.report.page import build_report
from tests.whole import worlds

DAY = worlds.LAST
# where what was received may be read: what a lake's owner opens for few
RAW = ("drops", "landing", "lake/bronze", "lake/vault", "vault")
ADDRESSES = (
    "canary{}@mail.example", "Canary{}%40Mail.Example", "canary{}+shop@mail.example", "canary{}\uff20mail.example", "see canary{}%2540mail.example now",
    "mailto:CANARY{}@mail.example",
)  # fmt: skip
NUMBERS = (
    "+447911123456",
    "+44 7911 123456",
    "%2B447911123456",
    "0044 7911 123456",
    "tel:07911123456",
    "(07911) 123456",
    "+44 (0)7911 123-456",
)
CANARY = re.compile(r"canary|7911\W{0,4}(20)?123\W{0,4}(20)?456", re.IGNORECASE)
JOINED = "canary.order@mail.example"
# what decides which record it is, when and of whom: a value there sets the record aside or goes to the vault, which is tried apart
KEPT = ("event_at", "received_at", "sent_at", "updated_at", "type", "event")
PROPERTIES = [
    {"note": "write to canary.note@mail.example or call +44 7911 123456"},
    {"canary.key@mail.example": 1, "+447911123456": True},
    {"deep": {"list": ["x", {"canary%40mail.example": "canary.deep@mail.example"}, "tel:07911123456"]}},
    {"contact": {"user_email": "canary.u@mail.example", "mail_address": "canary.m@mail.example", "phone": 447911123456}},
    {"text": json.dumps({"inner": "canary.inner@mail.example"}), "page": "https://s.example/?to=canary%40mail.example&tel=07911123456"},
]


def places_in(record: dict, path: tuple = ()) -> list[tuple]:
    """Where strings stand in a record, without those of KEPT."""
    found = []
    for key, held in record.items():
        if isinstance(held, dict):
            found += places_in(held, (*path, key))
        elif key not in KEPT:
            found.append((*path, key))
    return found


def planted(record: dict, key: str) -> list[dict]:
    """A copy of the record per text field and canary, under an id of its own, and some with canaries in fields that nobody declared."""
    copies = []

    def add(path: tuple, value: object) -> None:
        one = copy.deepcopy(record)
        if path != (key,):
            one[key] = f"copy_{key}_{len(copies)}"
        held = one
        for part in path[:-1]:
            held = held[part]
        held[path[-1]] = value
        copies.append(one)

    for number, path in enumerate(places_in(record)):
        address, phone = ADDRESSES[number % len(ADDRESSES)].format(number), NUMBERS[number % len(NUMBERS)]
        is_url = path[-1] in ("url", "referrer")
        for canary in (address, phone):
            add(path, f"https://shop.example/u/{canary}/x?undeclared={canary}&utm_term={canary}&gclid={canary}" if is_url else canary)
    add(("canary.field@mail.example",), "x")
    add(("tel:07911123456",), "x")
    return copies


SITE = {
    "id": "e1", "type": "page", "event": "page_viewed", "event_at": f"{DAY}T10:00:00.000Z", "received_at": f"{DAY}T10:00:01.000Z", "anonymous_id": "a1",
    "session_id": "s1", "user_id": "u1", "email": "", "page": {"url": "https://shop.example/a", "path": "", "title": "", "referrer": ""},
    "campaign": {"source": "x", "medium": "", "name": "", "content": "", "term": "", "id": ""}, "click": {"type": "gclid", "id": ""}, "product_id": "",
    "order_id": "", "user_agent": "Mozilla/5.0 (compatible; SomeBot/1.0; +bot@canary.example)",
}  # fmt: skip


def plant(drops: Path) -> None:
    """Canaries beside the world's own records, in the files of its last day."""
    site = planted(SITE, "id")
    said = [{**SITE, "id": f"p{i}", "event": "some_event", "properties": held} for i, held in enumerate(PROPERTIES)]
    said += [{**SITE, "id": f"c{i}", "event": "page_viewed", "properties": held} for i, held in enumerate(PROPERTIES)]
    said += [{**SITE, "id": "m1", "consent": {"canary.c@mail.example": True, "marketing": True}}, {**SITE, "id": "o1", "order_id": JOINED}]
    said += [{**SITE, "id": "t1", "event": "canary.event@mail.example"}, {**SITE, "id": "t2", "type": "+447911123456"}]
    events = drops / f"sandbox_site/events/{DAY}.jsonl.gz"
    lines = [json.dumps({**one, "event_at": f"{DAY}T10:{i // 60:02}:{i % 60:02}.000Z"}) for i, one in enumerate([*site, *said])]
    before = gzip.decompress(events.read_bytes()).rstrip(b"\n")
    events.write_bytes(gzip.compress(before + b"\n" + "\n".join(lines).encode()))
    for stream, key in (
        ("campaigns", "campaign_id"),
        ("contacts", "crm_id"),
        ("consents", "purpose"),
        ("email_events", "id"),
        ("contact_events", "id"),
    ):
        append_json(drops / "sandbox_marketing" / stream, key, fields_of("sandbox_marketing", stream))
    append_json(drops / "sandbox_shop/products", "product_id", fields_of("sandbox_shop", "products"))
    (lines_file,) = (drops / "sandbox_shop/order_lines").glob(f"{DAY}.csv")
    append_csv(lines_file, "order_id", [{"order_id": JOINED, "line_number": "1"}])
    refunds = drops / f"sandbox_shop/refunds/{DAY}.csv"
    refunds.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "quantity": "1",
        "amount": "1.00",
        "currency": "GBP",
        "refunded_at": f"{DAY}T20:00:00.000Z",
        "updated_at": f"{DAY}T20:00:00.000Z",
    }
    refund = {"refund_id": "r1", "order_id": "", "line_number": "1", "product_id": "P-0001", "reason": "", **values}
    append_csv(refunds, "refund_id", [{"refund_id": "r-joined", "order_id": JOINED}], refund)
    append_csv(sorted((drops / "sandbox_marketing/ad_spend").glob("*/*.csv"))[-1], "ad_id", [])


def fields_of(source: str, stream: str) -> list[str]:
    """The fields that a stream's mapping reads."""
    return re.findall(r"(\w+) STRING", mapping(source)["streams"][stream]["record"]["schema"])


def append_json(folder: Path, key: str, fields: list[str]) -> None:
    file = sorted(folder.glob("*.jsonl"))[-1]
    good = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])
    record = {**dict.fromkeys((f for f in fields if f != "properties"), None), **good}
    with file.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(one) + "\n" for one in planted(record, key))


def append_csv(file: Path, key: str, more: list[dict], record: dict | None = None) -> None:
    rows = list(csv.DictReader(file.open(newline="", encoding="utf-8"))) if file.is_file() else []
    good = record or rows[-1]
    copies = [{k: v for k, v in one.items() if k in good} for one in planted(good, key)] + [{**good, **one} for one in more]
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(good))
        writer.writeheader()
        writer.writerows([*rows, *copies])


@pytest.fixture(scope="module")
def lake_of_canaries(spark, tmp_path_factory):
    """(lake, home, what was printed) of a small world with canaries, from drop files to the report page."""
    home, said = tmp_path_factory.mktemp("canaries"), io.StringIO()
    worlds.make_drops(home, people=30)
    plant(home / "drops")
    printed = "".join(
        (done := worlds.command(home, "connectors", "pull", source, "--from", str(worlds.FIRST), "--to", str(DAY))).stdout + done.stderr
        for source in worlds.SOURCES
    )
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        lake = worlds.load(spark, home)
        outcomes = worlds.run(lake, home)
        print(outcomes)
        list_open(Path(lake.root), "")
        with worlds.home_at(home):
            build_report(Path(lake.root), home / "report.html", platform())
    return lake, home, printed + said.getvalue()


def is_raw(path: Path, home: Path) -> bool:
    name = path.relative_to(home).as_posix()
    return name.startswith(RAW) or "__quarantine/" in name


def test_no_file_but_the_raw_ones_holds_a_canary(lake_of_canaries):
    _, home, printed = lake_of_canaries
    files = [path for path in home.rglob("*") if path.is_file()]
    raw = [path for path in files if is_raw(path, home) and path.suffix in (".parquet", ".gz", ".csv")]
    held = {path for path in raw if CANARY.search(texts_of(path))}
    # what was planted is there, or nothing is shown below
    assert {"drops", "landing", "lake"} <= {path.relative_to(home).parts[0] for path in held}
    leaks = {
        path.relative_to(home).as_posix(): found[0] for path in files if not is_raw(path, home) if (found := CANARY.search(texts_of(path)))
    }
    assert not leaks
    assert not CANARY.search(printed)


def texts_of(path: Path) -> str:
    """A file's bytes, unpacked, and of Parquet its values too, as one text."""
    held = path.read_bytes()
    text = (gzip.decompress(held) if path.suffix == ".gz" else held).decode("utf-8", "replace")
    return text + "\n".join(values_in(pq.ParquetFile(path).read())) if path.suffix == ".parquet" else text


def values_in(found: pa.Table) -> list[str]:
    """The text values of a table, nested ones too."""
    return [json.dumps(row, default=str, ensure_ascii=False) for row in found.to_pylist()]


def test_an_id_that_is_an_address_still_joins_lines_refunds_orders_and_events(lake_of_canaries):
    lake, _, _ = lake_of_canaries
    orders = [r for r in lake.read("silver.orders").collect() if r["order_id"].startswith("hashed:") and r["refunded_amount"] > 0]
    (order,) = orders
    assert order["lines"] == 1 and re.fullmatch(r"hashed:[0-9a-f]{32}", order["order_id"])
    for name in ("silver.order_lines", "silver.refunds", "silver.events"):
        assert lake.read(name).where(f"order_id = '{order['order_id']}'").count() == 1, name


def test_what_gave_way_is_counted_and_no_row_is_lost(lake_of_canaries):
    lake, _, _ = lake_of_canaries
    checks = [r for r in lake.read("ops.quality_results").collect() if r["check_id"] == "no_personal_values"]
    said = {name: " ".join(r["observed"] for r in checks if r["table_name"] == name) for name in {r["table_name"] for r in checks}}
    mapped = {name for name, job in jobs().items() if job.is_mapped()} - {"silver.fx_rates"}
    assert set(said) == mapped
    assert all(r["severity"] == "warn" and 0 < r["rows_failed"] <= r["rows_checked"] and r["sample"] is None for r in checks)
    for column in ("page_url", "page_path", "page_title", "utm_term", "client_event_id", "click_id", "properties", "consent"):
        assert f"{column} " in said["silver.events"]
    assert lake.read("ops.ledger").where("not is_closed").count() == 0
    changed = {r["path"] for r in lake.read("ops.schema_changes").collect()}
    assert "/[email]" in changed and "/[phone]" in changed


def test_every_text_column_of_a_mapped_table_is_scrubbed_unless_it_holds_keys(lake_of_canaries):
    for name in (name for name, job in jobs().items() if job.is_mapped()):
        contract = table(name)
        texts = {c.name for c in contract.columns if "string" in c.type.lower() and not c.name.startswith("_") and c.name != "identifiers"}
        assert texts == set(kinds_of(contract)), name
    assert "silver.events" in table_names() and isinstance(lake_of_canaries[0], Lake)


def test_the_world_s_own_values_are_untouched(lake_of_canaries):
    """Ids, names, paths and prices of the sandbox look like nobody's number."""
    lake, _, _ = lake_of_canaries
    events = lake.read("silver.events").where(f"source = 'sandbox_site' and _source_file not like '%{DAY}%'")
    assert events.count() > 50
    for column in ("client_event_id", "client_session_id", "page_path", "page_title", "campaign_name", "product_id", "order_id"):
        masked = f"{column} like '%[phone]%' or {column} like 'hashed:%'"
        assert events.where(masked).count() == 0, column
    assert lake.read("silver.products").where("product_name like '%[%'").where("not startswith(product_id, 'copy_')").count() <= 4

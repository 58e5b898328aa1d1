"""Small lakes of what ../shared/data/reports holds, built in this process from dropped files, with sources beside the repository's own."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import html
import json
import os
import shutil
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from conf import settings
from conf.tables import table_names
from connectors.kernel import pulls
from connectors.kernel.connector import Scope
from connectors.kernel.landing import Landing
from spark_jobs.bronze.load import load_source
from spark_jobs.engine.runner import Runner
from spark_jobs.engine.selection import select_tables
from spark_jobs.io.lake import Lake
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import open_table, query
from tests.whole.worlds import SELECTION, home_at

DAY, NEXT_DAY, SUMMER = dt.date(2026, 3, 25), dt.date(2026, 3, 26), dt.date(2026, 7, 10)
REPOSITORYS = ("sandbox_shop", "sandbox_marketing", "sandbox_site", "web_access")
# the tables that the reports ask for, and those that an order's day moves through
SILVER = ("fx_rates", "contacts", "ad_spend", "events", "order_lines", "refunds", "orders")
EVERYTHING = (*(f"silver.{name}" for name in SILVER), *SELECTION[1:])
ORDERS = ("silver.order_lines", "silver.refunds", "silver.orders", "identity", "journeys", "attribution.credits")
ORDERS_DAYS = (*ORDERS, "attribution.channel_daily", "gold.channel_daily", "gold.orders_daily")
LINE = {"order_id": "order_id", "ordered_at": "ordered_at", "quantity": "1", "line_amount": "0", "currency": "'GBP'"}


def ids(form: str) -> dict[str, Any]:
    """A stream of orders that says little more than whose they are."""
    record = {"format": form, "schema": "order_id STRING, ordered_at STRING, customer_id STRING, user_id STRING"}
    identifiers = [{"namespace": name, "value": name} for name in ("user_id", "customer_id")]
    return {"record": record, "tables": {"silver.order_lines": {"columns": LINE, "identifiers": identifiers}}}


# (source, mapping) of what the repository does not take in itself
IDS = (
    {
        "source": "reports_ids",
        "connector": "file_drop",
        "streams": {"parquet": {"path": "*.parquet"}, "csv": {"path": "*.csv"}, "json": {"path": "*.jsonl"}},
        "silver": ["silver.order_lines", "silver.orders"],
    },
    {"streams": {"parquet": ids("json"), "csv": ids("csv"), "json": ids("json")}},
)
TICKETS = (
    {"source": "reports_tickets", "connector": "file_drop", "streams": {"closed": {"path": "*.csv"}, "open": {"path": "*.csv"}}},
    None,
)
NANOSECONDS = (
    {
        "source": "reports_nanoseconds",
        "connector": "file_drop",
        "streams": {"orders": {"path": "*.parquet"}},
        "silver": ["silver.order_lines"],
    },
    {
        "streams": {
            "orders": {
                "record": {"format": "json", "schema": "order_id STRING, ordered_at STRING, amount STRING"},
                "tables": {"silver.order_lines": {"columns": {**LINE, "line_amount": "amount"}}},
            }
        }
    },
)
# beside the reports' own: a value that changed under the id of an event; who came by a tag with a percent sign, and by one with an address,
# asks to be called
OWN_EVENTS = (
    {"id": "K3", "event": "lead_created", "anonymous_id": "a3", "properties": {"form": "demo", "plan": "pro"}},
    {"id": "K3", "event": "lead_created", "anonymous_id": "a3", "properties": {"plan": "free", "form": "demo"}},
    {"id": "B1-lead", "event": "lead_created", "anonymous_id": "a-B1", "event_at": "2026-03-25T10:05:00.000Z"},
    {
        "id": "J8",
        "type": "page",
        "event": "page_viewed",
        "anonymous_id": "a-J8",
        "page": {
            "url": "https://shop.example/?utm_source=newsletter&utm_medium=email&utm_campaign=ann.smith%40mail.example",
            "referrer": None,
        },
    },
    {"id": "J8-lead", "event": "lead_created", "anonymous_id": "a-J8", "event_at": "2026-03-25T10:05:00.000Z"},
)


def taxed_shop() -> tuple[dict[str, Any], dict[str, Any]]:
    """The sandbox's shop with two more columns in its order lines."""
    streams = yaml.safe_load((settings.CONF / "mappings/sandbox_shop.yml").read_text(encoding="utf-8"))["streams"]
    lines = streams["order_lines"]
    lines["record"]["schema"] += ", tax STRING, shipping STRING"
    lines["tables"]["silver.order_lines"]["columns"] |= {"tax_amount": "tax", "shipping_amount": "shipping"}
    source = {
        "source": "reports_shop",
        "connector": "file_drop",
        "identity_scope": "sandbox",
        "streams": {"order_lines": {"path": "{date}.csv"}, "refunds": {"path": "{date}.csv"}},
        "silver": ["silver.order_lines", "silver.refunds", "silver.orders"],
    }
    return source, {"streams": {name: streams[name] for name in ("order_lines", "refunds")}}


@contextlib.contextmanager
def conf_with(folder: Path, *declared: tuple[Mapping[str, Any], Mapping[str, Any] | None]) -> Iterator[None]:
    """For a block, the repository's configuration with these sources and mappings beside its own. folder: where the copy is made."""
    shutil.copytree(settings.CONF, folder, ignore=shutil.ignore_patterns("__pycache__", "adr"))
    for source, mapping in declared:
        (folder / f"sources/{source['source']}.yml").write_text(yaml.safe_dump(source, sort_keys=False), encoding="utf-8")
        if mapping is not None:
            (folder / f"mappings/{source['source']}.yml").write_text(yaml.safe_dump(mapping, sort_keys=False), encoding="utf-8")

    def forget() -> None:
        for read in (settings.source, settings.source_names, settings.mapping, settings.rules):
            read.cache_clear()

    before, settings.CONF = settings.CONF, folder
    forget()
    try:
        yield
    finally:
        settings.CONF = before
        forget()


@contextlib.contextmanager
def data_at(folder: Path) -> Iterator[None]:
    """THROUGHLINE_DATA for a block."""
    before = os.environ.pop("THROUGHLINE_DATA", None)
    os.environ["THROUGHLINE_DATA"] = str(folder)
    try:
        yield
    finally:
        del os.environ["THROUGHLINE_DATA"]
        if before is not None:
            os.environ["THROUGHLINE_DATA"] = before


class World:
    """A home with its lake, and what the tables of it hold."""

    def __init__(self, spark: Any, home: Path) -> None:
        self.home, self.lake, self.pulls = home, Lake(spark, str(home / "lake")), 0
        self.held: dict[str, list[dict[str, Any]]] = {}
        (home / "data").mkdir(parents=True)

    def drop(self, source: str, stream: str, name: str, content: bytes) -> None:
        path = self.home / "drops" / source / stream / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def take_in(self, sources: tuple[str, ...], first: dt.date, last: dt.date) -> None:
        """Pull and load."""
        with home_at(self.home), data_at(self.home / "data"):
            for name in sources:
                self.pulls += 1
                landing = Landing(Path(settings.platform().landing), f"pull-{self.pulls}")
                pulls.pull(settings.source(name), Scope(first, last), landing, print)
                load_source(self.lake, name, "test")

    def run(self, first: dt.date, last: dt.date, selection: tuple[str, ...], source: str | None = None, changed: bool = False) -> None:
        self.held.clear()
        with home_at(self.home):
            Runner(self.lake, "test").run(select_tables(selection), Range(first, last), source, changed)

    def rows(self, name: str, **wanted: Any) -> list[dict[str, Any]]:
        """The rows of a table that have these values."""
        if name not in self.held:
            found = open_table(self.lake.root, name)
            self.held[name] = query(found).to_pylist() if found is not None else []
        return [row for row in self.held[name] if all(row[column] == value for column, value in wanted.items())]

    def row(self, name: str, **wanted: Any) -> dict[str, Any]:
        """The one row that has these values."""
        found = self.rows(name, **wanted)
        assert len(found) == 1, f"{name} has {len(found)} rows of {wanted}: {found}"
        return found[0]

    def aside(self, name: str, record: str) -> list[str]:
        """Why records that hold this text were set aside from a table."""
        return [row["_reason"] for row in self.rows(f"{name}__quarantine") if record in str(row["payload"])]

    def person_of(self, identifier_key: str) -> str | None:
        found = [row["person_id"] for row in self.rows("identity.person_map", identifier_key=identifier_key) if row["valid_to"] is None]
        assert len(found) <= 1
        return found[0] if found else None

    def texts(self, layers: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
        """(table, column, text) of every text in the tables of the layers, in lists, structures and maps too."""
        for name in table_names():
            if name.split(".")[0] in layers:
                for row in self.rows(name):
                    for column, value in row.items():
                        yield from ((name, column, text) for text in texts_in(value))


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, Mapping):
        yield from texts_in([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_in(one)


def without_escapes(text: str) -> str:
    """The text as somebody reads it, however often and in whatever way it was escaped."""
    while True:
        read = html.unescape(urllib.parse.unquote(text)).replace("\\u0040", "@").replace("\\/", "/")
        if read == text:
            return text.lower()
        text = read


def one_csv(*paths: Path) -> bytes:
    """The rows of CSV files with one header."""
    (header, *_), *_ = files = [path.read_bytes().splitlines() for path in paths]
    assert all(lines[0] == header for lines in files)
    return b"\n".join([header, *(line for _, *lines in files for line in lines)]) + b"\n"


def one_log(*paths: Path) -> bytes:
    return b"".join(path.read_bytes().rstrip(b"\n") + b"\n" for path in paths)


def own_events() -> bytes:
    given = {"type": "track", "event_at": f"{DAY}T10:00:00.000Z", "received_at": f"{DAY}T10:10:00.000Z"}
    return b"".join(json.dumps({**given, **event}).encode() + b"\n" for event in OWN_EVENTS)


def shared_world(spark: Any, reports: Path, folder: Path) -> World:
    """What shares one lake: the orders, people and campaigns of these reports have names of their own."""
    world = World(spark, folder / "home")
    in_two, thousandths, taxed = (
        reports / name for name in ("order-in-two-currencies", "three-decimal-currency", "refund-with-shipping-and-tax")
    )
    for stream in ("order_lines", "fx_rates"):
        world.drop("sandbox_shop", stream, f"{DAY}.csv", one_csv(in_two / f"{stream}/{DAY}.csv", thousandths / f"{stream}/{DAY}.csv"))
    for path in (taxed / f"order_lines/{DAY}.csv", taxed / f"refunds/{NEXT_DAY}.csv"):
        world.drop("reports_shop", path.parent.name, path.name, path.read_bytes())
    delivery = f"{DAY}/delivered-{NEXT_DAY}.csv"
    spend = one_csv(reports / "ad-report-by-network" / delivery, reports / "sub-cent-ad-spend" / delivery)
    world.drop("sandbox_marketing", "ad_spend", delivery, spend)
    world.drop("sandbox_marketing", "contacts", f"{DAY}.jsonl", (reports / f"phone-forms/contacts/{DAY}.jsonl").read_bytes())
    events = [
        reports / name / f"{DAY}.jsonl"
        for name in ("json-member-order", "gclid-in-landing-url", "utm-percent-sign", "personal-data-in-urls")
    ]
    lines = one_log(*events, taxed / f"events/{DAY}.jsonl") + own_events()
    world.drop("sandbox_site", "events", f"{DAY}.jsonl.gz", gzip.compress(lines))
    log = one_log(*(reports / name / "access.log" for name in ("access-log-escaped-quotes", "ai-fetchers", "gclid-in-landing-url")))
    (world.home / "data/web_access.log.gz").write_bytes(gzip.compress(log))
    for stream, name in (("parquet", "orders.parquet"), ("csv", "orders.csv"), ("json", "events.jsonl")):
        world.drop("reports_ids", stream, name, (reports / "parquet-float-ids" / name).read_bytes())
    world.drop("reports_ids", "csv", "members.csv", f"order_id,ordered_at,user_id\nm1,{DAY}T12:00:00Z,1200\n".encode())
    world.drop("reports_ids", "json", "members.jsonl", f'{{"order_id":"m2","ordered_at":"{DAY}T13:00:00Z","user_id":1200.0}}\n'.encode())
    with conf_with(folder / "conf", taxed_shop(), IDS):
        world.take_in((*REPOSITORYS, "reports_shop", "reports_ids"), DAY, NEXT_DAY)
        world.run(DAY, NEXT_DAY, EVERYTHING)
        summer = reports / f"time-zone-abbreviation/order_lines/{SUMMER}.csv"
        world.drop("sandbox_shop", "order_lines", summer.name, summer.read_bytes())
        world.take_in(("sandbox_shop",), SUMMER, SUMMER)
        world.run(SUMMER, SUMMER, ("silver.order_lines",), "sandbox_shop")
    return world


def drop_orders(world: World, reports: Path, day: dt.date) -> None:
    """A day's file of the shop: an order that goes on over midnight, and one of whose lines the next day takes off."""
    files = [reports / name / f"order_lines/{day}.csv" for name in ("order-over-two-days", "order-line-set-to-zero")]
    world.drop("sandbox_shop", "order_lines", f"{day}.csv", one_csv(*files))


def two_days_at_once(spark: Any, reports: Path, home: Path) -> World:
    world = World(spark, home)
    for day in (DAY, NEXT_DAY):
        drop_orders(world, reports, day)
    world.take_in(("sandbox_shop",), DAY, NEXT_DAY)
    world.run(DAY, NEXT_DAY, ORDERS_DAYS)
    return world


def day_by_day(spark: Any, reports: Path, home: Path, key_of: World, changed: bool) -> World:
    """Each day is dropped, pulled, loaded and built alone. key_of: the world whose identifier key it shares."""
    world = World(spark, home)
    shutil.copytree(key_of.home / "vault", home / "vault")
    for day in (DAY, NEXT_DAY):
        drop_orders(world, reports, day)
        world.take_in(("sandbox_shop",), day, day)
        world.run(day, day, ORDERS_DAYS, changed=changed)
    return world

"""The web event log of the sandbox: one JSON object per event, or the same as Parquet with typed columns beside the payload."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from connectors.sandbox import pools
from connectors.sandbox.text import amounts, hexadecimal, instants, joined, lines, numbers, taken, taken_where
from connectors.sandbox.world import CART, CONFLICT, DAY, EMAIL, LANDING, LOGIN, ORDER, PRODUCT, PRODUCTS, World

CHUNK = 200_000
WRITERS = 2
# Parquet columns that a dictionary would only slow down.
UNIQUE_COLUMNS = ("payload", "client_event_id", "event_at", "received_at", "anonymous_id", "client_session_id", "click_id")
KINDS = (
    ("page", "page_viewed"),
    ("identify", "logged_in"),
    ("page", "page_viewed"),
    ("track", "product_viewed"),
    ("track", "cart_added"),
    ("track", "order_completed"),
)
PLACEHOLDER = "test@test.com"


def product_ids() -> list[str]:
    return [f"P-{place + 1:04d}" for place in range(PRODUCTS)]


def product_names() -> list[str]:
    """Every tenth name holds a comma, as shops' names do."""
    kinds = len(pools.NOUNS)
    plain = [f"{pools.MATERIALS[p // kinds]} {pools.NOUNS[p % kinds]}" for p in range(PRODUCTS)]
    return [f"{name}, boxed" if place % 10 == 3 else name for place, name in enumerate(plain)]


def category_of(product: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return product % len(pools.CATEGORIES)


def newsletter_week(world: World, instant: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which newsletter is the newest at the instant: one leaves every seventh day at 06:00, number 0 before the world begins."""
    return ((instant - world.start - 6 * 3_600_000 - 1_800_000) // (7 * DAY) + 1).clip(0)


def newsletters(world: World) -> list[tuple[str, str]]:
    """(campaign id, name) of every newsletter."""
    weeks = range(world.days // 7 + 2)
    return [(f"e-{w:02d}", f"newsletter-{(world.first_day + timedelta(days=7 * (w - 1))).isoformat()}") for w in weeks]


def entries(world: World) -> list[pools.Entry]:
    """All ways in: those of the pools, then one per newsletter."""
    mail = [
        pools.Entry("email", 1, "newsletter", "email", name, campaign_id, referrer="https://mail.google.com/")
        for campaign_id, name in newsletters(world)
    ]
    return [*pools.ENTRIES, *mail]


class Texts:
    """The world's reusable text columns, each made once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.entries = entries(world)
        mail = len(pools.ENTRIES) + newsletter_week(world, world.visits.started)
        self.entry = np.where(world.visits.channel == EMAIL, mail, world.visits.entry)

    def prepare(self) -> None:
        """Make every column now, so that threads only read them."""
        for name, value in vars(Texts).items():
            if isinstance(value, cached_property):
                getattr(self, name)

    @cached_property
    def email(self) -> pa.Array:
        """Per person."""
        people = self.world.people
        first, last = [n.lower() for n in pools.FIRST_NAMES], [n.lower() for n in pools.LAST_NAMES]
        place = numbers(np.arange(len(people)))
        return joined(
            taken(first, people.first_name), ".", taken(last, people.last_name), place, "@", taken(pools.MAIL_HOSTS, people.mail_host)
        )

    @cached_property
    def user_id(self) -> pa.Array:
        """Per person, also for those who never sign in."""
        return joined("u-", numbers(np.arange(len(self.world.people)), 6))

    @cached_property
    def address(self) -> pa.Array:
        """Per visit: the visitor's IPv4 address; crawlers come from a range of their own."""
        visits, people = self.world.visits, self.world.people
        bot = len(pools.COUNTRIES)
        country = np.where(visits.person < 0, bot, people.country[visits.person])
        prefix = [prefix for _, prefix, _ in pools.COUNTRIES]
        rest = np.where(country == 3, visits.address % 254, visits.address)  # that prefix is of two parts as the others are
        return joined(taken([*prefix, "66.249"], country), ".", numbers(rest // 254 % 254 + 1), ".", numbers(rest % 254 + 1))

    @cached_property
    def order_id(self) -> pa.Array:
        """Per order."""
        return joined("S", numbers(100_001 + np.arange(len(self.world.orders.total))))

    @cached_property
    def order_email(self) -> pa.Array:
        """Per order: what the buyer typed; a few type a placeholder."""
        orders = self.world.orders
        return pa.concat_arrays([self.email, pa.array([PLACEHOLDER])]).take(
            pa.array(np.where(orders.is_placeholder, len(self.email), orders.person))
        )

    @cached_property
    def order_currency(self) -> pa.Array:
        return taken(("GBP", "EUR"), self.world.orders.is_euro.astype(np.int64))

    @cached_property
    def token(self) -> pa.Array:
        return hexadecimal(self.world.visits.token)


def _optional(prefix: str, value: str, suffix: str) -> str:
    return f"{prefix}{value}{suffix}" if value else ""


def _query(entry: pools.Entry) -> str:
    pairs = {"utm_source": entry.source, "utm_medium": entry.medium, "utm_campaign": entry.campaign, "utm_content": entry.content}
    pairs |= {"utm_term": entry.term.replace(" ", "+"), "utm_id": entry.campaign_id}
    text = "&".join(f"{key}={value}" for key, value in pairs.items() if value)
    if entry.click_id_type:
        text += f"{'&' if text else ''}{entry.click_id_type}="
    return f"?{text}" if text else ""


def _campaign(entry: pools.Entry) -> str:
    pairs = {"source": entry.source, "medium": entry.medium, "name": entry.campaign, "content": entry.content}
    pairs |= {"term": entry.term, "id": entry.campaign_id}
    inner = ",".join(f'"{key}":"{value}"' for key, value in pairs.items() if value)
    return _optional(',"campaign":{', inner, "}")


def _pages() -> tuple[list[str], list[str]]:
    """Paths and titles: home, the categories, account, cart, thanks, the products."""
    paths = [
        "/",
        *(f"/c/{name}" for name in pools.CATEGORIES),
        "/account",
        "/cart",
        "/checkout/thanks",
        *(f"/p/{one}" for one in product_ids()),
    ]
    titles = ["Home", *(name.title() for name in pools.CATEGORIES), "Your account", "Your cart", "Thank you", *product_names()]
    return paths, titles


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Text and number columns of some events, by name; the empty text stands for none."""

    columns: Mapping[str, pa.Array]

    def __getitem__(self, name: str) -> pa.Array:
        return self.columns[name]


def chunk_of(texts: Texts, rows: slice) -> Chunk:
    """The columns of the events in `rows`."""
    world = texts.world
    events, visits, people = world.events, world.visits, world.people
    visit, kind, product = events.visit[rows], events.kind[rows], events.product[rows]
    is_landing, is_order, is_bot = kind == LANDING, kind == ORDER, visits.person[visit] < 0
    person = np.where(is_bot, 0, visits.person[visit])
    entry, order = texts.entry[visit], visits.order[visit]
    categories = len(pools.CATEGORIES)
    landing = (visits.token[visit] % np.uint64(categories + 2)).astype(np.int64) % (categories + 1)
    page = np.select(
        [is_landing, kind == LOGIN, kind == CART, is_order, kind == PRODUCT],
        [landing, categories + 1, categories + 2, categories + 3, categories + 4 + product],
        1 + category_of(product),
    )
    paths, titles = _pages()
    guest_tells = (visits.token[visit] >> np.uint64(8)) % np.uint64(10) < 7
    has_account = people.has_account[person] & ~is_bot
    signed_in = visits.has_login[visit] & (kind >= LOGIN)
    tells_email = signed_in & (kind == LOGIN) | is_order & (has_account | guest_tells)
    clicked = is_landing & np.asarray([bool(one.click_id_type) for one in texts.entries])[entry]
    empty = len(texts.entries)
    shown = np.where(is_landing, entry, empty)
    of_product = (kind == PRODUCT) | (kind == CART)
    price = world.prices[product, ((events.event_at[rows] - world.start) // DAY >= world.price_change_day[product]).astype(np.int64)]
    email = taken_where(tells_email & ~is_order, texts.email, person)
    if len(texts.order_email):
        email = joined(email, taken_where(tells_email & is_order, texts.order_email, np.where(is_order, order, 0)))
    columns: dict[str, Any] = {
        "id": joined("e-", hexadecimal(events.id[rows])),
        "kind": kind,
        "event_at": instants(events.event_at[rows]),
        "received_at": instants(events.received_at[rows]),
        "sent_at": instants(events.received_at[rows]),
        "anonymous_id": hexadecimal(visits.cookie[visit]),
        "session_id": joined("s-", taken(texts.token, visit)),
        "user_id": taken_where(signed_in, texts.user_id, person),
        "email": email,
        "path": taken(paths, page),
        "title": joined(taken(titles, page), taken(("", " (edited)"), (events.copy[rows] == CONFLICT).astype(np.int64))),
        "query": joined(taken([*map(_query, texts.entries), ""], shown), taken_where(clicked, texts.token, visit)),
        "referrer": taken([*(e.referrer for e in texts.entries), f"{pools.SITE}/"], np.where(is_bot, len(pools.ENTRIES) - 1, shown)),
        "campaign": taken([*map(_campaign, texts.entries), ""], shown),
        "campaign_id": taken([*(e.campaign_id for e in texts.entries), ""], shown),
        "click_id_type": taken([*(e.click_id_type for e in texts.entries), ""], shown),
        "click_id": taken_where(clicked, texts.token, visit),
        "product_id": taken_where(of_product, pa.array(product_ids()), product),
        "price": amounts(price),
        "of_product": of_product,
        "order": np.where(is_order, order, -1),
        "consent": np.where(is_bot, 2, people.consents_marketing[person].astype(np.int64)),
        "user_agent": taken([*pools.AGENTS, *pools.BOT_AGENTS], visits.agent[visit]),
        "ip": taken(texts.address, visit),
    }
    for name in ("source", "medium", "campaign", "content", "term"):
        columns[f"utm_{name}"] = taken([*(getattr(one, name) for one in texts.entries), ""], shown)
    return Chunk(columns)


def order_fragments(texts: Texts) -> pa.Array:
    """Per order: what order_completed says about it, as JSON members."""
    orders = texts.world.orders
    items = np.bincount(orders.line_order, weights=orders.line_quantity, minlength=len(orders.total)).astype(np.int64)
    return joined(
        ',"order_id":"', texts.order_id, '","value":', amounts(orders.total), ',"currency":"', texts.order_currency,
        '","properties":{"items":', numbers(items), "}",
    )  # fmt: skip


def payloads(texts: Texts, chunk: Chunk, orders: pa.Array) -> pa.Array:
    """Each event as one JSON object. No text of the pools needs escaping."""
    kinds = [f'","type":"{kind}","event":"{name}","event_at":"' for kind, name in KINDS]
    consents = [f',"consent":{{"analytics":true,"marketing":{flag}}}' for flag in ("false", "true")] + [""]
    order, of_product = chunk["order"], chunk["of_product"]

    def member(name: str, column: pa.Array) -> pa.Array:
        has = _has(column)
        return joined(taken(("", f',"{name}":"'), has), column, taken(("", '"'), has))

    has_click, is_product = _has(chunk["click_id"]), of_product.astype(np.int64)
    return joined(
        '{"id":"', chunk["id"], taken(kinds, chunk["kind"]), chunk["event_at"], '","sent_at":"', chunk["sent_at"],
        '","received_at":"', chunk["received_at"], '","anonymous_id":"', chunk["anonymous_id"],
        '","session_id":"', chunk["session_id"], '"',
        member("user_id", chunk["user_id"]), member("email", chunk["email"]),
        ',"page":{"url":"', pools.SITE, chunk["path"], chunk["query"], '","path":"', chunk["path"], '","title":"', chunk["title"], '"',
        member("referrer", chunk["referrer"]), "}", chunk["campaign"],
        taken(("", ',"click":{"type":"'), has_click), chunk["click_id_type"], taken(("", '","id":"'), has_click), chunk["click_id"],
        taken(("", '"}'), has_click),
        member("product_id", chunk["product_id"]),
        taken(("", ',"properties":{"price":'), is_product), taken_where(of_product, chunk["price"], np.arange(len(order))),
        taken(("", "}"), is_product),
        taken_where(order >= 0, orders, order), taken(consents, chunk["consent"]),
        ',"user_agent":"', chunk["user_agent"], '","ip":"', chunk["ip"], '"}',
    )  # fmt: skip


def _has(column: pa.Array) -> npt.NDArray[np.int64]:
    """1 where the text is not empty."""
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    return (np.diff(offsets) > 0).astype(np.int64)


def days_of(world: World) -> Iterator[tuple[date, list[slice]]]:
    """Every day with the places of the events received on it, cut into chunks."""
    edges = np.searchsorted(world.events.received_at, world.start + np.arange(world.days + 1) * DAY)
    for place in range(world.days):
        first, end = int(edges[place]), int(edges[place + 1])
        yield world.first_day + timedelta(days=place), [slice(a, min(a + CHUNK, end)) for a in range(first, end, CHUNK)]


def malformed_lines(day_place: int) -> list[bytes]:
    """What a day's log holds that is no event: cut JSON, bytes that are not UTF-8, values of a wrong type."""
    found = []
    if day_place % 3 == 1:
        found.append(b'{"id":"e-cut-%d","type":"page","event":"page_viewed","event_at":"2026-' % day_place)
    if day_place % 10 == 5:
        found.append(b'{"id":"e-bytes-%d","type":"page","page":{"title":"caf\xe9 \xff"}}' % day_place)
    if day_place % 5 == 2:
        found.append(
            b'{"id":"e-types-%d","type":"track","event":"order_completed","event_at":"soon","value":"twelve","currency":"GBP"}' % day_place
        )
    return found


def write_jsonl(texts: Texts, folder: Path) -> int:
    """One gzipped file per day of receipt. Returns the number of lines."""
    orders = order_fragments(texts)

    def write(place: int, day: date, chunks: list[slice]) -> int:
        content = b"".join(lines(payloads(texts, chunk_of(texts, rows), orders)) for rows in chunks)
        extra = malformed_lines(place)
        content += b"".join(line + b"\n" for line in extra)
        (folder / f"{day}.jsonl.gz").write_bytes(gzip.compress(content, compresslevel=3, mtime=0))
        return sum(int(rows.stop - rows.start) for rows in chunks) + len(extra)

    return _each_day(texts, folder, write)


def write_parquet(texts: Texts, folder: Path) -> int:
    """One Parquet file per day of receipt: payload and the typed columns of silver.events beside it. Returns the number of rows."""
    orders = order_fragments(texts)

    def write(_: int, day: date, chunks: list[slice]) -> int:
        writer: Any = None
        written = 0
        for rows in chunks:
            table = _typed(texts, rows, orders)
            if writer is None:
                repeating = [name for name in table.column_names if name not in UNIQUE_COLUMNS]
                options = {"compression": "zstd", "compression_level": 1, "use_dictionary": repeating}
                writer = pq.ParquetWriter(folder / f"{day}.parquet", table.schema, **options)
            writer.write_table(table)
            written += rows.stop - rows.start
        if writer is not None:
            writer.close()
        return written

    return _each_day(texts, folder, write)


def _each_day(texts: Texts, folder: Path, write: Callable[[int, date, list[slice]], int]) -> int:
    """Call write for every day, a few at once: Arrow and zlib work outside the interpreter's lock, and a day's file is its own."""
    folder.mkdir(parents=True, exist_ok=True)
    texts.prepare()
    with ThreadPoolExecutor(max_workers=WRITERS) as workers:
        todo = [workers.submit(write, place, day, chunks) for place, (day, chunks) in enumerate(days_of(texts.world))]
        return sum(done.result() for done in todo)


def _typed(texts: Texts, rows: slice, orders: pa.Array) -> pa.Table:
    chunk, world = chunk_of(texts, rows), texts.world
    order = chunk["order"]
    has_order = order >= 0

    def instant(values: npt.NDArray[np.int64]) -> pa.Array:
        return pa.array(values * 1000).cast(pa.timestamp("us", "UTC"))

    def nullable(column: pa.Array) -> pa.Array:
        return pa.compute.if_else(pa.array(_has(column) == 1), column, None)

    cents = pa.array(np.where(has_order, world.orders.total[np.where(has_order, order, 0)], 0), mask=~has_order)
    columns = {
        "payload": payloads(texts, chunk, orders),
        "client_event_id": chunk["id"],
        "event_at": instant(world.events.event_at[rows]),
        "received_at": instant(world.events.received_at[rows]),
        "event_type": taken([kind for kind, _ in KINDS], chunk["kind"]),
        "event_name": taken([name for _, name in KINDS], chunk["kind"]),
        "anonymous_id": chunk["anonymous_id"],
        "user_id": nullable(chunk["user_id"]),
        "email": nullable(chunk["email"]),
        "client_session_id": chunk["session_id"],
        "page_url": joined(pools.SITE, chunk["path"], chunk["query"]),
        "page_path": chunk["path"],
        "page_title": chunk["title"],
        "referrer_url": nullable(chunk["referrer"]),
        **{f"utm_{n}": nullable(chunk[f"utm_{n}"]) for n in ("source", "medium", "campaign", "content", "term")},
        "click_id": nullable(chunk["click_id"]),
        "click_id_type": nullable(chunk["click_id_type"]),
        "campaign_id": nullable(chunk["campaign_id"]),
        "product_id": nullable(chunk["product_id"]),
        "order_id": nullable(taken_where(has_order, texts.order_id, order)),
        "value_amount": pa.compute.divide(cents.cast(pa.float64()), 100.0),
        "currency": nullable(taken_where(has_order, texts.order_currency, order)),
        "user_agent": chunk["user_agent"],
        "ip_address": chunk["ip"],
    }
    return pa.table(columns)

"""The web event log as files: one per day of receipt, gzipped JSON lines or Parquet with typed columns beside the payload."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from connectors.sandbox import pools
from connectors.sandbox.chance import DAY, below
from connectors.sandbox.mess import BROKEN_BYTE
from connectors.sandbox.site import KINDS, Texts, chunk_of, is_told, order_fragments, payloads
from connectors.sandbox.text import joined, lines, taken, taken_where
from connectors.sandbox.world import World

CHUNK = 25_000
WRITERS = 2
# Parquet columns that a dictionary would only slow down.
UNIQUE_COLUMNS = ("payload", "client_event_id", "event_at", "received_at", "anonymous_id", "client_session_id", "click_id")
DELIVERED_LATER = 3  # days after a missing day its records come


def missing_days(world: World) -> set[int]:
    """Places of the days whose file never comes; never one of the first or the last."""
    room = world.days - DELIVERED_LATER - 3
    if room < 1:
        return set()
    # every fourth day from a first one: two missing days never wait for each other
    first = int(below(room, world.seed, 51))
    return {2 + (first + (DELIVERED_LATER + 1) * n) % room for n in range(round(world.days * world.mess.missing_day))}


def days_of(world: World) -> Iterator[tuple[date, list[slice]]]:
    """Every day that has a file, with the places of the records in it, cut into chunks: those received on it, and a missing day's."""
    edges = np.searchsorted(world.events.received_at, world.start + np.arange(world.days + 1) * DAY)
    missing = missing_days(world)
    file_of = [place + DELIVERED_LATER if place in missing else place for place in range(world.days)]
    for place in range(world.days):
        if place in missing:
            continue
        spans = [(int(edges[one]), int(edges[one + 1])) for one in range(place + 1) if file_of[one] == place]
        chunks = [slice(a, min(a + CHUNK, end)) for first, end in spans for a in range(first, end, CHUNK)]
        yield world.first_day + timedelta(days=place), chunks


def write_jsonl(texts: Texts, folder: Path) -> int:
    """One gzipped file per day of receipt. Returns the number of lines."""
    orders = order_fragments(texts)

    def write(day: date, chunks: list[slice]) -> int:
        with gzip.GzipFile(folder / f"{day}.jsonl.gz", "wb", compresslevel=3, mtime=0) as file:
            for rows in chunks:
                file.write(lines(payloads(texts, chunk_of(texts, rows), orders)).replace(BROKEN_BYTE.encode(), b"\xff"))
        return sum(rows.stop - rows.start for rows in chunks)

    return _each_day(texts, folder, write)


def write_parquet(texts: Texts, folder: Path) -> int:
    """One Parquet file per day of receipt: payload and the typed columns of silver.events beside it, without faults. Returns the rows."""
    orders = order_fragments(texts)

    def write(day: date, chunks: list[slice]) -> int:
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


def _each_day(texts: Texts, folder: Path, write: Callable[[date, list[slice]], int]) -> int:
    """Call write for every day, a few at once: Arrow and zlib work outside the interpreter's lock, and a day's file is its own."""
    folder.mkdir(parents=True, exist_ok=True)
    texts.prepare()
    with ThreadPoolExecutor(max_workers=WRITERS) as workers:
        todo = [workers.submit(write, day, chunks) for day, chunks in days_of(texts.world)]
        return sum(done.result() for done in todo)


def _typed(texts: Texts, rows: slice, orders: pa.Array) -> pa.Table:
    chunk, world = chunk_of(texts, rows), texts.world
    order = chunk["order"]
    has_order = order >= 0

    def instant(values: npt.NDArray[np.int64]) -> pa.Array:
        return pa.array(values * 1000).cast(pa.timestamp("us", "UTC"))

    def nullable(column: pa.Array) -> pa.Array:
        return pa.compute.if_else(pa.array(is_told(column) == 1), column, None)

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

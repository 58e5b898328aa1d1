"""Columns of text made without a loop over rows: every value is taken from a small pool or joined from such columns with Arrow."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

DAY = 86_400_000
SECONDS = pa.array([f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}." for s in range(86_400)])
MILLISECONDS = pa.array([f"{ms:03d}Z" for ms in range(1000)])
CENTS = pa.array([f".{c:02d}" for c in range(100)])
EPOCH = date(1970, 1, 1)


def taken(pool: Any, places: npt.ArrayLike) -> pa.Array:
    """The pool's values at the places; the pool is a sequence of strings or an Arrow array."""
    values = pool if isinstance(pool, (pa.Array, pa.ChunkedArray)) else pa.array(list(pool), pa.string())
    return values.take(pa.array(np.asarray(places)))


def taken_where(mask: npt.NDArray[np.bool_], pool: pa.Array, places: npt.NDArray[np.int64]) -> pa.Array:
    """Like taken, with the empty text where mask is false."""
    return pc.fill_null(pool.take(pa.array(places, mask=~mask)), "")


def replaced(column: pa.Array, places: npt.NDArray[np.int64], values: pa.Array) -> pa.Array:
    """The column with these values at these places; values stand in the order of places."""
    if not len(places):
        return column
    mask = np.zeros(len(column), dtype=bool)
    mask[places] = True
    return pc.replace_with_mask(column, pa.array(mask), values.take(pa.array(np.argsort(places, kind="stable"))))


def joined(*parts: Any) -> pa.Array:
    """The parts, row by row, one after the other; a part is a column or one text for all rows."""
    scalars = [pa.scalar(part, pa.string()) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*scalars, "")


def hexadecimal(numbers: npt.NDArray[np.uint64]) -> pa.Array:
    """Each number as 16 hex digits."""
    digits = binascii.hexlify(np.ascontiguousarray(numbers).astype(">u8").tobytes())
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * 16
    return pa.Array.from_buffers(pa.string(), len(numbers), [None, pa.py_buffer(offsets), pa.py_buffer(digits)])


def instants(milliseconds: npt.NDArray[np.int64]) -> pa.Array:
    """Each instant (ms since 1970) as 2026-11-20T10:11:12.345Z."""
    if not len(milliseconds):
        return pa.array([], pa.string())
    days, place = np.unique(milliseconds // DAY, return_inverse=True)
    names = [(EPOCH + timedelta(days=int(d))).isoformat() for d in days]
    passed = milliseconds % DAY
    return joined(taken(names, place), SECONDS.take(pa.array(passed // 1000)), MILLISECONDS.take(pa.array(passed % 1000)))


def numbers(values: npt.NDArray[np.int64], digits: int = 0) -> pa.Array:
    """Each integer in decimal, padded with zeros to `digits`."""
    text = pc.cast(pa.array(values), pa.string())
    return pc.utf8_lpad(text, digits, "0") if digits else text


def amounts(cents: npt.NDArray[np.int64]) -> pa.Array:
    """Each amount in cents (not negative) as 12.34."""
    return joined(numbers(cents // 100), CENTS.take(pa.array(cents % 100)))


def lines(rows: pa.Array) -> bytes:
    """The rows, each closed with a line end."""
    if isinstance(rows, pa.ChunkedArray):
        rows = rows.combine_chunks()
    closed = joined(rows, "\n")
    if not len(closed):
        return b""
    offsets = np.frombuffer(closed.buffers()[1], dtype=np.int32)[closed.offset : closed.offset + len(closed) + 1]
    content: bytes = closed.buffers()[2].slice(offsets[0], offsets[-1] - offsets[0]).to_pybytes()
    return content


def csv_text(names: Sequence[str], *columns: Any) -> tuple[str, pa.Array]:
    """A header and its rows. Values are written as they are: a pool whose values hold a comma brings its own quotes."""
    parts: list[Any] = []
    for place, column in enumerate(columns):
        parts += ["," if place else "", column]
    return ",".join(names), joined(*parts)

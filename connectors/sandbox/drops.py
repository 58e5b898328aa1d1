"""Rows as the files that somebody drops: one per day and stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa  # type: ignore[import-untyped]

from connectors.sandbox.text import lines
from connectors.sandbox.world import World

NO_LINES: Callable[[int], list[bytes]] = lambda _: []  # noqa: E731


def by_day(
    world: World, folder: Path, suffix: str, rows: pa.Array, at: npt.NDArray[np.int64], header: str = "",
    extra: Callable[[int], list[bytes]] = NO_LINES,
) -> int:  # fmt: skip
    """Write rows to the file of their instant's day (before the world: its first); a day without rows has none. Returns the rows."""
    day = world.day_of(at).clip(0)
    order = np.argsort(day * (1 << 42) + (at - world.start).clip(0), kind="stable")
    ordered, edges = rows.take(pa.array(order)), np.searchsorted(day[order], np.arange(world.days + 1))
    written = 0
    for place in range(world.days):
        first, end = int(edges[place]), int(edges[place + 1])
        more = extra(place)
        if first == end and not more:
            continue
        content = (header + "\n").encode() if header else b""
        content += lines(ordered.slice(first, end - first)) + b"".join(line + b"\n" for line in more)
        (folder / f"{world.first_day + timedelta(days=place)}{suffix}").write_bytes(content)
        written += end - first + len(more)
    return written


def objects(rows: Iterable[Mapping[str, object]]) -> pa.Array:
    return pa.array([orjson.dumps(row).decode() for row in rows], pa.string())

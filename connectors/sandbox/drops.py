"""Rows as the files that somebody drops: one per day and stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa  # type: ignore[import-untyped]

from connectors.sandbox.text import lines
from connectors.sandbox.world import World

# lines held in memory together
AT_ONCE = 100_000
NO_LINES: Callable[[int], list[bytes]] = lambda _: []  # noqa: E731


def by_day(
    world: World, folder: Path, suffix: str, rows: pa.Array | Callable[[npt.NDArray[np.int64]], pa.Array], at: npt.NDArray[np.int64],
    header: str = "", extra: Callable[[int], list[bytes]] = NO_LINES,
) -> int:  # fmt: skip
    """Write rows to the file of their instant's day (before the world: its first); a day without rows has none. Returns the rows.

    rows: one line per instant, or, where all of them together are large, what makes the lines of some places.
    """
    lines_of = rows if callable(rows) else lambda places: rows.take(pa.array(places))
    day = world.day_of(at).clip(0)
    order = np.argsort(day * (1 << 42) + (at - world.start).clip(0), kind="stable")
    edges = np.searchsorted(day[order], np.arange(world.days + 1))
    written = 0
    for place in range(world.days):
        first, end = int(edges[place]), int(edges[place + 1])
        more = extra(place)
        if first == end and not more:
            continue
        with (folder / f"{world.first_day + timedelta(days=place)}{suffix}").open("wb") as file:
            file.write((header + "\n").encode() if header else b"")
            for piece in range(first, end, AT_ONCE):
                file.write(lines(lines_of(order[piece : min(piece + AT_ONCE, end)])))
            file.writelines(line + b"\n" for line in more)
        written += end - first + len(more)
    return written


def of_parts(parts: Sequence[pa.Array]) -> Callable[[npt.NDArray[np.int64]], pa.Array]:
    """What makes the lines of some places of the parts, one after the other, without a copy of them all."""
    edges = np.cumsum([0, *(len(part) for part in parts)])

    def lines_of(places: npt.NDArray[np.int64]) -> pa.Array:
        order = np.argsort(places)
        cuts = np.searchsorted(places[order], edges)
        found = [part.take(pa.array(places[order[a:b]] - edge)) for part, edge, a, b in zip(parts, edges, cuts, cuts[1:], strict=False)]
        return pa.concat_arrays(found).take(pa.array(np.argsort(order)))

    return lines_of


def objects(rows: Iterable[Mapping[str, object]]) -> pa.Array:
    return pa.array([orjson.dumps(row).decode() for row in rows], pa.string())

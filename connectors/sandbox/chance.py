"""Seeded chance: every part of the world draws from its own Philox stream, so that a change in one leaves the others as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.signedinteger[Any]]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
MINUTE = 60_000  # milliseconds
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NEVER = 1 << 60


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one part of the world."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *name.encode()])))


def mixed(*parts: npt.ArrayLike) -> Words:
    """A well-spread 64-bit number of the given integers (splitmix64 rounds): ids that no two places share by chance."""
    state: Any = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        for part in parts:
            # in place where it can be: these arrays are the world's longest
            step: Any = np.asarray(part).astype(np.uint64)
            step *= np.uint64(0xD1B54A32D192ED03)
            state = np.add(step, state + np.uint64(0x632BE59BD9B4E019))
            state ^= state >> np.uint64(30)
            state *= np.uint64(0xBF58476D1CE4E5B9)
            state ^= state >> np.uint64(27)
            state *= np.uint64(0x94D049BB133111EB)
            state ^= state >> np.uint64(31)
    return np.asarray(state)


def below(limit: int, *parts: npt.ArrayLike) -> Ints:
    """A whole number in 0 … limit − 1 that depends on the given integers alone."""
    return (mixed(*parts) % np.uint64(limit)).astype(np.int64)


def happens(share: float, *parts: npt.ArrayLike) -> Flags:
    """True for about `share` of all places, decided by the given integers alone."""
    return np.asarray(below(1_000_000, *parts) < share * 1_000_000)


def chosen(random: np.random.Generator, weights: npt.ArrayLike, count: int) -> Ints:
    """`count` places of `weights`, drawn by weight."""
    edges = np.cumsum(np.asarray(weights, dtype=float))
    # without the last edge every draw falls to a place, however the sum was rounded
    return np.searchsorted(edges[:-1] / edges[-1], random.random(count), side="right")

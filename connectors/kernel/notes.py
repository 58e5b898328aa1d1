"""What a pull would do, in words for a run's page."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.kernel.connector import Plan, Planned
from connectors.kernel.pulls import harmless


def note_of(source: str, plans: Mapping[str, Plan]) -> str:
    """What a pull would land, as Markdown: what it comes to, then a line per stream that names each of its files, or requests.

    plans: by stream, as pulls.plan gives them; what nobody knows beforehand is left out.
    """
    every = [piece for plan in plans.values() for piece in plan.slices]
    skipped = sum(plan.counts.skipped for plan in plans.values())
    known = f"; {skipped:,} {'is' if skipped == 1 else 'are'} landed already" if skipped else ""
    said = f"{_slices(len(every))}{_sizes(every)}" if every else "nothing new"
    lines = [f"The pull of {source} would land {said}{known}."]
    return "\n".join([*lines, *([""] if every else []), *(_line(name, plan.slices) for name, plan in plans.items() if plan.slices)])


def _line(stream: str, pieces: tuple[Planned, ...]) -> str:
    named = [f"`{_coded(piece.origin)}` ({_coded(piece.slice_id)}{_sizes([piece])})" for piece in pieces]
    return f"- `{stream}`: {', '.join(named)}"


def _slices(count: int) -> str:
    return f"{count:,} slice{'s' * (count != 1)}"


def _sizes(pieces: list[Planned]) -> str:
    """Their records, bytes and calls, each where it is known of all of them."""
    counts = {key: [getattr(piece, key) for piece in pieces] for key in ("records", "bytes", "calls")}
    return "".join(f", {sum(sizes):,} {key}" for key, sizes in counts.items() if None not in sizes)


def _coded(text: str) -> str:
    """What others wrote, fit to stand in Markdown's code: it ends none and names nobody."""
    return harmless(text).replace("`", "'")

"""What a pull asks for, one answerable piece after another: by the stream's mode, the days asked for and how far it was pulled.

mode range: the days asked for, and `lookback` before them, which the vendor may have restated; cut by the days of the account's time zone.
    `step` is how many of them one question may be about; each day is a slice of its own all the same.
mode cursor: from the cursor, less `lookback`, to now, whatever days are asked for, unless somebody named them.
mode snapshot: all there is, once.
mode webhook: nothing is asked for; the vendor sends (connectors.kernel.webhooks).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from connectors.kernel.errors import StreamDeclarationError, TooMuchDataError

MODES = ("range", "cursor", "snapshot", "webhook")
DAY = timedelta(days=1)
T = TypeVar("T")


@dataclass(frozen=True)
class Window:
    """A piece of a stream's time: since (inclusive) to until (exclusive), both UTC; None in a snapshot.

    day: the day that it is, of a range, or the first of several that are asked for together; days: all of those, each a window of its own. part: the
    part of the account that it is about, where parts are asked for one by one.
    """

    since: datetime | None
    until: datetime | None
    day: date | None = None
    days: tuple[Window, ...] = ()
    part: str = ""

    @property
    def slices(self) -> tuple[Window, ...]:
        """What is landed by itself: its days, or the window as it is."""
        return self.days or (self,)

    @property
    def last_day(self) -> date | None:
        """The last of its days."""
        return self.slices[-1].day

    @property
    def slice_id(self) -> str:
        """A folder's name that no other window has; of a day always the same, so that what is restated replaces it."""
        of_part = f"{self.part}~" if self.part else ""
        if self.day is not None:
            return f"{of_part}{self.day}~{self.last_day}" if self.days else f"{of_part}{self.day}"
        if self.since is None or self.until is None:
            return f"{of_part}all"
        return f"{of_part}{_name(self.since)}~{_name(self.until)}"

    def halved(self, smallest: timedelta) -> tuple[Window, Window] | None:
        """Its two halves; None where they would be smaller than `smallest`, and of a day: halves would stand beside the whole one."""
        if self.days:
            half = len(self.days) // 2
            return together(self.days[:half]), together(self.days[half:])
        if self.day is not None or self.since is None or self.until is None:
            return None
        # whole seconds, which every vendor can say
        length = timedelta(seconds=int((self.until - self.since).total_seconds() / 2))
        if length < max(smallest, timedelta(seconds=1)):
            return None
        return replace(self, until=self.since + length), replace(self, since=self.since + length)


def together(days: Sequence[Window]) -> Window:
    """Days that follow one another as one window; a single one stays what it is."""
    return replace(days[0], until=days[-1].until, days=tuple(days)) if len(days) > 1 else days[0]


@dataclass(frozen=True)
class Shape:
    """How a stream is cut.

    start: the first day there is; step: a window's length in a cursor stream, None for one window, and in a range stream of how many days a
    question is, None for one; zone: whose days they are; lookback: how far back the vendor restates, in a range stream whole days.
    """

    mode: str
    start: date
    step: timedelta | None = None
    lookback: timedelta = timedelta()
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise StreamDeclarationError(f"mode is {self.mode!r}; allowed are {list(MODES)}")
        if self.lookback < timedelta() or (self.step is not None and self.step <= timedelta()):
            raise StreamDeclarationError(f"lookback is {self.lookback} and step {self.step}; give lengths of time, the step more than none")
        if self.mode == "range" and (self.lookback % DAY or (self.step or DAY) % DAY):
            raise StreamDeclarationError(
                f"lookback is {self.lookback} and step {self.step}; a range stream is cut by days: give whole days"
            )

    @property
    def days_together(self) -> int:
        """How many days of a range stream one question is about."""
        return self.step // DAY if self.mode == "range" and self.step else 1


def windows(shape: Shape, days: tuple[date, date], cursor: datetime | None, now: datetime, is_named: bool = False) -> list[Window]:
    """The windows of a pull, the earliest first.

    Args:
        days: those of the run, inclusive.
        cursor: how far a cursor stream was pulled; None before its first pull.
        now: nothing later is asked for: it is not there yet.
        is_named: whether a person named the days: then they count for a cursor stream too.
    """
    if shape.mode == "webhook":
        return []
    if shape.mode == "snapshot":
        return [Window(None, None)]
    first, last = days
    if shape.mode == "range":
        first = max(first - shape.lookback, shape.start)
        every = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        return [Window(_midnight(day, shape.zone), _midnight(day + DAY, shape.zone), day) for day in every]
    start = _midnight(shape.start, shape.zone)
    if is_named:
        since, until = _midnight(first, shape.zone) - shape.lookback, min(_midnight(last + DAY, shape.zone), now)
    else:
        since, until = (cursor - shape.lookback if cursor else start), now
    return list(_cut(max(since, start), until, shape))


def questions(every: Sequence[Window], shape: Shape) -> list[Window]:
    """The windows as they are asked for: days of a range together, as many as the shape says, as evenly as they can be."""
    if shape.days_together == 1 or not every:
        return list(every)
    parts = -(-len(every) // shape.days_together)
    cuts = [len(every) * n // parts for n in range(parts + 1)]
    return [together(every[begin:end]) for begin, end in itertools.pairwise(cuts)]


def answered(every: Sequence[Window], ask: Callable[[Window], T], smallest: timedelta) -> Iterator[tuple[Window, T]]:
    """What is answered of each window, the earliest first; one with too much data is asked for in halves.

    Raises TooMuchDataError where a window of less than twice `smallest` has too much.
    """
    waiting = list(reversed(every))
    while waiting:
        window = waiting.pop()
        try:
            yield window, ask(window)
        except TooMuchDataError:
            halves = window.halved(smallest)
            if halves is None:
                raise
            waiting += reversed(halves)


def parted(every: Sequence[Window], begun: Iterable[str]) -> list[Window]:
    """The windows, of which one that was begun under another end, as a window that ends now, is two: what was begun, and what came since."""
    ends = dict(one.split("~") for one in begun if one.count("~") == 1)
    found: list[Window] = []
    for window in every:
        end = ends.get(_name(window.since)) if window.since and window.day is None else None
        until = datetime.fromisoformat(end) if end else window.until
        if window.until and until and until < window.until:
            found += [replace(window, until=until), replace(window, since=until)]
        else:
            found.append(window)
    return found


def _cut(since: datetime, until: datetime, shape: Shape) -> Iterator[Window]:
    """Windows of the shape's step; steps of whole days end at midnights, also where a day has 23 or 25 hours."""
    while since < until:
        end = until
        if shape.step is not None and shape.step % DAY:
            end = min(since + shape.step, until)
        elif shape.step is not None:
            day = since.astimezone(ZoneInfo(shape.zone)).date() + shape.step
            end = min(_midnight(day, shape.zone), until)
        yield Window(since, end)
        since = end


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def _name(instant: datetime) -> str:
    """An instant in a folder's name: no colons, which some file systems have not."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H%M%S") + (f".{instant.microsecond:06d}" if instant.microsecond else "") + "Z"

"""The days that a run is about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Range:
    """The days from first to last, both included, without the gaps."""

    first: dt.date
    last: dt.date
    gaps: frozenset[dt.date] = frozenset()

    @classmethod
    def of(cls, days: Iterable[dt.date]) -> Range:
        """These days, of which there is at least one."""
        wanted = set(days)
        first, last = min(wanted), max(wanted)
        return cls(first, last, frozenset(day for day in cls(first, last).days() if day not in wanted))

    def days(self) -> list[dt.date]:
        """Each of its days, in order."""
        every = (self.first + DAY * i for i in range((self.last - self.first).days + 1))
        return [day for day in every if day not in self.gaps]

    def spans(self) -> list[tuple[dt.date, dt.date]]:
        """Its days as first and last days of spans without a gap, in order."""
        if not self.gaps:
            return [(self.first, self.last)]
        found: list[tuple[dt.date, dt.date]] = []
        for day in self.days():
            found = [*found[:-1], (found[-1][0], day)] if found and day - found[-1][1] == DAY else [*found, (day, day)]
        return found

    def widened(self, before: int, after: int) -> Range:
        """With so many days before and after each of its days."""
        if not self.gaps:
            return Range(self.first - DAY * before, self.last + DAY * after)
        return Range.of(day + DAY * i for day in self.days() for i in range(-before, after + 1))

    def where(self, column: str) -> str:
        """Its days as a literal predicate on a DATE column (>= and <=: BETWEEN in replaceWhere dies inside Delta on partitioned tables)."""
        spans = [f"{column} >= DATE'{first}' AND {column} <= DATE'{last}'" for first, last in self.spans()]
        return spans[0] if len(spans) == 1 else f"({' OR '.join(f'({span})' for span in spans)})"

    def __str__(self) -> str:
        return ", ".join(f"{first}…{last}" if first != last else str(first) for first, last in self.spans())

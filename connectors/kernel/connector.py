"""What a connector is: a module below connectors/sources, or its CONNECTOR, with four functions, each about one stream.

Which streams there are, that one that fails costs no other, and what is said of it all is the kernel's (connectors.kernel.pulls).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol, TypeVar, cast

from conf import settings
from connectors.kernel.errors import ConnectorError
from connectors.kernel.landing import Landing

Say = Callable[[str], None]
StreamT = TypeVar("StreamT")


@dataclass
class Counts:
    """What one pull of a stream did; files: files, or slices of an API, of which each is landed, skipped or refused.

    calls, waited_seconds: of an API, and how long they waited for its budget.
    failures: what was refused and why, each naming what is to be done.
    """

    files: int = 0
    landed: int = 0
    skipped: int = 0
    refused: int = 0
    records: int = 0
    calls: int = 0
    waited_seconds: float = 0.0
    failures: list[ConnectorError] = field(default_factory=list)

    def refuse(self, error: ConnectorError) -> None:
        """Count what could not be landed, and keep why."""
        self.files += 1
        self.refused += 1
        self.failures.append(error)


@dataclass(frozen=True)
class Planned:
    """One attempt that a pull would land; origin: the file or request it is read from. None is what the source does not say beforehand."""

    slice_id: str
    attempt: int
    origin: str
    records: int | None = None
    bytes: int | None = None
    calls: int | None = None


@dataclass(frozen=True)
class Plan:
    """What a pull of a stream would do."""

    counts: Counts
    slices: tuple[Planned, ...]


@dataclass(frozen=True)
class Finding:
    """What a check found of a stream that can be pulled; is_empty: there is nothing to pull yet."""

    said: str
    is_empty: bool = False


@dataclass(frozen=True)
class Scope:
    """What a pull is asked for.

    first_day, last_day: inclusive. is_named: whether a person named the days; else they are a schedule's, which a stream with a cursor of its
    own goes on beyond. account: one of the source's; all by default. limit: how many records of a slice, for a try that is not loaded.
    """

    first_day: date
    last_day: date
    is_named: bool = True
    account: str = ""
    limit: int | None = None

    @property
    def days(self) -> tuple[date, date]:
        return self.first_day, self.last_day


class Connector(Protocol[StreamT]):
    """What `python -m connectors` and the DAGs ask of a connector."""

    def declared(self, source: settings.Source, name: str) -> StreamT:
        """A stream's declaration, checked without looking at what it names.

        Raises StreamDeclarationError naming file, key and what is allowed, MissingFolderError for what this machine lacks.
        """

    def pull_stream(self, stream: StreamT, scope: Scope, landing: Landing, say: Say) -> Counts:
        """Land what is new of the scope; what is landed already is skipped.

        What costs itself only is one of the counts' failures. Raises ConnectorError where the stream cannot go on.
        """

    def plan_stream(self, stream: StreamT, scope: Scope, landing: Landing, say: Say) -> Plan:
        """What pull_stream would land; writes nothing."""

    def check_stream(self, stream: StreamT) -> Finding:
        """The cheapest real look at whether the stream can be pulled. Raises ConnectorError where it cannot."""


def connector_of(source: settings.Source) -> Connector[Any]:
    """The connector that a source names. Raises ConnectorError naming those there are."""
    if source.connector not in settings.connectors():
        allowed = list(settings.connectors())
        raise ConnectorError(f"conf/sources/{source.source}.yml: connector is {source.connector!r}; allowed are {allowed}")
    module = importlib.import_module(f"connectors.sources.{source.connector}")
    return cast(Connector[Any], getattr(module, "CONNECTOR", module))

"""What one run of a table did."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from spark_jobs.io.ranges import Range


@dataclass(frozen=True)
class Outcome:
    """What one table's run did; rows as in ops.ledger, inputs: per input how many of them. settled: the day up to which the table is then up to
    date, and with which versions of its inputs."""

    table: str
    source: str
    days: Range
    status: str
    rows_in: int = 0
    rows_used: int = 0
    unchanged: int = 0
    duplicates: int = 0
    late: int = 0
    quarantined: int = 0
    rows_out: int = 0
    wrote: bool = False
    seconds: float = 0.0
    error: str | None = None
    signature: str = ""
    input_versions: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, int] = field(default_factory=dict)
    started_at: dt.datetime | None = None
    run_id: str = ""
    settled: tuple[dt.date, Mapping[str, int]] | None = None

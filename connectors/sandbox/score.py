"""How right a lake is about the sandbox world: every line of the web log in exactly one place, who is who, sessions, channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

SOURCE = "sandbox_site"


@dataclass(frozen=True)
class Score:
    """One line of the score: how many of how many were right."""

    what: str
    right: int
    of: int

    @property
    def share(self) -> float:
        return self.right / self.of if self.of else 1.0


def score(truth: Path, lake: Path) -> list[Score]:
    """All lines. truth: the folder that `make` wrote; lake: the root of the lake that was built from its files."""
    records = pl.read_parquet(truth / "records.parquet")
    events = rows(lake, "silver.events").filter(pl.col("source") == SOURCE)
    aside = rows(lake, "silver.events__quarantine").filter(pl.col("source") == SOURCE)
    placed = with_place(records, events, aside)
    return [*faults(placed), *people(placed, events, rows(lake, "identity.person_map")), *visits(truth, rows(lake, "journeys.sessions"))]


def rows(lake: Path, name: str) -> pl.DataFrame:
    """A table of the lake."""
    return pl.read_delta(str(lake / name.replace(".", "/")))


def with_place(records: pl.DataFrame, events: pl.DataFrame, aside: pl.DataFrame) -> pl.DataFrame:
    """The records with where they were found: `event_id` (null: not there), `is_aside`, and so `found`: used, quarantined, duplicate or lost.

    A copy leaves no row of its own: it is a duplicate where the lake holds the event it repeats.
    """
    day = pl.col("file").str.extract(r"/(\d{4}-\d\d-\d\d)/\d+/[^/]+$").str.to_date()
    used = events.select(file="_source_file", row="_source_row", event_id="event_id").with_columns(day=day).drop("file")
    rejected = aside.select(file="_file", row="_row").with_columns(day=day, is_aside=True).drop("file").unique()
    ids = events.select("client_event_id").drop_nulls().unique().with_columns(is_known=True)
    joined = records.join(used, on=["day", "row"], how="left").join(rejected, on=["day", "row"], how="left")
    joined = joined.join(ids, on="client_event_id", how="left")
    is_used, is_aside = pl.col("event_id").is_not_null(), pl.col("is_aside").fill_null(False)
    found = (
        pl.when(is_used & is_aside).then(pl.lit("twice")).when(is_used).then(pl.lit("used")).when(is_aside).then(pl.lit("quarantined"))
        .when(pl.col("is_known").fill_null(False)).then(pl.lit("duplicate")).otherwise(pl.lit("lost"))
    )  # fmt: skip
    return joined.with_columns(found=found)


def faults(placed: pl.DataFrame) -> list[Score]:
    """Per kind of record, whether it is in the one place it belongs."""
    kinds = placed.group_by("why").agg(of=pl.len(), right=(pl.col("found") == pl.col("fate")).sum()).sort("why")
    return [Score(f"records {r['why'] or 'without a fault'}", r["right"], r["of"]) for r in kinds.iter_rows(named=True)]


def people(placed: pl.DataFrame, events: pl.DataFrame, person_map: pl.DataFrame) -> list[Score]:
    """Pairs of events: of those the lake gives to one person how many are one person's (precision), and the other way round (recall)."""
    current = person_map.filter(pl.col("valid_to").is_null()).select("identifier_key", "person_id")
    keys = events.select("event_id", "identifiers").explode("identifiers").drop_nulls().unnest("identifiers")
    given = keys.join(current, on="identifier_key").group_by("event_id").agg(pl.col("person_id").first())
    both = placed.filter((pl.col("person") >= 0) & pl.col("event_id").is_not_null()).join(given, on="event_id")
    together = pairs(both.group_by("person", "person_id").len())
    return [
        Score("identity precision (pairs of events)", together, pairs(both.group_by("person_id").len())),
        Score("identity recall (pairs of events)", together, pairs(both.group_by("person").len())),
    ]


def pairs(groups: pl.DataFrame) -> int:
    size = groups["len"].cast(pl.Int64)
    return int((size * (size - 1) // 2).sum())


def visits(truth: Path, sessions: pl.DataFrame) -> list[Score]:
    """Visits that are one session with the same first and last instant and number of events; of these, those on their channel."""
    true = pl.read_parquet(truth / "visits.parquet").with_columns(pl.col("started_at", "ended_at").dt.cast_time_unit("us"))
    humans = sessions.filter((pl.col("source") == SOURCE) & ~pl.col("is_bot"))
    found = humans.select("session_id", "started_at", "ended_at", pl.col("events").cast(pl.Int64), found_channel="channel")
    same = true.join(found, on=["started_at", "ended_at", "events"], how="inner").unique("visit")
    right = same.filter(pl.col("channel") == pl.col("found_channel")).height
    return [Score("visits that are one session", same.height, true.height), Score("channel of these visits", right, same.height)]

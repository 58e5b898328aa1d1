"""The truth beside the sandbox's files, and what a score says of a lake that is right or wrong about it."""

import gzip
import json
from collections import Counter
from datetime import date

import polars as pl
import pytest

from connectors.sandbox import files, truth, world
from connectors.sandbox.score import faults, pairs, people, with_place

UNTIL = date(2026, 11, 20)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, world) with files and truth."""
    folder = tmp_path_factory.mktemp("world")
    one = world.make_world(people=400, days=21, until=UNTIL, seed=7)
    files.write_world(one, folder)
    truth.write_truth(one, folder)
    return folder, one


def test_every_line_of_the_log_stands_in_the_truth_under_its_own_id(made):
    folder, _ = made
    records = pl.read_parquet(folder / "truth" / "records.parquet")
    for path in sorted((folder / "sandbox_site" / "events").glob("*.jsonl.gz")):
        lines = gzip.decompress(path.read_bytes()).splitlines()
        mine = records.filter(pl.col("day") == date.fromisoformat(path.name[:10])).sort("row")
        assert mine["row"].to_list() == list(range(1, len(lines) + 1))
        for line, identifier, fate in zip(lines, mine["client_event_id"], mine["fate"], strict=True):
            assert (identifier is None) == (fate == "quarantined")
            assert identifier is None or json.loads(line)["id"] == identifier


def test_a_copy_repeats_an_event_and_another_body_is_an_event(made):
    folder, _ = made
    records = pl.read_parquet(folder / "truth" / "records.parquet").drop_nulls("client_event_id")
    used = Counter(records.filter(pl.col("fate") == "used")["client_event_id"])
    copies = records.filter(pl.col("fate") == "duplicate")
    assert copies.height > 0 and all(used[i] >= 1 for i in copies["client_event_id"])
    assert {i for i, n in used.items() if n > 1} == set(records.filter(pl.col("why") == "other_body")["client_event_id"])


def test_visits_are_those_of_people_and_hold_all_they_did(made):
    folder, one = made
    visits = pl.read_parquet(folder / "truth" / "visits.parquet")
    is_done = (one.events.copy != world.RETRY) & (one.events.kind != world.LOGIN) & (one.visits.person[one.events.visit] >= 0)
    assert visits["events"].sum() == int(is_done.sum())
    assert (visits["started_at"] <= visits["ended_at"]).all() and (visits["person"] >= 0).all()
    assert {"Paid Search", "Paid Shopping", "Email", "Direct"} <= set(visits["channel"])


def lake_of(records: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """silver.events and its quarantine as they must be, one identifier per person."""
    file = "/landing/site/events/shop/" + pl.col("day").cast(pl.String) + "/1/part-00001.jsonl.gz"
    good = records.filter(pl.col("fate") == "used")
    identifiers = [[{"namespace": "n", "identifier_key": f"k{p}"}] for p in good["person"]]
    numbered = good.with_columns(event_id=pl.int_range(pl.len()).cast(pl.String), _source_file=file, _source_row="row")
    events = numbered.with_columns(identifiers=pl.Series(identifiers)).select(
        "event_id", "client_event_id", "_source_file", "_source_row", "identifiers"
    )
    return events, records.filter(pl.col("fate") == "quarantined").select(_file=file, _row="row")


def test_a_right_lake_scores_everything_and_a_lost_or_doubled_line_shows(made):
    records = pl.read_parquet(made[0] / "truth" / "records.parquet")
    events, aside = lake_of(records)
    assert all(s.right == s.of > 0 for s in faults(with_place(records, events, aside)))
    lost = {s.what: s.of - s.right for s in faults(with_place(records, events.head(-1), aside.head(-1)))}
    assert (lost["records without a fault"] + lost["records other_body"], lost["records malformed"], lost["records sent_twice"]) == (
        1,
        1,
        0,
    )
    again = events.select(_file="_source_file", _row="_source_row").head(1)
    assert sum(s.of - s.right for s in faults(with_place(records, events, pl.concat([aside, again])))) == 1


def test_a_split_person_costs_recall_and_a_merged_one_precision(made):
    records = pl.read_parquet(made[0] / "truth" / "records.parquet")
    events, aside = lake_of(records)
    placed = with_place(records, events, aside)
    keys = sorted(set(events["identifiers"].explode().struct.field("identifier_key")))

    def shares(person_of):
        mapped = pl.DataFrame({"identifier_key": keys, "person_id": [person_of(k) for k in keys], "valid_to": [None] * len(keys)})
        return [s.share for s in people(placed, events, mapped)]

    assert shares(lambda key: key) == [1.0, 1.0]
    precision, recall = shares(lambda key: "p" if key in keys[:40] else key)
    assert precision < 1.0 and recall == 1.0


def test_pairs_of_groups():
    assert pairs(pl.DataFrame({"len": pl.Series([1, 2, 4], dtype=pl.UInt32)})) == 0 + 1 + 6

"""What the score says of a lake that is right or wrong about the world."""

from datetime import date

import polars as pl
import pytest

from connectors.kernel.errors import ConnectorError
from connectors.sandbox.score import ad_spend, faults, fits, ledger, orders, pairs, people, rows, score, sessions_of_crawlers, with_place

UNTIL = date(2026, 11, 20)


def table(made, name: str) -> pl.DataFrame:
    return pl.read_parquet(made[0] / "truth" / f"{name}.parquet")


def lake_of(records: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """silver.events and its quarantine as they must be, one identifier per person."""
    file = "/landing/site/events/shop/" + pl.col("day").cast(pl.String) + "/1/part-00001.jsonl.gz"
    good = records.filter(pl.col("fate") == "used")
    identifiers = [[{"namespace": "sandbox.user_id", "identifier_key": f"k{p}"}] for p in good["person"]]
    numbered = good.with_columns(event_id=pl.int_range(pl.len()).cast(pl.String), _source_file=file, _source_row="row")
    events = numbered.with_columns(identifiers=pl.Series(identifiers)).select(
        "event_id", "client_event_id", "_source_file", "_source_row", "identifiers"
    )
    aside = records.filter(pl.col("fate").is_in(["quarantined", "late"]))
    return events, aside.select(_file=file, _row="row", _reason="fate")


def test_a_right_lake_scores_everything_and_a_lost_or_doubled_line_shows(made):
    records = pl.read_parquet(made[0] / "truth" / "records.parquet")
    events, aside = lake_of(records)
    assert all(s.right == s.of > 0 for s in faults(with_place(records, events, aside)))
    wrong = [s for s in faults(with_place(records, events.head(-1), aside.head(-1))) if s.right < s.of]
    assert sum(s.of - s.right for s in wrong) == 2 and len(wrong) == 2
    again = events.select(_file="_source_file", _row="_source_row", _reason=pl.lit("bad")).head(1)
    assert sum(s.of - s.right for s in faults(with_place(records, events, pl.concat([aside, again])))) == 1


def test_a_split_person_costs_recall_and_a_merged_one_precision(made):
    records = pl.read_parquet(made[0] / "truth" / "records.parquet")
    events, aside = lake_of(records)
    placed = with_place(records, events, aside)
    keys = sorted(set(events["identifiers"].explode().struct.field("identifier_key")))

    def shares(person_of):
        mapped = pl.DataFrame({"identifier_key": keys, "person_id": [person_of(k) for k in keys], "valid_to": [None] * len(keys)})
        return [s.share for s in people(placed, events, mapped)]

    assert shares(lambda key: key) == [1.0, 1.0, 1.0, 1.0]
    precision, recall, told, alone = shares(lambda key: "p" if key in keys[:40] else key)
    assert precision < 1.0 and recall == told == 1.0
    assert alone == 1 - 40 / len(keys)


def test_a_split_of_what_the_log_tells_to_be_one_costs_both_recalls(made):
    records = pl.read_parquet(made[0] / "truth" / "records.parquet")
    events, aside = lake_of(records)
    split = events.with_row_index().with_columns(
        identifiers=pl.struct(pl.col("identifiers").list.get(0).struct.field("namespace"), identifier_key=pl.col("index").cast(pl.String))
        .implode()
        .over("index")
    )
    mapped = pl.DataFrame(
        {"identifier_key": split["index"].cast(pl.String), "person_id": split["index"].cast(pl.String), "valid_to": [None] * split.height}
    )
    precision, recall, told, _ = (s.share for s in people(with_place(records, events, aside), split, mapped))
    assert precision == 1.0 and recall == told == 0.0


def test_pairs_of_groups():
    assert pairs(pl.DataFrame({"len": pl.Series([1, 2, 4], dtype=pl.UInt32)})) == 0 + 1 + 6


def test_credit_like_the_truth_fits_and_credit_upside_down_does_not():
    causes = pl.DataFrame({"channel": ["a", "b", "c", "c"], "pounds": [10.0, 30.0, 40.0, 20.0]})
    credits = pl.DataFrame({"model": ["good"] * 3 + ["bad"] * 3, "channel": ["a", "b", "c"] * 2, "credit_amount": [1, 3, 6, 6, 3, 1]})
    bad, good = fits(causes, credits, "channel")
    assert (good.rank_correlation, good.mean_error) == (1.0, pytest.approx(0))
    assert (bad.model, bad.level, bad.rank_correlation) == ("bad", "channel", -1.0) and bad.mean_error == pytest.approx(100 / 3)


def test_a_wrong_amount_a_lost_order_and_a_wrong_spend_cost_points(made):
    true = table(made, "orders")
    lake = true.select("order_id", "lines", "currency", source=pl.lit("sandbox_shop"), net_amount="amount", refunded_amount="refunded")
    sold = pl.DataFrame({"source": ["sandbox_shop"], "conversion_type": ["order"], "reporting_amount": [true["pounds"].sum()]})
    assert orders(true, lake, sold)[0].share == orders(true, lake, sold)[1].share == 1.0
    less = lake.head(-1).with_columns(net_amount=pl.when(pl.int_range(pl.len()) == 0).then(0.0).otherwise("net_amount"))
    exact, revenue, *_ = orders(true, less, sold)
    assert exact.of - exact.right == 2 and revenue.right < revenue.of
    spend = table(made, "ad_spend")
    stored = spend.select("ad_id", "clicks", "impressions", source=pl.lit("sandbox_marketing"), spend_date="day", spend_amount="spend")
    assert ad_spend(spend, stored)[0].share == 1.0
    assert ad_spend(spend, stored.tail(-3))[0].of - ad_spend(spend, stored.tail(-3))[0].right == 3


def test_a_crawler_that_is_not_flagged_and_a_person_who_is_cost_points():
    who = {"stated": 1, "inhuman_rate": 2, "no_dwell": 3, "none": 4, "person": 5}
    true = pl.DataFrame({"visit": [1, 2, 3, 4], "sign": ["stated", "inhuman_rate", "no_dwell", "none"]})
    placed = pl.DataFrame({"visit": list(who.values()), "event_id": list(who)})
    events = pl.DataFrame(
        {"event_id": list(who), "identifiers": [[{"namespace": "sandbox.anonymous_id", "identifier_key": f"k-{name}"}] for name in who]}
    )

    def shares(reasons):
        sessions = pl.DataFrame({"source": ["sandbox_site"] * 5, "client_key": [f"k-{name}" for name in who], "bot_reason": reasons})
        sessions = sessions.with_columns(is_bot=pl.col("bot_reason").is_not_null())
        return [(s.right, s.of) for s in sessions_of_crawlers(true, placed, events, sessions)]

    assert shares(["crawler", "inhuman_rate", "no_dwell", None, None]) == [(1, 1), (2, 2), (3, 3)]
    assert shares([None, "inhuman_rate", None, None, "no_dwell"]) == [(0, 1), (1, 2), (1, 2)]


def test_the_ledgers_counts_are_compared_with_the_truth():
    key = {"table_name": ["silver.events"], "source": ["sandbox_site"]}
    true = pl.DataFrame(key | {"duplicates": [1], "late": [2], "quarantined": [0]})
    book = pl.DataFrame(
        {name: values * 2 for name, values in key.items()}
        | {"rows_in": [4, 4], "started_at": [1, 2], "from_date": [1, 1], "to_date": [2, 2], "input_name": ["mapped"] * 2}
        | {"duplicates": [7, 1], "late": [7, 1], "quarantined": [7, 0]}
    )
    assert [(s.right, s.of) for s in ledger(true, book)] == [(1, 1), (1, 2)]


def test_a_lake_that_was_not_built_is_named_and_one_without_quarantine_is_fine(made, tmp_path):
    with pytest.raises(ConnectorError, match=r"has no silver\.events: build the lake first"):
        score(made[0] / "truth", tmp_path)
    aside = rows(tmp_path, "silver.events__quarantine")
    good = table(made, "records").filter(pl.col("fate") == "used")
    assert all(s.right == s.of for s in faults(with_place(good, lake_of(good)[0], aside)))

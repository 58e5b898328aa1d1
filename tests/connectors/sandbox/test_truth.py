"""The truth beside the sandbox's files, and what a score says of a lake that is right or wrong about it."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from connectors.sandbox import files, log, pools, truth, world
from connectors.sandbox.mess import FAULTS, MESS
from connectors.sandbox.score import ad_spend, faults, fits, ledger, orders, pairs, people, with_place

UNTIL = date(2026, 11, 20)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, world) with files and truth; more goes wrong than usual, so that everything does."""
    folder = tmp_path_factory.mktemp("world")
    often = dict.fromkeys((fault.name for fault in FAULTS[1:]), 0.008) | {"recycled_email": 0.03}
    one = world.make_world(people=400, days=21, until=UNTIL, seed=7, mess=replace(MESS, **often))
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
        for line, identifier, why in zip(lines, mine["client_event_id"], mine["why"], strict=True):
            assert (identifier is None) == (why in ("cut_short", "not_utf8"))
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
    is_used = np.isin(one.events.fault, [code for code, fault in enumerate(FAULTS) if fault.fate == "used"])
    is_done = is_used & (one.events.copy != log.RETRY) & (one.events.kind != log.LOGIN) & (one.visits.person[one.events.visit] >= 0)
    assert visits["events"].sum() == int((is_done & one.visits.has_cookie[one.events.visit]).sum())
    assert (visits["started_at"] <= visits["ended_at"]).all() and (visits["person"] >= 0).all()
    assert {"Paid Search", "Paid Shopping", "Email", "Direct"} <= set(visits["shown_channel"]) & set(visits["channel"])


def lake_of(records: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """silver.events and its quarantine as they must be, one identifier per person."""
    file = "/landing/site/events/shop/" + pl.col("day").cast(pl.String) + "/1/part-00001.jsonl.gz"
    good = records.filter(pl.col("fate") == "used")
    identifiers = [[{"namespace": "sandbox.user_id", "identifier_key": f"k{p}"}] for p in good["person"]]
    numbered = good.with_columns(event_id=pl.int_range(pl.len()).cast(pl.String), _source_file=file, _source_row="row")
    events = numbered.with_columns(identifiers=pl.Series(identifiers)).select(
        "event_id", "client_event_id", "_source_file", "_source_row", "identifiers"
    )
    return events, records.filter(pl.col("fate") == "quarantined").select(_file=file, _row="row")


def test_a_right_lake_scores_everything_and_a_lost_or_doubled_line_shows(made):
    records = pl.read_parquet(made[0] / "truth" / "records.parquet")
    events, aside = lake_of(records)
    assert all(s.right == s.of > 0 for s in faults(with_place(records, events, aside)))
    wrong = [s for s in faults(with_place(records, events.head(-1), aside.head(-1))) if s.right < s.of]
    assert sum(s.of - s.right for s in wrong) == 2 and len(wrong) == 2
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

    assert shares(lambda key: key) == [1.0, 1.0, 1.0, 1.0]
    precision, recall, told, alone = shares(lambda key: "p" if key in keys[:40] else key)
    assert precision < 1.0 and recall == told == 1.0
    assert alone == 1 - 40 / len(keys)


def test_a_split_of_what_the_log_tells_to_be_one_costs_both_recalls(made):
    records = pl.read_parquet(made[0] / "truth" / "records.parquet")
    events, aside = lake_of(records)
    split = events.with_row_index().with_columns(
        identifiers=pl.struct(pl.col("identifiers").list.get(0).struct.field("namespace"), identifier_key=pl.col("index").cast(pl.String)).implode().over("index")
    )
    mapped = pl.DataFrame({"identifier_key": split["index"].cast(pl.String), "person_id": split["index"].cast(pl.String), "valid_to": [None] * split.height})
    precision, recall, told, _ = (s.share for s in people(with_place(records, events, aside), split, mapped))
    assert precision == 1.0 and recall == told == 0.0


def test_pairs_of_groups():
    assert pairs(pl.DataFrame({"len": pl.Series([1, 2, 4], dtype=pl.UInt32)})) == 0 + 1 + 6


def table(made, name: str) -> pl.DataFrame:
    return pl.read_parquet(made[0] / "truth" / f"{name}.parquet")


SIGNS = {
    "clock_off": lambda e: abs(moment(e["sent_at"]) - moment(e["received_at"])) >= 3600,
    "year_1970": lambda e: e["event_at"].startswith("1970"),
    "year_2100": lambda e: e["event_at"].startswith("2100"),
    "too_late": lambda e: 35 * 86_400 < moment(e["received_at"]) - moment(e["event_at"]) < 80 * 86_400,
    "text_for_time": lambda e: e["event_at"] == "soon",
    "text_for_object": lambda e: isinstance(e["page"], str),
    "bad_name": lambda e: " " in e["event"],
    "bad_currency": lambda e: e.get("currency") == "pounds",
    "huge_field": lambda e: len(e["page"]["title"]) > 20_000,
    "late_days": lambda e: 86_400 <= moment(e["received_at"]) - moment(e["event_at"]) < 31 * 86_400,
    "late_minutes": lambda e: 300 <= moment(e["received_at"]) - moment(e["event_at"]) < 86_400,
}


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_every_fault_shows_in_its_line_and_no_other_line_shows_one(made):
    folder, _ = made
    seen = Counter()
    for (day,), mine in table(made, "records").group_by(["day"]):
        lines = gzip.decompress((folder / "sandbox_site" / "events" / f"{day}.jsonl.gz").read_bytes()).splitlines()
        for row, why, fate in mine.select("row", "why", "fate").iter_rows():
            line = lines[row - 1]
            if why in ("cut_short", "not_utf8"):
                assert not is_json(line)
                seen[why] += 1
                continue
            event = json.loads(line)
            shown = next((name for name, shows in SIGNS.items() if shows_safely(shows, event)), "")
            assert shown == (why if why in SIGNS else ""), line
            seen[why] += 1
            assert (fate == "used") == (why in USED_ANYWAY)
    assert set(SIGNS) | {"cut_short", "not_utf8"} <= set(seen) and seen["unknown_field"] > 100


USED_ANYWAY = ("", "clock_off", "year_1970", "year_2100", "huge_field", "late_days", "late_minutes", "unknown_field", "other_body")


def shows_safely(shows, event) -> bool:
    try:
        return shows(event)
    except (ValueError, TypeError):
        return False


def is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_a_browser_that_two_people_share_and_a_recycled_address_belong_to_both(made):
    identifiers = table(made, "identifiers")
    owners = identifiers.unique().group_by("namespace", "value").len()
    shared = dict(owners.filter(pl.col("len") > 1).group_by("namespace").len().iter_rows())
    assert shared.get("anonymous_id", 0) > 5 and shared.get("email", 0) >= 1
    assert set(shared) == {"anonymous_id", "email"}
    browsers = identifiers.filter(pl.col("namespace") == "anonymous_id").group_by("person").len()
    assert browsers["len"].max() >= 4


def test_what_the_log_tells_never_joins_two_people(made):
    visits = table(made, "records").filter(pl.col("person") >= 0).select("person", "told").unique()
    assert visits.group_by("told").len()["len"].max() == 1
    assert visits.height > visits["person"].n_unique()


def test_causes_come_before_their_order_and_add_up_per_campaign(made):
    orders, campaigns = table(made, "orders"), table(made, "campaigns")
    caused = orders.filter(pl.col("cause") != "itself")
    assert 0.1 < caused.height / orders.height < 0.6
    assert (caused["caused_at"] <= caused["ordered_at"]).all()
    per_campaign = dict(caused.group_by("campaign").agg(pl.len()).iter_rows())
    assert per_campaign == {k: n for k, n in campaigns.select("campaign", "orders").iter_rows() if n}
    assert campaigns["pounds"].sum() == pytest.approx(caused["pounds"].sum(), abs=0.5)
    assert campaigns.filter(pl.col("campaign") == "direct")["orders"].item() == 0


def test_whom_chance_holds_out_has_no_contact_with_the_campaign(made):
    one = made[1]
    held = {(row["campaign"], row["person"]) for row in table(made, "holdouts").iter_rows(named=True)}
    keys = [c.key for c in pools.CAMPAIGNS]
    met = {(keys[c], p) for part in (one.visits, one.exposures) for c, p in zip(part.campaign.tolist(), part.person.tolist()) if p >= 0}
    assert held and met and not held & met
    assert 0.1 < len([1 for c, _ in held if c == "d-31"]) / len(one.people) < 0.3


def test_the_truth_of_ad_spend_is_what_the_last_file_of_each_day_says(made):
    found = {}
    for day in sorted((made[0] / "sandbox_marketing" / "ad_spend").iterdir()):
        header, *rows = max(day.iterdir()).read_text().splitlines()
        names = header.split(",")
        for row in rows:
            values = dict(zip(names, row.split(",")))
            found[day.name, values["ad_id"]] = (int(values["clicks"]), values.get("spend") or values.get("amount_spent"))
    true = {(str(r["day"]), r["ad_id"]): (r["clicks"], r["spend"]) for r in table(made, "ad_spend").iter_rows(named=True)}
    assert true == found


def test_consent_is_taken_back_after_it_was_given(made):
    choices = table(made, "consents").sort("at")
    for (_, purpose), own in choices.group_by(["person", "purpose"]):
        answers = own["is_granted"].to_list()
        assert answers in ([True], [False], [True, False]), purpose
    assert choices.filter(~pl.col("is_granted"))["purpose"].n_unique() >= 3


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


def test_the_ledgers_counts_are_compared_with_the_truth():
    key = {"table_name": ["silver.events"], "source": ["sandbox_site"]}
    true = pl.DataFrame(key | {"duplicates": [1], "late": [2], "quarantined": [0]})
    book = pl.DataFrame(
        {name: values * 2 for name, values in key.items()}
        | {"rows_in": [4, 4], "started_at": [1, 2], "from_date": [1, 1], "to_date": [2, 2], "input_name": ["mapped"] * 2}
        | {"duplicates": [7, 1], "late": [7, 1], "quarantined": [7, 0]}
    )
    assert [(s.right, s.of) for s in ledger(true, book)] == [(1, 1), (1, 2)]


def test_the_truths_ledger_counts_what_the_files_hold(made):
    records, true = table(made, "records"), {(r["table_name"], r["source"]): r for r in table(made, "ledger").iter_rows(named=True)}
    fates = dict(records.group_by("fate").len().iter_rows())
    site = true["silver.events", "sandbox_site"]
    assert (site["duplicates"], site["late"], site["quarantined"]) == (fates["duplicate"], fates["late"], fates["quarantined"])
    lines = [line for path in (made[0] / "sandbox_shop" / "order_lines").iterdir() for line in path.read_text().splitlines()[1:]]
    shop = true["silver.order_lines", "sandbox_shop"]
    assert shop["quarantined"] == sum(line.startswith(("S-ragged", "S-types")) for line in lines) > 0
    assert shop["duplicates"] == len(lines) - len(set(lines))

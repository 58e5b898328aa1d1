"""The truth beside the sandbox's files: every line, every fault, every cause."""

import gzip
import json
import re
from collections import Counter
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from connectors.sandbox import log, pools
from connectors.sandbox.mess import FAULTS

UNTIL = date(2026, 11, 20)


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


def test_every_crawler_stands_in_the_truth_with_what_gives_it_away(made):
    records, crawlers = table(made, "records"), table(made, "crawlers")
    assert set(crawlers["visit"]) == set(records.filter(pl.col("person") == -1)["visit"])
    assert {"stated", "inhuman_rate"} <= set(crawlers["sign"]) <= {"stated", "inhuman_rate", "no_dwell", "none"}
    assert crawlers.filter(pl.col("sign") == "inhuman_rate")["events"].min() > 40
    log_of_days = b"".join(gzip.decompress(path.read_bytes()) for path in (made[0] / "sandbox_site" / "events").glob("*.jsonl.gz"))
    agents = dict(re.findall(r'"anonymous_id":"([^"]*)".*"user_agent":"([^"]*)"', log_of_days.decode(errors="replace")))
    for anonymous_id, sign in crawlers.select("anonymous_id", "sign").iter_rows():
        assert (agents[anonymous_id] in pools.BOT_AGENTS) == (sign == "stated")


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


def test_the_truths_ledger_counts_what_the_files_hold(made):
    records, true = table(made, "records"), {(r["table_name"], r["source"]): r for r in table(made, "ledger").iter_rows(named=True)}
    fates = dict(records.group_by("fate").len().iter_rows())
    site = true["silver.events", "sandbox_site"]
    assert (site["duplicates"], site["late"], site["quarantined"]) == (fates["duplicate"], fates["late"], fates["quarantined"])
    lines = [line for path in (made[0] / "sandbox_shop" / "order_lines").iterdir() for line in path.read_text().splitlines()[1:]]
    shop = true["silver.order_lines", "sandbox_shop"]
    assert shop["quarantined"] == sum(line.startswith(("S-ragged", "S-types")) for line in lines) > 0
    assert shop["duplicates"] == len(lines) - len(set(lines))


def test_every_record_of_the_other_streams_that_is_used_nowhere_is_named_with_its_file(made):
    found = Counter()
    for row in table(made, "faults").iter_rows(named=True):
        lines = (made[0] / row["source"] / row["stream"] / row["file"]).read_text().splitlines()
        is_named = [f",{row['record']}," in line if row["stream"] == "ad_spend" else line.startswith(row["record"]) for line in lines]
        assert any(is_named), row
        found[row["stream"], row["fate"]] += 1
    assert set(found) == {
        ("order_lines", "duplicate"),
        ("order_lines", "quarantined"),
        ("email_events", "quarantined"),
        ("ad_spend", "duplicate"),
    }
    counted = {r["table_name"]: r for r in table(made, "ledger").filter(pl.col("source") != "sandbox_site").iter_rows(named=True)}
    assert counted["silver.order_lines"]["duplicates"] == found["order_lines", "duplicate"] > 0
    assert counted["silver.events"]["quarantined"] == found["email_events", "quarantined"]
    assert counted["silver.ad_spend"]["duplicates"] == found["ad_spend", "duplicate"]


def test_consent_of_the_log_follows_the_persons_choice_over_time(made):
    """Marketing is false from the instant it was withdrawn, for those who withdrew; by the clock that was right."""
    withdrawn = dict(table(made, "people").drop_nulls("marketing_withdrawn_at").select("person", "marketing_withdrawn_at").iter_rows())
    whole = table(made, "records").filter(pl.col("why").is_in(["", "late_minutes", "late_days"]) & pl.col("person").is_in(list(withdrawn)))
    answers = Counter()
    for day, row, person, at in whole.select("day", "row", "person", "event_at").iter_rows():
        line = gzip.decompress((made[0] / "sandbox_site" / "events" / f"{day}.jsonl.gz").read_bytes()).splitlines()[row - 1]
        is_after = at >= withdrawn[person]
        marketing = json.loads(line)["consent"]["marketing"]
        assert not (is_after and marketing)
        answers[is_after, marketing] += 1
    assert answers[False, True] > 0 and answers[True, False] > 0

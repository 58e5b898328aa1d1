"""TikTok Ads against the sandbox: days as last restated, codes in answers of 200, one budget for an app, and reports that are too large."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest

from connectors.kernel.api import budget_of
from connectors.kernel.connector import connector_of
from connectors.kernel.errors import FailedStreamsError, RateLimitedError, TooMuchDataError
from connectors.kernel.http import DEFAULT_RULES, classified
from connectors.kernel.slices import windows
from connectors.sources.tiktok_ads import CONNECTOR
from tests.connectors.api_contract import Vendor, World, prepare, serving_world, with_small_pages

SPEND, CAMPAIGNS = "ad_spend", "campaigns"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with serving_world(tmp_path_factory.mktemp("tiktok")) as made:
        yield made


@pytest.fixture
def tiktok(world, home, monkeypatch) -> Vendor:
    return prepare(monkeypatch, world, "tiktok_ads", home)


def rows_of(vendor: Vendor, stream: str = SPEND) -> list[dict[str, Any]]:
    return [json.loads(line["payload"])["row"] for line in vendor.lines(stream)]


def spend_of(vendor: Vendor) -> Counter[tuple[str, str, Decimal, int]]:
    return Counter(
        (
            one["dimensions"]["stat_time_day"][:10],
            one["dimensions"]["ad_id"],
            Decimal(one["metrics"]["spend"]),
            int(one["metrics"]["clicks"]),
        )
        for one in rows_of(vendor)
    )


def world_s(vendor: Vendor, first: date, last: date) -> Counter[tuple[str, str, Decimal, int]]:
    shown = vendor.sandbox.served[vendor.name].spend(str(first), str(last))
    return Counter((row["spend_date"], row["ad_id"], Decimal(row["spend"]), int(row["clicks"])) for row in shown)


def queries(vendor: Vendor) -> list[dict[str, str]]:
    return [{key: one for key, (one,) in parse_qs(urlsplit(str(asked.request.url)).query).items()} for asked in vendor.asked()]


def test_values_are_those_of_the_vendor_to_the_cent_page_by_page(tiktok):
    """Users of other connectors saw other values than in the vendor's own pages."""
    source = with_small_pages(tiktok.declared(SPEND), SPEND, 2)
    assert source
    tiktok.pull(source, (tiktok.world.first, tiktok.world.last))
    due = world_s(tiktok, tiktok.world.first, tiktok.world.last)
    assert spend_of(tiktok) == due and sum(due.values()) > 50


def test_a_day_that_is_restated_is_replaced_whole(tiktok, monkeypatch):
    day, shown = tiktok.few_days(SPEND)[0], tiktok.sandbox.served[tiktok.name]
    tiktok.pull(tiktok.declared(SPEND), (day, day))
    before = spend_of(tiktok)
    assert before == world_s(tiktok, day, day) and len(before) > 2
    # one ad is left out, of the others less is billed
    _, *others = shown.spend(str(day), str(day))
    again = [{**row, "spend": "0.010000", "delivered": str(tiktok.world.last)} for row in others]
    monkeypatch.setitem(shown._rows, SPEND, [*shown._rows[SPEND], *again])
    tiktok.pull(tiktok.declared(SPEND), (day, day))
    assert spend_of(tiktok) == world_s(tiktok, day, day) and len(spend_of(tiktok)) == len(before) - 1
    assert {one[2] for one in spend_of(tiktok)} == {Decimal("0.01")}


def test_a_day_s_pull_asks_for_the_week_before_it_too(tiktok):
    stream = connector_of(tiktok.source).declared(tiktok.source, SPEND)
    day = tiktok.world.last
    asked = windows(stream.shape_of(stream.accounts[0]), (day, day), None, datetime.now(UTC))
    assert [one.day for one in asked] == [day - timedelta(days=n) for n in range(7, -1, -1)]


@pytest.mark.parametrize("zone", ["Etc/GMT-14", "Etc/GMT+12"])
def test_today_is_the_account_s_and_not_utc_s(tiktok, zone):
    """Accounts ahead of UTC lost data where a connector's today was UTC's."""
    (name, account), *_ = tiktok.source.settings["accounts"].items()
    accounts = {name: {**account, "time_zone": zone}}
    source = dataclasses.replace(tiktok.source, settings={**tiktok.source.settings, "accounts": accounts})
    stream = connector_of(source).declared(source, SPEND)
    CONNECTOR.sample(stream, stream.accounts[0], is_cheap=True)
    assert {one["start_date"] for one in queries(tiktok)} == {str(datetime.now(ZoneInfo(zone)).date())}


@pytest.mark.parametrize(
    "code, verdict",
    [
        *((code, "transient") for code in (40200, 40201, 40202, 40700, 50000, 50002, 60001)),
        *((code, "config") for code in (40001, 40102, 40104, 40105)),
        (0, "ok"), (40100, "rate"), (40067, "split"), (40002, "fatal"), (40006, "fatal"), (99999, "fatal"),
    ],
)  # fmt: skip
def test_the_code_in_an_answer_of_200_says_what_happened(code, verdict):
    assert classified(200, json.dumps({"code": code, "message": "", "data": {}}).encode(), (*CONNECTOR.rules, *DEFAULT_RULES)) == verdict


def test_a_gateway_s_answer_without_a_code_is_read_by_its_status():
    for status, verdict in ((502, "transient"), (401, "config"), (429, "rate"), (404, "fatal")):
        assert classified(status, b"<html>", (*CONNECTOR.rules, *DEFAULT_RULES)) == verdict


def test_the_accounts_of_an_app_share_one_budget_and_one_pause(tiktok):
    """The vendor counts the calls of an app, whichever account they are for, and shuts out who goes beyond."""
    (account,) = tiktok.source.settings["accounts"].values()
    accounts = {"one": account, "two": account}
    source = dataclasses.replace(tiktok.source, settings={**tiktok.source.settings, "accounts": accounts})
    stream = connector_of(source).declared(source, SPEND)
    first, second = (budget_of(stream, one, tiktok.home) for one in stream.accounts)
    first.take(1.0)
    assert {used for _, used in second.used()} == {1}
    first.pause(60.0)
    with pytest.raises(RateLimitedError):
        second.take(1.0)


def test_a_report_that_is_too_large_is_asked_for_by_campaigns(tiktok, monkeypatch):
    day, shown = tiktok.few_days(SPEND)[0], tiktok.sandbox.served[tiktok.name]
    rows = shown._rows[SPEND]
    others = [{**row, "campaign_id": f"{row['campaign_id']}7", "ad_id": f"{row['ad_id']}9"} for row in rows]
    monkeypatch.setitem(shown._rows, SPEND, [*rows, *others])
    tiktok.fault("too_large")
    tiktok.pull(tiktok.declared(SPEND), (day, day))
    assert spend_of(tiktok) == world_s(tiktok, day, day) and len({one["metrics"]["campaign_id"] for one in rows_of(tiktok)}) == 2
    levels = [(one["data_level"], "filtering" in one) for one in queries(tiktok)]
    assert levels == [("AUCTION_AD", False), ("AUCTION_CAMPAIGN", False), ("AUCTION_AD", True)]


def test_a_campaign_s_report_that_is_too_large_is_an_error_and_lands_nothing(tiktok):
    large = json.dumps({"code": 40067, "message": "too large", "data": {}}).encode()
    tiktok.line.changed = lambda content: large if b'"ad_id"' in content else content
    with pytest.raises(FailedStreamsError) as failed:
        tiktok.pull(tiktok.declared(SPEND), (tiktok.few_days(SPEND)[0],) * 2)
    assert all(isinstance(one, TooMuchDataError) for some in failed.value.failures.values() for one in some) and not tiktok.lines(SPEND)
    assert len(tiktok.asked()) == 3


def test_campaigns_that_were_deleted_are_landed_with_their_state(tiktok, monkeypatch):
    shown = tiktok.sandbox.served[tiktok.name]
    first = shown._rows[CAMPAIGNS][-1]
    deleted = {**first, "status": "deleted", "updated_at": f"{tiktok.world.last}T00:00:00.000Z"}
    monkeypatch.setitem(shown._rows, CAMPAIGNS, [*shown._rows[CAMPAIGNS], deleted])
    tiktok.pull(tiktok.declared(CAMPAIGNS), (tiktok.world.last, tiktok.world.last))
    states = {one["campaign_id"]: one["secondary_status"] for one in rows_of(tiktok, CAMPAIGNS)}
    assert states[first["campaign_id"]] == "CAMPAIGN_STATUS_DELETE" and len(states) == len(shown.newest(CAMPAIGNS, "campaign_id"))


def test_another_advertiser_is_a_matter_of_the_connection(tiktok):
    (name, account), *_ = tiktok.source.settings["accounts"].items()
    accounts = {name: {**account, "advertiser_id": "1"}}
    source = dataclasses.replace(tiktok.source, settings={**tiktok.source.settings, "accounts": accounts})
    with pytest.raises(FailedStreamsError, match=r"40001.*look at connection tiktok_ads_main"):
        tiktok.pull(dataclasses.replace(source, streams=tiktok.declared(SPEND).streams), (tiktok.world.last, tiktok.world.last))

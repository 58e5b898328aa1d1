"""Meta: figures by reports that are waited for, days as last restated, what an error means by its code, and campaigns to the last page."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.kernel import jobs as kernel_jobs
from connectors.kernel.errors import CredentialsError, RefusedRequestError, TemporaryError
from connectors.sandbox.apis import meta_ads as sandbox
from connectors.sources.meta_ads import CONNECTOR
from tests.connectors.sources.ads import FIRST, LAST, Account, account, make_world

# the days asked for, and the look-back before them
PULLED = FIRST - timedelta(days=28)
REPORT = {"limit": 500, "most_seconds": 3600, "fresh_seconds": 21600}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def meta(world, tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_jobs, "FIRST_WAIT", 0.01)
    monkeypatch.setattr("connectors.kernel.http.PAUSE_SECONDS", 0.01)
    with account(world, "meta_ads", tmp_path, monkeypatch) as found:
        yield found


def spend(meta: Account) -> dict[tuple[str, str], Decimal]:
    rows = [record["insight"] for record in meta.records("insights")]
    assert len({(row["date_start"], row["ad_id"]) for row in rows}) == len(rows)
    return {(row["date_start"], row["ad_id"]): Decimal(row["spend"]) for row in rows}


def test_weeks_are_two_reports_and_each_day_is_a_slice_of_its_own_to_the_cent(meta):
    counts = meta.pull("insights")
    assert counts.failures == [] and counts.landed == 28 and counts.files == 28 + 28
    assert meta.asked("POST") == 2 and spend(meta) == meta.spend()
    assert list(meta.newest("insights")) == [str(FIRST + timedelta(days=n)) for n in range(28)]
    assert [one.origin["path"] for one in meta.newest("insights").values()] == ["v25.0/act_200/insights"] * 28
    one = meta.records("insights")[0]
    # the lists of actions as they came, and what alone says the currency and whose days they are
    assert {action["action_type"] for action in one["insight"]["actions"]} == {"link_click", *sandbox.PURCHASES}
    assert one["account"] == {"id": "act_200", "currency": "GBP", "timezone_name": "Europe/London"}


def test_results_are_read_page_by_page_to_the_last_row(meta):
    meta.changed = {"insights": {"report": {**REPORT, "limit": 7}}}
    assert meta.pull("insights").failures == [] and spend(meta) == meta.spend()
    assert meta.asked("/insights") - meta.asked("POST") == -(-len(meta.spend()) // 7) + 1


def test_complaint_4_figures_are_not_frozen_low_because_days_are_read_again_for_as_long_as_they_are_restated(meta):
    meta.sandbox.now = datetime(2026, 11, 8, tzinfo=UTC)
    day = date(2026, 11, 7)
    meta.pull("insights", day, day, is_named=False)
    before = spend(meta)
    assert before == meta.spend(last=day)
    meta.restate("2026-10-26", "2026-11-20")
    meta.sandbox.now = datetime(2026, 11, 21, tzinfo=UTC)
    counts = meta.pull("insights", LAST, LAST, is_named=False)
    after = spend(meta)
    assert after == meta.spend() and {key[0] for key in before if after[key] == before[key] + 1} == {"2026-10-26"}
    # what says the same again is not landed again
    assert counts.skipped and meta.pull("insights", LAST, LAST, is_named=False).landed == 0


def test_a_restated_day_is_replaced_whole_and_one_without_figures_any_more_lands_empty(meta):
    meta.pull("insights")
    rows = meta.sandbox.served["meta_ads"].rows("ad_spend")
    kept = [row for row in rows if row["spend_date"] != "2026-11-02"]
    rest = [row for row in kept if (row["spend_date"], row["ad_id"]) != ("2026-11-03", min(row["ad_id"] for row in rows))]
    meta.sandbox.served["meta_ads"]._rows["ad_spend"] = rest
    counts = meta.pull("insights")
    assert counts.landed == 2 and meta.newest("insights")["2026-11-02"].records == 0 and spend(meta) == meta.spend()


def test_complaint_5_a_report_that_the_vendor_gives_up_is_asked_for_again_three_times_and_no_more(meta):
    meta.fault(r"/\d+$", "job_failed", 2)
    assert meta.pull("insights", LAST, LAST).failures == [] and meta.asked("POST") == 3
    meta.sandbox.asked.clear()
    meta.fault(r"/\d+$", "job_failed", 9)
    (error,) = meta.pull("insights", FIRST, FIRST).failures
    assert isinstance(error, kernel_jobs.FailedJobError) and error.exit_code == 4 and "Job Failed" in str(error)
    assert meta.asked("POST") == kernel_jobs.MOST_JOBS


def test_complaint_5_a_report_that_takes_too_long_is_waited_for_by_the_next_pull_and_not_asked_for_again(meta):
    meta.fault(r"/\d+$", "job_stuck", 10_000)
    meta.changed = {"insights": {"report": {**REPORT, "most_seconds": 0.05}}}
    (error,) = meta.pull("insights", LAST, LAST).failures
    assert isinstance(error, TemporaryError) and "the next pull waits on" in str(error)
    meta.sandbox.faults.clear()
    meta.changed = {}
    assert meta.pull("insights", LAST, LAST).failures == [] and meta.asked("POST") == 1
    # once it is landed nothing of it is kept
    assert json.loads((meta.home / "state/jobs/meta_ads/main/insights.json").read_bytes()) == {}


def test_complaint_5_a_pull_that_was_killed_finds_its_report_again(meta, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("connectors.kernel.landing.Landing.land_records", killed)
        with pytest.raises(Killed):
            meta.pull("insights", LAST, LAST)
    assert meta.pull("insights", LAST, LAST).failures == [] and meta.asked("POST") == 1
    assert spend(meta).items() >= meta.spend(LAST, LAST).items()


def test_complaint_5_too_many_calls_are_waited_out_and_say_so_as_a_bad_request(meta):
    meta.fault("/act_200/insights", "429")
    meta.fault("/act_200/insights", "429_bare")
    assert meta.pull("insights", LAST, LAST).failures == [] and meta.asked("POST") == 3


def test_a_new_report_that_is_not_there_yet_is_waited_for_and_one_that_is_gone_is_asked_for_again(meta):
    meta.fault(r"/\d+$", "missing", 2)
    assert meta.pull("insights", LAST, LAST).failures == [] and meta.asked("POST") == 1
    meta.sandbox.asked.clear()
    meta.fault(r"/\d+$", "missing", 5)
    assert meta.pull("insights", FIRST, FIRST).failures == [] and meta.asked("POST") == 2


def test_complaint_6_too_much_data_is_asked_for_in_fewer_days(meta):
    meta.fault("/act_200/insights", "too_much", 2)
    assert meta.pull("insights").failures == [] and spend(meta) == meta.spend()
    # 28 days, 14, 7 and 7, the other 14, and the 28 before them
    assert meta.asked("POST") == 6


def test_complaint_6_a_day_that_is_too_much_is_asked_for_by_campaign_and_ad_set(meta):
    meta.changed = {"insights": {"lookback": "0d"}}
    meta.fault("/act_200/insights", "too_much")
    meta.fault("/120210000000021/insights", "too_much")
    assert meta.pull("insights", LAST, LAST).failures == [] and spend(meta) == meta.spend(LAST, LAST)
    assert meta.asked("POST /meta_ads/v25.0/12021000000002110/insights") == 1
    assert json.loads((meta.home / "state/jobs/meta_ads/main/insights.json").read_bytes()) == {}


def test_complaint_6_pages_that_are_too_large_are_asked_for_in_smaller_ones(meta):
    meta.fault(r"/\d+/insights", "reduce", 3)
    assert meta.pull("insights").failures == [] and spend(meta) == meta.spend() and meta.asked("POST") == 2


def test_complaint_6_totals_are_those_of_ads_manager_which_no_breakdown_of_actions_gives(meta):
    meta.pull("insights")
    rows = list(meta.sandbox.served["meta_ads"].spend(str(FIRST), str(LAST)))
    insights = [record["insight"] for record in meta.records("insights")]
    for key, name in (("actions", "conversions"), ("action_values", "conversion_value")):
        bought = [action["value"] for one in insights for action in one[key] if action["action_type"] == "omni_purchase"]
        assert sum(map(Decimal, bought)) == sum(Decimal(row[name]) for row in rows) > 0


@pytest.mark.parametrize(
    ("kind", "error"),
    [("expired", CredentialsError), ("unpermitted", CredentialsError), ("missing", CredentialsError), ("sunset", RefusedRequestError)],
)
def test_an_error_is_told_by_its_code_and_what_only_a_person_mends_is_asked_once(meta, kind, error):
    meta.fault("/act_200$", kind, 9)
    (found,) = meta.pull("insights", LAST, LAST).failures
    assert isinstance(found, error) and meta.asked("/act_200") == 1


def test_a_passing_error_that_comes_as_a_bad_request_is_tried_again(meta):
    meta.fault("/campaigns", "transient")
    assert meta.pull("campaigns").failures == [] and meta.asked("/campaigns") == 2


BUSINESS = {"call_count": 10, "total_cputime": 96, "total_time": 5, "type": "ads_insights", "estimated_time_to_regain_access": 0}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"x-app-usage": '{"call_count":95,"total_time":25,"total_cputime":25}'}, 0),
        ({"x-app-usage": '{"call_count":96,"total_time":25,"total_cputime":25}'}, 60),
        ({"x-business-use-case-usage": json.dumps({"1": [BUSINESS | {"total_cputime": 1}], "2": [BUSINESS]})}, 60),
        ({"x-business-use-case-usage": json.dumps({"1": [BUSINESS | {"estimated_time_to_regain_access": 19}]})}, 19 * 60),
        ({"x-ad-account-usage": '{"acc_id_util_pct":99.5,"reset_time_duration":7}', "x-app-usage": '{"call_count":3}'}, 7),
        ({"x-fb-ads-insights-throttle": '{"app_id_util_pct":100,"acc_id_util_pct":10}'}, 60),
        ({"x-app-usage": "soon"}, 0),
        ({"x-app-usage": "[1]"}, 0),
        ({"x-app-usage": '{"call_count":"many"}'}, 0),
    ],
)
def test_beyond_95_percent_of_a_limit_nobody_asks_until_it_is_regained(headers, seconds):
    assert CONNECTOR.pause(headers) == seconds


def test_campaigns_come_to_the_last_page_with_those_that_were_deleted(meta):
    served = meta.sandbox.served["meta_ads"]
    one = served.newest("campaigns", "campaign_id")[0]
    served.add(
        "campaigns",
        *({**one, "campaign_id": str(9000 + n), "status": status} for n, status in enumerate(("deleted", "archived", "paused"))),
    )
    meta.changed = {"campaigns": {"params": {**meta.source.streams["campaigns"]["params"], "limit": 2}}}
    assert meta.pull("campaigns", is_named=False).failures == []
    ids = [record["campaign"]["id"] for record in meta.records("campaigns")]
    assert sorted(ids) == ["120210000000021", "120210000000022", "9000", "9001", "9002"] and meta.asked("/campaigns") == 3


def test_a_campaign_is_landed_again_when_it_was_changed_and_one_at_the_cursor_is_not_missed(meta):
    meta.pull("campaigns", is_named=False)
    cursor = datetime.fromisoformat(json.loads((meta.home / "state/cursors/meta_ads/main/campaigns.json").read_bytes())["cursor"])
    meta.sandbox.now = cursor + timedelta(days=1)
    served = meta.sandbox.served["meta_ads"]
    one = served.newest("campaigns", "campaign_id")[0]
    served.add("campaigns", {**one, "name": "renamed", "updated_at": cursor.strftime("%Y-%m-%dT%H:%M:%S.000Z")})
    meta.pull("campaigns", is_named=False)
    assert [record["campaign"]["name"] for record in meta.records("campaigns")].count("renamed") == 1


def test_days_are_those_of_the_account_s_time_zone(meta):
    stream = meta.api.declared(meta.source, "insights")
    assert stream.shape_of(stream.accounts[0]).zone == "Europe/London" and stream.shape.lookback == timedelta(days=28)


def test_a_check_makes_no_report_and_a_try_of_a_few_records_is_one(meta):
    found = meta.api.check_stream(meta.api.declared(meta.source, "insights"))
    assert found.said == "account main answers, with 1 records on a page" and meta.asked("POST") == 0
    assert meta.pull("insights", LAST, LAST, limit=3).records == 3


def test_no_secret_is_landed_or_said(meta):
    meta.fault("/campaigns", "expired")
    meta.changed = {"insights": {"report": {**REPORT, "limit": 7}}}
    failures = meta.pull("insights").failures + meta.pull("campaigns").failures
    # it stands in the address of the next page too
    assert len(failures) == 1 and sandbox.TOKEN not in str(failures[0]) and sandbox.TOKEN.encode() not in meta.said()


def test_the_version_stands_in_the_path(meta):
    newer = dataclasses.replace(meta.source, api_version="v26.0")
    assert meta.api.check_stream(meta.api.declared(newer, "campaigns")) and meta.asked("/meta_ads/v26.0/act_200/campaigns") == 1

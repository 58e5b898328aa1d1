"""Google Analytics 4: rows to the last that it counted, and what its figures lack is said."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from conf.settings import source
from connectors.kernel.errors import BrokenContractError, FailedStreamsError
from connectors.kernel.http import Answer, Call
from connectors.kernel.paginate import Page
from connectors.sandbox.apis import ga4 as sandbox_ga4, server
from connectors.sources.ga4 import CONNECTOR, by_rows
from tests.connectors.sources.pulled import LAST, NOW, envelopes, make_world, payloads, pull, restate

ONE_DAY = {"ad_cost": {"lookback": "0d"}}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def there(rows, home, monkeypatch):
    with server.serving(rows, NOW) as sandbox:
        for name, value in sandbox.connections().items():
            monkeypatch.setenv(name, value)
        yield sandbox


def cost_of(home):
    """By day, campaign and ad the cost and the clicks."""
    found = {}
    for record in payloads(home, "ga4", "ad_cost"):
        day, campaign, _, _, ad = (one["value"] for one in record["row"]["dimensionValues"])
        cost, clicks, _ = (one["value"] for one in record["row"]["metricValues"])
        assert found.setdefault((f"{day[:4]}-{day[4:6]}-{day[6:]}", campaign, ad), (Decimal(cost), int(clicks))) == (
            Decimal(cost),
            int(clicks),
        )
    return found


def true_cost(sandbox, first="2026-10-24", last="2026-11-20"):
    every = sandbox.served["ga4"].spend(first, last)
    return {(row["spend_date"], row["campaign_id"], row["ad_id"]): (Decimal(row["spend"]), int(row["clicks"])) for row in every}


def small_pages(rows):
    return {"ad_cost": {"body": {**source("ga4").streams["ad_cost"]["body"], "limit": rows}}}


def test_all_rows_are_there_whatever_the_page_and_none_twice(there, home):
    counts = pull("ga4", home, more=small_pages(1))
    assert cost_of(home) == true_cost(there) and counts["ad_cost"].records == len(true_cost(there))
    # the last page is known by the count: no call for an empty one
    days = {day for day, *_ in true_cost(there)}
    assert there.asked.count("POST /ga4/v1beta/properties/300000000:runReport") == counts["ad_cost"].records + 31 - len(days)


def test_a_report_that_ends_before_its_count_or_comes_twice_is_refused_and_not_landed(there, home):
    short = Answer(200, {}, b'{"rowCount": 3}', "POST x", "x")
    with pytest.raises(BrokenContractError, match="gives 2 of 3 rows"):
        by_rows(Call("x", body={"offset": 2}), short, 0)
    assert (
        by_rows(Call("x", body={"limit": 2}), short, 2) == Call("x", body={"limit": 2, "offset": 2})
        and by_rows(Call("x"), short, 3) is None
    )
    busy = date(2026, 11, 10)
    assert len(true_cost(there, str(busy), str(busy))) > 1
    there.faults += [server.Fault("ga4", "runReport", "none"), server.Fault("ga4", "runReport", "repeat")]
    more = {"ad_cost": {**small_pages(1)["ad_cost"], **ONE_DAY["ad_cost"]}}
    with pytest.raises(FailedStreamsError, match="is the one before once more"):
        pull("ga4", home, more=more, first_day=busy, last_day=busy)
    assert not envelopes(home, "ga4", "ad_cost")


def test_complaint_4_cost_that_is_restated_replaces_its_day_whole(there, home):
    there.now = datetime(2026, 11, 2, tzinfo=UTC)
    pull("ga4", home, first_day=date(2026, 11, 1), last_day=date(2026, 11, 1))
    early = cost_of(home)
    assert early == true_cost(there, last="2026-11-01")
    there.now = NOW
    restate(there, "ga4", "2026-11-01")
    pull("ga4", home)
    assert cost_of(home) == true_cost(there)
    day = [key for key in early if key[0] == "2026-11-01"]
    assert {cost_of(home).get(key, (0, 0))[0] for key in day} == {0, Decimal("99.990001")}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"samplingMetadatas": [{"samplesReadCount": "500", "samplingSpaceSize": "90000"}]}, "sampled: 500 of 90000 events were read"),
        ({"dataLossFromOtherRow": True}, "thrown together in a row (other)"),
        ({"subjectToThresholding": True}, "rows of few people are left out (thresholding)"),
    ],
)
def test_complaint_14_sampling_other_rows_and_thresholds_are_said_and_kept(there, home, monkeypatch, metadata, said):
    monkeypatch.setattr(sandbox_ga4, "METADATA", metadata)
    told: list[str] = []
    pull("ga4", home, said=told, more=ONE_DAY)
    (line,) = remarks(told)
    assert line.startswith(f"ga4.ad_cost (main): {LAST}: ") and said in line and "fewer dimensions" in line
    (key,) = metadata
    assert all(record["metadata"][key] == metadata[key] for record in payloads(home, "ga4", "ad_cost")) and payloads(home, "ga4", "ad_cost")


def test_a_row_other_is_said_where_the_head_says_nothing_and_whole_figures_need_no_word(there, home):
    told: list[str] = []
    there.served["ga4"].add(
        "ad_spend", {**next(there.served["ga4"].spend(str(LAST), str(LAST))), "campaign_id": "(other)", "ad_id": "(other)"}
    )
    pull("ga4", home, said=told, more=ONE_DAY)
    assert len(remarks(told)) == 1 and "(other)" in remarks(told)[0]
    pull("ga4", home, said=told, more=ONE_DAY, first_day=date(2026, 11, 10), last_day=date(2026, 11, 10))
    assert len(remarks(told)) == 1


def remarks(told):
    """What is said of figures, without the calls that every pull says."""
    return [line for line in told if " calls, " not in line]


def test_few_tokens_are_said():
    stream = CONNECTOR.declared(source("ga4"), "ad_cost")
    answer = Answer(200, {}, b'{"propertyQuota": {"tokensPerHour": {"remaining": 12}, "tokensPerDay": {"remaining": 5000}}}', "", "")
    assert CONNECTOR.remark(stream, Page(1, answer, ())) == "12 tokensPerHour are left"


def test_columns_in_another_order_are_refused(there, home):
    stream = CONNECTOR.declared(source("ga4"), "ad_cost")
    answer = Answer(200, {}, b'{"dimensionHeaders": [{"name": "country"}], "metricHeaders": []}', "POST x", "x")
    with pytest.raises(BrokenContractError, match="country"):
        list(CONNECTOR.records(stream, stream.accounts[0], Page(1, answer, (b"{}",))))


@pytest.mark.parametrize("kind", ["429", "500"])
def test_what_passes_is_asked_again(there, home, kind):
    there.faults.append(server.Fault("ga4", "runReport", kind))
    pull("ga4", home, more=ONE_DAY)
    assert cost_of(home) == true_cost(there, str(LAST))


@pytest.mark.parametrize("kind", ["expired", "denied", "sunset"])
def test_what_only_a_person_can_mend_is_said_without_secrets(there, home, kind):
    there.faults.append(server.Fault("ga4", "runReport", kind, 99))
    with pytest.raises(FailedStreamsError) as error:
        pull("ga4", home, more=ONE_DAY)
    assert error.value.exit_code == 2 and not [one for one in (*sandbox_ga4.CLIENT[1:], sandbox_ga4.TOKEN) if one in str(error.value)]


def test_a_property_is_asked_no_more_than_ten_things_at_once_and_few_times_after_faults(there):
    stream = CONNECTOR.declared(source("ga4"), "ad_cost")
    client = CONNECTOR.client(stream, stream.accounts[0])
    assert client.budget is not None and client.budget.at_once == 10 and client.tries == 3

"""LinkedIn: analytics without pages, in Restli's words, never cut in silence; days as last restated; campaigns page by page."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.kernel.errors import CredentialsError, RateLimitedError, RefusedRequestError, TooMuchDataError
from connectors.sandbox.apis import linkedin_ads as sandbox
from tests.connectors.sources.ads import FIRST, LAST, Account, account, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def linkedin(world, tmp_path, monkeypatch):
    monkeypatch.setattr("connectors.kernel.http.PAUSE_SECONDS", 0.01)
    with account(world, "linkedin_ads", tmp_path, monkeypatch) as found:
        yield found


def spend(linkedin: Account) -> dict[tuple[str, str], Decimal]:
    found = {}
    for record in linkedin.records("analytics"):
        first = record["elements"][0]
        on, ad = first["dateRange"]["start"], first["pivotValues"][1].removeprefix("urn:li:sponsoredCreative:")
        key = f"{on['year']}-{on['month']:02d}-{on['day']:02d}", ad
        assert key not in found and first["pivotValues"][0] == "urn:li:sponsoredCampaign:600000024"
        found[key] = next(
            (Decimal(part["costInLocalCurrency"]) for part in record["elements"] if "costInLocalCurrency" in part), Decimal(0)
        )
    return found


def test_weeks_are_two_calls_and_each_day_is_a_slice_of_its_own_to_the_cent(linkedin):
    counts = linkedin.pull("analytics")
    assert counts.failures == [] and linkedin.asked("/adAnalytics") == 2 and spend(linkedin) == linkedin.spend() != {}
    assert list(linkedin.newest("analytics")) == sorted({day for day, _ in linkedin.spend()})
    assert linkedin.records("analytics")[0]["account"]["currency"] == "GBP"


def test_complaint_4_figures_are_not_frozen_low_because_days_are_read_again_for_as_long_as_they_are_restated(linkedin):
    linkedin.sandbox.now = datetime(2026, 11, 12, tzinfo=UTC)
    day = date(2026, 11, 11)
    linkedin.pull("analytics", day, day, is_named=False)
    before = spend(linkedin)
    assert before == linkedin.spend(last=day)
    linkedin.restate("2026-11-05", "2026-11-20")
    linkedin.sandbox.now = datetime(2026, 11, 21, tzinfo=UTC)
    counts = linkedin.pull("analytics", LAST, LAST, is_named=False)
    after = spend(linkedin)
    assert after == linkedin.spend() and {key[0] for key in before if after[key] == before[key] + 1} == {"2026-11-05"}
    assert counts.skipped and linkedin.pull("analytics", LAST, LAST, is_named=False).landed == 0


def test_complaint_15_calls_do_not_grow_with_campaigns_but_with_fields_beyond_what_one_may_name(linkedin):
    served = linkedin.sandbox.served["linkedin_ads"]
    rows = list(served.spend(str(FIRST), str(LAST)))
    more = [{**row, "campaign_id": f"60000003{n}", "ad_id": f"60000003{n}1"} for row in rows for n in range(9)]
    served.add("ad_spend", *more)
    fields = [*linkedin.source.streams["analytics"]["fields"], "likes", "shares", "comments", "follows", "reactions", "videoViews", "opens"]
    fields += ["sends", "textUrlClicks", "cardClicks", "cardImpressions", "viralImpressions"]
    linkedin.changed = {"analytics": {"fields": tuple(fields)}}
    assert len(fields) == 20 and linkedin.pull("analytics").failures == []
    assert linkedin.asked("/adAnalytics") == 2 * 2 and len(linkedin.records("analytics")) == len(rows) * 10


def test_complaint_15_what_several_calls_say_of_an_ad_and_day_stands_together_though_one_leaves_it_out(linkedin):
    # the first call's fields are all 0, of which LinkedIn tells nothing; the second one's are not
    fields = ("likes", "shares", "comments", "impressions", "costInLocalCurrency")
    linkedin.changed = {"analytics": {"fields": fields, "most_fields": 5}}
    linkedin.pull("analytics")
    assert spend(linkedin) == linkedin.spend() and linkedin.asked("/adAnalytics") == 4
    linkedin.changed = {"analytics": {"fields": ("impressions", "clicks", "costInLocalCurrency"), "most_fields": 4}}
    linkedin.pull("analytics")
    parts = [[sorted(part)[0] for part in record["elements"]] for record in linkedin.records("analytics")]
    assert spend(linkedin) == linkedin.spend() and all(one == ["clicks", "costInLocalCurrency"] for one in parts if len(one) == 2)


def test_an_answer_that_may_have_been_cut_is_asked_for_in_fewer_days(linkedin, monkeypatch):
    monkeypatch.setattr(sandbox, "MOST_ELEMENTS", 4)
    linkedin.changed = {"analytics": {"most_elements": 4}}
    assert linkedin.pull("analytics").failures == [] and spend(linkedin) == linkedin.spend() and linkedin.asked("/adAnalytics") > 5


def test_a_day_that_may_have_been_cut_fails_and_lands_nothing(linkedin, monkeypatch):
    monkeypatch.setattr(sandbox, "MOST_ELEMENTS", 1)
    linkedin.changed = {"analytics": {"most_elements": 1, "lookback": "0d"}}
    (error,) = linkedin.pull("analytics", LAST, LAST).failures
    assert isinstance(error, TooMuchDataError) and "beyond which LinkedIn cuts" in str(error) and linkedin.newest("analytics") == {}


def test_restli_s_signs_are_not_escaped_and_those_within_a_urn_are(linkedin, monkeypatch):
    asked = []
    kept = sandbox._query
    monkeypatch.setattr(sandbox, "_query", lambda request: asked.append(request.url.query) or kept(request))
    linkedin.pull("analytics", date(2026, 11, 20), date(2026, 11, 20))
    (query,) = asked
    assert "pivots=List(CAMPAIGN,CREATIVE)&timeGranularity=(value:DAILY)&accounts=List(urn%3Ali%3AsponsoredAccount%3A220)" in query
    assert (
        "&dateRange=(start:(year:2026,month:10,day:21),end:(year:2026,month:11,day:20))&fields=dateRange,pivotValues,impressions," in query
    )


def test_campaigns_come_to_the_last_page_with_those_that_were_removed(linkedin):
    served = linkedin.sandbox.served["linkedin_ads"]
    one = served.newest("campaigns", "campaign_id")[0]
    served.add(
        "campaigns",
        *({**one, "campaign_id": str(9000 + n), "status": status} for n, status in enumerate(("removed", "archived", "paused"))),
    )
    linkedin.changed = {"campaigns": {"params": {**linkedin.source.streams["campaigns"]["params"], "pageSize": 2}}}
    assert linkedin.pull("campaigns", is_named=False).failures == []
    ids = sorted(record["campaign"]["id"] for record in linkedin.records("campaigns"))
    assert ids == [9000, 9001, 9002, 600000024] and linkedin.asked("/adCampaigns") == 2


def test_of_all_campaigns_only_those_that_were_changed_since_are_landed(linkedin):
    linkedin.pull("campaigns", is_named=False)
    cursor = datetime.fromisoformat(json.loads((linkedin.home / "state/cursors/linkedin_ads/main/campaigns.json").read_bytes())["cursor"])
    assert linkedin.pull("campaigns", is_named=False).landed == 0
    linkedin.sandbox.now = cursor + timedelta(days=1)
    served = linkedin.sandbox.served["linkedin_ads"]
    one = served.newest("campaigns", "campaign_id")[0]
    served.add("campaigns", {**one, "name": "renamed", "updated_at": (cursor - timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%S.000Z")})
    linkedin.pull("campaigns", is_named=False)
    assert [record["campaign"]["name"] for record in linkedin.records("campaigns")] == ["office-gifts", "renamed"]


def test_an_access_token_is_fetched_once_and_anew_when_it_has_expired(linkedin):
    linkedin.pull("analytics")
    linkedin.fault("/adAnalytics", "expired")
    assert linkedin.pull("analytics").failures == [] and linkedin.asked("/oauth/v2/accessToken") == 2


@pytest.mark.parametrize(("kind", "error"), [("denied", CredentialsError), ("sunset", RefusedRequestError)])
def test_an_error_that_only_a_person_mends_is_asked_once(linkedin, kind, error):
    linkedin.fault("/adAccounts/220$", kind, 9)
    (found,) = linkedin.pull("analytics", LAST, LAST).failures
    # whom it tells nothing it would tell that there are no figures
    assert (isinstance(found, error) and linkedin.asked("/adAnalytics") == 0 and kind != "sunset") or "426" in str(found)


def test_too_many_calls_of_a_day_are_said_as_what_passes(linkedin, monkeypatch):
    linkedin.fault("/adAnalytics", "429")
    assert linkedin.pull("analytics", LAST, LAST).failures == []
    monkeypatch.setattr("connectors.kernel.http.Client._enough", lambda _: lambda _: True)
    linkedin.fault("/adAnalytics", "429", 99)
    (error,) = linkedin.pull("analytics", LAST, LAST).failures
    assert isinstance(error, RateLimitedError) and error.exit_code == 4


def test_no_secret_is_landed_or_said(linkedin):
    linkedin.fault("/adCampaigns", "denied", 9)
    linkedin.pull("analytics")
    (error,) = linkedin.pull("campaigns").failures
    tokens = linkedin.home / "state" / "tokens.sqlite"
    kept = [one for one in linkedin.home.rglob("tokens.sqlite*")]
    assert tokens.stat().st_mode & 0o077 == 0
    for one in kept:
        one.unlink()
    for secret in (sandbox.SECRET, sandbox.REFRESH, sandbox.ACCESS):
        assert secret not in str(error) and secret.encode() not in linkedin.said()

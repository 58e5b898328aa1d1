"""Touchpoints: which contacts count, whose they are, and whether they were allowed."""

import datetime as dt
from decimal import Decimal

import pytest

from conf.settings import rules
from spark_jobs.journeys.touchpoints import collect_touchpoints

SESSIONS = (
    "session_id STRING, person_id STRING, source STRING, session_date DATE, started_at TIMESTAMP, page_views INT, channel STRING, "
    "campaign_id STRING, utm_campaign STRING, is_bot BOOLEAN, campaign_name STRING, ad_group_id STRING, ad_id STRING, channel_rule STRING, has_consent BOOLEAN"
)
EVENTS = (
    "event_id STRING, event_at TIMESTAMP, source STRING, event_name STRING, "
    "identifiers ARRAY<STRUCT<namespace STRING, identifier_key STRING>>, channel STRING, campaign_id STRING, campaign_name STRING, "
    "utm_campaign STRING, ad_group_id STRING, ad_id STRING, is_bot BOOLEAN, device_type STRING, channel_rule STRING, consent MAP<STRING, BOOLEAN>"
)
SPEND = (
    "campaign_id STRING, ad_id STRING, spend_date DATE, account_time_zone STRING, impressions BIGINT, clicks BIGINT, "
    "reporting_amount DECIMAL(18,2), source STRING, account_id STRING, channel STRING"
)
CONSENTS = "identifier_key STRING, purpose STRING, valid_from TIMESTAMP, valid_to TIMESTAMP, is_granted BOOLEAN"
MAP = "identifier_key STRING, namespace STRING, person_id STRING, valid_from TIMESTAMP, valid_to TIMESTAMP"
NOON = dt.datetime(2026, 1, 5, 12)
HOUR, TODAY = dt.timedelta(hours=1), NOON.date()


def visit(
    session_id,
    channel="Email",
    page_views=1,
    started_at=NOON,
    person="P",
    bot=False,
    campaign_id=None,
    utm_campaign=None,
    ad_id=None,
    consent=None,
):
    return (
        session_id,
        person,
        "site",
        started_at.date(),
        started_at,
        page_views,
        channel,
        campaign_id,
        utm_campaign,
        bot,
        None,
        None,
        ad_id,
        "5:manual",
        consent,
    )


def event(event_id, name, channel="Direct", key="e", campaign_id=None, ad_id=None, device=None, consent=None):
    return (
        event_id,
        NOON,
        "crm",
        name,
        [("email", key)],
        channel,
        campaign_id,
        None,
        None,
        None,
        ad_id,
        False,
        device,
        "1:direct",
        consent,
    )


def spend(amount, clicks=0, impressions=0, campaign_id="9", ad_id="", day=TODAY, zone="UTC", account=("ads", "a"), channel=None):
    return (campaign_id, ad_id, day, zone, impressions, clicks, None if amount is None else Decimal(amount), *account, channel)


def answer(granted, since, until=None, key="e", purpose="marketing"):
    return (key, purpose, since, until, granted)


@pytest.fixture
def touches_of(spark):
    def touches_of(sessions=(), events=(), consents=(), spent=()):
        found = collect_touchpoints(
            spark.createDataFrame(list(sessions), SESSIONS),
            spark.createDataFrame(list(events), EVENTS),
            spark.createDataFrame(list(consents), CONSENTS),
            spark.createDataFrame(list(spent), SPEND),
            spark.createDataFrame([("e", "email", "P", NOON, None), ("f", "email", "P", NOON, None)], MAP),
            rules("journeys"),
        )
        return sorted(found.collect(), key=lambda t: t.session_id or t.event_id)

    return touches_of


def test_visits_count_direct_ones_too_but_not_direct_ones_that_saw_nothing(touches_of):
    found = touches_of([visit("s1"), visit("s2", "Direct"), visit("s3", "Direct", page_views=0), visit("s4", "Paid Search", page_views=0)])
    assert [(t.session_id, t.channel, t.interaction, t.event_id) for t in found] == [
        ("s1", "Email", "visit", None), ("s2", "Direct", "visit", None), ("s4", "Paid Search", "visit", None),
    ]  # fmt: skip


def test_declared_events_count_with_their_person_and_others_do_not(touches_of):
    events = [
        event("1", "email_clicked"),
        event("2", "mailing_sent", campaign_id="26"),
        event("3", "email_bounced"),
        event("4", "email_opened", key="?"),
    ]
    assert [(t.event_id, t.interaction, t.channel, t.person_id, t.campaign_id, t.touch_date) for t in touches_of(events=events)] == [
        ("1", "click", "Email", "P", None, NOON.date()),
        ("2", "mailing", "Direct Mail", "P", "26", NOON.date()),
        ("4", "open", "Email", None, None, NOON.date()),
    ]


def test_an_events_own_tags_win_over_the_declared_channel(touches_of):
    found = touches_of(events=[event("1", "ad_clicked", "Paid Social"), event("2", "ad_clicked", "Unassigned")])
    assert [(t.channel, t.channel_rule) for t in found] == [("Paid Social", "1:direct"), ("Paid Other", "touchpoint")]


def test_the_tag_names_the_campaign_when_the_platform_does_not(touches_of):
    found = touches_of([visit("s1", campaign_id="9", utm_campaign="spring"), visit("s2", utm_campaign="spring")])
    assert [(t.campaign_id, t.campaign_name) for t in found] == [("9", "spring"), ("spring", "spring")]


def test_consent_is_the_one_in_force_at_touch_time_half_open(touches_of):
    visits = [visit("s1", started_at=NOON - HOUR), visit("s2", started_at=NOON), visit("s3", started_at=NOON + HOUR)]
    consents = [answer(False, NOON, NOON + HOUR), answer(True, NOON + HOUR)]
    assert [t.has_consent for t in touches_of(visits, consents=consents)] == [True, False, True]


def test_one_refusal_of_any_identifier_is_a_refusal_and_another_purpose_is_none(touches_of):
    both = [answer(True, NOON - HOUR), answer(False, NOON - HOUR, key="f")]
    assert [t.has_consent for t in touches_of([visit("s1")], consents=both)] == [False]
    other = [answer(False, NOON - HOUR, purpose="analytics")]
    assert [t.has_consent for t in touches_of([visit("s1"), visit("s2", person=None)], consents=other)] == [True, True]


def test_what_the_contact_itself_refuses_is_refused_and_no_more_than_that(touches_of):
    yes, no = {"marketing": True, "analytics": False}, {"marketing": False}
    contacts = {
        "sessions": [visit("s1", consent=False), visit("s2", consent=True), visit("s3")],
        "events": [event("t1", "email_clicked", consent=no), event("t2", "email_clicked", consent=yes), event("t3", "email_clicked")],
    }
    assert [t.has_consent for t in touches_of(**contacts)] == [False, True, True] * 2
    assert {t.has_consent for t in touches_of(**contacts, consents=[answer(False, NOON - HOUR)])} == {False}


def test_a_crawlers_visit_is_flagged(touches_of):
    assert [t.is_bot for t in touches_of([visit("s1", bot=True), visit("s2")])] == [True, False]


def test_ids_are_of_the_session_or_the_event_alone(touches_of):
    one, two = touches_of([visit("x")], [event("x", "email_clicked")])
    assert one.touchpoint_id != two.touchpoint_id
    assert {len(t.touchpoint_id) for t in (one, two)} == {32}


def test_every_kind_of_contact_has_its_interaction_and_a_proxy_s_open_is_none(touches_of):
    names = ("ad_clicked", "ad_impressed", "ad_viewed", "email_clicked", "email_opened", "mailing_sent", "sms_clicked", "push_opened")
    events = [event(str(i), name) for i, name in enumerate(names)]
    events += [event("8", "email_opened", device="proxy"), event("9", "email_clicked", device="proxy")]
    assert [(t.event_id, t.interaction) for t in touches_of(events=events)] == [
        ("0", "click"), ("1", "view"), ("2", "engaged_view"), ("3", "click"), ("4", "open"), ("5", "mailing"), ("6", "click"), ("7", "click"), ("9", "click"),
    ]  # fmt: skip


def test_a_contact_costs_its_ad_s_spend_by_click_or_impression_else_its_campaign_s(touches_of):
    events = [event(str(i), name, campaign_id="9", ad_id="a") for i, name in enumerate(("ad_clicked", "ad_impressed", "email_opened"))]
    visits = [visit("s1", campaign_id="9", ad_id="?"), visit("s2", campaign_id="9"), visit("s3", campaign_id="8"), visit("s4")]
    spent = [spend("6.00", 4, 1000, ad_id="a"), spend("4.00", 1, 1000, ad_id="b"), spend(None, 9, 9, ad_id="c")]
    spent += [spend("5.00", 0, 10, campaign_id="8")]
    found = {t.session_id or t.event_id: t.cost_amount and str(t.cost_amount) for t in touches_of(visits, events, spent=spent)}
    assert found == {"0": "1.500000", "1": "0.006000", "2": None, "s1": "2.000000", "s2": "2.000000", "s3": None, "s4": None}


def test_the_day_of_a_cost_is_the_ad_account_s(touches_of):
    visits = [visit("s1", campaign_id="9", started_at=NOON), visit("s2", campaign_id="9", started_at=NOON + 3 * HOUR)]
    spent = [spend("1.00", 1, zone="Asia/Tokyo"), spend("3.00", 1, day=dt.date(2026, 1, 6), zone="Asia/Tokyo")]
    assert [str(t.cost_amount) for t in touches_of(visits, spent=spent)] == ["1.000000", "3.000000"]


BOTH = (("search", "a"), ("social", "a"), ("search", "b"))


@pytest.mark.parametrize("other", BOTH[1:])
def test_accounts_that_share_a_campaign_s_id_share_no_price(touches_of, other):
    visits = [visit("s1", "Paid Search", campaign_id="9"), visit("s2", "Paid Social", campaign_id="9"), visit("s3", campaign_id="9")]
    search = [spend("1.00", 1, account=BOTH[0], channel="Paid Search")]
    social = [spend("9.00", 1, account=other, channel="Paid Social", zone="Asia/Tokyo")]
    assert [str(t.cost_amount) for t in touches_of(visits, spent=search + social)] == ["1.000000", "9.000000", "None"]
    # nothing tells these apart
    unnamed = [spend("1.00", 1, account=BOTH[0]), spend("9.00", 1, account=other)]
    assert [t.cost_amount for t in touches_of(visits, spent=unnamed)] == [None] * 3
    # an ad that one of them has is its own; on another day there is one of them alone
    ads = [visit("s1", campaign_id="9", ad_id="x"), visit("s2", campaign_id="9", started_at=NOON - 24 * HOUR)]
    spent = [spend("1.00", 1, account=BOTH[0], ad_id="x"), *unnamed, spend("4.00", 2, account=other, day=TODAY - 24 * HOUR)]
    assert [str(t.cost_amount) for t in touches_of(ads, spent=spent)] == ["1.000000", "2.000000"]

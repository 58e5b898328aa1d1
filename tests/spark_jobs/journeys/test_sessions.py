"""Sessions: silence, campaigns, midnight and 24 hours; the same rows whatever the range."""

import datetime as dt
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from conf.settings import rules
from spark_jobs.journeys.sessions import JOB, sessionize_events

EVENTS = (
    "event_id STRING, event_date DATE, event_at TIMESTAMP, source STRING, event_type STRING, event_name STRING, "
    "identifiers ARRAY<STRUCT<namespace STRING, identifier_key STRING>>, page_path STRING, utm_source STRING, utm_medium STRING, "
    "utm_campaign STRING, click_id STRING, channel STRING, channel_rule STRING, campaign_id STRING, campaign_name STRING, ad_group_id STRING, ad_id STRING, "
    "device_type STRING, country STRING, is_bot BOOLEAN, bot_reason STRING, consent MAP<STRING,BOOLEAN>"
)
NAMES = [part.split()[0] for part in EVENTS.split(", ") if not part.startswith("identifier_key")]
MAP = "identifier_key STRING, namespace STRING, person_id STRING, valid_from TIMESTAMP, valid_to TIMESTAMP"
COOKIE, USER = ("site.anonymous_id", "cookie"), ("site.user_id", "user")
JAN_5 = dt.datetime(2026, 1, 5)


def at(hours=0, minutes=0, seconds=0, day=5):
    return dt.datetime(2026, 1, day) + dt.timedelta(hours=hours, minutes=minutes, seconds=seconds)


def view(event_at, **changes):
    row = dict.fromkeys(NAMES) | dict(
        event_id=f"{changes.get('identifiers')}{event_at}", event_date=event_at.date(), event_at=event_at, source="site", event_type="page",
        event_name="page_viewed", identifiers=[COOKIE], page_path="/", channel="Direct", is_bot=False,
    )  # fmt: skip
    return row | changes


@pytest.fixture
def sessions_of(spark):
    def sessions_of(events, first=1, last=31, known=(("cookie", "P"),)):
        """The sessions of January's days first..last, reading only what the job reads for that range."""
        opens = dt.date(2026, 1, first) - dt.timedelta(days=JOB.lookback_days)
        closes = dt.date(2026, 1, last) + dt.timedelta(days=JOB.lookahead_days)
        read = [tuple(e[n] for n in NAMES) for e in events if opens <= e["event_date"] <= closes]
        person_map = spark.createDataFrame([(key, "", person, JAN_5, None) for key, person in known], MAP)
        found = sessionize_events(spark.createDataFrame(read, EVENTS), person_map, rules("journeys")).collect()
        return sorted((s for s in found if first <= s.session_date.day <= last), key=lambda s: (s.started_at, s.session_id))

    return sessions_of


def starts(sessions):
    return [s.started_at for s in sessions]


def test_thirty_minutes_of_silence_do_not_end_a_session_and_a_second_more_does(sessions_of):
    assert starts(sessions_of([view(at(10)), view(at(10, 30))])) == [at(10)]
    assert starts(sessions_of([view(at(10)), view(at(10, 30, 1))])) == [at(10), at(10, 30, 1)]


def test_midnight_does_not_cut_and_the_session_belongs_to_the_day_it_began(sessions_of):
    [session] = sessions_of([view(at(23, 50)), view(at(24, 10))])
    assert (session.session_date, session.ended_at, session.events) == (dt.date(2026, 1, 5), at(24, 10), 2)


def test_a_new_campaign_starts_a_session_and_the_same_one_does_not(sessions_of):
    spring = dict(utm_source="news", utm_medium="email", utm_campaign="spring", channel="Email")
    events = [view(at(10)), view(at(10, 1), **spring), view(at(10, 2)), view(at(10, 3), **spring), view(at(10, 4), click_id="g1")]
    found = sessions_of(events)
    assert [(s.started_at, s.channel, s.utm_campaign, s.events) for s in found] == [
        (at(10), "Direct", None, 1), (at(10, 1), "Email", "spring", 3), (at(10, 4), "Direct", None, 1),
    ]  # fmt: skip


def test_who_comes_back_from_paying_is_in_the_session_that_paid(sessions_of):
    spring = dict(utm_source="news", utm_medium="email", utm_campaign="spring", channel="Email", channel_rule="15:manual")
    returned = view(at(10, 20), channel="Direct", channel_rule="1:direct", page_path="/thanks")
    [session] = sessions_of([view(at(10), **spring), view(at(10, 5)), returned])
    assert (session.channel, session.channel_rule, session.exit_path, session.events) == ("Email", "15:manual", "/thanks", 3)


def test_after_silence_the_same_campaign_starts_again(sessions_of):
    tagged = dict(utm_source="news", utm_campaign="spring", channel="Email")
    found = sessions_of([view(at(10), **tagged), view(at(11)), view(at(11, 1), **tagged)])
    assert [(s.started_at, s.channel) for s in found] == [(at(10), "Email"), (at(11), "Direct"), (at(11, 1), "Email")]


def test_a_login_half_way_changes_neither_session_nor_its_id(sessions_of):
    [before] = sessions_of([view(at(10))])
    known = (("cookie", "P"), ("user", "Q"))
    [after] = sessions_of([view(at(10)), view(at(10, 5), identifiers=[USER, COOKIE])], known=known)
    assert (before.session_id, before.person_id) == (after.session_id, "P")
    assert (after.person_id, after.client_key, after.client_namespace) == ("Q", "cookie", "site.anonymous_id")


def test_what_is_no_visit_is_left_out(sessions_of):
    household = [("shop.household_id", "h")]
    events = [view(at(10), event_type="email"), view(at(10), identifiers=household), view(at(10), identifiers=None)]
    assert sessions_of(events) == []


def test_counts_engagement_landing_and_crawlers(sessions_of):
    bounce = [view(at(10), page_path="/a")]
    quick = [view(at(12), event_type="track", event_name="cart_added", page_path="/x"), view(at(12, 0, 9), page_path="/b")]
    bought = [view(at(14), event_type="track", event_name="order_completed")]
    crawled = [view(at(16), is_bot=True), view(at(16, 0, 1), page_path="/c", is_bot=True)]
    found = sessions_of(bounce + quick + bought + crawled)
    assert [(s.landing_path, s.exit_path, s.events, s.page_views, s.conversions, s.is_engaged, s.is_bounce, s.is_bot) for s in found] == [
        ("/a", "/a", 1, 1, 0, False, True, False),
        ("/b", "/b", 2, 1, 0, False, True, False),
        (None, None, 1, 0, 1, True, False, False),
        ("/", "/c", 2, 2, 0, True, False, True),
    ]


def test_one_event_that_refuses_marketing_is_the_sessions_refusal(sessions_of):
    yes, no, other = {"marketing": True}, {"marketing": False}, {"analytics": False}
    visits = [[None, other], [None, yes], [yes, no, None]]
    events = [view(at(10 + 2 * hour, minute), consent=said) for hour, stated in enumerate(visits) for minute, said in enumerate(stated)]
    assert [s.has_consent for s in sessions_of(events)] == [None, True, False]


def test_engaged_time_is_the_pauses_each_at_most_five_minutes(sessions_of):
    [session] = sessions_of([view(at(10)), view(at(10, 1)), view(at(10, 21)), view(at(10, 21, 30, day=5))])
    assert (session.engaged_seconds, session.ended_at) == (60 + 300 + 30, at(10, 21, 30))


def test_the_entry_channel_names_its_rule(sessions_of):
    [session] = sessions_of([view(at(10), channel="Email", channel_rule="15:manual"), view(at(10, 1), channel_rule="1:direct")])
    assert (session.channel, session.channel_rule) == ("Email", "15:manual")


ROBOT, TEN = [("site.anonymous_id", "robot")], at(10)


def views(count, seconds, start=TEN, identifiers=ROBOT, **changes):
    """So many page views, so many seconds apart."""
    return [view(start + dt.timedelta(seconds=i * seconds), identifiers=identifiers, **changes) for i in range(count)]


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (views(31, 2), "inhuman_rate"),
        (views(31, 2.01), None),
        (views(30, 1.9), "no_dwell"),
        (views(10, 1.99), "no_dwell"),
        (views(9, 0.1), None),
        (views(10, 2), None),
        ([*views(9, 0.1), view(at(10, 5), identifiers=ROBOT)], None),
        (views(301, 0.19, event_type="track", event_name="cart_added"), "inhuman_rate"),
        (views(300, 0.19, event_type="track", event_name="cart_added"), None),
        (views(500, 0.1, event_type="server", event_name="resource_requested"), None),
        (views(3, 60, is_bot=True, bot_reason="crawler"), "crawler"),
        (views(3, 60, is_bot=True), "stated"),
    ],
)
def test_a_machine_is_known_by_its_agent_or_its_behaviour(sessions_of, events, reason):
    [session] = sessions_of(events)
    assert (session.bot_reason, session.is_bot) == (reason, reason is not None)


def test_a_machine_that_takes_a_new_campaign_for_each_page_is_flagged_in_every_session(sessions_of):
    events = [event | {"click_id": f"g{i}"} for i, event in enumerate(views(80, 0.5))]
    found = sessions_of(events)
    assert len(found) == 80 and {s.bot_reason for s in found} == {"inhuman_rate"}


def test_a_machine_changes_no_person_s_session_even_with_its_cookie(sessions_of):
    people = [view(at(10)), view(at(10, 20)), view(at(10, 40), identifiers=[USER])]
    alone = sessions_of(people)
    stolen = [view(at(10), is_bot=True, event_id="x"), view(at(10, 45), is_bot=True, event_id="y")]
    found = sessions_of(people + stolen + views(100, 0.1, at(9, 59)))
    assert [s for s in found if not s.is_bot] == alone
    assert len({s.session_id for s in found}) == len(found) == 5


def test_a_machine_s_session_is_nobody_s_even_with_a_person_s_cookie(sessions_of):
    found = sessions_of([view(at(10)), view(at(10, 1), is_bot=True, bot_reason="crawler"), view(at(12), identifiers=ROBOT, is_bot=True)])
    assert [(s.person_id, s.is_bot) for s in found] == [("P", False), (None, True), (None, True)]


def test_a_late_event_repairs_the_session_it_touches_and_no_other(sessions_of):
    events = [view(at(10)), view(at(10, 50)), view(at(14)), view(at(10), identifiers=[USER])]
    before, after = sessions_of(events), sessions_of([*events, view(at(10, 25))])
    assert [(s.started_at, s.events) for s in after if s not in before] == [(at(10), 3)]
    assert [(s.started_at, s.events) for s in before if s not in after] == [(at(10), 1), (at(10, 50), 1)]


def test_a_client_that_never_falls_silent_is_cut_after_24_hours_then_at_midnights(sessions_of):
    events = [view(at(0, 7 + 20 * i)) for i in range(24, 24 + 3 * 100)]
    found = sessions_of(events)
    assert starts(found) == [at(8, 7), at(32, 7), at(48, 7), at(72, 7), at(96, 7)]
    assert sum(s.events for s in found) == 300


def test_one_day_a_range_and_any_split_give_the_same_sessions(sessions_of):
    events = [view(at(0, 7 + 20 * i)) for i in range(24, 24 + 3 * 100)]
    events += [view(at(3, 17 * i, day=6), identifiers=[USER], utm_campaign=f"c{i % 3}", utm_source="x") for i in range(0, 150, 4)]
    events += [view(at(23, 50), source="app"), view(at(24, 5), source="app"), view(at(24, 50), source="app")]
    whole = sessions_of(events, 5, 9)
    assert len(whole) > 40
    assert [s for day in range(5, 10) for s in sessions_of(events, day, day)] == whole
    assert sessions_of(events, 5, 6) + sessions_of(events, 7, 9) == whole


def some_visits(random, clients=6, count=140):
    """People's events over four days: close together and far apart, with campaigns, logins and midnights."""
    found = []
    for number in range(count):
        who = random.randrange(clients)
        minute = random.choice([random.randrange(4 * 1440), 1435 + random.randrange(10), 60 * who + random.randrange(90)])
        tags = {"utm_source": "x", "utm_campaign": f"c{random.randrange(3)}"} if random.random() < 0.2 else {}
        cookie = ("site.anonymous_id", f"cookie {who}")
        known = [("site.user_id", f"user {who}"), cookie] if random.random() < 0.3 else [cookie]
        moment = at(0, minute, random.randrange(60))
        found.append(view(moment, event_id=f"e{number}", identifiers=known, page_path=f"/{number}", **tags))
    return found


# each example costs seconds of Spark: few, the same every time, and not made smaller
FEW = settings(
    max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(seed=st.integers(0, 2**32))
def test_any_order_and_any_split_into_days_gives_the_same_sessions(sessions_of, seed):
    random = Random(seed)
    events = some_visits(random)
    whole = sessions_of(events, 5, 8)
    shuffled = random.sample(events, len(events))
    cut = random.randrange(5, 8)
    assert sessions_of(shuffled, 5, cut) + sessions_of(shuffled, cut + 1, 8) == whole
    assert sum(s.events for s in whole) == len(events)


@FEW
@given(seed=st.integers(0, 2**32))
def test_a_bot_added_anywhere_changes_no_person_s_session(sessions_of, seed):
    random = Random(seed)
    events = some_visits(random)
    fast = views(40, 1, start=random.choice(events)["event_at"], event_id="")
    fast = [event | {"event_id": f"b{i}"} for i, event in enumerate(fast)]
    crawler = [e | {"event_id": f"c{i}", "is_bot": True, "bot_reason": "crawler"} for i, e in enumerate(random.sample(events, 20))]
    found = sessions_of(random.sample(events + fast + crawler, len(events) + 60), 5, 8)
    assert [s for s in found if not s.is_bot] == sessions_of(events, 5, 8)
    assert {s.bot_reason for s in found} == {None, "inhuman_rate", "crawler"}
    assert len({s.session_id for s in found}) == len(found)

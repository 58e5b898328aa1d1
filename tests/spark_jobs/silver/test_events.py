"""silver.events: rows in, rows out, both written by hand."""

import datetime as dt
import hmac
from decimal import Decimal
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from conf.settings import platform, rules
from spark_jobs.silver.events import COLUMNS, conform_events

NOON, EXTRACTED = dt.datetime(2026, 1, 5, 12), dt.datetime(2026, 1, 20)
EXTRA = "sent_at TIMESTAMP, original_at TIMESTAMP, user_agent STRING, ip STRING"


def event(**changes):
    """An ordinary page view; a test names only what it is about."""
    row = dict(
        client_event_id="e1",
        event_at=NOON,
        received_at=NOON,
        event_type="page",
        event_name="page_viewed",
        identifiers=[("shop.user_id", "k1")],
    )
    return row | changes


@pytest.fixture
def conformed(mapped, rows_of, pads):
    def run(*events, existing=(), extra=""):
        result = conform_events(
            mapped("silver.events", list(events), extra),
            rows_of("silver.events", list(existing)),
            rules("channels"),
            pads,
            platform=platform(),
        )
        assert set(COLUMNS) <= set(result.columns) and "ip" not in result.columns and "user_agent" not in result.columns
        return result.orderBy("_source_row").collect()

    return run


def test_a_retry_is_the_same_event_whenever_it_is_sent(conformed):
    stated = {"original_at": NOON, "sent_at": NOON + dt.timedelta(seconds=5), "received_at": NOON + dt.timedelta(seconds=6)}
    again = stated | {"sent_at": NOON + dt.timedelta(hours=1), "received_at": NOON + dt.timedelta(hours=1, seconds=1)}
    first, second = conformed(event(**stated), event(**again), extra=EXTRA)
    assert first["event_id"] == second["event_id"] and len(first["event_id"]) == 32
    assert not first["is_conflict"] and first["event_at"] == second["event_at"] == NOON + dt.timedelta(seconds=1)


def test_another_body_under_the_same_id_is_a_conflict_on_both(conformed):
    first, second, other = conformed(event(), event(page_title="Cart"), event(client_event_id="e2"))
    assert first["event_id"] != second["event_id"]
    assert [first["is_conflict"], second["is_conflict"], other["is_conflict"]] == [True, True, False]


def test_a_body_that_is_stored_already_conflicts_too_and_no_id_never_does(conformed):
    stored = {"source": "shop", "client_event_id": "e1", "event_id": "0" * 32}
    found = conformed(event(), event(client_event_id=None), event(client_event_id=None, page_title="x"), existing=[stored])
    # the stored body comes back with its flag, and is no input
    flags = sorted((row["_restated"], row["is_conflict"]) for row in found)
    assert flags == [(False, False), (False, False), (False, True), (True, True)]


def test_the_same_id_of_another_source_is_another_event(conformed):
    first, second = conformed(event(), event(source="crm"))
    assert first["event_id"] != second["event_id"] and not first["is_conflict"]


def test_an_impossible_time_is_the_time_of_receipt_and_is_kept(conformed):
    past, future, missing = conformed(
        event(event_at=dt.datetime(1970, 1, 1)), event(event_at=NOON + dt.timedelta(days=2)), event(event_at=None)
    )
    assert [r["event_at"] for r in (past, future, missing)] == [NOON] * 3
    assert [r["original_event_at"] for r in (past, future, missing)] == [dt.datetime(1970, 1, 1), NOON + dt.timedelta(days=2), None]
    assert past["event_date"] == dt.date(2026, 1, 5)


def test_tags_and_path_come_from_the_url_unless_given(conformed):
    url = "https://s.example/shoes?utm_source=google&utm_medium=cpc&utm_campaign=spring%20sale&email=a%40b.example"
    read, given, broken, twice = conformed(
        event(page_url=url),
        event(page_url=url, utm_source="bing", page_path="/x"),
        event(page_url="http://[bad?utm_source=%zz"),
        event(page_url="https://s.example/?utm_source=first&q=1&utm_source=second"),
    )
    assert twice["utm_source"] == "first"
    assert [read[c] for c in ("page_path", "utm_source", "utm_medium", "utm_campaign", "channel")] == [
        "/shoes",
        "google",
        "cpc",
        "spring sale",
        "Paid Search",
    ]
    assert read["page_url"] == "https://s.example/shoes?utm_source=google&utm_medium=cpc&utm_campaign=spring%20sale"
    assert (given["utm_source"], given["page_path"], broken["utm_source"]) == ("bing", "/x", "%zz")


GOOGLE = "https://www.google.com/"
# page and referrer -> kind and value of the click id, and the channel
LANDINGS = [
    ("https://shop.example/?gclid=EAIaIQobChMI-x", GOOGLE, "gclid", "EAIaIQobChMI-x", "Paid Search"),
    ("https://shop.example/lamp?gbraid=0AAAA&gad_source=1", GOOGLE, "gbraid", "0AAAA", "Paid Search"),
    ("https://shop.example/lamp?wbraid=CjgK", None, "wbraid", "CjgK", "Paid Search"),
    ("https://shop.example/?msclkid=abc123", "https://www.bing.com/", "msclkid", "abc123", "Paid Search"),
    ("https://shop.example/?fbclid=IwAR0x", "https://l.facebook.com/", "fbclid", "IwAR0x", "Paid Social"),
    ("https://shop.example/?ttclid=E.C.P.x", None, "ttclid", "E.C.P.x", "Paid Social"),
    ("https://shop.example/?utm_source=google&utm_medium=cpc&utm_campaign=spring&gclid=EAIa", GOOGLE, "gclid", "EAIa", "Paid Search"),
    ("https://shop.example/?x=gclid=1", GOOGLE, None, None, "Organic Search"),
    ("http://semicomplete.com/?gclid=EAIaIQ", GOOGLE, "gclid", "EAIaIQ", "Paid Search"),
]


def test_a_click_id_that_stands_in_the_landing_page_s_address_alone_decides_its_channel(conformed):
    found = conformed(*(event(page_url=page, referrer_url=referrer, client_event_id=page) for page, referrer, *_ in LANDINGS))
    seen = [(r["page_url"], r["referrer_url"], r["click_id_type"], r["click_id"], r["channel"]) for r in found]
    assert seen == LANDINGS


def test_a_click_id_that_the_record_gives_stands(conformed):
    page = "https://shop.example/?gclid=EAIa"
    given, empty, nameless = conformed(
        event(page_url=page, click_id="m1", click_id_type="msclkid"),
        event(page_url=page, click_id=" ", click_id_type="msclkid"),
        event(page_url="https://shop.example/", click_id_type="msclkid"),
    )
    assert [(r["click_id"], r["click_id_type"]) for r in (given, empty, nameless)] == [
        ("m1", "msclkid"),
        ("EAIa", "gclid"),
        (None, "msclkid"),
    ]


def test_a_percent_sign_that_begins_no_escape_stays(conformed):
    found = conformed(
        event(page_url="https://shop.example/?utm_source=google&utm_medium=cpc&utm_campaign=spring-20%-off"),
        event(page_url="https://shop.example/?utm_source=newsletter&utm_medium=email%&utm_campaign=100%cotton"),
        event(page_url="https://shop.example/?utm_source=google&utm_medium=cpc&utm_campaign=50%25+off%20%C3%A9t%C3%A9"),
        event(page_url="https://shop.example/?utm_source=partner&utm_medium=referral&utm_campaign=caf%E9&utm_term=%"),
    )
    assert [(r["utm_medium"], r["utm_campaign"], r["utm_term"], r["page_path"]) for r in found] == [
        ("cpc", "spring-20%-off", None, "/"),
        ("email%", "100%cotton", None, "/"),
        ("cpc", "50% off été", None, "/"),
        ("referral", "caf\ufffd", "%", "/"),
    ]
    assert found[0]["channel"] == "Paid Search"


ANN, SHOP = "ann.smith@mail.example", "https://shop.example"
# of the key that the tests hash with
HASHED = "hashed:" + hmac.new(bytes(32), f"masked\x1f{ANN}".encode(), "sha256").hexdigest()[:32]
PERSONAL = [
    ({"page_url": f"{SHOP}/u?user%5Bemail%5D=ann.smith%40mail.example&x=1"}, {"page_url": f"{SHOP}/u?x=1", "page_path": "/u"}),
    ({"page_url": f"{SHOP}/u?user[email]={ANN}&x=1"}, {"page_url": f"{SHOP}/u?x=1"}),
    ({"page_url": f"{SHOP}/u?e%6Dail=ann.smith%40mail.example"}, {"page_url": f"{SHOP}/u"}),
    (
        {"page_url": f"{SHOP}/?utm_source=newsletter&utm_medium=email&utm_term=ann.smith%40mail.example"},
        {"page_url": f"{SHOP}/?utm_source=newsletter&utm_medium=email&utm_term=[email]", "utm_term": "[email]", "channel": "Email"},
    ),
    ({"properties": f'{{"email": ["{ANN}"]}}'}, {"properties": '{"email":null}'}),
    ({"properties": f'{{"email": {{"address": "{ANN}"}}}}'}, {"properties": '{"email":null}'}),
    ({"page_url": f"{SHOP}/unsubscribe/{ANN}"}, {"page_url": f"{SHOP}/unsubscribe/[email]", "page_path": "/unsubscribe/[email]"}),
    (
        {"page_title": f"Hello {ANN}", "campaign_id": ANN, "campaign_name": f"to {ANN}"},
        {"page_title": "Hello [email]", "campaign_id": HASHED},
    ),
    (
        {"utm_campaign": "ann.smith%2540mail.example", "click_id": ANN, "ad_id": ANN},
        {"utm_campaign": "[email]", "click_id": HASHED, "ad_id": HASHED},
    ),
    (
        {"page_path": f"/a;email={ANN}/b", "referrer_url": f"https://ann:{ANN}@a.example/?token=1a"},
        {"page_path": "/a/b", "referrer_url": "https://a.example/"},
    ),
]


def test_no_column_holds_an_e_mail_address(conformed):
    found = conformed(*(event(**said) for said, _ in PERSONAL))
    assert [{c: row[c] for c in clean} for row, (_, clean) in zip(found, PERSONAL)] == [clean for _, clean in PERSONAL]
    assert not [row for row in found if "mail.example" in str(row).lower()]
    # what was said decides which event it is, not what is left of it
    assert len({row["event_id"] for row in found}) == len(PERSONAL)


def test_a_member_called_like_an_address_is_not_told_as_drift_by_its_name(conformed):
    (found,) = conformed(event(event_name="product_viewed", product_id="P-1", properties=f'{{"price":9.5,"{ANN}":1}}'))
    assert found["properties"] == '{"price":9.5,"[email]":1}' and [d["path"] for d in found["_drift"]] == ["/[email]"]


def test_agent_and_address_become_facts_and_are_dropped(conformed):
    bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    crawler, nobody, stated = conformed(
        event(user_agent=bot, ip="8.8.8.8"), event(user_agent="-", ip=None), event(user_agent=None, ip="8.8.8.8", country="de"), extra=EXTRA
    )
    assert (crawler["is_bot"], crawler["device_type"], crawler["country"]) == (True, "bot", "US")
    assert (nobody["bot_reason"], stated["is_bot"], stated["country"]) == ("empty_agent", False, "DE")


def test_a_malformed_record_passes_through_with_its_reason(conformed):
    lost = {"_reason": "malformed_json", "event_type": None, "event_name": None}
    good, bad = conformed(event(value_amount=Decimal("9.99"), currency="GBP"), lost)
    assert (bad["_reason"], bad["is_conflict"]) == ("malformed_json", False)
    assert (good["value_amount"], good["channel"], good["channel_rule"]) == (Decimal("9.99"), "Direct", "1:direct")


def test_a_time_of_receipt_in_the_future_or_none_is_that_of_our_fetching(conformed):
    ahead = {"received_at": dt.datetime(2100, 1, 1), "event_at": dt.datetime(2100, 1, 1)}
    clocks = {"original_at": NOON, "sent_at": NOON + dt.timedelta(seconds=9)}
    future, corrected, alone, sent = conformed(
        event(**ahead), event(**ahead, **clocks), event(received_at=None), event(received_at=None, **clocks), extra=EXTRA
    )
    assert future["event_at"] == future["received_at"] == corrected["received_at"] == EXTRACTED
    assert corrected["event_at"] == EXTRACTED - dt.timedelta(seconds=9)
    # without the third clock the other two correct nothing
    assert (alone["event_at"], sent["event_at"], alone["received_at"]) == (NOON, NOON, EXTRACTED)
    assert alone["event_id"] != event_id_of(conformed, event(received_at=None, event_at=NOON + dt.timedelta(hours=1)))


def event_id_of(conformed, one):
    return conformed(one)[0]["event_id"]


def test_a_body_that_is_set_aside_or_too_late_conflicts_with_none(conformed):
    bad, slices = event(currency="pounds"), {"_slice_from": "2026-01-05"}
    old = event(page_title="Cart", event_at=NOON - dt.timedelta(days=60))
    assert [r["is_conflict"] for r in conformed(event(), bad)] == [False, False]
    assert [r["is_conflict"] for r in conformed(event(**slices), old | slices)] == [False, False]
    assert [r["is_conflict"] for r in conformed(event(), bad, event(page_title="Cart"))] == [True, True, True]


def test_fields_of_the_record_that_no_mapping_names_are_told(conformed):
    known, more = conformed(event(_unmapped=[]), event(_unmapped=["release", "build"], client_event_id="e2"))
    assert known["_drift"] is None
    assert [tuple(d) for d in more["_drift"]] == [("/release", "unmapped", None), ("/build", "unmapped", None)]


def test_a_broken_contract_sets_the_one_event_aside_and_what_is_unknown_is_kept(conformed):
    good, broken, unknown = conformed(
        event(event_name=" Product_Viewed", product_id="P-1", properties='{"price":9.5,"email":"a@b.example"}'),
        event(event_name="product_viewed", product_id="P-1", properties='{"price":"9.5"}'),
        event(event_name="never_declared", properties='{"price":"9.5"}'),
    )
    assert [r["_reason"] for r in (good, broken, unknown)] == [None, "contract:product_viewed:/price type", None]
    assert good["properties"] == '{"price":9.5,"email":null}'
    assert [tuple(d) for d in good["_drift"]] == [("/email", "added", "string")]
    assert [tuple(d) for d in broken["_drift"]] == [("/price", "retyped", "string")] and unknown["_drift"] is None


def test_how_late_an_event_was_stored_is_told_and_never_negative(conformed):
    hour = dt.timedelta(hours=1)
    late, early, unknown = conformed(
        event(ingested_at=NOON + hour), event(ingested_at=NOON - hour, client_event_id="e2"), event(client_event_id="e3")
    )
    assert [r["late_by_seconds"] for r in (late, early, unknown)] == [3600, 0, None]


NOT_SAID = ("ingested_at", "late_by_seconds", "_source_file", "_source_row")
PLACE = ("received_at", "_source_file", "_source_row")


def deliveries(random, count=60):
    """Records as delivered, each in its place of a file: events, retries of them received later, other bodies under their id."""
    found = []
    for number in range(count):
        stated = {"original_at": NOON + dt.timedelta(minutes=number), "sent_at": NOON + dt.timedelta(minutes=number, seconds=1)}
        one = stated | {
            "client_event_id": f"e{number}",
            "received_at": stated["sent_at"],
            "event_at": None,
            "page_url": f"https://s.example/{number}",
        }
        later = dt.timedelta(minutes=random.randrange(1, 90))
        found += [event(**one)]
        found += [event(**one | {"sent_at": one["sent_at"] + later, "received_at": one["received_at"] + later})] * random.choice(
            [0, 0, 1, 2]
        )
        found += [event(**one | {"page_title": "Edited"})] * (random.random() < 0.1)
    return [row | {"_source_file": f"f{place // 40}", "_source_row": place, "source": "shop"} for place, row in enumerate(found)]


# each example costs seconds of Spark: few, the same every time, and not made smaller
@settings(
    max_examples=3, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_any_split_order_and_repetition_of_deliveries_gives_the_same_events(mapped, rows_of, pads, seed):
    random = Random(seed)
    records = deliveries(random)

    def table_after(batches):
        """The merge of silver.events: of an event's copies, a stored one that a batch flags included, the first received stays."""
        stored = {}
        for batch in batches:
            result = conform_events(
                mapped("silver.events", batch, EXTRA), rows_of("silver.events", list(stored.values())), rules("channels"), pads
            )
            for row in (r.asDict() for r in result.collect()):
                kept = stored.get(row["event_id"])
                place = [row[c] for c in PLACE]
                if kept is None or place <= [kept[c] for c in PLACE]:
                    stored[row["event_id"]] = {c: row[c] for c in COLUMNS}
        return sorted(([v for c, v in row.items() if c not in NOT_SAID] for row in stored.values()), key=str)

    shuffled = random.sample(records, len(records))
    cut = random.randrange(1, len(records) - 1)
    parts = [shuffled[:cut], shuffled[cut:]]
    assert table_after([*parts, random.choice(parts)]) == table_after([records])

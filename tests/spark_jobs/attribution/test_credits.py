"""The ledger: weights, windows, reasons, refunds, and sums exact to the cent."""

import datetime as dt
import random
from collections import defaultdict
from decimal import Decimal

import pytest

from conf.settings import rules
from spark_jobs.attribution.credits import JOB, credit_channels, longest_look_back

NOON = dt.datetime(2026, 3, 10, 12)
CONVERSIONS = (
    "conversion_id STRING, person_id STRING, conversion_date DATE, converted_at TIMESTAMP, conversion_type STRING, quantity DECIMAL(18,6), "
    "reporting_amount DECIMAL(18,2), refund_of STRING, is_bot BOOLEAN"
)
TOUCHES = "touchpoint_id STRING, person_id STRING, touched_at TIMESTAMP, channel STRING, interaction STRING, source STRING, campaign_id STRING, has_consent BOOLEAN, is_bot BOOLEAN"
PATH = [("a", 9, "Paid Search"), ("b", 6, "Social"), ("c", 0, "Email"), ("d", 0, "Display")]


def order(conversion_id="o1", amount="50.00", person="p1", at=NOON, quantity=1, bot=None):
    return (conversion_id, person, at.date(), at, "order", Decimal(quantity), amount and Decimal(amount), None, bot)


def refund(conversion_id, amount, of="o1", at=NOON, person="p1"):
    return (conversion_id, person, at.date(), at, "refund", Decimal(0), amount and Decimal(amount), of, None)


def touch(
    name, days_before, channel="Email", interaction="visit", person="p1", source="shop", campaign=None, consent=True, bot=False, at=NOON
):
    return (name, person, at - dt.timedelta(days=days_before), channel, interaction, source, campaign, consent, bot)


@pytest.fixture
def ledger(spark):
    def build(conversions, touches, everything=None, models=None, look_back=None):
        given = rules("attribution") if look_back is None else {**rules("attribution"), "look_back_days": look_back}
        given = given if models is None else {**rules("attribution"), "models": models}
        frame = spark.createDataFrame(conversions, CONVERSIONS)
        whole = spark.createDataFrame(everything or conversions, CONVERSIONS)
        rows = credit_channels(frame, whole, spark.createDataFrame(touches, TOUCHES), given, "run-1").collect()
        assert len({(r.model, r.conversion_id, r.touchpoint_id) for r in rows}) == len(rows)
        return rows

    return build


def amounts(rows, model, conversion_id="o1"):
    return {r.touchpoint_id: str(r.credit_amount) for r in rows if r.model == model and r.conversion_id == conversion_id}


def reason(rows, conversion_id="o1"):
    return {r.reason for r in rows if r.conversion_id == conversion_id}


def test_each_model_shares_fifty_dollars_as_published(ledger):
    rows = ledger([order()], [touch(name, days, channel) for name, days, channel in PATH])
    assert amounts(rows, "first") == {"a": "50.00"}
    assert amounts(rows, "last") == {"d": "50.00"}
    assert amounts(rows, "linear") == {"a": "12.50", "b": "12.50", "c": "12.50", "d": "12.50"}
    assert amounts(rows, "position") == {"a": "20.00", "b": "5.00", "c": "5.00", "d": "20.00"}
    assert amounts(rows, "time_decay") == {"a": "6.92", "b": "9.32", "c": "16.88", "d": "16.88"}


def test_last_non_direct_skips_direct_unless_there_is_nothing_else(ledger):
    rows = ledger(
        [order(), order("o2", person="p2")],
        [touch("a", 3, "Email"), touch("b", 1, "Direct"), touch("x", 2, "Direct", person="p2"), touch("y", 1, "Direct", person="p2")],
    )
    assert amounts(rows, "last_non_direct") == {"a": "50.00"}
    assert amounts(rows, "last_non_direct", "o2") == {"y": "50.00"}


def test_the_window_is_closed_at_the_conversion_and_open_at_its_far_end(ledger):
    second = 1 / 86_400
    rows = ledger([order()], [touch("now", 0), touch("inside", 30 - second), touch("outside", 30), touch("after", -second)])
    assert set(amounts(rows, "linear")) == {"now", "inside"}


def test_what_earns_nothing_says_why(ledger):
    conversions = [
        order("nobody", person=None), order("negative", amount="-5.00"), order("rateless", amount=None), order("untouched", person="p2"),
        order("later", person="p3"), order("old", person="p4"), order("refused", person="p5"), order("crawled", person="p6"), order("bot", bot=True),
    ]  # fmt: skip
    touches = [
        touch("t3", -1, person="p3"),
        touch("t4", 31, person="p4"),
        touch("t5", 1, person="p5", consent=False),
        touch("t6", 1, person="p6", bot=True),
        touch("t1", 1),
    ]
    rows = ledger(conversions, touches)
    found = {c[0]: reason(rows, c[0]) for c in conversions}
    assert found == {
        "nobody": {"no_identity"}, "negative": {"negative_value"}, "rateless": {"no_rate"}, "untouched": {"no_touch"}, "later": {"after_conversion"},
        "old": {"no_touch_in_window"}, "refused": {"no_consent"}, "crawled": {"no_touch"}, "bot": {"bot"},
    }  # fmt: skip


def test_a_view_gives_way_to_a_later_click_of_its_campaign_only(ledger):
    touches = [
        touch("seen", 0.5, interaction="view", campaign="c1"), touch("clicked", 0.2, interaction="click", campaign="c1"),
        touch("other", 0.4, interaction="view", campaign="c2"), touch("seen_after", 0.1, interaction="view", campaign="c1"),
    ]  # fmt: skip
    rows = ledger([order()], touches)
    assert set(amounts(rows, "linear")) == {"clicked", "other", "seen_after"}


def test_a_full_refund_in_parts_leaves_every_touch_at_zero(ledger):
    touches = [touch(name, days, channel) for name, days, channel in PATH[:3]]
    later = [NOON + dt.timedelta(days=d) for d in (1, 2, 3)]
    refunds = [refund("r1", "-3.33", at=later[0]), refund("r2", "-3.33", at=later[1]), refund("r3", "-3.34", at=later[2])]
    rows = ledger([order(amount="10.00"), *refunds], touches)
    nets = defaultdict(Decimal)
    for r in rows:
        nets[r.model, r.touchpoint_id] += r.credit_amount
    assert set(nets.values()) == {Decimal("0.00")}
    assert {r.credit for r in rows if r.conversion_id.startswith("r")} == {Decimal(0)}


def test_a_refund_alone_in_its_range_follows_its_orders_path(ledger):
    taken = refund("r1", "-10.00", at=NOON + dt.timedelta(days=60))
    rows = ledger([taken], [touch("a", 3), touch("b", 1)], everything=[order(), taken])
    assert {r.conversion_id for r in rows} == {"r1"}
    assert amounts(rows, "linear", "r1") == {"a": "-5.00", "b": "-5.00"}


def test_a_refund_without_or_beyond_its_order_is_unattributed(ledger):
    rows = ledger([order(), refund("lost", "-5.00", of=None), refund("more", "-60.00")], [touch("a", 1)])
    assert reason(rows, "lost") == {"refund_without_conversion"}
    assert reason(rows, "more") == {"refund_exceeds_value"}
    assert amounts(rows, "linear", "more") == {"": "-60.00"}


def test_a_refused_refund_takes_nothing_from_those_after_it(ledger):
    later = [NOON + dt.timedelta(days=d) for d in (1, 2, 3)]
    refunds = [refund("much", "-60.00", at=later[0]), refund("some", "-20.00", at=later[1]), refund("rest", "-30.00", at=later[2])]
    rows = ledger([order(), *refunds], [touch("a", 1)])
    assert reason(rows, "much") == {"refund_exceeds_value"}
    assert (amounts(rows, "linear", "some"), amounts(rows, "linear", "rest")) == ({"a": "-20.00"}, {"a": "-30.00"})


def test_a_refund_of_an_order_without_a_rate_has_none_either(ledger):
    rows = ledger([order(amount=None), refund("r1", None)], [touch("a", 1)])
    assert reason(rows, "r1") == {"no_rate"}


def test_each_time_decay_model_has_its_own_half_life(ledger):
    models = {"slow": {"kind": "time_decay", "half_life_days": 7}, "fast": {"kind": "time_decay", "half_life_days": 1}}
    rows = ledger([order(amount="3.00")], [touch("a", 1), touch("b", 0)], models=models)
    assert amounts(rows, "fast") == {"a": "1.00", "b": "2.00"}
    assert {m: sum(r.credit for r in rows if r.model == m) for m in models} == {"slow": Decimal(1), "fast": Decimal(1)}


def test_a_conversion_worth_nothing_still_has_its_credit(ledger):
    rows = ledger([order(amount="0.00")], [touch("a", 2), touch("b", 1)])
    assert [(r.touchpoint_id, r.credit, r.credit_amount) for r in sorted(rows, key=lambda r: r.touchpoint_id) if r.model == "linear"] == [
        ("a", Decimal("0.5000000000"), Decimal("0.00")),
        ("b", Decimal("0.5000000000"), Decimal("0.00")),
    ]


def test_the_largest_quantity_that_the_gate_passes_adds_up(ledger):
    rows = ledger([order(quantity="999999999.999999", amount="9999999999999999.99")], [touch(str(i), i) for i in range(7)])
    for model in ("linear", "position", "time_decay"):
        mine = [r for r in rows if r.model == model]
        assert (sum(r.credit for r in mine), sum(r.credit_amount for r in mine)) == (
            Decimal("999999999.999999"),
            Decimal("9999999999999999.99"),
        )


def test_credits_add_up_exactly_for_any_paths_and_values(ledger):
    chance = random.Random(20260310)
    conversions, touches = [], []
    for i in range(300):
        person = f"p{i % 120}"
        conversions.append(
            order(
                f"o{i}",
                f"{chance.randint(0, 99_999) / 100:.2f}",
                person,
                NOON + dt.timedelta(seconds=i),
                Decimal(chance.choice(["1", "0.333333", "3"])),
            )
        )
    for i in range(900):
        touches.append(
            touch(
                f"t{i}",
                chance.random() * 40 - 2,
                chance.choice(["Email", "Direct", "Paid Search"]),
                chance.choice(["visit", "click", "view"]),
                f"p{chance.randrange(120)}",
            )
        )
    rows = ledger(conversions, touches)
    credit, money = defaultdict(Decimal), defaultdict(Decimal)
    for r in rows:
        credit[r.model, r.conversion_id] += r.credit
        money[r.model, r.conversion_id] += r.credit_amount
    for model in rules("attribution")["models"]:
        for c in conversions:
            assert credit[model, c[0]] == c[5]
            assert money[model, c[0]] == c[6]


def test_a_touch_reaches_as_far_as_the_longest_look_back_of_the_rules(monkeypatch):
    assert longest_look_back({"look_back_days": {"click": 45, "view": 1, "open": 45.5}}) == 46
    wide = {**rules("attribution"), "look_back_days": {"click": 90, "view": 1}}
    monkeypatch.setattr("spark_jobs.job.rules", lambda _: wide)
    assert JOB.reach() == 90


def test_a_contact_of_a_kind_without_a_look_back_has_the_longest(ledger):
    assert reason(ledger([order()], [touch("a", 44, interaction="podcast")], look_back={"click": 45})) == {None}

"""One sender's rows cost that sender: whatever a record says, the rest of its day is built, and what it brought can be taken out again."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from decimal import Decimal

import pytest

from spark_jobs.errors import ThroughlineError
from spark_jobs.io.small import read_arrow
from spark_jobs.ops.withdraw import withdraw
from tests.real.reports import DAY, EVERYTHING, NEXT_DAY, World, conf_with, taxed_shop
from tests.whole.worlds import home_at

NOON = f"{DAY}T12:00:00.000Z"
FAR = "2099-01-01T00:00:00.000Z"
VISITORS = ("v1", "v2", "v3", "v4", "v5")
# more digits than any currency's money has, still within its column's type
BEYOND = ("1000000000000", "99999999999999.99", "1e12", "12345678901234567890123", "1e2147483647")
SHOP_HEADER = (
    "order_id,line_number,ordered_at,updated_at,user_id,email,phone,product_id,description,quantity,unit_price,line_total,currency,"
    "country,coupon_code,tax,shipping"
)
TRIED = (
    {
        "source": "faults_tried",
        "connector": "file_drop",
        "streams": {"orders": {"path": "{date}.jsonl"}, "rates": {"path": "{date}.csv"}},
        "silver": ["silver.order_lines", "silver.orders", "silver.fx_rates"],
    },
    {
        "streams": {
            "orders": {
                "record": {
                    "format": "json",
                    "schema": "id STRING, at STRING, quantity STRING, country STRING, who STRING, kind STRING, part STRING",
                },
                "tables": {
                    "silver.order_lines": {
                        "columns": {
                            "order_id": "id",
                            "ordered_at": "at",
                            "quantity": "quantity",
                            "unit_amount": "10 / (cast(quantity as int) - 1)",
                            "line_amount": "'5'",
                            "currency": "'GBP'",
                            "country": "split(country, '-')[1]",
                        },
                        "where": "cast(part as int) > 0",
                        "reject": "case when date(at) < date'2026-01-01' then 'old' end",
                        "identifiers": [{"namespace": "user_id", "value": "cast(cast(who as int) as string)"}],
                    }
                },
            },
            "rates": {
                "record": {"format": "csv", "schema": "rate_date STRING, currency STRING, rate STRING"},
                "tables": {"silver.fx_rates": {"columns": {"rate_date": "rate_date", "currency": "currency", "rate": "rate"}}},
            },
        }
    },
)


def event(name: str, visitor: str, at: str = NOON, **more: object) -> bytes:
    said = {"id": f"{visitor}-{name}-{len(str(more))}", "type": "page" if name == "page_viewed" else "track", "event": name, "event_at": at}
    return json.dumps({**said, "sent_at": at, "received_at": at, "anonymous_id": visitor, **more}).encode()


def campaign(name: str) -> dict[str, object]:
    return {"campaign": {"source": "a", "medium": "cpc", "name": name}}


GOOD_EVENTS = [event("page_viewed", one, page={"url": "https://shop.example/", "path": "/"}) for one in VISITORS] + [
    event("lead_created", "v1", value="12.50", currency="GBP")
]
BAD_EVENTS = [
    *({**json.loads(event("page_viewed", "two_at_once", **campaign(name))), "id": f"b-{name}"} for name in ("one", "two", "three")),
    *({**json.loads(event("signed_up", f"rich{i}", value=value, currency="GBP")), "id": f"rich{i}"} for i, value in enumerate(BEYOND)),
    # the same event as v1's, with another body
    {**json.loads(event("lead_created", "v1", value="13.50", currency="GBP")), "id": json.loads(GOOD_EVENTS[-1])["id"]},
    "{ no json",
    # longer than a record may be
    {**json.loads(event("page_viewed", "long")), "id": "long", "properties": {"note": "x" * (9 * 2**20)}},
    # more than a quarter of the day, by one who sends nothing else
    *({"id": f"noise{i}", "type": "noise", "event": "x", "anonymous_id": "noise"} for i in range(30)),
]


def log_of(*events: object) -> bytes:
    lines = [one if isinstance(one, bytes) else one.encode() if isinstance(one, str) else json.dumps(one).encode() for one in events]
    return gzip.compress(b"\n".join(lines) + b"\n")


def line(order: str, number: int, quantity: str, price: str, total: str, tax: str = "0", shipping: str = "0") -> str:
    return f"{order},{number},{NOON},,u-{order},,,p1,thing,{quantity},{price},{total},GBP,GB,,{tax},{shipping}"


SHOP = [
    line("good", 1, "2", "10.00", "20.00"),
    # each line is within bounds, their sum is not
    *(line("sum", number, "1", "900000000000.00", "900000000000.00") for number in range(1, 41)),
    line("whole", 1, "1", "99999999999999.99", "99999999999999.99"),
    line("product", 1, "999999999999.999", "99999999999999.99", ""),
    # more is given back than was ever paid for it
    line("odd", 1, "1", "5.00", "5.00", shipping="-4.99"),
    # a line of a day to come, and one that was changed then: it would win over every later change
    line("far", 1, "1", "5.00", "5.00").replace(NOON, FAR),
    line("good", 1, "2", "90.00", "180.00").replace(f"{NOON},,", f"{NOON},{FAR},"),
]
SPEND_HEADER = (
    "account_id,account_time_zone,network,campaign_id,campaign_name,ad_group_id,ad_id,spend_date,impressions,clicks,spend,currency,conversions,"
    "conversion_value"
)
SPEND = [
    f"b,Europe/London,search,c1,one,g,a,{DAY},100,10,5,GBP,1,1",
    f"b,Europe/London,search,c2,two,g,a,{DAY},100,-1,5,GBP,1,1",
    f"b,Europe/London,search,c3,three,g,a,{DAY},100,-9223372036854775808,5,GBP,1,1",
    f"b,,search,c4,four,g,a,{DAY},100,1,5,GBP,1,1",
    f"b, ,search,c5,five,g,a,{DAY},100,1,5,GBP,1,1",
    "b,Europe/London,search,c1,one,g,a,2099-01-01,100,10,5,GBP,1,1",
]
RATES = "rate_date,currency,rate"

REFUNDS = "refund_id,order_id,refunded_at,product_id,quantity,amount,currency,reason"


@pytest.fixture(scope="module")
def world(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("senders")
    found = World(spark, folder / "home")
    found.drop("sandbox_site", "events", f"{DAY}.jsonl.gz", log_of(*GOOD_EVENTS, *BAD_EVENTS))
    found.drop("reports_shop", "order_lines", f"{DAY}.csv", "\n".join([SHOP_HEADER, *SHOP]).encode() + b"\n")
    found.drop(
        "reports_shop",
        "refunds",
        f"{NEXT_DAY}.csv",
        f"{REFUNDS}\nr1,odd,{NEXT_DAY}T12:00:00.000Z,p1,1,999999999999.00,GBP,\nr2,good,{NEXT_DAY}T12:00:00.000Z,p1,1,5.00,GBP,\n"
        f"r3,good,{FAR},p1,1,1.00,GBP,\n".encode(),
    )
    said = {"crm_id": "k1", "purpose": "marketing", "updated_at": NOON}
    consents = [{**said, "granted": "true"}, {**said, "granted": "false"}, {**said, "crm_id": "k2", "granted": "true"}]
    consents.append({**said, "crm_id": "k2", "granted": "false", "updated_at": FAR})
    found.drop("sandbox_marketing", "consents", f"{DAY}.jsonl", b"\n".join(json.dumps(one).encode() for one in consents) + b"\n")
    found.drop("sandbox_marketing", "ad_spend", f"{DAY}/delivered-{NEXT_DAY}.csv", "\n".join([SPEND_HEADER, *SPEND]).encode() + b"\n")
    rows = [
        {"id": "t1", "at": NOON, "quantity": "3", "country": "x-GB", "who": "7", "part": "1"},
        {"id": "t2", "at": NOON, "quantity": "1", "country": "x-GB", "who": "7", "part": "1"},
        {"id": "t3", "at": NOON, "quantity": "3", "country": "GB", "who": "7", "part": "1"},
        {"id": "t4", "at": NOON, "quantity": "3", "country": "x-GB", "who": "somebody", "part": "1"},
        {"id": "t5", "at": NOON, "quantity": "3", "country": "x-GB", "who": "7", "part": "one"},
        {"id": "t6", "at": "some day", "quantity": "3", "country": "x-GB", "who": "7", "part": "1"},
        {"id": "t7", "at": NOON, "quantity": None, "country": None, "who": None, "part": "1"},
        {"id": "t8", "at": NOON, "quantity": "3", "country": "x-GB", "who": "8", "part": "0"},
    ]
    found.drop("faults_tried", "orders", f"{DAY}.jsonl", b"\n".join(json.dumps(row).encode() for row in rows) + b"\n")
    for source, stream, rates in (
        (
            "faults_tried",
            "rates",
            (f"{DAY},USD,0.70", f"{DAY},EUR,0.86", f"{DAY},KWD,1000000000", f"{DAY},JPY,0.00000001", "2099-01-01,USD,0.8"),
        ),
        ("sandbox_shop", "fx_rates", (f"{DAY},USD,0.75", f"{DAY},EUR,0.86", f"{NEXT_DAY},USD,0.76")),
    ):
        found.drop(source, stream, f"{DAY}.csv", "\n".join([RATES, *rates]).encode() + b"\n")
    with conf_with(folder / "conf", taxed_shop(), TRIED):
        found.take_in(("sandbox_site", "sandbox_marketing", "sandbox_shop", "reports_shop", "faults_tried"), DAY, NEXT_DAY)
        found.run(DAY, NEXT_DAY, ("silver.consents", *EVERYTHING))
        yield found


def test_counts_below_nothing_and_zones_that_are_none_cost_no_touch(world):
    assert {row["campaign_id"] for row in world.rows("silver.ad_spend")} == {"c1"}
    assert reasons(world, "silver.ad_spend") == {
        "counts_are_not_negative": 1,
        "out_of_range:clicks": 1,
        "time_zone_is_known": 2,
        "in_the_future:spend_date": 1,
    }


def test_two_answers_of_one_instant_cost_nobody_else_theirs(world):
    assert sorted(row["is_granted"] for row in world.rows("silver.consents")) == [False, True]
    assert reasons(world, "silver.consents") == {"contradicts_its_delivery": 1, "in_the_future:valid_from": 1}


def test_a_time_that_is_still_to_come_costs_its_row_and_ends_no_version(world):
    assert {row["valid_to"] for row in world.rows("silver.consents")} == {None}
    found = reasons(world, "silver.order_lines")
    assert (found["in_the_future:ordered_at"], found["in_the_future:updated_at"]) == (1, 1)
    assert reasons(world, "silver.refunds")["in_the_future:refunded_at"] == 1
    assert world.row("silver.order_lines", order_id="good", source="reports_shop")["line_amount"] == Decimal("20.0000")


@pytest.mark.parametrize("order", [(), ("faults_tried", "sandbox_shop"), ("sandbox_shop", "faults_tried")])
def test_of_two_sources_rates_one_stands_whichever_is_built_last_and_a_rate_beyond_any_costs_itself(world, order):
    for source in order:
        world.run(DAY, NEXT_DAY, ("silver.fx_rates",), source)
    rates = {(row["currency"], row["rate_date"]): (row["rate"], row["source"]) for row in world.rows("silver.fx_rates")}
    assert rates == {
        ("USD", DAY): (Decimal("0.75"), "sandbox_shop"),
        ("USD", NEXT_DAY): (Decimal("0.76"), "sandbox_shop"),
        ("EUR", DAY): (Decimal("0.86"), "sandbox_shop"),
    }
    found = reasons(world, "silver.fx_rates")
    assert (found.pop("rate_of_another_source", 0) == 1) or not order
    assert found == {"rate_is_in_range": 2, "in_the_future:rate_date": 1}


def reasons(world: World, table: str) -> Counter:
    return Counter(row["_reason"] for row in world.rows(f"{table}__quarantine") if row["_status"] == "open")


def test_two_campaigns_at_one_instant_are_sessions_of_that_client_and_everybody_elses_stand(world):
    sessions = Counter(row["client_key"] for row in world.rows("journeys.sessions"))
    assert len(sessions) >= len(VISITORS) + 1
    ids = [row["session_id"] for row in world.rows("journeys.sessions")]
    assert len(ids) == len(set(ids))
    assert sorted(row["utm_campaign"] for row in world.rows("journeys.sessions") if row["utm_campaign"]) == ["one", "three", "two"]


def test_an_amount_beyond_all_money_is_set_aside_alone_with_its_reason(world):
    assert reasons(world, "silver.events")["out_of_range:value_amount"] + reasons(world, "silver.events")["bad_value:value_amount"] == len(
        BEYOND
    )
    leads = world.rows("journeys.conversions", conversion_type="lead")
    assert Decimal("12.50") in [row["value_amount"] for row in leads]
    assert not world.rows("journeys.conversions", conversion_type="signup")


def test_a_record_beyond_the_limit_is_set_aside_with_its_beginning(world):
    (long,) = [row for row in world.rows("silver.events__quarantine") if row["_reason"] == "too_large"]
    assert long["payload"] is None and long["payload_bytes"].startswith(b'{"id": "long"') and len(long["payload_bytes"]) <= 65536
    assert reasons(world, "silver.events")["event_type_is_known"] == 30


def test_an_order_beyond_its_type_is_set_aside_and_the_good_ones_of_its_day_stand(world):
    assert {row["order_id"] for row in world.rows("silver.orders") if row["source"] == "reports_shop"} == {"good", "odd"}
    assert reasons(world, "silver.orders") == {"amounts_are_in_range": 1}
    assert reasons(world, "silver.order_lines")["out_of_range:unit_amount"] == 2
    assert world.row("silver.orders", order_id="good")["net_amount"] == Decimal("20.00")


def test_a_refund_that_has_no_sane_share_of_its_order_stops_no_other(world):
    taken = {row["conversion_id"]: row["value_amount"] for row in world.rows("journeys.conversions", conversion_type="refund")}
    assert taken["refund:reports_shop:r2"] == Decimal("-5.00")
    assert world.rows("attribution.credits", conversion_id="refund:reports_shop:r2")


def test_a_mapping_that_fails_on_a_row_costs_that_row(world):
    lines = {row["order_id"]: row for row in world.rows("silver.order_lines", source="faults_tried")}
    assert set(lines) == {"t1"}
    assert (lines["t1"]["unit_amount"], lines["t1"]["country"]) == (Decimal("5.0000"), "GB")
    why = {row["payload"][8:10]: row["_reason"] for row in world.rows("silver.order_lines__quarantine") if '"id": "t' in row["payload"]}
    assert why == {
        "t2": "mapping_failed:unit_amount",
        "t3": "mapping_failed:country",
        "t4": "mapping_failed:identifiers",
        "t5": "mapping_failed:where",
        "t6": "mapping_failed:reject",
        "t7": "null:quantity",
    }


def test_every_ledger_is_closed_and_no_run_failed(world):
    assert all(read_arrow(world.lake.root, "ops.ledger")["is_closed"].to_pylist())
    assert set(read_arrow(world.lake.root, "ops.runs")["status"].to_pylist()) <= {"success", "skipped"}


def test_what_a_replaced_delivery_brought_is_shown_and_then_taken_out(world, capsys):
    with home_at(world.home), pytest.raises(ThroughlineError, match="was delivered once"):
        withdraw(world.lake, "sandbox_site", str(DAY), False, "test", lambda _: None)
    world.drop("sandbox_site", "events", f"{DAY}.jsonl.gz", log_of(*GOOD_EVENTS))
    world.take_in(("sandbox_site",), DAY, NEXT_DAY)
    world.run(DAY, NEXT_DAY, ("silver.events",), "sandbox_site")
    # what was set aside of the first delivery concerns nobody any more
    assert not reasons(world, "silver.events")
    assert Counter(row["_status"] for row in world.rows("silver.events__quarantine")) == {"replaced": len(BEYOND) + 32}
    before = {row["event_id"] for row in world.rows("silver.events")}
    assert len(before) == len(GOOD_EVENTS) + 4
    assert any(row["is_conflict"] for row in world.rows("silver.events"))
    with home_at(world.home):
        withdraw(world.lake, "sandbox_site", str(DAY), False, "test", lambda _: None)
    world.held.clear()
    assert "silver.events: 4 rows would be taken out" in capsys.readouterr().out
    assert {row["event_id"] for row in world.rows("silver.events")} == before
    for _ in range(2):
        with home_at(world.home):
            withdraw(world.lake, "sandbox_site", str(DAY), True, "test", lambda _: None)
        world.held.clear()
        assert len(world.rows("silver.events")) == len(GOOD_EVENTS)
        assert not any(row["is_conflict"] for row in world.rows("silver.events"))
    world.run(DAY, NEXT_DAY, ("identity", "journeys", "attribution"), changed=True)
    assert not [row for row in world.rows("journeys.sessions") if row["utm_campaign"]]
    assert [row["value_amount"] for row in world.rows("journeys.conversions", conversion_type="lead")] == [Decimal("12.50")]
    assert all(read_arrow(world.lake.root, "ops.ledger")["is_closed"].to_pylist())


def test_a_slice_that_nobody_delivered_is_named(world):
    with home_at(world.home), pytest.raises(ThroughlineError, match="no slice '2020-01-01'"):
        withdraw(world.lake, "sandbox_site", "2020-01-01", True, "test", lambda _: None)

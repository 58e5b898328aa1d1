"""What came out wrong for somebody once, against what is right: ../shared/data/reports has a folder per report, with its input.

Costs about four minutes on two cores: a small lake per report.
"""

import datetime as dt
import json
from decimal import Decimal

import pytest

from conf.settings import platform
from spark_jobs.report.facts import facts_of
from tests.real import reports
from tests.real.reports import DAY, NEXT_DAY
from tests.whole.worlds import hashes

MODELS = {"first", "last", "last_non_direct", "linear", "position", "time_decay"}
ADDRESS = "ann.smith@mail.example"
ZERO = Decimal(0)


@pytest.fixture(scope="module")
def folder(shared_data):
    """The reports' inputs."""
    path = shared_data / "reports"
    if not path.is_dir():
        pytest.skip("the reports (../shared/data/reports) are not beside this clone")
    return path


@pytest.fixture(scope="module")
def world(spark, folder, tmp_path_factory):
    """The lake that most of the reports share."""
    return reports.shared_world(spark, folder, tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def at_once(spark, folder, tmp_path_factory):
    """Two days of the shop, built by one run."""
    return reports.two_days_at_once(spark, folder, tmp_path_factory.mktemp("at-once"))


@pytest.fixture(scope="module")
def alone(spark, folder, tmp_path_factory, at_once):
    """The same days, each built by a run of its own."""
    return reports.day_by_day(spark, folder, tmp_path_factory.mktemp("alone"), at_once, changed=False)


@pytest.fixture(scope="module")
def with_changed(spark, folder, tmp_path_factory, at_once):
    """The same days, each built by a run of its own that also looks for what changed on other days."""
    return reports.day_by_day(spark, folder, tmp_path_factory.mktemp("with-changed"), at_once, changed=True)


@pytest.fixture(params=["at_once", "alone", "with_changed"])
def shop(request):
    """Each of the three."""
    return request.getfixturevalue(request.param)


def event(world, client_event_id):
    return world.row("silver.events", client_event_id=client_event_id)


def request_of(world, path):
    return world.row("silver.events", source="web_access", page_path=path)


def session_of(world, found):
    """The visit that an event belongs to."""
    keys = {one["identifier_key"] for one in found["identifiers"]}
    (visit,) = (one for one in world.rows("journeys.sessions") if one["client_key"] in keys)
    return visit


def total(rows, column):
    return sum((row[column] for row in rows if row[column] is not None), ZERO)


# --- access-log-escaped-quotes


def test_every_line_of_an_access_log_is_kept_as_a_request(world):
    assert len(world.rows("silver.events", source="web_access")) == 7 + 7 + 1
    assert world.rows("silver.events__quarantine", source="web_access") == []


def test_an_agent_with_a_quotation_mark_is_a_tablet_that_saw_a_page(world):
    found = request_of(world, "/tablets")
    assert (found["event_type"], found["event_name"], found["device_type"]) == ("page", "page_viewed", "tablet")
    assert (found["os"], found["is_bot"]) == ("Android", False)


def test_a_referrer_keeps_its_quotation_marks_and_is_a_search_engine(world):
    found = request_of(world, "/q")
    assert (found["event_type"], found["channel"]) == ("page", "Organic Search")
    assert found["referrer_url"] == 'https://www.bing.com/search?q="lamp"'


def test_a_request_in_absolute_form_says_its_address_itself(world):
    found = request_of(world, "/abs")
    assert (found["page_url"], found["event_type"]) == ("http://semicomplete.com/abs", "page")


def test_requests_that_never_came_are_garbage_or_no_page_are_a_servers(world):
    found = [one for one in world.rows("silver.events", source="web_access") if one["event_type"] != "page"]
    assert {(one["event_type"], one["event_name"]) for one in found} == {("server", "resource_requested")}
    assert sorted(json.loads(one["properties"])["status"] for one in found) == [400, 400, 400, 408]


# --- ad-report-by-network


def test_the_parts_of_an_ads_day_within_one_delivery_add_up(world):
    found = world.rows("silver.ad_spend", campaign_id="c1")
    assert {(one["spend_date"], one["currency"]) for one in found} == {(DAY, "GBP")}
    sums = [total(found, column) for column in ("spend_amount", "clicks", "impressions", "reporting_amount", "vendor_conversions")]
    assert sums == [15, 60, 10_000, 15, 1]
    assert total(found, "vendor_conversion_amount") == 50


@pytest.mark.parametrize(("table", "spend"), [("attribution.campaign_daily", "spend"), ("gold.campaign_daily", "spend_amount")])
def test_the_campaigns_day_has_the_spend_of_all_networks_under_every_model(world, table, spend):
    for model in MODELS:
        found = world.rows(table, campaign_id="c1", model=model, day=DAY)
        assert [total(found, column) for column in (spend, "clicks", "impressions")] == [15, 60, 10_000], model


# --- ai-fetchers


def test_what_fetches_pages_for_an_assistant_is_a_machine(world):
    assert {path: request_of(world, path)["is_bot"] for path in ("/a1", "/a2", "/a3", "/a4", "/a5", "/a6")} == dict.fromkeys(
        ("/a1", "/a2", "/a3", "/a4", "/a5", "/a6"), True
    )


def test_a_phone_whose_make_is_called_cubot_is_a_persons(world):
    found = request_of(world, "/a7")
    assert (found["is_bot"], found["bot_reason"], found["device_type"]) == (False, None, "mobile")
    assert session_of(world, found)["is_bot"] is False


def test_visits_of_what_fetches_for_an_assistant_are_no_peoples(world):
    visits = [session_of(world, request_of(world, path)) for path in ("/a1", "/a2", "/a3", "/a4", "/a5", "/a6")]
    assert [(one["is_bot"], one["person_id"]) for one in visits] == [(True, None)] * 6
    assert session_of(world, request_of(world, "/a7"))["person_id"] is not None


def test_no_prospect_comes_from_what_fetches_for_an_assistant(world):
    prospects = {one["person_id"] for one in world.rows("segments.memberships", segment_id="lifecycle_prospect")}

    def people(path):
        return {world.person_of(one["identifier_key"]) for one in request_of(world, path)["identifiers"]} - {None}

    assert people("/a7") & prospects
    for path in ("/a1", "/a2", "/a3", "/a4", "/a5", "/a6"):
        assert not people(path) & prospects, path


# --- csv-long-quoted-field


@pytest.fixture(scope="module")
def tickets(spark, folder, tmp_path_factory):
    """(records, lines set aside) by stream: a field of 250 lines, and one whose quote never closes."""
    home = tmp_path_factory.mktemp("tickets")
    world = reports.World(spark, home / "home")
    world.drop("reports_tickets", "closed", "tickets.csv", (folder / "csv-long-quoted-field/tickets.csv").read_bytes())
    world.drop("reports_tickets", "open", "tickets.csv", b'ticket_id,body\n81,Hello\n82,"never closed\n83,Thanks\n84,Bye\n')
    with reports.conf_with(home / "conf", reports.TICKETS):
        world.take_in(("reports_tickets",), DAY, DAY)
    found = {}
    for stream in ("closed", "open"):
        payloads = [one["payload"] for one in sorted(world.rows(f"bronze.reports_tickets__{stream}"), key=lambda one: one["_row"])]
        found[stream] = ([json.loads(one) for one in payloads if one.startswith("{")], [one for one in payloads if not one.startswith("{")])
    return found


def test_a_closed_field_of_250_lines_is_one_field(tickets):
    records, others = tickets["closed"]
    assert [one["ticket_id"] for one in records] == ["71", "72"] and others == []
    lines = records[0]["body"].split("\n")
    assert (len(lines), lines[0], lines[-1]) == (250, "> line 0, quoted from the last answer", "> line 249, quoted from the last answer")
    assert records[1]["body"] == "Thanks"


def test_a_quote_that_never_closes_costs_its_own_line_alone(tickets):
    records, others = tickets["open"]
    assert records == [{"ticket_id": "81", "body": "Hello"}, {"ticket_id": "83", "body": "Thanks"}, {"ticket_id": "84", "body": "Bye"}]
    assert others == ['82,"never closed']


# --- gclid-in-landing-url


@pytest.mark.parametrize(
    ("name", "kind", "value", "channel"),
    [
        ("A1", "gclid", "EAIaIQobChMI-x", "Paid Search"),
        ("A2", "gbraid", "0AAAA", "Paid Search"),
        ("A3", "wbraid", "CjgK", "Paid Search"),
        ("A4", "msclkid", "abc123", "Paid Search"),
        ("A5", "fbclid", "IwAR0x", "Paid Social"),
        ("A6", "ttclid", "E.C.P.x", "Paid Social"),
        ("A7", "gclid", "EAIa", "Paid Search"),
        ("A8", None, None, "Organic Search"),
    ],
)
def test_a_click_id_in_the_landing_pages_address_says_the_channel(world, name, kind, value, channel):
    found = event(world, name)
    assert (found["click_id_type"], found["click_id"], found["channel"]) == (kind, value, channel)
    assert session_of(world, found)["channel"] == channel


def test_a_click_id_in_an_access_logs_line_says_the_channel(world):
    found = request_of(world, "/")
    assert (found["click_id_type"], found["click_id"], found["channel"]) == ("gclid", "EAIaIQ", "Paid Search")


# --- json-member-order


@pytest.mark.parametrize(("name", "properties"), [("K1", {"form": "demo", "plan": "pro"}), ("K2", {"form": "demo", "seats": 5})])
def test_a_retry_that_is_written_another_way_is_the_same_event_and_one_lead(world, name, properties):
    found = event(world, name)
    assert (found["is_conflict"], json.loads(found["properties"])) == (False, properties)
    assert found["received_at"] == dt.datetime(2026, 3, 25, 10, 0, 1, tzinfo=dt.UTC)
    (visit,) = {one["identifier_key"] for one in found["identifiers"]}
    leads = world.rows("journeys.conversions", conversion_type="lead", person_id=world.person_of(visit))
    assert [one["conversion_id"] for one in leads] == [f"event:{found['event_id']}"]


def test_a_changed_value_under_the_same_id_stays_a_conflict(world):
    found = world.rows("silver.events", client_event_id="K3")
    assert [one["is_conflict"] for one in found] == [True, True]
    assert sorted(json.loads(one["properties"])["plan"] for one in found) == ["free", "pro"]


def test_both_retries_are_duplicates_in_the_ledger(world):
    ledger = world.rows("ops.ledger", table_name="silver.events", source="sandbox_site")
    assert [(one["duplicates"], one["quarantined"], one["is_closed"]) for one in ledger if one["rows_in"]] == [(2, 0, True)]


# --- order-in-two-currencies


def test_an_order_in_two_currencies_is_what_its_lines_are_worth_or_set_aside(world):
    orders = world.rows("silver.orders", order_id="V1")
    conversions = world.rows("journeys.conversions", order_id="V1")
    if not orders:
        assert world.aside("silver.orders", "V1") or world.aside("silver.order_lines", '"V1"')
        assert conversions == []
        return
    assert [one["reporting_amount"] for one in orders] == [Decimal("16.65")]
    assert orders[0]["net_amount"] != 18 and orders[0]["lines"] == 2
    assert [one["reporting_amount"] for one in conversions] == [Decimal("16.65")]


def test_no_day_of_orders_adds_up_numbers_of_two_currencies(world):
    days = [one for one in world.rows("gold.orders_daily", source="sandbox_shop") if one["currency"] != "KWD"]
    was_set_aside = not world.rows("silver.orders", order_id="V1")
    assert total(days, "reporting_amount") == (ZERO if was_set_aside else Decimal("16.65"))
    assert all(one["currency"] == "GBP" and one["net_amount"] == Decimal("16.65") for one in days)


# --- order-line-set-to-zero


def test_a_line_that_the_next_day_sets_to_zero_is_off_its_order(shop):
    order = shop.row("silver.orders", order_id="F1")
    assert (order["net_amount"], order["gross_amount"], order["order_date"]) == (40, 40, DAY)
    lines = {one["line_number"]: (one["quantity"], one["line_amount"]) for one in shop.rows("silver.order_lines", order_id="F1")}
    assert lines.pop(1) == (1, 40)
    assert lines in ({}, {2: (0, 0)})
    assert shop.rows("silver.order_lines__quarantine") == []


def test_the_conversion_of_an_order_with_a_line_set_to_zero_is_worth_the_rest(shop):
    conversion = shop.row("journeys.conversions", order_id="F1")
    assert (conversion["value_amount"], conversion["reporting_amount"], conversion["conversion_date"]) == (40, 40, DAY)


# --- order-over-two-days


def test_an_order_over_two_days_is_one_order_of_its_first_day(shop):
    order = shop.row("silver.orders", order_id="H1")
    assert (order["order_date"], order["lines"], order["net_amount"]) == (DAY, 2, 60)
    assert order["ordered_at"] == dt.datetime(2026, 3, 25, 12, 20, tzinfo=dt.UTC)
    days = {one["line_number"]: one["order_date"] for one in shop.rows("silver.order_lines", order_id="H1")}
    assert days == {1: DAY, 2: DAY}
    dates = {one["order_id"]: one["order_date"] for one in shop.rows("silver.orders")}
    assert dates == {"H1": DAY, "K1": DAY, "F1": DAY, "K2": NEXT_DAY}


def test_an_order_over_two_days_is_one_conversion_and_one_order_of_the_day(shop):
    conversion = shop.row("journeys.conversions", conversion_id="sandbox_shop:H1")
    assert (conversion["conversion_date"], conversion["value_amount"]) == (DAY, 60)
    orders = {one["day"]: (one["orders"], one["net_amount"]) for one in shop.rows("gold.orders_daily")}
    # 60.00 + 7.00 + 40.00
    assert orders == {DAY: (3, 107), NEXT_DAY: (1, 7)}


@pytest.fixture(scope="module")
def of_one_run(at_once):
    """The rows and hash of each table that one run left."""
    return hashes(at_once.lake)


@pytest.mark.parametrize("days", ["alone", "with_changed"])
def test_days_built_one_by_one_leave_the_tables_of_one_run(request, at_once, of_one_run, days):
    world = request.getfixturevalue(days)
    found = hashes(world.lake)
    # these two say since when it is known, which is the end of the run's last day
    told = {"identity.person_map", "identity.persons"}
    assert {name for name in of_one_run if found.get(name) != of_one_run[name]} - told == set()
    for name in told:
        one, other = (
            [{k: v for k, v in r.items() if k not in ("valid_from", "minted_at")} for r in w.rows(name)] for w in (world, at_once)
        )
        assert sorted(one, key=str) == sorted(other, key=str)


# --- parquet-float-ids


def test_a_whole_number_that_became_a_float_is_the_same_buyer(world):
    keys = {
        one["order_id"]: [i["identifier_key"] for i in one["identifiers"]] for one in world.rows("silver.order_lines", source="reports_ids")
    }
    assert len(keys["o3"]) == 1
    assert (keys["o1"], keys["o4"], keys["o2"]) == (keys["o3"], keys["o3"], [])
    people = {world.row("journeys.conversions", order_id=order)["person_id"] for order in ("o1", "o3", "o4")}
    assert len(people) == 1 and people != {None}


def test_a_user_id_that_became_a_float_is_the_same_user(world):
    one, other = (world.row("silver.order_lines", order_id=order)["identifiers"] for order in ("m1", "m2"))
    assert one == other and len(one) == 1


# --- parquet-nanoseconds


@pytest.fixture(scope="module")
def nanoseconds(spark, folder, tmp_path_factory):
    """A lake of three Parquet files of one stream, two of which have timestamps in nanoseconds."""
    home = tmp_path_factory.mktemp("nanoseconds")
    world = reports.World(spark, home / "home")
    for path in (folder / "parquet-nanoseconds").glob("*.parquet"):
        world.drop("reports_nanoseconds", "orders", path.name, path.read_bytes())
    with reports.conf_with(home / "conf", reports.NANOSECONDS):
        world.take_in(("reports_nanoseconds",), DAY, DAY)
        world.run(DAY, DAY, ("silver.order_lines",))
    return world


def test_timestamps_in_nanoseconds_are_loaded_to_the_microsecond(nanoseconds):
    records = [json.loads(one["payload"]) for one in nanoseconds.rows("bronze.reports_nanoseconds__orders")]
    assert sorted((one["order_id"], one["ordered_at"].removesuffix("Z").removesuffix("+00:00").ljust(26, "0")) for one in records) == [
        ("o1", "2026-03-25T10:00:00.123456"),
        ("o2", "2026-03-25T11:00:00.000000"),
        ("o3", "2026-03-25T10:00:00.123456"),
        ("o4", "2026-03-25T12:00:00.000000"),
    ]


def test_timestamps_in_nanoseconds_are_instants_in_silver(nanoseconds):
    instants = {one["order_id"]: (one["ordered_at"], one["line_amount"]) for one in nanoseconds.rows("silver.order_lines")}
    assert instants == {
        "o1": (dt.datetime(2026, 3, 25, 10, 0, 0, 123456, tzinfo=dt.UTC), 5),
        "o2": (dt.datetime(2026, 3, 25, 11, tzinfo=dt.UTC), 6),
        "o3": (dt.datetime(2026, 3, 25, 10, 0, 0, 123456, tzinfo=dt.UTC), 7),
        "o4": (dt.datetime(2026, 3, 25, 12, tzinfo=dt.UTC), 8),
    }


# --- personal-data-in-urls


def test_no_text_of_any_table_holds_the_address_in_any_form(world):
    layers = ("silver", "identity", "journeys", "attribution", "segments", "gold")
    holders = {(table, column, text) for table, column, text in world.texts(layers) if ADDRESS in reports.without_escapes(text)}
    assert holders == set()


@pytest.mark.parametrize("name", ["J1", "J2", "J3", "J4", "J5", "J6", "J7", "J8"])
def test_an_event_with_an_address_in_it_is_kept_without_it(world, name):
    found = event(world, name)
    held = {
        column: text for column, value in found.items() for text in reports.texts_in(value) if "ann.smith" in reports.without_escapes(text)
    }
    assert held == {}
    assert found["event_at"] == dt.datetime(2026, 3, 25, 10, tzinfo=dt.UTC)


def test_what_else_an_address_of_a_page_says_stays(world):
    assert event(world, "J1")["page_url"].endswith("x=1") and event(world, "J2")["page_url"].endswith("x=1")
    assert [event(world, name)["page_path"] for name in ("J1", "J2", "J3")] == ["/u"] * 3
    assert (event(world, "J4")["utm_source"], event(world, "J4")["channel"]) == ("newsletter", "Email")
    assert event(world, "J7")["page_path"].startswith("/unsubscribe/")


def test_a_campaign_that_is_an_address_earns_without_it(world):
    (visitor,) = {one["identifier_key"] for one in event(world, "J8")["identifiers"]}
    lead = world.row("journeys.conversions", conversion_type="lead", person_id=world.person_of(visitor))
    credits = world.rows("attribution.credits", conversion_id=lead["conversion_id"])
    assert {one["model"] for one in credits} == MODELS and {one["channel"] for one in credits} == {"Email"}
    assert not any("ann.smith" in str(one["campaign_id"]) for one in credits)


# --- phone-forms


def phone_keys(world, contact):
    return [one["identifier_key"] for one in world.row("silver.contacts", contact_id=contact)["identifiers"] if one["namespace"] == "phone"]


def people_of(world, *contacts):
    """The persons of contacts, by all their identifiers."""
    return {world.person_of(i["identifier_key"]) for name in contacts for i in world.row("silver.contacts", contact_id=name)["identifiers"]}


def test_the_forms_of_one_telephone_number_are_one_key_and_one_person(world):
    names = ("L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8")
    keys = {name: phone_keys(world, name) for name in names}
    assert keys == dict.fromkeys(names, keys["L2"]) and len(keys["L2"]) == 1
    assert len(people_of(world, *names)) == 1


def test_a_zero_in_brackets_is_no_part_of_a_number(world):
    assert phone_keys(world, "M1") == phone_keys(world, "M2") != []
    assert len(people_of(world, "M1", "M2")) == 1
    assert people_of(world, "M1").isdisjoint(people_of(world, "L1"))


def test_a_national_number_with_its_records_country_is_the_same_number(world):
    assert phone_keys(world, "L9") == phone_keys(world, "L2")
    assert people_of(world, "L9") == people_of(world, "L2")


def test_the_vault_holds_the_two_numbers_as_e_164(world):
    values = {one["value"] for one in world.rows("vault.identifiers", namespace="phone")}
    assert values == {"+442079460958", "+4930901820"}


# --- refund-with-shipping-and-tax


@pytest.mark.parametrize("order", ["d1", "d2"])
def test_an_order_paid_back_with_tax_and_shipping_is_refunded_and_worth_nothing(world, order):
    found = world.row("silver.orders", order_id=order)
    assert (found["status"], found["net_amount"], found["tax_amount"], found["shipping_amount"]) == ("refunded", 100, 20, 5)
    conversions = world.rows("journeys.conversions", order_id=order)
    assert {one["conversion_type"] for one in conversions} == {"order", "refund"}
    assert [total(conversions, column) for column in ("value_amount", "reporting_amount")] == [0, 0]
    assert world.row("journeys.conversions", conversion_id=f"reports_shop:{order}")["value_amount"] == 100


@pytest.mark.parametrize("order", ["d1", "d2"])
def test_every_touch_of_an_order_paid_back_nets_to_nothing_under_every_model(world, order):
    ids = {one["conversion_id"] for one in world.rows("journeys.conversions", order_id=order)}
    credits = [one for one in world.rows("attribution.credits") if one["conversion_id"] in ids]
    assert [one for one in credits if one["reason"] is not None] == []
    sums, earned = {}, {}
    for one in credits:
        key = (one["model"], one["touchpoint_id"])
        sums[key] = sums.get(key, ZERO) + one["credit_amount"]
        earned[one["model"]] = earned.get(one["model"], ZERO) + max(one["credit_amount"], ZERO)
    assert {model for model, _ in sums} == MODELS and len(sums) == len(MODELS)
    assert set(sums.values()) == {ZERO}
    assert earned == dict.fromkeys(MODELS, Decimal(100))
    assert {(one["channel"], one["campaign_id"]) for one in credits} == {("Paid Search", "spring")}


def test_the_channels_days_and_the_report_take_back_what_they_gave(world):
    for model in MODELS:
        days = {one["day"]: one["revenue_amount"] for one in world.rows("gold.channel_daily", model=model, channel="Paid Search")}
        assert days == {DAY: 200, NEXT_DAY: -200}, model
        assert total(world.rows("gold.campaign_daily", model=model, campaign_id="spring"), "revenue_amount") == 0
        other = world.rows("gold.channel_daily", model=model, day=NEXT_DAY)
        assert {one["channel"]: one["revenue_amount"] for one in other if one["revenue_amount"]} == {"Paid Search": -200}
    assert world.rows("gold.unattributed_daily", day=NEXT_DAY) == []
    shown = facts_of(world.home / "lake", platform(), dt.datetime.now(dt.UTC)).by_model
    revenue = {model: {bar["channel"]: bar["revenue"] for bar in shown[model]["bars"]} for model in MODELS}
    assert {model: bars["Paid Search"] for model, bars in revenue.items()} == dict.fromkeys(MODELS, ZERO)


# --- sub-cent-ad-spend


@pytest.mark.parametrize(("table", "spend"), [("attribution.campaign_daily", "spend"), ("gold.campaign_daily", "spend_amount")])
def test_a_hundred_ads_of_half_a_cent_cost_49_cents(world, table, spend):
    for model in MODELS:
        found = world.rows(table, campaign_id="c2", model=model, day=DAY)
        assert total(found, spend) == Decimal("0.49"), model
        assert total(found, "impressions") == 100


# --- three-decimal-currency


@pytest.mark.parametrize(
    ("order", "lines", "line", "net", "reported"), [("I1", 10, "0.125", "1.250", "3.13"), ("I2", 3, "1.235", "3.705", "9.26")]
)
def test_amounts_of_a_currency_with_three_decimals_are_exact(world, order, lines, line, net, reported):
    amounts = [one["line_amount"] for one in world.rows("silver.order_lines", order_id=order)]
    assert amounts == [Decimal(line)] * lines
    found = world.row("silver.orders", order_id=order)
    assert (found["net_amount"], found["currency"], found["reporting_amount"]) == (Decimal(net), "KWD", Decimal(reported))
    conversion = world.row("journeys.conversions", order_id=order)
    assert (conversion["value_amount"], conversion["reporting_amount"]) == (Decimal(net), Decimal(reported))


def test_a_days_orders_in_a_currency_with_three_decimals_are_exact(world):
    found = world.row("gold.orders_daily", currency="KWD")
    assert (found["orders"], found["net_amount"], found["reporting_amount"]) == (2, Decimal("4.955"), Decimal("12.39"))


# --- time-zone-abbreviation


@pytest.mark.parametrize(("order", "hour"), [("BST", 9), ("PST", 18), ("GMT", 10), ("CEST", 8), ("PDT", 17)])
def test_a_time_with_a_zones_abbreviation_is_the_right_instant_or_set_aside(world, order, hour):
    instants = [one["ordered_at"] for one in world.rows("silver.order_lines", order_id=order)]
    reasons = world.aside("silver.order_lines", f'"{order}"')
    assert (instants, reasons) in (
        ([dt.datetime(2026, 7, 10, hour, 11, 12, tzinfo=dt.UTC)], []),
        ([], ["bad_value:ordered_at"]),
    )


# --- utm-percent-sign


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("B1", {"utm_source": "google", "utm_medium": "cpc", "utm_campaign": "spring-20%-off"}),
        ("B2", {"utm_source": "newsletter", "utm_medium": "email%", "utm_campaign": "100%cotton"}),
        ("B3", {"utm_source": "google", "utm_medium": "cpc", "utm_campaign": "50% off été"}),
        ("B4", {"utm_source": "partner", "utm_medium": "referral", "utm_campaign": "caf\ufffd", "utm_term": "%"}),
    ],
)
def test_a_percent_sign_that_begins_no_escape_stays_as_it_is(world, name, tags):
    found = event(world, name)
    assert {tag: found[tag] for tag in tags} == tags
    assert found["page_path"] == "/"


def test_a_tag_with_a_percent_sign_is_a_campaign_that_earns(world):
    assert event(world, "B1")["channel"] == "Paid Search"
    (visitor,) = {one["identifier_key"] for one in event(world, "B1")["identifiers"]}
    lead = world.row("journeys.conversions", conversion_type="lead", person_id=world.person_of(visitor))
    credits = world.rows("attribution.credits", conversion_id=lead["conversion_id"])
    assert sorted((one["model"], one["channel"], one["campaign_id"]) for one in credits) == [
        (model, "Paid Search", "spring-20%-off") for model in sorted(MODELS)
    ]

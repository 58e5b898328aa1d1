"""silver.orders: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

import pytest

from conf.settings import platform
from spark_jobs.silver.orders import COLUMNS, sum_orders

NOON = dt.datetime(2026, 1, 5, 12)


def line(**changes):
    row = dict(
        order_id="o1",
        source="shop",
        line_number=1,
        order_date=NOON.date(),
        ordered_at=NOON,
        updated_at=NOON,
        identifiers=[("shop.user_id", "k1")],
    )
    return row | dict(quantity=Decimal(2), line_amount=Decimal("10.00"), currency="GBP") | changes


def refund(amount, **changes):
    return dict(refund_id="r", source="shop", order_id="o1", amount=Decimal(amount), updated_at=NOON + dt.timedelta(days=3)) | changes


@pytest.fixture
def orders(rows_of):
    def run(lines, refunds=(), rates=()):
        given = [dict(rate_date=d, currency=c, rate=Decimal(r)) for d, c, r in rates]
        tables = rows_of("silver.order_lines", list(lines)), rows_of("silver.refunds", list(refunds)), rows_of("silver.fx_rates", given)
        result = sum_orders(*tables, platform(), "shop")
        assert tuple(result.columns) == COLUMNS
        return result.orderBy("order_id").collect()

    return run


def test_an_order_is_the_sum_of_its_lines(orders):
    second = line(line_number=2, ordered_at=NOON - dt.timedelta(minutes=1), line_amount=Decimal("5.00"), discount_amount=Decimal("1.50"),
                  tax_amount=Decimal("2.00"), shipping_amount=Decimal("3.00"), coupon_code="SPRING")  # fmt: skip
    (order,) = orders([line(), second])
    amounts = [
        f"{order[c]:.2f}" for c in ("gross_amount", "discount_amount", "tax_amount", "shipping_amount", "net_amount", "refunded_amount")
    ]
    assert amounts == ["15.00", "1.50", "2.00", "3.00", "13.50", "0.00"]
    assert (order["lines"], order["units"], order["ordered_at"], order["coupon_code"]) == (2, 4, NOON - dt.timedelta(minutes=1), "SPRING")
    assert (order["status"], order["reporting_amount"], order["is_sample"]) == ("completed", Decimal("13.50"), False)


def test_refunds_add_up_and_decide_the_status(orders):
    lines = [line(), line(order_id="o2"), line(order_id="o3"), line(order_id="o4", order_status="cancelled")]
    refunds = [refund("4.00"), refund("6.00", refund_id="r2"), refund("9.99", order_id="o2"), refund("99.00", order_id=None)]
    found = orders(lines, refunds)
    assert [o["status"] for o in found] == ["refunded", "partially_refunded", "completed", "cancelled"]
    assert [f"{o['refunded_amount']:.2f}" for o in found] == ["10.00", "9.99", "0.00", "0.00"]
    assert found[0]["updated_at"] == NOON + dt.timedelta(days=3) and found[2]["updated_at"] == NOON


def test_another_currency_takes_the_day_s_rate_or_none(orders):
    lines = [line(currency="USD"), line(order_id="o2", currency="SEK"), line(order_id="o3")]
    rates = [(NOON.date(), "USD", "0.80000000"), (dt.date(2026, 1, 4), "SEK", "0.08000000")]
    assert [o["reporting_amount"] for o in orders(lines, rates=rates)] == [Decimal("8.00"), None, Decimal("10.00")]


def test_the_buyer_is_the_first_one_known_and_may_be_nobody(orders):
    found = orders([line(identifiers=None), line(line_number=2), line(order_id="o2", identifiers=[])])
    assert [[i["identifier_key"] for i in o["identifiers"]] for o in found] == [["k1"], []]


def test_the_same_order_id_of_another_source_stays_out(orders):
    assert len(orders([line(), line(source="till")])) == 1


def test_a_sample_says_so_and_a_free_order_is_completed(orders):
    (order,) = orders([line(is_sample=True, line_amount=Decimal("0.00"))])
    assert (order["is_sample"], order["status"], order["net_amount"]) == (True, "completed", Decimal("0.00"))


def test_an_order_in_two_currencies_is_summed_in_the_reporting_currency(orders):
    lines = [line(line_amount=Decimal("9.00"), is_mixed_currency=True)]
    lines += [line(line_number=2, line_amount=Decimal("9.00"), currency="EUR", is_mixed_currency=True)]
    (order,) = orders(lines, rates=[(NOON.date(), "EUR", "0.85")])
    assert (order["net_amount"], order["currency"], order["reporting_amount"]) == (Decimal("16.65"), "GBP", Decimal("16.65"))
    assert order["is_mixed_currency"]


def test_an_order_in_two_currencies_without_a_rate_is_worth_nobody_knows_what(orders):
    lines = [line(is_mixed_currency=True), line(line_number=2, currency="EUR", is_mixed_currency=True)]
    assert (orders(lines)[0]["gross_amount"], orders(lines)[0]["reporting_amount"]) == (None, None)


def test_amounts_with_three_decimals_are_summed_before_they_are_rounded(orders):
    lines = [line(line_number=n, line_amount=Decimal("0.125"), currency="KWD") for n in range(10)]
    (order,) = orders(lines, rates=[(NOON.date(), "KWD", "2.5")])
    assert (order["net_amount"], order["reporting_amount"]) == (Decimal("1.250"), Decimal("3.13"))


def test_an_order_is_refunded_when_all_that_was_paid_came_back(orders):
    taxed = line(tax_amount=Decimal("2.00"), shipping_amount=Decimal("1.00"))
    found = orders([taxed, taxed | {"order_id": "o2"}], [refund("13.00"), refund("10.00", order_id="o2")])
    assert [o["status"] for o in found] == ["refunded", "partially_refunded"]


def test_a_refund_in_another_currency_counts_in_its_orders(orders):
    (order,) = orders([line()], [refund("5.00", currency="EUR")], rates=[(NOON.date(), "EUR", "0.80")])
    assert order["refunded_amount"] == Decimal("4.00")

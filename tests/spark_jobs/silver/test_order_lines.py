"""silver.order_lines: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

import pytest

from spark_jobs.silver.order_lines import conform_order_lines, with_line_amount

LATE = dt.datetime(2026, 1, 5, 23, 59)


def line(**changes):
    row = dict(order_id="o1", ordered_at=LATE, product_id="p1", quantity=Decimal("2.000"), unit_amount=Decimal("1.5000"), currency="GBP")
    return row | changes


@pytest.fixture
def conformed(scrubbed, rows_of):
    """The given lines in order, after what is stored of their orders and changes with them."""

    def conformed(*lines, stored=()):
        given = with_line_amount(scrubbed("silver.order_lines", [line(source="shop") | one for one in lines]))
        return conform_order_lines(given, rows_of("silver.order_lines", list(stored))).orderBy("_source_row", "line_number").collect()

    return conformed


def stored_line(**changes):
    order_date = changes.get("ordered_at", LATE).date()
    return (
        line(source="shop", line_number=1, line_amount=Decimal("3.00"), order_date=order_date, updated_at=changes.get("ordered_at", LATE))
        | changes
    )


def test_lines_without_numbers_are_numbered_by_what_they_say(conformed):
    found = conformed(line(product_id="p2"), line(product_id="p1"), line(order_id="o2", product_id="p9"))
    assert [row["line_number"] for row in found] == [2, 1, 1]


def test_two_identical_lines_of_one_delivery_stay_two(conformed):
    assert sorted(row["line_number"] for row in conformed(line(), line())) == [1, 2]


def test_the_same_delivery_again_has_the_same_numbers(conformed):
    found = conformed(line(), line(product_id="p2"), line(product_id="p2", _attempt=2), line(_attempt=2))
    assert [row["line_number"] for row in found] == [1, 2, 2, 1]


def test_a_given_number_and_amount_stand(conformed):
    (found,) = conformed(line(line_number=7, line_amount=Decimal("2.99")))
    assert (found["line_number"], found["line_amount"], found["updated_at"]) == (7, Decimal("2.99"), LATE)


def test_an_amount_that_is_not_given_is_quantity_times_price(conformed):
    assert conformed(line(unit_amount=Decimal("0.0050")))[0]["line_amount"] == Decimal("0.01")


def test_an_order_over_midnight_lies_on_its_first_day(conformed):
    found = conformed(line(), line(product_id="p2", ordered_at=dt.datetime(2026, 1, 6)))
    assert [row["order_date"] for row in found] == [dt.date(2026, 1, 5)] * 2


def test_a_line_set_aside_takes_no_number_and_no_day(conformed):
    found = conformed(line(), line(ordered_at=dt.datetime(2025, 1, 1), product_id="a", _reason="stock_adjustment"))
    assert (found[0]["line_number"], found[0]["order_date"], found[1]["_reason"]) == (1, dt.date(2026, 1, 5), "stock_adjustment")


def test_a_line_that_comes_a_day_later_lies_on_its_orders_day(conformed):
    (found,) = conformed(line(line_number=2, ordered_at=dt.datetime(2026, 1, 6, 8)), stored=[stored_line()])
    assert (found["order_date"], found["_restated"]) == (dt.date(2026, 1, 5), False)


def test_an_earlier_line_that_comes_later_moves_what_is_stored_of_its_order(conformed):
    later, other = stored_line(ordered_at=dt.datetime(2026, 1, 6, 8)), stored_line(order_id="o2", ordered_at=dt.datetime(2026, 1, 6))
    found = conformed(line(line_number=2), stored=[later, other])
    assert [(row["order_id"], row["line_number"], row["order_date"], row["_restated"]) for row in found] == [
        ("o1", 1, dt.date(2026, 1, 5), True),
        ("o1", 2, dt.date(2026, 1, 5), False),
    ]


def test_a_corrected_line_is_judged_as_it_was_corrected(conformed):
    corrected = line(line_number=1, ordered_at=dt.datetime(2026, 1, 7), updated_at=dt.datetime(2026, 1, 8))
    found = conformed(corrected, stored=[stored_line()])
    # the stored version comes along and loses to the corrected one at the gate
    assert [(row["order_date"], row["ordered_at"].day, row["_restated"]) for row in found] == [
        (dt.date(2026, 1, 7), 5, True),
        (dt.date(2026, 1, 7), 7, False),
    ]


def test_an_order_with_lines_in_two_currencies_says_so_on_all_of_them(conformed):
    found = conformed(line(line_number=2, currency="EUR"), line(order_id="o2", line_number=1), stored=[stored_line()])
    assert [(row["order_id"], row["line_number"], row["is_mixed_currency"], row["_restated"]) for row in found] == [
        ("o1", 1, True, True),
        ("o1", 2, True, False),
        ("o2", 1, False, False),
    ]


def test_a_line_that_the_gate_sets_aside_decides_nothing_of_its_order(conformed):
    found = conformed(line(line_number=1), line(line_number=2, currency="pounds", ordered_at=dt.datetime(2026, 1, 1)))
    assert [(row["order_date"], row["is_mixed_currency"]) for row in found] == [(dt.date(2026, 1, 5), False)] * 2


def test_a_price_in_a_currency_with_three_decimals_keeps_them(conformed):
    found = conformed(*(line(line_number=n, currency=c, unit_amount=Decimal("0.6175")) for n, c in ((1, "KWD"), (2, "GBP"), (3, "JPY"))))
    assert [row["line_amount"] for row in found] == [Decimal("1.235"), Decimal("1.24"), Decimal(1)]


def test_a_description_names_nobody(conformed):
    (found,) = conformed(line(description="gift card for ann@mail.example"))
    assert found["description"] == "gift card for [email]"

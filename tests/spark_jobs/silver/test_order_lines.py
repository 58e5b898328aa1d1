"""silver.order_lines: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from spark_jobs.silver.order_lines import conform_order_lines, with_line_amount

LATE = dt.datetime(2026, 1, 5, 23, 59)


def line(**changes):
    row = dict(order_id="o1", ordered_at=LATE, product_id="p1", quantity=Decimal("2.000"), unit_amount=Decimal("1.5000"), currency="GBP")
    return row | changes


def conformed(mapped, *lines):
    return conform_order_lines(with_line_amount(mapped("silver.order_lines", list(lines)))).orderBy("_source_row").collect()


def test_lines_without_numbers_are_numbered_by_what_they_say(mapped):
    found = conformed(mapped, line(product_id="p2"), line(product_id="p1"), line(order_id="o2", product_id="p9"))
    assert [row["line_number"] for row in found] == [2, 1, 1]


def test_two_identical_lines_of_one_delivery_stay_two(mapped):
    assert sorted(row["line_number"] for row in conformed(mapped, line(), line())) == [1, 2]


def test_the_same_delivery_again_has_the_same_numbers(mapped):
    found = conformed(mapped, line(), line(product_id="p2"), line(product_id="p2", _attempt=2), line(_attempt=2))
    assert [row["line_number"] for row in found] == [1, 2, 2, 1]


def test_a_given_number_and_amount_stand(mapped):
    (found,) = conformed(mapped, line(line_number=7, line_amount=Decimal("2.99")))
    assert (found["line_number"], found["line_amount"], found["updated_at"]) == (7, Decimal("2.99"), LATE)


def test_an_amount_that_is_not_given_is_quantity_times_price(mapped):
    assert conformed(mapped, line(unit_amount=Decimal("0.0050")))[0]["line_amount"] == Decimal("0.01")


def test_an_order_over_midnight_lies_on_its_first_day(mapped):
    found = conformed(mapped, line(), line(product_id="p2", ordered_at=dt.datetime(2026, 1, 6)))
    assert [row["order_date"] for row in found] == [dt.date(2026, 1, 5)] * 2


def test_a_line_set_aside_takes_no_number_and_no_day(mapped):
    found = conformed(mapped, line(), line(ordered_at=dt.datetime(2025, 1, 1), product_id="a", _reason="stock_adjustment"))
    assert (found[0]["line_number"], found[0]["order_date"], found[1]["_reason"]) == (1, dt.date(2026, 1, 5), "stock_adjustment")

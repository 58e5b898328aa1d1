"""gold.orders_daily: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from conf.settings import platform
from spark_jobs.gold.orders_daily import count_orders

ORDERS = """order_id STRING, source STRING, ordered_at TIMESTAMP, status STRING,
    gross_amount DECIMAL(18,2), net_amount DECIMAL(18,2), refunded_amount DECIMAL(18,2),
    currency STRING, reporting_amount DECIMAL(18,2), is_sample BOOLEAN"""
JAN_5 = dt.date(2026, 1, 5)


def order(order_id, **changes):
    """A completed order of 12.00 less 2.00."""
    row = dict(
        order_id=order_id,
        source="shop",
        ordered_at=dt.datetime(2026, 1, 5, 12),
        status="completed",
        gross_amount=Decimal("12.00"),
        net_amount=Decimal("10.00"),
        refunded_amount=Decimal("0.00"),
        currency="USD",
        reporting_amount=Decimal("8.00"),
        is_sample=False,
    )
    return tuple((row | changes).values())


def counted(spark, *orders):
    rows = count_orders(spark.createDataFrame(list(orders), ORDERS), platform())
    return sorted((r.asDict() for r in rows.collect()), key=lambda r: (r["day"], r["source"], r["currency"], r["is_sample"]))


def test_orders_of_a_day_are_added_up(spark):
    (row,) = counted(spark, order("1"), order("2"), order("3"))
    assert row == {
        "day": JAN_5,
        "source": "shop",
        "currency": "USD",
        "is_sample": False,
        "orders": 3,
        "cancelled_orders": 0,
        "gross_amount": Decimal("36.00"),
        "net_amount": Decimal("30.00"),
        "refunded_amount": Decimal("0.00"),
        "reporting_amount": Decimal("24.00"),
        "reporting_currency": "GBP",
        "orders_without_rate": 0,
    }


def test_an_order_without_a_rate_is_left_out_of_the_reporting_amount_and_counted(spark):
    (row,) = counted(spark, order("1"), order("2", reporting_amount=None))
    assert (row["orders"], row["net_amount"], row["reporting_amount"], row["orders_without_rate"]) == (
        2,
        Decimal("20.00"),
        Decimal("8.00"),
        1,
    )


def test_a_day_without_any_rate_has_no_reporting_amount(spark):
    assert counted(spark, order("1", reporting_amount=None))[0]["reporting_amount"] is None


def test_cancelled_orders_are_counted_apart_and_in_no_amount(spark):
    (row,) = counted(spark, order("1"), order("2", status="cancelled", reporting_amount=None))
    assert (row["orders"], row["cancelled_orders"], row["net_amount"], row["orders_without_rate"]) == (1, 1, Decimal("10.00"), 0)


def test_currencies_and_samples_stay_apart(spark):
    rows = counted(spark, order("1"), order("2", currency="GBP"), order("3", is_sample=True))
    assert [(r["currency"], r["is_sample"], r["orders"]) for r in rows] == [("GBP", False, 1), ("USD", False, 1), ("USD", True, 1)]

"""silver.fx_rates: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from pyspark.sql import functions as F

from conf.tables import table
from spark_jobs.functions.fates import failing_checks
from spark_jobs.silver.fx_rates import conform_fx_rates

DAY = dt.date(2026, 1, 5)


def rate(value: str, currency: str = " usd ") -> dict[str, object]:
    return dict(rate_date=DAY, currency=currency, rate=Decimal(value))


def stored(spark, *rows: tuple[str, str, str]):
    """silver.fx_rates: (currency, rate, source)."""
    return spark.createDataFrame([(DAY, c, Decimal(value), source) for c, value, source in rows], table("silver.fx_rates").schema)


def test_rates_pass_as_stated_with_currencies_in_upper_case(spark, mapped):
    (row,) = conform_fx_rates(mapped("silver.fx_rates", [rate("0.80130000")]), stored(spark)).collect()
    assert (row["rate_date"], row["currency"], row["rate"], row["source"]) == (DAY, "USD", Decimal("0.80130000"), "shop")


def test_a_day_without_a_rate_is_not_invented(spark, mapped):
    assert conform_fx_rates(mapped("silver.fx_rates", []), stored(spark)).collect() == []


def test_of_two_sources_rates_that_of_the_last_by_name_stands_and_the_other_is_set_aside(spark, mapped):
    held = stored(spark, ("USD", "0.8", "till"), ("EUR", "0.9", "till"), ("KWD", "2.4", "bank"), ("JPY", "0.005", "shop"))
    given = [rate("0.9", "USD"), rate("0.9", "EUR"), rate("2.5", "KWD"), rate("0.006", "JPY")]
    found = conform_fx_rates(mapped("silver.fx_rates", given), held).collect()
    assert {row["currency"]: row["_reason"] for row in found} == {"USD": "rate_of_another_source", "EUR": None, "KWD": None, "JPY": None}


def test_a_rate_that_no_currency_has_is_set_aside_with_its_reason(spark, mapped):
    values = ["1000000000", "10000000", "0.0000001", "0.00000001", "0", "-1"]
    rows = conform_fx_rates(mapped("silver.fx_rates", [rate(value) for value in values]), stored(spark))
    judged = rows.withColumn("_why", F.coalesce(*failing_checks(table("silver.fx_rates"))))
    why = {row["rate"]: row["_why"] for row in judged.collect()}
    assert [why[Decimal(value)] for value in values] == [
        "rate_is_in_range",
        None,
        None,
        "rate_is_in_range",
        "rate_is_positive",
        "rate_is_positive",
    ]

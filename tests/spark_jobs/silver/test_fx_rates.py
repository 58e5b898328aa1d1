"""silver.fx_rates: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from spark_jobs.silver.fx_rates import conform_fx_rates


def test_rates_pass_as_stated_with_currencies_in_upper_case(mapped):
    rate = dict(rate_date=dt.date(2026, 1, 5), currency=" usd ", rate=Decimal("0.80130000"))
    (row,) = conform_fx_rates(mapped("silver.fx_rates", [rate])).collect()
    assert (row["rate_date"], row["currency"], row["rate"], row["source"]) == (dt.date(2026, 1, 5), "USD", Decimal("0.80130000"), "shop")


def test_a_day_without_a_rate_is_not_invented(mapped):
    assert conform_fx_rates(mapped("silver.fx_rates", [])).collect() == []

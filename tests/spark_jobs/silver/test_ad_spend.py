"""silver.ad_spend: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

import pytest

from conf.settings import platform
from conf.tables import table
from spark_jobs.silver.ad_spend import conform_ad_spend

JAN_5 = dt.date(2026, 1, 5)


def spend_row(**changes):
    row = dict(source="ads", account_id="a1", campaign_id="c1", ad_group_id="g1", ad_id="x1", spend_date=JAN_5)
    row |= dict(account_time_zone="Europe/Berlin", impressions=100, clicks=3, spend_amount=Decimal("12.340000"), currency="EUR")
    row |= dict(extracted_at=dt.datetime(2026, 1, 6, 4))
    return row | changes


@pytest.fixture
def spent(mapped, rows_of):
    def run(*rows, rate="1.10"):
        rates = rows_of("silver.fx_rates", [dict(rate_date=JAN_5, currency="EUR", rate=Decimal(rate))])
        return conform_ad_spend(mapped("silver.ad_spend", list(rows)), rates, platform()).orderBy("_source_row").collect()

    return run


def test_spend_is_converted_at_the_day_s_rate(spent):
    assert spent(spend_row())[0]["reporting_amount"] == Decimal("13.57")


def test_a_day_without_a_rate_keeps_the_spend_and_says_so(spent):
    (row,) = spent(spend_row(currency="SEK"))
    assert (row["spend_amount"], row["reporting_amount"]) == (Decimal("12.340000"), None)


def test_levels_that_a_vendor_lacks_are_empty_and_the_extraction_is_named(spent):
    (row,) = spent(spend_row(ad_group_id=None, ad_id=None, extracted_at=None))
    assert (row["ad_group_id"], row["ad_id"], row["extracted_at"]) == ("", "", dt.datetime(2026, 1, 20))


def test_every_delivery_of_a_day_reaches_the_engine_which_keeps_the_newest(spent):
    assert len(spent(spend_row(), spend_row(_attempt=2, spend_amount=Decimal("11.9")))) == 2
    assert table("silver.ad_spend").write.dedupe["keep"] == "last"

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
    assert spent(spend_row())[0]["reporting_amount"] == Decimal("13.574")


def test_a_day_without_a_rate_keeps_the_spend_and_says_so(spent):
    (row,) = spent(spend_row(currency="SEK"))
    assert (row["spend_amount"], row["reporting_amount"]) == (Decimal("12.340000"), None)


def test_levels_that_a_vendor_lacks_are_empty_and_the_extraction_is_named(spent):
    (row,) = spent(spend_row(ad_group_id=None, ad_id=None, extracted_at=None))
    assert (row["ad_group_id"], row["ad_id"], row["extracted_at"]) == ("", "", dt.datetime(2026, 1, 20))


def test_every_delivery_of_a_day_reaches_the_engine_which_keeps_the_newest(spent):
    assert len(spent(spend_row(), spend_row(_attempt=2, spend_amount=Decimal("11.9")))) == 2
    assert table("silver.ad_spend").write.dedupe["keep"] == "last"


def test_rows_of_one_delivery_for_one_ad_and_day_are_parts_that_add_up(spent):
    search, display = spend_row(_sha256="a", clicks=40), spend_row(_sha256="b", clicks=20)
    found = spent(search, display, search, spend_row(ad_id="x2", _sha256="c"))
    # the same record twice is one part
    assert [(row["ad_id"], row["clicks"], row["part"]) for row in found] == [("x1", 40, 1), ("x1", 20, 2), ("x1", 40, 1), ("x2", 3, 1)]


def test_the_parts_of_an_older_delivery_are_replaced_with_it(spent):
    older = [spend_row(_sha256=name, _slice_id="s0", _extracted_at=dt.datetime(2026, 1, 19)) for name in "ab"]
    assert [row["part"] for row in spent(*older, spend_row(_sha256="c"), spend_row(_sha256="d", _reason="bad"))] == [1, 1, 1, 1]


def test_spend_below_a_cent_is_not_rounded_away(spent):
    assert spent(spend_row(spend_amount=Decimal("0.004900")))[0]["reporting_amount"] == Decimal("0.00539")

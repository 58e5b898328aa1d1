"""Daily sums per channel: spend once per model, days of the reporting time zone."""

import datetime as dt
from decimal import Decimal

from conf.settings import platform, rules
from spark_jobs.attribution.channel_daily import sum_channels

CREDITS = "model STRING, converted_at TIMESTAMP, channel STRING, campaign_id STRING, credit DECIMAL(20,10), credit_amount DECIMAL(18,2), reason STRING"
SPEND = "spend_date DATE, channel STRING, campaign_id STRING, reporting_amount DECIMAL(18,2), impressions BIGINT, clicks BIGINT"
JULY_1 = dt.datetime(2026, 7, 1, 12)


def credit(model="linear", at=JULY_1, channel="Email", campaign="c1", credit="1", amount="10.00", reason=None):
    return (model, at, channel, campaign, Decimal(credit), Decimal(amount), reason)


def by_key(rows):
    return {(str(r.day), r.model, r.channel): (r.spend, r.conversions, r.revenue) for r in rows.collect()}


def build(spark, credits, spend):
    return sum_channels(spark.createDataFrame(credits, CREDITS), spark.createDataFrame(spend, SPEND), rules("attribution"), platform())


def test_spend_stands_once_per_model_however_many_credits_there_are(spark):
    rows = by_key(build(spark, [credit(), credit(credit="0.5", amount="5.00")], [(JULY_1.date(), "Email", "c1", Decimal("3.00"), 10, 2)]))
    assert rows["2026-07-01", "linear", "Email"] == (Decimal("3.00"), Decimal("1.5"), Decimal("15.00"))
    assert rows["2026-07-01", "first", "Email"] == (Decimal("3.00"), Decimal(0), Decimal("0.00"))


def test_a_day_is_the_reporting_zones_not_utcs(spark):
    late = dt.datetime(2026, 6, 30, 23, 30)
    assert ("2026-07-01", "linear", "Email") in by_key(build(spark, [credit(at=late)], []))


def test_a_channel_without_spend_has_none_not_zero(spark):
    assert by_key(build(spark, [credit()], []))["2026-07-01", "linear", "Email"][0] is None


def test_what_was_not_attributed_is_a_channel_of_its_own(spark):
    rows = by_key(build(spark, [credit(channel=None, campaign=None, reason="no_touch")], []))
    assert rows["2026-07-01", "linear", "Unattributed"] == (None, Decimal(1), Decimal("10.00"))

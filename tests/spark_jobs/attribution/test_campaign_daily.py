"""Daily sums per campaign: the same sums as per channel, one level deeper."""

import datetime as dt
from decimal import Decimal

from conf.settings import platform, rules
from spark_jobs.attribution.campaign_daily import sum_campaigns

CREDITS = "model STRING, converted_at TIMESTAMP, channel STRING, campaign_id STRING, credit DECIMAL(20,10), credit_amount DECIMAL(18,2), reason STRING"
SPEND = "spend_date DATE, channel STRING, campaign_id STRING, reporting_amount DECIMAL(18,2), impressions BIGINT, clicks BIGINT"
JULY_1 = dt.datetime(2026, 7, 1, 12)


def test_campaigns_are_kept_apart_and_one_without_credit_keeps_its_spend(spark):
    earned = [
        ("linear", JULY_1, "Email", name, Decimal(1), Decimal(amount), None)
        for name, amount in (("c1", "10.00"), ("c2", "7.00"), (None, "1.00"))
    ]
    spent = [(JULY_1.date(), "Display", "c9", Decimal("4.00"), 100, 1)]
    rows = sum_campaigns(
        spark.createDataFrame(earned, CREDITS), spark.createDataFrame(spent, SPEND), rules("attribution"), platform()
    ).where("model = 'linear'")
    found = {(r.channel, r.campaign_id): (r.spend, str(r.revenue)) for r in rows.collect()}
    assert found == {
        ("Email", "c1"): (None, "10.00"),
        ("Email", "c2"): (None, "7.00"),
        ("Email", ""): (None, "1.00"),
        ("Display", "c9"): (Decimal("4.00"), "0.00"),
    }

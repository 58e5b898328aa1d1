"""gold.campaign_daily: rows in, rows out, both written by hand."""

import datetime as dt
from decimal import Decimal

from conf.settings import platform
from spark_jobs.gold.campaign_daily import name_campaign_results

RESULTS = """day DATE, model STRING, channel STRING, campaign_id STRING, spend DECIMAL(18,2), impressions BIGINT, clicks BIGINT,
    conversions DECIMAL(20,10), revenue DECIMAL(18,2)"""
JAN_5 = dt.date(2026, 1, 5)
THEN, LATER = dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 3)


def result(campaign_id, **changes):
    """A day of one campaign under the linear model."""
    row = dict(
        day=JAN_5,
        model="linear",
        channel="Email",
        campaign_id=campaign_id,
        spend=None,
        impressions=None,
        clicks=None,
        conversions=Decimal("1"),
        revenue=Decimal("20.00"),
    )
    return tuple((row | changes).values())


def named(spark, results, campaigns=(), touches=()):
    """campaigns: (id, name, valid_from); touches: (id, name, touched_at)."""
    rows = name_campaign_results(
        spark.createDataFrame(list(results), RESULTS),
        spark.createDataFrame(list(campaigns), "campaign_id STRING, campaign_name STRING, valid_from TIMESTAMP"),
        spark.createDataFrame(list(touches), "campaign_id STRING, campaign_name STRING, touched_at TIMESTAMP"),
        platform(),
    )
    return {r["campaign_id"]: r.asDict() for r in rows.collect()}


def test_the_newest_name_that_the_vendor_gave_counts(spark):
    rows = named(spark, [result("c1")], [("c1", "Old", THEN), ("c1", "Spring", LATER)], [("c1", "tag", LATER)])
    assert rows["c1"]["campaign_name"] == "Spring"


def test_without_a_vendor_the_newest_name_on_a_touch_counts(spark):
    assert named(spark, [result("c1")], touches=[("c1", "old tag", THEN), ("c1", "new tag", LATER)])["c1"]["campaign_name"] == "new tag"


def test_a_campaign_nobody_named_keeps_its_id(spark):
    assert named(spark, [result("c1")], [("c2", "Other", THEN)])["c1"]["campaign_name"] is None


def test_credit_without_a_campaign_is_one_row_per_channel(spark):
    rows = named(spark, [result(None), result("")])
    assert (list(rows), rows[""]["revenue_amount"]) == ([""], Decimal("40.00"))

"""What ad vendors' APIs answer reaches silver as the vendors' files do: the same campaigns, ads and days, and the spend to the cent."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import BRONZE, candidates
from tests.connectors.sources.ads import account, make_world

# the stream with the figures, whether the vendor knows groups of ads, whose days it counts, and its account
VENDORS = {"meta_ads": ("insights", True, "Europe/London", "200"), "linkedin_ads": ("analytics", False, "UTC", "220")}
SPEND = (
    "campaign_id",
    "ad_group_id",
    "ad_id",
    "cast(spend_date as string)",
    "impressions",
    "clicks",
    "spend_amount",
    "vendor_conversions",
    "vendor_conversion_amount",
)
CAMPAIGN = (
    "campaign_id",
    "campaign_name",
    "channel",
    "status",
    # a file says the day, a vendor the instant at which it begins in the account's time zone
    "cast(cast(from_utc_timestamp(start_at, 'Europe/London') as date) as string)",
    "budget_amount",
    "currency",
    "date_format(valid_from, \"yyyy-MM-dd'T'HH:mm:ss\")",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", VENDORS)
def test_figures_and_campaigns_of_an_api_are_those_of_the_files(spark, world, tmp_path, monkeypatch, name):
    stream, has_groups, zone, account_id = VENDORS[name]
    monkeypatch.setattr("connectors.kernel.jobs.FIRST_WAIT", 0.01)
    with account(world, name, tmp_path, monkeypatch) as vendor:
        assert vendor.pull(stream).failures == vendor.pull("campaigns", is_named=False).failures == []
        rows = list(vendor.sandbox.served[name].spend("2026-10-24", "2026-11-20"))
        known = vendor.sandbox.served[name].newest("campaigns", "campaign_id")
    lake = Lake(spark, str(tmp_path / "lake"))
    for one in (stream, "campaigns"):
        parts = [file["path"] for attempt in vendor.newest(one).values() for file in attempt.manifest["files"]]
        bronze = spark.read.schema(BRONZE).json(parts).selectExpr("* except (_file)", "'part' as _file")
        bronze.write.format("delta").save(lake.path(f"bronze.{name}__{one}"))
    spent = candidates(lake, name, "silver.ad_spend", None, None)
    assert spent.where("_reason is not null or _superseded").count() == 0
    expected = {
        (
            row["campaign_id"],
            row["ad_group_id"] if has_groups else "",
            row["ad_id"],
            row["spend_date"],
            int(row["impressions"]),
            int(row["clicks"]),
            *(Decimal(row[key]) for key in ("spend", "conversions", "conversion_value")),
        )
        for row in rows
    }
    found = [tuple(row) for row in spent.selectExpr(*SPEND).collect()]
    assert len(found) == len(rows) and set(found) == expected
    shared = spent.selectExpr("currency", "account_time_zone", "channel", "account_id").distinct().collect()
    assert [tuple(row) for row in shared] == [("GBP", zone, "Paid Social", account_id)]
    campaigns = candidates(lake, name, "silver.campaigns", None, None)
    assert campaigns.where("_reason is not null").count() == 0
    said = {tuple(row) for row in campaigns.selectExpr(*CAMPAIGN).collect()}
    assert said == {
        (
            row["campaign_id"],
            row["name"],
            row["channel"],
            row["status"],
            row["starts_on"],
            Decimal(row["daily_budget"]),
            row["currency"],
            row["updated_at"][:19],
        )
        for row in known
    }

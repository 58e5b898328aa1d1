"""What Google Ads, GA4 and Mailchimp answer reaches silver as the files of the same rows do."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from connectors.kernel.landing import landed, newest_of
from connectors.sandbox.apis import server
from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import BRONZE, candidates
from tests.connectors.sources.pulled import NOW, make_world, pull

FIGURES = ("campaign_id", "ad_id", "cast(spend_date as string)", "impressions", "clicks", "spend_amount")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def pulled(spark, world, home, monkeypatch):
    """pulled("ga4"): the vendor's served rows, and a lake whose bronze has what was pulled of it."""

    def build(name):
        with server.serving(world, NOW) as sandbox:
            for key, value in sandbox.connections().items():
                monkeypatch.setenv(key, value)
            counts = pull(name, home)
        lake = Lake(spark, str(home / "lake"))
        for stream, count in counts.items():
            newest = newest_of(landed(home / "landing", name, stream)).values()
            parts = [str(Path(file["path"])) for one in newest for file in one.manifest["files"]]
            assert not count.failures
            rows = spark.read.schema(BRONZE).json(parts) if parts else spark.createDataFrame([], BRONZE)
            rows.selectExpr("* except (_file)", "'part' as _file").write.format("delta").save(lake.path(f"bronze.{name}__{stream}"))
        return sandbox.served[name], lake

    return build


@pytest.mark.parametrize(("name", "channels"), [("google_ads", {"Paid Search", "Paid Shopping"}), ("ga4", {"Paid Search", "Display"})])
def test_spend_is_that_of_the_files_to_the_cent(pulled, name, channels):
    served, lake = pulled(name)
    spent = candidates(lake, name, "silver.ad_spend", None, None)
    assert spent.where("_reason is not null or _superseded").count() == 0
    wanted = {
        (row["campaign_id"], row["ad_id"], row["spend_date"], int(row["impressions"]), int(row["clicks"]), Decimal(row["spend"]))
        for row in served.spend("2026-10-24", "2026-11-20")
    }
    found = [tuple(row) for row in spent.selectExpr(*FIGURES).collect()]
    assert len(found) == len(wanted) and set(found) == wanted
    shared = spent.selectExpr("currency", "account_time_zone", "channel").distinct().collect()
    assert {tuple(row) for row in shared} == {("GBP", "Europe/London", channel) for channel in channels}
    if name == "google_ads":
        campaigns = candidates(lake, name, "silver.campaigns", None, None)
        assert campaigns.where("_reason is not null").count() == 0
        said = {tuple(row) for row in campaigns.selectExpr("campaign_id", "campaign_name", "channel", "budget_amount", "status").collect()}
        known = served.newest("campaigns", "campaign_id")
        assert said == {(row["campaign_id"], row["name"], row["channel"], Decimal(row["daily_budget"]), "active") for row in known}


def test_letters_choices_and_campaigns_are_those_of_the_files(pulled):
    served, lake = pulled("mailchimp")
    events = candidates(lake, "mailchimp", "silver.events", None, None)
    assert events.where("_reason is not null").count() == 0
    names = ("sent", "opened", "clicked", "bounced", "unsubscribed", "complained")
    rows = [row for row in served.rows("email_events") if row["event"] in names]
    found = [tuple(row) for row in events.selectExpr("event_name", "campaign_id", "campaign_name").collect()]
    assert sorted(found) == sorted((f"email_{row['event']}", row["campaign_id"], row["campaign_name"]) for row in rows)
    sent = events.where("event_name = 'email_sent'").selectExpr("client_event_id").distinct().count()
    assert sent == sum(row["event"] == "sent" for row in rows)
    clicked = {(row["event_at"][:19], row["url"]) for row in rows if row["event"] == "clicked"}
    said = events.where("event_name = 'email_clicked'").selectExpr(
        "date_format(event_at, \"yyyy-MM-dd'T'HH:mm:ss\")", "get_json_object(properties, '$.url')"
    )
    assert {tuple(row) for row in said.collect()} == clicked
    consents = candidates(lake, "mailchimp", "silver.consents", None, None)
    assert consents.where("_reason is not null").count() == 0
    choices = served.newest("consents", "crm_id")
    assert sorted(row[0] for row in consents.selectExpr("is_granted").collect()) == sorted(bool(row["granted"]) for row in choices)
    campaigns = candidates(lake, "mailchimp", "silver.campaigns", None, None)
    assert {tuple(row) for row in campaigns.selectExpr("campaign_id", "campaign_name", "channel").collect()} == {
        (row["campaign_id"], row["name"], "Email") for row in served.newest("campaigns", "campaign_id")
    }

"""What `make real` leaves, against what is known of the three data sets.

Costs about ten minutes on two cores: the three data sets from their files to gold.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal

import polars as pl
import pytest

from conf.settings import REPOSITORY
from spark_jobs.io.small import open_table, query

pytestmark = pytest.mark.timeout(3600)
SHOP, GROCER, LOG = "online_retail", "complete_journey", "web_access"


@pytest.fixture(scope="module")
def rows(shared_data, tmp_path_factory) -> Callable[[str, str | None], pl.DataFrame]:
    """The rows of a table, of one source or of all, that the main job made of the real data through Airflow."""
    home = tmp_path_factory.mktemp("real")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_", "AIRFLOW_"))}
    words = [sys.executable, "-m", "spark_jobs", "real", "--data", str(shared_data), "--once"]
    done = subprocess.run(
        words, cwd=REPOSITORY, env={**kept, "THROUGHLINE_HOME": str(home)}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"

    def read(name: str, source: str | None) -> pl.DataFrame:
        found = pl.DataFrame(query(open_table(home / "lake", name)))
        return found.filter(pl.col("source") == source) if source else found

    return read


def test_every_line_is_an_order_line_a_refund_or_set_aside_with_a_reason(rows):
    lines, refunds, aside = rows("silver.order_lines", SHOP), rows("silver.refunds", SHOP), rows("silver.order_lines__quarantine", SHOP)
    assert (lines.height, refunds.height, aside.height) == (530_143, 9_288, 2_478)
    reasons = dict(aside.group_by("_reason").len().iter_rows())
    assert reasons == {"stock_adjustment": 2_475, "accounting_adjustment": 3}


def test_orders_and_the_clean_set(rows):
    orders = rows("silver.orders", SHOP)
    assert (orders.height, orders["net_amount"].sum()) == (19_963, Decimal("10655622.48"))
    clean = orders.filter((pl.col("identifiers").list.len() > 0) & (pl.col("net_amount") > 0))
    customers = clean.select(pl.col("identifiers").list.first().struct.field("identifier_key")).n_unique()
    assert (clean.height, customers, clean["net_amount"].sum()) == (18_532, 4_338, Decimal("8911407.90"))


def test_refunds_are_matched_to_earlier_orders_or_say_why_not(rows):
    refunds = rows("silver.refunds", SHOP)
    assert refunds.filter(pl.col("order_id").is_not_null()).height == 7_147
    assert refunds.filter(pl.col("order_id").is_null() & pl.col("order_match").is_null()).is_empty()


def test_the_grocers_campaigns_mailings_and_baskets(rows):
    orders = rows("silver.orders", GROCER)
    assert (orders.height, orders["net_amount"].sum()) == (47_243, Decimal("233935.24"))
    assert orders["is_sample"].all()
    assert rows("silver.campaigns", GROCER)["campaign_id"].n_unique() == 27
    names = dict(rows("silver.events", GROCER).group_by("event_name").len().iter_rows())
    assert names["coupon_redeemed"] == 2_102
    assert 6_589 in names.values()


def test_mailings_credit_the_baskets_of_thirty_days_of_24_hours(rows):
    conversions, touches = rows("journeys.conversions", GROCER), rows("journeys.touchpoints", GROCER)
    pairs = conversions.join(touches.select("person_id", "touched_at"), on="person_id")

    def within_a_month(on_the_wall_clock: bool) -> pl.DataFrame:
        zone, clock = "America/New_York", [pl.col("converted_at"), pl.col("touched_at")]
        converted, touched = [c.dt.convert_time_zone(zone).dt.replace_time_zone(None) if on_the_wall_clock else c for c in clock]
        age = converted - touched
        return pairs.filter((age >= pl.duration(days=0)) & (age < pl.duration(days=30))).unique("conversion_id")

    on_the_wall = within_a_month(True)
    assert (on_the_wall.height, on_the_wall["value_amount"].sum()) == (15_215, Decimal("79164.60"))
    credits = rows("attribution.credits", None).filter((pl.col("model") == "linear") & pl.col("reason").is_null())
    credited = set(credits["conversion_id"]) & set(conversions["conversion_id"])
    # one basket lies within 30 days only because the clocks went back an hour meanwhile
    assert len(credited) == within_a_month(False).height == 15_214


def test_the_access_logs_one_malformed_line_is_in_quarantine_with_its_bytes(rows):
    assert rows("silver.events", LOG).height == 9_999
    (bad,) = rows("silver.events__quarantine", LOG).to_dicts()
    assert (bad["_row"], bad["_reason"]) == (8_899, "malformed_line")
    assert bad["payload"] or bad["payload_bytes"]


def test_every_ledger_is_closed(rows):
    assert rows("ops.ledger", None)["is_closed"].all()

"""gold.funnel_daily: sessions, product views, carts, checkouts and orders per source and day, as counts of events.

It says how much of each step there was, not how many people went from one to the next: a session may view ten products.
"""

from pyspark.sql import Column, DataFrame, functions as F

from conf.settings import Platform
from spark_jobs.job import Job

STEPS = {"product_views": "product_viewed", "carts": "cart_added", "checkouts": "checkout_started", "orders": "order_completed"}


def local_day(instant: str, platform: Platform) -> Column:
    """The day of an instant in the reporting time zone."""
    return F.to_date(F.from_utc_timestamp(instant, platform.reporting_time_zone)).alias("day")


def count_funnel_steps(sessions: DataFrame, events: DataFrame, platform: Platform) -> DataFrame:
    """One row per (day, source) that had a session or a step; crawlers are left out.

    sessions: journeys.sessions; events: silver.events; both with a day on either side of the range.
    """
    visits = sessions.where("not coalesce(is_bot, false)").select(
        local_day("started_at", platform), "source", F.lit("sessions").alias("step")
    )
    step_of = F.create_map(*(F.lit(v) for step, event_name in STEPS.items() for v in (event_name, step)))
    steps = events.where(F.col("event_name").isin(*STEPS.values()) & ~F.coalesce("is_bot", F.lit(False))).select(
        local_day("event_at", platform), "source", step_of[F.col("event_name")].alias("step")
    )
    counted = (F.count_if(F.col("step") == step).alias(step) for step in ("sessions", *STEPS))
    return visits.unionByName(steps).groupBy("day", "source").agg(*counted)


JOB = Job(
    table="gold.funnel_daily",
    inputs={"sessions": "journeys.sessions", "events": "silver.events"},
    transform=count_funnel_steps,
    lookback_days=1,
    lookahead_days=1,
)

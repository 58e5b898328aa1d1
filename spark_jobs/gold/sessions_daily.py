"""gold.sessions_daily: the visits that each channel brought on each day of the reporting time zone.

Crawlers are counted apart (bot_sessions) and in no other column. Visitors are distinct within a row only: the sum over
channels or days counts a person again.
"""

from pyspark.sql import Column, DataFrame, functions as F

from conf.settings import Platform
from spark_jobs.job import Job


def total(value: Column) -> Column:
    """The sum as BIGINT, 0 over nothing."""
    return F.coalesce(F.sum(value), F.lit(0)).cast("bigint")


def count_sessions(sessions: DataFrame, platform: Platform) -> DataFrame:
    """One row per (day, source, channel) that had a session.

    sessions: journeys.sessions, with a day on either side of the range, because its days are UTC.
    """
    is_human = ~F.coalesce(F.col("is_bot"), F.lit(False))
    day = F.to_date(F.from_utc_timestamp("started_at", platform.reporting_time_zone))
    return sessions.groupBy(day.alias("day"), "source", F.coalesce("channel", F.lit("Unknown")).alias("channel")).agg(
        F.count_if(is_human).alias("sessions"),
        F.count_if(is_human & F.col("is_engaged")).alias("engaged_sessions"),
        total(F.when(is_human, F.col("page_views"))).alias("page_views"),
        F.count_distinct(F.when(is_human, F.col("person_id"))).alias("visitors"),
        total(F.when(is_human, F.col("conversions"))).alias("conversions"),
        F.count_if(~is_human).alias("bot_sessions"),
    )


JOB = Job(
    table="gold.sessions_daily",
    inputs={"sessions": "journeys.sessions"},
    transform=count_sessions,
    lookback_days=1,
    lookahead_days=1,
)

"""segments.traits: what can be said of a person in one word: lifecycle stage, favourite channel, average order.

Stages: prospect (no order), new (first order within the first days), active, at_risk, dormant, by days since the last order.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, functions as F

from spark_jobs.job import Job


def lifecycle(to_date: dt.date, rules: Mapping[str, Any]) -> Column:
    """The stage of a profile as of to_date."""
    limits = rules["lifecycle"]
    since_first, since_last = (F.date_diff(F.lit(to_date), F.col(c)) for c in ("first_order_date", "last_order_date"))
    return (
        F.when(F.col("last_order_date").isNull(), "prospect")
        .when(since_first < limits["new_within_first_days"], "new")
        .when(since_last < limits["active_days"], "active")
        .when(since_last < limits["at_risk_days"], "at_risk")
        .otherwise("dormant")
    )


def describe_traits(profiles: DataFrame, rules: Mapping[str, Any], to_date: dt.date) -> DataFrame:
    """One row per (person, trait) that has a value. profiles: segments.profiles."""
    average = F.when(F.col("orders") > 0, (F.col("revenue_amount") / F.col("orders")).cast("decimal(18,2)").cast("string"))
    traits = F.array(
        F.struct(F.lit("lifecycle").alias("trait"), lifecycle(to_date, rules).alias("value"), F.lit("string").alias("value_type")),
        F.struct(F.lit("favourite_channel").alias("trait"), F.col("favourite_channel").alias("value"), F.lit("string").alias("value_type")),
        F.struct(F.lit("average_order_amount").alias("trait"), average.alias("value"), F.lit("decimal").alias("value_type")),
    )
    rows = profiles.select("person_id", F.explode(traits).alias("t")).select("person_id", "t.*").where("value is not null")
    return rows.withColumn("computed_at", F.lit(to_date).cast("timestamp"))


JOB = Job(table="segments.traits", inputs={"profiles": "segments.profiles@all"}, transform=describe_traits, rules="segments")

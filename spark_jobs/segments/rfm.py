"""segments.rfm: recency, frequency and monetary value of every buyer as of the last day of the range, in quintiles.

A quintile is by rank, and equal values share the rank of their first: people with the same value always have the same score.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from spark_jobs.job import Job


def quintile(best_first: Column) -> Column:
    """5 for the best fifth … 1 for the worst, over all rows; ties share the better score."""
    everyone = W.partitionBy("as_of_date")
    rank = F.rank().over(everyone.orderBy(best_first))
    return (5 - F.floor((rank - 1) * 5 / F.count(F.lit(1)).over(everyone))).cast("int")


def score_buyers(conversions: DataFrame, rules: Mapping[str, Any], to_date: dt.date) -> DataFrame:
    """One row per person with an order up to to_date. conversions: all rows of journeys.conversions."""
    orders = conversions.where("conversion_type = 'order' and person_id is not null and reporting_amount > 0")
    orders = orders.where(F.col("conversion_date") <= F.lit(to_date))
    buyers = orders.groupBy("person_id").agg(
        F.date_diff(F.lit(to_date), F.max("conversion_date")).alias("recency_days"),
        F.count(F.lit(1)).cast("int").alias("frequency"),
        F.sum("reporting_amount").cast("decimal(28,2)").alias("monetary_amount"),
    )
    scored = buyers.withColumn("as_of_date", F.lit(to_date)).withColumns(
        {"r": quintile(F.asc("recency_days")), "f": quintile(F.desc("frequency")), "m": quintile(F.desc("monetary_amount"))}
    )
    named = F.when(F.lit(False), None)
    for rule in rules["rfm"]["rules"]:
        named = named.when(F.expr(rule["when"]), rule["name"])
    return scored.withColumn("rfm_segment", named.otherwise(rules["rfm"]["otherwise"]))


JOB = Job(table="segments.rfm", inputs={"conversions": "journeys.conversions@all"}, transform=score_buyers, rules="segments")

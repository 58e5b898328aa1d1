"""attribution.credits: the ledger. Every conversion's quantity and value, under every model, to the touchpoints that earned it.

What earned nothing carries the first filter that emptied its path: bot, no_identity, negative_value, no_rate, no_touch, after_conversion,
no_touch_in_window, excluded_channel, no_consent, superseded_by_click. A refund takes back along its order's own weights, as the
difference of two exact shares, so that a full refund in any number of parts nets every touch to 0.00.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window as W, WindowSpec, functions as F

from conf.settings import SettingsError
from conf.tables import table
from spark_jobs.attribution.rounding import largest_remainder
from spark_jobs.job import Job

COLUMNS = table("attribution.credits").column_names
CREDIT_UNITS = 10**10
DAY_SECONDS = 86_400


def longest_look_back(rules: Mapping[str, Any]) -> int:
    """How many days after a touch, begun ones counted, a conversion may still credit it."""
    return max((math.ceil(days) for days in rules["look_back_days"].values()), default=0)


def paths(conversions: DataFrame, touchpoints: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """Conversions × their person's touches (one row without touch where there is none), each pair with the filter it fails in `_failed`.

    conversions: no refunds, key conversion_id. touchpoints: key touchpoint_id; crawlers' are left out.
    """
    human = touchpoints.where("not coalesce(is_bot, false) and person_id is not null").select(
        "touchpoint_id", "person_id", "touched_at", "channel", "interaction", "source", "campaign_id", "has_consent"
    )
    base = conversions.select("conversion_id", "person_id", "converted_at", "quantity", "reporting_amount", "is_bot")
    pairs = base.join(human, on="person_id", how="left")
    window = F.create_map(*(F.lit(x) for name, days in rules["look_back_days"].items() for x in (name, float(days))))
    age = (F.unix_micros("converted_at") - F.unix_micros("touched_at")) / F.lit(1_000_000)
    excluded = F.col("channel").isin(*rules["excluded_channels"]) if rules["excluded_channels"] else F.lit(False)
    failed = (
        F.when(F.col("touchpoint_id").isNull(), "no_touch")
        .when(age < 0, "after_conversion")
        .when(
            age >= F.coalesce(F.try_element_at(window, F.col("interaction")), F.lit(longest_look_back(rules))) * DAY_SECONDS,
            "no_touch_in_window",
        )
        .when(excluded, "excluded_channel")
        .when(~F.col("has_consent"), "no_consent")
    )
    pairs = pairs.withColumn("_age_days", age / DAY_SECONDS).withColumn("_failed", failed)
    is_click = (F.col("interaction") == "click") & F.col("_failed").isNull()
    same = W.partitionBy("conversion_id", "source", "campaign_id")
    last_click = F.max(F.when(is_click, F.col("touched_at"))).over(same)
    superseded = (F.col("interaction") == "view") & F.col("_failed").isNull() & (last_click >= F.col("touched_at"))
    return pairs.withColumn("_failed", F.when(superseded, "superseded_by_click").otherwise(F.col("_failed")))


# Later filters are reached only by touches that passed the earlier ones: the furthest one reached emptied the path.
FILTERS = ("no_touch", "after_conversion", "no_touch_in_window", "excluded_channel", "no_consent", "superseded_by_click")


def reasons(pairs: DataFrame) -> DataFrame:
    """(conversion_id, reason) of every conversion that nothing earned."""
    reached = F.array_position(F.array(*(F.lit(f) for f in FILTERS)), F.col("_failed"))
    earned = F.max(F.when(F.col("touchpoint_id").isNotNull() & F.col("_failed").isNull(), 1).otherwise(0))
    summed = pairs.groupBy("conversion_id").agg(
        earned.alias("earned"),
        F.max(reached).cast("int").alias("reached"),
        F.any_value("person_id").isNull().alias("is_nobody"),
        F.coalesce(F.any_value("is_bot"), F.lit(False)).alias("is_bot"),
        (F.any_value("reporting_amount") < 0).alias("is_negative"),
        F.any_value("reporting_amount").isNull().alias("has_no_rate"),
    )
    reason = (
        F.when(F.col("is_bot"), "bot")
        .when(F.col("is_nobody"), "no_identity")
        .when(F.col("is_negative"), "negative_value")
        .when(F.col("has_no_rate"), "no_rate")
        .when(F.col("earned") == 0, F.element_at(F.array(*(F.lit(f) for f in FILTERS)), F.col("reached")))
    )
    return summed.select("conversion_id", reason.alias("reason")).where("reason is not null")


def path() -> WindowSpec:
    """The touches that may earn of one conversion."""
    return W.partitionBy("conversion_id")


def decay(half_life_days: float) -> Column:
    """How much of a touch is left at the conversion, relative to the path's youngest: a long half-life ago is no underflow."""
    return F.pow(F.lit(2.0), -(F.col("_age_days") - F.col("_youngest")) / half_life_days)


def share(model: Mapping[str, Any]) -> Column:
    """One model's weight of a touch, from its place in the path; the weights of a path add up to 1."""
    place, length = F.col("position"), F.col("_length")
    one, none = F.lit(1.0), F.lit(0.0)
    match model["kind"]:
        case "first":
            return F.when(place == 1, one).otherwise(none)
        case "last":
            return F.when(place == length, one).otherwise(none)
        case "last_non_direct":
            return F.when(place == F.coalesce("_last_other", length), one).otherwise(none)
        case "linear":
            return one / length
        case "position":
            first, middle, last = (F.lit(float(model[k])) for k in ("first", "middle", "last"))
            of_two = F.when(place == 1, first / (first + last)).otherwise(last / (first + last))
            of_more = F.when(place == 1, first).when(place == length, last).otherwise(middle / (length - 2))
            return F.when(length == 1, one).when(length == 2, of_two).otherwise(of_more)
        case "time_decay":
            decayed = decay(float(model["half_life_days"]))
            return decayed / F.sum(decayed).over(path())
    raise SettingsError(
        f"conf/rules/attribution.yml: a model is of the kind {model['kind']!r}, for which share() in spark_jobs/attribution/credits.py has no case"
    )


def weighted(pairs: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """One row per (conversion, earning touch, model): `base_id`, touch facts, position, `weight` (> 0)."""
    order = F.array_position(F.array(*(F.lit(i) for i in rules["interaction_order"])), F.col("interaction"))
    in_order = path().orderBy("touched_at", order, "source", "touchpoint_id")
    touches = pairs.where("touchpoint_id is not null and _failed is null").withColumn("position", F.row_number().over(in_order))
    # relative to the youngest touch, so that a long half-life ago is no underflow
    touches = touches.withColumn("_length", F.count(F.lit(1)).over(path())).withColumn("_youngest", F.min("_age_days").over(path()))
    of_others = F.when(~F.col("channel").isin(*rules["direct_channels"]), F.col("position"))
    touches = touches.withColumn("_last_other", F.max(of_others).over(path()))
    touches = touches.withColumns({f"_share_{place}": share(model) for place, model in enumerate(rules["models"].values())})
    models = F.array(
        *(F.struct(F.lit(name).alias("model"), F.col(f"_share_{place}").alias("weight")) for place, name in enumerate(rules["models"]))
    )
    stacked = touches.withColumn("_model", F.explode(models))
    return stacked.select(
        F.col("conversion_id").alias("base_id"),
        "touchpoint_id",
        "channel",
        "campaign_id",
        "position",
        F.col("_model.model").alias("model"),
        F.col("_model.weight").alias("weight"),
    ).where("weight > 0")


def taken_so_far() -> Column:
    """Of an order's `_refunds` (in order of time) each with the cents taken back up to it, and whether it would take more than is left of
    `_value`: such a refund takes nothing, and those after it are judged without it."""
    start = F.struct(
        F.lit(0).cast("bigint").alias("taken"),
        F.array().cast("array<struct<conversion_id:string,_taken:bigint,_exceeds:boolean>>").alias("found"),
    )

    def take(so_far: Column, refund: Column) -> Column:
        after = so_far["taken"] + refund["cents"]
        exceeds = F.coalesce(after > F.col("_value"), F.lit(False))
        one = F.struct(refund["conversion_id"].alias("conversion_id"), after.alias("_taken"), exceeds.alias("_exceeds"))
        return F.struct(
            F.when(exceeds, so_far["taken"]).otherwise(after).alias("taken"), F.array_append(so_far["found"], one).alias("found")
        )

    return F.aggregate("_refunds", start, take, lambda so_far: so_far["found"])


def targets(conversions: DataFrame, all_conversions: DataFrame) -> DataFrame:
    """What is to be shared, one row per conversion of the range: along whose path (base_id), and the cents before and after.

    A conversion shares its amount (before = 0); a refund the difference that it makes to what is left of its order.
    """
    cents = (F.col("reporting_amount") * 100).cast("bigint")
    plain = conversions.where("conversion_type <> 'refund'").select(
        "*",
        F.col("conversion_id").alias("base_id"),
        cents.alias("_after"),
        F.lit(0).cast("bigint").alias("_before"),
        F.lit(None).cast("string").alias("_refused"),
    )
    refunds = conversions.where("conversion_type = 'refund'")
    siblings = all_conversions.where("conversion_type = 'refund' and refund_of is not null").join(
        refunds.select("refund_of").distinct(), on="refund_of", how="left_semi"
    )
    orders = all_conversions.where("conversion_type <> 'refund'").select(
        F.col("conversion_id").alias("refund_of"), cents.alias("_value"), F.lit(True).alias("_is_known")
    )
    taken = (
        siblings.join(orders, on="refund_of")
        .groupBy("refund_of", "_value")
        .agg(F.array_sort(F.collect_list(F.struct("converted_at", "conversion_id", (-cents).alias("cents")))).alias("_refunds"))
    )
    taken = taken.select(F.explode(taken_so_far()).alias("_one")).select("_one.conversion_id", "_one._taken", "_one._exceeds")
    matched = refunds.join(taken, on="conversion_id", how="left").join(orders, on="refund_of", how="left")
    refused = (
        F.when(F.col("_is_known").isNull(), "refund_without_conversion")
        .when(F.col("_value").isNull(), "no_rate")
        .when(F.col("_exceeds"), "refund_exceeds_value")
    )
    taking = matched.select(
        *conversions.columns,
        F.coalesce("refund_of", "conversion_id").alias("base_id"),
        (F.col("_value") - F.col("_taken")).alias("_after"),
        (F.col("_value") - F.col("_taken") - cents).alias("_before"),
        refused.alias("_refused"),
    )
    return plain.unionByName(taking)


def credit_channels(
    conversions: DataFrame, all_conversions: DataFrame, touchpoints: DataFrame, rules: Mapping[str, Any], run_id: str
) -> DataFrame:
    """The ledger rows of the conversions of the range.

    conversions: journeys.conversions of the range; all_conversions, touchpoints: all rows. rules: conf/rules/attribution.yml.
    """
    wanted = targets(conversions, all_conversions)
    bases = all_conversions.where("conversion_type <> 'refund'").join(
        wanted.select(F.col("base_id").alias("conversion_id")).distinct(), on="conversion_id", how="left_semi"
    )
    pairs = paths(bases, touchpoints, rules)
    judged = wanted.join(reasons(pairs).withColumnRenamed("conversion_id", "base_id"), on="base_id", how="left")
    # what came in without a rate is worth 0.00 in the ledger, and says so
    reason = F.coalesce("_refused", "reason", F.when(F.col("reporting_amount").isNull(), "no_rate"))
    judged = judged.withColumn("reason", reason)
    units = judged.where("reason is null").select(
        "base_id",
        "conversion_id",
        "conversion_date",
        "converted_at",
        "person_id",
        "_after",
        "_before",
        (F.col("quantity") * CREDIT_UNITS).cast("decimal(20,0)").alias("_units"),
    )
    shared = units.join(weighted(pairs, rules), on="base_id", how="inner")
    group, tie = ("conversion_id", "model"), ("base_id", "touchpoint_id")
    for total, into in (("_units", "_credit"), ("_after", "_cents_after"), ("_before", "_cents_before")):
        shared = largest_remainder(shared, total, "weight", group, tie, into)
    attributed = shared.select(
        *("model", "conversion_id", "touchpoint_id", "conversion_date", "converted_at", "person_id", "channel", "campaign_id", "position"),
        (F.col("_credit").cast("decimal(20,0)") * F.lit("0.0000000001").cast("decimal(10,10)")).cast("decimal(20,10)").alias("credit"),
        ((F.col("_cents_after") - F.col("_cents_before")).cast("decimal(18,0)") * F.lit("0.01").cast("decimal(2,2)"))
        .cast("decimal(18,2)")
        .alias("credit_amount"),
        F.lit(None).cast("string").alias("reason"),
    )
    names = F.array(*(F.lit(name) for name in rules["models"]))
    nothing = F.lit(None).cast("string")
    unattributed = judged.where("reason is not null").select(
        F.explode(names).alias("model"),
        "conversion_id",
        F.lit("").alias("touchpoint_id"),
        *("conversion_date", "converted_at", "person_id"),
        nothing.alias("channel"),
        nothing.alias("campaign_id"),
        F.lit(None).cast("int").alias("position"),
        F.col("quantity").cast("decimal(20,10)").alias("credit"),
        F.coalesce("reporting_amount", F.lit(0)).cast("decimal(18,2)").alias("credit_amount"),
        "reason",
    )
    rows = attributed.unionByName(unattributed)
    return rows.withColumns({"run_id": F.lit(run_id), "is_additive": F.lit(True)}).select(*COLUMNS)


JOB = Job(
    table="attribution.credits",
    inputs={
        "conversions": "journeys.conversions",
        "all_conversions": "journeys.conversions@all",
        "touchpoints": "journeys.touchpoints@all",
    },
    transform=credit_channels,
    reach_days=longest_look_back,
    restates={"all_conversions": "conversion_id"},
    rules="attribution",
)

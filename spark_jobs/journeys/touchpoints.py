"""journeys.touchpoints: one marketing contact that can earn credit.

Visits come from sessions (Direct too: the models decide what a Direct visit is worth); a session without a page view and without a
channel is no contact. Clicks, opens, views and mailings come from the events that conf/rules/journeys.yml names; an open that a mail
service's proxy made is none. cost_amount is the price of one such contact (spend by clicks or impressions of the ad, else the campaign,
on the ad account's day): a click and the visit that it led to both have it, so it is compared, not added up. A contact does not say which ad
account it is of: where several accounts spend on one id on a day, the contact's channel tells them apart, else its price is not known.
Known limits: an e-mail click and the visit that it led to are two touchpoints; crawlers' visits are kept and flagged is_bot.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, functions as F

from spark_jobs.functions.money import limited
from spark_jobs.functions.people import current_people, with_person
from spark_jobs.job import Job

DIRECT = "Direct"
# Spend is known per ad, or at least per campaign; the finest that knows the contact, and of one account alone, sets its price.
PRICED_BY = (("campaign_id", "ad_id"), ("campaign_id", "ad_id", "channel"), ("campaign_id",), ("campaign_id", "channel"))
ZONED_BY = (("campaign_id",), ("campaign_id", "channel"))
# What an event without tags is classified as: then the declared channel of its name says more.
UNTAGGED = (DIRECT, "Unassigned")


def touchpoint_id(kind: str, key: Column) -> Column:
    """32 hex digits of what the touchpoint is (session or event) and its id."""
    return F.substring(F.sha2(F.concat_ws("\x1f", F.lit(kind), key), 256), 1, 32)


def id_of_visit() -> Column:
    """The touchpoint that a session is."""
    return touchpoint_id("session", F.col("session_id"))


def id_of_contact() -> Column:
    """The touchpoint that an event is."""
    return touchpoint_id("event", F.col("event_id"))


def visits(sessions: DataFrame) -> DataFrame:
    """A visit per session that somebody could have been brought to."""
    return sessions.where((F.col("page_views") > 0) | (F.col("channel") != DIRECT)).select(
        "source",
        "ad_group_id",
        "ad_id",
        F.coalesce("campaign_name", "utm_campaign").alias("campaign_name"),
        id_of_visit().alias("touchpoint_id"),
        "person_id",
        F.col("started_at").alias("touched_at"),
        "channel",
        "channel_rule",
        F.lit("visit").alias("interaction"),
        F.coalesce("campaign_id", "utm_campaign").alias("campaign_id"),
        "session_id",
        F.lit(None).cast("string").alias("event_id"),
        "is_bot",
        F.col("has_consent").alias("stated_consent"),
    )


def is_contact(declared: Mapping[str, Any]) -> Column:
    """Whether an event's name is declared, and its `unless`, where it has one, is not met."""
    exceptions = {name: spec["unless"] for name, spec in sorted(declared.items()) if spec.get("unless")}
    excepted = [(F.col("event_name") == name) & F.coalesce(F.expr(unless), F.lit(False)) for name, unless in exceptions.items()]
    return reduce(lambda found, one: found & ~one, excepted, F.col("event_name").isin(*sorted(declared)))


def sole(column: str) -> Column:
    """The value that all rows of a group have; null where they have several."""
    return F.when(F.min(column) == F.max(column), F.min(column))


def zones(ad_spend: DataFrame, keys: tuple[str, ...]) -> DataFrame:
    """One row per keys: the zone of the ad accounts' days; null where it is not one."""
    return ad_spend.groupBy(*keys).agg(sole("account_time_zone").alias("zone"))


def prices(ad_spend: DataFrame, keys: tuple[str, ...]) -> DataFrame:
    """One row per keys and account day on which one account alone spent: what a click and an impression cost, in the reporting currency; null
    where there was none."""
    one_account = F.count_distinct("source", "account_id") == 1
    spent = ad_spend.where("reporting_amount is not null").groupBy(*keys, "spend_date")
    total = limited(F.sum("reporting_amount"), 10**11).cast("decimal(20,6)")
    each = {m: F.round(total / F.nullif(F.sum(m), F.lit(0)), 6).cast("decimal(18,6)").alias(f"per_{m}") for m in ("clicks", "impressions")}
    return spent.agg(*each.values(), one_account.alias("_is_sole")).where("_is_sole").drop("_is_sole")


def with_cost(touches: DataFrame, ad_spend: DataFrame, cost_per: Mapping[str, str]) -> DataFrame:
    """The touches with cost_amount. cost_per: interaction -> clicks or impressions; other interactions cost nothing that is known."""
    rows, known_zones = touches, []
    for place, keys in enumerate(ZONED_BY):
        rows = rows.join(F.broadcast(zones(ad_spend, keys).withColumnRenamed("zone", f"zone_{place}")), on=list(keys), how="left")
        known_zones.append(F.col(f"zone_{place}"))
    rows = rows.withColumn("spend_date", F.to_date(F.from_utc_timestamp("touched_at", F.coalesce(*known_zones))))
    found = []
    for place, keys in enumerate(PRICED_BY):
        known = prices(ad_spend, keys).withColumnsRenamed({f"per_{m}": f"per_{m}_{place}" for m in ("clicks", "impressions")})
        rows = rows.join(F.broadcast(known), on=[*keys, "spend_date"], how="left")
        found += [F.when(F.col("interaction") == i, F.col(f"per_{measure}_{place}")) for i, measure in sorted(cost_per.items())]
    return rows.select(*touches.columns, F.coalesce(*found).alias("cost_amount"))


def contacts(events: DataFrame, person_map: DataFrame, declared: Mapping[str, Any], purpose: str) -> DataFrame:
    """A touchpoint per event whose name is declared as one. purpose: that of the consent which the event itself may state."""
    by_name = {
        key: F.create_map(*(F.lit(x) for n, spec in sorted(declared.items()) for x in (n, spec[key]))) for key in ("interaction", "channel")
    }
    named = with_person(events.where(is_contact(declared)), person_map)
    own = F.when(~F.col("channel").isin(*UNTAGGED), F.col("channel"))
    return named.select(
        "source",
        "ad_group_id",
        "ad_id",
        F.coalesce("campaign_name", "utm_campaign").alias("campaign_name"),
        id_of_contact().alias("touchpoint_id"),
        "person_id",
        F.col("event_at").alias("touched_at"),
        F.coalesce(own, by_name["channel"][F.col("event_name")]).alias("channel"),
        F.when(own.isNotNull(), F.col("channel_rule")).otherwise("touchpoint").alias("channel_rule"),
        by_name["interaction"][F.col("event_name")].alias("interaction"),
        F.coalesce("campaign_id", "utm_campaign").alias("campaign_id"),
        F.lit(None).cast("string").alias("session_id"),
        "event_id",
        F.coalesce("is_bot", F.lit(False)).alias("is_bot"),
        F.try_element_at("consent", F.lit(purpose)).alias("stated_consent"),
    )


def consent_history(consents: DataFrame, person_map: DataFrame, purpose: str) -> DataFrame:
    """One row per person that ever answered: the answers with their intervals, over all its identifiers."""
    answers = consents.where((F.col("purpose") == purpose) & F.col("is_granted").isNotNull())
    answers = answers.join(current_people(person_map), on="identifier_key", how="inner")
    return answers.groupBy("person_id").agg(F.collect_list(F.struct("valid_from", "valid_to", "is_granted")).alias("answers"))


def has_consent(default: bool) -> Column:
    """Whether all answers in force at touch time say yes, the default where none is in force; no where the contact itself says no."""
    touched_at = F.col("touched_at")
    in_force = F.filter("answers", lambda a: (a["valid_from"] <= touched_at) & (a["valid_to"].isNull() | (touched_at < a["valid_to"])))
    known = F.when(F.size(in_force) > 0, F.forall(in_force, lambda a: a["is_granted"])).otherwise(F.lit(default))
    return known & F.coalesce("stated_consent", F.lit(True))


def collect_touchpoints(
    sessions: DataFrame,
    events: DataFrame,
    consents: DataFrame,
    ad_spend: DataFrame,
    person_map: DataFrame,
    rules: Mapping[str, Any],
) -> DataFrame:
    """One row per contact of the range.

    sessions: journeys.sessions, events: silver.events, both of the range. consents, ad_spend, person_map: whole.
    rules: conf/rules/journeys.yml.
    """
    rule = rules["touchpoints"]
    touches = visits(sessions).unionByName(contacts(events, person_map, rule["events"], rule["consent_purpose"]))
    touches = with_cost(touches, ad_spend, rule["cost_per"])
    answers = consent_history(consents, person_map, rule["consent_purpose"])
    return touches.join(answers, on="person_id", how="left").select(
        *(c for c in touches.columns if c != "stated_consent"),
        F.to_date("touched_at").alias("touch_date"),
        has_consent(rule["has_consent_without_a_row"]).alias("has_consent"),
    )


JOB = Job(
    table="journeys.touchpoints",
    inputs={
        "sessions": "journeys.sessions",
        "events": "silver.events",
        "consents": "silver.consents@all",
        "ad_spend": "silver.ad_spend@all",
        "person_map": "identity.person_map@all",
    },
    transform=collect_touchpoints,
    rules="journeys",
    # who gains an identifier gains what it answered, so not only who loses one
    restates={"consents": "person_id", "person_map": "person_id"},
    key="touchpoint_id",
    key_of={
        "sessions": lambda _: id_of_visit(),
        "events": lambda rules: F.when(is_contact(rules["touchpoints"]["events"]), id_of_contact()),
    },
    # an ad account's day may reach into the UTC day before it and after it
    lookahead_days=1,
    reach_days=1,
)

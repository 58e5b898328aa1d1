"""silver.events: one behavioural event from any channel.

event_id is a hash of who sent it and what it says, not of when it was sent, so a retry is the same event whenever it comes.
Columns a mapping may give under `extra:` beside the contract's: sent_at and original_at (the sender's clock when sending and when it
happened), user_agent, ip (neither reaches this table), ad_network (the ad platform's own word for where the click was made).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from conf.settings import Platform
from conf.tables import table
from spark_jobs.functions.addresses import click_of, parameter_of, path_of, query_of
from spark_jobs.functions.dates import corrected_at, plausible_at
from spark_jobs.functions.fates import first_failing, is_too_late
from spark_jobs.functions.hashing import canonical_json
from spark_jobs.functions.plans import materialised
from spark_jobs.functions.scrubbing import with_scrubbed
from spark_jobs.functions.text import stripped
from spark_jobs.job import PROVENANCE, Job
from spark_jobs.silver.enrich.agents import with_agent_facts
from spark_jobs.silver.enrich.channels import with_channel, with_traffic_key
from spark_jobs.silver.enrich.contracts import LONGEST_PATH, with_contract

COLUMNS = table("silver.events").column_names
CARRIED = ("_extracted_at", "_attempt", "_slice_id", "_slice_from", "_slice_to", "_raw_identifiers", "_drift")
# What the sender said, as mapped: everything but ids, the times of sending and storing, and what is derived here.
BODY = (
    "event_type", "event_name", "client_session_id", "page_url", "page_path", "page_title", "referrer_url", "utm_source", "utm_medium",
    "utm_campaign", "utm_content", "utm_term", "click_id", "click_id_type", "channel", "campaign_id", "campaign_name", "ad_group_id",
    "ad_id", "product_id", "order_id", "value_amount", "currency", "properties",
)  # fmt: skip
UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
SEPARATOR, ABSENT = "\x1f", "\x00"


def event_id() -> Column:
    """32 hex digits of sha256(source, client_event_id, body). Without stated original_at the mapped event_at is part of the body,
    unless it only repeats received_at."""
    stated_at = F.coalesce("original_at", F.when(~F.col("event_at").eqNullSafe(F.col("received_at")), F.col("event_at")))
    # members of an object have no order, so a retry that a proxy wrote anew is still the same event
    body = {c: canonical_json(F.col(c)) if c == "properties" else F.col(c).cast("string") for c in BODY}
    parts = [F.col("source"), F.col("client_event_id"), *body.values()]
    parts += [
        F.unix_micros(stated_at).cast("string"),
        F.sort_array(F.map_entries("consent")).cast("string"),
        F.col("identifiers").cast("string"),
    ]
    text = F.concat_ws(SEPARATOR, *(F.coalesce(part, F.lit(ABSENT)) for part in parts))
    return F.substring(F.sha2(text, 256), 1, 32)


def with_optional(mapped: DataFrame) -> DataFrame:
    """The mapped rows with sent_at and original_at, null where the mapping gives none."""
    absent = {c: F.lit(None).cast("timestamp") for c in ("sent_at", "original_at") if c not in mapped.columns}
    return mapped.withColumns(absent) if absent else mapped


def with_times(events: DataFrame) -> DataFrame:
    """event_at by our clock, within 2000 … received_at + 1 day; what was stated instead stays in original_event_at."""
    stated = F.coalesce("original_at", "event_at")
    # nothing is received after we fetched it
    is_sane = F.col("received_at") <= F.col("_extracted_at") + F.expr("interval 1 day")
    received = F.when(is_sane, F.col("received_at")).otherwise(F.col("_extracted_at"))
    corrected = F.when(
        F.col("sent_at").isNotNull() & F.col("original_at").isNotNull() & F.col("received_at").isNotNull(),
        corrected_at(received, F.col("sent_at"), F.col("original_at")),
    )
    events = events.withColumns({"_stated_at": stated, "_corrected_at": F.coalesce(corrected, stated), "received_at": received})
    events = events.withColumn("event_at", plausible_at(F.col("_corrected_at"), F.col("received_at")))
    late = F.unix_seconds("ingested_at") - F.unix_seconds("event_at")
    changed = ~F.col("_stated_at").eqNullSafe(F.col("event_at"))
    return events.withColumns(
        {
            "event_date": F.to_date("event_at"),
            "original_event_at": F.when(changed, F.col("_stated_at")).cast("timestamp"),
            "late_by_seconds": F.when(late < 0, 0).otherwise(late),
        }
    ).drop("_stated_at", "_corrected_at")


def with_page(events: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """page_path, utm_* and click id from the page_url where the record does not give them."""
    events = events.withColumn("_query", query_of(F.col("page_url")))
    query, has_tags = F.col("_query"), F.col("_query").contains("utm_")
    tags = {name: F.coalesce(name, F.when(has_tags, parameter_of(query, name))) for name in UTM}
    no_click = F.coalesce(F.trim("click_id"), F.lit("")) == ""
    click = F.when(no_click, click_of(query, rules["click_ids"]))
    events = events.withColumns({"page_path": F.coalesce("page_path", path_of(F.col("page_url"))), **tags, "_click": click})
    clicks = {"click_id": F.coalesce("_click.id", "click_id"), "click_id_type": F.coalesce("_click.type", "click_id_type")}
    return events.withColumns(clicks).drop("_click", "_query")


def with_visitor(events: DataFrame) -> DataFrame:
    """device_type, os, browser, is_bot and country from user agent and network address, where the record does not give them."""
    agent, address = ("user_agent" if "user_agent" in events.columns else None), ("ip" if "ip" in events.columns else None)
    rows = with_agent_facts(events, agent, address)
    return rows.withColumns(
        {
            "device_type": F.coalesce("device_type", "agent_device_type"),
            "os": F.coalesce("os", "agent_os"),
            "browser": F.coalesce("browser", "agent_browser"),
            "is_bot": F.coalesce("is_bot", "agent_is_bot", F.lit(False)),
            "bot_reason": F.coalesce("bot_reason", "agent_bot_reason"),
            "country": F.upper(F.coalesce("country", "address_country")),
        }
    )


def two_bodies(said: DataFrame) -> DataFrame:
    """Every _sender that has more than one _body."""
    bodies = said.groupBy("_sender").agg(F.min("_body").alias("_least"), F.max("_body").alias("_most"))
    return materialised(bodies.where("_least <> _most").select("_sender"))


def with_unmapped(events: DataFrame) -> DataFrame:
    """`_drift` names the record's own fields too that its mapping does not know; their values stay in bronze."""
    if "_unmapped" not in events.columns:
        return events
    none = F.lit(None).cast("string")
    named = F.transform(
        "_unmapped",
        lambda name: F.struct(
            F.concat(F.lit("/"), F.left(name, F.lit(LONGEST_PATH))).alias("path"), F.lit("unmapped").alias("kind"), none.alias("json_type")
        ),
    )
    both = F.concat(F.coalesce("_drift", F.array().cast("array<struct<path:string,kind:string,json_type:string>>")), named)
    return events.withColumn("_drift", F.when(F.size("_unmapped") > 0, both).otherwise(F.col("_drift"))).drop("_unmapped")


def with_conflicts(events: DataFrame, existing: DataFrame, accept_late_days: int | None = None) -> DataFrame:
    """is_conflict: the client id has another body, here or in the table; stored rows that become one come back with `_restated`.

    So the flags are the same in whatever order and batches the bodies arrive: a body that the gate will set aside, or that comes too late
    (by more than accept_late_days, where given), is none. Compared by 64-bit hashes: exact enough for a flag, and cheap.
    """
    contract = table("silver.events")
    sender, body = F.xxhash64("source", "client_event_id"), F.xxhash64("event_id")
    usable = events.where("client_event_id is not null and _reason is null")
    said = usable.select(sender.alias("_sender"), body.alias("_body"))
    stored = existing.where("client_event_id is not null").withColumn("_sender", sender)
    # two columns of the table: all of them are read only where a stored row changes
    before = materialised(stored.select("_sender", body.alias("_body")).join(said.select("_sender"), on="_sender", how="left_semi"))
    suspects = two_bodies(said.unionAll(before))
    # few: the checks are made of these alone
    is_sound = first_failing(contract).isNull()
    if accept_late_days is not None:
        is_sound = is_sound & ~is_too_late(contract, accept_late_days)
    checked = usable.withColumns({"_sender": sender, "_body": body, "is_conflict": F.lit(False)})
    sound = checked.join(F.broadcast(suspects), on="_sender", how="left_semi").where(is_sound).select("_sender", "_body")
    torn = two_bodies(sound.unionAll(before.join(F.broadcast(suspects), on="_sender", how="left_semi")))
    marked = events.withColumn("_sender", F.when(F.col("client_event_id").isNotNull(), sender))
    marked = marked.join(F.broadcast(torn.withColumn("_is_torn", F.lit(True))), on="_sender", how="left")
    marked = marked.withColumn("is_conflict", F.coalesce("_is_torn", F.lit(False)) & F.col("_reason").isNull())
    met = before.join(F.broadcast(torn), on="_sender", how="left_semi").select("_sender")
    restated = (
        stored.where("not coalesce(is_conflict, false)")
        .join(F.broadcast(met), on="_sender", how="left_semi")
        .select(*COLUMNS)
        .withColumns({"is_conflict": F.lit(True), "_restated": F.lit(True)})
    )
    return marked.withColumn("_restated", F.lit(False)).unionByName(restated, allowMissingColumns=True)


def with_own_conflicts(events: DataFrame) -> DataFrame:
    """Stored events, all that have one of some client ids, with is_conflict as they make it themselves."""
    bodies = F.size(F.collect_set("event_id").over(W.partitionBy("source", "client_event_id")))
    return events.withColumn("is_conflict", bodies > 1)


def described(mapped: DataFrame, rules: Mapping[str, Any], contracts: Mapping[str, Mapping[str, Any]] | None = None) -> DataFrame:
    """What one mapped record says by itself: its id, instants, page and tags, and whether it keeps its contract; `_traffic`, by which its
    channel is judged."""
    events = with_optional(mapped).withColumn(
        "identifiers", F.coalesce("identifiers", F.array().cast("array<struct<namespace:string,identifier_key:string>>"))
    )
    events = events.withColumn("event_id", event_id()).withColumn("event_name", F.lower(stripped(F.col("event_name"))))
    return with_traffic_key(with_page(with_times(with_unmapped(with_contract(events, contracts))), rules))


def classified(mapped: DataFrame, existing: DataFrame, rules: Mapping[str, Any], platform: Platform | None = None) -> DataFrame:
    """The described events with their channel, visitor and conflicts, as silver.events has them."""
    accept_late_days = platform.accept_late_days if platform else None
    events = with_conflicts(with_visitor(with_channel(mapped, rules)), existing, accept_late_days)
    carried = [c for c in (*PROVENANCE, *CARRIED) if c in events.columns and c not in COLUMNS]
    return events.select(*COLUMNS, *carried, "_restated")


def conform_events(
    mapped: DataFrame,
    existing: DataFrame,
    rules: Mapping[str, Any],
    pads: DataFrame,
    contracts: Mapping[str, Mapping[str, Any]] | None = None,
    platform: Platform | None = None,
) -> DataFrame:
    """One row per mapped record, typed, identified, classified and scrubbed; copies of an event share its event_id.

    existing: silver.events of this source. rules: conf/rules/channels.yml. pads: the key of hashed ids. contracts: event_name -> JSON
    Schema; conf/contracts unless given.
    """
    said = materialised(with_scrubbed(described(mapped, rules, contracts), table("silver.events"), pads))
    return classified(said, existing, rules, platform)


JOB = Job(
    table="silver.events",
    inputs={"mapped": "mapped:silver.events", "existing": "self"},
    prepare=described,
    transform=classified,
    rules="channels",
)

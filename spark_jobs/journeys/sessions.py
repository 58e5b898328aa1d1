"""journeys.sessions: one visit of one client.

A session ends after 30 minutes of silence and at a new campaign; midnight does not cut. A campaign is new when its tags differ from
the last tags since the client's last silence, at most 24 hours back. Every rule looks back a bounded time, so that one day, a range
and any split of it give the same rows: a client that never falls silent is cut 24 hours after its run began, and from the second
midnight after that at each midnight (its run's true beginning may lie any time ago). Hence lookback 2 days and lookahead 1 day are
enough, exactly.
Machines are flagged with a reason and kept: by their agent (silver.events), whose sessions are nobody's and hold no person's event, and by
their behaviour (conf/rules/journeys.yml, sessions.bots), judged per client, so that no client's session depends on another's.
Known limits: an event that carries none of conf/rules/journeys.yml's client namespaces is in no session; a burst that crosses midnight
marks the sessions before it only as far as it filled their own day.
"""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window as W, functions as F

from spark_jobs.functions.people import base_namespace, current_people, least_of, namespace_rank
from spark_jobs.job import Job

CLIENT = ("source", "client_key", "is_agent_bot")
CAMPAIGN_TAGS = ("utm_source", "utm_medium", "utm_campaign", "click_id")
ENTRY = (
    "channel",
    "channel_rule",
    "campaign_id",
    "campaign_name",
    "ad_group_id",
    "ad_id",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "click_id",
)
DAY_SECONDS = 86_400
MICROS = 1_000_000


def client_of_event(namespaces: tuple[str, ...]) -> Column:
    """The event's first identifier in the order of `namespaces`, as (position, key, namespace); null when it has none of them."""
    positions = F.create_map(*(F.lit(x) for position, name in enumerate(namespaces, start=1) for x in (name, position)))

    def ranked(identifier: Column) -> Column:
        position = F.try_element_at(positions, base_namespace(identifier["namespace"])).alias("position")
        found = F.struct(position, identifier["identifier_key"].alias("key"), identifier["namespace"].alias("namespace"))
        return F.when(position.isNotNull(), found)

    return least_of(ranked)


def best_identifier() -> Column:
    """The event's best-ranked identifier of all, as (rank, identifier_key, namespace)."""
    return least_of(lambda i: F.struct(namespace_rank(i["namespace"]).alias("rank"), i["identifier_key"], i["namespace"]))


def campaign_mark() -> Column:
    """What says that a click on a campaign led here; null on an event without campaign tags or click id."""
    has_tags = F.coalesce("utm_source", "utm_campaign", "click_id").isNotNull()
    return F.when(has_tags, F.concat_ws("\x1f", *(F.coalesce(F.col(c), F.lit("")) for c in CAMPAIGN_TAGS)))


def follows_silence(gap_minutes: int) -> Column:
    """True on a client's event that no other precedes by gap_minutes or less."""
    in_order = W.partitionBy(*CLIENT).orderBy("event_at", "event_id")
    silence = F.col("event_micros") - F.lag("event_micros").over(in_order)
    return silence.isNull() | (silence > gap_minutes * 60 * MICROS)


def brings_new_campaign() -> Column:
    """True on an event whose campaign is not the last one since the client's last silence, within the preceding 24 hours."""
    in_order = W.partitionBy(*CLIENT).orderBy("event_at", "event_id")
    last_silence = F.last(F.when(F.col("is_after_silence"), F.col("event_micros")), ignorenulls=True).over(in_order)
    marked = F.when(F.col("mark").isNotNull(), F.struct("event_micros", "mark"))
    last_mark = F.last(marked, ignorenulls=True).over(in_order.rowsBetween(W.unboundedPreceding, -1))
    earliest = F.greatest(last_silence, F.col("event_micros") - DAY_SECONDS * MICROS + 1)
    known = F.coalesce(F.when(last_mark["event_micros"] >= earliest, last_mark["mark"]), F.lit(""))
    return F.col("mark").isNotNull() & (F.col("mark") != known)


def part_of_run() -> Column:
    """Which session of its run an event is in: the first or second 24 hours, then the days by their date."""
    days = F.datediff("event_date", F.to_date("run_started_at"))
    elapsed = F.col("event_micros") - F.unix_micros("run_started_at")
    return F.when(days >= 2, days).otherwise(F.when(elapsed >= DAY_SECONDS * MICROS, 1).otherwise(0))


def session_id() -> Column:
    """32 hex digits of source, client and start, of whether its agent is a machine's, and of its number among those that start at one instant."""
    start, machine = F.unix_micros("started_at").cast("string"), F.when(F.col("is_agent_bot"), "bot")
    number = F.row_number().over(W.partitionBy(*CLIENT, "started_at").orderBy("run", "part"))
    later = F.when(number > 1, number.cast("string"))
    return F.substring(F.sha2(F.concat_ws("\x1f", "source", "client_key", start, machine, later), 256), 1, 32)


def is_in_burst(most_per_minute: Mapping[str, int]) -> Column:
    """True on an event with which its client sends more than the allowed number of events of its type within 60 seconds; on the first
    ones of such a burst too, as far as it fills their day."""
    alike = W.partitionBy(*CLIENT, "event_type").orderBy("event_at", "event_id")
    found = F.lit(False)
    for most in sorted(set(most_per_minute.values())):
        types = sorted(name for name, limit in most_per_minute.items() if limit == most)
        before, after = F.lag("event_micros", most).over(alike), F.lead(F.struct("event_micros", "event_date"), most).over(alike)
        follows = F.when(after["event_date"] == F.col("event_date"), after["event_micros"] - F.col("event_micros"))
        is_quick = F.least(F.col("event_micros") - before, follows) <= 60 * MICROS
        found = found | (F.col("event_type").isin(*types) & F.coalesce(is_quick, F.lit(False)))
    return found


def bot_reason(rule: Mapping[str, Any]) -> Column:
    """Why a session is a machine's: what its agent says, else inhuman_rate or no_dwell; null for people.

    The row has is_agent_bot, agent_bot_reason, is_burst, page_views, first_view_at and last_view_at. rule: sessions.bots of the rules.
    """
    quick = rule["no_dwell"]
    dwelt = (F.unix_micros("last_view_at") - F.unix_micros("first_view_at")) / MICROS
    is_undwelt = (F.col("page_views") >= quick["page_views"]) & (dwelt < quick["seconds"] * (F.col("page_views") - 1))
    return (
        F.when(F.col("is_agent_bot"), F.coalesce("agent_bot_reason", F.lit("stated")))
        .when(F.col("is_burst"), "inhuman_rate")
        .when(is_undwelt, "no_dwell")
    )


def engaged_micros(idle_seconds: int) -> Column:
    """The pause before an event of a session, at most idle_seconds of it; 0 on the session's first."""
    previous = F.lag(F.struct("event_micros", "run", "part")).over(W.partitionBy(*CLIENT).orderBy("event_at", "event_id"))
    is_same = (previous["run"] == F.col("run")) & (previous["part"] == F.col("part"))
    pause = F.least(F.col("event_micros") - previous["event_micros"], F.lit(idle_seconds * MICROS))
    return F.when(F.coalesce(is_same, F.lit(False)), pause).otherwise(0)


def with_session_person(sessions: DataFrame, person_map: DataFrame) -> DataFrame:
    """person_id: that of the session's best-ranked identifier, else of its client; null where the agent is a machine's."""
    people = current_people(person_map)
    of_best = people.select(F.col("identifier_key").alias("best_key"), F.col("person_id").alias("best_person_id"))
    of_client = people.select(F.col("identifier_key").alias("client_key"), F.col("person_id").alias("client_person_id"))
    known = sessions.withColumn("best_key", F.col("best.identifier_key")).join(of_best, on="best_key", how="left")
    known = known.join(of_client, on="client_key", how="left")
    return known.withColumn("person_id", F.when(~F.col("is_agent_bot"), F.coalesce("best_person_id", "client_person_id")))


def sessionize_events(events: DataFrame, person_map: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """One row per session that starts in the range (and some of the days around it, which the range cuts off).

    events: silver.events of the range, two days before and one after. person_map: identity.person_map.
    rules: conf/rules/journeys.yml.
    """
    rule = rules["sessions"]
    visits = events.where(F.col("event_type").isin(*rule["event_types"])).select(
        "*",
        client_of_event(rule["client_namespaces"]).alias("client"),
        best_identifier().alias("best"),
        F.unix_micros("event_at").alias("event_micros"),
        campaign_mark().alias("mark"),
        F.try_element_at("consent", F.lit(rules["touchpoints"]["consent_purpose"])).alias("stated_consent"),
        F.coalesce("is_bot", F.lit(False)).alias("is_agent_bot"),
    )
    visits = visits.where("client is not null").withColumn("client_key", F.col("client.key"))
    in_order = W.partitionBy(*CLIENT).orderBy("event_at", "event_id")
    runs = visits.withColumn("is_after_silence", follows_silence(rule["gap_minutes"]))
    runs = runs.withColumn("is_start", F.col("is_after_silence") | brings_new_campaign())
    # a client's events in order, each by its number: numbers are compared faster than times and ids
    runs = runs.withColumn("place", F.row_number().over(in_order))
    run_start = F.last(F.when(F.col("is_start"), F.struct("place", "event_at")), ignorenulls=True).over(in_order)
    runs = runs.withColumns({"run": run_start["place"], "run_started_at": run_start["event_at"]}).withColumn("part", part_of_run())
    runs = runs.withColumns(
        {"engaged_micros": engaged_micros(rule["idle_seconds"]), "is_burst": is_in_burst(rule["bots"]["most_per_minute"])}
    )

    is_view = F.col("event_type").isin(*rule["view_types"])

    def first_known(column: str) -> Column:
        return F.min_by(column, F.when(F.col(column).isNotNull(), F.col("place"))).alias(column)

    sessions = runs.groupBy(*CLIENT, "run", "part").agg(
        F.min("event_at").alias("started_at"),
        F.max("event_at").alias("ended_at"),
        F.count(F.lit(1)).cast("int").alias("events"),
        F.count(F.when(is_view, 1)).cast("int").alias("page_views"),
        F.min_by("page_path", F.when(is_view, F.col("place"))).alias("landing_path"),
        F.count(F.when(F.col("event_name").isin(*rule["conversion_events"]), 1)).cast("int").alias("conversions"),
        F.max_by("page_path", F.when(is_view, F.col("place"))).alias("exit_path"),
        F.min(F.when(is_view, F.col("event_at"))).alias("first_view_at"),
        F.max(F.when(is_view, F.col("event_at"))).alias("last_view_at"),
        F.floor(F.sum("engaged_micros") / MICROS).cast("int").alias("engaged_seconds"),
        F.bool_or("is_burst").alias("is_burst"),
        F.bool_and("stated_consent").alias("has_consent"),
        F.min("bot_reason").alias("agent_bot_reason"),
        F.min("client.namespace").alias("client_namespace"),
        F.min("best").alias("best"),
        *(first_known(c) for c in ENTRY),
        first_known("device_type"),
        first_known("country"),
    )
    sessions = with_session_person(sessions, person_map)
    seconds = (F.unix_micros("ended_at") - F.unix_micros("started_at")) / MICROS
    is_engaged = (seconds >= rule["engaged_seconds"]) | (F.col("page_views") >= rule["engaged_page_views"]) | (F.col("conversions") > 0)
    return (
        sessions.select(
            "*",
            session_id().alias("session_id"),
            F.to_date("started_at").alias("session_date"),
            is_engaged.alias("is_engaged"),
            (~is_engaged).alias("is_bounce"),
            bot_reason(rule["bots"]).alias("bot_reason"),
        )
        .withColumn("is_bot", F.col("bot_reason").isNotNull())
        .drop("best", "best_key", "best_person_id", "client_person_id", "run", "part", "is_burst", "agent_bot_reason")
        .withColumn("channel", F.coalesce("channel", F.lit("Direct")))
    )


JOB = Job(
    table="journeys.sessions",
    inputs={"events": "silver.events", "person_map": "identity.person_map@all"},
    transform=sessionize_events,
    rules="journeys",
    lookback_days=2,
    lookahead_days=1,
    reassigns={"person_map": "person_id"},
    key="client_key",
    key_of={"events": lambda rules: client_of_event(rules["sessions"]["client_namespaces"])["key"]},
)

"""GA4's default channel groups as Spark columns, driven by conf/rules/channels.yml.

The rules see these columns, all lower case: traffic_source, traffic_medium, traffic_campaign, source_kind, traffic_origin.
Where no manual tag is given they come from the click id, else from the referrer (a page of one's own and a payment provider are none),
else they are (direct). Where one
of source and medium is given and agrees with the click id, the click id says the other one (its traffic_origin is click_id, as what was
inferred decides); where it contradicts, or none is there, the other one is (not set).
Source of the rules' order: GA4's "Default channel group" help page, manual traffic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, functions as F

from conf.rules import with_patterns
from spark_jobs.functions.plans import materialised
from spark_jobs.functions.text import stripped

# whose hosts, with everything below them, bring nobody
NO_REFERRERS = ("own_hosts", "payment_providers")
KINDS = ("none", "ai", "email", "search", "social", "video", "shopping")
DEEPEST = 5
NOT_SET = "(not set)"


def text_of(column: str) -> Column:
    """The column without blanks at its ends and in lower case; null when it is empty."""
    return F.nullif(F.lower(stripped(F.col(column))), F.lit(""))


def host_of(url: Column) -> Column:
    """The host of a URL, or the package of an android-app:// one, without www.; null when there is none."""
    host = F.regexp_extract(F.lower(url), r"^\s*(?:https?://|android-app://|//)(?:[^/?#@]*@)?(?:www\.)?([^/?#:\s]*[^/?#:.\s])", 1)
    return F.nullif(host, F.lit(""))


def address_of(url: Column) -> Column:
    """Host and path of a URL without scheme, www., port and query."""
    host_and_path = F.regexp_extract(
        F.lower(url), r"^\s*(?:https?://|android-app://|//)(?:[^/?#@]*@)?(?:www\.)?([^/?#:\s]+(?::\d+)?[^?#\s]*)", 1
    )
    return F.nullif(_without_port(host_and_path), F.lit(""))


def _without_port(address: Column) -> Column:
    """Host and path without the host's port and without the dot that ends a fully qualified name."""
    return F.regexp_replace(address, r"^([^/:]*[^/:.])\.*(?::\d+)?(?=/|$)", "$1")


def address_of_source(source: Column) -> Column:
    """A utm_source as kind_of looks it up: of a pasted URL host and path, of a name the name."""
    address = F.regexp_extract(source, r"^(?:(?:https?:|android-app:)?//)?(?:www\.)?([^?#]*)", 1)
    return F.regexp_replace(_without_port(address), "/+$", "")


def _kind_of_path(address: Column, kinds: Mapping[str, Any]) -> Column:
    """The kind of the listed host/path that begins the address."""
    listed = {kind: [h for h in kinds[kind].get("hosts", ()) if "/" in h] for kind in KINDS}
    branches = F.when(F.lit(False), None)
    for kind, entries in listed.items():
        if entries:
            branches = branches.when(address.rlike("(^|\\.)(" + "|".join(map(re.escape, entries)) + ")($|/)"), kind)
    return F.when(address.contains("/"), branches)


def kind_of(name: Column, address: Column, kinds: Mapping[str, Any]) -> Column:
    """ai, email, search, social, video or shopping, else null.

    name: a host, or a utm_source. address: host and path, or the same utm_source. The more specific rule decides: the longest listed
    host/path, the listed host itself, the host's first label (mail.), the longest listed domain above it; then brands under any country's
    domain, then patterns.
    """
    is_host = name.contains(".")

    def listed(values: list[Column], entries: str) -> Column:
        """The kind of each value, null where it is not listed; one map literal, because a chain of IN lists would stand there once per use."""
        members = {str(h): kind for kind in reversed(KINDS) for h in kinds[kind].get(entries, ()) if "/" not in str(h)}
        kind_by_name = F.from_json(F.lit(json.dumps(members)), "MAP<STRING, STRING>")
        return F.transform(F.array(*values), lambda value: F.try_element_at(kind_by_name, value))

    def first_of(tests: Mapping[str, list[str]]) -> Column:
        """The first kind that one of its patterns names."""
        found = F.when(F.lit(False), None)
        for kind, patterns in tests.items():
            for pattern in patterns:
                found = found.when(name.rlike(pattern), kind)
        return found

    tails = [F.substring_index(name, ".", -labels) for labels in range(DEEPEST, 1, -1)]
    known = listed([name, *tails], "hosts")
    labels = {kind: kinds[kind].get("labels", ()) for kind in KINDS}
    first_label = first_of({kind: [rf"^({'|'.join(words)})\."] for kind, words in labels.items() if words})
    brands = {kind: kinds[kind].get("brands", ()) for kind in KINDS}
    anywhere = {kind: [rf"(^|\.)({'|'.join(names)})\.((com?|org|net)\.)?[a-z]{{2,3}}$"] if names else [] for kind, names in brands.items()}
    guesses = first_of({kind: [*anywhere[kind], *kinds[kind].get("patterns", ())] for kind in KINDS})
    longest = F.get(F.filter(known, lambda kind: kind.isNotNull()), F.lit(0))
    by_host = F.coalesce(_kind_of_path(address, kinds), F.get(known, F.lit(0)), first_label, longest, guesses)
    found = F.when(is_host, by_host).otherwise(F.get(listed([name], "names"), F.lit(0)))
    return F.nullif(F.when(name.isNotNull(), found), F.lit("none"))


def is_no_referrer(host: Column, rules: Mapping[str, Any]) -> Column:
    """Whether the host is, or lies below, a declared own one or a payment provider's."""
    hosts = [re.escape(str(h).removeprefix("www.")) for key in NO_REFERRERS for h in rules.get(key) or ()]
    return host.rlike(rf"(^|\.)({'|'.join(hosts)})$") if hosts else F.lit(False)


def channel_group(rules: Mapping[str, Any]) -> Column:
    """STRUCT<channel, number>: the first rule that the traffic columns meet, else (Unassigned, null)."""
    branches = F.when(F.lit(False), F.struct(F.lit("").alias("channel"), F.lit(0).alias("number")))
    for rule in rules["channels"]:
        meets = F.coalesce(F.expr(with_patterns(rules, rule["when"])), F.lit(False))
        branches = branches.when(meets, F.struct(F.lit(rule["channel"]).alias("channel"), F.lit(int(rule["number"])).alias("number")))
    nothing = F.struct(F.lit(rules["unassigned"]).alias("channel"), F.lit(None).cast("int").alias("number"))
    return branches.otherwise(nothing)


def _implied(rules: Mapping[str, Any], item: str) -> Column:
    """What the known click id `_click` says of traffic: its source or medium."""
    branches = F.when(F.lit(False), None)
    for name, traffic in rules["click_ids"].items():
        branches = branches.when(F.col("_click") == name, traffic[item])
    return branches


def _click_decides(rules: Mapping[str, Any]) -> Column:
    """True where a click id is known and tags leave something for it to say: neither source nor medium, or one of them that agrees.

    A source agrees that begins with the click id's own or is of a kind in `agrees`; a medium agrees that is the click id's own or a paid one.
    """
    source, medium = F.col("_manual_source"), F.col("_manual_medium")
    is_of_kind = F.lit(False)
    for name, traffic in rules["click_ids"].items():
        is_of_kind = is_of_kind | ((F.col("_click") == name) & F.col("_source_kind").isin(*traffic.get("agrees", ())))
    source_agrees = F.startswith(address_of_source(source), _implied(rules, "source")) | F.coalesce(is_of_kind, F.lit(False))
    medium_agrees = (medium == _implied(rules, "medium")) | medium.rlike(rules["patterns"]["paid"])
    agrees = F.when(source.isNull() & medium.isNull(), True).when(medium.isNull(), source_agrees).when(source.isNull(), medium_agrees)
    return F.col("_click").isNotNull() & F.coalesce(agrees, F.lit(False))


def with_traffic(events: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """The events with the columns that the rules see.

    events: utm_source, utm_medium, utm_campaign, click_id, click_id_type, referrer_url, page_url.
    """
    kinds = rules["kinds"]
    own = host_of(F.col("page_url"))
    referrer = F.col("_referrer_address")
    host = F.substring_index(referrer, "/", 1)
    is_own = F.coalesce(
        (host == own) | F.endswith(host, F.concat(F.lit("."), own)) | F.endswith(own, F.concat(F.lit("."), host)), F.lit(False)
    ) | F.coalesce(is_no_referrer(host, rules), F.lit(False))
    click = F.lower("click_id_type")
    rows = events.withColumns(
        {
            "_manual_source": text_of("utm_source"),
            "_manual_medium": text_of("utm_medium"),
            "_referrer_address": address_of(F.col("referrer_url")),
            "_click": F.when(F.col("click_id").isNotNull() & click.isin(list(rules["click_ids"])), click),
        }
    )
    rows = rows.withColumn("_referrer", F.when(~is_own, referrer)).drop("_referrer_address")
    rows = rows.withColumn("_source_address", address_of_source(F.coalesce("_manual_source", _implied(rules, "source"))))
    # a shuffle between the steps keeps each one's generated code below Java's limit; the rows are few
    for name, address in (("_referrer_kind", F.col("_referrer")), ("_source_kind", F.col("_source_address"))):
        rows = rows.repartition(1).withColumn(name, kind_of(F.substring_index(address, "/", 1), address, kinds))
    rows = rows.repartition(1)
    origin = (
        F.when(_click_decides(rules), "click_id")
        .when(F.col("_manual_source").isNotNull() | F.col("_manual_medium").isNotNull(), "manual")
        .when(F.col("_referrer").isNotNull(), "referrer")
        .otherwise("direct")
    )
    rows = rows.withColumn("traffic_origin", origin)
    by_kind = F.when(F.lit(False), None)
    for kind, medium in rules["mediums"].items():
        by_kind = by_kind.when(F.col("_referrer_kind") == kind, medium)

    def by_origin(item: str, referred: Column, direct: str) -> Column:
        place, manual = F.col("traffic_origin"), F.col(f"_manual_{item}")
        told = F.when(place == "manual", F.coalesce(manual, F.lit(NOT_SET))).when(
            place == "click_id", F.coalesce(manual, _implied(rules, item))
        )
        return told.when(place == "referrer", referred).otherwise(direct)

    source = by_origin("source", F.substring_index("_referrer", "/", 1), "(direct)")
    medium = by_origin("medium", F.coalesce(by_kind, F.lit("referral")), "(none)")
    rows = rows.withColumns({"traffic_source": source, "traffic_medium": medium, "traffic_campaign": text_of("utm_campaign")})
    is_told = (F.col("traffic_origin") == "click_id") | F.col("_manual_source").isNotNull()
    return rows.withColumn(
        "source_kind", F.when(F.col("traffic_origin") == "referrer", F.col("_referrer_kind")).when(is_told, F.col("_source_kind"))
    )


def traffic_key(own: Column, referrer: Column) -> Column:
    """What the rules look at, as a STRUCT: tags, kind of click id, the referrer's host and first two folders (none when it is an own page).

    own: host of the page. referrer: host and path of the referrer.
    """
    host = F.substring_index(referrer, "/", 1)
    folder = F.when(~F.coalesce(host == own, F.lit(False)), F.concat(F.lit("//"), F.substring_index(referrer, "/", 3)))
    has_click = F.col("click_id").isNotNull()
    return F.struct(
        *(text_of(name).alias(name) for name in ("utm_source", "utm_medium", "utm_campaign")),
        F.when(has_click, "1").alias("click_id"),
        F.when(has_click, F.lower("click_id_type")).alias("click_id_type"),
        folder.alias("referrer_url"),
        F.when(folder.isNotNull(), F.concat(F.lit("//"), own)).alias("page_url"),
    )


def with_traffic_key(events: DataFrame) -> DataFrame:
    """The events with `_traffic`, the traffic_key of each."""
    hosts = events.withColumns({"_own": host_of(F.col("page_url")), "_referrer": address_of(F.col("referrer_url"))})
    return hosts.withColumn("_traffic", traffic_key(F.col("_own"), F.col("_referrer"))).drop("_own", "_referrer")


def with_channel(keyed: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """The events with `channel` and `channel_rule` (number of the rule : what it judged; given, network or event_type before the rules).

    keyed: events with `_traffic`. A channel that the source names stands; then the ad platform's own network (column ad_network, if there
    is one); then event types.
    """
    # the rules are long and the tags few: judged once per distinct value, not per event
    judged = keyed.select("_traffic").distinct().select("_traffic", "_traffic.*")
    judged = with_traffic(judged, rules).repartition(1).withColumn("_group", channel_group(rules))
    number = F.concat_ws(":", F.coalesce(F.col("_group.number").cast("string"), F.lit("none")), F.col("traffic_origin"))
    judged = judged.select("_traffic", F.col("_group.channel").alias("_judged_channel"), number.alias("_judged_rule"))
    rows = keyed.join(F.broadcast(materialised(judged)), on="_traffic", how="left")
    given, network = F.nullif(F.trim("channel"), F.lit("")), F.lit(None).cast("string")
    if "ad_network" in keyed.columns:
        network = F.when(F.lit(False), None)
        for name, channel in rules["networks"].items():
            network = network.when(F.lower("ad_network") == name, channel)
    of_type = F.when(F.lit(False), None)
    for event_type, channel in rules["event_types"].items():
        of_type = of_type.when(F.col("event_type") == event_type, channel)
    before = F.when(given.isNotNull(), "given").when(network.isNotNull(), "network").when(of_type.isNotNull(), "event_type")
    rows = rows.withColumn("channel_rule", F.coalesce(before, F.col("_judged_rule")))
    rows = rows.withColumn("channel", F.coalesce(given, network, of_type, F.col("_judged_channel")))
    return rows.drop("_traffic", "_judged_channel", "_judged_rule")

"""What a user agent and a network address say: device, system, browser, crawler, country.

The parsers are Python libraries, so they run once per distinct value in an Arrow task and are joined back: 30 µs for each of a few
hundred agents instead of for each event. Spark has no functions for either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, functions as F

from spark_jobs.functions.plans import materialised

FACTS = "kind STRING, value STRING, device_type STRING, os STRING, browser STRING, is_bot BOOLEAN, bot_reason STRING, country STRING"
AGENT_FACTS = ("device_type", "os", "browser", "is_bot", "bot_reason")

# Agents that act for a machine and that the crawler lists do not hold yet.
OWN_BOTS = re.compile(r"Perplexity-User|ChatGPT-User|Claude-User|MistralAI-User|DuckAssistBot|meta-externalfetcher|Google-Extended", re.I)
# Fetches a message's pictures for its reader, or before there is one (Apple's Mail Privacy says no more than Mozilla/5.0).
PROXIES = re.compile(r"GoogleImageProxy|YahooMailProxy|^Mozilla/5\.0$", re.I)
TABLETS = re.compile(r"iPad|Tablet|Kindle|Silk/|PlayBook|Nexus (7|9|10)\b|SM-T\d", re.I)
PHONES = re.compile(r"iPhone|iPod|Windows Phone|IEMobile|BlackBerry|BB10|Opera Mini|Mobile", re.I)
TELEVISIONS = re.compile(r"SmartTV|SMART-TV|AppleTV|Apple TV|GoogleTV|BRAVIA|HbbTV|NetCast|Web0S|Roku|AFT[A-Z]", re.I)
# an agent says what it is at its beginning; the lists' patterns take time that grows with the square of its length
LONGEST_AGENT = 512
CONSOLES = re.compile(r"PlayStation|Xbox|Nintendo", re.I)
DESKTOPS = (
    "Windows",
    "Mac OS X",
    "Linux",
    "Ubuntu",
    "Fedora",
    "Debian",
    "Chrome OS",
    "FreeBSD",
    "OpenBSD",
    "NetBSD",
    "SUSE",
    "CentOS",
    "Solaris",
)


def device_type_of(agent: str, os: str | None) -> str:
    """desktop, mobile, tablet, tv, console, proxy or other."""
    if PROXIES.search(agent):
        return "proxy"
    if CONSOLES.search(agent):
        return "console"
    if TELEVISIONS.search(agent):
        return "tv"
    if TABLETS.search(agent) or (os == "Android" and "Mobile" not in agent):
        return "tablet"
    if PHONES.search(agent) or os in ("iOS", "Android"):
        return "mobile"
    return "desktop" if os is not None and os.startswith(DESKTOPS) else "other"


def bot_reason_of(agent: str, device: str | None, is_listed: bool) -> str | None:
    """Why the agent is not a person's, else None."""
    if agent.strip() in ("", "-"):
        return "empty_agent"
    if PROXIES.search(agent):
        return None
    if OWN_BOTS.search(agent):
        return "own_pattern"
    if is_listed:
        return "crawler"
    return "spider_device" if device == "Spider" else None


def client_address(value: str) -> str:
    """The client's own address: the first of a proxies' list, and the IPv4 one that an IPv6 one maps."""
    return value.split(",")[0].strip().removeprefix("::ffff:")


def describe_values(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """(kind, value) rows, kind agent or address, as FACTS rows. The parsers are built once per task."""
    from crawlerdetect import CrawlerDetect
    from iptocc import country_code
    from ua_parser import parse

    crawlers = CrawlerDetect()
    names = [field.strip().split(" ")[0] for field in FACTS.split(",")]
    for batch in batches:
        facts = []
        for kind, value in zip(batch.column("kind").to_pylist(), batch.column("value").to_pylist()):
            fact = dict.fromkeys(names) | {"kind": kind, "value": value}
            if kind == "agent":
                agent = value[:LONGEST_AGENT]
                found = parse(agent)
                device = found.device.family if found.device else None
                os = found.os.family if found.os else None
                reason = bot_reason_of(agent, device, bool(crawlers.isCrawler(agent)))
                browser = found.user_agent.family if found.user_agent else None
                fact |= {"os": os, "browser": browser, "is_bot": reason is not None, "bot_reason": reason}
                fact["device_type"] = "bot" if reason else device_type_of(agent, os)
            else:
                try:
                    fact["country"] = country_code(client_address(value))
                except ValueError:
                    fact["country"] = None
            facts.append(fact)
        types = [pa.bool_() if name == "is_bot" else pa.string() for name in names]
        yield pa.RecordBatch.from_arrays([pa.array([f[n] for f in facts], t) for n, t in zip(names, types)], names=names)


def with_agent_facts(rows: DataFrame, agent: str | None, address: str | None) -> DataFrame:
    """The rows with agent_device_type, agent_os, agent_browser, agent_is_bot, agent_bot_reason and address_country.

    agent, address: the columns that hold the user agent and the network address; None where the rows have none (then nulls).
    Both kinds of value are found in one pass over the rows.
    """
    kinds = [("agent", agent), ("address", address)]
    held = [F.struct(F.lit(kind).alias("kind"), F.col(name).alias("value")) for kind, name in kinds if name]
    if held:
        values = (
            rows.select(F.explode(F.array(*held)).alias("held")).select("held.kind", "held.value").where("value is not null").distinct()
        )
        facts = materialised(values.mapInArrow(describe_values, FACTS))
    if agent:
        agents = facts.where("kind = 'agent'").select(F.col("value").alias(agent), *(F.col(c).alias(f"agent_{c}") for c in AGENT_FACTS))
        rows = rows.join(F.broadcast(agents), on=agent, how="left")
    else:
        rows = rows.withColumns({f"agent_{c}": F.lit(None).cast("boolean" if c == "is_bot" else "string") for c in AGENT_FACTS})
    if address:
        countries = facts.where("kind = 'address'").select(F.col("value").alias(address), F.col("country").alias("address_country"))
        return rows.join(F.broadcast(countries), on=address, how="left")
    return rows.withColumn("address_country", F.lit(None).cast("string"))

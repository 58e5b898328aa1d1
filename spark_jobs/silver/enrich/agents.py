"""What a user agent and a network address say: device, system, browser, crawler, country.

The parsers are Python libraries, so they run once per distinct value in an Arrow task and are joined back: 30 µs for each of a few
hundred agents instead of for each event. Spark has no functions for either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, functions as F

from conf.personal import masked_text
from spark_jobs.functions.plans import materialised

FACTS = "kind STRING, value STRING, device_type STRING, os STRING, browser STRING, is_bot BOOLEAN, bot_reason STRING, country STRING"
AGENT_FACTS = ("device_type", "os", "browser", "is_bot", "bot_reason")

# What follows compatible in a browser's agent: its own name or its system.
BROWSER = (
    r"(?:MSIE|MSPIE|Konqueror|Opera|OmniWeb|iCab|Dillo|NetSurf|ABrowse|Galeon|Qt|U|Windows|Win32|Macintosh|X11|Linux|Android|iPhone|iPad|Lotus"
    r"|IBM|ms-office|AOL|Avant|Maxthon|IBrowse|Voyager|AmigaVoyager|NetPositive|WebTV|Lynx|Links|ELinks|w3m|Mozilla|Gecko|Trident|BlackBerry)\b"
)
# (compatible; NAME, where NAME is no browser
COMPATIBLE = rf"compatible;(?!\s*{BROWSER})\s*"
# What a machine's agent says, by kind, so that a new name needs no new line; the crawler lists know most of the rest.
MACHINE_KINDS = (
    # where its owner explains it or answers: (+https://...), +someone@...; a browser links to nobody
    r"\+(?:https?://|[\w.-]+@)|^(?!Avant)[^(]*\(https?://",
    # (compatible; NAME; https://...) and (KHTML, like Gecko; compatible; NAME/1.0)
    rf"{COMPATIBLE}[^;()]+;\s*(?:https?://|[\w.-]+@)|Gecko\)?; ?{COMPATIBLE}\w",
    # (compatible; NAME): a browser goes on with its system
    rf"\({COMPATIBLE}\w[^;()]*\)",
    # an assistant that acts for its user: NAME-User/1.0
    r"[\w]-User(?![\w-])",
    # tokens that assistants' vendors publish, where no kind above holds
    r"\b(?:Google-?(?:Agent|Extended|NotebookLM|GeminiNotebook|Gemini-CLI|CWS)|Gemini-Deep-Research|NotebookLM|NovaAct|Claude-(?:Web|Code)"
    r"|anthropic-ai|cohere-ai|meta-external\w+|amazon-kendra|AmazonBuyForMe|Cloudflare-AutoRAG|Poggio-Citations|TerraCotta|Terra Cotta"
    r"|TwinAgent|Webzio-Extended|Cotoyogi|img2dataset|LAIONDownloader|laion-huggingface-processor|ChatGPT Agent|bigsur\.ai|Crawl4AI)(?![\w])",
    # agents of one word only, which inside others may be anybody's: load tools, HTTP libraries, assistants
    r"^(?:Grafana k6|k6|(?:Apache[- ]?)?JMeter|Locust|wrk2?|ab|Gatling|hey(?=/0)|Vegeta|Artillery|autocannon|oha|bombardier|Tsung"
    r"|Deno|Bun|node|Node\.js|superagent|undici|Java-http-client|Symfony HttpClient|Faraday|rest-client|Typhoeus|ureq|resty"
    r"|Mechanize|Selenium|insomnia|bruno|PowerShell|Microsoft-CryptoAPI|WinHTTP|libsoup|Alamofire|aria2|hackney"
    r"|OpenAI|opencode|Operator|Devin|VertexAI|Trae|YaK|newsai|AgentTimes|Anomura|Awario|LCC)(?=$|[/ ;(])",
    # browsers that a program drives, and shells that say they are one
    r"Headless|Playwright|Puppeteer|PhantomJS|Cypress/|Selenium/|WebDriver|Lighthouse|jsdom/|HtmlUnit|WindowsPowerShell/",
)
OWN_BOTS = re.compile("|".join(MACHINE_KINDS), re.I)
# What people read and work with and the crawler lists hold for machines: mail readers first. It is left out before the lists are asked.
READERS = re.compile(
    r"Microsoft (?:Office|Outlook)|MacOutlook|Outlook-(?:iOS|Android|Express)|^Mail(?=/)|Airmail|Canary%20Mail"
    r"|LibWeb\+LibJS|1Password|Slack(?=/[^()]* Chrome/)|libwww-FM"
    # an app's requests are its reader's, whatever library carries them; the library alone is a program's
    r"|(?<=[\w)] )okhttp/[\w.-]+",
    re.I,
)
# What a machine calls itself: what it is compatible as, else the first words of its agent. Its address is no name.
ADDRESSES = re.compile(r"\+?https?://[^\s;)]*|\+?[\w.-]+@[\w.-]+", re.I)
OWN_NAMES = (
    re.compile(rf"{COMPATIBLE}([^/(;)]{{1,60}}?)(?: v?\d[\w.]*)?\s*[/;)]", re.I),
    re.compile(r"^(?!Mozilla\b|Opera\b|Dalvik\b)([^/(;,{]{1,60}?)(?: v?\d[\w.]*)?\s*(?:$|[/(;,{])", re.I),
)
# words for what it does: no name
NO_NAMES = re.compile(
    r"^(?:(?:my|the|a|web|simple|test|generic)?[\W_]*(?:crawl(?:er|ing)?|(?:ro)?bots?|spider|scrap(?:er|ing)|fetcher|agent|user))*\W*$",
    re.I,
)
# Fetches a message's pictures for its reader, or before there is one (Apple's Mail Privacy says no more than Mozilla/5.0).
PROXIES = re.compile(r"GoogleImageProxy|YahooMailProxy|^Mozilla/5\.0$", re.I)
TABLETS = re.compile(r"iPad|Tablet|Kindle|Silk/|PlayBook|Nexus (7|9|10)\b|SM-T\d", re.I)
PHONES = re.compile(r"Outlook-(?:iOS|Android)|iPhone|iPod|Windows Phone|IEMobile|BlackBerry|BB10|Opera Mini|Mobile", re.I)
TELEVISIONS = re.compile(r"SmartTV|SMART-TV|AppleTV|Apple TV|GoogleTV|BRAVIA|HbbTV|NetCast|Web0S|Roku|AFT[A-Z]", re.I)
# an agent says what it is at its beginning; the lists' patterns take time that grows with the square of its length
LONGEST_AGENT = 512
# RFC 7239: for=192.0.2.60;proto=http;by=203.0.113.43
FORWARDED = re.compile(r'(?:^|;)\s*for\s*=\s*"?([^";]*)', re.I)
# [2001:db8::1]:443 and 192.0.2.1:443, each without the port too
PORT = re.compile(r"^\[([^\]]*)\](?::\d+)?$|^(.*\.\d+|[^:]*):\d+$")
# documentation writes these for anybody's public address
EXAMPLES = tuple(map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))
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
    if is_listed:
        return "crawler"
    if OWN_BOTS.search(agent):
        return "own_pattern"
    return "spider_device" if device == "Spider" else None


def machine_name(agent: str, is_machine: Callable[[str], bool]) -> str | None:
    """What a machine calls itself, else null: the parser takes words of its address for a browser, and the browser that it imitates."""
    text = ADDRESSES.sub("", agent)
    found = [name.group(1) for pattern in OWN_NAMES if (name := pattern.search(text))]
    found += [word for word in re.findall(r"\w[\w.!-]*", text) if is_machine(word)]
    return next((name.strip(" -_+") for name in found if not NO_NAMES.match(name)), None)


def describe_agent(agent: str, parse: Callable[[str], Any], is_listed: Callable[[str], bool]) -> dict[str, Any]:
    """The AGENT_FACTS of one agent. parse: ua_parser's; is_listed: whether a crawler list knows it."""

    def is_known(text: str) -> bool:
        return bool(is_listed(READERS.sub("", text)))

    agent = agent[:LONGEST_AGENT]
    found = parse(agent)
    device, os, browser = (part.family if part else None for part in (found.device, found.os, found.user_agent))
    reason = bot_reason_of(agent, device, is_known(agent))
    if reason:
        browser = machine_name(agent, lambda word: bool(OWN_BOTS.search(word)) or is_known(word))
    kind = "bot" if reason else device_type_of(agent, os)
    os, browser = (masked_text(name) if name else name for name in (os, browser))
    return {"device_type": kind, "os": os, "browser": browser, "is_bot": reason is not None, "bot_reason": reason}


def address_in(text: str) -> IPv4Address | IPv6Address | None:
    """The address in one entry of a proxies' list, of IPv6 that maps IPv4 the latter; null when it is hidden, unknown or none."""
    node = FORWARDED.search(text)
    value = (node.group(1) if node else text).strip(" \t\"'")
    with_port = PORT.match(value)
    value = (with_port.group(1) or with_port.group(2)) if with_port else value
    try:
        address = ip_address(value.split("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def client_address(value: str) -> str | None:
    """The client's own address: the first public one of a proxies' list, else its first."""
    found = [address for entry in value.split(",") if (address := address_in(entry))]
    public = (a for a in found if a.is_global or any(a in network for network in EXAMPLES))
    client = next(public, found[0] if found else None)
    return None if client is None else str(client)


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
                fact |= describe_agent(value, parse, crawlers.isCrawler)
            else:
                client = client_address(value)
                fact["country"] = country_code(client) if client else None
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

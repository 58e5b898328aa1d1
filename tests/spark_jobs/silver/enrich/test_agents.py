"""User agents and network addresses: what each says, written by hand."""

import pytest
from crawlerdetect import CrawlerDetect
from ua_parser import parse

from spark_jobs.silver.enrich.agents import client_address, describe_agent, with_agent_facts

SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Mobile/15E148 Safari/604.1"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) {SAFARI}"
IPAD = f"Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) {SAFARI}"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
PERPLEXITY = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Perplexity-User/1.0)"
IMAGE_PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
# the lists' patterns would search it for days
ENDLESS = f"{WINDOWS} {'x' * 1_000_000}"


@pytest.fixture(scope="module")
def facts(spark):
    agents = [IPHONE, IPAD, WINDOWS, GOOGLEBOT, PERPLEXITY, IMAGE_PROXY, "-", None, ENDLESS]
    addresses = ["8.8.8.8", "not an address", None, "2001:4860:4860::8888", "8.8.8.8", "8.8.8.8", "10.0.0.1", None, None]
    rows = spark.createDataFrame(list(zip(agents, addresses)), "user_agent STRING, ip STRING")
    found = with_agent_facts(rows, "user_agent", "ip").collect()
    assert len(found) == len(agents)
    return {row["user_agent"]: row for row in found}


def test_a_person_s_device_system_and_browser_are_named(facts):
    assert [facts[IPHONE][c] for c in ("agent_device_type", "agent_os", "agent_is_bot")] == ["mobile", "iOS", False]
    assert (facts[IPAD]["agent_device_type"], facts[WINDOWS]["agent_device_type"]) == ("tablet", "desktop")
    assert (facts[WINDOWS]["agent_os"], facts[WINDOWS]["agent_browser"]) == ("Windows", "Chrome")


def test_each_kind_of_machine_has_its_reason(facts):
    reasons = [facts[a]["agent_bot_reason"] for a in (GOOGLEBOT, PERPLEXITY, "-")]
    assert reasons == ["crawler", "own_pattern", "empty_agent"]
    assert facts[GOOGLEBOT]["agent_device_type"] == "bot"


def test_a_mail_reader_s_picture_proxy_is_a_person(facts):
    assert (facts[IMAGE_PROXY]["agent_is_bot"], facts[IMAGE_PROXY]["agent_device_type"]) == (False, "proxy")


def test_an_unknown_agent_says_nothing(facts):
    assert facts[None]["agent_is_bot"] is None


def test_an_address_has_a_country_and_nonsense_has_none(facts):
    assert [facts[a]["address_country"] for a in (IPHONE, GOOGLEBOT, IPAD, "-")] == ["US", "US", None, None]


def test_an_agent_without_end_is_what_its_beginning_says(facts):
    assert (facts[ENDLESS]["agent_os"], facts[ENDLESS]["agent_is_bot"]) == ("Windows", False)


MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
GECKO = "AppleWebKit/537.36 (KHTML, like Gecko)"
PEOPLE = [
    # mail readers
    "Microsoft Outlook 16.0.17328",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.12026; Pro)",
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.5134; ms-office; MSOffice 16)",
    "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
    "Outlook-iOS/709.2226530.prod.iphone (3.24.1)",
    "Outlook-Android/2.0",
    "MacOutlook/16.78.23100802 (Intelx64 Mac OS X Version 13.6 (Build 22G120))",
    "Outlook-Express/7.0 (MSIE 7.0; Windows NT 6.1; Trident/7.0; TmstmpExt)",
    "Airmail 5.6.1 rv:697 (Macintosh; Mac OS X 13.4.1; en_US)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:68.0) Gecko/20100101 Postbox/7.0.59",
    "Mail/3654.120.0.1.13 CFNetwork/1327.0.4 Darwin/21.2.0",
    f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko)",
    f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Spark/3.9.0",
    f"{MAC} {GECKO} Superhuman/1024 Chrome/120.0.0.0 Electron/28.0 Safari/537.36",
    "HEY/1.2 (iOS)",
    # browsers, and what looks like a machine's
    "Mozilla/5.0 (Linux; x86_64) LibWeb+LibJS/1.0 Ladybird/1.0",
    f"{IPHONE} 1Password/8.10",
    f"{MAC} {GECKO} Slack/4.35 Chrome/118 Electron/27 Safari/537.36",
    f"{MAC} {GECKO} Chrome/141.0.0.0 Safari/537.36 ChatGPT-Atlas/1.0",
    f"Mozilla/5.0 (Linux; Android 7.0; CUBOT_NOTE_S Build/NRD90M) {GECKO} Chrome/68.0.3440.91 Mobile Safari/537.36",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)",
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0; http://bsalsa.com; SLCC1; .NET CLR 2.0.50727)",
    "Mozilla/5.0 (compatible; Konqueror/4.9; Linux) KHTML/4.9.5 (like Gecko)",
    "Mozilla/5.0 (compatible; OmniWeb/5.11)",
    "Mozilla/4.0 (compatible; Dillo 3.0)",
    "Lynx/2.8.9rel.1 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/1.1.1",
    "MyShop/4.1 (Android 13; Pixel 7) okhttp/4.12.0",
    "MyShop/312 CFNetwork/1490.0.4 Darwin/23.2.0",
]
# a machine's agent -> its name
MACHINES = {
    "Mozilla/5.0 (compatible; Unheard; +https://unheard.example/)": "Unheard",
    "Mozilla/5.0 (compatible; Unheard/1.0; +http://unheard.example)": "Unheard",
    "Mozilla/5.0 (compatible; Unheard/2.1; https://unheard.example/about)": "Unheard",
    "Mozilla/5.0 (compatible; Unheard-CWS)": "Unheard-CWS",
    f"Mozilla/5.0 {GECKO.removesuffix(')')}; compatible; Unheard-User/0.1) Chrome/119.0 Safari/537.36": "Unheard-User",
    "Unheard-User/1.0": "Unheard-User",
    "Unheard/1.0 (+https://unheard.example/agent)": "Unheard",
    f"Mozilla/5.0 {GECKO}; compatible; GPTBot/1.2; +https://openai.com/gptbot": "GPTBot",
    f"Mozilla/5.0 {GECKO}; compatible; ChatGPT-User/1.0; +https://openai.com/bot": "ChatGPT-User",
    f"Mozilla/5.0 {GECKO}; compatible; OAI-SearchBot/1.0; +https://openai.com/searchbot": "OAI-SearchBot",
    "ClaudeBot/1.0; +claudebot@anthropic.com": "ClaudeBot",
    "Claude-User (claude-code/2.1; +https://support.anthropic.com/)": "Claude-User",
    "Claude-SearchBot": "Claude-SearchBot",
    "PerplexityBot/1.0": "PerplexityBot",
    "Perplexity-User/1.0": "Perplexity-User",
    "MistralAI-User/1.0": "MistralAI-User",
    "Google-NotebookLM": "Google-NotebookLM",
    "Google-GeminiNotebook": "Google-GeminiNotebook",
    "Google-Agent": "Google-Agent",
    "Gemini-Deep-Research": "Gemini-Deep-Research",
    "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)": "meta-externalagent",
    "Bytespider": "Bytespider",
    "DuckAssistBot/1.2; (+http://duckduckgo.com/duckassistbot.html)": "DuckAssistBot",
    f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)": "Applebot",
    "k6/0.49.0 (https://k6.io/)": "k6",
    "Apache-HttpClient/4.5.13 (Java/11.0.20)": "Apache-HttpClient",
    "ApacheJMeter/5.5": "ApacheJMeter",
    "Locust/2.20": "Locust",
    "wrk/4.2.0": "wrk",
    "ab/2.3": "ab",
    "Gatling/3.9": "Gatling",
    "Deno/1.40.2": "Deno",
    "Bun/1.0.25": "Bun",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)": "node-fetch",
    "undici": "undici",
    "axios/1.6.5": "axios",
    "got (https://github.com/sindresorhus/got)": "got",
    "python-requests/2.31.0": "python-requests",
    "aiohttp/3.9.1": "aiohttp",
    "python-httpx/0.26.0": "python-httpx",
    "curl/8.4.0": "curl",
    "Wget/1.21.4": "Wget",
    "Go-http-client/2.0": "Go-http-client",
    "okhttp/4.12.0": "okhttp",
    "Java/17.0.9": "Java",
    "Java-http-client/17.0.9": "Java-http-client",
    "libwww-perl/6.72": "libwww-perl",
    "GuzzleHttp/7": "GuzzleHttp",
    "Faraday v2.7.12": "Faraday",
    "reqwest/0.11": "reqwest",
    f"Mozilla/5.0 (X11; Linux x86_64) {GECKO} HeadlessChrome/120.0.6099.109 Safari/537.36": "HeadlessChrome",
    f"Mozilla/5.0 (Windows NT 10.0) {GECKO} Chrome/120 Safari/537.36 Playwright/1.40": "Playwright",
    "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1": "PhantomJS",
    # what it does is no name, and neither are its address and the browser that it imitates
    "Mozilla/5.0 (compatible; crawling/1.0)": None,
    "crawler": None,
    "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1;  http://www.changedetection.com/bot.html )": None,
    "Mozilla/5.0 (Windows NT 6.1; rv:6.0) Gecko/20110814 Firefox/6.0 Google favicon": None,
}


@pytest.fixture(scope="module")
def described():
    return lambda agent: describe_agent(agent, parse, CrawlerDetect().isCrawler)


@pytest.mark.parametrize("agent", PEOPLE)
def test_mail_readers_browsers_and_apps_are_people(described, agent):
    assert described(agent)["bot_reason"] is None


@pytest.mark.parametrize(("agent", "name"), MACHINES.items())
def test_a_machine_is_known_by_its_kind_and_called_what_it_calls_itself(described, agent, name):
    found = described(agent)
    assert (found["is_bot"], found["device_type"], found["browser"]) == (True, "bot", name)


def test_machines_that_fetch_for_an_assistant_are_told_from_a_phone_of_the_make_cubot(described, shared_data):
    lines = (shared_data / "reports" / "ai-fetchers" / "access.log").read_text().splitlines()
    found = [described(line.split('"')[5]) for line in lines]
    assert [f["is_bot"] for f in found] == [True] * 6 + [False]
    names = ["Google-NotebookLM", "Amzn-User", "Gemini-Deep-Research", "Manus-User", "NovaAct", "Google-CWS", "Chrome Mobile"]
    assert [f["browser"] for f in found] == names


def test_a_phone_s_mail_reader_is_on_a_phone_and_an_office_s_on_a_desktop(described):
    kinds = [described(agent)["device_type"] for agent in ("Outlook-iOS/2.0", PEOPLE[1], PEOPLE[6])]
    assert kinds == ["mobile", "desktop", "desktop"]


def test_the_client_is_the_first_of_the_proxies_list():
    assert [client_address(a) for a in ("8.8.8.8, 10.0.0.1", " 8.8.8.8", "::ffff:8.8.8.8", "2001:db8::1")] == ["8.8.8.8"] * 3 + [
        "2001:db8::1"
    ]


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.7:51234", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::FFFF:1.2.3.4", "1.2.3.4"),
        ("0:0:0:0:0:ffff:1.2.3.4", "1.2.3.4"),
        ("::ffff:c000:0201", "192.0.2.1"),
        ("[::ffff:1.2.3.4]:80", "1.2.3.4"),
        ("::ffff:1.2.3.4:80", "1.2.3.4"),
        ("fe80::1%eth0", "fe80::1"),
        ("\t8.8.8.8 ", "8.8.8.8"),
        ("unknown, 8.8.8.8", "8.8.8.8"),
        (", 8.8.8.8, 1.1.1.1", "8.8.8.8"),
        ("10.0.0.1, 8.8.8.8", "8.8.8.8"),
        ("100.64.0.1, 203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0, ::1, 8.8.8.8", "8.8.8.8"),
        ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("For=_hidden, for=10.0.0.1, proto=https;for=8.8.8.8:80;by=1.1.1.1", "8.8.8.8"),
        ("", None),
        ("-", None),
        ("unknown", None),
        ("999.1.1.1", None),
    ],
)
def test_an_address_is_read_in_every_spelling(value, client):
    assert client_address(value) == client


def test_an_address_with_port_brackets_or_mapping_has_its_country(spark):
    values = ["8.8.8.8:51234", "[2001:4860:4860::8888]:443", "::FFFF:808:808", "10.0.0.1, 8.8.8.8", 'for="[2001:4860:4860::8888]"']
    rows = spark.createDataFrame([(v,) for v in values], "ip STRING")
    assert {r["address_country"] for r in with_agent_facts(rows, None, "ip").collect()} == {"US"}

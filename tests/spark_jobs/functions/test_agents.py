"""User agents and network addresses: what each says, written by hand."""

import pytest

from spark_jobs.functions.agents import client_address, with_agent_facts

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


def test_the_client_is_the_first_of_the_proxies_list():
    assert [client_address(a) for a in ("8.8.8.8, 10.0.0.1", " 8.8.8.8", "::ffff:8.8.8.8", "2001:db8::1")] == ["8.8.8.8"] * 3 + [
        "2001:db8::1"
    ]

"""What an address says: its path, its decoded parameters, its click id."""

from urllib.parse import unquote_plus, urlsplit

from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from pyspark.sql import functions as F

from conf.settings import rules
from spark_jobs.functions.addresses import click_of, parameter_of, path_of, query_of

# each example is a whole Spark query over some hundred addresses
few = settings(max_examples=3, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=[*HealthCheck])

PATHS = {
    "https://shop.example/lamp?x=1#top": "/lamp",
    "https://shop.example": "/",
    "https://shop.example?x=1": "/",
    "HTTPS://Shop.example#top": "/",
    'https://shop.example/100%/a|b/[c]/d e/"f"/été': '/100%/a|b/[c]/d e/"f"/été',
    "https://my_shop.example/?utm_campaign=20%-off": "/",
    "https://shop.example/%E9?q=%E9": "/%E9",
    "https://ann:pw@shop.example:8443/a": "/a",
    "http://[::1]:80/a": "/a",
    "//shop.example/a?b": "/a",
    "//shop.example": "/",
    "/a/b?c=/d": "/a/b",
    " https://shop.example/a \n": "/a",
    "file:///C:/a.html": "/C:/a.html",
    "capacitor://localhost/home": "/home",
    "android-app://com.example.app/https/shop.example": None,
    "mailto:ann@mail.example": None,
    "about:blank": None,
    "javascript:void(0)/1": None,
    "data:text/html,/a": None,
    "not a url": None,
    "https://": None,
    "": None,
    None: None,
}


def test_every_address_that_a_browser_holds_has_its_path_and_nothing_else_has_one(spark):
    rows = spark.createDataFrame([(address,) for address in PATHS], "address STRING")
    found = rows.select("address", path_of(rows["address"]).alias("path")).collect()
    assert {r["address"]: r["path"] for r in found} == PATHS


hosts = st.sampled_from(
    ["shop.example", "my_shop.example", "münchen.example", "[::1]:8080", "ann:pw@shop.example", "x", "shop.example:443"]
)
letters = st.characters(exclude_categories=["Cc", "Cs"])
parts = st.text(letters, max_size=8).map(lambda text: text.replace("?", "").replace("#", ""))
addresses = st.builds(
    lambda scheme, host, path, query, fragment: scheme + host + path + query + fragment,
    st.sampled_from(["https://", "http://", "HTTP://", "//"]),
    hosts,
    st.just("") | parts.map("/{}".format),
    st.just("") | parts.map("?{}".format),
    st.just("") | st.text(letters, max_size=4).map("#{}".format),
)


@few
@given(texts=st.lists(addresses, min_size=120, max_size=120))
def test_a_path_is_what_python_s_own_parser_finds(spark, texts):
    rows = spark.createDataFrame([(text,) for text in texts], "address STRING")
    found = [tuple(r) for r in rows.select("address", path_of(rows["address"])).collect()]
    assert found == [(text, urlsplit(text).path.rstrip(" ") or "/") for text in texts]


PIECES = [
    "%",
    "%2",
    "%zz",
    "+",
    "%2B",
    "%25",
    "%26",
    "%E9",
    "%C3%A9",
    "%C3",
    "%A9",
    "%ED%A0%80",
    "%F0%9F%98%80",
    "%F0%9F",
    "é",
    "😀",
    "=",
    "a 1",
]
values = st.lists(st.sampled_from(PIECES) | parts.map(lambda text: text.replace("&", "")), max_size=4).map("".join)


@few
@given(texts=st.lists(values, min_size=120, max_size=120))
def test_a_parameter_is_decoded_as_python_s_own_decoder_does(spark, texts):
    rows = spark.createDataFrame([(text,) for text in texts], "value STRING")
    address = F.concat(F.lit("https://shop.example/?a=1&utm_term="), "value", F.lit("&b=2#utm_term=x"))
    found = [tuple(r) for r in rows.select("value", parameter_of(query_of(address), "utm_term")).collect()]
    assert found == [(text, unquote_plus(text) or None) for text in texts]


TAGS = {
    "https://s.example/?utm_term=first&utm_term=second": "first",
    "https://s.example/?utm_term=&utm_term=second": None,
    "https://s.example/?x=utm_term=1&xutm_term=2": None,
    "https://s.example/#utm_term=x?utm_term=y": None,
    "https://s.example/?utm_term=a=b?c/d#e": "a=b?c/d",
    "http://[bad?utm_term=%zz": "%zz",
    "https://s.example/?utm_term": None,
    None: None,
}


def test_a_parameter_is_the_first_of_its_whole_name_in_the_query(spark):
    rows = spark.createDataFrame([(address,) for address in TAGS], "address STRING")
    found = rows.select("address", parameter_of(query_of(rows["address"]), "utm_term").alias("tag")).collect()
    assert {r["address"]: r["tag"] for r in found} == TAGS


CLICKS = {
    "https://s.example/?gclid=EAIa-x_y": ("gclid", "EAIa-x_y"),
    "https://s.example/?ScCid=a%2Fb%": ("sccid", "a/b%"),
    "https://s.example/?fbclid=f1&x=1&gclid=g1&gclid=g2": ("gclid", "g1"),
    "https://s.example/?gclid=&msclkid=m1": ("msclkid", "m1"),
    "https://s.example/?x=gclid=1": None,
    "https://s.example/?next=/a?gclid=1": None,
    "https://s.example/?mygclid=1&gclid_=2": None,
    "https://s.example/#gclid=1": None,
    "https://s.example/gclid=1": None,
    "https://s.example/?gclid": None,
    None: None,
}


def test_a_click_id_is_the_query_s_first_declared_one(spark):
    rows = spark.createDataFrame([(address,) for address in CLICKS], "address STRING")
    found = rows.select("address", click_of(query_of(rows["address"]), rules("channels")["click_ids"]).alias("click")).collect()
    assert {r["address"]: r["click"] and tuple(r["click"]) for r in found} == CLICKS

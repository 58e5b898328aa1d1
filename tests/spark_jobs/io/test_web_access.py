"""Lines of a combined access log as events: every request is kept, and its parts are read as the server meant them."""

import pytest

from spark_jobs.io.lake import Lake
from spark_jobs.io.mapped import BRONZE, candidates

AGENT = "Mozilla/5.0 (X11; Linux x86_64)"


def line(request: str, status: int = 200, referrer: str = "-", agent: str = AGENT, client: str = "192.0.2.2 - -") -> str:
    return f'{client} [25/Mar/2026:10:00:01 +0000] "{request}" {status} 100 "{referrer}" "{agent}"'


@pytest.fixture
def events(spark, tmp_path):
    """events(lines): what the mapping makes of each line of a log, in order."""

    def mapped(lines: list[str]) -> list:
        lake = Lake(spark, str(tmp_path / "lake"))
        columns = [part.split(" ")[0] for part in BRONZE.split(", ")]
        known = [{"_file": "log", "_row": n, "_attempt": 1, "_slice_id": "s", "payload": text} for n, text in enumerate(lines, start=1)]
        rows = spark.createDataFrame([tuple(row.get(name) for name in columns) for row in known], BRONZE)
        rows.write.format("delta").mode("overwrite").save(lake.path("bronze.web_access__access"))
        return candidates(lake, "web_access", "silver.events", None, None).orderBy("_source_row").collect()

    return mapped


SITE = "http://semicomplete.com"
REQUESTS = [
    ("GET /tablets HTTP/1.1", 200, "page", f"{SITE}/tablets", "/tablets"),
    ("GET /a?b=1#c HTTP/2.0", 200, "page", f"{SITE}/a?b=1#c", "/a"),
    ("GET /a HTTP/3", 304, "page", f"{SITE}/a", "/a"),
    ("GET /a", 200, "page", f"{SITE}/a", "/a"),
    ("GET /logo.png HTTP/1.1", 200, "server", f"{SITE}/logo.png", "/logo.png"),
    ("get /a HTTP/1.1", 200, "server", f"{SITE}/a", "/a"),
    ("GET http://semicomplete.com/abs HTTP/1.1", 200, "page", f"{SITE}/abs", "/abs"),
    ("GET https://www.semicomplete.com/abs?x HTTP/1.1", 200, "page", "https://www.semicomplete.com/abs?x", "/abs"),
    ("GET http://other.example/abs HTTP/1.1", 200, "server", "http://other.example/abs", "/abs"),
    ("GET /search?q=red lamp HTTP/1.1", 400, "server", f"{SITE}/search?q=red lamp", "/search"),
    ("GET /q HTTP/1.1 x HTTP/1.1", 400, "server", f"{SITE}/q HTTP/1.1 x", "/q HTTP/1.1 x"),
    (r"GET /10\"-tablets HTTP/1.1", 200, "page", f'{SITE}/10"-tablets', '/10"-tablets'),
    (r"GET /10\x22\x5Ca HTTP/1.1", 200, "page", rf'{SITE}/10"\a', r'/10"\a'),
    ("M-SEARCH * HTTP/1.1", 400, "server", None, None),
    ("OPTIONS * HTTP/1.0", 200, "server", None, None),
    ("CONNECT example.org:443 HTTP/1.1", 405, "server", None, None),
    ("-", 408, "server", None, None),
    ("", 400, "server", None, None),
    (r"\x16\x03\x01\x02", 400, "server", None, None),
    (r"\x16 \"\\", 400, "server", None, None),
    ("GET  HTTP/1.1", 400, "server", None, None),
]


def test_every_request_is_kept_and_only_a_page_that_was_got_is_a_page_view(events):
    found = events([line(request, status) for request, status, *_ in REQUESTS])
    assert [(r["_reason"], r["event_type"], r["page_url"], r["page_path"]) for r in found] == [
        (None, kind, url, path) for _, _, kind, url, path in REQUESTS
    ]
    assert {r["event_name"] for r in found if r["event_type"] == "page"} == {"page_viewed"}
    assert [found[0]["properties"], found[16]["properties"]] == ['{"method":"GET","status":200,"bytes":100}', '{"status":408,"bytes":100}']


TEXTS = [
    (r"Dalvik/2.1.0 (Linux; U; Android 5.1; Alba 10\" Build/LMY47I)", 'Dalvik/2.1.0 (Linux; U; Android 5.1; Alba 10" Build/LMY47I)'),
    (r"https://www.bing.com/search?q=\"lamp\"", 'https://www.bing.com/search?q="lamp"'),
    (r"a \x22b\x22 \x5C", 'a "b" \\'),
    (r"a\\", "a\\"),
    (r"\\\"", '\\"'),
    (r"a" + "\\", "a\\"),
    (r"http://\xe4\xe5/ 100%+1 %22", r"http://\xe4\xe5/ 100%+1 %22"),
    ("", ""),
]


def test_quotation_marks_and_backslashes_are_read_wherever_they_are_escaped(events):
    found = events([line("GET / HTTP/1.1", referrer=text, agent=text) for text, _ in TEXTS])
    assert [(r["_reason"], r["referrer_url"], r["user_agent"]) for r in found] == [(None, text, text) for _, text in TEXTS]
    (none,) = events([line("GET / HTTP/1.1", agent="-")])
    assert none["referrer_url"] is None


CLIENTS = ["2001:db8::1 - -", "host.example - frank", "192.0.2.1 - John Q. Public", '192.0.2.1 - ""', "192.0.2.1 id -"]


def test_a_client_is_an_address_of_any_kind_with_a_user_of_any_name(events):
    found = events([line("GET / HTTP/1.1", client=client) for client in CLIENTS])
    assert [(r["_reason"], r["ip"]) for r in found] == [(None, client.split(" ")[0]) for client in CLIENTS]


MALFORMED = [
    line("GET / HTTP/1.1") + ' "extra"',
    line("GET / HTTP/1.1") + " ",
    line("GET / HTTP/1.1")[:-1],
    line('GET / "x" HTTP/1.1'),
    line("GET / HTTP/1.1", agent='a "b" c'),
    '192.0.2.1 - - [25/Mar "GET /a ' + line("GET / HTTP/1.1"),
    "192.0.2.1 - - [25/Mar/2026:10:00:01 +0000]",
    "",
]


def test_a_line_that_is_no_request_is_set_aside(events):
    assert [r["_reason"] for r in events(MALFORMED)] == ["malformed_line"] * len(MALFORMED)


@pytest.mark.timeout(120)
def test_a_long_line_of_escapes_spaces_or_quotes_takes_time_that_grows_with_it(events):
    many = 50_000
    kept = [line(unit * many, 400) for unit in (r"\"", r"\x16", "a ", "\\\\", "GET / HTTP/1.1 ")]
    torn = [line("GET /")[:-1] + unit * many for unit in (r"\"", '"a" ', ' "GET / HTTP/1.1" 200 1', "[ ")]
    assert [r["_reason"] for r in events([*kept, *torn])] == [None] * len(kept) + ["malformed_line"] * len(torn)

"""The report page: what it says, that it needs nobody, and that nothing breaks it."""

import datetime as dt
import re
import shutil
import subprocess
import sys
from decimal import Decimal

import pytest

from conf.settings import platform
from spark_jobs.report.page import build_report
from spark_jobs.report.palette import HUES, REST_COLOUR
from spark_jobs.report.wording import MODELS

NOW = dt.datetime(2026, 5, 3, 12, tzinfo=dt.UTC)
MAY_1, MAY_2 = dt.date(2026, 5, 1), dt.date(2026, 5, 2)


def result(channel, revenue, **changes):
    """One day of one channel under the linear model, without spend."""
    row = dict(day=MAY_1, model="linear", channel=channel, conversions=Decimal("2"), revenue_amount=Decimal(revenue), currency="GBP")
    return row | changes


def orders(source, net, **changes):
    row = dict(
        day=MAY_1,
        source=source,
        currency="GBP",
        is_sample=False,
        orders=3,
        cancelled_orders=0,
        gross_amount=Decimal(net),
        net_amount=Decimal(net),
        refunded_amount=Decimal(0),
        reporting_amount=Decimal(net),
        reporting_currency="GBP",
        orders_without_rate=0,
    )
    return row | changes


@pytest.fixture
def page(lake, tmp_path):
    """page(): the report of the lake as it is now, as text without tags and as HTML."""

    def build() -> tuple[str, str]:
        html = build_report(lake, tmp_path / "report.html", platform(), NOW).read_text(encoding="utf-8")
        visible = re.sub(r"<(style|script)>.*?</\1>", " ", html, flags=re.DOTALL)
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", visible)), html

    return build


def test_the_numbers_of_the_tables_are_on_the_page(page, write):
    write(
        "gold.channel_daily",
        [result("Email", "1200.00", spend_amount=Decimal("300.00")), result("Direct", "800.00"), result("Unattributed", "500.00")],
    )
    text, _ = page()
    assert "£2,000 of £2,500 in revenue can be traced to a channel" in text
    assert "Email earned the most: £1,200, 60% of what could be traced" in text
    assert "4.0×" in text and "£150" in text


def test_a_channel_without_spend_has_no_return_rather_than_zero(page, write):
    write("gold.channel_daily", [result("Email", "1200.00"), result("Paid Search", "100.00", spend_amount=Decimal("50.00"))])
    text, _ = page()
    assert "Email no spend recorded £1,200 – –" in text
    assert "0.0×" not in text


def test_unattributed_revenue_says_why(page, write):
    write("gold.channel_daily", [result("Email", "75.00"), result("Unattributed", "25.00")])
    write(
        "gold.unattributed_daily",
        [dict(day=MAY_1, model="linear", reason="no_touch", conversions=Decimal(1), revenue_amount=Decimal("25.00"), currency="GBP")],
    )
    text, _ = page()
    assert "25% of revenue is credited to nobody" in text
    assert "A known person without any marketing contact on record" in text


def test_every_model_can_be_chosen_and_one_is_shown(page, write):
    write("gold.channel_daily", [result("Email", "10.00", model=m) for m in ("first", "linear", "my_own_model")])
    _, html = page()
    assert re.findall(r'data-choose="(\w+)" aria-pressed="(\w+)"', html) == [
        ("first", "false"),
        ("linear", "true"),
        ("my_own_model", "false"),
    ]
    assert "My own model" in html


def test_names_from_outside_are_shown_as_text(page, write):
    write("gold.channel_daily", [result("<b>Mail</b>", "10.00")])
    write(
        "gold.sessions_daily",
        [
            dict(
                day=MAY_1,
                source="site",
                channel='"><script>x()</script>',
                sessions=5,
                engaged_sessions=1,
                page_views=9,
                visitors=4,
                conversions=0,
                bot_sessions=0,
            )
        ],
    )
    row = dict(
        day=MAY_1,
        model="linear",
        channel="Email",
        campaign_id="c1",
        campaign_name="<img src=x onerror=alert(1)> & co",
        conversions=Decimal(1),
    )
    write("gold.campaign_daily", [row | dict(revenue_amount=Decimal("5.00"), currency="GBP")])
    _, html = page()
    assert "<img" not in html and "<script>x" not in html and "<b>Mail" not in html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; co" in html


def test_the_page_asks_no_other_host_for_anything(page, write):
    write("gold.channel_daily", [result("Email", "10.00")])
    write("gold.orders_daily", [orders("shop", "10.00")])
    _, html = page()
    assert not re.search(r"https?://|//cdn|@import|url\(|<link[^>]+href=\"(?!data:)", html)
    assert len(html) < 1_000_000


def test_a_sample_and_a_missing_rate_are_said(page, write):
    write(
        "gold.orders_daily",
        [orders("shop", "100.00"), orders("panel", "70.00", currency="USD", is_sample=True, reporting_amount=None, orders_without_rate=3)],
    )
    text, _ = page()
    assert "panel delivers only a sample of its orders" in text and "partial (sample)" in text
    assert "3 orders have no exchange rate for the day" in text and "no rate" in text
    assert "$70" in text


def test_orders_alone_are_shown_in_one_currency_before_anything_is_attributed(page, write):
    euros = dict(currency="EUR", reporting_amount=Decimal("80.00"))
    write(
        "gold.orders_daily", [orders("shop", "100.00"), orders("shop", "90.00", **euros), orders("till", "20.00", day=dt.date(2026, 5, 3))]
    )
    text, html = page()
    assert "9 orders worth £200, not yet traced to channels" in text and "£200 before refunds, 9 orders" in text
    assert "1 May 2026 · shop: £180</title>" in html and "3 May 2026 · till: £20</title>" in html
    assert "shop £180" in text and "till £20" in text


def test_days_without_visits_show_as_gaps_and_crawlers_apart(page, write):
    visits = dict(source="site", channel="Email", sessions=7, engaged_sessions=1, page_views=9, visitors=4, conversions=0, bot_sessions=2)
    write("gold.sessions_daily", [visits | dict(day=MAY_1), visits | dict(day=dt.date(2026, 5, 3))])
    text, html = page()
    assert "4 visits by crawlers are counted apart" in text
    assert html.count("Email: 7</title>") == 2 and ">2 May</text>" in html


def test_no_two_channels_share_a_hue_also_where_visits_rank_them_otherwise(page, write):
    write("gold.channel_daily", [result(f"Earns {place}", str(900 - place)) for place in range(6)])
    visits = dict(day=MAY_1, engaged_sessions=1, page_views=9, bot_sessions=0)
    write(
        "gold.sessions_daily",
        [visits | dict(channel=name, sessions=90 - place) for place, name in enumerate(("Visits A", "Visits B", "Earns 5"))],
    )
    _, html = page()
    names: dict[str, set[str]] = {}
    for hue, name in re.findall(r'background:(#[0-9a-f]{6})"></span>([\w ]*\w)', html):
        names.setdefault(hue, set()).add(name)
    assert [found for hue, found in names.items() if hue in HUES and len(found) > 1] == []
    assert {"Visits A"} in names.values() and {"Earns 5"} in names.values() and "Other" in names[REST_COLOUR]


def test_people_are_counted_and_nobody_is_named(page, write):
    person = dict(is_known=True, identifiers=2, merged_people=0, sessions=1, orders=1, currency="GBP", lifecycle="at_risk")
    write(
        "gold.people",
        [person | dict(person_id="secret-person"), person | dict(person_id="p2", is_known=False, identifiers=8, merged_people=1, orders=2)],
    )
    text, html = page()
    assert "2 people, 50% of them known; 50% of buyers bought again" in text
    assert "1 person turned out to be someone already known and was merged" in text
    assert "6 or more" in text and "At risk" in text and "secret-person" not in html


def test_segments_show_their_size_and_movement(page, write):
    write(
        "gold.segments_daily",
        [dict(day=d, segment="lifecycle_active", members=m, entered=e, left_members=1) for d, m, e in ((MAY_1, 5, 3), (MAY_2, 7, 3))],
    )
    text, _ = page()
    assert "Lifecycle: active is the largest segment, with 7 people" in text
    assert "6 entered, 2 left" in text


def test_a_page_without_any_table_is_still_readable(page):
    text, html = page()
    assert "Nothing has been measured yet" in text and "No table has been built yet" in text
    assert html.count("<section") == html.count("</section>") == 10


def test_a_report_is_rewritten_whole_and_leaves_no_other_file(page, tmp_path):
    page(), page()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lake", "report.html"]


def test_the_report_starts_without_spark():
    code = "import sys, spark_jobs.report.page; sys.exit('pyspark' in sys.modules or 'delta' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_on_any_screen_the_page_is_no_wider_than_it_and_figures_stand_in_line(page, write, set_aside, tmp_path):
    """Wide tables and charts scroll in their own box; on a wide screen the table of all tables shows its last column too."""
    write("gold.channel_daily", [result(c, "120000.00", model=m) for c in ("Mobile Push Notifications", "Email") for m in MODELS])
    reason = dict(day=MAY_1, model="linear", conversions=Decimal(1), revenue_amount=Decimal("25.00"), currency="GBP")
    write("gold.unattributed_daily", [reason | dict(reason="superseded_by_click")])
    write("gold.orders_daily", [orders("shop", "2100.00"), orders("shop", "2100.00", day=MAY_2)])
    waiting = dict(quarantine_id="q", source="sandbox_marketing", _reason="wrong_number_of_fields", _quarantined_at=NOW, _status="open")
    set_aside("silver.order_lines", [waiting])
    ran = dict(
        status="success", source="sandbox_marketing", started_at=NOW - dt.timedelta(minutes=59), finished_at=NOW - dt.timedelta(minutes=59)
    )
    write(
        "ops.runs", [ran | dict(run_id="r", table_name=name) for name in ("silver.order_lines", "bronze.sandbox_marketing__contact_events")]
    )
    counts = dict(rows_in=43566, rows_used=43304, unchanged=0, duplicates=157, late=22, quarantined=83, rows_out=43304)
    write("ops.ledger", [counts | dict(run_id="r", is_closed=True)])
    check = dict(run_id="r", table_name="silver.order_lines", rows_checked=12345, rows_failed=123)
    write("ops.quality_results", [check | dict(check_id="wrong_number_of_fields", severity="quarantine", passed=False)])
    page()
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (360, 390, 768, 1400):
            tab = browser.new_page(viewport={"width": width, "height": 900})
            tab.goto((tmp_path / "report.html").as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") == width
            figures = tab.eval_on_selector_all(".tile b", "all => all.map(b => b.getBoundingClientRect().top)")
            assert len(figures) == 6 and len(set(figures)) == len(
                set(tab.eval_on_selector_all(".tile", "all => all.map(t => t.offsetTop)"))
            )
            text = tab.eval_on_selector_all("svg.chart", "all => all.map(c => 12 * c.getBoundingClientRect().width / 1000)")
            assert text and min(text) >= 7.5
        hidden = tab.eval_on_selector_all(
            ".scroll", "all => all.filter(s => s.scrollWidth > s.clientWidth).map(s => s.closest('section').id)"
        )
        browser.close()
    assert hidden == []


def test_a_channel_that_earned_nothing_has_no_bar(page, write):
    write("gold.channel_daily", [result("Email", "10.00"), result("Display", "0.00")])
    _, html = page()
    assert html.count('<span class="bar"><i') == 1 and html.count('<span class="bar"></span>') == 1


def test_an_identifier_is_broken_between_its_words(page, write):
    write("gold.channel_daily", [result("Email", "10.00")])
    reason = dict(day=MAY_1, model="linear", conversions=Decimal(1), revenue_amount=Decimal("25.00"), currency="GBP")
    write("gold.unattributed_daily", [reason | dict(reason="no_<touch>")])
    _, html = page()
    assert "no_<wbr>&lt;touch&gt;</code>" in html


def test_a_browser_runs_the_page_s_own_script_and_no_other(page, write, tmp_path):
    write("gold.channel_daily", [result("Email", "1200.00"), result("Email", "900.00", model="last_click")])
    write("gold.orders_daily", [orders("shop", "2100.00")])
    _, html = page()
    foreign = (
        "<script>document.title = 'foreign'</script><img src='data:,' onerror=\"document.title = 'foreign'\"><iframe src='data:,'></iframe>"
    )
    (tmp_path / "planted.html").write_text(html.replace("<main>", f"<main>{foreign}"), encoding="utf-8")
    assert foreign in (tmp_path / "planted.html").read_text(encoding="utf-8")
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        complaints = {}
        for name in ("report.html", "planted.html"):
            tab = browser.new_page()
            said = complaints[name] = []
            tab.on("console", lambda message, said=said: said.append(message.text))
            tab.on("pageerror", lambda error, said=said: said.append(str(error)))
            tab.goto((tmp_path / name).as_uri())
            shown = [button.get_attribute("data-choose") for button in tab.query_selector_all("[data-choose]")]
            assert len(shown) == 2
            for model in shown:
                tab.click(f"[data-choose={model}]")
                visible = tab.eval_on_selector_all(".model", "all => [...new Set(all.filter(m => !m.hidden).map(m => m.dataset.model))]")
                assert visible == [model]
            colours = tab.eval_on_selector_all(".dot", "all => all.map(d => getComputedStyle(d).backgroundColor)")
            assert colours and "rgba(0, 0, 0, 0)" not in colours
            assert tab.title().startswith("Throughline: ")
        browser.close()
    assert complaints["report.html"] == []
    assert sum("Content Security Policy" in said for said in complaints["planted.html"]) >= 3

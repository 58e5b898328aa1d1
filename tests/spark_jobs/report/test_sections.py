"""A section is two files and a line; the frame finds them all, from wherever the page is written."""

import datetime as dt
import re
from pathlib import Path

import pytest

from conf.settings import platform
from conf.tables import table_names
from spark_jobs.report import page, sections
from spark_jobs.report.sections import SECTIONS, section

HOME = Path(sections.__file__).parent
NOW = dt.datetime(2026, 5, 3, 12, tzinfo=dt.UTC)


def test_every_section_has_its_line_its_module_and_its_template():
    assert (
        {p.stem for p in HOME.glob("*.py")} - {"__init__"} == {p.name.removesuffix(".html.j2") for p in HOME.glob("*.j2")} == set(SECTIONS)
    )


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_reads_declared_tables_and_gives_its_template_all_it_shows_before_there_is_any(lake, name):
    assert set(section(name).TABLES) <= set(table_names())
    facts, shown = page.gather(lake, platform(), NOW)
    html = page.rendered(facts, shown)
    assert re.search(f'<nav.*<a href="#{name}">{SECTIONS[name]}</a>.*</nav>', html) and html.count(f'<section id="{name}"') == 1


def test_a_section_more_is_two_files_and_a_line(lake, tmp_path, monkeypatch):
    """Its module reads its table; its template knows the view's values, the facts, the wording and the colours."""
    (tmp_path / "sections").mkdir()
    (tmp_path / "sections/returns.html.j2").write_text(
        '<section id="returns"><b style="color:{{ palette.ROSE }}">{{ say.money(sum, currency) }}</b></section>\n'
    )
    (tmp_path / "returns.py").write_text(
        "from spark_jobs.report.tables import records\n"
        "TABLES = ('silver.orders',)\n"
        "def view(facts):\n"
        "    return records(facts.connection, 'select coalesce(sum(net_amount), 0) as sum from silver_orders')[0]\n"
    )
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    monkeypatch.setitem(SECTIONS, "returns", "Returns")
    monkeypatch.setattr(page, "TEMPLATES", [*page.TEMPLATES, tmp_path])
    html = page.build_report(lake, tmp_path / "report.html", platform(), NOW).read_text(encoding="utf-8")
    assert '<a href="#returns">Returns</a>' in html and '<section id="returns"><b style="color:#b8506a">£0</b></section>\n</main>' in html


def test_the_page_is_the_same_written_from_any_folder(lake, tmp_path, monkeypatch):
    here = page.build_report(lake, tmp_path / "here.html", platform(), NOW).read_bytes()
    monkeypatch.chdir(tmp_path)
    assert page.build_report(lake, Path("there.html"), platform(), NOW).read_bytes() == here

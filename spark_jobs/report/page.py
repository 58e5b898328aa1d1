"""The report: ONE HTML page about what marketing earned and how far its numbers can be trusted.

Reads gold.* and ops.* without Spark and asks no other host for anything: it opens from disk, from a mail and in print.
Ratios (ROAS, CPA, shares) are made here from the tables' sums. What is not known is said in words, never shown as 0.
The page is its sections (sections/__init__.py lists them) in their frame (page.html.j2).
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from conf.settings import Platform
from spark_jobs.errors import ThroughlineError, of_trouble
from spark_jobs.report import palette, wording
from spark_jobs.report.facts import Facts, facts_of
from spark_jobs.report.sections import SECTIONS, section

HERE = Path(__file__).resolve().parent
TEMPLATES = [HERE]


def gather(lake: Path | str, platform: Platform, now: dt.datetime) -> tuple[Facts, dict[str, dict[str, Any]]]:
    """What the whole page knows, and per section what its template shows. now: aware instant, for freshness only."""
    sections = {name: section(name) for name in SECTIONS}
    facts = facts_of(lake, platform, now, [table for one in sections.values() for table in one.TABLES])
    return facts, {name: one.view(facts) for name, one in sections.items()}


def script_hash(script: str) -> str:
    """The source by which a Content-Security-Policy lets exactly this script run (W3C CSP 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def rendered(facts: Facts, shown: dict[str, dict[str, Any]]) -> str:
    """The page: each section's template with what it shows, then the frame around them."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["sha256"] = script_hash
    environment.globals |= {**vars(facts), "say": wording, "palette": palette}
    sections = [Markup(environment.get_template(f"sections/{name}.html.j2").render(values)) for name, values in shown.items()]
    style, script = (Markup((HERE / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    return environment.get_template("page.html.j2").render(shown=shown, menu=SECTIONS, sections=sections, style=style, script=script)


def build_report(lake: Path | str, out: Path, platform: Platform, now: dt.datetime | None = None) -> Path:
    """Write the page to `out` and return it.

    lake: root of the tables; what is not there yet is said on the page. now: the instant freshness is measured from.
    """
    return written(Path(out), rendered(*gather(lake, platform, now or dt.datetime.now(dt.UTC))))


def written(out: Path, html: str) -> Path:
    """The page in its file, whole or not at all, whoever else writes it at the same time. Raises ThroughlineError where no file can be."""
    if out.exists() and not out.is_file():
        raise ThroughlineError(f"{out}: is no file, so the page was not written; give another path")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=out.parent, prefix=f".{out.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(html)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
        temporary.replace(out)
    except OSError as error:
        if told := of_trouble(error, str(out)):
            raise told from error
        raise
    return out

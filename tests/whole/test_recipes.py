"""The recipes of conf/README.md, done in a copy of the repository with the page's own blocks: each gives what it says.

Costs about four minutes on two cores: one small world, built before and after.
"""

import datetime as dt
import os
import re
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from conf.settings import REPOSITORY
from spark_jobs.io.small import open_table, query
from tests.whole.worlds import SOURCES

pytestmark = pytest.mark.timeout(1800)
PAGE = (REPOSITORY / "conf/README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
FIRST, LAST, DROPPED = "2026-10-01", "2026-10-04", dt.date(2026, 10, 2)
NEW = ("podcasts", "kept_one", "largest_amount", "slow_decay", "harmonic")


def copied(to: Path) -> Path:
    """What a clone of the repository as it stands here has, with the packages of this interpreter as its .venv."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (REPOSITORY / name).is_file() and name != ".venv":
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes((REPOSITORY / name).read_bytes())
    (to / ".venv").symlink_to(sys.prefix)
    return to


def write(copy: Path, block: str) -> None:
    """A block that is a file; its first line names it."""
    name = block.splitlines()[0].removeprefix("# ")
    assert not (copy / name).exists(), name
    (copy / name).write_text(block, encoding="utf-8")


def change(copy: Path, block: str) -> None:
    """A block of changes: what it keeps and what it takes out must stand in its file, in one place."""
    name, *lines = block.splitlines()
    before, after = ("".join(f"{line[1:]}\n" for line in lines if line[0] in kept) for kept in (" -", " +"))
    text = (copy / name).read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{name} has {text.count(before)} times:\n{before}"
    (copy / name).write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The lake before the recipes and after them; said: what a command said that is shown on the page."""
    copy, home = copied(tmp_path_factory.mktemp("clone")), tmp_path_factory.mktemp("home")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_", "AIRFLOW_", "THROUGHLINE_", "PYTHONPATH"))}

    def run(command: str, code: int = 0) -> str:
        env = {**kept, "THROUGHLINE_HOME": str(home)}
        ended = subprocess.run(["bash", "-euc", command], cwd=copy, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert ended.returncode == code, f"{command}: {ended.returncode}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
        return ended.stdout

    def rows(name: str, select: str = "select * from rows") -> list[dict]:
        return query(open_table(home / "lake", name), select).to_pylist()

    python = ".venv/bin/python -m"
    run(f"{python} connectors sandbox make --out {home}/drops --people 60 --days 4 --until {LAST}")
    for source in SOURCES:
        run(f"{python} connectors pull {source} --from {FIRST} --to {LAST} && {python} spark_jobs load {source}")
    run(f"{python} spark_jobs run all --from {FIRST} --to {LAST}")
    before = {name: rows(name) for name in ("gold.orders_daily", "attribution.credits", "segments.memberships", "silver.ad_spend")}
    said = []
    for place, (kind, block) in enumerate(BLOCKS):
        shown = next((text for kind, text in BLOCKS[place + 1 : place + 2] if kind == "text"), None)
        match kind:
            case "yaml":
                write(copy, block)
            case "diff":
                change(copy, block)
            case "sh":
                # what is shown of a command is what keeps it from being right
                said.append((run(block, 2 if shown else 0), shown))
    return SimpleNamespace(rows=rows, before=before, said=said)


def test_the_page_has_a_recipe_for_each_of_them_and_nothing_of_it_was_there_before(done):
    assert re.findall(r"^## (.*)$", PAGE, re.M) == ["A channel", "A segment", "A column", "A model", "Then"]
    assert {kind for kind, _ in BLOCKS} == {"yaml", "diff", "sh", "text"}
    assert not [name for name in NEW if name in str(done.before)]


def test_what_the_page_shows_of_a_command_is_what_it_says(done):
    (said,) = [(output, shown) for output, shown in done.said if shown]
    assert said[1].strip() in said[0].splitlines()


def test_the_channel_s_spend_is_in_its_table_and_beside_every_model(done):
    (spend,) = done.rows("silver.ad_spend", "select * from rows where source = 'podcasts'")
    assert (spend["account_id"], spend["campaign_id"], spend["spend_date"]) == ("acme", "morning_talk", DROPPED)
    assert (spend["impressions"], spend["clicks"], spend["spend_amount"], spend["channel"]) == (1200, 0, Decimal("36.5"), "Audio")
    results = done.rows("gold.channel_daily", "select * from rows where channel = 'Audio' and spend_amount is not null")
    assert {(r["day"], r["spend_amount"], r["impressions"]) for r in results} == {(DROPPED, Decimal("36.5"), 1200)}
    assert len(results) == len({r["model"] for r in done.rows("attribution.credits")}) == 8


def test_the_segment_s_members_are_those_who_meet_its_condition(done):
    profiles = done.rows("segments.profiles")
    expected = {p["person_id"] for p in profiles if p["orders"] == 1 and p["refunded_amount"] == 0}
    members = done.rows("segments.memberships", "select * from rows where segment_id = 'kept_one'")
    assert {m["person_id"] for m in members} == expected and 0 < len(expected) < len(profiles)
    assert {(m["entered_because"], m["valid_to"]) for m in members} == {("orders = 1 and refunded_amount = 0", None)}


def test_the_column_has_the_largest_order_of_its_day_and_the_others_are_as_before(done):
    largest = {}
    for order in done.rows("silver.orders"):
        if order["status"] != "cancelled" and order["reporting_amount"] is not None:
            day = order["ordered_at"].replace(tzinfo=order["ordered_at"].tzinfo or dt.UTC).astimezone(ZoneInfo("Europe/London")).date()
            key = (day, order["source"], order["currency"] or "", bool(order["is_sample"]))
            largest[key] = max(order["reporting_amount"], largest.get(key, order["reporting_amount"]))
    found = done.rows("gold.orders_daily")
    by_key = {(r["day"], r["source"], r["currency"], r["is_sample"]): r["largest_amount"] for r in found}
    assert {key: amount for key, amount in by_key.items() if amount is not None} == {
        key: amount for key, amount in largest.items() if key in by_key
    }
    assert len({amount for amount in by_key.values()} - {None}) > 2
    as_before = [{column: value for column, value in row.items() if column != "largest_amount"} for row in found]
    assert sorted(map(str, as_before)) == sorted(map(str, done.before["gold.orders_daily"]))


def test_each_new_model_credits_what_it_says_and_the_others_are_as_before(done):
    credits = done.rows("attribution.credits")
    old = [
        (r["model"], r["conversion_id"], r["touchpoint_id"], r["credit"], r["credit_amount"]) for r in done.before["attribution.credits"]
    ]
    by_model = defaultdict(dict)
    for row in credits:
        by_model[row["model"]][row["conversion_id"], row["touchpoint_id"]] = row
    kept = [(r["model"], r["conversion_id"], r["touchpoint_id"], r["credit"], r["credit_amount"]) for r in credits]
    assert sorted(one for one in kept if one[0] not in NEW) == sorted(old)

    touched_at = {t["touchpoint_id"]: t["touched_at"] for t in done.rows("journeys.touchpoints")}
    paths = defaultdict(list)
    for row in sorted(by_model["linear"].values(), key=lambda row: row["position"] or 0):
        if row["reason"] is None and row["credit"] > 0:
            paths[row["conversion_id"]].append(row)
    # of a path of one every model says the same
    assert max(map(len, paths.values())) >= 2
    for conversion, path in paths.items():
        ages = [(row["converted_at"] - touched_at[row["touchpoint_id"]]) / dt.timedelta(days=1) for row in path]
        weights = {
            "harmonic": [1 / (len(path) - row["position"] + 1) for row in path],
            "slow_decay": [2 ** (-age / 30) for age in ages],
        }
        whole = sum(row["credit"] for row in path)
        for model, of_touch in weights.items():
            rows = [by_model[model][conversion, row["touchpoint_id"]] for row in path]
            assert [float(row["credit"]) for row in rows] == pytest.approx([float(whole) * w / sum(of_touch) for w in of_touch], abs=1e-9)
            assert sum(row["credit"] for row in rows) == whole
            assert sum(row["credit_amount"] for row in rows) == sum(row["credit_amount"] for row in path)
    attributed = {conversion for conversion, _ in by_model["linear"]}
    assert all({conversion for conversion, _ in by_model[model]} == attributed for model in ("harmonic", "slow_decay"))

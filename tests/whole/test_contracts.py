"""Event contracts through the engine: one source's web events, from drop files to silver."""

import gzip
import json

import pytest

from spark_jobs.bronze.load import load_source
from spark_jobs.io.lake import Lake
from spark_jobs.io.small import open_table, read_arrow
from spark_jobs.ops import replay
from tests.whole import worlds

SITE = "sandbox_site"


@pytest.fixture(scope="module")
def drifted(spark, tmp_path_factory):
    """A lake of three days' web events: on the last a property appears on two product views and another changes its type on one."""
    home = tmp_path_factory.mktemp("drifted")
    worlds.make_drops(home)
    path = sorted((home / "drops/sandbox_site/events").glob("*.jsonl.gz"))[-1]
    lines = gzip.decompress(path.read_bytes()).splitlines()
    places = [i for i, line in enumerate(lines) if b'"event":"product_viewed"' in line][:3]
    for place, change in zip(places, ({"colour": "red"}, {"colour": "blue"}, {"price": "12.50"})):
        record = json.loads(lines[place])
        lines[place] = json.dumps(record | {"properties": record["properties"] | change}).encode()
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    worlds.command(home, "connectors", "pull", SITE, "--from", str(worlds.FIRST), "--to", str(worlds.LAST))
    lake = Lake(spark, str(home / "lake"))
    with worlds.home_at(home):
        load_source(lake, SITE, "test")
    worlds.run(lake, home, ("silver.events",), worlds.Range(worlds.LAST, worlds.LAST), source=SITE)
    return lake, home


def told(lake, *, of_records=False):
    names = ("source", "event_name", "path", "kind", "json_type", "rows")
    rows = [tuple(row[n] for n in names) for row in read_arrow(lake.root, "ops.schema_changes").to_pylist()]
    return [row for row in rows if (row[3] == "unmapped") is of_records]


EXPECTED = [(SITE, "product_viewed", "/colour", "added", "string", 2), (SITE, "product_viewed", "/price", "retyped", "string", 1)]


def test_the_one_retyped_event_is_set_aside_and_the_unknown_property_is_kept_and_told(drifted):
    lake, home = drifted
    aside = [r["_reason"] for r in replay.read_rows(home / "lake", "silver.events").to_dicts()]
    assert aside.count("contract:product_viewed:/price type") == 1
    assert lake.read("silver.events").where("get_json_object(properties, '$.colour') is not null").count() == 2
    assert told(lake) == EXPECTED
    # the shop's new release says which it is, in a field that no mapping names
    assert {row[2] for row in told(lake, of_records=True)} == {"/release"}


def test_other_ranges_and_re_runs_count_nothing_twice(drifted):
    lake, home = drifted
    worlds.run(lake, home, ("silver.events",), source=SITE)
    version = open_table(lake.root, "ops.schema_changes").version()
    worlds.run(lake, home, ("silver.events",), worlds.Range(worlds.LAST, worlds.LAST), force=True, source=SITE)
    assert told(lake) == EXPECTED and open_table(lake.root, "ops.schema_changes").version() == version

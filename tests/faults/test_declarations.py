"""One wrong file in conf/sources or conf/mappings costs its own source: its DAG goes, with an error that names file and key, and no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conf import settings
from conf.settings import REPOSITORY, SettingsError
from connectors.kernel import declarations
from spark_jobs.ops import backfill

SOURCE = """
source: extra_shop
connector: file_drop
settings: {root: drops}
streams: {orders: {path: "{date}.csv"}}
silver: [silver.events]
"""
MAPPING = """
streams:
  orders: {record: {format: csv, schema: id STRING}, tables: {silver.events: {columns: {event_id: id}}}}
"""
# what Airflow's own parser makes of the repository's bundle, as the DAG processor does
PARSE = """
import json, os, sys
from airflow.dag_processing.dagbag import BundleDagBag
root = os.getcwd()
bag = BundleDagBag(root, bundle_path=__import__("pathlib").Path(root), bundle_name="throughline")
tasks = {name: sorted(t.task_id for t in dag.tasks) for name, dag in bag.dags.items()}
print(json.dumps({"dags": tasks, "errors": bag.import_errors}))
"""


@pytest.fixture
def repository(tmp_path) -> Path:
    """A copy of what the DAGs and commands are made of, with a source more."""
    for name in ("conf", "connectors", "dags", "spark_jobs"):
        shutil.copytree(REPOSITORY / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__", "adr"))
    shutil.copy(REPOSITORY / ".airflowignore", tmp_path / "copy")
    write(tmp_path / "copy" / "conf", SOURCE, MAPPING)
    return tmp_path / "copy"


@pytest.fixture
def conf(tmp_path, monkeypatch) -> Path:
    """A copy of conf with a source more, read by this process."""

    def forget() -> None:
        for read in (settings.source, settings.source_names, settings.mapping, settings.rules):
            read.cache_clear()

    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("__pycache__", "adr"))
    write(tmp_path / "conf", SOURCE, MAPPING)
    monkeypatch.setattr(settings, "CONF", tmp_path / "conf")
    forget()
    yield tmp_path / "conf"
    forget()


def write(conf: Path, source: str | bytes | None = None, mapping: str | bytes | None = None) -> None:
    for folder, content in (("sources", source), ("mappings", mapping)):
        if content is not None:
            (conf / folder / "extra_shop.yml").write_bytes(content.encode() if isinstance(content, str) else content)


def run(copy: Path, *words: str) -> subprocess.CompletedProcess:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("THROUGHLINE_", "SPARK_", "AIRFLOW_"))}
    own |= {"PYTHONPATH": str(copy), "THROUGHLINE_HOME": str(copy.parent / "home"), "AIRFLOW_HOME": str(copy.parent / "airflow")}
    own |= {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    return subprocess.run([sys.executable, *words], cwd=copy, env=own, capture_output=True, text=True)


def parsed(copy: Path) -> dict:
    done = run(copy, "-c", PARSE)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_airflow_loses_the_dags_of_wrong_declarations_alone_and_names_file_and_key(repository):
    sound = parsed(repository)
    assert sound["errors"] == {} and "ingest_extra_shop" in sound["dags"] and "build_daily" in sound["dags"]

    write(repository / "conf", SOURCE.replace("connector:", "conector:"))
    mapping = repository / "conf/mappings/sandbox_site.yml"
    right = mapping.read_text()
    assert "        columns:\n" in right
    mapping.write_text(right.replace("        columns:\n", "        columns:\n          evnt_id: id\n", 1))
    marketing = repository / "conf/sources/sandbox_marketing.yml"
    marketing.write_text(marketing.read_text().replace('contacts: {path: "{date}.jsonl"}', 'contacts: {pth: "{date}.jsonl"}'))

    broken = parsed(repository)
    lost = {"ingest_extra_shop", "ingest_sandbox_site", "ingest_sandbox_marketing"}
    assert broken["dags"] == {name: tasks for name, tasks in sound["dags"].items() if name not in lost}
    assert list(broken["errors"]) == ["dags/declarations.py"]
    (said,) = broken["errors"].values()
    assert "conf/sources/extra_shop.yml: unknown keys ['conector'], missing keys ['connector']" in said
    assert "conf/mappings/sandbox_site.yml: stream events" in said and "has no columns ['evnt_id']" in said
    assert "conf/sources/sandbox_marketing.yml: streams.contacts: unknown keys ['pth'], or no path" in said

    write(repository / "conf", SOURCE)
    mapping.write_text(right)
    marketing.write_text(marketing.read_text().replace("{pth:", "{path:"))
    assert parsed(repository) == sound


def test_the_connectors_say_each_wrong_declaration_in_one_sentence(repository):
    sound = run(repository, "-m", "connectors", "declarations")
    assert (sound.returncode, sound.stdout) == (0, "")
    write(repository / "conf", SOURCE.replace("{path:", "{pth:"))
    wrong = run(repository, "-m", "connectors", "declarations", "extra_shop")
    assert wrong.returncode == 2 and wrong.stdout.startswith(
        "conf/sources/extra_shop.yml: streams.orders: unknown keys ['pth'], or no path"
    )
    assert len(wrong.stdout.splitlines()) == 1 and wrong.stderr == ""
    assert run(repository, "-m", "connectors", "declarations", "sandbox_shop").returncode == 0
    none = run(repository, "-m", "connectors", "declarations", "extra_shap")
    assert none.returncode == 2 and "no source 'extra_shap'" in none.stderr


def test_a_run_that_needs_the_broken_mapping_says_so_and_the_runs_of_all_go_on_without_it(repository):
    write(repository / "conf", mapping=MAPPING.replace("event_id", "evnt_id"))
    days = ("--from", "2026-03-25", "--to", "2026-03-25")
    said = "conf/mappings/extra_shop.yml: stream orders: silver.events has no columns ['evnt_id']"
    own = run(repository, "-m", "spark_jobs", "run", "silver.events", "--source", "extra_shop", *days)
    assert own.returncode == 2 and said in own.stderr and "Traceback" not in own.stderr and len(own.stderr.strip().splitlines()) == 1
    every = run(repository, "-m", "spark_jobs", "run", "silver", *days)
    assert every.returncode == 0 and f"a source is left out, its tables stay as they are: {repository}/{said}" in every.stdout
    assert run(repository, "-m", "connectors", "pull", "sandbox_site", *days).returncode == 0
    write(repository / "conf", "source: extra_shop\nstreams: {}\n")
    pull = run(repository, "-m", "connectors", "pull", "extra_shop", *days)
    assert pull.returncode == 2 and "conf/sources/extra_shop.yml: unknown keys [], missing keys ['connector']" in pull.stderr


def test_a_right_declaration_is_no_fault_and_its_mapping_fills_its_table(conf):
    assert declarations.faults() == {} == settings.faults()
    assert settings.sources_of("silver.events") == tuple(sorted({*settings.sources_of("silver.events"), "extra_shop"}))
    assert [one.source for one in declarations.sound_sources()] == list(settings.source_names())


SOURCES = {
    "a key that is none": SOURCE + "colour: red\n",
    "a key that is a number": SOURCE + "5: red\n",
    "no YAML": "source: [\n",
    "no UTF-8": SOURCE.encode() + b"description: caf\xe9\n",
    "nothing": "",
    "a list": "- source\n",
    "an object of Python": "source: !!python/object:os.system x\n",
    "too deep": "source: " + "[" * 1200,
    "another name": SOURCE.replace("extra_shop", "other"),
    "a connector that is none": SOURCE.replace("file_drop", "../../evil"),
    "a kind that is none": SOURCE + "kind: eventlog\n",
    "streams that are a list": SOURCE.replace('{orders: {path: "{date}.csv"}}', "[orders]"),
    "a stream of another name": SOURCE.replace("{orders:", "{'or ders/..':"),
    "a stream of what is set aside": SOURCE.replace("{orders:", "{my__quarantine:"),
    "a table that is none": SOURCE.replace("silver.events", "silver.evnts"),
    "tables that are a word": SOURCE.replace("[silver.events]", "silver.events"),
    "settings that are a word": SOURCE.replace("{root: drops}", "drops"),
    "a root that is none": SOURCE.replace("{root: drops}", "{root: nowhere}"),
    "a stream's key that is none": SOURCE.replace("{path:", "{pth:"),
    "a setting that is none": SOURCE.replace("{root:", "{rot:"),
    "a time zone that is none": SOURCE.replace("{root: drops}", "{time_zone: Mars/Base}"),
    "a currency that is none": SOURCE.replace("{root: drops}", "{currency: pounds}"),
    "a tab": SOURCE.replace("settings: {root: drops}", "settings:\n\troot: drops"),
    "a table that is made of others": SOURCE.replace("silver.events", "gold.people"),
    "a stream's limit that is a word": SOURCE.replace('"{date}.csv"', '"{date}.csv", max_expanded_bytes: 1 GB'),
}
MAPPINGS = {
    "a list": "- streams\n",
    "streams that are a list": "streams: [orders]\n",
    "a stream that is none": MAPPING.replace("orders:", "ordres:"),
    "a stream that is a word": "streams: {orders: events}\n",
    "tables that are a list": MAPPING.replace("{silver.events: {columns: {event_id: id}}}", "[silver.events]"),
    "a table that is none": MAPPING.replace("silver.events", "silver.evnts"),
    "columns that are a list": MAPPING.replace("{event_id: id}", "[event_id]"),
    "columns that are a number": MAPPING.replace("{event_id: id}", "5"),
    "a column that is none": MAPPING.replace("event_id", "evnt_id"),
    "no YAML": "streams: {orders\n",
    "nothing": "",
    "a key twice": MAPPING + "streams: {}\n",
    "a record of no format": MAPPING.replace("format: csv, ", ""),
    "a record of a format that is none": MAPPING.replace("format: csv", "format: excel"),
    "a record without fields": MAPPING.replace(", schema: id STRING", ""),
    "fields that are a list": MAPPING.replace("schema: id STRING", "schema: [id]"),
    "a line without a pattern": MAPPING.replace("format: csv, schema: id STRING", "format: text, fields: [id]"),
    "a pattern that is none": MAPPING.replace("format: csv, schema: id STRING", "format: text, pattern: '(a', fields: [id]"),
    "more fields than groups": MAPPING.replace("format: csv, schema: id STRING", "format: text, pattern: '(a)', fields: [id, at]"),
    "SQL that is a list": MAPPING.replace("event_id: id", "event_id: [id]"),
    "SQL that asks for the clock": MAPPING.replace("event_id: id", "event_at: current_timestamp()"),
    "a condition that asks for the clock": MAPPING.replace("{columns:", "{where: at < now(), columns:"),
    "a condition that is a list": MAPPING.replace("{columns:", "{where: [id], columns:"),
    "further columns that are a list": MAPPING.replace("{columns:", "{extra: [id], columns:"),
    "a namespace that is none": MAPPING.replace("{columns:", "{identifiers: [{namespace: emial, value: id}], columns:"),
    "an identifier without a value": MAPPING.replace("{columns:", "{identifiers: [{namespace: email}], columns:"),
    "identifiers that are a mapping": MAPPING.replace("{columns:", "{identifiers: {email: id}, columns:"),
    "a stream to look up that is none": MAPPING.replace("tables:", "lookup: {stream: ordrs, 'on': id, columns: [at]}, tables:"),
    "a table that is made of others": MAPPING.replace(
        "silver.events: {columns: {event_id: id}}", "gold.people: {columns: {person_id: id}}"
    ),
    "a table that its source does not list": MAPPING.replace(
        "silver.events: {columns: {event_id: id}}", "silver.orders: {columns: {order_id: id}}"
    ),
}


@pytest.mark.parametrize("folder, content", [("sources", SOURCES[k]) for k in SOURCES] + [("mappings", MAPPINGS[k]) for k in MAPPINGS])
def test_whatever_is_wrong_with_one_file_is_said_of_it_and_costs_no_other(conf, folder, content):
    others = [name for name in settings.source_names() if name != "extra_shop"]
    write(conf, **{folder.removesuffix("s"): content})
    assert list(declarations.faults()) == ["extra_shop"]
    # what a stream says to its connector is named by the file's place in the repository
    said = declarations.faults()["extra_shop"]
    assert f"{folder}/extra_shop.yml" in said and "\n" not in said
    assert [one.source for one in declarations.sound_sources()] == others
    assert "sandbox_site" in settings.sources_of("silver.events")


def test_a_source_that_nothing_maps_is_named_where_it_says_what_it_fills(conf):
    (conf / "mappings/extra_shop.yml").unlink()
    assert (
        "mappings/extra_shop.yml: no such file, but conf/sources/extra_shop.yml says silver: ['silver.events']"
        in settings.faults()["extra_shop"]
    )
    write(conf, SOURCE.replace("silver: [silver.events]\n", ""))
    settings.source.cache_clear()
    assert settings.faults() == {}


def test_wrong_rules_cost_no_source(conf):
    settings.rules.cache_clear()
    (conf / "rules/identity.yml").write_text("namespaces: {}\n")
    assert settings.faults() == {}
    settings.rules.cache_clear()


@pytest.mark.parametrize("name", ["refund", "event", "extra__shop", "extra_"])
def test_no_source_has_a_name_whose_ids_or_tables_could_be_another_s(conf, name):
    (conf / f"sources/{name}.yml").write_text(SOURCE.replace("extra_shop", name))
    settings.source_names.cache_clear()
    assert list(settings.faults()) == [name] and f"{name!r} cannot be the name of a source" in settings.faults()[name]


@pytest.mark.parametrize("broken", [{}, {"source": "source: [\n"}, {"mapping": "streams: [orders]\n"}])
def test_a_plan_of_all_that_landed_leaves_the_wrong_source_out_and_says_so(conf, tmp_path, monkeypatch, broken):
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path / "home"))
    for name in ("extra_shop", "sandbox_shop"):
        (tmp_path / "home/landing" / name).mkdir(parents=True)
    write(conf, **broken)
    made = backfill.plan({"dry_run": False, "from": "2026-03-25", "to": "2026-03-25"}, tmp_path / "home/lake")
    assert made["sources"] == (["sandbox_shop"] if broken else ["extra_shop", "sandbox_shop"])
    assert ("extra_shop: left out, " in made["note"]) == bool(broken)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_file_that_may_not_be_read_is_one_sentence(conf):
    path = conf / "sources" / "extra_shop.yml"
    path.unlink()
    path.symlink_to("/proc/self/mem")
    with pytest.raises(SettingsError, match=r"extra_shop\.yml: cannot be read \(Input/output error\); let the user"):
        settings.source("extra_shop")

"""A job is built again when what decides its rows changed, and by nothing else."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conf import settings
from conf.settings import CONF, REPOSITORY, sources_of
from spark_jobs.engine import check, signature
from spark_jobs.engine.check import DAY
from spark_jobs.engine.runner import tried
from spark_jobs.engine.signature import code_hash, files_of
from spark_jobs.functions.plans import ANALYSED_ALONE
from spark_jobs.io.lake import Lake
from spark_jobs.job import jobs


def read_by(path) -> set[str]:
    """The tables whose jobs a file decides."""
    return {name for name, job in jobs().items() if path in files_of(job, next(iter(sources_of(name)), None) if job.is_mapped() else None)}


def test_a_file_decides_the_tables_that_depend_on_it_alone():
    assert read_by(CONF / "rules/segments.yml") == {name for name, job in jobs().items() if job.rules == "segments"}
    assert read_by(CONF / "rules/attribution.yml") == {name for name, job in jobs().items() if job.rules == "attribution"}
    assert read_by(REPOSITORY / "spark_jobs/gold/people.py") == {"gold.people"}
    assert read_by(CONF / "contracts" / next((CONF / "contracts").glob("*.json")).name) == {"silver.events"}
    assert "gold.people" not in read_by(CONF / "tables/gold/funnel_daily.yml")


@pytest.mark.parametrize(
    "path",
    [
        "spark_jobs/quality/gate.py",
        "spark_jobs/io/lake.py",
        "spark_jobs/io/publish.py",
        "spark_jobs/engine/ledger.py",
        "spark_jobs/functions/hashing.py",
        "conf/platform.yml",
    ],
)
def test_the_engine_decides_all_tables(path):
    assert read_by(REPOSITORY / path) == set(jobs())


def test_files_are_read_by_many_threads_at_once():
    """Python 3.11 fails where a thread gives way to another one amid a tree, as the garbage collector makes it do now and then; here it always does."""
    files = sorted((REPOSITORY / "spark_jobs").rglob("*.py"))[:30]
    thresholds = gc.get_threshold()
    gives_way = lambda *_: time.sleep(0)  # noqa: E731
    gc.callbacks.append(gives_way)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(signature.imports.__wrapped__, files))
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(gives_way)
    assert len(found) == len(files)


def test_the_pages_and_the_services_decide_none():
    for folder in ("report", "embedded"):
        assert not any(read_by(path) for path in (REPOSITORY / "spark_jobs" / folder).glob("*.py"))


def test_a_source_s_mapping_decides_its_own_rows(monkeypatch):
    events = jobs()["silver.events"]
    one, other = sources_of("silver.events")[:2]
    before = {source: code_hash(events, source) for source in (one, other)}
    hashed = signature._hash_of
    monkeypatch.setattr(signature, "_hash_of", lambda path: b"changed" if path == CONF / "mappings" / f"{one}.yml" else hashed(path))
    assert code_hash(events, one) != before[one] and code_hash(events, other) == before[other]


def test_every_declaration_that_a_job_reads_is_among_its_files(spark, home, monkeypatch):
    """20 s: each transform on empty inputs, with what it reads of conf noted."""
    read = set()
    original = settings.read_yaml

    def noted(path, *rest):
        read.add(path)
        return original(path, *rest)

    monkeypatch.setattr(settings, "read_yaml", noted)
    lake = Lake(spark, str(home / "lake"))
    spark.conf.set(ANALYSED_ALONE, "true")
    try:
        for name in (
            "silver.events",
            "silver.orders",
            "journeys.sessions",
            "journeys.touchpoints",
            "attribution.credits",
            "segments.memberships",
            "gold.people",
        ):
            job = jobs()[name]
            source = check._parts(job)[0]
            for function in (settings.rules, settings.mapping):
                function.cache_clear()
            read.clear()
            tried(lake, job, source, DAY)
            declared, files = {path for path in read if path.parent in (CONF / "rules", CONF / "mappings")}, files_of(job, source)
            # to be judged, rules are read beside those that they name
            read.clear()
            settings.rules.cache_clear()
            for path in files:
                if path.parent == CONF / "rules" and path.suffix == ".yml":
                    settings.rules(path.stem)
            assert declared <= files | read, name
    finally:
        spark.conf.unset(ANALYSED_ALONE)
        for function in (settings.rules, settings.mapping):
            function.cache_clear()

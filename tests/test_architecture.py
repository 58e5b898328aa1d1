"""The rules of the house, walked over the whole tree: who imports whom, and that every table is told in full."""

import ast
import re
from pathlib import Path

import pytest

from conf.names import LAYERS
from conf.settings import REPOSITORY, mapping, source, source_names
from conf.tables import Append, table, table_names
from spark_jobs.job import in_order, jobs

FILES = sorted(p for root in ("conf", "connectors", "dags", "spark_jobs") for p in (REPOSITORY / root).rglob("*.py"))
LIBRARY_HOMES = {
    "airflow": ("dags/",),
    "pyspark": ("spark_jobs/",),
    "delta": ("spark_jobs/",),
    "great_expectations": ("spark_jobs/quality/",),
    "requests": ("connectors/",),
    "yaml": ("conf/settings.py",),
}
OURS = {
    "conf": {"conf"},
    "connectors": {"connectors", "conf"},
    "spark_jobs": {"spark_jobs", "conf"},
    "dags": {"dags", "conf", "connectors"},
}


def imports(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module}
    return found


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_libraries_and_folders_are_imported_only_where_they_belong(path):
    here, modules = name_of(path), imports(path)
    for library, homes in LIBRARY_HOMES.items():
        used = {m for m in modules if m.split(".")[0] == library}
        assert not used or here.startswith(homes), f"{here} imports {used}; {library} belongs in {homes}"
    top = here.split("/")[0]
    foreign = {m for m in modules if m.split(".")[0] in OURS} - {m for m in modules if m.split(".")[0] in OURS[top]}
    assert not foreign, f"{here} imports {foreign}; {top} may import {sorted(OURS[top])}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if name_of(p).split("/")[1] in LAYERS and name_of(p).startswith("spark_jobs/")], ids=name_of
)
def test_a_transform_does_no_io_and_knows_no_other_layer(path):
    layer = name_of(path).split("/")[1]
    barred = {f"spark_jobs.{m}" for m in (*LAYERS, "io", "quality", "engine", "ops", "bronze") if m != layer}
    used = {m for m in imports(path) if any(m == b or m.startswith(b + ".") for b in barred)}
    assert not used, f"{name_of(path)} imports {used}"
    calls = {n.func.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    actions = calls & {"collect", "toPandas", "save", "saveAsTable", "getOrCreate", "now", "today", "utcnow"}
    assert not actions, f"{name_of(path)} calls {actions}"


# how code would tell again what conf/names.py tells
NAMES = re.compile(
    r"""Unattributed["']|["']bronze\.\{|\}__quarantine|\.replace\((["'])\.\1, (["'])/\2\)|["']identity["'], ["']journeys["'], ["']attribution["'], ["']segments"""
)


@pytest.mark.parametrize("path", [p for p in FILES if name_of(p) != "conf/names.py"], ids=name_of)
def test_names_are_told_in_one_place(path):
    told = [line for line in path.read_text(encoding="utf-8").splitlines() if NAMES.search(line)]
    assert not told, f"{name_of(path)} says itself what conf/names.py says: {told}"


# from the ground up: what stands in a line imports nothing of a later one
FLOORS = (
    ("conf",),
    ("connectors/kernel/errors", "connectors/kernel", "connectors/sources", "connectors/sandbox", "connectors/operating", "connectors/__main__", "connectors/sandbox/__main__"),
    ("dags/common", "dags"),
    (
        "spark_jobs/functions", "spark_jobs/job", "spark_jobs/errors", "spark_jobs/printing", *(f"spark_jobs/{layer}" for layer in LAYERS),
        "spark_jobs/quality", "spark_jobs/io", "spark_jobs/engine", "spark_jobs/bronze", "spark_jobs/ops", "spark_jobs/report", "spark_jobs/command",
        "spark_jobs/embedded", "spark_jobs/__main__",
    ),
)  # fmt: skip


def ours_of(path: Path) -> set[Path]:
    """The files of ours that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {file for name in found if (file := REPOSITORY.joinpath(*name.split(".")).with_suffix(".py")) in FILES} - {path}


def floor_of(path: Path) -> tuple[int, int]:
    """Which house a file stands in, and on which floor of it."""
    here = name_of(path).removesuffix(".py")
    found = [(h, n, len(floor)) for h, house in enumerate(FLOORS) for n, floor in enumerate(house) if f"{here}/".startswith(f"{floor}/")]
    house, number, _ = max(found, key=lambda one: one[2])
    return house, number


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "__init__.py"], ids=name_of)
def test_nothing_imports_upward(path):
    house, floor = floor_of(path)
    above = {name_of(file) for file in ours_of(path) if floor_of(file)[0] == house and floor_of(file)[1] > floor}
    assert not above, f"{name_of(path)} imports {above}, which stand above it"


def test_no_file_imports_itself_through_others():
    waiting = {path: ours_of(path) for path in FILES}
    while free := [path for path, used in waiting.items() if not used & waiting.keys()]:
        for path in free:
            del waiting[path]
    assert not waiting, f"these import each other in a circle: {sorted(name_of(path) for path in waiting)}"


DERIVED = [n for n in table_names() if n.split(".")[0] in LAYERS]


@pytest.mark.parametrize("name", DERIVED)
def test_a_table_has_its_job_and_its_test_under_its_one_name(name):
    layer, noun = name.split(".")
    assert name in jobs(), f"spark_jobs/{layer}/{noun}.py has no JOB for {name}"
    assert jobs()[name].transform.__module__ == f"spark_jobs.{layer}.{noun}"
    assert (REPOSITORY / "tests" / "spark_jobs" / layer / f"test_{noun}.py").is_file()


@pytest.mark.parametrize("name", table_names())
def test_a_contract_says_its_grain_and_keys(name):
    contract = table(name)
    assert contract.grain and contract.columns
    assert contract.keys or isinstance(contract.write.kind, Append)
    assert len({c.id for c in contract.checks}) == len(contract.checks)


def test_every_job_has_its_contract_and_reads_only_declared_tables():
    assert set(jobs()) == set(DERIVED)
    for name, job in jobs().items():
        assert set(job.upstream()) <= set(table_names()), f"{name} reads {job.upstream()}"


def test_the_tables_can_be_ordered():
    ordered = in_order(set(jobs()))
    assert len(ordered) == len(jobs())


@pytest.mark.parametrize("name", source_names())
def test_a_source_s_mapping_names_its_streams_and_real_columns(name):
    declared, mapped = source(name), mapping(name)
    looked_up = {s["lookup"]["stream"] for s in mapped["streams"].values() if s.get("lookup")}
    # a stream may be landed and kept raw, but none can be mapped that is not landed
    assert set(mapped["streams"]) | looked_up <= set(declared.streams)
    filled = {t for s in mapped["streams"].values() for t in s["tables"]}
    assert filled <= set(declared.silver)
    for stream in mapped["streams"].values():
        for target, spec in stream["tables"].items():
            unknown = set(spec["columns"]) - set(table(target).column_names)
            assert not unknown, f"conf/mappings/{name}.yml: {target} has no columns {unknown}"

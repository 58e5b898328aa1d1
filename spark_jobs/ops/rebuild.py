"""`rebuild TABLE`: a table that cannot be read, or that is not trusted, put aside and made again from what it is made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from conf.settings import source_names
from conf.tables import table, table_names
from spark_jobs.engine.claims import Claims, claims_on
from spark_jobs.errors import DamagedTableError, SelectionError, ThroughlineError
from spark_jobs.io.lake import Lake
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import read_arrow
from spark_jobs.job import in_order, jobs

ASIDE = "_set_aside"


def rebuild(lake: Lake, name: str, holder: str, say: Callable[[Any], None]) -> list[dict[str, Any]]:
    """Move the table's folder to the lake's `_set_aside` and build it over all its days. Returns what was built; nothing is deleted.

    Raises SelectionError for a name that is no table, ThroughlineError where the lake is no local folder.
    """
    from spark_jobs.bronze.load import load_source
    from spark_jobs.engine.runner import Runner

    layer, _, noun = name.partition(".")
    source = noun.split("__")[0]
    if name not in table_names() and not (layer == "bronze" and source in source_names()):
        raise SelectionError(f"no table {name!r}: choose one of {list(table_names())} or bronze.<source>__<stream>")
    if not lake.is_local:
        raise ThroughlineError(f"{lake.path(name)} is in an object store: move it away there, then run what builds {name}")
    claims = Claims(lake, holder)
    if layer != "ops":
        claims.acquire(claims_on(lake, name))
    try:
        set_aside(lake, name)
    finally:
        claims.release()
    if layer == "bronze":
        return load_source(lake, source, holder)
    if layer == "ops":
        print(f"{name} begins anew: what it told of the past is in {ASIDE}, and runs build what they no longer know to be done", flush=True)
        return []
    filled = [name] if name in jobs() else [n for n in jobs() if name == "vault.identifiers" and "identifiers" in table(n).column_names]
    outcomes = Runner(lake, holder, say, force=True).run(in_order(set(filled)), last_days(lake, filled)) if filled else []
    return [vars(o) for o in outcomes]


def set_aside(lake: Lake, name: str) -> None:
    """Move a table, and the stream's notes of what it read, where nothing looks for them."""
    now = dt.datetime.now(dt.UTC)
    for folder in (Path(lake.path(name)), Path(lake.root, "_checkpoints", name)):
        if folder.exists():
            target = Path(lake.root, ASIDE, f"{folder.parent.name}.{folder.name}.{now:%Y%m%dT%H%M%S%f}")
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(target)
            print(f"{folder} is now {target}", flush=True)


def last_days(lake: Lake, names: list[str]) -> Range:
    """The last day that any of the tables was built for; a table that has lost its rows is built over all others by itself."""
    try:
        runs = read_arrow(lake.root, "ops.runs")
        mine = runs.filter(pc.is_in(runs["table_name"], value_set=pa.array(names, pa.string())))["to_date"].drop_null()
        last = pc.max(mine).as_py()
    except DamagedTableError:
        last = None
    day = last or dt.datetime.now(dt.UTC).date()
    return Range(day, day)

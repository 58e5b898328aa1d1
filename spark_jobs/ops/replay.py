"""Look into `<table>__quarantine`, and put a repaired record back in under its own id.

A replay adds a bronze record that carries the original's envelope (file `replay:<quarantine_id>/<hash of its text>`, same line), builds the
tables its stream feeds, and closes the quarantine row, and those of repairs that failed before, once the record has passed. The original
record stays as it was received.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from pyspark.sql import functions as F

from conf.landing import lies_now
from conf.names import bronze_name, quarantine_of
from conf.printing import shown
from conf.settings import mapping, platform
from conf.tables import table as contract_of
from spark_jobs.bronze.load import bronze_table
from spark_jobs.engine.claims import Claims
from spark_jobs.engine.runner import Runner
from spark_jobs.errors import ThroughlineError
from spark_jobs.io.given import read_given
from spark_jobs.io.lake import Lake, quoted
from spark_jobs.io.publish import publish
from spark_jobs.io.ranges import Range
from spark_jobs.io.small import names_aside, open_table, query
from spark_jobs.printing import cell, console, listing

ALWAYS = Range(dt.date(1970, 1, 1), dt.date(2100, 1, 1))


def read_rows(lake: Path | str, name: str) -> pl.DataFrame:
    """All rows of one table's quarantine, read without Spark; empty when it has none."""
    contract_of(name)
    aside = open_table(lake, quarantine_of(name))
    return pl.DataFrame(query(aside)) if aside is not None else pl.DataFrame()


def list_open(lake: Path | str, name: str) -> None:
    """Open rows per table and reason."""
    names = [name] if name else names_aside(lake)
    waiting = listing("table", "source", "reason", "open", "closed", numbers=("open", "closed"))
    for one in names:
        rows = read_rows(lake, one)
        if rows.is_empty():
            continue
        counted = rows.group_by("source", "_reason").agg(
            (pl.col("_status") == "open").sum().alias("open"), (pl.col("_status") != "open").sum().alias("closed")
        )
        for row in counted.sort("source", "_reason").iter_rows(named=True):
            waiting.add_row(one, cell(row["source"]), cell(row["_reason"]), f"{row['open']:,}", f"{row['closed']:,}")
    console().print(waiting if waiting.row_count else "No row is in quarantine.")


def show(lake: Path | str, name: str, quarantine_id: str, limit: int) -> None:
    """Rows with id, reason, origin and payload (what is no printable text is shown escaped). The line is the dropped file's, so that is named."""
    rows = read_rows(lake, name)
    if rows.is_empty():
        raise ThroughlineError(f"{name} has no quarantined rows")
    if quarantine_id:
        rows = rows.filter(pl.col("quarantine_id") == quarantine_id)
        if rows.is_empty():
            raise ThroughlineError(
                f"{name} has no quarantined row {quarantine_id!r}; `python -m spark_jobs quarantine show {name}` lists them"
            )
    for row in rows.head(limit).iter_rows(named=True):
        body = row["payload"] if row["payload"] is not None else repr(row["payload_bytes"])
        place = f"{dropped_file(row['_file'])} line {row['_row']}" if row["_file"] else "a derived row"
        said = (f"{row['quarantine_id']}  {row['_status']}  {row['_reason']}", f"  {place}", f"  {body}")
        print("\n".join(map(shown, said)))


def dropped_file(landed: str) -> str:
    """The file that a landed part was read from, as the manifest beside the part says; what is no landed part is itself."""
    if not landed.startswith("/"):
        return landed
    try:
        manifest = Path(lies_now(Path(platform().landing), landed)).with_name("manifest.json")
        return str(json.loads(manifest.read_bytes())["origin"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return landed


def replay(
    lake: Lake, name: str, quarantine_id: str, payload: Path | None, holder: str, say: Callable[[Any], None]
) -> list[dict[str, Any]]:
    """Put one record back in. Raises ThroughlineError when there is no such row or when the record is set aside again."""
    rows = read_rows(lake.root, name)
    found = (
        rows.filter(pl.col("quarantine_id") == quarantine_id).sort(pl.col("_status") != "open").to_dicts() if not rows.is_empty() else []
    )
    if not found:
        raise ThroughlineError(f"{name} has no quarantined row {quarantine_id!r}; `python -m spark_jobs quarantine show {name}` lists them")
    row = found[0]
    if row["_status"] != "open":
        print(f"{quarantine_id} is closed already; nothing to do")
        return []
    if row["_file"] is None:
        raise ThroughlineError(f"{quarantine_id} is a derived row: repair what it came from and build {name} again")
    if payload is not None:
        try:
            text = read_given(payload, platform().max_record_bytes).decode("utf-8").strip("\n")
        except UnicodeDecodeError as error:
            raise ThroughlineError(f"{payload}: cannot be read as UTF-8 text ({error})") from None
    elif row["payload"] is None:
        raise ThroughlineError(f"{quarantine_id}: its bytes are no UTF-8; give the repaired record with --payload FILE")
    else:
        text = row["payload"]
    source = row["source"]
    stream, original = _origin(lake, source, row)
    # a repaired record that was set aside again has a row of its own, of the same first record
    first = row["_file"].removeprefix("replay:").split("/")[0] if row["_file"].startswith("replay:") else quarantine_id
    file = f"replay:{first}/{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    bronze = bronze_name(source, stream)
    stored = lake.stored(bronze)
    if stored.where(F.col("_file") == file).limit(1).count() == 0:
        fixed = original.withColumns(
            {
                "_file": F.lit(file),
                "payload": F.lit(text),
                "payload_bytes": F.lit(None).cast("binary"),
                "_sha256": F.sha2(F.lit(text), 256),
            }
        )
        claims = Claims(lake, holder)
        fence = claims.acquire([bronze])[bronze]
        try:
            publish(lake, fixed, 1, bronze_table(source, stream), None, None, replace(fence, run_id=uuid.uuid4().hex))
        finally:
            claims.release()
    origin = original.select("_slice_from", "_slice_to").first()
    days = Range(dt.date.fromisoformat(origin[0]), dt.date.fromisoformat(origin[1])) if origin is not None and origin[0] else ALWAYS
    fed = [t for t in mapping(source)["streams"][stream]["tables"]]
    outcomes = Runner(lake, holder, say).run(fed, days, source)
    for one in fed:
        again = read_rows(lake.root, one)
        still = again.filter((pl.col("_file") == file) & (pl.col("_status") == "open")).to_dicts() if not again.is_empty() else []
        if still:
            raise ThroughlineError(
                f"{quarantine_id}: the repaired record was set aside again by {still[0]['_reason']}; repair it and replay row {still[0]['quarantine_id']}"
            )
    of_record = f"quarantine_id = {quoted(first)} OR startswith(_file, {quoted(f'replay:{first}/')})"
    lake.spark.sql(f"UPDATE {lake.sql_name(quarantine_of(name))} SET _status = 'closed' WHERE ({of_record}) AND _status = 'open'").collect()
    return [vars(o) for o in outcomes]


def _origin(lake: Lake, source: str, row: dict[str, Any]) -> tuple[str, Any]:
    """The stream and the bronze record a quarantined row came from."""
    for stream in mapping(source)["streams"]:
        name = bronze_name(source, stream)
        if lake.exists(name):
            record = (
                lake.spark.read.format("delta")
                .load(lake.path(name))
                .where((F.col("_file") == row["_file"]) & (F.col("_row") == row["_row"]))
            )
            if record.limit(1).count():
                return stream, record
    raise ThroughlineError(f"no bronze table of {source} holds {row['_file']} line {row['_row']}")

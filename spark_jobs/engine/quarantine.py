"""`<table>__quarantine`: rows set aside, with reason and original bytes, until they are repaired and replayed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial, reduce

from pyspark.sql import DataFrame, functions as F

from conf.names import quarantine_of
from conf.settings import mapping
from conf.tables import Field, Table, Write
from spark_jobs.functions.plans import materialised, number_of
from spark_jobs.io.lake import Lake, quoted
from spark_jobs.io.mapped import read_bronze
from spark_jobs.io.publish import Fence, append
from spark_jobs.io.small import OvertakenError, open_table, query, until_first

COLUMNS = (
    "quarantine_id STRING, source STRING, _file STRING, _row BIGINT, payload STRING, payload_bytes BINARY, _reason STRING, "
    "_check_id STRING, _run_id STRING, _quarantined_at TIMESTAMP, _status STRING"
)


def quarantine_table(name: str) -> Table:
    """The generic contract of a table's quarantine."""
    columns = tuple(
        Field(p.split(" ")[0], p.split(" ")[1].lower(), nullable=p.split(" ")[0] != "quarantine_id") for p in COLUMNS.split(", ")
    )
    return Table(quarantine_of(name), "one row set aside", ("quarantine_id",), columns, Write(mode="append"))


def close_replaced(lake: Lake, contract: Table, files: DataFrame) -> None:
    """Close the open rows whose delivery a later one replaced: what was wrong with it concerns nobody any more. files: their `_source_file`."""
    aside = open_table(lake.root, quarantine_of(contract.name))
    waiting = query(aside, "select distinct _file from rows where _status = 'open'")["_file"].to_pylist() if aside is not None else []
    found = files.where(F.col("_source_file").isin([one for one in waiting if one])).distinct().collect() if any(waiting) else []
    if found:
        named = ", ".join(quoted(row["_source_file"]) for row in found)
        closing = (
            f"UPDATE {lake.sql_name(quarantine_of(contract.name))} SET _status = 'replaced' WHERE _status = 'open' AND _file IN ({named})"
        )
        until_first(lambda: unless_overtaken(lake, closing))


def close_mended(lake: Lake, contract: Table, mapped: DataFrame, aside: DataFrame) -> None:
    """Close the open rows of records that were judged anew and are no longer set aside: a declaration was mended, not the record.

    mapped: the records of a run, aside: those that it sets aside; both by `_source_file` and `_source_row`.
    """
    name = quarantine_of(contract.name)
    found = open_table(lake.root, name)
    waiting = (
        query(found, "select _file, _row from rows where _status = 'open' and _file is not null").to_pylist() if found is not None else []
    )
    if not waiting:
        return
    record = ["_source_file", "_source_row"]
    judged = mapped.select(*record).where(F.col("_source_file").isin(sorted({row["_file"] for row in waiting})))
    still = {tuple(row) for row in aside.select(*record).distinct().collect()}
    open_now = lake.spark.createDataFrame([(row["_file"], row["_row"]) for row in waiting], "_source_file STRING, _source_row BIGINT")
    mended = [tuple(row) for row in judged.join(open_now, record, "left_semi").distinct().collect() if tuple(row) not in still]
    by_file: dict[str, list[int]] = {}
    for file, row in mended:
        by_file.setdefault(file, []).append(row)
    for file, rows in sorted(by_file.items()):
        among = f"_status = 'open' AND _file = {quoted(file)} AND _row IN ({', '.join(map(str, sorted(rows)))})"
        closing = f"UPDATE {lake.sql_name(name)} SET _status = 'mended' WHERE {among}"
        until_first(partial(unless_overtaken, lake, closing))


def unless_overtaken(lake: Lake, statement: str) -> None:
    """Run a statement; raises OvertakenError where another source's run changed the table at the same time."""
    try:
        lake.spark.sql(statement).collect()
    except Exception as error:
        if "DELTA_CONCURRENT" in str(error):
            raise OvertakenError(str(error)) from None
        raise


def received(lake: Lake, contract: Table, source: str) -> DataFrame:
    """Every record of the source's streams that feed the table: _file, _row, payload, payload_bytes."""
    fed = [name for name, spec in mapping(source)["streams"].items() if contract.name in spec["tables"]]
    return reduce(DataFrame.unionAll, (read_bronze(lake, source, name, None, None) for name in fed)).select(
        "_file", "_row", "payload", "payload_bytes"
    )


def set_aside(lake: Lake, contract: Table, rows: DataFrame, source: str | None, is_mapped: bool, fence: Fence) -> int:
    """Add rows that are not there yet (a re-run adds none; a closed row stays closed, but one of a record that was mended and is wrong again has
    another row). Returns how many were new.

    is_mapped: the rows are records, whose bytes are in the source's bronze tables.
    quarantine_id: 32 hex of sha256(file, row) of a mapped row, of the row's own JSON else.
    """
    if is_mapped:
        aside = rows.select(F.col("_source_file").alias("_file"), F.col("_source_row").alias("_row"), "_reason")
        shown = aside.join(received(lake, contract, str(source)), on=["_file", "_row"], how="left").select(
            F.substring(F.sha2(F.concat_ws("\x1f", "_file", F.col("_row").cast("string")), 256), 1, 32).alias("quarantine_id"),
            F.lit(source).alias("source"),
            "_file",
            "_row",
            "payload",
            "payload_bytes",
            "_reason",
        )
    else:
        payload = F.to_json(F.struct(*contract.column_names))
        shown = rows.select(
            F.substring(F.sha2(payload, 256), 1, 32).alias("quarantine_id"),
            F.lit(source).alias("source"),
            F.lit(None).cast("string").alias("_file"),
            F.lit(None).cast("bigint").alias("_row"),
            payload.alias("payload"),
            F.lit(None).cast("binary").alias("payload_bytes"),
            "_reason",
        )
    target = quarantine_table(contract.name)
    lake.create(target)
    known = lake.stored(target.name).where("_status <> 'mended'").select("quarantine_id")
    fresh = shown.dropDuplicates(["quarantine_id"]).join(known, on="quarantine_id", how="left_anti")
    fresh = fresh.select(
        "*",
        F.col("_reason").alias("_check_id"),
        F.lit(fence.run_id).alias("_run_id"),
        F.current_timestamp().alias("_quarantined_at"),
        F.lit("open").alias("_status"),
    )
    fresh = materialised(fresh.select(*target.column_names))
    count = number_of(fresh)
    if count:
        append(lake, fresh, target, count, replace(fence, claim=quarantine_of(fence.claim)))
    return count

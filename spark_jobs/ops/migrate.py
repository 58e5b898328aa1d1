"""`migrate`: a stored table as its contract says now, where no value is lost by it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace

from pyspark.sql import Column, functions as F

from conf.tables import Field, Table, table, table_names
from spark_jobs.engine.claims import Claims, claims_on
from spark_jobs.engine.differences import Difference, differences
from spark_jobs.errors import ContractChangedError, SelectionError
from spark_jobs.io.lake import Lake, layout_sql, type_name
from spark_jobs.io.publish import assert_ours, fenced


def migrate(lake: Lake, name: str, holder: str, dry_run: bool) -> list[Difference]:
    """Write tables again by their contracts, each in one commit; returns what differed. name: one table, else all.

    Raises ContractChangedError, before anything of its table is written, where stored values do not fit a new type exactly.
    """
    if name and name not in table_names():
        raise SelectionError(f"no table {name!r}: conf/tables has {list(table_names())}")
    done: list[Difference] = []
    for one in [name] if name else [n for n in table_names() if not n.startswith("ops.")]:
        found = differences(lake.root, table(one))
        for difference in found:
            print(f"{one}: {difference}", flush=True)
        if any(not d.is_harmless for d in found):
            _refuse_lossy(lake, table(one), found)
            if not dry_run:
                _rewrite(lake, table(one), holder)
                print(f"{one}: written again by its contract", flush=True)
        done += found
    return done


def _declared(stored: Mapping[str, str], column: Field) -> Column:
    """A stored column as its contract types it."""
    if column.name not in stored:
        return F.lit(None).cast(column.type).alias(column.name)
    typed = F.col(column.name) if stored[column.name] == type_name(column.type) else F.expr(f"try_cast(`{column.name}` as {column.type})")
    return typed.alias(column.name)


def _refuse_lossy(lake: Lake, contract: Table, found: list[Difference]) -> None:
    rows = lake.stored(contract.name)
    retyped = [d for d in found if d.stored and d.declared]
    required = [c.name for c in contract.columns if not c.nullable]
    lost = [
        F.expr(f"`{d.column}` is not null and not (try_cast(try_cast(`{d.column}` as {d.declared}) as {d.stored}) <=> `{d.column}`)")
        for d in retyped
    ]
    null = [F.col(name).isNull() if name in rows.columns else F.lit(True) for name in required]
    said = [f"rows of {d.column} do not fit {d.declared} exactly" for d in retyped]
    said += [f"rows have no {name}, which is declared as never null" for name in required]
    counted = rows.agg(F.count(F.lit(1)), *(F.count_if(one) for one in [*lost, *null])).first() or ()
    wrong = [f"{count} {what}" for count, what in zip(counted[1:], said) if count]
    if wrong:
        raise ContractChangedError(
            f"{contract.name}: {'; '.join(wrong)}. Nothing was written: declare what holds them, or build the table again from what it is made of: "
            f"`python -m spark_jobs rebuild {contract.name}`"
        )


def _rewrite(lake: Lake, contract: Table, holder: str) -> None:
    """In one commit; the table keeps its layout, its properties and its history. That a column is never null is asked by the gate from then on:
    a commit that writes another schema leaves Delta's own rule behind."""
    claims, run_id = Claims(lake, holder), uuid.uuid4().hex
    fence = replace(claims.acquire(claims_on(lake, contract.name))[contract.name], run_id=run_id)
    try:
        before = lake.version(contract.name)
        rows = lake.stored(contract.name)
        stored = dict(rows.dtypes)
        rows.select(*(_declared(stored, c) for c in contract.columns)).createOrReplaceTempView("migrated_rows")
        with fenced(lake, replace(fence, claim=f"{contract.name}/migrated")):
            lake.spark.sql(
                f"CREATE OR REPLACE TABLE {lake.sql_name(contract.name)} {layout_sql(contract)} AS SELECT * FROM migrated_rows"
            ).collect()
        assert_ours(lake, contract.name, before, fence)
    finally:
        claims.release()

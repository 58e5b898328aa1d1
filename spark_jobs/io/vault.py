"""The vault: the pads of the HMAC key (io/keys.py), and the raw values of directly identifying namespaces. Nothing else in the lake holds them."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame, functions as F

from conf.settings import rules
from conf.tables import table
from spark_jobs.functions.identifiers import pads
from spark_jobs.functions.plans import materialised, number_of
from spark_jobs.io.keys import KEY_VERSION, lake_key
from spark_jobs.io.lake import Lake
from spark_jobs.io.publish import Fence, publish
from spark_jobs.io.small import alone, append_table, open_table


def key_pads(lake: Lake) -> DataFrame:
    """One row: `_inner_pad`, `_outer_pad`, from vault.hmac_keys, which is filled on first use. Raises ThroughlineError when the key is lost or
    another one than the lake's."""
    contract = table("vault.hmac_keys")
    key = lake_key(lake.root)
    lake.create(contract)
    if is_empty(lake, contract.name):
        with alone(lake.root, contract.name):
            if is_empty(lake, contract.name):
                fill_pads(lake, contract.name, key)
    stored = lake.stored(contract.name).where(f"key_version = {KEY_VERSION}").limit(1)
    return stored.select(F.col("inner_pad").alias("_inner_pad"), F.col("outer_pad").alias("_outer_pad"))


def is_empty(lake: Lake, name: str) -> bool:
    """Whether a table has no files."""
    found = open_table(lake.root, name)
    return found is None or not found.file_uris()


def fill_pads(lake: Lake, name: str, key: bytes) -> None:
    """The key's one row; of machines that write it at once one does."""
    inner, outer = pads(key)
    row = pa.table({"key_version": [KEY_VERSION], "inner_pad": [inner], "outer_pad": [outer]})
    append_table(lake.root, table(name), row, "vault", 1, "{}")


def store_identifiers(lake: Lake, rows: DataFrame, fence: Fence) -> None:
    """The raw values of directly identifying namespaces into vault.identifiers, once per key. rows: with `_raw_identifiers`, `identifiers`."""
    direct = [n for n, rule in rules("identity")["namespaces"].items() if rule.get("pii") == "direct"]
    pairs = rows.select(F.explode(F.arrays_zip("_raw_identifiers", "identifiers")).alias("p"))
    found = materialised(
        pairs.where(F.substring_index("p._raw_identifiers.namespace", ".", -1).isin(direct))
        .select(F.col("p.identifiers.identifier_key"), F.col("p._raw_identifiers.namespace"), F.col("p._raw_identifiers.value"))
        .distinct()
        .withColumn("key_version", F.lit(KEY_VERSION))
    )
    count, contract = number_of(found), table("vault.identifiers")
    if not count:
        return
    lake.create(contract)
    # others may bring the same identifier at the same moment
    with alone(lake.root, contract.name):
        publish(lake, found.select(*contract.column_names), count, contract, None, None, fence)

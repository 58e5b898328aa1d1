"""The vault: the HMAC key, and the raw values of directly identifying namespaces. Nothing else in the lake holds them."""

from __future__ import annotations

import json
import os
import secrets
import threading
from pathlib import Path

from pyspark.sql import DataFrame, functions as F

from conf.settings import home, rules
from conf.tables import table
from spark_jobs.errors import ThroughlineError
from spark_jobs.functions.identifiers import pads
from spark_jobs.io.lake import Fence, Lake

KEY_VERSION = 1
# two tables of one process may bring the same identifier at the same moment
ONE_WRITER = threading.Lock()


def key_file() -> Path:
    """Where the HMAC key is kept, owner-only (THROUGHLINE_KEY_FILE, else inside the home)."""
    return Path(os.environ.get("THROUGHLINE_KEY_FILE") or home() / "vault" / "hmac_key.json")


def load_key() -> bytes:
    """The 32-byte key; made on first use. Losing it orphans every person: `python -m spark_jobs vault backup`."""
    path = key_file()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = json.dumps({"key_version": KEY_VERSION, "key": secrets.token_hex(32)})
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(body)
            print(f"A new identifier key is in {path}. Keep a copy: losing it orphans every person.")
        except FileExistsError:
            pass
    try:
        return bytes.fromhex(json.loads(path.read_text(encoding="utf-8"))["key"])
    except (ValueError, KeyError) as error:
        raise ThroughlineError(f"{path}: not a key file ({error}); restore it from its back-up, or remove it to begin anew") from None


def key_pads(lake: Lake) -> DataFrame:
    """One row: `_inner_pad`, `_outer_pad`, from vault.hmac_keys, which is filled on first use."""
    contract = table("vault.hmac_keys")
    lake.create(contract)
    if lake.version(contract.name) == 0:
        inner, outer = pads(load_key())
        row = lake.spark.createDataFrame([(KEY_VERSION, inner, outer)], "key_version INT, inner_pad BINARY, outer_pad BINARY")
        try:
            row.coalesce(1).write.format("delta").mode("append").option("txnAppId", "vault").option("txnVersion", 1).save(
                lake.path(contract.name)
            )
        except Exception as error:
            if "CONCURRENT" not in str(error):
                raise
    stored = lake.spark.read.format("delta").load(lake.path(contract.name)).where(f"key_version = {KEY_VERSION}").limit(1)
    return stored.select(F.col("inner_pad").alias("_inner_pad"), F.col("outer_pad").alias("_outer_pad"))


def store_identifiers(lake: Lake, rows: DataFrame, fence: Fence) -> None:
    """The raw values of directly identifying namespaces into vault.identifiers, once per key. rows: with `_raw_identifiers`, `identifiers`."""
    direct = [n for n, rule in rules("identity")["namespaces"].items() if rule.get("pii") == "direct"]
    pairs = rows.select(F.explode(F.arrays_zip("_raw_identifiers", "identifiers")).alias("p"))
    found = (
        pairs.where(F.substring_index("p._raw_identifiers.namespace", ".", -1).isin(direct))
        .select(F.col("p.identifiers.identifier_key"), F.col("p._raw_identifiers.namespace"), F.col("p._raw_identifiers.value"))
        .distinct()
        .withColumn("key_version", F.lit(KEY_VERSION))
        .persist()
    )
    contract = table("vault.identifiers")
    with ONE_WRITER:
        lake.publish(found.select(*contract.column_names), found.count(), contract, None, None, fence)
    found.unpersist()

"""identifier_key: HMAC-SHA-256 of (namespace, value), in Spark's own functions.

The key pads come from a one-row table that is joined in, never as literals: literals show in plans and so in the Spark UI.
Source of the construction: RFC 2104 (block size 64 bytes for SHA-256).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, functions as F

SEPARATOR = "\x1f"


def identifier_key(namespace: Column, value: Column) -> Column:
    """First 32 hex digits of HMAC-SHA-256(key, namespace 0x1f value); the row must carry _inner_pad and _outer_pad (64 bytes each)."""
    message = F.encode(F.concat(namespace, F.lit(SEPARATOR), value), "UTF-8")
    inner = F.unhex(F.sha2(F.concat(F.col("_inner_pad"), message), 256))
    return F.substring(F.sha2(F.concat(F.col("_outer_pad"), inner), 256), 1, 32)


def pads(key: bytes) -> tuple[bytes, bytes]:
    """The inner and outer pad of an HMAC key of at most 64 bytes."""
    padded = key.ljust(64, b"\0")
    return bytes(b ^ 0x36 for b in padded), bytes(b ^ 0x5C for b in padded)


def scoped(namespace: str, scope: str, namespaces: Mapping[str, Any]) -> str:
    """The stored namespace: global ones as they are, all others under the source's identity scope."""
    rule = namespaces.get(namespace)
    if rule is None:
        raise ValueError(f"namespace {namespace!r} is not declared in conf/rules/identity.yml; declared are {sorted(namespaces)}")
    return namespace if rule.get("scope") == "global" else f"{scope}.{namespace}"


def normalised(value: str, rule: Mapping[str, Any]) -> str:
    """SQL of one identifier value after its namespace's normaliser; NULL when it is empty or blocked as a placeholder."""
    raw = f"trim(cast({value} as string))"
    text = re.sub(r"\bvalue\b", raw.replace("\\", "\\\\"), rule.get("normalise", "value"))
    block = rule.get("block") or {}
    tests = [f"({text}) = ''"]
    if block.get("values"):
        listed = ", ".join("'" + str(v).lower().replace("'", "''") + "'" for v in block["values"])
        tests.append(f"lower({text}) in ({listed})")
    tests += [f"lower({text}) rlike r'{p}'" for p in block.get("patterns") or ()]
    return f"case when {' or '.join(tests)} then null else {text} end"

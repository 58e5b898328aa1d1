"""identifier_key: HMAC-SHA-256 of (namespace, value), in Spark's own functions.

Values are read before: phone numbers and addresses by their libraries, once per distinct value.
The key pads come from a one-row table that is joined in, never as literals: literals show in plans and so in the Spark UI.
Source of the construction: RFC 2104 (block size 64 bytes for SHA-256).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, functions as F

from spark_jobs.functions.text import stripped_sql, whole_number_sql

SEPARATOR = "\x1f"
# An address that its library leaves as it is: most are, and need not go to Python.
PLAIN_EMAIL = r"^[a-z0-9_+-]{1,40}([.][a-z0-9_+-]{1,20})?@([a-z0-9]{1,30}[.]){1,3}[a-z]{2,20}$"


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
    raw = stripped_sql(value)
    if rule.get("scope") == "source":
        raw = f"({whole_number_sql(raw)})"
    text = re.sub(r"\bvalue\b", raw.replace("\\", "\\\\"), rule.get("normalise", "value"))
    block = rule.get("block") or {}
    tests = [f"({text}) = ''"]
    if block.get("values"):
        listed = ", ".join("'" + str(v).lower().replace("'", "''") + "'" for v in block["values"])
        tests.append(f"lower({text}) in ({listed})")
    tests += [f"lower({text}) rlike r'{p}'" for p in block.get("patterns") or ()]
    return f"case when {' or '.join(tests)} then null else {text} end"


# characters of an identifier that its library is asked about: an address has at most 320 (RFC 5321), and a display name beside it
LONGEST = 1000


@lru_cache(maxsize=100_000)
def email_address(text: str, _: str | None = None) -> str | None:
    """The address in one form, all lower case, its domain in Unicode; None where it is none. Source: RFC 5321 and 6531 as email-validator reads them."""
    import email_validator

    if len(text) > LONGEST:
        return None
    # names like .test and .local reach nobody from outside, but in a company's own files they name people; placeholders are blocked by rule
    email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
    try:
        found = email_validator.validate_email(
            text.removeprefix("mailto:").lower(), check_deliverability=False, globally_deliverable=False, allow_display_name=True
        )
    except email_validator.EmailNotValidError:
        return None
    return str(found.normalized).lower()


@lru_cache(maxsize=100_000)
def phone_number(text: str, country: str | None = None) -> str | None:
    """The number in E.164, without its extension; None where it is no valid number, or a national one and no country (ISO 3166-1) is known."""
    import phonenumbers

    if len(text) > LONGEST:
        return None
    region = country.strip().upper() if country and len(country.strip()) == 2 else None
    # 00 is how most of the world dials abroad; a country where it is not knows what 00 is there
    for form in (text, "+" + text.removeprefix("00") if text.startswith("00") else ""):
        try:
            number = phonenumbers.parse(form, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return None


LIBRARIES = {"email": email_address, "phone": phone_number}


def read_values(library: str, values: pa.Array, countries: pa.Array) -> pa.Array:
    """Each value as its library reads it; null stays null."""
    read = LIBRARIES[library]
    of_country = countries.to_pylist() if library == "phone" else [None] * len(values)
    return pa.array([None if v is None else read(v, c) for v, c in zip(values.to_pylist(), of_country)], pa.string())


def read_by_library(library: str, value: Column, country: Column) -> Column:
    """An identifier as its library reads it, each distinct value once per worker; NULL where it is none. country: where a phone number may be of."""

    @F.arrow_udf("string")
    def read(values: pa.Array, countries: pa.Array) -> pa.Array:
        return read_values(library, values, countries)

    if library != "email":
        return read(value, country)
    is_plain = F.coalesce(value.rlike(PLAIN_EMAIL), F.lit(True))
    return F.when(is_plain, value).otherwise(read(F.when(~is_plain, value), F.lit(None).cast("string")))

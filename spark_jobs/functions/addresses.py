"""What stands in a web address: its path, its parameters, the click id.

Read by patterns of our own, because Spark's parse_url knows RFC 2396 alone: an address with a stray %, a blank, |, [ or _ in its host,
all of which browsers send, has no path for it.
Source of the decoding: URL Standard, "percent-decode" (a percent sign that begins no escape stays) and "application/x-www-form-urlencoded
parsing" (+ is a blank, bytes that are no UTF-8 become U+FFFD).
"""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column, functions as F

BLANKS = r"[\x00-\x20]*+"
# possessive: an address without a path must not have its host for one
PATH = rf"(?i)^{BLANKS}(?:(?:(?!android-app:)[a-z][a-z0-9+.-]*+:)?//[^/?#]*+)?+(/(?:[^?#]*[^?#\x00-\x20])?)"
HAS_HOST = rf"(?i)^{BLANKS}(?:https?:)?//[^/?#\x00-\x20]"
QUERY = r"^[^#?]*\?([^#]*)"
STRAY_PERCENT = r"%(?![0-9A-Fa-f]{2})"
# Java takes a surrogate's three bytes for one mistake, the Encoding Standard each of them
SURROGATE = r"(?i)%ED%[AB][0-9A-F](%[89AB][0-9A-F])"


def path_of(address: Column) -> Column:
    """The path as it stands in the address (/ where one of http has none); null where there is no address with a path: mailto:, android-app://."""
    return F.coalesce(F.nullif(F.regexp_extract(address, PATH, 1), F.lit("")), F.when(address.rlike(HAS_HOST), "/"))


def query_of(address: Column) -> Column:
    """The query as parameter_of and click_of read it: & before each parameter, and every % begins an escape; null where it has no =."""
    query = F.concat(F.lit("&"), F.regexp_extract(address, QUERY, 1))
    repaired = F.regexp_replace(F.regexp_replace(query, STRAY_PERCENT, "%25"), SURROGATE, "%FF%FF$1")
    return F.when(address.contains("="), F.when(address.contains("%"), repaired).otherwise(query))


def parameter_of(query: Column, name: str) -> Column:
    """The decoded value of the query's first parameter of that very name; null where it is empty or none."""
    # a pattern, because parsing the address once per parameter takes five times as long
    return F.nullif(F.try_url_decode(F.regexp_extract(query, f"&{name}=([^&]*)", 1)), F.lit(""))


def click_of(query: Column, names: Iterable[str]) -> Column:
    """STRUCT<type, id> of the query's click id, decoded: of several the one whose name is declared first; null where there is none.

    names: in lower case; they are compared without case, as Snapchat writes ScCid.
    """
    declared = list(names)
    pattern = rf"(?i)&(?:{'|'.join(declared)})=[^&]+"
    places = F.array(*map(F.lit, declared))

    def placed(parameter: Column, place: Column) -> Column:
        kind = F.lower(F.regexp_extract(parameter, "&([^=]*)", 1))
        return F.struct(
            F.array_position(places, kind).alias("rank"), place.alias("place"), kind.alias("type"), parameter.alias("parameter")
        )

    first = F.array_min(F.transform(F.regexp_extract_all(query, F.lit(pattern), F.lit(0)), placed))
    value = F.try_url_decode(F.regexp_extract(first["parameter"], "(?s)=(.*)", 1))
    return F.when(query.rlike(pattern), F.struct(first["type"].alias("type"), value.alias("id")))

"""Does an event say what its contract says? The JSON of `properties` against conf/contracts/<event_name>.json.

What is declared must be there and have its type, else the event carries a reason; what is not declared passes and is told as drift.
JSON Schema takes 1.0 for an integer; here it is a number, because a sender that begins to write 1.0 has changed a type.
Python, because Spark has no JSON Schema: a scalar Arrow function over two narrow columns, 3 µs an event, null for all that have no contract.
Known limits: an integer beyond 64 bits counts as a number; drift below a $ref by anchor or absolute address is not told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import Column, DataFrame, functions as F

from conf.contracts import COLUMNS, contracts as declared_contracts, validator
from conf.personal import masked_text

VERDICT = "reason STRING, drift ARRAY<STRUCT<path: STRING, kind: STRING, json_type: STRING>>"
DRIFT = pa.list_(pa.struct([(name, pa.string()) for name in ("path", "kind", "json_type")]))
ARROW_VERDICT = pa.struct([("reason", pa.string()), ("drift", DRIFT)])
JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
# What one event may tell: a sender that makes names up must not fill the log
MOST_PATHS, LONGEST_PATH = 50, 200
# Keywords under which stand schemas of the same place in the JSON, and those that say something about its members
SAME_PLACE = ("allOf", "anyOf", "oneOf", "if", "then", "else")
OF_MEMBERS, OF_ITEMS = ("properties", "patternProperties", "additionalProperties"), ("items", "prefixItems")

Finding = tuple[str, str, str | None]


def step(path: str, key: str) -> str:
    """The JSON pointer one member further; places in a list are not told apart, and addresses and phone numbers not told."""
    key = masked_text(key)
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"[:LONGEST_PATH]


def pointer(path: Iterable[str | int]) -> str:
    """A place in the JSON as pointer, * for any place of a list; the whole is /."""
    return reduce(step, ("*" if isinstance(part, int) else part for part in path), "") or "/"


def schemas_under(value: Any) -> list[Any]:
    """The schemas a keyword holds: one, or a list of them."""
    return value if isinstance(value, list) else [value]


@lru_cache(maxsize=1000)
def matcher(pattern: str) -> Any:
    """What judges names by a pattern: the validator itself, whose engine and dialect are not Python's and whose time is bounded."""
    return validator({"pattern": pattern})


def matches(pattern: str, key: str) -> bool:
    """Whether a member's name fits patternProperties, as the validator sees it."""
    return bool(matcher(pattern).is_valid(key))


class Place:
    """What a contract says about one place in the JSON: every subschema that may speak about it, wherever it is written."""

    def __init__(self, schemas: list[Any], root: Mapping[str, Any]) -> None:
        self.root, self.schemas = root, []
        pending = schemas
        while pending:
            schema = pending.pop()
            if isinstance(schema, dict) and schema not in self.schemas:
                self.schemas.append(schema)
                pending += [s for keyword in SAME_PLACE if keyword in schema for s in schemas_under(schema[keyword])]
                pending += [*schema.get("dependentSchemas", {}).values(), self.referred(schema.get("$ref", ""))]
        self.types = frozenset(t for s in self.schemas if "type" in s for t in schemas_under(s["type"]))
        self.is_integer = "integer" in self.types and "number" not in self.types
        self.has_members = self.says(OF_MEMBERS)
        self.has_items = self.says(OF_ITEMS)
        self.inner: dict[str, Place | None] = {}

    def says(self, keywords: tuple[str, ...]) -> bool:
        return any(keyword in schema for schema in self.schemas for keyword in keywords)

    def referred(self, ref: str) -> Any:
        """What a pointer into this file leads to; None where it is none."""
        found: Any = self.root if ref == "#" or ref.startswith("#/") else None
        for part in ref.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) and key.isdigit() else found.get(key) if isinstance(found, dict) else None
        return found

    def member(self, key: str) -> Place | None:
        """The place of a member; None where nothing describes it."""
        if key not in self.inner:
            found = []
            for schema in self.schemas:
                named = [schema["properties"][key]] if key in schema.get("properties", {}) else []
                named += [s for pattern, s in schema.get("patternProperties", {}).items() if matches(pattern, key)]
                others = schema.get("additionalProperties")
                found += named or ([others] if isinstance(others, dict) and others else [])
            place = Place(list(found), self.root) if found else None
            if len(self.inner) >= 1000:  # names that a sender makes up would be remembered for ever
                return place
            self.inner[key] = place
        return self.inner[key]

    def item(self) -> Place:
        """The place of any item of a list."""
        if "" not in self.inner:
            self.inner[""] = Place([s for schema in self.schemas for k in OF_ITEMS for s in schemas_under(schema.get(k))], self.root)
        return self.inner[""] or Place([], self.root)


def walk(value: Any, place: Place, path: str, found: dict[Finding, None]) -> None:
    """Add to `found` what the validator does not see: members that nothing describes, and floats where integers are declared."""
    if isinstance(value, dict):
        if place.has_members or not path:
            for key, held in value.items():
                inner = place.member(key)
                if inner is None:
                    found[step(path, key), "added", JSON_TYPES[type(held)]] = None
                else:
                    walk(held, inner, step(path, key), found)
    elif isinstance(value, list):
        if place.has_items:
            for held in value:
                walk(held, place.item(), step(path, "*"), found)
    elif place.is_integer and type(value) is float and value.is_integer():
        found[path or "/", "retyped", "number"] = None


class Contract:
    """One event name's contract, compiled."""

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        self.name, self.validator, self.root = name, validator(schema), Place([schema], schema)

    def reason(self, path: str, keyword: str) -> str:
        return f"contract:{self.name}:{path} {keyword}"

    def broken(self, value: Any) -> list[tuple[str, str, str | None]]:
        """(path, keyword, JSON type found) of everything that the validator finds; the type only where it is the wrong one."""
        found = []
        for error in self.validator.iter_errors(value):
            path, keyword = list(error.instance_path), error.kind.name
            if keyword == "required":
                path = [*path, error.kind.property]
            elif keyword in ("additionalProperties", "unevaluatedProperties"):
                path = [*path, min(error.kind.unexpected)]
            place, held = self.root, value
            for part in error.instance_path:
                place = place.item() if isinstance(part, int) else place.member(part) or Place([], {})
                held = held[part]
            is_retyped = keyword == "type" or (keyword in ("anyOf", "oneOf") and place.types and not is_one_of(held, place.types))
            found.append((pointer(path), "type" if is_retyped else keyword, JSON_TYPES[type(held)] if is_retyped else None))
        return found

    def judge(self, text: str | None) -> tuple[str | None, list[Finding] | None]:
        """(reason to set the event aside or None, drift or None) of one event's properties; none at all are an empty object."""
        try:
            value = {} if text is None else orjson.loads(text)
        except orjson.JSONDecodeError:
            return self.reason("/", "not_json"), None
        drift: dict[Finding, None] = {}
        try:
            walk(value, self.root, "", drift)
            broken = [] if self.validator.is_valid(value) else self.broken(value)
        except (ValueError, RecursionError):
            # the validator's own limit on depth
            return self.reason("/", "too_deep"), None
        if broken or drift:
            broken += [(path, "type", found) for path, kind, found in drift if kind == "retyped"]
            drift |= {(path, "retyped", found): None for path, keyword, found in broken if keyword == "type"}
            drift |= {(path, "missing", None): None for path, keyword, _ in broken if keyword == "required"}
        reason = self.reason(*min((path, keyword) for path, keyword, _ in broken)) if broken else None
        return reason, sorted(drift, key=str)[:MOST_PATHS] or None


def is_one_of(value: Any, types: frozenset[str]) -> bool:
    """Whether a JSON value has one of the types; an integer is a number too."""
    found = JSON_TYPES[type(value)]
    return found in types or (found == "integer" and "number" in types)


@lru_cache(maxsize=8)
def compiled(text: str) -> dict[str, Contract]:
    """The contracts of a JSON text, by event name: once per worker process."""
    return {name: Contract(name, schema) for name, schema in json.loads(text).items()}


def judge_values(text: str, names: pa.Array, properties: pa.Array) -> pa.Array:
    """VERDICT per (event name, properties); null where the name is null."""
    known = compiled(text)
    verdicts = [
        (None, None) if name is None else known[name].judge(value) for name, value in zip(names.to_pylist(), properties.to_pylist())
    ]
    reasons = pa.array([reason for reason, _ in verdicts], pa.string())
    drift = pa.array(
        [d and [{"path": p, "kind": k, "json_type": t} for p, k, t in d] for _, d in verdicts],
        DRIFT,
    )
    return pa.StructArray.from_arrays([reasons, drift], fields=list(ARROW_VERDICT))


def with_contract(events: DataFrame, declared: Mapping[str, Mapping[str, Any]] | None = None, unreadable: Iterable[str] = ()) -> DataFrame:
    """The events with `_reason` where they break their contract (one that they carry already stands) and `_drift`: what of them the
    contract does not know, or knows otherwise. An event whose contract cannot be read waits for it; every other goes on.

    events: any grain, with event_name, properties (as received, before personal fields are emptied) and _reason.
    declared: event_name -> schema, and unreadable: the names whose contracts are wrong; both by the files of conf/contracts unless declared
    is given.
    """
    known, wrong = declared_contracts() if declared is None else (declared, unreadable)
    if wrong := sorted(wrong):
        waits = F.concat(F.lit("contract:"), "event_name", F.lit(":unreadable"))
        events = events.withColumn("_reason", F.coalesce("_reason", F.when(F.col("event_name").isin(wrong), waits)))
    if not known:
        return events.withColumn("_drift", F.lit(None).cast(VERDICT.partition("drift ")[2]))
    text = json.dumps(known, sort_keys=True)

    @F.arrow_udf(VERDICT)
    def verdict(names: pa.Array, properties: pa.Array) -> pa.Array:
        return judge_values(text, names, properties)

    # what needs no judging crosses to Python as a null
    is_judged = F.col("event_name").isin(sorted(known)) & F.col("_reason").isNull()
    judged = events.withColumn("_verdict", verdict(F.when(is_judged, F.col("event_name")), F.when(is_judged, F.col("properties"))))
    reason = F.coalesce("_reason", absent_column(known), "_verdict.reason")
    return judged.withColumns({"_reason": reason, "_drift": F.col("_verdict.drift")}).drop("_verdict")


def absent_column(known: Mapping[str, Mapping[str, Any]]) -> Column:
    """The reason of an event that lacks one of its contract's requiredColumns, else NULL."""
    tests = [
        F.when((F.col("event_name") == name) & F.col(column).isNull(), f"contract:{name}:{column} required")
        for name, schema in sorted(known.items())
        for column in schema.get(COLUMNS, ())
    ]
    return F.coalesce(*tests) if tests else F.lit(None).cast("string")

"""Event contracts: conf/contracts/<event_name>.json, a JSON Schema (draft 2020-12) of the `properties` of the events of that name.

To add a contract, drop a file; an event name without one is not checked. Beside the draft's keywords a contract may say
`requiredColumns`: columns of silver.events that a record of this name must give (conf/adr/0008-event-contracts.md says why so).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from conf.settings import CONF, SettingsError
from conf.tables import table

FOLDER = CONF / "contracts"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
EVENT_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
COLUMNS = "requiredColumns"
# Patterns are matched in time that grows with the text; one with a reference back to a group gives up after so many steps, and does not fit
PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)
# the draft's keywords that hold a schema, a list of schemas or schemas by name, and those that hold none
ONE = [
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
]
MANY = ["allOf", "anyOf", "oneOf", "prefixItems"]
NAMED = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"]
PLAIN = [
    "$schema",
    "$id",
    "$ref",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$vocabulary",
    "$comment",
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "format",
    "contentEncoding",
    "contentMediaType",
]


def refuse(uri: str) -> Any:
    """The answer to a $ref that leads out of its file: nothing is downloaded to judge an event."""
    raise ValueError(f"$ref {uri!r} leads out of the file: copy what it names into $defs and refer to '#/$defs/…'")


def validator(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """The compiled schema, formats included. Raises ValueError where it is no schema of the draft or refers to what is not in it."""
    return jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True, retriever=refuse, pattern_options=PATTERNS)


def said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose members are there once each: the second one would take the first one's place in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the members {sorted(n for n in found if names.count(n) > 1)} stand twice")
    return found


def unknown_keywords(schema: Any, place: str = "") -> Iterator[str]:
    """Keywords of a schema, and of those in it, that are none of the draft's, by their pointers: they would check nothing. A name that begins
    with x- is a remark."""
    if not isinstance(schema, dict):
        return
    known = {*ONE, *MANY, *NAMED, *PLAIN, *((COLUMNS,) if not place else ())}
    yield from (f"{place}/{key}" for key in schema if key not in known and not key.startswith("x-"))
    for key, held in schema.items():
        if key in ONE:
            yield from unknown_keywords(held, f"{place}/{key}")
        elif key in MANY or key in NAMED:
            for name, inner in held.items() if isinstance(held, dict) else enumerate(held):
                yield from unknown_keywords(inner, f"{place}/{key}/{name}")


def read_contract(path: Path) -> Mapping[str, Any]:
    """One contract file, checked. Raises SettingsError that names the file, what is wrong and what to do."""
    try:
        schema = json.loads(path.read_bytes(), object_pairs_hook=said_once)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); repair its rights, or remove the file to check nothing") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not valid JSON ({error}); repair it there, or remove the file to check nothing") from None
    if not isinstance(schema, dict):
        raise SettingsError(f'{path}: expected an object, got {type(schema).__name__}; the smallest contract is {{"type": "object"}}')
    if not EVENT_NAME.fullmatch(path.stem):
        raise SettingsError(f"{path}: a contract's file is named like its event, in snake_case: product_viewed.json")
    if str(schema.get("$schema", DRAFT)).rstrip("#") != DRAFT:
        raise SettingsError(f"{path}: $schema is {schema['$schema']!r}; contracts are written in {DRAFT}")
    try:
        validator(schema)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        place = "/".join(map(str, getattr(error, "instance_path", ())))
        said = getattr(error, "message", str(error)).splitlines()[0]
        raise SettingsError(
            f"{path}: no valid JSON Schema at /{place}: {said}; repair it there, or remove the file to check nothing"
        ) from None
    if unknown := list(unknown_keywords(schema)):
        raise SettingsError(
            f"{path}: {unknown} are no keywords of JSON Schema and check nothing; there are {sorted({*ONE, *MANY, *NAMED, *PLAIN})}, "
            f"{COLUMNS} at the top, and x-… for remarks"
        )
    columns, known = schema.get(COLUMNS, []), table("silver.events").column_names
    if not isinstance(columns, list) or not set(map(str, columns)) <= set(known):
        raise SettingsError(f"{path}: {COLUMNS} is {columns!r}; it is a list of columns of silver.events: {sorted(known)}")
    return schema


def read_contracts(folder: Path) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, str]]:
    """(event_name -> schema, event_name -> what is wrong with its file) of every *.json in the folder, sorted by name."""
    right, wrong = dict[str, Mapping[str, Any]](), dict[str, str]()
    for path in sorted(folder.glob("*.json")):
        try:
            right[path.stem] = read_contract(path)
        except SettingsError as error:
            # events' names are compared in small letters
            wrong[path.stem.lower()] = str(error)
    return right, wrong


@cache
def contracts() -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, str]]:
    """The installation's contracts by event name, and what is wrong with those that cannot be used."""
    return read_contracts(FOLDER)

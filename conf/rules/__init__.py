"""What the files of conf/rules may say: one JSON Schema each (schemas/<name>.yml), and below it what a schema cannot say.

A file that says anything else is never used: conf.settings.rules reads them all through `fault`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from string import Formatter
from typing import Any

import jsonschema_rs

from conf.expressions import not_of_the_row

Rules = Mapping[str, Any]
# how much of a wrong value a sentence quotes
LONGEST = 100
# where numbers are names
NUMBERED = {("decimals",)}
# Java's constructs that Python's `re` reads otherwise, and what stands for them where only the pattern's shape is judged
JAVA_ONLY = (
    (r"(?s)\\Q.*?\\E", "x"),
    (r"\\[pP]\{\^?[\w=]+\}|\\[xNu]\{[^}]*\}|\\k<\w+>|\\.|-", "x"),
    (r"\(\?<(?![=!])", "(?P<"),
    (r"\(\?<[=!]", "(?="),
    (r"\(\?[a-zA-Z]+\)", ""),
    (r"\(\?[a-zA-Z]+:", "(?:"),
)


def fault(name: str, values: Rules, schema: Rules, others: Callable[[str], Rules]) -> str | None:
    """What is wrong first with the values of conf/rules/<name>.yml: which key, what it is, what it must be; None where nothing is.

    schema: that of schemas/<name>.yml. others: the rules of another file by its name.
    """
    return next((said for check in (in_plain, in_schema, in_meaning, in_sql) if (said := check(name, values, schema, others))), None)


def quoted(value: Any) -> str:
    """A value as YAML would hold it, in one line and not too long."""
    said = repr(plain(value))
    return said if len(said) <= LONGEST else said[:LONGEST] + "…"


def plain(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """The frozen value as dicts and lists, its keys as texts and 30.0 as 30, which a JSON Schema takes for the same."""
    if isinstance(value, Mapping):
        is_numbered = path in NUMBERED
        return {str(k) if is_numbered and type(k) is int else k: plain(item, (*path, k)) for k, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, (*path, place)) for place, item in enumerate(value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def step(values: Any, part: Any) -> Any:
    """What stands at one part of a path; the validator takes a key of digits for a place in a list."""
    return values.get(part, values.get(str(part))) if isinstance(values, Mapping) else values[part]


def place_of(path: Iterable[Any], values: Any) -> str:
    """Where a path leads, for people: segments.buyers.when, sessions.event_types (item 2)."""
    said = ""
    for part in path:
        is_item, values = isinstance(values, list | tuple), step(values, part)
        named = next((values[key] for key in ("name", "number") if is_item and isinstance(values, Mapping) and key in values), None)
        said += f" (item {part + 1})" if is_item and named is None else f".{part if named is None else named}"
    return said.removeprefix(".")


def in_plain(_: str, values: Rules, schema: Rules, others: object) -> str | None:
    """Keys that are no texts, and values that are neither text, number nor flag."""

    def strange(value: Any, path: tuple[Any, ...]) -> Iterator[str]:
        if isinstance(value, Mapping):
            for key, item in value.items():
                if not isinstance(key, str) and not (path in NUMBERED and type(key) is int):
                    where = f"{place_of(path, values)}: " if path else ""
                    yield f"{where}the key {key!r} is no text; put it in quotes"
                yield from strange(item, (*path, key))
        elif isinstance(value, tuple):
            for place, item in enumerate(value):
                yield from strange(item, (*path, place))
        elif not isinstance(value, str | int | float | None):
            yield f"{place_of(path, values)} is {value!r}; it must be a text, a number, true or false: put it in quotes"
        elif isinstance(value, str) and not value.isascii() and value != value.encode(errors="replace").decode():
            yield f"{place_of(path, values)} has half of a character, as \\ud800; write the whole character"
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{place_of(path, values)} is {value!r}; it must be a finite number"

    return next(strange(values, ()), None)


def in_schema(_: str, values: Rules, schema: Rules, others: object) -> str | None:
    """What the schema refuses: unknown keys first, as a misspelt one is missing too."""
    asked, given = plain(schema), plain(values)
    errors = list(jsonschema_rs.Draft202012Validator(asked).iter_errors(given))
    errors.sort(key=lambda e: (e.kind.name != "additionalProperties", list(map(str, e.instance_path))))
    return told(errors[0], asked, given) if errors else None


def told(error: jsonschema_rs.ValidationError, schema: Any, values: Any) -> str:
    """One error of the validator as what is wrong where, and what is allowed."""
    *path, keyword = error.schema_path
    kind: Any = error.kind
    given: Any = error.instance
    where = place_of(error.instance_path, values)
    at = f"{where}: " if where else ""
    for part in path:
        schema = step(schema, part)
    if keyword == "additionalProperties":
        return f"{at}unknown keys {sorted(kind.unexpected)}; allowed are {sorted(schema['properties'])}"
    if keyword == "required":
        return f"{at}lacks the keys {[key for key in schema['required'] if key not in given]}; it needs {schema['required']}"
    if kind.name == "propertyNames":
        return f"{at}a key is {quoted(kind.error.instance)}; it must be {schema['description']}"
    return f"{where or 'the file'} is {quoted(given)}; it must be {schema.get('description', 'a mapping')}"


def twice(values: Iterable[Any]) -> list[Any]:
    """What is there more than once, in order."""
    return [value for value, times in Counter(values).items() if times > 1]


def is_pattern(text: str) -> bool:
    """Whether a regular expression of Java is one by its brackets and quantifiers; Java's own escapes count as a letter."""
    for java, python in JAVA_ONLY:
        text = re.sub(java, python, text)
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def no_patterns(patterns: Mapping[str, str]) -> Iterator[str]:
    """A sentence per regular expression, by its place, that is none."""
    return (f"{place} is {quoted(text)}; it must be a regular expression" for place, text in patterns.items() if not is_pattern(text))


def in_attribution(rules: Rules, others: Callable[[str], Rules]) -> Iterator[str]:
    for name, model in rules["models"].items():
        if model["kind"] == "position":
            shares = [model[key] for key in ("first", "middle", "last")]
            if abs(sum(shares) - 1) > 1e-9:
                yield f"models.{name} has the shares {shares}; first, middle and last must add up to 1"
            if shares[0] + shares[2] <= 0:
                yield f"models.{name} has the shares {shares}; first and last must add up to more than 0, a path of two has no middle"
    channels, touchpoints = others("channels"), others("journeys")["touchpoints"]["events"].values()
    known = {"Direct", channels["unassigned"], *(channels.get("other_channels") or ()), *(rule["channel"] for rule in channels["channels"])}
    known |= {*channels["event_types"].values(), *channels["networks"].values(), *(one["channel"] for one in touchpoints)}
    for key in ("direct_channels", "excluded_channels"):
        if unknown := sorted(set(rules[key]) - known):
            yield (
                f"{key} names the channels {unknown}; there are {sorted(known)}, "
                "and one that a source alone names belongs in other_channels of conf/rules/channels.yml"
            )


def in_channels(rules: Rules, _: object) -> Iterator[str]:
    if doubled := twice(rule["number"] for rule in rules["channels"]):
        yield f"channels: the numbers {doubled} are there twice; give each rule a number of its own"
    for rule in rules["channels"]:
        try:
            parts = [(name, kind or form) for _, name, form, kind in Formatter().parse(rule["when"]) if name is not None]
        except ValueError as error:
            yield f"channels.{rule['number']}.when is {quoted(rule['when'])} ({error}); a pattern stands in it as {{paid}}, a brace is written twice"
            continue
        if unknown := sorted({name for name, form in parts if form or name not in rules["patterns"]}):
            yield f"channels.{rule['number']}.when names the patterns {unknown}; there are {sorted(rules['patterns'])}"
    declared = {f"patterns.{name}": text for name, text in rules["patterns"].items()}
    for kind, listed in rules["kinds"].items():
        declared |= {
            f"kinds.{kind}.{key} (item {n})": text for key in ("labels", "patterns") for n, text in enumerate(listed.get(key, ()), 1)
        }
    yield from no_patterns(declared)


def in_currencies(rules: Rules, _: object) -> Iterator[str]:
    if doubled := twice(one for listed in rules["decimals"].values() for one in listed):
        yield f"decimals: {doubled} are there twice; a currency has one number of decimals"


def in_identity(rules: Rules, _: object) -> Iterator[str]:
    for name, rule in rules["namespaces"].items():
        patterns = rule.get("block", {}).get("patterns", ())
        yield from no_patterns({f"namespaces.{name}.block.patterns (item {n})": text for n, text in enumerate(patterns, 1)})


def in_journeys(rules: Rules, others: Callable[[str], Rules]) -> Iterator[str]:
    sessions, namespaces = rules["sessions"], others("identity")["namespaces"]
    if unknown := sorted(set(sessions["client_namespaces"]) - set(namespaces)):
        yield f"sessions.client_namespaces names {unknown}; conf/rules/identity.yml has {sorted(namespaces)}"
    if unknown := sorted(set(sessions["view_types"]) - set(sessions["event_types"])):
        yield f"sessions.view_types names {unknown}; sessions.event_types has {sorted(sessions['event_types'])}"


def in_segments(rules: Rules, _: object) -> Iterator[str]:
    active, at_risk = (rules["lifecycle"][key] for key in ("active_days", "at_risk_days"))
    if active > at_risk:
        yield f"lifecycle: active_days is {active} and at_risk_days {at_risk}; the first must not be more than the second"
    if doubled := twice(one["name"] for one in rules["segments"]):
        yield f"segments: the names {doubled} are there twice; give each segment a name of its own"


MEANINGS: Mapping[str, Callable[[Rules, Callable[[str], Rules]], Iterator[str]]] = {
    "attribution": in_attribution,
    "channels": in_channels,
    "currencies": in_currencies,
    "identity": in_identity,
    "journeys": in_journeys,
    "segments": in_segments,
}


def in_meaning(name: str, values: Rules, schema: object, others: Callable[[str], Rules]) -> str | None:
    """What a JSON Schema cannot say: sums, order, names that are there once or stand in another file, regular expressions."""
    return next(MEANINGS[name](values, others), None)


def in_sql(name: str, values: Rules, schema: object, others: object) -> str | None:
    """SQL that asks for more than a row's columns."""
    return next((f"{where} {said}" for where, sql in expressions(name, values).items() if (said := not_of_the_row(sql))), None)


def with_patterns(rules: Rules, condition: str) -> str:
    """The condition of a channel's rule with its {patterns} as SQL."""
    words = {name: "r'" + pattern.replace("'", "\\'") + "'" for name, pattern in rules["patterns"].items()}
    return condition.format(**words)


def expressions(name: str, rules: Rules) -> dict[str, str]:
    """The SQL that conf/rules/<name>.yml holds, by its place in the file."""
    match name:
        case "channels":
            return {f"channels.{rule['number']}.when": with_patterns(rules, rule["when"]) for rule in rules["channels"]}
        case "identity":
            spaces = rules["namespaces"]
            return {f"namespaces.{space}.normalise": rule["normalise"] for space, rule in spaces.items() if "normalise" in rule}
        case "journeys":
            return {
                f"{part}.events.{event}.{key}": rule[key]
                for part, key in (("touchpoints", "unless"), ("conversions", "when"))
                for event, rule in rules[part]["events"].items()
                if isinstance(rule, Mapping) and key in rule
            }
        case "segments":
            return {f"rfm.rules.{one['name']}.when": one["when"] for one in rules["rfm"]["rules"]} | {
                f"segments.{one['name']}.when": one["when"] for one in rules["segments"]
            }
    return {}

"""What names a person leaves addresses, texts and JSON before they reach silver.

Three rules: a parameter or JSON member of a declared name (conf/rules/channels.yml `scrubbed`) loses its value, whatever it is; e-mail
addresses and phone numbers give way to [email] and [phone] wherever they stand, escaped or not (conf/personal.py); an id that holds one
gives way to a keyed hash of it, the same in every table. User and password before an address's host go too.
Every string column of a mapped table is scrubbed as its contract says (`holds`), as free text where it says nothing: a new column is safe.
Everything else stays as received, byte for byte: JSON is not parsed and written again, which would make 1.10 of 1.1.
Python, because a nested value has no end that a pattern could find, for the few texts alone that a pattern in Arrow lets through.
Known limits: the member of a form that says {"name": "phone", "value": …} is not known by its name. A handle like @ann@social.example is
written as an address is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, reduce
from operator import or_
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, functions as F

from conf.personal import AT, DEEPEST, EMAIL, NUMBER_GUARD, PHONE, escaped, is_named, masked_text, unescaped
from conf.settings import rules as rules_of
from conf.tables import Table
from spark_jobs.functions.identifiers import identifier_key

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# names that a sender makes up are not remembered for ever
MOST_NAMES = 10_000

DELIMITER = rf"(?:[?&#;]|{escaped('3F|26|23|3B')})"
EQUALS = rf"(?:=|{escaped('3D')})"
# a whole text that is one query begins with a name; a name there has no : or /, which would make a parameter of an address's beginning
PARAMETER = re.compile(
    rf"(?:{DELIMITER}|^(?=[^/:?&#;=\s]*=))((?:(?!{escaped('3F|26|23|3B|3D')})[^?&#;=\s\"'<>])*+)({EQUALS})", re.IGNORECASE
)
# where a value ends; a ; ends it before another name only
BEFORE_A_NAME = r"(?=[^?&#;=/\s]*+=)"
VALUE_ENDS = {
    (is_address, in_path): re.compile(
        rf"[&#]|;{BEFORE_A_NAME}" + ("" if is_address else r"|[\s\"'<>]") + ("|[/?;]" if in_path else ""), re.IGNORECASE
    )
    for is_address in (True, False)
    for in_path in (True, False)
}
ESCAPED_ENDS = [re.compile(rf"[&#;\s\"'<>]|%(?:25){{0,{depth}}}(?:26|23|3B)", re.IGNORECASE) for depth in range(DEEPEST + 1)]
CUT = "\x00"
CUT_AND_NEXT = re.compile(rf"{CUT}(?:[&;]|{escaped('26|3B')})", re.IGNORECASE)
BEFORE_AND_CUT = re.compile(rf"{DELIMITER}?{CUT}", re.IGNORECASE)

SLASH = rf"(?:/|{escaped('2F')})"
CREDENTIALS = re.compile(rf"((?:^\s*|:|{escaped('3A')}){SLASH}{{2}})(?:(?!{escaped('2F|3F|23')})[^/?#\s\"'<>\\])*{AT}", re.IGNORECASE)
IS_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?/", re.IGNORECASE)
IN_STRING = r'[^"\\]*+(?:\\.[^"\\]*+)*+'
# a string that never ends is one to the end: tried again from each quote in it, it would take time by the square of its length
NO_END = r"\\?\Z"
MEMBER = re.compile(rf'"({IN_STRING})(?:"(\s*+:\s*+)?|{NO_END})', re.DOTALL)
BRACKET = re.compile(rf'"{IN_STRING}(?:"|{NO_END})|([\[{{])|([\]}}])', re.DOTALL)
SCALAR = re.compile(rf'"{IN_STRING}(?:"|{NO_END})|[^\s,\]}}"\[{{]++', re.DOTALL)


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case and singular: userEmails, user_email and user[email] are (user, email)."""
    return tuple(word.lower().removesuffix("s") for word in WORD.findall(name))


def together(name: str) -> str:
    """The words of a name written together: accesstoken."""
    return "".join(WORD.findall(name)).lower().removesuffix("s")


class Scrubber:
    """The declared names, compiled.

    names: what is emptied. about: last words of names that tell something about it instead. flags: values that are kept.
    """

    def __init__(self, names: Iterable[str], about: Iterable[str], flags: Iterable[str]) -> None:
        self.forms = {form for name in names for form in (words_of(name), (together(name),))}
        self.longest = max(map(len, self.forms))
        self.about = {words_of(word)[-1] for word in about}
        self.flags = {flag.lower() for flag in flags} | {""}
        self.known: dict[str, bool] = {}

    def is_personal(self, name: str) -> bool:
        """Whether words of the name are a declared one, and the last is none of those about it."""
        if name not in self.known:
            if len(self.known) >= MOST_NAMES:
                self.known.clear()
            plain = unescaped(name)
            # tOKEN is token, whatever its capitals divide
            self.known[name] = self.names_a_person(words_of(plain)) or self.names_a_person(words_of(plain.lower()))
        return self.known[name]

    def names_a_person(self, words: tuple[str, ...]) -> bool:
        runs = {words[i : i + n] for n in range(1, self.longest + 1) for i in range(len(words))}
        return not self.forms.isdisjoint(runs) and words[-1] not in self.about

    def is_flag(self, value: str) -> bool:
        """Whether a value can name nobody: true, no, 0."""
        return len(value) < 16 and value.lower() in self.flags

    def without_parameters(self, text: str, is_address: bool) -> str:
        """The text without the parameters of personal names, be they in a query, a fragment, a path, or in an address in one of these."""
        parts, done, position = [], 0, 0
        query = min((place for mark in "?#" if (place := text.find(mark)) >= 0), default=len(text))
        while found := PARAMETER.search(text, position):
            position = found.end()
            name, equals = found.groups()
            if not self.is_personal(name):
                continue
            in_path = position <= query and text[found.start()] == ";"
            ends = VALUE_ENDS[is_address, in_path] if equals == "=" else ESCAPED_ENDS[equals.count("25")]
            end = ends.search(text, position)
            stop = end.start() if end else len(text)
            if self.is_flag(text[position:stop]):
                continue
            parts += [text[done : found.start(1)], CUT]
            done = position = stop
        if not parts:
            return text
        return BEFORE_AND_CUT.sub("", CUT_AND_NEXT.sub("", "".join([*parts, text[done:]])))

    def text(self, text: str, is_address: bool = False) -> str:
        """A text, in which addresses may stand. is_address: it is one as a whole, and a blank does not end it."""
        if "//" in text or "%2" in text:
            text = CREDENTIALS.sub(r"\1", text)
        if "=" in text or "%" in text:
            text = self.without_parameters(text, is_address or IS_ADDRESS.match(text) is not None)
        return masked_text(text)

    def url(self, text: str) -> str:
        return self.text(text, is_address=True)

    def id(self, text: str) -> str:
        """Nothing of an id that names a person; another one as it is."""
        return "" if is_named(text) else text

    def string(self, raw: str) -> str:
        """The inside of a JSON string, which may hold JSON itself."""
        held = read_string(raw)
        clean = self.json(held) if held.lstrip()[:1] in ("{", "[") and '"' in held else self.text(held)
        # a sender that escapes goes on to: what is no character, half of a pair, can be written in no other way
        return raw if clean == held else json.dumps(clean, ensure_ascii="\\u" in raw)[1:-1]

    def json(self, text: str) -> str:
        """A JSON text; one that is none is taken for text too."""
        parts, done, position = [], 0, 0
        while found := MEMBER.search(text, position):
            position = found.end()
            raw, colon = found.groups()
            clean = self.string(raw)
            if clean != raw:
                parts += [text[done : found.start(1)], clean]
                done = found.end(1)
            if colon is None or not self.is_personal(read_string(raw)):
                continue
            end = end_of_value(text, position)
            value = text[position:end]
            if not self.is_flag(value.strip('"')):
                parts += [text[done : found.start(2)], ":null"]
                done = position = end
        text = "".join([*parts, text[done:]]) if parts else text
        return text if is_json(text) else self.text(text)


def read_string(raw: str) -> str:
    """What the inside of a JSON string says; itself where its escapes are none."""
    try:
        return json.loads(f'"{raw}"', strict=False) if "\\" in raw else raw
    except ValueError:
        return raw


def is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def end_of_value(text: str, start: int) -> int:
    """Where the JSON value that begins here ends; the text's end where it never does."""
    if text[start : start + 1] in ("{", "["):
        depth = 0
        for found in BRACKET.finditer(text, start):
            depth += (found[1] is not None) - (found[2] is not None)
            if depth == 0:
                return found.end()
        return len(text)
    found = SCALAR.match(text, start)
    return found.end() if found else len(text)


@lru_cache(maxsize=8)
def scrubber(names: tuple[str, ...], about: tuple[str, ...], flags: tuple[str, ...]) -> Scrubber:
    """The compiled rules: once per worker process."""
    return Scrubber(names, about, flags)


def declared_in(rules: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(str, rules[key])) for key in ("scrubbed", "scrubbed_not", "scrubbed_values_kept"))


def guard(names: Iterable[str]) -> str:
    """A pattern that every text fits in which there may be something to scrub, and few others."""
    declared = {name: words_of(name) for name in names}
    alone = {words[0] for words in declared.values() if len(words) == 1}
    forms = {together(name) for name in declared} | {
        max(WORD.findall(name), key=len).lower() for name, words in declared.items() if alone.isdisjoint(words)
    }
    words = sorted(form for form in forms if not any(form != other and form.startswith(other) for other in forms))
    # as words_of divides names: a word begins after what is no letter, or with a capital
    begun = f"(?:^|[^A-Za-z])(?i:{'|'.join(words)})|[A-Za-z](?:{'|'.join(f'{word[0].upper()}(?i:{word[1:]})' for word in words)})"
    return rf'[@\x{{ff20}}\x{{fe6b}}]|%(?:40|25|3[Dd]|[Ee][Ff])|&#|&commat;|\\u00|[?&#;][^=&?#;"]*%|(?:{begun})(?:[^=&?#;"]*=|[^"]*"\s*:)|{NUMBER_GUARD}'


def cleaned_values(values: pa.Array, kinds: list[str], pattern: str, declared: tuple[tuple[str, ...], ...]) -> list[tuple[int, str]]:
    """(place, clean value) of what the scrubber changes of the values. kinds: of the values, over and over in turn."""
    # Arrow's own patterns take linear time, and a tenth of Java's
    places = np.flatnonzero(pc.fill_null(pc.match_substring_regex(values, pattern), False).to_numpy(zero_copy_only=False))
    scrub, known = scrubber(*declared), len(kinds)
    scrubbed: list[Callable[[str], str]] = [getattr(scrub, kind) for kind in kinds]
    found = zip(places.tolist(), values.take(pa.array(places)).to_pylist())
    return [(place, clean) for place, text in found if (clean := scrubbed[place % known](text)) != text]


def cleaned_lists(rows: pa.Array, kinds: list[str], pattern: str, declared: tuple[tuple[str, ...], ...]) -> pa.Array:
    """Per list of one value of each kind the values that the scrubber changes, null for the others; null where it changes none.

    rows: list<string>, none of them null.
    """
    width = len(kinds)
    changed = cleaned_values(rows.flatten(), kinds, pattern, declared)
    if not changed:
        return pa.nulls(len(rows), pa.list_(pa.string()))
    # lists of changed rows alone, one after another
    touched = sorted({place // width for place, _ in changed})
    position = {row: number for number, row in enumerate(touched)}
    clean: list[str | None] = [None] * (len(touched) * width)
    for place, text in changed:
        clean[position[place // width] * width + place % width] = text
    is_changed = np.zeros(len(rows), dtype=bool)
    is_changed[touched] = True
    offsets = np.concatenate([[0], np.cumsum(is_changed * width)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(clean, pa.string()), mask=pa.array(~is_changed))


# what every text fits in which an address or a number may stand, in Java's dialect
MARKS = (r"[@%&\\\uff20\ufe6b]", r"[0-9](?:[^0-9A-Za-z]{0,3}[0-9]){6}")
# the columns that are masked of a row, for the count of them
MASKED = "_masked"


def kinds_of(contract: Table) -> dict[str, str]:
    """How each text column of a mapped table is scrubbed: text, url, json, id, or map for one whose keys a sender writes."""
    own = [c for c in contract.columns if not c.name.startswith("_")]
    texts = {c.name: c.holds or "text" for c in own if c.type.lower() == "string"}
    return texts | {c.name: "map" for c in own if c.type.lower().startswith("map<string")}


def has_marks(text: Column) -> Column:
    """Whether an address or a phone number may stand in a text."""
    return F.coalesce(reduce(or_, map(text.rlike, MARKS)), F.lit(False))


def with_scrubbed(rows: DataFrame, contract: Table, pads: DataFrame) -> DataFrame:
    """The mapped rows with every text column scrubbed by conf/rules/channels.yml as the contract says it, `_reason` too, and `_masked`: the
    columns in which an address, a phone number or a named id gave way, null where there is none.

    pads: one row with _inner_pad and _outer_pad, the key of the hashes. An entry of a map is left out where its key may name a person.
    """
    kinds = {name: kind for name, kind in {**kinds_of(contract), "_reason": "text"}.items() if name in rows.columns}
    maps = [name for name, kind in kinds.items() if kind == "map"]
    texts = [name for name, kind in kinds.items() if kind != "map"]
    declared = declared_in(rules_of("channels"))
    pattern, in_turn = guard(declared[0]), [kinds[name] for name in texts]

    @F.arrow_udf("array<string>")
    def clean(values: pa.Array) -> pa.Array:
        return cleaned_lists(values, in_turn, pattern, declared)

    # every text crosses to Arrow: its pattern costs less there than one of Java's that spares it the way
    found = rows.withColumn("_clean", clean(F.array(*texts))).crossJoin(F.broadcast(pads))
    columns, masked = {}, []
    for place, name in enumerate(texts):
        said, own = F.get("_clean", F.lit(place)), F.col(name)
        if kinds[name] == "id":
            columns[name] = F.when(said.isNotNull(), hashed(own)).otherwise(own)
            masked.append(F.when(said.isNotNull(), name))
        else:
            columns[name] = F.coalesce(said, own)
            masked.append(F.when(placeholders(said) > placeholders(own), name))
    in_texts = F.when(F.col("_clean").isNotNull(), F.array_compact(F.array(*masked)))
    nothing, in_maps = F.array().cast("array<string>"), []
    for name in maps:
        is_asked = has_marks(F.concat_ws("x", F.map_keys(name)))
        columns[name] = F.when(is_asked, F.map_filter(name, lambda key, _: ~has_marks(key))).otherwise(F.col(name))
        in_maps.append(F.when(is_asked, F.array(F.lit(name))))
    both = F.concat(*(F.coalesce(part, nothing) for part in (in_texts, *in_maps))) if maps else in_texts
    found = found.withColumn(MASKED, F.when(F.size(both) > 0, both)).withColumns(columns)
    return found.drop("_clean", "_inner_pad", "_outer_pad")


def hashed(identifier: Column) -> Column:
    """A name for an id that nobody can guess and that is the same everywhere; the row must carry the pads."""
    return F.concat(F.lit("hashed:"), identifier_key(F.lit("masked"), identifier))


def placeholders(text: Column) -> Column:
    """How many addresses and phone numbers gave way in a text."""
    return F.regexp_count(text, F.lit(rf"\[(?:{EMAIL[1:-1]}|{PHONE[1:-1]})\]"))


def masked_counts(rows: DataFrame) -> dict[str, int]:
    """Per column in how many rows something gave way. rows: with `_masked`."""
    counted = rows.select(F.explode(MASKED).alias("name")).groupBy("name").count().collect()
    return {row["name"]: row["count"] for row in sorted(counted)}


def masked_path(path: Column) -> Column:
    """A JSON pointer without addresses and phone numbers in it."""

    @F.arrow_udf("string")
    def clean(values: pa.Array) -> pa.Array:
        return pa.array([None if text is None else masked_text(text) for text in values.to_pylist()], pa.string())

    return F.coalesce(clean(F.when(has_marks(path), path)), path)

"""What names a person leaves addresses, texts and JSON before they reach silver.

Two rules: a parameter or JSON member of a declared name (conf/rules/channels.yml `scrubbed`) loses its value, whatever it is; an e-mail
address gives way to [email] wherever it stands, escaped or not. User and password before an address's host go too.
Everything else stays as received, byte for byte: JSON is not parsed and written again, which would make 1.10 of 1.1.
Python, because a nested value has no end that a pattern could find, for the few rows alone that a pattern in Spark lets through.
Known limits: phone numbers are known by a declared name only, because most numbers are something else; so is the member of a form that
says {"name": "phone", "value": …}. A handle like @ann@social.example is written as an address is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, functions as F

from conf.settings import rules as rules_of

PLACEHOLDER = "[email]"
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# how often a text may be escaped, one escape in another
DEEPEST = 9
# names that a sender makes up are not remembered for ever
MOST_NAMES = 10_000


def escaped(codes: str) -> str:
    """A pattern of percent escapes of the codes, themselves escaped or not: %40, %2540, %252540."""
    return rf"%(?:25){{0,{DEEPEST}}}(?:{codes})"


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

AT = rf"(?:@|{escaped('40')})"
DOT = rf"(?:\.|{escaped('2E')})"
LETTER = rf"(?:[^\W\d_]|{escaped('4[1-9A-F]|5[0-9A]|6[1-9A-F]|7[0-9A]|[89A-F][0-9A-F]')})"
OF_A_LABEL = rf"(?:[\w-]|{escaped('2D|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9A]|[89A-F][0-9A-F]')})"
OF_A_MAILBOX = rf"(?:[\w.+'!$*^|~-]|{escaped('2[147ABDE]|3[0-9]|4[1-9A-F]|5[0-9AEF]|6[0-9A-F]|7[0-9ACE]|[89A-F][0-9A-F]')})"
# logo@2x.png is a picture for fine screens, and no top-level domain is called like a kind of file
FILE = "png|jpe?g|gif|webp|svg|avif|bmp|ico|css|m?js|json|html?|php|pdf|tgz|whl|jar|xml|txt"
ADDRESS = re.compile(
    # bounded, so that a long text without an @ takes time by its length and not by its square
    rf"(?!['!$*^|~.-]){OF_A_MAILBOX}{{1,64}}+{AT}(?:{OF_A_LABEL}{{1,63}}+{DOT}){{1,9}}(?!(?:{FILE})(?![\w-]))(?:xn--[\w-]++|{LETTER}{{2,63}}+)"
    # any other escape is passed as a whole: its digits are no part of a mailbox
    rf"|(%(?:25){{0,{DEEPEST}}}[0-9A-F]{{2}})",
    re.IGNORECASE,
)
SLASH = rf"(?:/|{escaped('2F')})"
CREDENTIALS = re.compile(rf"((?:^\s*|:|{escaped('3A')}){SLASH}{{2}})(?:(?!{escaped('2F|3F|23')})[^/?#\s\"'<>\\])*{AT}", re.IGNORECASE)
IS_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?/", re.IGNORECASE)
IN_STRING = r'[^"\\]*+(?:\\.[^"\\]*+)*+'
# a string that never ends is one to the end: tried again from each quote in it, it would take time by the square of its length
NO_END = r"\\?\Z"
MEMBER = re.compile(rf'"({IN_STRING})(?:"(\s*+:\s*+)?|{NO_END})', re.DOTALL)
BRACKET = re.compile(rf'"{IN_STRING}(?:"|{NO_END})|([\[{{])|([\]}}])', re.DOTALL)
SCALAR = re.compile(rf'"{IN_STRING}(?:"|{NO_END})|[^\s,\]}}"\[{{]++', re.DOTALL)


def unescaped(text: str) -> str:
    """The text without percent escapes, however often it was escaped."""
    for _ in range(DEEPEST + 1):
        if "%" not in text or (plain := unquote(text)) == text:
            break
        text = plain
    return text


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case and singular: userEmails, user_email and user[email] are (user, email)."""
    return tuple(word.lower().removesuffix("s") for word in WORD.findall(name))


def together(name: str) -> str:
    """The words of a name written together: accesstoken."""
    return "".join(WORD.findall(name)).lower().removesuffix("s")


def without_addresses(text: str) -> str:
    """The text with [email] for every e-mail address in it."""
    return ADDRESS.sub(lambda found: found[1] or PLACEHOLDER, text) if "@" in text or "40" in text else text


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
        return without_addresses(text)

    def url(self, text: str) -> str:
        return self.text(text, is_address=True)

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
    return rf'@|%(?:40|25|3[Dd])|\\u00|[?&#;][^=&?#;"]*%|(?:{begun})(?:[^=&?#;"]*=|[^"]*"\s*:)'


def _cleaned(text: Column, rules: Mapping[str, Any], kind: str, is_asked: Column) -> Column:
    """The column after Scrubber's method of that name, where is_asked."""
    declared = declared_in(rules)
    pattern = guard(declared[0])

    @F.arrow_udf("string")
    def clean(values: pa.Array) -> pa.Array:
        return cleaned_values(values, pattern, declared, kind)

    # what needs no scrubbing crosses to Python as a null, and back
    return F.coalesce(clean(F.when(is_asked, text)), text)


def cleaned_values(values: pa.Array, pattern: str, declared: tuple[tuple[str, ...], ...], kind: str) -> pa.Array:
    """What the scrubber changes of the values; null for the others."""
    if values.null_count == len(values):
        return values
    # Arrow's own patterns take linear time, and a tenth of Java's
    suspect = pc.match_substring_regex(values, pattern)
    asked = values.filter(suspect)
    if len(asked) == 0:
        return pa.nulls(len(values), values.type)
    scrub: Callable[[str], str] = getattr(scrubber(*declared), kind)
    clean = pa.array(map(scrub, asked.to_pylist()), values.type)
    return pc.replace_with_mask(pa.nulls(len(values), values.type), pc.fill_null(suspect, False), clean)


def has_marks(text: Column) -> Column:
    """Whether there is a character in a text without which there is nothing to scrub."""
    return text.contains("@") | text.contains("%") | text.contains("=")


def scrubbed_url(url: Column, rules: Mapping[str, Any]) -> Column:
    """The address without the parameters that name a person, without credentials, and with [email] for every e-mail address."""
    return _cleaned(url, rules, "url", has_marks(url))


def scrubbed_text(text: Column, rules: Mapping[str, Any]) -> Column:
    """The text with [email] for every e-mail address, and addresses in it scrubbed."""
    return _cleaned(text, rules, "text", has_marks(text))


def scrubbed_json(text: Column, rules: Mapping[str, Any]) -> Column:
    """The JSON text with null for the values of personal names, at any depth, and its strings scrubbed; the rest exactly as received."""
    return _cleaned(text, rules, "json", text.isNotNull())


def with_scrubbed(rows: DataFrame, texts: Iterable[str] = (), jsons: Iterable[str] = ()) -> DataFrame:
    """The rows with these columns scrubbed by conf/rules/channels.yml."""
    said = rules_of("channels")
    return rows.withColumns(
        {name: scrubbed_text(F.col(name), said) for name in texts} | {name: scrubbed_json(F.col(name), said) for name in jsons}
    )

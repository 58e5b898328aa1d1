"""From one page to the next: what a vendor's answer says of the next call, by the kind of pagination that a stream declares.

A short or an empty page may have a next one where the vendor gives a cursor; where it counts, only an empty page is the last, since a vendor
may cut pages shorter than asked. A call that was made already means that the vendor leads in a circle: it ends the stream, never silently.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import urljoin

import msgspec
import requests

from connectors.kernel.errors import BrokenContractError, StreamDeclarationError, TooMuchDataError
from connectors.kernel.http import Answer, Call, Client

# A stream of more pages is one that does not end
MOST_PAGES = 1_000_000
Path = tuple[str, ...]
BLANKS = re.compile(r"[ \t\n\r]*")
ANY_TEXT = json.JSONDecoder(strict=False)
# the call, its answer, and how many records came: the next call, None after the last page
Next = Callable[[Call, Answer, int], Call | None]


@dataclass(frozen=True)
class Page:
    """One page: the answer, and its records as the vendor wrote them, byte by byte."""

    number: int
    answer: Answer
    records: tuple[bytes, ...]


def by_offset(call: Call, answer: Answer, count: int, *, name: str = "offset") -> Call | None:
    """The next call counts on from what came."""
    return with_params(call, {name: int(call.params.get(name, 0)) + count}) if count else None


def by_page(call: Call, answer: Answer, count: int, *, name: str = "page", first: int = 1, last: Path = ()) -> Call | None:
    """The next call has the next number; last: where the answer says the last one, if it does."""
    number = int(call.params.get(name, first))
    end = answer.at(last) if last else None
    is_over = number >= end if isinstance(end, int) else not count
    return None if is_over else with_params(call, {name: number + 1})


def by_cursor(call: Call, answer: Answer, count: int, *, path: Path, name: str, in_body: bool = False, more: Path = ()) -> Call | None:
    """The next call says the cursor that stands at `path` of the answer. more: what stands only in an answer after which there is another one."""
    cursor = answer.at(path)
    if cursor is None or cursor is False or cursor == "" or (more and answer.at(more) is None):
        return None
    if in_body:
        return dataclasses.replace(call, body={**(call.body or {}), name: cursor})
    return with_params(call, {name: cursor})


def by_header(call: Call, answer: Answer, count: int, *, header: str, name: str, end: str = "null") -> Call | None:
    """The next call says the cursor that stands in a header; `end` is what the last page's says."""
    cursor = answer.headers.get(header)
    return with_params(call, {name: cursor}) if cursor and cursor != end else None


def by_url(call: Call, answer: Answer, count: int, *, path: Path) -> Call | None:
    """The next call is the URL at `path` of the answer, with all that it asks for."""
    url = answer.at(path)
    return dataclasses.replace(call, path=url, params={}) if isinstance(url, str) and url else None


def by_link(call: Call, answer: Answer, count: int) -> Call | None:
    """The next call is the Link header's URL of the relation next (RFC 8288)."""
    links = requests.utils.parse_header_links(answer.headers.get("Link", "")) if answer.headers.get("Link") else []
    url = next((link["url"] for link in links if link.get("rel") == "next"), None)
    # relative to what was asked
    return dataclasses.replace(call, path=urljoin(answer.url, url), params={}) if url else None


# by the name in a stream's declaration: the pagination, the keys it needs and those it may have
KINDS: Mapping[str, tuple[Callable[..., Call | None], frozenset[str], frozenset[str]]] = {
    "offset": (by_offset, frozenset(), frozenset({"name"})),
    "page": (by_page, frozenset(), frozenset({"name", "first", "last"})),
    "cursor": (by_cursor, frozenset({"path", "name"}), frozenset({"in_body", "more"})),
    "header": (by_header, frozenset({"header", "name"}), frozenset({"end"})),
    "url": (by_url, frozenset({"path"}), frozenset()),
    "link": (by_link, frozenset(), frozenset()),
}
TYPES: Mapping[str, type] = {"name": str, "header": str, "end": str, "first": int, "in_body": bool}


def paginator_of(declared: Mapping[str, Any], where: str) -> Next:
    """The pagination that a stream declares: {kind: cursor, path: [paging, next, after], name: after}.

    where: file and key of the declaration. Raises StreamDeclarationError naming what is allowed.
    """
    kind, keys = declared.get("kind"), set(declared) - {"kind"}
    if not isinstance(kind, str) or kind not in KINDS:
        raise StreamDeclarationError(f"{where}: kind is {kind!r}; allowed are {list(KINDS)}")
    turn, needed, allowed = KINDS[kind]
    if needed - keys or keys - needed - allowed:
        raise StreamDeclarationError(
            f"{where}: kind {kind} has the keys {sorted(keys)}; needed are {sorted(needed)}, allowed {sorted(allowed)}"
        )
    values = {key: value for key, value in declared.items() if key != "kind"}
    for key in values.keys() & {"path", "more", "last"}:
        values[key] = path_of(values[key], f"{where}: {key}")
    for key, value in values.items():
        if key in TYPES and type(value) is not TYPES[key]:
            raise StreamDeclarationError(f"{where}: {key} is {value!r}; it must be of type {TYPES[key].__name__}")
    return partial(turn, **values)


def path_of(value: object, where: str) -> Path:
    """A place in a JSON body, as a list of keys. Raises StreamDeclarationError."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise StreamDeclarationError(f"{where} is {value!r}; give a list of keys, as [data, items]")
    return tuple(value)


def pages(client: Client, call: Call, turn: Next, path: Path, most: int = MOST_PAGES, size: str = "") -> Iterator[Page]:
    """The pages of a stream, from the first call on; path: where its records stand in an answer; size: the param that says how many a page has,
    of which half as many are asked for, from there on, where the vendor says that it was too much.

    Raises BrokenContractError where a call or a page comes back, the pages do not end or the records stand elsewhere.
    """
    made: set[bytes] = set()
    following: Call | None = call
    number = 0
    before: tuple[bytes, ...] = ()
    while following is not None:
        if (mark := _mark(following)) in made or len(made) >= most:
            raise BrokenContractError(
                f"{call.method} {client.base_url}: page {number} leads back to a page that was read, or there are more than {most}; nothing of this slice "
                "was landed: try again, then tell the vendor"
            )
        made.add(mark)
        try:
            answer = client.ask(following)
        except TooMuchDataError:
            most_records = int(following.params.get(size, 1))
            if most_records == 1:
                raise
            following = with_params(following, {size: most_records // 2})
            continue
        records = records_at(answer, path)
        # where pages are counted, no call tells that one came again
        if records and records == before:
            raise BrokenContractError(
                f"{call.method} {client.base_url}: page {number + 1} is the one before once more; nothing of this slice was landed: try again, then "
                "tell the vendor"
            )
        before = records
        number += 1
        yield Page(number, answer, records)
        following = turn(following, answer, len(records))


def records_at(answer: Answer, path: Sequence[str]) -> tuple[bytes, ...]:
    """The members of the list at `path`, each as the vendor's own bytes: a parser would make other numbers of long ones.

    Raises BrokenContractError where there is no list.
    """
    for members in (_members, _members_of_any_text):
        try:
            return members(answer.content, path)
        except (msgspec.ValidationError, KeyError):
            # it can be read, and stands there in another shape
            break
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, IndexError):
            continue
    raise BrokenContractError(
        f"{answer.title}: has no list at {'.'.join(path) or 'its top'}; nothing of this slice was landed: look at the stream's declaration"
    )


def members_of(answer: Answer, path: Sequence[str]) -> tuple[bytes, ...]:
    """The members of a list that an answer may have; none where it has not."""
    try:
        return records_at(answer, path)
    except BrokenContractError:
        return ()


def _members(content: bytes, path: Sequence[str]) -> tuple[bytes, ...]:
    raw: Any = msgspec.Raw(content)
    for key in path:
        raw = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[key]
    return tuple(bytes(one) for one in msgspec.json.decode(raw, type=list[msgspec.Raw]))


def _members_of_any_text(content: bytes, path: Sequence[str]) -> tuple[bytes, ...]:
    """The same where the text is no UTF-8, or has surrogates that stand alone: every byte is a letter, and none of them a sign of JSON."""
    text, place = content.decode("latin-1"), 0
    for key in path:
        place, _ = dict(_pairs(text, place))[key.encode().decode("latin-1")]
    return tuple(content[begin:stop] for begin, stop in _items(text, place))


def _pairs(text: str, place: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """The keys of the object that begins at a place, each with where its value begins and ends. Raises ValueError, IndexError."""
    place = _begun(text, place, "{}")
    while place:
        key, place = ANY_TEXT.raw_decode(text, place)
        begin = _begun(text, place, ":")
        _, end = ANY_TEXT.raw_decode(text, begin)
        yield key, (begin, end)
        place = _next(text, end, "}")


def _items(text: str, place: int) -> Iterator[tuple[int, int]]:
    """Where each member of the list that begins at a place begins and ends. Raises ValueError, IndexError."""
    place = _begun(text, place, "[]")
    while place:
        _, end = ANY_TEXT.raw_decode(text, place)
        yield place, end
        place = _next(text, end, "]")


def _begun(text: str, place: int, signs: str) -> int:
    """Where the first member is, after a sign; 0 where the other sign says that there is none."""
    place = _after_blanks(text, place)
    if text[place] != signs[0]:
        raise ValueError
    place = _after_blanks(text, place + 1)
    return 0 if text[place] == signs[1:] else place


def _next(text: str, place: int, last: str) -> int:
    """Where the next member is, after a comma; 0 after the last one."""
    place = _after_blanks(text, place)
    if text[place] not in f",{last}":
        raise ValueError
    return 0 if text[place] == last else _after_blanks(text, place + 1)


def _after_blanks(text: str, place: int) -> int:
    return cast(re.Match[str], BLANKS.match(text, place)).end()


def with_params(call: Call, params: Mapping[str, Any]) -> Call:
    """The call with some of its query's values set anew."""
    return dataclasses.replace(call, params={**call.params, **params})


def _mark(call: Call) -> bytes:
    return hashlib.sha256(json.dumps(dataclasses.astuple(call), sort_keys=True, default=dict).encode()).digest()

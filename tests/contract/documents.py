"""Exchanges held against the vendors' own OpenAPI documents, which stand beside the repository; a clone without them has none to hold against.

overlays/<source>.yml:
    documents: a pattern of file names
    changes: each with its reason; `at` is a path of keys, where * is any and a mapping the members of a list that have its values; `merge` adds keys,
        `set` takes the place of what is there; `everywhere: x-…` with enum_of makes what an extension allows an enum
    asserted: headers, each by the key of the source that it must say
    undocumented: paths below the base URL that no document has
    mutations: by stream what must not pass: a value in an answer, or in the query
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse
from openapi_core.exceptions import OpenAPIError

from conf.settings import REPOSITORY, Source

FOLDER = REPOSITORY.parent / "shared" / "vendor_specs"
OVERLAYS = Path(__file__).parent / "overlays"
# the sandbox's word for a fault that no vendor documents
BROKEN = b"something went wrong"


class Exchange(Protocol):
    """One question as it was sent, and its answer."""

    @property
    def request(self) -> requests.PreparedRequest: ...

    @property
    def response(self) -> requests.Response: ...


class WrongExchange(AssertionError):
    """What was asked or answered is not as the vendor's document says."""


@dataclass
class Documents:
    """A vendor's documents, changed by its overlay."""

    overlay: Mapping[str, Any]
    paths: tuple[tuple[str, Mapping[str, Any], OpenAPI], ...]
    held_already: set[bytes] = field(default_factory=set)

    def hold(self, exchanges: Sequence[Exchange], place: str, source: Source) -> int:
        """Each exchange as if it had gone to the vendor's own place; returns how many have a document. Raises WrongExchange.

        place: where the sandbox has the vendor's base URL.
        """
        held = 0
        for one in exchanges:
            path = urlsplit(str(one.request.url)).path.removeprefix(urlsplit(place).path).lstrip("/")
            if path in self.overlay.get("undocumented", ()) or one.response.content.startswith(BROKEN):
                continue
            held += 1
            mark = b"\0".join([str(one.request.url).removeprefix(place).encode(), one.response.content])
            if (digest := hashlib.sha256(mark).digest()) not in self.held_already:
                self.one(one.request, one.response, place, source)
                self.held_already.add(digest)
        return held

    def one(self, request: requests.PreparedRequest, response: requests.Response, place: str, source: Source) -> None:
        """Hold one exchange. Raises WrongExchange."""
        moved = request.copy()
        base = str(source.settings["base_url"])
        moved.url = base + str(request.url).removeprefix(place)
        said, api = self._operation(moved)
        if unknown := {key for key, _ in parse_qsl(urlsplit(moved.url).query)} - set(said):
            raise WrongExchange(f"{moved.method} {moved.path_url}: the query names {sorted(unknown)}; the document {sorted(said)}")
        for header, key in self.overlay.get("asserted", {}).items():
            if moved.headers.get(header) != getattr(source, key):
                raise WrongExchange(f"{moved.method} {moved.path_url}: {header} is {moved.headers.get(header)!r}, not the source's {key}")
        try:
            if response.ok:
                api.validate_request(RequestsOpenAPIRequest(moved))
            api.validate_response(RequestsOpenAPIRequest(moved), RequestsOpenAPIResponse(response))
        except OpenAPIError as error:
            why = [f"{one.json_path}: {one.message[:200]}" for one in getattr(error.__cause__, "schema_errors", ())] or [str(error)[:400]]
            raise WrongExchange(f"{moved.method} {moved.path_url}: {'; '.join(why)}") from None

    def mutant(self, stream: str, one: Exchange) -> tuple[requests.PreparedRequest, requests.Response]:
        """An exchange that the overlay made wrong."""
        said = self.overlay["mutations"][stream]
        request, response = one.request.copy(), copy.copy(one.response)
        if "query" in said:
            parts = urlsplit(str(request.url))
            query = {**dict(parse_qsl(parts.query)), said["query"]: said["value"]}
            request.url = parts._replace(query=urlencode(query)).geturl()
        else:
            whole = {"": json.loads(response.content)}
            *way, last = "", *said["answer"]
            functools.reduce(lambda value, key: value[key], way, whole)[last] = said["value"]
            response._content = json.dumps(whole[""]).encode()
        return request, response

    def _operation(self, request: requests.PreparedRequest) -> tuple[list[str], OpenAPI]:
        """The query names that a call may have, and the document that has it."""
        for pattern, item, api in self.paths:
            if re.fullmatch(pattern, str(request.url).partition("?")[0]) and str(request.method).lower() in item:
                every = [*item.get("parameters", ()), *item[str(request.method).lower()].get("parameters", ())]
                return [one["name"] for one in every if one["in"] == "query"], api
        raise WrongExchange(f"{request.method} {request.path_url}: no document has this call")


@functools.cache
def documents_of(name: str) -> Documents | None:
    """The documents of a source's vendor; None where it has none, or this clone."""
    path = OVERLAYS / f"{name}.yml"
    if not path.is_file() or not FOLDER.is_dir():
        return None
    overlay = yaml.safe_load(path.read_text())
    found: list[tuple[str, Mapping[str, Any], OpenAPI]] = []
    for file in sorted(FOLDER.glob(overlay["documents"])):
        document = changed(yaml.safe_load(file.read_text()) if file.suffix == ".yml" else json.loads(file.read_text()), overlay["changes"])
        # the documents are the vendors', and not all of them are sound by OpenAPI's own
        api = OpenAPI.from_dict(document, config=Config(spec_validator_cls=None))
        for place, item in document["paths"].items():
            pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]+\})", place))
            item = {
                key: {**one, "parameters": [referred(document, each) for each in one.get("parameters", ())]}
                if isinstance(one, dict)
                else one
                for key, one in item.items()
            }
            found += [(re.escape(server["url"]) + pattern, item, api) for server in document["servers"]]
    return Documents(overlay, tuple(found))


def referred(document: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a $ref leads to."""
    if "$ref" not in value:
        return value
    found: Mapping[str, Any] = functools.reduce(lambda at, key: at[key], value["$ref"].removeprefix("#/").split("/"), document)
    return found


def changed(document: dict[str, Any], changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The document after the changes."""
    for change in changes:
        assert change["why"]
        if "everywhere" in change:
            for schema in having(document, change["everywhere"]):
                members, key = change["enum_of"]
                schema["enum"] = [one[key] for one in schema[change["everywhere"]][members]]
            continue
        for holder, key in places(document, change["at"]):
            holder[key] = change["set"] if "set" in change else {**holder[key], **change["merge"]}
    return document


def places(value: Any, way: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Where a path leads: each place as its holder and key."""
    first, *rest = way
    if isinstance(first, Mapping):
        keys: Sequence[Any] = [n for n, one in enumerate(value) if all(one.get(key) == wanted for key, wanted in first.items())]
    elif first == "*":
        keys = [key for key, one in value.items() if isinstance(one, dict)]
    else:
        keys = [first] if isinstance(value, dict) and first in value else []
    for key in keys:
        if rest:
            yield from places(value[key], rest)
        else:
            yield value, key


def having(value: Any, key: str) -> Iterator[dict[str, Any]]:
    """Each mapping that has a key, wherever it stands."""
    if isinstance(value, dict):
        if key in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from having(one, key)

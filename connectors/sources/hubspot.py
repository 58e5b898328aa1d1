"""HubSpot: contacts by its search, past whose 10,000th record nobody may page, and those that were archived, which no search finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from connectors.kernel.api import Api
from connectors.kernel.errors import BrokenContractError
from connectors.kernel.http import Answer, Call, Client, Rule, at, parsed
from connectors.kernel.paginate import Page, pages, records_at
from connectors.kernel.slices import Window
from connectors.kernel.streams import Account, Stream, call_of, texts_of

ID = "hs_object_id"
NEXT = ("paging", "next", "after")


class HubSpot(Api):
    """A stream's `read`: the path where those of each page that were archived within the window are read whole, with ids and fields in a body: so
    many fields fit no URL."""

    # 530: its front door knows no such token; 423, 477: the account is locked or on the move
    rules = (Rule("config", frozenset({530})), Rule("transient", frozenset({423, 477})))
    keys = frozenset({"read"})

    def pages(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        texts, fields = texts_of(stream, account, window), list(stream.fields)
        call = call_of(stream, texts)
        if "read" not in stream.said:
            yield from pages(client, replace(call, body={**(call.body or {}), "properties": fields}), beyond, stream.records)
            return
        read = call_of(replace(stream, said={"path": stream.said["read"], "method": "POST", "params": {"archived": "true"}}), texts)
        for page in pages(client, call, stream.turn, stream.records):
            listed = [parsed(one) for one in page.records]
            if inputs := [{"id": one["id"]} for one in listed if is_of(window, one.get("archivedAt"))]:
                answer = client.ask(replace(read, body={"properties": fields, "inputs": inputs}))
                yield Page(page.number, answer, records_at(answer, stream.records))


def is_of(window: Window, archived_at: str | None) -> bool:
    """Whether a contact was archived within a window; what says no time is of each."""
    if not (archived_at and window.since and window.until):
        return True
    return window.since <= datetime.fromisoformat(archived_at) < window.until


def beyond(call: Call, answer: Answer, count: int) -> Call | None:
    """The search for what has greater ids than this page: none of them has more than the vendor lets one page through, however many contacts were
    changed in one instant. A page may be short, or empty, and not the last."""
    said = answer.json()
    after, total = at(said, NEXT), at(said, ("total",))
    if after is None and not (count and isinstance(total, int) and total > count):
        return None
    if not count:
        return replace(call, body={**(call.body or {}), "after": after})
    ids = [int(one["id"]) for one in said["results"]]
    (group,) = (call.body or {})["filterGroups"]
    last = next(int(one["value"]) for one in group["filters"] if one["propertyName"] == ID)
    if ids != sorted(set(ids)) or ids[0] <= last:
        raise BrokenContractError(f"{answer.title}: its records are not sorted by {ID}; nothing of this slice was landed: tell the vendor")
    filters = [{**one, "value": str(ids[-1])} if one["propertyName"] == ID else one for one in group["filters"]]
    body = {key: value for key, value in (call.body or {}).items() if key != "after"}
    return replace(call, body={**body, "filterGroups": [{"filters": filters}]})


CONNECTOR = HubSpot()

"""LinkedIn's Marketing API: analytics, which know no pages and are cut without a word, and campaigns. Its version is a header, and its questions
are Restli's, whose signs must not be escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime

import msgspec

from connectors.kernel.api import Api
from connectors.kernel.errors import TooMuchDataError
from connectors.kernel.http import Call, Client
from connectors.kernel.paginate import Page, records_at
from connectors.kernel.slices import Window
from connectors.kernel.streams import Account, Stream, call_of, texts_of

# what says whose and of when an element is; each call asks for them
KEY_FIELDS = ("dateRange", "pivotValues")


class Day(msgspec.Struct):
    year: int
    month: int
    day: int


class Range(msgspec.Struct):
    start: Day


class Element(msgspec.Struct):
    """What an element of analytics is about."""

    dateRange: Range
    pivotValues: tuple[str, ...]

    @property
    def day(self) -> date:
        start = self.dateRange.start
        return date(start.year, start.month, start.day)


class Joined(msgspec.Struct):
    elements: tuple[Element, ...]


class Stamp(msgspec.Struct):
    time: int


class Stamps(msgspec.Struct):
    lastModified: Stamp


class Campaign(msgspec.Struct):
    changeAuditStamps: Stamps


class LinkedInAds(Api):
    keys = frozenset({"most_elements", "most_fields"})

    def headers(self, stream: Stream, account: Account) -> Mapping[str, str]:
        return {"LinkedIn-Version": stream.source.api_version, "X-Restli-Protocol-Version": "2.0.0"}

    def calls(self, stream: Stream, account: Account, window: Window) -> Iterator[Call]:
        """Of analytics one call for as many fields as it may name, about all the account's campaigns and all the window's days."""
        call = call_of(stream, texts_of(stream, account, window))
        if not stream.fields:
            yield _restli(call, {})
            return
        own = [one for one in stream.fields if one not in KEY_FIELDS]
        size = stream.said["most_fields"] - len(KEY_FIELDS)
        for begin in range(0, len(own), size):
            fields = ",".join((*KEY_FIELDS, *own[begin : begin + size]))
            yield _restli(call, {"dateRange": f"(start:{_day(window.day)},end:{_day(window.last_day)})", "fields": fields})

    def pages(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        """Each record beside its account, which alone says the currency: {"account": …, "elements" or "campaign": …}."""
        said = client.ask(Call(f"adAccounts/{account.values['id']}")).content
        if stream.fields:
            page = self._analytics(client, stream, account, window)
            yield replace(page, records=tuple(b'{"account":%b,"elements":[%b]}' % (said, one) for one in page.records))
            return
        decode = msgspec.json.Decoder(Campaign).decode
        for page in super().pages(client, stream, account, window):
            # it can be asked for all campaigns alone
            kept = (one for one in page.records if _is_in(window, decode(one).changeAuditStamps.lastModified.time))
            yield replace(page, records=tuple(b'{"account":%b,"campaign":%b}' % (said, one) for one in kept))

    def day_of(self, stream: Stream, record: bytes) -> date:
        return msgspec.json.decode(record, type=Joined).elements[0].day

    def _analytics(self, client: Client, stream: Stream, account: Account, window: Window) -> Page:
        """The elements of all calls, those of the same ad and day side by side: one whose fields are all 0 is left out of an answer.

        Raises TooMuchDataError where an answer may have been cut.
        """
        found: dict[tuple[date, tuple[str, ...]], list[bytes]] = {}
        decode = msgspec.json.Decoder(Element).decode
        for call in self.calls(stream, account, window):
            answer = client.ask(call)
            records = records_at(answer, stream.records)
            if len(records) >= stream.said["most_elements"]:
                raise TooMuchDataError(
                    f"{stream.title} ({account.name}): {len(records)} elements of {window.slice_id}, beyond which LinkedIn cuts an answer; of one "
                    "day, name campaigns in place of accounts in the stream's params"
                )
            for record in records:
                told = decode(record)
                found.setdefault((told.day, told.pivotValues), []).append(record)
        return Page(1, answer, tuple(b",".join(parts) for parts in found.values()))


def _restli(call: Call, more: Mapping[str, str]) -> Call:
    """The call with its query in the address, where nothing of it is escaped."""
    query = "&".join(f"{name}={value}" for name, value in {**call.params, **more}.items())
    return replace(call, path=f"{call.path}?{query}", params={})


def _day(day: date | None) -> str:
    return f"(year:{day.year},month:{day.month},day:{day.day})" if day else ""


def _is_in(window: Window, milliseconds: int) -> bool:
    def at(instant: datetime | None) -> float:
        return instant.timestamp() * 1000 if instant else 0.0

    return at(window.since) <= milliseconds < (at(window.until) or milliseconds + 1)


CONNECTOR = LinkedInAds()

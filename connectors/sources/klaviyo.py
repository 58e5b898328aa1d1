"""Klaviyo (JSON:API): events with their metric, profiles with what they allow, campaigns. Its version is a header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from connectors.kernel.api import Api
from connectors.kernel.http import Rule
from connectors.kernel.paginate import Page, members_of
from connectors.kernel.streams import Account, Stream


class Related(msgspec.Struct):
    """Of a record the metric that it refers to."""

    class Relationships(msgspec.Struct):
        class Metric(msgspec.Struct):
            class Data(msgspec.Struct):
                id: str

            data: Data

        metric: Metric | None = None

    relationships: Relationships | None = None


class Klaviyo(Api):
    # a revision that has ended is no passing fault
    rules = (Rule("fatal", frozenset({410})),)

    def headers(self, stream: Stream, account: Account) -> Mapping[str, str]:
        return {"revision": stream.source.api_version, "Accept": "application/vnd.api+json"}

    def records(self, stream: Stream, account: Account, page: Page) -> Iterator[bytes]:
        """Events name their metric by an id: {"event": as it came, "metric": as it came}."""
        if stream.name != "events":
            yield from page.records
            return
        metrics = {msgspec.json.decode(one)["id"]: one for one in members_of(page.answer, ("included",))}
        decode = msgspec.json.Decoder(Related).decode
        for record in page.records:
            told = decode(record).relationships
            metric = metrics.get(told.metric.data.id, b"null") if told and told.metric else b"null"
            yield b'{"event":%b,"metric":%b}' % (record, metric)


CONNECTOR = Klaviyo()

"""Streams of mode webhook: what a vendor sends by itself, beside those of the same source that are asked for.

A receiver (connectors.kernel.receiver) keeps what comes; a pull lands all that was answered before it began, whether a receiver runs or not.
    path: where the receiver takes it
    oldest: how long ago it may have been signed, as 72h: vendors try again for days; late: after how long it is flagged, as 10m
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from conf.settings import Source
from connectors.kernel.api import Api
from connectors.kernel.connector import Counts, Finding, Plan, Planned, Say, Scope
from connectors.kernel.errors import StreamDeclarationError
from connectors.kernel.inbox import inbox_of, records_in
from connectors.kernel.landing import Landing
from connectors.kernel.streams import Account, Stream, length_of

# of a request's headers and body: when its vendor signed it. Raises UnsignedDeliveryError.
Verifier = Callable[[Mapping[str, str], bytes], datetime]
MODE, LENGTHS = "webhook", ("oldest", "late")


class WebhookApi(Api):
    """An Api with streams that its vendor sends by itself; a subclass says how they are signed."""

    keys = frozenset(LENGTHS)

    def verifier(self, stream: Stream, account: Account) -> Verifier:
        """What proves that a delivery is the vendor's. Raises CredentialsError for a key that is missing, or is none."""
        raise NotImplementedError

    def declared(self, source: Source, name: str) -> Stream:
        stream = super().declared(source, name)
        where = f"conf/sources/{source.source}.yml: streams.{name}"
        given = [key for key in LENGTHS if key in stream.said]
        if given != (list(LENGTHS) if stream.shape.mode == MODE else []):
            raise StreamDeclarationError(f"{where}: has {given}; a stream of mode {MODE}, and no other, has {list(LENGTHS)}")
        for key in given:
            length_of(stream.said[key], f"{where}: {key}")
        return stream

    def plan_stream(self, stream: Stream, scope: Scope, landing: Landing, say: Say) -> Plan:
        if stream.shape.mode != MODE:
            return super().plan_stream(stream, scope, landing, say)
        logs = [log for account in self._accounts(stream, scope) for log in inbox_of(stream, account).waiting()]
        planned = [Planned(log.stem, 1, log.name, bytes=log.stat().st_size) for log in logs]
        return Plan(Counts(files=len(planned), landed=len(planned)), tuple(planned))

    def check_stream(self, stream: Stream) -> Finding:
        if stream.shape.mode != MODE:
            return super().check_stream(stream)
        for account in stream.accounts:
            self.verifier(stream, account)
        waiting = {account.name: len(inbox_of(stream, account).waiting()) for account in stream.accounts}
        return Finding("; ".join(f"account {name} has a key, and {number} logs wait to be landed" for name, number in waiting.items()))

    def sample(self, stream: Stream, account: Account, is_cheap: bool = False) -> list[bytes]:
        """Of a webhook what waits to be landed."""
        if stream.shape.mode != MODE:
            return super().sample(stream, account, is_cheap)
        return [record.payload for log in inbox_of(stream, account).waiting()[-1:] for record in records_in(log)]

    def _pull(self, stream: Stream, account: Account, scope: Scope, landing: Landing, say: Say, counts: Counts) -> None:
        if stream.shape.mode != MODE:
            super()._pull(stream, account, scope, landing, say, counts)
        # a try would take what is landed once
        elif scope.limit is None:
            say(f"{stream.title} ({account.name}): lands what came since the last pull, whatever day is asked for")
            inbox = inbox_of(stream, account)
            inbox.close()
            inbox.land(stream, account, landing, say, counts)

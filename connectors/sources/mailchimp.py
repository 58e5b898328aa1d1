"""Mailchimp Marketing: lists by count and offset, and reports that are asked for campaign by campaign, each with a cursor of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Annotated

import msgspec

from conf.settings import Source
from connectors.kernel.api import Api, key_of
from connectors.kernel.auth import Auth, Credentials
from connectors.kernel.connector import Scope
from connectors.kernel.errors import BrokenContractError, CredentialsError, NothingThereError, RefusedRequestError
from connectors.kernel.http import Call, Client, Rule, at
from connectors.kernel.paginate import MOST_PAGES, Page, records_at, with_params
from connectors.kernel.slices import Window
from connectors.kernel.state import peek
from connectors.kernel.streams import Account, Stream, instant, length_of

DATA_CENTRE = re.compile(r"[a-z]{2,4}[0-9]{1,3}")
CAMPAIGN_FIELDS = "campaigns.id,campaigns.send_time,campaigns.settings.title,total_items"


class Sent(msgspec.Struct):
    """Of a campaign what tells whether its reports are asked for."""

    # it becomes part of paths
    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
    send_time: datetime


class Mailchimp(Api):
    # too many connections are refused with 429, or with 403 and no JSON; a campaign may be gone before its report is asked for
    rules = (Rule("rate", frozenset({403}), ("status",), frozenset({None})), Rule("skip", frozenset({404}), ("status",), frozenset({404})))
    keys = frozenset({"follow"})

    def base_url(self, source: Source, account: Account, credentials: Credentials) -> str:
        if host := credentials.values.get("host"):
            return host
        dc = credentials.need("password").rpartition("-")[2]
        if not DATA_CENTRE.fullmatch(dc):
            raise CredentialsError(
                f"connection {credentials.name}: its password is no key of Mailchimp, which ends with its data centre, as -us19"
            )
        return str(source.settings["base_url"]).format(dc=dc)

    def auth(self, source: Source, account: Account, credentials: Credentials) -> Auth:
        # any name will do
        return super().auth(source, account, replace(credentials, values={"login": "throughline", **credentials.values}))

    def parts(self, client: Client, stream: Stream, account: Account, scope: Scope | None = None) -> Iterator[Account]:
        """The campaigns whose reports may have changed: never asked for to their end, or sent not longer than `follow` ago."""
        if "follow" not in stream.said:
            yield account
            return
        since = instant(datetime.combine(stream.shape.start, time(), UTC))
        params = {
            "status": "sent",
            "since_send_time": since,
            "sort_field": "send_time",
            "sort_dir": "ASC",
            "fields": CAMPAIGN_FIELDS,
            "count": 1000,
        }
        every = list(_listed(client, Call("campaigns", params), ("campaigns",)))
        for campaign in (one for page in every for one in page.records):
            try:
                sent = msgspec.json.decode(campaign, type=Sent)
            except msgspec.ValidationError as error:
                raise BrokenContractError(
                    f"{stream.title}: a campaign that was sent has no id and send_time ({error}); tell the vendor"
                ) from None
            part = replace(account, part=sent.id, values={**account.values, "campaign": campaign})
            if scope is None or _is_due(stream, part, scope, sent.send_time):
                yield part

    def pages(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        for call in self.calls(stream, account, window):
            try:
                yield from _listed(client, call, stream.records)
            except NothingThereError as error:
                if not account.part:
                    raise RefusedRequestError(f"{error}: is the account's list right?") from None

    def records(self, stream: Stream, account: Account, page: Page) -> Iterator[bytes]:
        """Of a report {"campaign", "member"} as they came; of an activity's list one record each, with "activity" as it came."""
        if not account.part:
            yield from page.records
            return
        for record in page.records:
            if stream.name != "email_activity":
                yield b'{"campaign":%b,"member":%b}' % (account.values["campaign"], record)
                continue
            member = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
            activity = msgspec.json.decode(member.pop("activity", msgspec.Raw(b"[]")), type=list[msgspec.Raw])
            whose = msgspec.json.encode(member)
            for one in activity:
                yield b'{"campaign":%b,"member":%b,"activity":%b}' % (account.values["campaign"], whose, bytes(one))


def _is_due(stream: Stream, part: Account, scope: Scope, sent_at: datetime) -> bool:
    until = sent_at + length_of(stream.said["follow"], f"{stream.title}: follow")
    if scope.is_named:
        return sent_at.date() <= scope.last_day and scope.first_day <= until.date()
    cursor = peek(key_of(stream, part, scope)).get("cursor")
    return cursor is None or datetime.fromisoformat(cursor) < until


def _listed(client: Client, call: Call, path: tuple[str, ...]) -> Iterator[Page]:
    """Pages by offset, to the last of total_items. Raises BrokenContractError where a page comes twice, or there is none where one should be.

    A list that got shorter between two pages moved up meanwhile: as many as left it are read again, so that none is passed over.
    """
    offset, total = 0, None
    before: tuple[bytes, ...] = ()
    for number in range(1, MOST_PAGES):
        answer = client.ask(with_params(call, {"offset": offset}))
        records, counted = records_at(answer, path), at(answer.json(), ("total_items",))
        if not isinstance(counted, int) or (not records and offset < counted) or (records and records == before):
            raise BrokenContractError(
                f"{answer.title}: gives {len(records)} records after {offset} of {counted}, or a page twice; try again"
            )
        if total is not None and counted < total:
            offset, total, before = max(0, offset - (total - counted)), counted, ()
            continue
        yield Page(number, answer, records)
        offset, total, before = offset + len(records), counted, records
        if offset >= counted:
            return
    raise BrokenContractError(f"{client.base_url}/{call.path}: its pages do not end; tell the vendor")


CONNECTOR = Mailchimp()

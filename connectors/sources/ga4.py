"""Google Analytics 4 (Data API, runReport): rows whose columns are named by the answer's head, and a head that says what the figures lack."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from connectors.kernel.api import Api
from connectors.kernel.errors import BrokenContractError
from connectors.kernel.http import Answer, Call, Client
from connectors.kernel.paginate import Page, pages, records_if_any
from connectors.kernel.slices import Window
from connectors.kernel.streams import Account, Stream

# a property's answers of 5xx are counted, and 10 in an hour close it
TRIES = 3
# below so many tokens of a quota a person is told
FEW_TOKENS = 1_000
ADVICE = "ask for fewer dimensions, or take its BigQuery export"


class Ga4(Api):
    def client(self, stream: Stream, account: Account) -> Client:
        return dataclasses.replace(super().client(stream, account), tries=TRIES)

    def pages(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        """Pages until all rows that it counted are there."""
        for call in self.calls(stream, account, window):
            yield from pages(client, call, by_rows, stream.records, read=records_if_any)

    def records(self, stream: Stream, account: Account, page: Page) -> Iterator[bytes]:
        """{"row": as it came, "metadata": as it came}, of a report with the columns that were asked for."""
        said = page.answer.json()
        for kind in ("dimension", "metric"):
            asked = [one["name"] for one in stream.said["body"][f"{kind}s"]]
            if (given := [one.get("name") for one in said.get(f"{kind}Headers", ())]) != asked:
                raise BrokenContractError(
                    f"{page.answer.title}: has the {kind}s {given}, asked were {asked}; look at the stream's declaration"
                )
        metadata = bytes(msgspec.json.decode(page.answer.content, type=dict[str, msgspec.Raw]).get("metadata", b"null"))
        for row in page.records:
            yield b'{"row":%b,"metadata":%b}' % (row, metadata)

    def remark(self, stream: Stream, page: Page) -> str:
        """What is estimated, left out or thrown together, and what is left of the property's quota."""
        said = page.answer.json()
        head = said.get("metadata", {})
        lacks = [
            f"sampled: {one.get('samplesReadCount')} of {one.get('samplingSpaceSize')} events were read"
            for one in head.get("samplingMetadatas", ())
        ]
        if head.get("dataLossFromOtherRow") or b'"(other)"' in page.answer.content:
            lacks.append("small rows are thrown together in a row (other)")
        if head.get("subjectToThresholding"):
            lacks.append("rows of few people are left out (thresholding)")
        left = [f"{one['remaining']} {name} are left" for name, one in said.get("propertyQuota", {}).items() if _is_little(name, one)]
        return "; ".join([*lacks, *([ADVICE] if lacks else []), *left])


def by_rows(call: Call, answer: Answer, count: int) -> Call | None:
    """The next call begins after the rows that came, until there are as many as the answer counts. Raises BrokenContractError."""
    body = call.body or {}
    begin, total = int(body.get("offset", 0)) + count, int(answer.json().get("rowCount", 0))
    if begin >= total:
        return None
    if not count:
        raise BrokenContractError(f"{answer.title}: gives {begin} of {total} rows; nothing of this slice was landed: try again")
    return dataclasses.replace(call, body={**body, "offset": begin})


def _is_little(name: str, quota: Mapping[str, Any]) -> bool:
    return name.startswith("tokens") and int(quota.get("remaining", FEW_TOKENS)) < FEW_TOKENS


CONNECTOR = Ga4()

"""TikTok Business: it always answers 200, and the body's code says what happened; a report that is too large is asked for by campaigns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from connectors.kernel.api import Api
from connectors.kernel.errors import TooMuchDataError
from connectors.kernel.http import Call, Client, Rule
from connectors.kernel.paginate import Page, pages, with_params
from connectors.kernel.slices import Window
from connectors.kernel.streams import Account, Stream

CODE = ("code",)
# a filter of a report takes no more ids
MOST_IDS = 100
# of an account's declaration what the mapping needs: no row says it
SAID = ("advertiser_id", "time_zone", "currency")


class TikTokAds(Api):
    rules = (
        # its document says that a good answer may have no code
        Rule("ok", frozenset({200}), CODE, frozenset({0, None})),
        Rule("rate", path=CODE, values=frozenset({40100})),
        Rule("transient", path=CODE, values=frozenset({40200, 40201, 40202, 40700, 50000, 50002, 60001})),
        Rule("split", path=CODE, values=frozenset({40067})),
        Rule("config", path=CODE, values=frozenset({40001, 40101, 40102, 40104, 40105, 40106})),
        Rule("fatal", frozenset({200})),
    )

    def pages(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        """A day has no halves: a report of it that is too large is asked for by some of its campaigns, then by fewer."""
        for call in self.calls(stream, account, window):
            yield from self._pages(client, stream, call, ())

    def _pages(self, client: Client, stream: Stream, call: Call, campaigns: Sequence[str]) -> Iterator[Page]:
        try:
            # whole, so that nothing of it stands beside its parts
            found = list(pages(client, filtered(call, campaigns), stream.turn, stream.records))
        except TooMuchDataError:
            if stream.shape.mode != "range" or len(campaigns) == 1:
                raise
            for some in parts(campaigns) if campaigns else in_hundreds(self._campaigns(client, stream, call)):
                yield from self._pages(client, stream, call, some)
        else:
            yield from found

    def _campaigns(self, client: Client, stream: Stream, call: Call) -> list[str]:
        """The ids of the campaigns that a report has rows of."""
        by_campaign = {"data_level": "AUCTION_CAMPAIGN", "dimensions": '["campaign_id","stat_time_day"]', "metrics": '["spend"]'}
        found = pages(client, with_params(call, by_campaign), stream.turn, stream.records)
        return sorted({json.loads(row)["dimensions"]["campaign_id"] for page in found for row in page.records})

    def records(self, stream: Stream, account: Account, page: Page) -> Iterator[bytes]:
        """{"row": as it came, "account": what its declaration says of the account}."""
        said = json.dumps({key: account.values.get(key) for key in SAID} | {"time_zone": account.zone}).encode()
        return (b'{"row":%b,"account":%b}' % (row, said) for row in page.records)


def filtered(call: Call, campaigns: Sequence[str]) -> Call:
    """The call about some campaigns; about all where none is named."""
    if not campaigns:
        return call
    one = {"field_name": "campaign_ids", "filter_type": "IN", "filter_value": json.dumps(campaigns)}
    return with_params(call, {"filtering": json.dumps([one])})


def parts(ids: Sequence[str]) -> list[Sequence[str]]:
    half = len(ids) // 2
    return [ids[:half], ids[half:]]


def in_hundreds(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[begin : begin + MOST_IDS] for begin in range(0, len(ids), MOST_IDS)]


CONNECTOR = TikTokAds()

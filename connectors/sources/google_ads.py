"""Google Ads (REST): GAQL asked as googleAds:searchStream, one answer of any length, or googleAds:search, pages of 10,000 rows.

A page's size is the vendor's own: asking for one is an error. Numbers of 64 bits come as texts, money in millionths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from conf.settings import Source
from connectors.kernel.api import Api
from connectors.kernel.auth import Auth, Credentials
from connectors.kernel.http import Client, Rule, at, parsed
from connectors.kernel.paginate import Page, members_in, pages, records_if_any
from connectors.kernel.slices import Window
from connectors.kernel.streams import Account, Stream

# what the first error of a failure means, by its kind
CODES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "rate": {
        "quotaError": ("RESOURCE_EXHAUSTED", "RESOURCE_TEMPORARILY_EXHAUSTED", "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION"),
    },
    "transient": {
        "internalError": ("INTERNAL_ERROR", "TRANSIENT_ERROR", "DEADLINE_EXCEEDED"),
        "databaseError": ("CONCURRENT_MODIFICATION",),
    },
    "split": {"requestError": ("RPC_DEADLINE_TOO_SHORT",)},
    "config": {
        "quotaError": ("ACCESS_PROHIBITED",),
        "authorizationError": (
            "USER_PERMISSION_DENIED",
            "CUSTOMER_NOT_ENABLED",
            "DEVELOPER_TOKEN_NOT_APPROVED",
            "DEVELOPER_TOKEN_PROHIBITED",
        ),
        "authenticationError": ("OAUTH_TOKEN_EXPIRED", "OAUTH_TOKEN_REVOKED", "CUSTOMER_NOT_FOUND", "NOT_ADS_USER"),
    },
}
# searchStream has its error in a list
PLACES = ((), (0,))


@dataclass(frozen=True)
class WithDeveloper:
    """The auth of the calls, and the developer's token beside it: the vendor is about to do without."""

    inner: Auth
    token: str = field(repr=False)

    def headers(self) -> Mapping[str, str]:
        return {**self.inner.headers(), "developer-token": self.token}

    def renew(self) -> bool:
        return self.inner.renew()

    def secrets(self) -> tuple[str, ...]:
        return (*self.inner.secrets(), self.token)


class GoogleAds(Api):
    rules = tuple(
        Rule(verdict, path=(*place, "error", "details", 0, "errors", 0, "errorCode", kind), values=frozenset(codes))
        for place in PLACES
        for verdict, kinds in CODES.items()
        for kind, codes in kinds.items()
    )

    def auth(self, source: Source, account: Account, credentials: Credentials) -> Auth:
        inner, token = super().auth(source, account, credentials), credentials.values.get("developer_token", "")
        return WithDeveloper(inner, token) if token else inner

    def headers(self, stream: Stream, account: Account) -> Mapping[str, str]:
        manager = account.values.get("login_customer_id")
        return {"login-customer-id": str(manager)} if manager else {}

    def pages(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        """Pages, or the parts of one answer as they come: what breaks in the middle ends the slice, and nothing of it is landed."""
        for call in self.calls(stream, account, window):
            if not call.path.endswith(":searchStream"):
                yield from pages(client, call, stream.turn, stream.records, read=records_if_any)
                continue
            with client.opened(call) as (answer, blocks):
                for number, chunk in enumerate(members_in(blocks, answer.title, client.most_bytes), start=1):
                    part = replace(answer, content=chunk)
                    rows = records_if_any(part, stream.records)
                    if not rows and isinstance(code := at(parsed(chunk), ("error", "code")), int):
                        # the head of the answer said ok before it was known
                        client.refuse(replace(part, status=code))
                    yield Page(number, part, rows)


CONNECTOR = GoogleAds()

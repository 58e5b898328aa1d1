"""Google Ads over the sandbox world: GAQL over the ads' figures and the campaigns, as searchStream and as pages (REST, JSON of protobuf)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.sandbox.apis.served import Row, Served

CLIENT, TOKEN, DEVELOPER = (
    ("sandbox-client", "sandbox-client-secret", "1//sandbox-refresh-token"),
    "ya29.sandbox-access-token",
    "sandboxDeveloperToken1",
)
CONNECTIONS = {
    "google_ads_main": {
        "login": CLIENT[0],
        "password": CLIENT[1],
        "extra": {"refresh_token": CLIENT[2], "developer_token": DEVELOPER, "token_url": "{url}/token"},
    }
}
LIMITS = {"queries": ("googleAds", ((15000, 86400.0),))}
CUSTOMER, VERSIONS = "1000000100", ("v24", "v25", "v26")
PAGE_ROWS = 10_000
QUERY = re.compile(r"\s*SELECT\s+(.+?)\s+FROM\s+(\w+)(?:\s+WHERE\s+(.+?))?(?:\s+ORDER BY\s+[\w., ]+)?\s*", re.DOTALL)
DAYS = re.compile(r"segments\.date\s*(?:=\s*'([0-9-]+)'|BETWEEN\s+'([0-9-]+)'\s+AND\s+'([0-9-]+)')")
KINDS = {"search": "SEARCH", "shopping": "SHOPPING", "Paid Search": "SEARCH", "Paid Shopping": "SHOPPING"}


def failure(status: int, name: str, kind: str, code: str, message: str) -> JSONResponse:
    errors = [{"errorCode": {kind: code}, "message": message}]
    details = [
        {"@type": "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure", "errors": errors, "requestId": "Rq5andb0x"}
    ]
    return JSONResponse({"error": {"code": status, "message": message, "status": name, "details": details}}, status)


def too_many(seconds: float) -> Response:
    return failure(
        429,
        "RESOURCE_EXHAUSTED",
        "quotaError",
        "RESOURCE_TEMPORARILY_EXHAUSTED",
        f"Too many requests. Retry in {int(seconds) + 1} seconds.",
    )


FAULTS: dict[str, Callable[[], Response]] = {
    "expired": lambda: failure(
        401, "UNAUTHENTICATED", "authenticationError", "OAUTH_TOKEN_EXPIRED", "Request had invalid authentication credentials."
    ),
    "sunset": lambda: failure(
        400, "INVALID_ARGUMENT", "requestError", "UNSUPPORTED_VERSION", "Version is deprecated. Requests to this version will be blocked."
    ),
    "internal": lambda: failure(500, "INTERNAL", "internalError", "INTERNAL_ERROR", "Internal error encountered."),
    # the head of a stream says ok before it is known
    "broken_stream": lambda: JSONResponse([json.loads(bytes(FAULTS["internal"]().body))]),
}


def refused(request: Request) -> Response | None:
    if request.url.path.endswith("/token"):
        return None
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return FAULTS["expired"]()
    if request.headers.get("developer-token", DEVELOPER) != DEVELOPER:
        return failure(403, "PERMISSION_DENIED", "authorizationError", "DEVELOPER_TOKEN_NOT_APPROVED", "The developer token is not valid.")
    return None


def routes(served: Served) -> list[Route]:
    async def token(request: Request) -> Response:
        form = await request.form()
        if (form.get("client_id"), form.get("client_secret"), form.get("refresh_token")) != CLIENT or form.get(
            "grant_type"
        ) != "refresh_token":
            return JSONResponse({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, 400)
        return JSONResponse(
            {"access_token": TOKEN, "expires_in": 3599, "scope": "https://www.googleapis.com/auth/adwords", "token_type": "Bearer"}
        )

    async def search(request: Request) -> Response:
        body, is_stream = await request.json(), request.path_params["verb"] == "googleAds:searchStream"
        answer = _answer(request, body, is_stream)
        return JSONResponse([json.loads(bytes(answer.body))], answer.status_code) if is_stream and answer.status_code >= 400 else answer

    def _answer(request: Request, body: Mapping[str, Any], is_stream: bool) -> Response:
        if request.path_params["version"] not in VERSIONS:
            return FAULTS["sunset"]()
        if request.path_params["customer"] != CUSTOMER:
            return failure(
                403, "PERMISSION_DENIED", "authorizationError", "USER_PERMISSION_DENIED", "User doesn't have permission to access customer."
            )
        if "pageSize" in body:
            return failure(400, "INVALID_ARGUMENT", "requestError", "PAGE_SIZE_NOT_SUPPORTED", "Setting the page size is not supported.")
        found = QUERY.fullmatch(str(body.get("query")))
        if not found or found[2] not in ("ad_group_ad", "campaign"):
            return failure(400, "INVALID_ARGUMENT", "queryError", "UNEXPECTED_INPUT", "Error in query: unexpected input.")
        fields = [name.strip() for name in found[1].split(",")]
        try:
            rows = [_selected(row, fields) for row in (_spend(served, found[3]) if found[2] == "ad_group_ad" else _campaigns(served))]
        except KeyError as unknown:
            return failure(400, "INVALID_ARGUMENT", "queryError", "UNRECOGNIZED_FIELD", f"Unrecognized field in the query: {unknown}.")
        mask = {"fieldMask": ",".join(map(_camel, fields))}
        if is_stream:
            chunks = [{"results": rows[begin : begin + PAGE_ROWS]} for begin in range(0, len(rows), PAGE_ROWS)]
            return JSONResponse([{**chunk, **mask, "requestId": "Rq5andb0x"} for chunk in chunks or [{}]])
        begin = int(base64.b64decode(body["pageToken"])) if "pageToken" in body else 0
        page = {"results": rows[begin : begin + PAGE_ROWS]} if rows[begin:] else {}
        following = {"nextPageToken": base64.b64encode(b"%d" % (begin + PAGE_ROWS)).decode()} if rows[begin + PAGE_ROWS :] else {}
        return JSONResponse({**page, **following, **mask})

    return [Route("/token", token, methods=["POST"]), Route("/{version}/customers/{customer}/{verb:path}", search, methods=["POST"])]


def _spend(served: Served, where: str | None) -> Iterator[Row]:
    days = DAYS.search(where or "")
    first, last = (days[1] or days[2], days[1] or days[3]) if days else ("0", "9")
    for row in served.spend(first, last):
        yield {
            "customer.id": CUSTOMER,
            "customer.currency_code": row["currency"],
            "customer.time_zone": row["account_time_zone"],
            "campaign.id": row["campaign_id"],
            "campaign.name": row["campaign_name"],
            "campaign.advertising_channel_type": KINDS[row["network"]],
            "ad_group.id": row["ad_group_id"],
            "ad_group_ad.ad.id": row["ad_id"],
            "segments.date": row["spend_date"],
            "metrics.impressions": row["impressions"],
            "metrics.clicks": row["clicks"],
            "metrics.cost_micros": str(int(row["spend"].replace(".", ""))),
            "metrics.conversions": float(row["conversions"]),
            "metrics.conversions_value": float(row["conversion_value"]),
        }


def _campaigns(served: Served) -> Iterator[Row]:
    for row in sorted(served.newest("campaigns", "campaign_id"), key=lambda row: int(row["campaign_id"])):
        ends = date.fromisoformat(row["ends_on"]) if row["ends_on"] else date(2037, 12, 30)
        yield {
            "campaign.id": row["campaign_id"],
            "campaign.name": row["name"],
            "campaign.status": "ENABLED",
            "campaign.advertising_channel_type": KINDS[row["channel"]],
            "campaign.start_date_time": f"{row['starts_on']} 00:00:00",
            "campaign.end_date_time": f"{ends} 23:59:59",
            "campaign_budget.amount_micros": f"{row['daily_budget'].partition('.')[0]}000000",
            "customer.currency_code": row["currency"],
        }


def _selected(row: Row, fields: list[str]) -> Row:
    """The fields of a row, nested and named as JSON has them, with the names of what they are of."""
    found: Row = {}
    for name in fields:
        *parents, last = _camel(name).split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = row[name]
    for parent, kind in (
        ("customer", "customers"),
        ("campaign", f"customers/{CUSTOMER}/campaigns"),
        ("adGroup", f"customers/{CUSTOMER}/adGroups"),
    ):
        if parent in found:
            found[parent] = {"resourceName": f"{kind}/{found[parent].get('id', CUSTOMER)}", **found[parent]}
    return found


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)

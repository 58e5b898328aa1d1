"""Google Analytics 4's Data API over the sandbox world: the cost of other networks' ads as imported, by campaign and ad (runReport)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.sandbox import pools
from connectors.sandbox.apis.served import Row, Served

CLIENT, TOKEN = ("sandbox-client", "sandbox-client-secret", "1//sandbox-ga4-refresh-token"), "ya29.sandbox-ga4-access-token"
CONNECTIONS = {
    "ga4_main": {"login": CLIENT[0], "password": CLIENT[1], "extra": {"refresh_token": CLIENT[2], "token_url": "{url}/token"}},
}
LIMITS = {"core": ("runReport", ((5000, 3600.0),))}
PROPERTY, MOST_ROWS, USUAL_ROWS = "300000000", 250_000, 10_000
SOURCE_MEDIUM = {pools.ADS[one.ad].ad_id: f"{one.source} / {one.medium}" for one in pools.ENTRIES if one.ad >= 0}
DIMENSIONS: Mapping[str, Callable[[Row], str]] = {
    "date": lambda row: row["spend_date"].replace("-", ""),
    "sessionCampaignId": lambda row: row["campaign_id"],
    "sessionCampaignName": lambda row: row["campaign_name"],
    "sessionSourceMedium": lambda row: SOURCE_MEDIUM.get(row["ad_id"], "(not set)"),
    "sessionManualAdContent": lambda row: row["ad_id"],
}
METRICS = {
    "advertiserAdCost": ("spend", "TYPE_CURRENCY"),
    "advertiserAdClicks": ("clicks", "TYPE_INTEGER"),
    "advertiserAdImpressions": ("impressions", "TYPE_INTEGER"),
}
# what a test puts into the head of reports
METADATA: dict[str, Any] = {}


def error(status: int, name: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": status, "message": message, "status": name}}, status)


def too_many(seconds: float) -> Response:
    return error(429, "RESOURCE_EXHAUSTED", "Exhausted concurrent requests quota. Please wait until another one is done.")


FAULTS: dict[str, Callable[[], Response]] = {
    "expired": lambda: error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "denied": lambda: error(403, "PERMISSION_DENIED", "User does not have sufficient permissions for this property."),
    "sunset": lambda: error(404, "NOT_FOUND", "Method not found."),
}


def refused(request: Request) -> Response | None:
    is_signed = request.url.path.endswith("/token") or request.headers.get("Authorization") == f"Bearer {TOKEN}"
    return None if is_signed else FAULTS["expired"]()


def routes(served: Served) -> list[Route]:
    async def token(request: Request) -> Response:
        form = await request.form()
        if (form.get("client_id"), form.get("client_secret"), form.get("refresh_token")) != CLIENT or form.get(
            "grant_type"
        ) != "refresh_token":
            return JSONResponse({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, 400)
        return JSONResponse({"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})

    async def report(request: Request) -> Response:
        body = await request.json()
        if request.path_params["name"] != f"{PROPERTY}:runReport":
            return FAULTS["denied"]()
        dimensions, metrics = ([one["name"] for one in body.get(key, ())] for key in ("dimensions", "metrics"))
        unknown = [name for name in (*dimensions, *metrics) if name not in {*DIMENSIONS, *METRICS}]
        if unknown:
            return error(400, "INVALID_ARGUMENT", f"Field {unknown[0]} is not a valid dimension or metric.")
        limit, offset = int(body.get("limit", USUAL_ROWS)), int(body.get("offset", 0))
        if not 1 <= limit <= MOST_ROWS:
            return error(400, "INVALID_ARGUMENT", f"limit must be between 1 and {MOST_ROWS}.")
        (days,) = body["dateRanges"]
        found = [_row(row, dimensions, metrics) for row in served.spend(days["startDate"], days["endDate"])]
        ordered = [dimensions.index(one["dimension"]["dimensionName"]) for one in body.get("orderBys", ())]
        found.sort(key=lambda row: [row["dimensionValues"][place]["value"] for place in ordered])
        quota = {"tokensPerDay": {"consumed": 2, "remaining": 199_000}, "tokensPerHour": {"consumed": 2, "remaining": 39_000}}
        rows = {"rows": found[offset : offset + limit]} if found[offset:] else {}
        return JSONResponse(
            {
                "dimensionHeaders": [{"name": name} for name in dimensions],
                "metricHeaders": [{"name": name, "type": METRICS[name][1]} for name in metrics],
                **rows,
                **({"rowCount": len(found)} if found else {}),
                "metadata": {"currencyCode": "GBP", "timeZone": "Europe/London", **METADATA},
                **({"propertyQuota": quota} if body.get("returnPropertyQuota") else {}),
                "kind": "analyticsData#runReport",
            }
        )

    return [Route("/token", token, methods=["POST"]), Route("/v1beta/properties/{name}", report, methods=["POST"])]


def _row(row: Row, dimensions: list[str], metrics: list[str]) -> Row:
    values = [DIMENSIONS[name](row) for name in dimensions], [row[METRICS[name][0]] for name in metrics]
    return dict(zip(("dimensionValues", "metricValues"), [[{"value": one} for one in some] for some in values], strict=True))

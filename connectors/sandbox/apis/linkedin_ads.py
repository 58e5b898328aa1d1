"""LinkedIn's Marketing API over the sandbox world: an ad account, its campaigns, and analytics in Restli's words."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.sandbox.apis.served import Row, Served

BASE = "/rest"
CLIENT, SECRET, REFRESH = "86sandboxclient", "WPL_AP1.sandboxS3cret", "AQXsandboxRefreshToken0123456789"
CONNECTIONS = {
    "linkedin_ads_main": {
        "login": CLIENT,
        "password": SECRET,
        "extra": {"refresh_token": REFRESH, "token_url": "{url}/oauth/v2/accessToken"},
    }
}
ACCESS = "AQVsandboxAccessToken0123456789"
ACCOUNT, CURRENCY, ZONE = "220", "GBP", "Europe/London"
LIMITS = {"analytics": ("/adAnalytics", ((10, 1.0),)), "campaigns": ("/adCampaigns", ((10, 1.0),))}
OLDEST_VERSION = 202512
MOST_ELEMENTS, MOST_FIELDS, MOST_CAMPAIGNS = 15_000, 20, 1000
RANGE = re.compile(r"\(start:\(year:(\d+),month:(\d+),day:(\d+)\),end:\(year:(\d+),month:(\d+),day:(\d+)\)\)")
PIVOTS: dict[str, Callable[[Row], str]] = {
    "ACCOUNT": lambda row: f"urn:li:sponsoredAccount:{ACCOUNT}",
    "CAMPAIGN": lambda row: f"urn:li:sponsoredCampaign:{row['campaign_id']}",
    "CREATIVE": lambda row: f"urn:li:sponsoredCreative:{row['ad_id']}",
}
METRICS: dict[str, Callable[[list[Row]], Any]] = {
    "impressions": lambda rows: sum(int(row["impressions"]) for row in rows),
    "clicks": lambda rows: sum(int(row["clicks"]) for row in rows),
    "landingPageClicks": lambda rows: sum(int(row["clicks"]) for row in rows),
    "totalEngagements": lambda rows: sum(int(row["clicks"]) for row in rows),
    "costInLocalCurrency": lambda rows: str(sum(Decimal(row["spend"]) for row in rows)),
    "conversionValueInLocalCurrency": lambda rows: str(sum(Decimal(row["conversion_value"]) for row in rows)),
    "externalWebsiteConversions": lambda rows: float(sum(Decimal(row["conversions"]) for row in rows)),
    **{name: lambda rows: 0 for name in ("oneClickLeads", "likes", "shares", "comments", "follows", "reactions", "videoViews", "opens")},
    **{name: lambda rows: 0 for name in ("sends", "textUrlClicks", "cardClicks", "cardImpressions", "viralImpressions", "viralClicks")},
}


def error(status: int, code: str, message: str, service: int | None = None) -> Response:
    return JSONResponse({"status": status, **({"serviceErrorCode": service} if service else {}), "code": code, "message": message}, status)


def too_many(seconds: float) -> Response:
    """Of the limits of a day LinkedIn says no more than that they are reached."""
    return error(429, "TOO_MANY_REQUESTS", "Resource level throttle APPLICATION DAY limit for calls to this resource is reached.", 101)


FAULTS: dict[str, Callable[[], Response]] = {
    "expired": lambda: error(401, "EXPIRED_ACCESS_TOKEN", "The token used in the request has expired", 65602),
    "sunset": lambda: error(426, "NONEXISTENT_VERSION", "Requested version 20260601 is not active"),
    "denied": lambda: error(403, "ACCESS_DENIED", "Not enough permissions to access: adAccounts.GET", 100),
}


def refused(request: Request) -> Response | None:
    if request.url.path.endswith("/accessToken"):
        return None
    if request.headers.get("Authorization") != f"Bearer {ACCESS}":
        return error(401, "INVALID_ACCESS_TOKEN", "Invalid access token", 65600)
    version = request.headers.get("LinkedIn-Version", "")
    if not re.fullmatch(r"\d{6}", version):
        return error(400, "VERSION_MISSING", "A version must be present. Please specify a version by adding the LinkedIn-Version header.")
    if int(version) < OLDEST_VERSION:
        return error(426, "NONEXISTENT_VERSION", f"Requested version {version}01 is not active")
    return None if request.headers.get("X-Restli-Protocol-Version") == "2.0.0" else _illegal("X-RestLi-Protocol-Version must be 2.0.0")


def routes(served: Served) -> list[Route]:
    async def token(request: Request) -> Response:
        form = await request.form()
        wanted = {"grant_type": "refresh_token", "client_id": CLIENT, "client_secret": SECRET, "refresh_token": REFRESH}
        if dict(form) != wanted:
            return JSONResponse({"error": "invalid_grant", "error_description": "The provided authorization grant is invalid"}, 400)
        lasting = {"expires_in": 5_184_000, "refresh_token_expires_in": 31_536_000}
        return JSONResponse({"access_token": ACCESS, "refresh_token": REFRESH, "scope": "r_ads,r_ads_reporting", **lasting})

    async def account(request: Request) -> Response:
        if request.path_params["account"] != ACCOUNT:
            return FAULTS["denied"]()
        return JSONResponse({"id": int(ACCOUNT), "name": "Sandbox", "currency": CURRENCY, "status": "ACTIVE", "type": "BUSINESS"})

    async def campaigns(request: Request) -> Response:
        query = _query(request)
        statuses = re.fullmatch(r"\(status:\(values:List\(([A-Z_,]+)\)\)\)", query.get("search", ""))
        size = int(query.get("pageSize", "100"))
        if request.path_params["account"] != ACCOUNT or query.get("q") != "search" or not statuses or not 1 <= size <= MOST_CAMPAIGNS:
            return _illegal("Invalid query parameters passed to request")
        rows = [_campaign(row) for row in served.newest("campaigns", "campaign_id")]
        rows = sorted((row for row in rows if row["status"] in statuses[1].split(",")), key=lambda row: row["id"])
        begin = _place(query.get("pageToken", ""))
        following = {"nextPageToken": _token(begin + size)} if begin + size < len(rows) else {}
        return JSONResponse({"elements": rows[begin : begin + size], "metadata": following})

    async def analytics(request: Request) -> Response:
        query = _query(request)
        pivots = re.fullmatch(r"List\(([A-Z_,]+)\)", query.get("pivots", ""))
        days = RANGE.fullmatch(query.get("dateRange", ""))
        is_right = query.get("q") == "statistics" and query.get("timeGranularity") == "(value:DAILY)"
        if not is_right or not pivots or not days or not set(pivots[1].split(",")) <= set(PIVOTS):
            return _illegal("Invalid query parameters passed to request")
        fields = query.get("fields", "impressions,clicks").split(",")
        if len(fields) > MOST_FIELDS:
            return _illegal(f"Number of fields requested exceeds the maximum of {MOST_FIELDS}")
        if unknown := set(fields) - {"dateRange", "pivotValues", *METRICS}:
            return _illegal(f"Invalid field selections: {sorted(unknown)}")
        if query.get("accounts") != f"List(urn%3Ali%3AsponsoredAccount%3A{ACCOUNT})":
            # whom it may not tell anything it tells that there is nothing
            return JSONResponse({"paging": {"start": 0, "count": 10, "links": []}, "elements": []})
        numbers = [int(one) for one in days.groups()]
        elements = _elements(served, date(*numbers[:3]), date(*numbers[3:]), pivots[1].split(","), fields)
        return JSONResponse({"paging": {"start": 0, "count": 10, "links": []}, "elements": elements[:MOST_ELEMENTS]})

    return [
        Route("/oauth/v2/accessToken", token, methods=["POST"]),
        Route(f"{BASE}/adAnalytics", analytics),
        Route(f"{BASE}/adAccounts/{{account}}", account),
        Route(f"{BASE}/adAccounts/{{account}}/adCampaigns", campaigns),
    ]


def _illegal(message: str) -> Response:
    return error(400, "ILLEGAL_ARGUMENT", message)


def _query(request: Request) -> dict[str, str]:
    """The query as it was sent: Restli reads an escaped sign as a part of a value."""
    return dict(part.split("=", 1) for part in request.url.query.split("&") if "=" in part)


def _elements(served: Served, first: date, last: date, pivots: list[str], fields: list[str]) -> list[Row]:
    def key(row: Row) -> tuple[str, ...]:
        return row["spend_date"], *(PIVOTS[pivot](row) for pivot in pivots)

    found = []
    for (day, *values), rows in itertools.groupby(sorted(served.spend(str(first), str(last)), key=key), key):
        some = list(rows)
        metrics = {name: METRICS[name](some) for name in fields if name in METRICS}
        # one that has nothing but zeros is not there
        if metrics and not any(float(value) for value in metrics.values()):
            continue
        on = dict(zip(("year", "month", "day"), (int(part) for part in day.split("-")), strict=True))
        own = {"dateRange": {"start": on, "end": on}, "pivotValues": values}
        found.append({**{name: value for name, value in own.items() if name in fields}, **metrics})
    return found


def _token(place: int) -> str:
    return base64.urlsafe_b64encode(f"campaigns:{place}".encode()).decode().rstrip("=")


def _place(token: str) -> int:
    return int(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().rpartition(":")[2]) if token else 0


def _milliseconds(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp() * 1000)


def _midnight(day: str, later: int = 0) -> int:
    return _milliseconds(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(ZONE)) + timedelta(days=later))


def _campaign(row: Row) -> Row:
    schedule = {"start": _midnight(row["starts_on"]), **({"end": _midnight(row["ends_on"], 1)} if row["ends_on"] else {})}
    budget = {"dailyBudget": {"amount": row["daily_budget"], "currencyCode": row["currency"]}} if row["daily_budget"] else {}
    return {
        "id": int(row["campaign_id"]), "name": row["name"], "status": str(row["status"]).upper(), "type": "SPONSORED_UPDATES", "costType": "CPM",
        "account": f"urn:li:sponsoredAccount:{ACCOUNT}", "campaignGroup": "urn:li:sponsoredCampaignGroup:610000001", "runSchedule": schedule, **budget,
        "changeAuditStamps": {
            "created": {"time": _midnight(row["starts_on"])}, "lastModified": {"time": _milliseconds(datetime.fromisoformat(row["updated_at"]))},
        },
        "test": False, "version": {"versionTag": "3"},
    }  # fmt: skip

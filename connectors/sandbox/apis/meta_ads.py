"""Meta's Marketing API over the sandbox world: an ad account's campaigns, and insights at once or by reports that take a while."""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.sandbox.apis.served import Row, Served

BASE = ""
TOKEN = "EAASandboxZCq0BAKx1y2z3"
CONNECTIONS = {"meta_ads_main": {"password": TOKEN}}
ACCOUNT, CURRENCY, ZONE = "200", "GBP", "Europe/London"
LIMITS = {"insights": ("/insights", ((600, 3600.0),)), "campaigns": ("/campaigns", ((300, 3600.0),))}
VERSION = re.compile(r"v(\d+)\.\d+")
OLDEST_VERSION = 24
# the looks at a report, by what each of them sees
STATES = (("Job Not Started", 0), ("Job Running", 50), ("Job Completed", 100))
LEVELS = ("account", "campaign", "adset", "ad")
# an insight's field: the row's
IDS = {"campaign": "campaign_id", "adset": "ad_group_id", "ad": "ad_id"}
METRICS = ("impressions", "clicks", "spend")
# one and the same purchase, as several kinds of action
PURCHASES = ("offsite_conversion.fb_pixel_purchase", "omni_purchase", "purchase")
FIELDS = frozenset([
    "account_id", "account_name", "account_currency", "campaign_id", "campaign_name", "adset_id", "adset_name", "ad_id", "ad_name", "reach",
    "frequency", "actions", "action_values", "date_start", "date_stop", *METRICS,
])  # fmt: skip
CAMPAIGN_FIELDS = frozenset([
    "id", "account_id", "name", "objective", "status", "effective_status", "daily_budget", "lifetime_budget", "start_time", "stop_time",
    "created_time", "updated_time",
])  # fmt: skip
SHOWN = ("ACTIVE", "PAUSED", "IN_PROCESS", "WITH_ISSUES")


class WrongError(Exception):
    """What was asked is answered with an error."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer


def error(status: int, code: int, message: str, subcode: int = 0, is_transient: bool = False, **more: Any) -> Response:
    said = {"message": message, "type": "OAuthException", "code": code, **({"error_subcode": subcode} if subcode else {})}
    return JSONResponse({"error": {**said, "is_transient": is_transient, "fbtrace_id": "AbCdEfGhIjKlMnOpQrStUvW", **more}}, status)


def too_many(seconds: float) -> Response:
    answer = error(400, 17, "User request limit reached", 2446079, True, error_user_title="Ad account has too many API calls")
    usage = {"acc_id_util_pct": 100.0, "reset_time_duration": math.ceil(seconds), "ads_api_access_tier": "standard_access"}
    answer.headers["x-ad-account-usage"] = json.dumps(usage)
    return answer


def missing(node: str) -> Response:
    text = f"Unsupported get request. Object with ID '{node}' does not exist, cannot be loaded due to missing permissions, or does not support this operation."
    return error(400, 100, text, 33)


FAULTS: dict[str, Callable[[], Response]] = {
    "expired": lambda: error(401, 190, "Error validating access token: Session has expired on Friday, 20-Nov-26 02:00:00 PST.", 463),
    "sunset": lambda: error(400, 2635, "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest version: v25.0."),
    "unpermitted": lambda: error(403, 200, "(#200) Ad account owner has NOT grant ads_management or ads_read permission."),
    "too_much": lambda: error(400, 100, "(#100) Invalid parameter", 1487534, error_user_title="You are asking for too much data"),
    "reduce": lambda: error(500, 1, "Please reduce the amount of data you're asking for, then retry your request"),
    "transient": lambda: error(400, 2, "An unexpected error has occurred. Please retry your request later.", is_transient=True),
    "missing": lambda: missing("0"),
    "job_failed": lambda: JSONResponse({"id": "0", "async_status": "Job Failed", "async_percent_completion": 80}),
    "job_stuck": lambda: JSONResponse({"id": "0", "async_status": "Job Running", "async_percent_completion": 99}),
}  # fmt: skip


def refused(request: Request) -> Response | None:
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return error(401, 190, "Invalid OAuth access token - Cannot parse access token")
    version = VERSION.fullmatch(request.url.path.split("/")[2])
    if not version or int(version[1]) < OLDEST_VERSION:
        return FAULTS["sunset"]()
    return None


def routes(served: Served) -> list[Route]:
    reports: dict[str, tuple[list[Row], Counter[str]]] = {}

    async def insights(request: Request) -> Response:
        node = request.path_params["node"]
        try:
            if request.method == "POST":
                form = {key: str(value) for key, value in (await request.form()).items()}
                name = str(6023920149050 + len(reports))
                reports[name] = _insights(served, node, {**request.query_params, **form}), Counter()
                return JSONResponse({"report_run_id": name})
            if node not in reports:
                return _page(request, _insights(served, node, request.query_params))
            rows, looks = reports[node]
            if looks["looks"] < len(STATES):
                return error(400, 100, "(#100) The report is not ready", 1815107)
            return _page(request, rows)
        except WrongError as wrong:
            return wrong.answer

    async def node(request: Request) -> Response:
        name = request.path_params["node"]
        if name == f"act_{ACCOUNT}":
            return JSONResponse({"id": name, "currency": CURRENCY, "timezone_name": ZONE})
        if name not in reports:
            return missing(name)
        looks = reports[name][1]
        looks["looks"] += 1
        status, percent = STATES[min(looks["looks"], len(STATES)) - 1]
        return JSONResponse({"id": name, "async_status": status, "async_percent_completion": percent})

    async def campaigns(request: Request) -> Response:
        if request.path_params["node"] != f"act_{ACCOUNT}":
            return missing(request.path_params["node"])
        try:
            fields = _fields(request.query_params.get("fields", "id"), CAMPAIGN_FIELDS)
            kinds = json.loads(request.query_params.get("effective_status", json.dumps(SHOWN)))
            rows = [_campaign(row) for row in served.newest("campaigns", "campaign_id")]
            rows = [row for row in rows if row["effective_status"] in kinds and _is_meant(row, request.query_params.get("filtering", "[]"))]
        except WrongError as wrong:
            return wrong.answer
        except ValueError:
            return error(400, 100, "(#100) Invalid parameter")
        # the newest first, as it comes
        rows.sort(key=lambda row: (row["updated_time"], row["id"]), reverse=True)
        return _page(request, [{key: value for key, value in row.items() if key in fields or key == "id"} for row in rows])

    return [
        Route("/{version}/{node}", node),
        Route("/{version}/{node}/insights", insights, methods=["GET", "POST"]),
        Route("/{version}/{node}/campaigns", campaigns),
    ]


def _fields(text: str, allowed: Iterable[str]) -> list[str]:
    found = text.split(",")
    if unknown := sorted(set(found) - set(allowed)):
        raise WrongError(error(400, 100, f"(#100) {', '.join(unknown)} are not valid for fields param."))
    return found


def _page(request: Request, rows: Sequence[Row]) -> Response:
    """A page of a list, from a cursor on; next stands there where there is another page, the cursors of every page that has rows."""
    size = int(request.query_params.get("limit", 25))
    begin = int(base64.b64decode(request.query_params.get("after", "MA==")))
    page = rows[begin : begin + size]
    body: dict[str, Any] = {"data": page}
    if page:
        before, after = (base64.b64encode(str(place).encode()).decode() for place in (begin, begin + len(page)))
        body["paging"] = {"cursors": {"before": before, "after": after}}
        if begin + size < len(rows):
            body["paging"]["next"] = str(request.url.include_query_params(after=after, access_token=TOKEN))
    return JSONResponse(body)


def _insights(served: Served, node: str, params: Any) -> list[Row]:
    """The figures of a node by day and by what a level has, as last restated; text as Meta writes numbers."""
    level = params.get("level", "account")
    fields = _fields(params.get("fields", "impressions,spend"), FIELDS)
    try:
        said = json.loads(params["time_range"])
        days = said["since"], said["until"]
        json.loads(params.get("filtering", "[]"))
    except (KeyError, ValueError):
        raise WrongError(error(400, 100, "(#100) param time_range must be a JSON object of since and until")) from None
    if level not in LEVELS or days[0] > days[1]:
        raise WrongError(error(400, 100, "(#100) Must be one of account, campaign, adset, ad, and since not after until"))
    rows = [row for row in served.spend(*days) if node in (f"act_{ACCOUNT}", *(row[own] for own in IDS.values()))]
    if node != f"act_{ACCOUNT}" and not rows and node not in {row["campaign_id"] for row in served.rows("campaigns")}:
        raise WrongError(missing(node))
    levels = LEVELS[1 : LEVELS.index(level) + 1]
    is_daily = str(params.get("time_increment", "")) == "1"

    def key(row: Row) -> tuple[str, ...]:
        return (row["spend_date"] if is_daily else "", *(row[IDS[one]] for one in levels))

    found = []
    for _, each in itertools.groupby(sorted(rows, key=key), key):
        some = list(each)
        first, last = (some[0]["spend_date"],) * 2 if is_daily else days
        everything = _insight(some, levels, is_broken_down=params.get("action_breakdowns") != "[]")
        kept = {name: value for name, value in everything.items() if name in fields}
        found.append({**kept, "date_start": first, "date_stop": last})
    return found


def _insight(rows: Sequence[Row], levels: Sequence[str], is_broken_down: bool) -> Row:
    one = rows[0]
    total = {name: sum(Decimal(row[name]) for row in rows) for name in (*METRICS, "conversions", "conversion_value")}
    names = {f"{level}_{part}": one[IDS[level]] if part == "id" else _name(one, level) for level in levels for part in ("id", "name")}
    # by where people were sent some of them are told of no destination, and left out
    share = Decimal("0.9") if is_broken_down else Decimal(1)
    actions = [("link_click", total["clicks"])] + [(kind, total["conversions"] * share) for kind in PURCHASES]
    values = [(kind, total["conversion_value"] * share) for kind in PURCHASES]
    return {
        "account_id": ACCOUNT,
        "account_name": "Sandbox",
        "account_currency": CURRENCY,
        **names,
        **{name: str(total[name]) for name in METRICS},
        "reach": str(int(total["impressions"] * Decimal("0.8"))),
        "actions": [{"action_type": kind, "value": str(value)} for kind, value in actions],
        "action_values": [{"action_type": kind, "value": str(value)} for kind, value in values],
    }


def _name(row: Row, level: str) -> str:
    return str(row["campaign_name"]) if level == "campaign" else f"{row['campaign_name']}-{row[IDS[level]][-2:]}"


def _stamp(text: str) -> str:
    """As Meta writes instants: in the account's time zone, 2026-11-20T10:11:12+0000."""
    return datetime.fromisoformat(text).astimezone(ZoneInfo(ZONE)).strftime("%Y-%m-%dT%H:%M:%S%z")


def _midnight(day: str, later: int = 0) -> str:
    return (datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(ZONE)) + timedelta(days=later)).strftime("%Y-%m-%dT%H:%M:%S%z")


def _campaign(row: Row) -> Row:
    status = str(row["status"]).upper()
    budget = {"daily_budget": str(int(Decimal(row["daily_budget"]) * 100))} if row["daily_budget"] else {}
    ends = {"stop_time": _midnight(row["ends_on"], 1)} if row["ends_on"] else {}
    return {
        "id": row["campaign_id"], "account_id": ACCOUNT, "name": row["name"], "objective": "OUTCOME_SALES", "status": status,
        "effective_status": status, **budget, "start_time": _midnight(row["starts_on"]), **ends,
        "created_time": _midnight(row["starts_on"]), "updated_time": _stamp(row["updated_at"]),
    }  # fmt: skip


def _is_meant(row: Row, text: str) -> bool:
    """Whether a campaign was updated later than the filter says, in seconds since 1970."""
    for one in json.loads(text):
        if one["field"] != "campaign.updated_time" or one["operator"] != "GREATER_THAN":
            raise WrongError(error(400, 100, f"(#100) Filtering field {one['field']} with operation {one['operator']} is not supported"))
        if datetime.fromisoformat(row["updated_time"]).timestamp() <= one["value"]:
            return False
    return True

"""TikTok Business v1.3 over the sandbox world: synchronous reports and campaigns of one advertiser. Every answer is 200; its code says the rest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.sandbox.apis.served import Row, Served

BASE = "/open_api/v1.3"
TOKEN = "sandbox-tiktok-0123456789abcdef"
ADVERTISER = "7321000000000000210"
CONNECTIONS = {"tiktok_ads_main": {"password": TOKEN}}
LIMITS = {"all": ("", ((10, 1.0), (600, 60.0)))}
MOST_DAYS, MOST_PAGE = timedelta(days=30), 1000
# by what the report is about: the dimension of a row, and what a row may say beside the figures
LEVELS = {
    "AUCTION_AD": ("ad_id", {"campaign_id", "campaign_name", "adgroup_id", "currency"}),
    "AUCTION_CAMPAIGN": ("campaign_id", {"campaign_name", "currency"}),
}
# by a metric: the figure of the world's rows, and its smallest part
FIGURES = {
    "spend": ("spend", Decimal("0.000001")), "impressions": ("impressions", Decimal(1)), "clicks": ("clicks", Decimal(1)),
    "conversion": ("conversions", Decimal("0.0001")), "total_complete_payment_rate": ("conversion_value", Decimal("0.01")),
}  # fmt: skip
NAMES = {"campaign_id": "campaign_id", "campaign_name": "campaign_name", "adgroup_id": "ad_group_id", "currency": "currency"}
PAGED = {"advertiser_id", "page", "page_size", "filtering"}
REPORT = PAGED | {"service_type", "report_type", "data_level", "dimensions", "metrics", "start_date", "end_date"}
STATUS = {
    "active": ("ENABLE", "CAMPAIGN_STATUS_ENABLE"),
    "paused": ("DISABLE", "CAMPAIGN_STATUS_DISABLE"),
    "deleted": ("DELETE", "CAMPAIGN_STATUS_DELETE"),
}


def said(code: int, message: str, data: Mapping[str, Any] | None = None) -> JSONResponse:
    """An answer in the vendor's envelope."""
    log = hashlib.sha256(message.encode()).hexdigest()[:32].upper()
    return JSONResponse({"code": code, "message": message, "request_id": f"20261121{log}", "data": data or {}})


def too_many(seconds: float) -> Response:
    """It does not say how long to wait."""
    return said(40100, "Requests made too frequently.")


FAULTS = {
    "expired": lambda: said(40105, "Access token is incorrect or has been revoked."),
    "sunset": lambda: said(40006, "The API does not exist, or its version has been taken offline."),
    "too_large": lambda: said(40067, "The query is too large. Reduce the amount of data that you ask for."),
    "maintenance": lambda: said(60001, "Internal service is under maintenance."),
}


def refused(request: Request) -> Response | None:
    if request.headers.get("Access-Token") != TOKEN:
        return FAULTS["expired"]()
    if request.query_params.get("advertiser_id") != ADVERTISER:
        return said(40001, "No permission to operate advertiser.")
    return None


def routes(served: Served) -> list[Route]:
    async def report(request: Request) -> Response:
        asked = request.query_params
        try:
            refuse_unknown(asked, REPORT)
            dimension, own = LEVELS[asked["data_level"]]
            first, last = (date.fromisoformat(asked[name]) for name in ("start_date", "end_date"))
            metrics = json.loads(asked["metrics"])
            if set(json.loads(asked["dimensions"])) != {dimension, "stat_time_day"} or set(metrics) - own - set(FIGURES):
                raise ValueError("dimensions or metrics")
            if not first <= last < first + MOST_DAYS or (asked.get("service_type"), asked["report_type"]) != ("AUCTION", "BASIC"):
                raise ValueError("start_date, end_date, service_type or report_type")
            meant = meant_campaigns(asked.get("filtering", "[]"))
            grouped: dict[tuple[str, str], list[Row]] = {}
            for row in served.spend(str(first), str(last)):
                if meant is None or row["campaign_id"] in meant:
                    grouped.setdefault((row["spend_date"], row[dimension]), []).append(row)
            return page([_figures(day, dimension, name, metrics, rows) for (day, name), rows in grouped.items()], asked)
        except (KeyError, ValueError, TypeError) as wrong:
            return said(40002, f"Invalid value of {wrong}")

    async def campaigns(request: Request) -> Response:
        asked = request.query_params
        try:
            refuse_unknown(asked, PAGED)
            wanted = json.loads(asked.get("filtering", "{}")).get("secondary_status", "")
        except (ValueError, AttributeError) as wrong:
            return said(40002, f"Invalid value of {wrong}")
        found = sorted(map(_campaign, served.newest("campaigns", "campaign_id")), key=lambda one: str(one["campaign_id"]))
        if wanted != "CAMPAIGN_STATUS_ALL":
            found = [one for one in found if one["operation_status"] != "DELETE"]
        return page(found, asked)

    return [Route(f"{BASE}/report/integrated/get/", report), Route(f"{BASE}/campaign/get/", campaigns)]


def refuse_unknown(asked: Mapping[str, str], allowed: set[str]) -> None:
    if unknown := sorted(set(asked) - allowed):
        raise ValueError(f"{unknown}")


def meant_campaigns(filtering: str) -> set[str] | None:
    """The campaigns that a report is about, None for all."""
    for one in json.loads(filtering):
        if (one["field_name"], one["filter_type"]) != ("campaign_ids", "IN") or len(ids := json.loads(one["filter_value"])) > 100:
            raise ValueError("filtering")
        return set(ids)
    return None


def page(rows: Sequence[Row], asked: Mapping[str, str]) -> Response:
    number, size = (int(asked.get(name, usual)) for name, usual in (("page", "1"), ("page_size", "10")))
    if number < 1 or not 1 <= size <= MOST_PAGE:
        return said(40002, f"page_size: it must be between 1 and {MOST_PAGE}")
    info = {"page": number, "page_size": size, "total_number": len(rows), "total_page": math.ceil(len(rows) / size)}
    return said(0, "OK", {"list": rows[(number - 1) * size : number * size], "page_info": info})


def _figures(day: str, dimension: str, name: str, metrics: Sequence[str], rows: Sequence[Row]) -> Row:
    def figure(metric: str) -> str:
        if metric in NAMES:
            return str(rows[0][NAMES[metric]])
        column, part = FIGURES[metric]
        return str(sum((Decimal(row[column]) for row in rows), Decimal()).quantize(part))

    # every figure is a text
    return {"dimensions": {dimension: name, "stat_time_day": f"{day} 00:00:00"}, "metrics": {metric: figure(metric) for metric in metrics}}


def _campaign(row: Row) -> Row:
    operation, secondary = STATUS[row["status"]]
    budget = row["daily_budget"]
    return {
        "campaign_id": row["campaign_id"], "campaign_name": row["name"], "advertiser_id": ADVERTISER, "operation_status": operation,
        "secondary_status": secondary, "budget_mode": "BUDGET_MODE_DAY" if budget else "BUDGET_MODE_INFINITE", "budget": float(budget or 0),
        "objective_type": "WEB_CONVERSIONS", "campaign_type": "REGULAR_CAMPAIGN", "is_smart_performance_campaign": False,
        "create_time": f"{row['starts_on']} 00:00:00", "modify_time": row["updated_at"][:19].replace("T", " "),
    }  # fmt: skip

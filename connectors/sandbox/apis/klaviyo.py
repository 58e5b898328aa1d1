"""Klaviyo's API over the sandbox world: its newsletters' campaigns and events, and the profiles with what they allow (JSON:API, cursors)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.sandbox.apis.served import Row, Served

BASE = "/api"
MEDIA_TYPE = "application/vnd.api+json"
KEY = "pk_sandbox_0123456789abcdef"
CONNECTIONS = {"klaviyo_main": {"password": KEY}}
LIMITS = {
    "events": ("/events", ((350, 1.0), (3500, 60.0))),
    "profiles": ("/profiles", ((75, 1.0), (700, 60.0))),
    "campaigns": ("/(campaigns|metrics)", ((10, 1.0), (150, 60.0))),
}
REVISION = re.compile(r"\d{4}-\d{2}-\d{2}")
METRICS = {
    "sent": "Received Email", "delivered": "Delivered Email", "bounced": "Bounced Email", "opened": "Opened Email", "clicked": "Clicked Email",
    "unsubscribed": "Unsubscribed from Email Marketing", "complained": "Marked Email as Spam",
}  # fmt: skip
COMPARED: dict[str, Callable[[str, str], bool]] = {
    "greater-than": lambda a, b: a > b,
    "greater-or-equal": lambda a, b: a >= b,
    "less-than": lambda a, b: a < b,
    "less-or-equal": lambda a, b: a <= b,
    "equals": lambda a, b: a == b,
}
# what may be asked of a collection, by the vendor's own document
FILTERS: dict[str, dict[str, tuple[str, ...]]] = {
    "events": {"datetime": ("greater-than", "greater-or-equal", "less-than", "less-or-equal")},
    "profiles": {"updated": ("greater-than", "less-than")},
    "campaigns": {"messages.channel": ("equals",), "updated_at": ("greater-or-equal", "less-than")},
}


def error(status: int, code: str, title: str, detail: str) -> JSONResponse:
    body = {
        "errors": [
            {
                "id": "5f1c7e9a-0000-4000-8000-000000000000",
                "status": status,
                "code": code,
                "title": title,
                "detail": detail,
                "source": {"pointer": "/data/"},
            }
        ]
    }
    return JSONResponse(body, status, media_type=MEDIA_TYPE)


def too_many(seconds: float) -> Response:
    answer = error(429, "throttled", "Request was throttled.", f"Expected available in {int(seconds) + 1} seconds.")
    answer.headers["Retry-After"] = str(int(seconds) + 1)
    return answer


FAULTS = {
    "expired": lambda: error(401, "not_authenticated", "Authentication credentials were not provided.", "Missing or invalid private key."),
    "sunset": lambda: error(410, "gone", "The revision you specified is no longer supported.", "Use a newer revision."),
}


def refused(request: Request) -> Response | None:
    if request.headers.get("Authorization") != f"Klaviyo-API-Key {KEY}":
        return FAULTS["expired"]()
    if not REVISION.fullmatch(request.headers.get("revision", "")):
        return error(400, "invalid", "Invalid input.", "The revision header is missing or no date.")
    return None


def routes(served: Served) -> list[Route]:
    async def events(request: Request) -> Response:
        rows = [_event(row) for row in served.rows("email_events") if row["event"] in METRICS]
        return _collection(request, "events", sorted(rows, key=lambda row: (row["attributes"]["datetime"], row["id"])), 1000)

    async def profiles(request: Request) -> Response:
        rows = [_profile(row) for row in served.newest("consents", "crm_id")]
        return _collection(request, "profiles", sorted(rows, key=lambda row: (row["attributes"]["updated"], row["id"])), 100)

    async def campaigns(request: Request) -> Response:
        rows = [_campaign(row) for row in served.newest("campaigns", "campaign_id")]
        return _collection(request, "campaigns", sorted(rows, key=lambda row: (row["attributes"]["updated_at"], row["id"])), 100)

    return [Route(f"{BASE}/{name}", endpoint) for name, endpoint in (("events", events), ("profiles", profiles), ("campaigns", campaigns))]


def _collection(request: Request, name: str, rows: Sequence[Row], most: int) -> Response:
    """A page of a collection: filtered, from a cursor on."""
    allowed = {
        "filter",
        "sort",
        "include",
        "page[cursor]",
        "page[size]",
        *(one for one in request.query_params if one.startswith(("fields[", "additional-fields["))),
    }
    if unknown := sorted(set(request.query_params) - allowed):
        return error(400, "invalid", "Invalid input.", f"{unknown} are no valid query parameters.")
    try:
        kept = [row for row in rows if _is_meant(name, request.query_params.get("filter", ""), row["attributes"])]
        size = int(request.query_params.get("page[size]", 20 if name == "profiles" else most))
        begin = _place(request.query_params.get("page[cursor]"))
    except ValueError as wrong:
        return error(400, "invalid", "Invalid input.", str(wrong))
    if not 1 <= size <= most:
        return error(400, "invalid", "Invalid input.", f"page[size] must be between 1 and {most}")
    page, base = kept[begin : begin + size], str(request.url)
    following = str(request.url.include_query_params(**{"page[cursor]": _cursor(begin + size)})) if begin + size < len(kept) else None
    body: dict[str, Any] = {"data": page, "links": {"self": base, "next": following, "prev": None}}
    if "metric" in request.query_params.get("include", "").split(","):
        ids = {row["relationships"]["metric"]["data"]["id"] for row in page}
        body["included"] = [_metric(event) for event in METRICS if _metric_id(event) in ids]
    return JSONResponse(body, media_type=MEDIA_TYPE)


def _is_meant(name: str, text: str, attributes: Row) -> bool:
    for part in filter(None, re.split(r"(?<=\)),", text)):
        found = re.fullmatch(r"([a-z-]+)\(([a-z_.]+),[\"']?([^\"')]*)[\"']?\)", part)
        if not found or found[1] not in FILTERS[name].get(found[2], ()):
            raise ValueError(f"{part} is no filter of {name}")
        if found[2] == "messages.channel":
            continue
        if not COMPARED[found[1]](attributes[found[2]][:19], found[3].replace("Z", "+00:00")[:19]):
            return False
    return True


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"next::id::{place}".encode()).decode().rstrip("=")


def _place(cursor: str | None) -> int:
    if not cursor:
        return 0
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    return int(text.rpartition("::")[2])


def _stamp(text: str) -> str:
    """As Klaviyo writes instants: seconds and an offset."""
    return f"{text[:19]}+00:00"


def _metric_id(event: str) -> str:
    return f"MET{[*METRICS].index(event):03d}"


def _metric(event: str) -> Row:
    attributes = {
        "name": METRICS[event],
        "created": "2024-01-01T00:00:00+00:00",
        "updated": "2024-01-01T00:00:00+00:00",
        "integration": {"object": "integration", "id": "0rG4eQ", "name": "Klaviyo", "category": "Internal"},
    }
    return {
        "type": "metric",
        "id": _metric_id(event),
        "attributes": attributes,
        "links": {"self": f"https://a.klaviyo.com/api/metrics/{_metric_id(event)}/"},
    }


def _event(row: Row) -> Row:
    properties = {
        "Recipient Email Address": row["email"], "Campaign Name": row["campaign_name"], "$message": row["campaign_id"],
        "External ID": row["crm_id"], "URL": row.get("url"), "User Agent": row.get("user_agent"),
    }  # fmt: skip
    attributes = {
        "timestamp": _seconds(row["event_at"]), "event_properties": {k: v for k, v in properties.items() if v is not None},
        "datetime": row["event_at"].replace("Z", "+00:00"), "uuid": "00000000-0000-11f0-8001-" + row["id"][-12:],
    }  # fmt: skip
    related = {
        "metric": {"data": {"type": "metric", "id": _metric_id(row["event"])}},
        "profile": {"data": {"type": "profile", "id": f"01{row['crm_id'].upper()}"}},
    }
    return {
        "type": "event",
        "id": row["id"],
        "attributes": attributes,
        "relationships": related,
        "links": {"self": f"https://a.klaviyo.com/api/events/{row['id']}/"},
    }


def _seconds(text: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(text).timestamp())


def _profile(row: Row) -> Row:
    marketing = {
        "can_receive_email_marketing": bool(row["granted"]), "consent": "SUBSCRIBED" if row["granted"] else "UNSUBSCRIBED",
        "consent_timestamp": row["updated_at"].replace("Z", "+00:00"), "last_updated": row["updated_at"].replace("Z", "+00:00"), "method": "FORM",
    }  # fmt: skip
    attributes = {
        "email": row["email"], "external_id": row["crm_id"], "created": _stamp(row["updated_at"]), "updated": _stamp(row["updated_at"]),
        "subscriptions": {"email": {"marketing": marketing}},
    }  # fmt: skip
    return {
        "type": "profile",
        "id": f"01{row['crm_id'].upper()}",
        "attributes": attributes,
        "links": {"self": f"https://a.klaviyo.com/api/profiles/01{row['crm_id'].upper()}/"},
    }


def _campaign(row: Row) -> Row:
    attributes = {
        "name": row["name"], "status": "Sent", "archived": False, "created_at": _stamp(row["updated_at"]), "scheduled_at": _stamp(row["updated_at"]),
        "updated_at": row["updated_at"].replace("Z", "+00:00"), "send_time": _stamp(row["updated_at"]),
        "audiences": {"included": ["Y6nRLr"], "excluded": []}, "send_options": {"use_smart_sending": False},
        "send_strategy": {"method": "immediate"},
    }  # fmt: skip
    return {
        "type": "campaign",
        "id": row["campaign_id"],
        "attributes": attributes,
        "links": {"self": f"https://a.klaviyo.com/api/campaigns/{row['campaign_id']}/"},
    }

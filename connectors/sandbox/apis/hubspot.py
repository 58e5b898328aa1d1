"""HubSpot's CRM API over the sandbox world: its contacts as they are, by search, and those that were archived, by list and by id.

A row of the contacts with an `archived_at` is a contact that was deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.sandbox.apis.served import Row, Served

TOKEN = "pat-eu1-sandbox-0123-4567-89abcdef"
CONNECTIONS = {"hubspot_main": {"password": TOKEN}}
VERSION = "2026-03"
LIMITS = {"search": ("/search$", ((5, 1.0),)), "all": ("^/crm", ((190, 10.0),))}
MOST_FOUND, SEARCH_PAGE, LIST_PAGE, READ_IDS, LONGEST_URL = 10_000, 200, 100, 100, 8_000
FIRST_ID = 101
COMPARED: dict[str, Callable[[int, int], bool]] = {
    "EQ": lambda a, b: a == b,
    "GT": lambda a, b: a > b,
    "GTE": lambda a, b: a >= b,
    "LT": lambda a, b: a < b,
    "LTE": lambda a, b: a <= b,
}
# what these sandbox contacts can be searched and sorted by
SEARCHED: dict[str, Callable[[Row], int]] = {
    "hs_object_id": lambda row: int(row["id"]),
    "lastmodifieddate": lambda row: _millis(row["updatedAt"]),
    "createdate": lambda row: _millis(row["createdAt"]),
}


class Found(NamedTuple):
    """A contact, and the numbers that it is searched and sorted by."""

    numbers: dict[str, int]
    row: Row


Filter = tuple[Callable[[int, int], bool], str, int]


def error(status: int, category: str, message: str, **more: Any) -> JSONResponse:
    said = {"status": "error", "message": message, "correlationId": "5f1c7e9a-0000-4000-8000-000000000000", "category": category}
    return JSONResponse(said | more, status)


def too_many(seconds: float) -> Response:
    # it does not say how long
    answer = error(429, "RATE_LIMITS", "You have reached your secondly limit.", errorType="RATE_LIMIT", policyName="SECONDLY")
    answer.headers["X-HubSpot-RateLimit-Remaining"] = "0"
    return answer


FAULTS = {
    "expired": lambda: error(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired 3 hour(s) ago."),
    "malformed": lambda: Response("error code: 1016", 530),
    "locked": lambda: error(423, "LOCKED", "Some of the objects are locked by another sync."),
    "sunset": lambda: Response("<html>404</html>", 404, media_type="text/html"),
}


def refused(request: Request) -> Response | None:
    if len(str(request.url)) > LONGEST_URL:
        return Response("<html>414 Request-URI Too Large</html>", 414, media_type="text/html")
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
    return None


def routes(served: Served) -> list[Route]:
    seen: dict[bool, tuple[list[int], list[Found]]] = {}

    def contacts(is_archived: bool) -> list[Found]:
        """The contacts by id, made anew where there are other rows than when they were asked for last."""
        rows = list(map(id, served.rows("contacts")))
        if is_archived not in seen or seen[is_archived][0] != rows:
            kept = [_contact(row) for row in served.newest("contacts", "crm_id") if bool(row.get("archived_at")) == is_archived]
            found = [Found({name: number(row) for name, number in SEARCHED.items()}, row) for row in kept]
            seen[is_archived] = rows, sorted(found, key=lambda one: one.numbers["hs_object_id"])
        return seen[is_archived][1]

    async def search(request: Request) -> Response:
        asked = await request.json()
        begin, size = int(asked.get("after") or 0), int(asked.get("limit", 10))
        if begin + size > MOST_FOUND:
            return error(400, "VALIDATION_ERROR", f"The requested page is beyond the {MOST_FOUND} results that a search gives.")
        try:
            groups = [[_filter(one) for one in group["filters"]] for group in asked.get("filterGroups", [])]
            kept = [one for one in contacts(is_archived=False) if not groups or any(_holds(group, one.numbers) for group in groups)]
            for sort in reversed(asked.get("sorts", [])):
                kept.sort(key=lambda one, name=sort["propertyName"]: one.numbers[name], reverse=sort["direction"] == "DESCENDING")  # type: ignore[misc]
        except (KeyError, ValueError, TypeError) as wrong:
            return error(400, "VALIDATION_ERROR", f"Invalid input JSON: {wrong}")
        if not 1 <= size <= SEARCH_PAGE:
            return error(400, "VALIDATION_ERROR", f"limit must be between 1 and {SEARCH_PAGE}")
        return JSONResponse({"total": len(kept)} | _page(kept, begin, size, asked.get("properties", ())))

    async def listed(request: Request) -> Response:
        size, begin = int(request.query_params.get("limit", 10)), int(request.query_params.get("after", 0))
        if not 1 <= size <= LIST_PAGE:
            return error(400, "VALIDATION_ERROR", f"limit must be between 1 and {LIST_PAGE}")
        found = contacts(request.query_params.get("archived") == "true")
        answer = JSONResponse(_page(found, begin, size, request.query_params.get("properties", "").split(",")))
        answer.headers["X-HubSpot-RateLimit-Max"] = "190"
        answer.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] = "10000"
        return answer

    async def read(request: Request) -> Response:
        asked = await request.json()
        ids = {one["id"] for one in asked["inputs"]}
        if len(ids) > READ_IDS:
            return error(400, "VALIDATION_ERROR", f"The maximum number of items is {READ_IDS}")
        found = [one for one in contacts(request.query_params.get("archived") == "true") if one.row["id"] in ids]
        page = _page(found, 0, READ_IDS, asked.get("properties", ()))
        missing = sorted(ids - {one.row["id"] for one in found})
        told: Row = {
            "numErrors": len(missing),
            "errors": [{"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": missing}}],
        }
        return JSONResponse({"status": "COMPLETE", **page, **(told if missing else {})}, 207 if missing else 200)

    base = f"/crm/objects/{VERSION}/contacts"
    return [
        Route(base, listed),
        Route(f"{base}/search", search, methods=["POST"]),
        Route(f"{base}/batch/read", read, methods=["POST"]),
    ]


def _filter(said: Row) -> Filter:
    """What a filter asks. Raises KeyError for what cannot be asked, ValueError for what is no number."""
    return COMPARED[said["operator"]], said["propertyName"], _number(said["value"])


def _holds(group: Sequence[Filter], numbers: dict[str, int]) -> bool:
    return all(compared(numbers[name], value) for compared, name, value in group)


def _page(rows: Sequence[Found], begin: int, size: int, names: Sequence[str]) -> Row:
    """A page of records, of which only the properties that were asked for come."""
    wanted = {"createdate", "hs_object_id", "lastmodifieddate", *filter(None, names)}
    page = [{**one.row, "properties": {name: one.row["properties"].get(name) for name in wanted}} for one in rows[begin:][:size]]
    following = {"paging": {"next": {"after": str(begin + size), "link": "?after="}}} if begin + size < len(rows) else {}
    return {"results": page, **following}


def _contact(row: Row) -> Row:
    # it gives no contact the number 0
    number = str(FIRST_ID + int(re.sub(r"\D", "", row["crm_id"])))
    properties = {
        "email": row["email"], "phone": row["phone"], "firstname": row["first_name"], "lastname": row["last_name"],
        "hs_country_region_code": row["country"], "lifecyclestage": "lead", "createdate": row["created_at"],
        "lastmodifieddate": row["updated_at"], "hs_object_id": number, "crm_id": row["crm_id"],
    }  # fmt: skip
    said = {"id": number, "properties": properties, "createdAt": row["created_at"], "updatedAt": row["updated_at"], "archived": False}
    return said | ({"archived": True, "archivedAt": row["archived_at"]} if row.get("archived_at") else {})


def _number(value: str) -> int:
    return int(value) if value.isdigit() else _millis(value)


def _millis(text: str) -> int:
    return (datetime.fromisoformat(text).astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

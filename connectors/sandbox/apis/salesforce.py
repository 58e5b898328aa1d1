"""Salesforce's REST API and Bulk API 2.0 over the sandbox world: its leads, its deals as opportunities, and their history.

A record's Id is the id of the event that made it, which has a Salesforce id's 18 letters. A row of the same id that came later is its last state:
is_deleted says that it is in the bin, modified_at when it was written where that is earlier than when it could be seen.
"""

from __future__ import annotations

import csv
import io
import itertools
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.sandbox.apis.served import Row, Served

CLIENT, SECRET, TOKEN = "3MVG9sandbox0123456789", "sandbox-secret-0123456789", "00Dsandbox!AQ0123456789abcdef"
CONNECTIONS = {
    "salesforce_main": {"login": CLIENT, "password": SECRET, "extra": {"token_url": "{url}/services/oauth2/token"}},
}
VERSION = "v67.0"
LIMITS = {"day": ("/services/data", ((100_000, 86_400.0),))}
DAY_CALLS, PAGE, LONGEST_URL = 100_000, 2_000, 16_384
QUESTION = re.compile(r"SELECT (.+) FROM (\w+)(?: WHERE (.+?))?(?: LIMIT (\d+))?")
CONDITION = re.compile(r"(\w+) (>=|<=|>|<|=) (\S+)")
COMPARED: dict[str, Callable[[str, str], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq,
}  # fmt: skip
STAGES = {"deal_created": "Prospecting", "deal_won": "Closed Won", "deal_lost": "Closed Lost"}


def error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse([{"message": message, "errorCode": code}], status)


def too_many(seconds: float) -> Response:
    return error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")


def job(state: str, **more: Any) -> JSONResponse:
    return JSONResponse({"id": "750sandbox00000001", "operation": "queryAll", "state": state, "apiVersion": 67.0, **more})


FAULTS = {
    "expired": lambda: error(401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "sunset": lambda: error(410, "UNSUPPORTED_API_VERSION", "The requested API version is no longer supported."),
    "query_timeout": lambda: error(400, "QUERY_TIMEOUT", "Your query request was running for too long."),
    "lost_locator": lambda: error(400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
    "no_bulk": lambda: error(400, "INVALIDENTITY", "CSV query is not supported for this entity."),
    "lost_job": lambda: error(404, "NOT_FOUND", "The requested resource does not exist"),
    "failed_job": lambda: job("Failed", errorMessage="InternalServerError: retry the job"),
    "timed_out_job": lambda: job("Failed", errorMessage="QUERY_TIMEOUT: Your query request was running for too long."),
}


def refused(request: Request) -> Response | None:
    if len(str(request.url)) > LONGEST_URL:
        return Response("URI Too Long", 414, media_type="text/html")
    if request.url.path.endswith("/oauth2/token") or request.headers.get("Authorization") == f"Bearer {TOKEN}":
        return None
    return FAULTS["expired"]()


def routes(served: Served) -> list[Route]:
    cursors: dict[str, list[Row]] = {}
    jobs: dict[str, dict[str, Any]] = {}
    numbers, calls = itertools.count(1), itertools.count(1)

    def told(answer: Response) -> Response:
        answer.headers["Sforce-Limit-Info"] = f"api-usage={next(calls)}/{DAY_CALLS}"
        return answer

    async def token(request: Request) -> Response:
        form = await request.form()
        if (form.get("grant_type"), form.get("client_id"), form.get("client_secret")) != ("client_credentials", CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client", "error_description": "invalid client credentials"}, 400)
        instance = str(request.url).removesuffix("/services/oauth2/token")
        return JSONResponse({"access_token": TOKEN, "instance_url": instance, "token_type": "Bearer", "signature": "c2FuZGJveA=="})

    async def query(request: Request) -> Response:
        asked = answered(served, request.query_params.get("q", ""), request.url.path.endswith("queryAll"))
        if isinstance(asked, Response):
            return asked
        name, fields, rows = asked
        cursors[locator := f"01gsandbox{next(numbers):08d}"] = [nested(name, fields, row) for row in rows]
        return told(page(request, locator, 0))

    async def more(request: Request) -> Response:
        locator, _, place = request.path_params["locator"].rpartition("-")
        if locator not in cursors:
            return error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return told(page(request, locator, int(place)))

    def page(request: Request, locator: str, begin: int) -> Response:
        rows = cursors[locator]
        following = f"/services/data/{VERSION}/{request.url.path.split('/')[5]}/{locator}-{begin + PAGE}"
        end = {"done": False, "nextRecordsUrl": following} if begin + PAGE < len(rows) else {"done": True}
        return JSONResponse({"totalSize": len(rows), **end, "records": rows[begin : begin + PAGE]})

    async def submit(request: Request) -> Response:
        said = await request.json()
        asked = answered(served, said["query"], said["operation"] == "queryAll")
        if isinstance(asked, Response):
            return asked
        number = f"750sandbox{next(numbers):08d}"
        jobs[number] = {"states": ["UploadComplete", "InProgress", "JobComplete"], "fields": asked[1], "rows": asked[2]}
        return told(job("UploadComplete", id=number, object=asked[0]))

    async def state(request: Request) -> Response:
        one = jobs.get(request.path_params["job"])
        if one is None:
            return FAULTS["lost_job"]()
        now = one["states"].pop(0) if len(one["states"]) > 1 else one["states"][0]
        return told(job(now, id=request.path_params["job"]))

    async def results(request: Request) -> Response:
        one = jobs.get(request.path_params["job"])
        if one is None or len(one["states"]) > 1:
            return FAULTS["lost_job"]()
        begin, size = int(request.query_params.get("locator", 0)), int(request.query_params.get("maxRecords", 50_000))
        rows = one["rows"][begin : begin + size]
        is_last = begin + size >= len(one["rows"])
        headers = {"Sforce-Locator": "null" if is_last else str(begin + size), "Sforce-NumberOfRecords": str(len(rows))}
        return told(Response(table(one["fields"], rows), headers=headers, media_type="text/csv"))

    base = f"/services/data/{VERSION}"
    return [
        Route("/services/oauth2/token", token, methods=["POST"]),
        *(Route(f"{base}/{name}", query) for name in ("query", "queryAll")),
        *(Route(f"{base}/{name}/{{locator}}", more) for name in ("query", "queryAll")),
        Route(f"{base}/jobs/query", submit, methods=["POST"]),
        Route(f"{base}/jobs/query/{{job}}", state),
        Route(f"{base}/jobs/query/{{job}}/results", results),
    ]


def answered(served: Served, text: str, with_deleted: bool) -> tuple[str, list[str], list[Row]] | Response:
    """The object, the fields and the records, as {field: value}, that a question in SOQL asks for."""
    found = QUESTION.fullmatch(text.strip())
    if not found:
        return error(400, "MALFORMED_QUERY", f"unexpected token in {text[:80]!r}")
    listed, name, where, most = found.groups()
    fields, parts = [one.strip() for one in listed.split(",")], where.split(" AND ") if where else []
    conditions = [one.groups() for part in parts if (one := CONDITION.fullmatch(part))]
    if name not in OBJECTS:
        return error(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
    if len(conditions) < len(parts):
        return error(400, "MALFORMED_QUERY", f"unexpected token in {where!r}")
    own, rows = OBJECTS[name][0], OBJECTS[name][1](served)
    if unknown := [one for one in fields if one not in own and not one.endswith("_of_the_organisation__c")]:
        return error(400, "INVALID_FIELD", f"No such column '{unknown[0]}' on entity '{name}'.")
    for field, compared, value in conditions:
        rows = [row for row in rows if COMPARED[compared](_second(row[field]), _second(value))]
    rows = [row for row in rows if with_deleted or not row["IsDeleted"]]
    return name, fields, rows[: int(most) if most else None]


def nested(name: str, fields: Sequence[str], row: Row) -> Row:
    """A record as REST writes it: a field of another object within that object."""
    found: Row = {"attributes": {"type": name, "url": f"/services/data/{VERSION}/sobjects/{name}/{row['Id']}"}}
    for field in fields:
        other, _, own = field.rpartition(".")
        (found.setdefault(other, {"attributes": {"type": other}}) if other else found)[own] = row.get(field)
    return found


def table(fields: Sequence[str], rows: Sequence[Row]) -> str:
    """Records as Bulk writes them: all quoted, nothing for none."""
    text = io.StringIO()
    written = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    written.writerow(fields)
    written.writerows([_plain(row.get(field)) for field in fields] for row in rows)
    return text.getvalue()


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    return text.replace("+0000", "Z") if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+0000", text) else text


def _second(text: str) -> str:
    return str(text)[:19]


def _stamp(text: str) -> str:
    """As REST writes instants."""
    return text.replace("Z", "+0000")


def _shared(row: Row) -> Row:
    written = str(row.get("modified_at", row["received_at"]))
    return {
        "Id": row["id"],
        "IsDeleted": bool(row.get("is_deleted")),
        "CreatedDate": _stamp(row["event_at"]),
        "SystemModstamp": _stamp(f"{written[:19]}.000Z"),
    }


def _of_events(served: Served, *events: str) -> list[Row]:
    """The last state of each event of the kinds."""
    return list({row["id"]: row for row in served.rows("contact_events") if row["event"] in events}.values())


def _leads(served: Served) -> list[Row]:
    own = {"Email": None, "LeadSource": "Web", "Status": "Open - Not Contacted"}
    return [{**_shared(row), **own, "Crm_Id__c": row["crm_id"], **row.get("fields", {})} for row in _of_events(served, "lead_created")]


def _deals(served: Served) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in _of_events(served, "deal_created", "deal_stage_changed", "deal_won", "deal_lost"):
        found.setdefault(row["properties"]["deal_id"], []).append(row)
    return found


def _stage(row: Row) -> str:
    return STAGES.get(row["event"]) or row["properties"]["stage"].capitalize()


def _opportunities(served: Served) -> list[Row]:
    found = []
    for deal, rows in _deals(served).items():
        first, last = rows[0], rows[-1]
        own = {
            "Name": f"Deal {deal}", "StageName": _stage(last), "Amount": last.get("value"), "CloseDate": last["event_at"][:10],
            "Crm_Id__c": first["crm_id"], "Deal_Id__c": deal, "SystemModstamp": _shared(last)["SystemModstamp"],
        }  # fmt: skip
        found.append({**_shared(first), **own})
    return found


def _history(served: Served) -> list[Row]:
    found = []
    for deal, rows in _deals(served).items():
        first = rows[0]
        for row in rows:
            own = {
                # the row of its beginning is no event of the world
                "Id": row["id"] if row is not first else f"h{row['id'][1:]}",
                "OpportunityId": first["id"], "StageName": _stage(row), "Amount": row.get("value"), "CurrencyIsoCode": row.get("currency", "GBP"),
                "Opportunity.CreatedDate": _stamp(first["event_at"]), "Opportunity.Crm_Id__c": first["crm_id"], "Opportunity.Deal_Id__c": deal,
            }  # fmt: skip
            found.append({**_shared(row), **own, **row.get("fields", {})})
    return found


SHARED = ("Id", "IsDeleted", "CreatedDate", "SystemModstamp")
# by the name of an object its fields and its records
OBJECTS: dict[str, tuple[tuple[str, ...], Callable[[Served], list[Row]]]] = {
    "Lead": ((*SHARED, "Email", "LeadSource", "Status", "Crm_Id__c", "Description"), _leads),
    "Opportunity": ((*SHARED, "Name", "StageName", "Amount", "CloseDate", "Crm_Id__c", "Deal_Id__c"), _opportunities),
    "OpportunityHistory": (
        (
            *SHARED, "OpportunityId", "StageName", "Amount", "CurrencyIsoCode", "Opportunity.CreatedDate", "Opportunity.Crm_Id__c",
            "Opportunity.Deal_Id__c", "Description",
        ),
        _history,
    ),
}  # fmt: skip

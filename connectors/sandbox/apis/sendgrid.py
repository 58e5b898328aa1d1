"""SendGrid's API over the sandbox world: daily counts of its newsletters and who wants no more; and the webhook that sends their events, signed."""

from __future__ import annotations

import base64
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

import orjson
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.kernel.errors import ConnectorError
from connectors.sandbox.apis.served import Row, Served

BASE = "/v3"
KEY = "SG.sandbox.0123456789abcdef"
# the same in each process, so that what one signs another one can prove
SIGNS = ec.derive_private_key(int.from_bytes(hashlib.sha256(b"the sandbox's SendGrid").digest()) >> 1, ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(SIGNS.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
CONNECTIONS = {"sendgrid_main": {"password": KEY, "extra": {"webhook_public_key": PUBLIC_KEY}}}
LIMITS = {"all": ("/", ((600, 60.0),))}
MOST = 500
METRICS = (
    "blocks", "bounce_drops", "bounces", "clicks", "deferred", "delivered", "invalid_emails", "opens", "processed", "requests",
    "spam_report_drops", "spam_reports", "unique_clicks", "unique_opens", "unsubscribe_drops", "unsubscribes",
)  # fmt: skip
# by the world's event: its name in the webhook, and what it counts for in the statistics
EVENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sent": ("processed", ("requests", "processed")), "delivered": ("delivered", ("delivered",)), "bounced": ("bounce", ("bounces",)),
    "opened": ("open", ("opens",)), "clicked": ("click", ("clicks",)), "unsubscribed": ("unsubscribe", ("unsubscribes",)),
    "complained": ("spamreport", ("spam_reports",)),
}  # fmt: skip
NO_ROOM = "550 5.1.1 The email account that you tried to reach does not exist."
GROUP = {"group_id": 7001, "group_name": "Newsletters"}
# of networks for documents: where readers are, and from where it sends
READER, SENDER = "192.0.2.10", "198.51.100.20"


def error(status: int, message: str, field: str | None = None) -> JSONResponse:
    return JSONResponse({"errors": [{"field": field, "message": message}]}, status)


def too_many(seconds: float) -> Response:
    answer = error(429, "too many requests")
    # it says when, not how long
    answer.headers.update(
        {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time() + seconds) + 1)}
    )
    return answer


FAULTS = {
    "expired": lambda: error(401, "The provided authorization grant is invalid, expired, or revoked"),
    "forbidden": lambda: error(403, "access forbidden"),
}


def refused(request: Request) -> Response | None:
    return None if request.headers.get("Authorization") == f"Bearer {KEY}" else FAULTS["expired"]()


def routes(served: Served) -> list[Route]:
    def listed(rows: Callable[[], list[Row]], at: str = "created") -> Callable[..., object]:
        async def endpoint(request: Request) -> Response:
            return _suppressions(request, sorted(rows(), key=lambda row: (-row[at], row["email"])))

        return endpoint

    async def stats(request: Request) -> Response:
        return _stats(request, served)

    async def groups(request: Request) -> Response:
        rows = _once({"email": row["email"], **GROUP, "created_at": _seconds(row["event_at"])} for row in _events(served, "unsubscribed"))
        return _unknown(request, frozenset()) or JSONResponse(rows)

    def bounces() -> list[Row]:
        return _once(_suppressed(row, reason=NO_ROOM, status="5.1.1") for row in _events(served, "bounced"))

    def reports() -> list[Row]:
        return _once(_suppressed(row, ip=SENDER) for row in _events(served, "complained"))

    def unsubscribes() -> list[Row]:
        return _once({"created": _seconds(row["updated_at"]), "email": row["email"]} for row in served.rows("consents"))

    endpoints = {
        "stats": stats,
        "suppression/bounces": listed(bounces),
        "suppression/spam_reports": listed(reports),
        "suppression/unsubscribes": listed(unsubscribes),
        "asm/suppressions": groups,
    }
    return [Route(f"{BASE}/{path}", endpoint) for path, endpoint in endpoints.items()]


def _unknown(request: Request, allowed: frozenset[str]) -> Response | None:
    unknown = sorted(set(request.query_params) - allowed)
    return error(400, f"{unknown} are no parameters", unknown[0]) if unknown else None


def _suppressions(request: Request, rows: Sequence[Row]) -> Response:
    """A page of a list: what was created from start_time to end_time, both inclusive, the newest first."""
    names = ("start_time", "end_time", "limit", "offset")
    if refusal := _unknown(request, frozenset([*names, "email"])):
        return refusal
    try:
        since, until, limit, offset = (int(request.query_params.get(name, usual)) for name, usual in zip(names, (0, 2**40, MOST, 0)))
    except ValueError:
        return error(400, "must be an integer", "start_time")
    if not 1 <= limit <= MOST or offset < 0:
        return error(400, f"limit must be between 1 and {MOST}", "limit")
    return JSONResponse([row for row in rows if since <= row["created"] <= until][offset : offset + limit])


def _stats(request: Request, served: Served) -> Response:
    """The counts of each day, those without any too."""
    asked = request.query_params
    if refusal := _unknown(request, frozenset(["start_date", "end_date", "aggregated_by", "limit", "offset"])):
        return refusal
    try:
        first = date.fromisoformat(asked["start_date"])
        last = date.fromisoformat(asked.get("end_date", str(served.clock().date())))
    except (KeyError, ValueError):
        return error(400, "start_date is required, as YYYY-MM-DD", "start_date")
    if asked.get("aggregated_by", "day") != "day":
        return error(400, "the sandbox aggregates by day alone", "aggregated_by")
    counts: dict[str, Counter[str]] = {str(first + timedelta(days=n)): Counter() for n in range((last - first).days + 1)}
    seen = set()
    for row in _events(served, *EVENTS):
        if (day := row["event_at"][:10]) in counts:
            names = EVENTS[row["event"]][1]
            letter = (day, row["event"], row["campaign_id"], row["email"])
            counts[day].update(names if letter in seen else (*names, *(f"unique_{name}" for name in names)))
            seen.add(letter)
    days = [{"date": day, "stats": [{"metrics": {name: found[name] for name in METRICS}}]} for day, found in counts.items()]
    return JSONResponse(days[int(asked.get("offset", 0)) :][: int(asked.get("limit", len(days)))])


def _events(served: Served, *names: str) -> list[Row]:
    return [row for row in served.rows("email_events") if row["event"] in names]


def _suppressed(row: Row, **more: str) -> Row:
    return {"created": _seconds(row["event_at"]), "email": row["email"], **more}


def _once(rows: Iterator[Row]) -> list[Row]:
    """An address stands in a list once, since it first came there."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(row["email"], row)
    return list(found.values())


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


# the webhook --------------------------------------------------------------------------------------------------------------


def event_of(row: Row) -> Row:
    """One event as the webhook sends it; what whoever sent the letter gave it along stands beside the vendor's own."""
    name = EVENTS[row["event"]][0]
    message = hashlib.sha256(f"{row['campaign_id']}{row['email']}".encode()).hexdigest()[:22]
    own: dict[str, Row] = {
        "delivered": {"response": "250 OK", "ip": SENDER, "tls": 1},
        "bounce": {
            "reason": NO_ROOM,
            "status": "5.1.1",
            "type": "bounce",
            "ip": SENDER,
            "tls": 1,
            "bounce_classification": "Invalid Address",
        },
        "open": {"ip": READER, "sg_content_type": "html", "sg_machine_open": False},
        "click": {"ip": READER, "url": row.get("url"), "url_offset": {"index": 0, "type": "html"}},
    }
    agent = {"useragent": row["user_agent"]} if row.get("user_agent") else {}
    return {
        "email": row["email"], "timestamp": _seconds(row["event_at"]), "event": name, "sg_event_id": row["id"],
        "sg_message_id": f"{message}.recvd-0000000000-00000-1-00000000-0.0", "smtp-id": f"<{message}@geopod-ismtpd-1>", "category": ["newsletter"],
        **own.get(name, {}), **agent, "crm_id": row["crm_id"], "campaign_id": row["campaign_id"], "campaign_name": row["campaign_name"],
    }  # fmt: skip


def signed(body: bytes, at: float) -> dict[str, str]:
    """The headers that a body is sent with."""
    timestamp = str(int(at))
    signature = base64.b64encode(SIGNS.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    return {
        "Content-Type": "application/json;charset=utf-8",
        "User-Agent": "SendGrid Event API",
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
    }


def bodies(rows: Sequence[Row], size: int = 500) -> Iterator[bytes]:
    """The events in the order in which they came in, as JSON lists that end with a line."""
    events = iter(sorted((row for row in rows if row["event"] in EVENTS), key=lambda row: row["received_at"]))
    while batch := list(islice(events, size)):
        yield orjson.dumps([event_of(row) for row in batch]) + b"\r\n"


def deliver(apis: Path, url: str, first: str = "", last: str = "", now: datetime | None = None) -> dict[str, int]:
    """Send the events that came in from day to day (inclusive, none: all until now) to a receiver. Raises ConnectorError where it takes them not."""
    rows = Served(apis, "sendgrid", lambda: now or datetime.now(UTC)).rows("email_events")
    wanted = [row for row in rows if first <= row["received_at"][:10] and (not last or row["received_at"][:10] <= last)]
    counts: Counter[str] = Counter(events=0, requests=0)
    for body in bodies(wanted):
        _post(url, body)
        counts.update(events=len(orjson.loads(body)), requests=1)
    return dict(counts)


def _post(url: str, body: bytes, tries: int = 4) -> None:
    said = ""
    for wait in range(tries):
        time.sleep(wait / 2)
        try:
            answer = requests.post(url, data=body, headers=signed(body, time.time()), timeout=30)
        except requests.RequestException as error:
            said = type(error).__name__
            continue
        if answer.ok:
            return
        said = str(answer.status_code)
        if answer.status_code < 500:
            break
    raise ConnectorError(
        f"{url}: the receiver did not take the events ({said}); is `python -m connectors receive` running, and with this connection?"
    )

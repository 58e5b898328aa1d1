"""The report page inside Airflow's UI, for who is logged in, and the front door of the embedded Airflow: own names, own pages, no frames."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from airflow.api_fastapi.core_api.security import get_user
from airflow.plugins_manager import AirflowPlugin
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.security import HTTPAuthorizationCredentials
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from conf.settings import home

# a page may say more for itself (the report does); a frame can only be refused here
HEADERS = {
    b"x-frame-options": b"SAMEORIGIN",
    b"content-security-policy": b"frame-ancestors 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
}
READING = ("GET", "HEAD", "OPTIONS")
app = FastAPI(title="Throughline report", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/report")
async def report(request: Request) -> Response:
    """The newest report page; who is not logged in is sent to the login."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        await get_user(request, None, HTTPAuthorizationCredentials(scheme=scheme, credentials=token) if token else None)
    except HTTPException:
        return RedirectResponse("/auth/login?next=/throughline/report")
    page = home() / "report.html"
    if not page.is_file():
        return HTMLResponse(
            "<p>No report yet: it is written by the task <b>report</b> of the DAGs <b>build_orders</b> and <b>build_daily</b>.</p>",
            status_code=404,
        )
    return FileResponse(page, media_type="text/html", headers={"Cache-Control": "no-store"})


class FrontDoor:
    """ASGI middleware: only requests to the server's own names, changes only from its own pages or from programs, no foreign frames."""

    def __init__(self, inner: ASGIApp, hosts: frozenset[str]) -> None:
        self.inner = inner
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.inner(scope, receive, send)
            return
        if refusal := self.refusal(scope):
            await PlainTextResponse(refusal, status_code=403)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k, v) for k, v in HEADERS.items() if k not in dict(message["headers"]))]
            await send(message)

        await self.inner(scope, receive, with_headers)

    def refusal(self, scope: Scope) -> str:
        """Why a request is not answered; "" when it is. Hosts: another name for this machine may be a foreign page's (DNS rebinding)."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host", "") not in self.hosts:
            return f"This server answers to {', '.join(sorted(self.hosts))} only.\n"
        origin = headers.get("origin")
        is_foreign = origin is not None and not (origin.startswith("http://") and origin.removeprefix("http://") in self.hosts)
        is_foreign |= headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        return "Another site's page asked for a change.\n" if is_foreign and scope.get("method") not in READING else ""


def own_hosts(*urls: str) -> frozenset[str]:
    """What a request to the server may call it, by the addresses that it is given to its users and to its tasks."""
    asked = [urlsplit(url) for url in urls]
    return frozenset(name for at in asked for name in (f"127.0.0.1:{at.port}", f"localhost:{at.port}", at.netloc))


IS_EMBEDDED = bool(os.environ.get("THROUGHLINE_EMBEDDED"))
FRONT: dict[str, Any] = {
    "name": "front door",
    "middleware": FrontDoor,
    "kwargs": {
        "hosts": own_hosts(*(os.environ.get(f"AIRFLOW__{name}", "") for name in ("API__BASE_URL", "CORE__EXECUTION_API_SERVER_URL")))
    },
}


class ThroughlinePlugin(AirflowPlugin):
    name = "throughline"
    fastapi_apps = [{"app": app, "url_prefix": "/throughline", "name": "throughline"}] if IS_EMBEDDED else []
    fastapi_root_middlewares = [FRONT] if IS_EMBEDDED else []
    external_views = (
        [{"name": "Report", "href": "/throughline/report", "destination": "nav", "url_route": "throughline-report"}] if IS_EMBEDDED else []
    )

"""The receiver of webhooks: POST to a stream's path is answered 200 when its vendor's signature is right and what came is durable.

403: not signed by the vendor, or too long ago; 413: too long; 408: too slow; 503: it could not be kept, and the vendor tries again. Nothing of these is
kept. It listens on this machine; what makes it reachable for a vendor, with TLS, is a proxy.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conf import settings
from connectors.kernel.connector import Counts, Say, connector_of
from connectors.kernel.errors import ConnectorError, LandingError, UnsignedDeliveryError
from connectors.kernel.inbox import Delivery, Inbox, inbox_of
from connectors.kernel.landing import Landing
from connectors.kernel.slices import Window
from connectors.kernel.streams import Account, Stream, call_of, length_of, texts_of
from connectors.kernel.webhooks import LENGTHS, MODE, Verifier, WebhookApi

# SendGrid's batches have 768 KB
MOST_BYTES = 2 * 2**20
BODY_SECONDS = 30.0
MOST_AT_ONCE = 128
# a log that has as much, or is as old, becomes a slice; a pull takes it earlier
SLICE_BYTES = 64 * 2**20
EVERY = 0, 0.0
TICK_SECONDS, REST_SECONDS = 1.0, 30.0


@dataclass
class Hook:
    """What is received at one path. counts: deliveries by their answers."""

    stream: Stream
    account: Account
    verify: Verifier
    inbox: Inbox
    oldest: timedelta
    late: timedelta
    counts: Counter[int] = field(default_factory=Counter)

    @property
    def path(self) -> str:
        return "/" + call_of(self.stream, texts_of(self.stream, self.account, Window(None, None))).path.strip("/")

    async def answer(self, request: Request) -> Response:
        status = await self._status(request)
        self.counts[status] += 1
        return Response(status_code=status, headers={"Retry-After": "30"} if status == 503 else None)

    async def _status(self, request: Request) -> int:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except TimeoutError:
            return 408
        except ClientDisconnect:
            return 400
        if body is None:
            return 413
        now = datetime.now(UTC)
        try:
            signed_at = self.verify(request.headers, body)
        except UnsignedDeliveryError:
            return 403
        if now - signed_at > self.oldest:
            return 403
        try:
            await run_in_threadpool(self.inbox.put, Delivery(body, now, signed_at, now - signed_at > self.late))
        except LandingError:
            return 503
        return 200


def hooks_of(names: Sequence[str]) -> list[Hook]:
    """What sources' webhooks need. Raises ConnectorError where none of them has one, CredentialsError where a key is missing."""
    found = []
    for source in map(settings.source, names):
        wanted = [name for name, said in source.streams.items() if said.get("mode") == MODE and said.get("enabled") is not False]
        for name in wanted:
            connector = connector_of(settings.checked(source.source))
            stream = connector.declared(source, name)
            if isinstance(connector, WebhookApi):
                oldest, late = (length_of(stream.said[key], f"{stream.title}: {key}") for key in LENGTHS)
                found += [Hook(stream, by, connector.verifier(stream, by), inbox_of(stream, by), oldest, late) for by in stream.accounts]
    if not found:
        raise ConnectorError(f"{', '.join(names)}: no stream of mode {MODE}; declare one in conf/sources, as SendGrid's events are")
    return found


def receive(names: Sequence[str], host: str, port: int, landing: Landing, say: Say, seconds: float) -> None:
    """Receive until this process is ended; what came is landed then. Prints one JSON line with the addresses. Raises ConnectorError."""
    hooks = hooks_of(names)
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise ConnectorError(f"{host}:{port}: cannot be listened on ({error.strerror}); give another --port") from None
    config = uvicorn.Config(
        app_of(hooks), log_config=None, access_log=False, lifespan="off", server_header=False, limit_concurrency=MOST_AT_ONCE
    )
    server = uvicorn.Server(config)
    is_over = threading.Event()
    lander = threading.Thread(target=_land_on, args=(hooks, landing, say, seconds, is_over))
    lander.start()
    url = f"http://{host}:{listening.getsockname()[1]}"
    print(
        json.dumps({"urls": {f"{one.stream.title} ({one.account.name})": url + one.path for one in hooks}, "pid": os.getpid()}), flush=True
    )
    # uvicorn raises the signal that ended it once more
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.run(sockets=[listening])
    finally:
        is_over.set()
        lander.join()


def app_of(hooks: Sequence[Hook]) -> Starlette:
    """The receiver as an ASGI application."""

    def health(_: Request) -> Response:
        told = {one.path: {"answers": dict(one.counts), "logs": len(one.inbox.waiting())} for one in hooks}
        return JSONResponse(told)

    return Starlette(routes=[*(Route(one.path, one.answer, methods=["POST"]) for one in hooks), Route("/_health", health)])


async def _body(request: Request) -> bytes | None:
    """The body, None where it is too long."""
    blocks, size = [], 0
    async for block in request.stream():
        size += len(block)
        if size > MOST_BYTES:
            return None
        blocks.append(block)
    return b"".join(blocks)


def _land_on(hooks: Sequence[Hook], landing: Landing, say: Say, seconds: float, is_over: threading.Event) -> None:
    """Land logs as they become due; at first what a receiver that was killed left, and when it is over all of them."""
    due, rest_until = EVERY, 0.0
    while True:
        is_last = is_over.wait(TICK_SECONDS)
        if is_last or time.monotonic() >= rest_until:
            for one in hooks:
                try:
                    one.inbox.close(*(EVERY if is_last else due))
                    one.inbox.land(one.stream, one.account, landing, say, Counts())
                except Exception as error:  # what was answered is durable: it is landed when this passes, or by a pull
                    say(f"{one.stream.title} ({one.account.name}): what came is kept, and not landed yet: {error}")
                    rest_until = time.monotonic() + REST_SECONDS
            due = SLICE_BYTES, seconds
        if is_last:
            return

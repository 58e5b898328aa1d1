"""The sandbox's vendors over HTTP: one small app per vendor below /<vendor>, each in that vendor's real shape, over one world.

A vendor's module below connectors/sandbox/apis has
    routes(served): its endpoints
    refused(request): its answer to who is not signed in as CONNECTIONS says, None where it may go on
    LIMITS: by name (pattern of paths, ((calls, seconds), …)); too_many(seconds): its answer beyond them
    FAULTS: its answers, by the kind of a fault that is its own: expired (a token), sunset (a version)
    CONNECTIONS: by the connection's name what stands in it, as Airflow's JSON has it; {url} is the vendor's place in the sandbox
    BASE: the part of the vendor's own base URL after its host, as /api
Any vendor can be told to go wrong: POST /_faults {"vendor", "path": a pattern, "kind", "times"}; what time it is: POST /_clock {"now"}.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import pkgutil
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from connectors.sandbox import apis
from connectors.sandbox.apis.served import Served

HANG_SECONDS = 120.0
OWN = ("server", "served")
Endpoint = Callable[[Request], Awaitable[Response]]


def vendors() -> dict[str, ModuleType]:
    """The vendors that are served, by name."""
    names = sorted(one.name for one in pkgutil.iter_modules(apis.__path__) if one.name not in OWN)
    return {name: importlib.import_module(f"{apis.__name__}.{name}") for name in names}


@dataclass
class Fault:
    """What goes wrong with the next `times` calls of paths that the pattern is found in.

    kind: 429 and 429_bare (without a word about how long), 500, hang, cut (a body that ends early), repeat (the page before once more), or a kind
    of the vendor's FAULTS.
    """

    vendor: str
    path: str
    kind: str
    times: int = 1

    def fits(self, vendor: str, path: str) -> bool:
        return self.times > 0 and vendor == self.vendor and re.search(self.path, path) is not None


@dataclass
class Sandbox:
    """One world's vendors.

    now: the sandbox's clock, None for the real one. asked: "METHOD /vendor/path" of every call. counted: by vendor and limit the calls let through.
    """

    folder: Path
    now: datetime | None = None
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    counted: dict[tuple[str, str], deque[float]] = field(default_factory=dict)
    answers: dict[str, Response] = field(default_factory=dict)
    served: dict[str, Served] = field(default_factory=dict)

    def clock(self) -> datetime:
        return self.now or datetime.now(UTC)

    def connections(self) -> dict[str, str]:
        """The environment in which a pull reaches the sandbox: AIRFLOW_CONN_<NAME> of every vendor, with the sandbox as host."""
        found = {}
        for name, vendor in vendors().items():
            for connection, said in vendor.CONNECTIONS.items():
                text = json.dumps({"host": "{url}" + getattr(vendor, "BASE", ""), **said})
                found[f"AIRFLOW_CONN_{connection.upper()}"] = text.replace("{url}", f"{self.url}/{name}")
        return found

    def app(self) -> Starlette:
        mounts: list[Mount | Route] = []
        for name, vendor in vendors().items():
            self.served[name] = Served(self.folder, name, self.clock)
            routes = [self._guarded(name, vendor, route) for route in vendor.routes(self.served[name])]
            mounts.append(Mount(f"/{name}", routes=routes))
        mounts += [
            Route("/_faults", self._set_fault, methods=["POST"]),
            Route("/_clock", self._set_clock, methods=["POST"]),
            Route("/_health", lambda _: JSONResponse({"vendors": list(vendors())})),
        ]
        return Starlette(routes=mounts)

    def _guarded(self, name: str, vendor: ModuleType, route: Route) -> Route:
        endpoint: Endpoint = route.endpoint

        async def guarded(request: Request) -> Response:
            path = request.url.path.removeprefix(f"/{name}")
            self.asked.append(f"{request.method} /{name}{path}")
            fault = next((one for one in self.faults if one.fits(name, path)), None)
            if fault:
                fault.times -= 1
                if fault.kind in ("429", "429_bare"):
                    answer: Response = vendor.too_many(1.0)
                    return without_wait(answer) if fault.kind == "429_bare" else answer
                if fault.kind in vendor.FAULTS:
                    answer = vendor.FAULTS[fault.kind]()
                    return answer
                if fault.kind == "500":
                    return Response("something went wrong", 500)
                if fault.kind == "hang":
                    await asyncio.sleep(HANG_SECONDS)
                if fault.kind == "repeat" and name in self.answers:
                    return self.answers[name]
            refused: Response | None = vendor.refused(request)
            if refused:
                return refused
            if (wait := self._wait(name, vendor, path)) > 0:
                answer = vendor.too_many(wait)
                return answer
            answer = await endpoint(request)
            self.answers[name] = answer
            if fault and fault.kind == "cut":
                return Cut(answer.body, answer.status_code, dict(answer.headers))
            return answer

        return Route(route.path, guarded, methods=[*(route.methods or ())])

    def _wait(self, name: str, vendor: ModuleType, path: str) -> float:
        """0 where a call is within the vendor's limits, and is counted; else the seconds until one is."""
        now, waits, windows = time.monotonic(), [], []
        for limit, (pattern, pairs) in vendor.LIMITS.items():
            if not re.search(pattern, path):
                continue
            calls = self.counted.setdefault((name, limit), deque())
            windows.append(calls)
            for most, seconds in pairs:
                recent = [at for at in calls if at > now - seconds]
                if len(recent) >= most:
                    waits.append(recent[-most] + seconds - now)
        if not waits:
            for calls in windows:
                calls.append(now)
        return max(waits, default=0.0)

    async def _set_fault(self, request: Request) -> Response:
        self.faults.append(Fault(**await request.json()))
        return JSONResponse({"faults": len(self.faults)})

    async def _set_clock(self, request: Request) -> Response:
        said = (await request.json())["now"]
        self.now = datetime.fromisoformat(said) if said else None
        return JSONResponse({"now": self.clock().isoformat()})


class Cut(Response):
    """An answer whose connection ends before its body does."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})
        # uvicorn closes the connection of an app that raises after its answer began
        raise ConnectionAbortedError


def without_wait(answer: Response) -> Response:
    """The same answer without a word about how long."""
    for name in [one for one in answer.headers if "retry" in one or "reset" in one or "usage" in one]:
        del answer.headers[name]
    return answer


@contextlib.contextmanager
def serving(folder: Path, now: datetime | None = None, port: int = 0) -> Iterator[Sandbox]:
    """The vendors of the rows below a folder, on a port of this machine, until the block ends."""
    sandbox = Sandbox(folder, now)
    listening = socket.create_server(("127.0.0.1", port))
    sandbox.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(sandbox.app(), log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield sandbox
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
        listening.close()


def serve(folder: Path, port: int, now: datetime | None, connections: Path | None = None) -> None:
    """Serve until this process is ended. connections: a file of its owner alone, which gets the variables of Sandbox.connections."""
    with serving(folder, now, port) as sandbox:
        if connections:
            os.umask(0o077)
            connections.write_text(json.dumps(sandbox.connections()), encoding="utf-8")
        print(json.dumps({"url": sandbox.url, "vendors": list(vendors()), "pid": os.getpid()}), flush=True)
        threading.Event().wait()

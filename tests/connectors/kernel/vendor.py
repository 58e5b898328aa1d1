"""A vendor for tests: a real HTTP server of this machine, which answers by a script and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Said:
    """One answer: its content is bytes, or what becomes JSON; cut: how many bytes of it are kept back."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


@dataclass
class Vendor:
    """answer: what is said to a request."""

    answer: Callable[[Asked], Said]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    def says(self, *answers: Said) -> None:
        """These answers one after another, the last one for ever."""
        left = list(answers)
        self.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def vendor() -> Iterator[Vendor]:
    """A vendor that listens on this machine."""
    made = Vendor(lambda _: Said(404))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append(asked := Asked(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers), body))
            said = made.answer(asked)
            content = said.content if isinstance(said.content, bytes) else json.dumps(said.content).encode()
            self.send_response(said.status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) - said.cut])
            self.close_connection = bool(said.cut)

        do_GET = do_POST = reply

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

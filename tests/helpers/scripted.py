"""A server that gives prepared answers, to test a client with refusals, faults and lost connections."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer; with a status of None, the connection is closed without one."""

    status: int | None = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0

    @property
    def content(self) -> bytes:
        """The body in bytes: text unchanged, anything else as JSON."""
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass(frozen=True)
class Received:
    """A request, and the time at which it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    time: float


def problem(status: int, detail: str, **headers: str) -> Answer:
    """Makes an error like those of the service; an underscore in a header's name stands for a hyphen."""
    body = {"type": "about:blank", "title": "", "status": status, "detail": detail, "errors": []}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body, named, "application/problem+json")


class ScriptedServer:
    """Gives the answers in turn and repeats the last one; a context manager.

    Attributes:
        received: requests in order.
    """

    def __init__(self, answers: Iterable[Answer], port: int = 0) -> None:
        self._answers = list(answers)
        self.received: list[Received] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(length)
                received = Received(self.command, self.path, dict(self.headers), body, time.monotonic())
                script.received.append(received)
                answer = script._answers[min(len(script.received), len(script._answers)) - 1]
                time.sleep(answer.delay)
                if answer.status is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Logs nothing: the tests use ``received``."""

        return Handler

"""Middleware in the HTTP proxies of Ray Serve, for requests whose replica dies before its answer begins.

Ray Serve gives such a request no answer, from which its HTTP server makes a bare 500. This middleware sends it to
another replica if it can be repeated, and otherwise answers with problem+json. Proxies read
``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=proofrank.service.on_ray.proxy:middlewares`` from the environment in which
Ray was started.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from http import HTTPStatus

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proofrank.service.web.headers import REQUEST_ID_HEADER
from proofrank.service.web.problems import Problem, response

logger = logging.getLogger("ray.serve")

_MOST_ATTEMPTS = 3
_MOST_KEPT_BYTES = 64 * 2**20
"""Maximum size of a body that is kept for a second attempt, in bytes."""

_REPEATABLE = frozenset({("POST", "/rank")})
_READING = frozenset({"GET", "HEAD"})
_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()


def middlewares() -> list[Middleware]:
    """Returns the middleware that Ray Serve puts around each of its proxies."""
    return [Middleware(LostReplicaMiddleware)]


class LostReplicaMiddleware:
    """Repeats or answers a request whose replica died before its answer began."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _KeptBody(receive)
        answer = _Answer(send)
        root_path = scope.get("root_path", "")
        path = scope["path"].removeprefix(root_path)
        is_repeatable = scope["method"] in _READING or (scope["method"], path) in _REPEATABLE
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            # A copy of the scope, because the application puts its own path into it.
            await self._app({**scope}, body.again(), answer.send)
            if answer.has_begun or body.has_client_gone:
                return
            logger.warning("a replica died during a request for %s (attempt %d)", path, attempt)
            if not (is_repeatable and body.is_whole):
                break
        problem = _lost(is_repeatable=is_repeatable)
        await response(problem, Request(scope).headers.get(REQUEST_ID_HEADER))(scope, receive, answer.send)


def _lost(*, is_repeatable: bool) -> Problem:
    if is_repeatable:
        return Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the replica that ranked this has died, and so have others",
            headers={"Retry-After": "1"},
        )
    return Problem(
        HTTPStatus.BAD_GATEWAY,
        "the replica that received this has died; it is unknown whether the request was done before",
    )


class _KeptBody:
    """A client's body, kept so that it can be read again."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: list[Message] = []
        self._num_bytes = 0
        self.is_whole = True
        self.has_client_gone = False

    def again(self) -> Receive:
        """Returns a receive function that gives the kept messages, and then new ones."""
        earlier: Iterator[Message] = iter(list(self._kept))

        async def receive() -> Message:
            message = next(earlier, None)
            if message is None:
                message = await self._receive()
                self._keep(message)
            return message

        return receive

    def _keep(self, message: Message) -> None:
        if message["type"] != "http.request":
            self.has_client_gone = True
            return
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > _MOST_KEPT_BYTES:
            self._kept.clear()
            self.is_whole = False
        if self.is_whole:
            self._kept.append(message)


class _Answer:
    """Passes an answer on, with one request id even if the application and Ray Serve have both added one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            ids = [value for name, value in message["headers"] if name.lower() == _REQUEST_ID]
            others = [(name, value) for name, value in message["headers"] if name.lower() != _REQUEST_ID]
            message = {**message, "headers": [*others, *((_REQUEST_ID, value) for value in ids[:1])]}
        await self._send(message)

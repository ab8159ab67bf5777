"""What happens to every request: an id, a limit on its body, and a count with its latency."""

from __future__ import annotations

import re
import time
import uuid
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.disconnection import CLIENT_GONE_STATUS, ClientGoneError
from service.metrics import ServiceMetrics
from service.problems import Problem, response

REQUEST_ID_HEADER = "X-Request-ID"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestMiddleware:
    """Gives each request an id (the client's own where it is a sane one), bounds its body, measures it."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics, max_body_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        given = request.headers.get(REQUEST_ID_HEADER, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.state.request_id = request_id
        began = time.perf_counter()
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        has_begun = False

        async def send_with_id(message: Message) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                message["headers"] = [
                    *message["headers"],
                    (REQUEST_ID_HEADER.lower().encode(), request_id.encode()),
                ]
            await send(message)

        num_bytes = 0

        async def receive_bounded() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_body_bytes:
                raise self._too_large()
            return message

        try:
            declared = request.headers.get("content-length", "0")
            if declared.isdigit() and int(declared) > self._max_body_bytes:
                raise self._too_large()
            await self._app(scope, receive_bounded, send_with_id)
        except ClientGoneError:
            status = CLIENT_GONE_STATUS
        except Problem as problem:  # raised outside the routes, where no handler sees it
            if has_begun:
                raise
            await response(problem, request_id)(scope, receive, send_with_id)
        finally:
            route = scope.get("route")
            # The route's pattern, not the path: clients make up paths.
            endpoint = getattr(route, "path", "unknown")
            self._metrics.request_seconds.labels(endpoint, str(status)).observe(time.perf_counter() - began)

    def _too_large(self) -> Problem:
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._max_body_bytes} bytes"
        )

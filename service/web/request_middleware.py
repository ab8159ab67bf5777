"""What happens to every request: an id, a limit on its body, a count with its latency, and a line in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from typing import NamedTuple

from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.telemetry.rejections import Rejection
from proofrank.service.web.body_budget import BodyBudget
from proofrank.service.web.client_disconnect import CLIENT_GONE_STATUS, ClientGoneError
from proofrank.service.web.compression import check_content_encoding
from proofrank.service.web.connections import HAS_TOO_MANY_BESIDE
from proofrank.service.web.forwarding import route_path
from proofrank.service.web.headers import REQUEST_ID_HEADER
from proofrank.service.web.problems import (
    ANSWERED_ERRORS,
    MEDIA_TYPE,
    Problem,
    problem_of,
    rejection_of,
    response,
)

METRICS_PATH = "/metrics"
WATCHING_PATHS = frozenset({"/healthz", "/readyz", METRICS_PATH})
"""Paths that are answered however many connections there are. Otherwise a monitor would end a server that is merely
full, and would not see what it refuses."""

_READING = frozenset({"GET", "HEAD"})
_USUAL_STATUSES = frozenset({int(HTTPStatus.OK), int(HTTPStatus.SERVICE_UNAVAILABLE)})
"""Statuses that probes and scrapes have; with these they are logged at debug, for they would be most of the log."""

logger = logging.getLogger("proofrank.request")

_LONGEST_LOGGED = 64
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class BodyLimit(NamedTuple):
    """What holds for bodies on the paths that begin like this.

    Attributes:
        path_prefix: how they begin.
        max_bytes: that a body may have at most.
        is_held: whether it is in memory as a whole until the request is answered.
    """

    path_prefix: str
    max_bytes: int
    is_held: bool = True


class RequestMiddleware:
    """Gives each request an id (the client's own where it is a sane one), bounds its body, measures it,
    logs it.

    What a request enters into the ``ExitStack`` that is ``until_sent`` in its state ends when its answer has been sent,
    or will never be.

    Args:
        max_body_bytes: of one request.
        max_total_body_bytes: of all requests in work.
        body_limits: of paths whose bodies are not as the others.
        routes: those of the application, to tell what a request was for that never came to its route.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: ServiceMetrics,
        max_body_bytes: int,
        max_total_body_bytes: int,
        routes: Sequence[BaseRoute],
        body_limits: Sequence[BodyLimit] = (),
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._body_limits = (*body_limits, BodyLimit("", max_body_bytes))
        self._held_bodies = BodyBudget(max_total_body_bytes)
        self._routes = routes

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
        # A scraper would see its own request, and never a server at rest.
        path = route_path(scope)
        counted = 0 if path == METRICS_PATH else 1
        self._metrics.requests_in_flight.inc(counted)

        async def send_with_id(message: Message) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                self._count_rejection(request, message)
                message["headers"] = [
                    *message["headers"],
                    (REQUEST_ID_HEADER.lower().encode(), request_id.encode()),
                ]
            await send(message)

        num_bytes = num_held_bytes = 0
        limit = next(limit for limit in self._body_limits if path.startswith(limit.path_prefix))

        async def receive_bounded() -> Message:
            nonlocal num_bytes, num_held_bytes
            message = await receive()
            num_more = len(message.get("body", b""))
            num_bytes += num_more
            if num_bytes > limit.max_bytes:
                raise _too_large(limit.max_bytes)
            if limit.is_held:
                self._held_bodies.take(num_more)
                num_held_bytes += num_more
            return message

        try:
            if path not in WATCHING_PATHS and getattr(request.state, HAS_TOO_MANY_BESIDE, False):
                raise _too_many_connections()
            check_content_encoding(request.headers)
            header = request.headers.get("content-length", "0")
            num_declared = int(header) if header.isdigit() else 0
            if num_declared > limit.max_bytes:
                raise _too_large(limit.max_bytes)
            if limit.is_held:
                self._held_bodies.check(num_declared)
            with bound_contextvars(request_id=request_id), ExitStack() as until_sent:
                request.state.until_sent = until_sent
                await self._app(scope, receive_bounded, send_with_id)
        except ClientGoneError:
            status = CLIENT_GONE_STATUS
        except asyncio.CancelledError:  # so some servers tell that the client has gone
            status = CLIENT_GONE_STATUS
            raise
        except (Problem, *ANSWERED_ERRORS) as error:  # raised outside the routes, where no handler sees it
            if has_begun:
                raise
            problem = error if isinstance(error, Problem) else problem_of(error)
            request.state.rejection = problem.rejection
            await response(problem, request_id)(scope, receive, send_with_id)
        finally:
            self._held_bodies.give_back(num_held_bytes)
            seconds = time.perf_counter() - began
            endpoint = self._endpoint(scope)
            self._metrics.request_seconds.labels(endpoint, str(status)).observe(seconds)
            is_watching = (
                request.method in _READING and endpoint in WATCHING_PATHS and status in _USUAL_STATUSES
            )
            logger.log(
                logging.DEBUG if is_watching else logging.INFO,
                "request",
                extra={
                    "request_id": request_id,
                    "method": request.method[:_LONGEST_LOGGED],
                    "endpoint": endpoint,
                    "status": status,
                    "seconds": round(seconds, 6),
                    "bytes_in": num_bytes,
                    "key": getattr(request.state, "key_name", None),
                    "client": request.client.host[:_LONGEST_LOGGED] if request.client is not None else None,
                },
            )
            self._metrics.requests_in_flight.dec(counted)

    def _endpoint(self, scope: Scope) -> str:
        """The route's pattern, not the path: clients make up paths."""
        route = scope.get("route")
        if route is None:  # refused on the way to it
            found = (route for route in self._routes if route.matches(scope)[0] != Match.NONE)
            route = next(found, None)
        return getattr(route, "path", "unknown")

    def _count_rejection(self, request: Request, start: Message) -> None:
        """Counts an answer that is a problem which refuses the request."""
        if (b"content-type", MEDIA_TYPE.encode()) not in start["headers"]:
            return
        rejection = getattr(request.state, "rejection", None) or rejection_of(start["status"])
        if rejection is not None:
            self._metrics.rejected_requests.labels(rejection).inc()


def _too_many_connections() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "more connections are open, or requests in work, than may be",
        headers={"Retry-After": "1", "Connection": "close"},
        rejection=Rejection.CONNECTIONS_FULL,
    )


def _too_large(most_bytes: int) -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {most_bytes} bytes")

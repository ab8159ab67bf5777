"""Refuses new work once the server has been told to stop, for as long as its port is still open."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from proofrank.service.errors import Draining
from proofrank.service.web.problems import problem_of, response

_READING = frozenset({"GET", "HEAD"})


class DrainMiddleware:
    """Answers by 503 whatever begins after the signal and is not only read; what had begun goes on.

    Args:
        is_stopping: whether the server has been told to stop.
    """

    def __init__(self, app: ASGIApp, is_stopping: Callable[[], bool]) -> None:
        self._app = app
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http" or scope["method"] in _READING or not self._is_stopping():
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        problem = problem_of(Draining("the server is stopping and takes no more work"))
        request.state.rejection = problem.rejection
        await response(problem, getattr(request.state, "request_id", None))(scope, receive, send)

"""Who may come in: which right a route needs, and the check of key and rate before a body is read.

The table of rights is all there is: a route that it does not name needs the right ``rank``.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from proofrank.service.settings.api_keys import ApiKey, Right, find_key
from proofrank.service.settings.settings import Settings
from proofrank.service.web.forwarding import route_path
from proofrank.service.web.page_paths import OPEN_PAGES
from proofrank.service.web.problems import Problem, problem_response, response
from proofrank.service.web.rate_limits import ClientRates, network_of

logger = logging.getLogger("proofrank")

_ALWAYS_OPEN = frozenset({"/healthz", "/readyz", "/openapi.json"})
_METRICS = "/metrics"
_POLICIES = "/policies"
_SLEEPING = frozenset({"/sleep", "/wake"})
_READING = frozenset({"GET", "HEAD"})
_SCHEME = "bearer"


def right_needed(method: str, path: str, *, metrics_needs_key: bool) -> Right | None:
    """The right that a request needs, or None where it is open to all."""
    if path in _ALWAYS_OPEN or (path == _METRICS and not metrics_needs_key):
        return None
    if path in OPEN_PAGES and method in _READING:
        return None
    is_about_policies = path == _POLICIES or path.startswith(f"{_POLICIES}/")
    changes_what_is_served = is_about_policies or path in _SLEEPING
    return "policies" if changes_what_is_served and method not in _READING else "rank"


class AuthMiddleware:
    """Refuses clients that have no key, lack a right, or come too often: 401, 403, 429.

    Paths that are open to all are not counted: a monitor of the service must not be turned away.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._keys = settings.api_keys
        self._metrics_needs_key = settings.metrics_needs_key
        self._rates = None if settings.rate_limit is None else ClientRates(settings.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        # The path as the router sees it: that of `request.url` is put together with what the client calls the host.
        right = right_needed(request.method, route_path(scope), metrics_needs_key=self._metrics_needs_key)
        try:
            if right is not None:
                await self._admit(request, right)
        except Problem as problem:
            await response(problem, getattr(request.state, "request_id", None))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, request: Request, right: Right) -> None:
        """Raises a Problem where the request may not pass; else leaves the key's name with it."""
        offered = _offered_key(request)
        key = None if offered is None else find_key(self._keys, offered)
        request.state.key_name = None if key is None else key.name
        if self._rates is not None:
            # Before the key is refused: so guesses are counted too, for the address that they come from.
            address = request.client.host if request.client is not None else ""
            client = f"address {network_of(address)}" if key is None else f"key {key.name}"
            seconds = await self._rates.seconds_to_wait(client)
            if seconds is not None:
                raise Problem(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    f"over the limit of {self._rates} for one {'key' if key is not None else 'address'}",
                    headers={"Retry-After": str(seconds)},
                )
        if self._keys:
            _check_key(key, right, was_offered=offered is not None)


def _offered_key(request: Request) -> bytes | None:
    """The key of the ``Authorization`` header; None where there is no such header, or not of this kind."""
    values = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, key = values[0].partition(b" ")
    return key.strip() if scheme.lower() == _SCHEME.encode() else None


def _check_key(key: ApiKey | None, right: Right, *, was_offered: bool) -> None:
    """Raises 401 where there is no such key, 403 where it lacks the right."""
    if key is None:
        detail, challenge = "needs a key, as Authorization: Bearer <key>", "Bearer"
        if was_offered:
            detail, challenge = "the key is not one of this server's", 'Bearer error="invalid_token"'
        raise Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
    if right not in key.rights:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"needs the right {right!r}, which the key {key.name!r} lacks",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{right}"'},
        )


def describe_access(document: dict[str, Any], keys: Sequence[ApiKey], *, metrics_needs_key: bool) -> None:
    """Adds to an OpenAPI document what it takes to come in, where keys are needed at all."""
    if not keys:
        return
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["key"] = {"type": "http", "scheme": _SCHEME, "description": "Key of this server."}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            right = right_needed(method.upper(), path, metrics_needs_key=metrics_needs_key)
            if right is None:
                continue
            operation["security"] = [{"key": []}]
            for status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                operation["responses"][str(int(status))] = problem_response(status)


def warn_if_open(settings: Settings) -> None:
    """Logs a warning where the service can be reached from elsewhere and needs no key."""
    reachable = [host for host in settings.host if not _is_loopback(host)]
    if not settings.api_keys and settings.unix_socket is None and reachable:
        shown = ", ".join(reachable)
        logger.warning("no api_keys are set: whoever reaches %s may rank and change policies", shown)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

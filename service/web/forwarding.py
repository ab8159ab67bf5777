"""A service behind a proxy: who the client is, whether it speaks TLS, and under which path it sees the service.

Only proxies that are trusted are believed, for anybody may send these headers.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from proofrank.service.settings.settings import UNIX_SOCKET_PEER, is_root_path


def route_path(scope: Scope) -> str:
    """The path as the routes have it, without the root path."""
    path, root_path = scope["path"], scope.get("root_path", "")
    is_below = bool(root_path) and f"{path}/".startswith(f"{root_path}/")
    return path[len(root_path) :] if is_below else path


class ForwardingMiddleware:
    """Puts client, scheme and root path into the scope as the client sees them, and makes redirects fit any proxy.

    The path of the scope begins with the root path afterwards, whether or not a proxy has removed that.
    """

    def __init__(self, app: ASGIApp, trusted_proxies: Sequence[str], root_path: str | None) -> None:
        """Args:
        trusted_proxies: addresses and networks, and ``unix`` for what comes through the unix socket.
        root_path: where a proxy serves the service, unless it says so by ``X-Forwarded-Prefix``.
        """
        self._with_root_path = _RootPath(app, root_path or "")
        # uvicorn's own, which knows For and Proto.
        self._forwarded = ProxyHeadersMiddleware(self._with_root_path, list(trusted_proxies))  # pyright: ignore[reportArgumentType]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http":
            await self._with_root_path(scope, receive, send)
            return
        peer = scope["client"][0] if scope.get("client") else UNIX_SOCKET_PEER
        if scope.get("client") is None:
            scope["client"] = (UNIX_SOCKET_PEER, 0)
        if peer in self._forwarded.trusted_hosts:
            prefix = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/")
            if is_root_path(prefix):
                scope["root_path"] = prefix
        await self._forwarded(scope, receive, send)  # pyright: ignore[reportArgumentType]


class _RootPath:
    """Puts the root path before the path where a proxy has removed it, and makes redirects relative."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root_path = scope.get("root_path", "").rstrip("/") or self._root_path
        scope["root_path"] = root_path
        if root_path and not f"{scope['path']}/".startswith(f"{root_path}/"):
            scope["path"] = root_path + scope["path"]
            if "raw_path" in scope:
                scope["raw_path"] = root_path.encode("ascii") + scope["raw_path"]

        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start" and 300 <= message["status"] < 400:
                headers = MutableHeaders(scope=message)
                if "location" in headers:
                    # Without scheme and host, which only the client knows for sure.
                    parts = urlsplit(headers["location"])
                    headers["location"] = urlunsplit(("", "", parts.path, parts.query, parts.fragment))
            await send(message)

        await self._app(scope, receive, send_relative)

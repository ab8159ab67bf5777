"""uvicorn, told to stop in peace by SIGTERM and SIGINT; beside it, if wanted, metrics and health on their own port."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from proofrank.service.errors import JobRemovedError
from proofrank.service.settings.settings import Settings
from proofrank.service.web.connections import Connection
from proofrank.service.web.listening import Listener, Listeners
from proofrank.service.web.slow_clients import SlowClients

logger = logging.getLogger("proofrank")

_TICKS_PER_LOOK = 5
_SECONDS_AFTER_GRACE = 5
"""For the answers to what was not done in time."""


class Server(uvicorn.Server):
    """Serves one application until a signal or ``should_exit`` ends it.

    uvicorn raises the signal again once it has shut down, so that the process would die of it; here a shutdown that
    was asked for is a success, and the caller goes on.

    Args:
        app: what to serve.
        settings: of the service.
        listeners: where to listen; they are closed at the end.
        watched: what to serve on ``metrics_port``, where that is set, until the other has ended.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: Settings,
        listeners: Listeners,
        *,
        on_signal: Callable[[], None],
        watched: FastAPI | None = None,
    ) -> None:
        self._on_signal = on_signal
        logging.getLogger("uvicorn.error").addFilter(_is_fault)
        self._slow_clients = SlowClients(settings.patience_seconds)
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                # Whatever else a client would rather speak, it is answered in HTTP/1.1.
                ws="none",
                log_config=None,
                # Every request has a line of the service's own.
                access_log=False,
                # The application sees to these.
                proxy_headers=False,
                timeout_keep_alive=settings.keep_alive_seconds,  # pyright: ignore[reportArgumentType]
                # Over which the connections tell the application.
                limit_concurrency=settings.max_connections,
                timeout_graceful_shutdown=math.ceil(settings.grace_seconds) + _SECONDS_AFTER_GRACE,
            )
        )
        self._drain_seconds = settings.drain_seconds
        self._patience_seconds = settings.patience_seconds
        self._listeners = listeners
        self._watched = watched
        self._closes_at: float | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until told to stop.

        Raises:
            SettingsError: another process has begun to listen there since the sockets were bound.
        """
        try:
            self._listeners.listen()
            sockets = [listener.socket for listener in self._listeners.main]
            if self._watched is None:
                await super().serve(sockets)
                return
            async with _serving(self._watched, self._listeners.metrics, self._patience_seconds):
                await super().serve(sockets)
        finally:
            self._listeners.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to serve, and says where."""
        await super().startup(sockets)
        for listener in self._listeners.main:
            logger.info("Uvicorn running on %s (Press CTRL+C to quit)", listener.address)

    async def on_tick(self, counter: int) -> bool:
        """Is called by uvicorn ten times a second; says whether to end."""
        if counter % _TICKS_PER_LOOK == 0:
            self._slow_clients.look(self.server_state.connections)  # pyright: ignore[reportArgumentType]
        if self._closes_at is not None and not self.should_exit and time.monotonic() >= self._closes_at:
            super().handle_exit(signal.SIGTERM, None)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal that ends the server: the first one after ``drain_seconds``, a second one at once."""
        self._on_signal()
        if self._closes_at is None and self._drain_seconds:
            self._closes_at = time.monotonic() + self._drain_seconds
        else:
            super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles SIGTERM and SIGINT while the server runs."""
        handled = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether the record is not of an answer that breaks off on purpose, which the application has logged."""
    return record.exc_info is None or not isinstance(record.exc_info[1], JobRemovedError)


class _WatchingServer(uvicorn.Server):
    """Serves beside another server, which has the signals."""

    def __init__(self, config: uvicorn.Config, patience_seconds: float) -> None:
        """``patience_seconds`` is that of clients, as on the other port."""
        super().__init__(config)
        self._slow_clients = SlowClients(patience_seconds)

    async def on_tick(self, counter: int) -> bool:
        """Is called by uvicorn ten times a second; says whether to end."""
        if counter % _TICKS_PER_LOOK == 0:
            self._slow_clients.look(self.server_state.connections)  # pyright: ignore[reportArgumentType]
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles none."""
        yield


@asynccontextmanager
async def _serving(
    app: FastAPI, listeners: Sequence[Listener], patience_seconds: float
) -> AsyncIterator[None]:
    """Serves ``app`` on the listeners."""
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        lifespan="off",
        # A scrape that goes on when all else has ended is not waited for.
        timeout_graceful_shutdown=1,
    )
    server = _WatchingServer(config, patience_seconds)
    for listener in listeners:
        logger.info("metrics and health on %s", listener.address)
    running = asyncio.create_task(server.serve([listener.socket for listener in listeners]))
    try:
        yield
    finally:
        server.should_exit = True
        await running

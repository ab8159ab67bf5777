"""The HTTP server: uvicorn, told to stop in peace by SIGTERM and SIGINT."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.settings import Settings
from service.slow_clients import SlowClients

_TICKS_PER_LOOK = 5
_SECONDS_AFTER_GRACE = 5
"""For the answers to what was not done in time."""


class Server(uvicorn.Server):
    """Serves one application until a signal or ``should_exit`` ends it.

    uvicorn raises the signal again once it has shut down, so that the process would die of it; here a shutdown that
    was asked for is a success, and the caller goes on.
    """

    def __init__(self, app: FastAPI, settings: Settings, on_signal: Callable[[], None]) -> None:
        """A server that calls ``on_signal`` as soon as a signal ends it."""
        self._on_signal = on_signal
        self._slow_clients = SlowClients(settings.patience_seconds, settings.max_body_bytes)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                limit_concurrency=settings.max_connections,
                timeout_graceful_shutdown=math.ceil(settings.grace_seconds) + _SECONDS_AFTER_GRACE,
            )
        )

    async def on_tick(self, counter: int) -> bool:
        """Is called by uvicorn ten times a second; says whether to end."""
        if counter % _TICKS_PER_LOOK == 0:
            self._slow_clients.look(self.server_state.connections)  # pyright: ignore[reportArgumentType]
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal that ends the server."""
        self._on_signal()
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

"""The HTTP server: uvicorn, told to stop in peace by SIGTERM and SIGINT."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from service.settings import Settings

_GRACE_SECONDS = 30


class Server(uvicorn.Server):
    """Serves one application until a signal or ``should_exit`` ends it.

    uvicorn raises the signal again once it has shut down, so that the process would die of it; here a shutdown that
    was asked for is a success, and the caller goes on.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

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

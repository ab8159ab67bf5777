"""The HTTP applications: that of the service, and that of metrics and health alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from core import __version__
from service.entrance import furnish
from service.host import EvaluatorHost
from service.metrics import ServiceMetrics
from service.routes import operation, rank
from service.services import Services
from service.settings import Settings

_ROUTES = (rank, operation)


def create_app(settings: Settings, on_failure: Callable[[], None] | None = None) -> FastAPI:
    """The application; it begins to load the evaluator when the server starts it.

    Args:
        settings: of the service.
        on_failure: called where the evaluator cannot be loaded.
    """
    metrics = ServiceMetrics()
    host = EvaluatorHost(settings, metrics)
    services = Services(settings, metrics, host)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def start() -> None:
            await host.start()
            if host.has_failed and on_failure is not None:
                on_failure()

        starting = asyncio.create_task(start())
        yield
        await host.stop()
        await asyncio.gather(starting, return_exceptions=True)

    app = FastAPI(
        title="proofrank",
        version=__version__,
        summary="Ranks knowledge-graph triples by the proofs that a trained policy finds for them.",
        lifespan=lifespan,
        # The pages that FastAPI has for its document load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    furnish(app, settings, metrics, [route.make_router(services) for route in _ROUTES])
    return app


def create_operation_app(services: Services) -> FastAPI:
    """Metrics and health alone, for a port of their own."""
    app = FastAPI(openapi_url=None)
    furnish(app, services.settings, services.metrics, [operation.make_watching_router(services)])
    return app

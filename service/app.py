"""The HTTP application: the routes, what every request passes through, and what a fault answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from core import __version__
from service import problems
from service.access import DoorMiddleware, describe_access
from service.host import EvaluatorHost
from service.metrics import ServiceMetrics
from service.middleware import REQUEST_ID_HEADER, RequestMiddleware
from service.problems import Problem
from service.routes import operation, rank
from service.services import Services
from service.settings import Settings

logger = logging.getLogger("proofrank")

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
    _furnish(app, services, [route.make_router(services) for route in _ROUTES])
    return app


def create_operation_app(services: Services) -> FastAPI:
    """Metrics and health alone, for a port of their own."""
    app = FastAPI(openapi_url=None)
    _furnish(app, services, [operation.make_watching_router(services)])
    return app


def _furnish(app: FastAPI, services: Services, routers: Sequence[APIRouter]) -> None:
    """Gives ``app`` its routes, and what every request passes on the way to them and back."""
    settings = services.settings
    problems.install(app)
    # The middleware added last is the first that a request comes to.
    app.add_middleware(DoorMiddleware, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", REQUEST_ID_HEADER],
            expose_headers=[REQUEST_ID_HEADER, "Location", "Retry-After"],
        )
    app.add_middleware(
        RequestMiddleware,
        metrics=services.metrics,
        max_body_bytes=settings.max_body_bytes,
        routes=[*app.routes, *(route for router in routers for route in router.routes)],
    )
    for router in routers:
        app.include_router(router)
    make_document = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            describe_access(make_document(), settings.api_keys, metrics_needs_key=settings.metrics_needs_key)
        return make_document()

    app.openapi = openapi

    @app.exception_handler(Exception)
    async def on_fault(request: Request, error: Exception) -> JSONResponse:
        """A fault of ours: the client learns its request id and nothing else."""
        logger.error("fault in request %s", request.state.request_id, exc_info=error)
        problem = Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "a fault of the server; it has been logged",
            # This answer passes outside the middleware that names the others.
            headers={REQUEST_ID_HEADER: request.state.request_id},
        )
        return problems.response(problem, request.state.request_id)

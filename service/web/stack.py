"""What every request passes on its way to a route and back, from an id to the answer to a fault."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from proofrank.service.errors import JobRemovedError
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.web import openapi, problems
from proofrank.service.web.auth import AuthMiddleware
from proofrank.service.web.compression import CompressionMiddleware
from proofrank.service.web.forwarding import ForwardingMiddleware
from proofrank.service.web.head_requests import HeadMiddleware
from proofrank.service.web.headers import REQUEST_ID_HEADER
from proofrank.service.web.problems import Problem
from proofrank.service.web.request_middleware import BodyLimit, RequestMiddleware

logger = logging.getLogger("proofrank")


def install_stack(
    app: FastAPI, settings: Settings, metrics: ServiceMetrics, routers: Sequence[APIRouter]
) -> None:
    """Gives ``app`` these routes, and what every request passes on the way to them and back."""
    problems.install(app)
    # The middleware added last is the first that a request comes to.
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AuthMiddleware, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", REQUEST_ID_HEADER],
            expose_headers=[REQUEST_ID_HEADER, "Location", "Retry-After"],
        )
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(
        RequestMiddleware,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        max_total_body_bytes=settings.max_total_body_bytes,
        # Uploads go to the disk as they come.
        body_limits=[BodyLimit("/policies/", settings.max_policy_bytes, is_held=False)],
        routes=[*app.routes, *(route for router in routers for route in router.routes)],
    )
    app.add_middleware(
        ForwardingMiddleware, trusted_proxies=settings.trusted_proxies, root_path=settings.root_path
    )
    for router in routers:
        app.include_router(router)
    _complete_document(app, settings)
    app.add_exception_handler(Exception, _on_fault)


def _complete_document(app: FastAPI, settings: Settings) -> None:
    """Has the OpenAPI document completed before it is first shown."""
    make_document = app.openapi

    def completed() -> dict[str, Any]:
        if app.openapi_schema is None:
            openapi.complete(make_document(), settings)
        return make_document()

    app.openapi = completed


async def _on_fault(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours: the client learns its request id and nothing else."""
    if isinstance(error, JobRemovedError):
        # The answer was under way and breaks off; the client does not see this one.
        logger.info("the answer to request %s breaks off: %s", request.state.request_id, error)
    else:
        logger.error("fault in request %s", request.state.request_id, exc_info=error)
    problem = Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "a fault of the server; it has been logged",
        # This answer passes outside the middleware that names the others.
        headers={REQUEST_ID_HEADER: request.state.request_id},
    )
    return problems.response(problem, request.state.request_id)

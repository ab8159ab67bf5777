"""The HTTP application: the routes, what every request passes through, and what a fault answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from core import __version__
from service import problems
from service.data_folder import DataFolder, default_data_folder
from service.database import Database
from service.host import EvaluatorHost
from service.jobs import make_jobs
from service.metrics import ServiceMetrics
from service.middleware import REQUEST_ID_HEADER, BodyLimit, RequestMiddleware
from service.policies import PolicyRegistry, PolicyStore, policy_at_start
from service.problems import Problem
from service.routes import jobs, operation, policies, rank
from service.services import Services
from service.settings import Settings

logger = logging.getLogger("proofrank")

_ROUTES = (rank, jobs, policies, operation)


def create_app(settings: Settings, on_failure: Callable[[], None] | None = None) -> FastAPI:
    """The application; it begins to load the evaluator when the server starts it.

    Args:
        settings: of the service.
        on_failure: called where the evaluator cannot be loaded.

    Raises:
        DataFolderError: the data folder cannot be used, or another server has it.
    """
    metrics = ServiceMetrics()
    folder = DataFolder.open(settings.data_folder or default_data_folder())
    database = Database.open(folder.path)
    store = PolicyStore(folder.path, database, settings.max_policies)
    host = EvaluatorHost(
        settings, metrics, lambda dataset: policy_at_start(store, settings.policy, dataset, metrics)
    )
    registry = PolicyRegistry(store, host, metrics)
    made_jobs = make_jobs(settings, metrics, host, database, registry)
    services = Services(settings, metrics, host, database, registry, made_jobs)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def start() -> None:
            await host.start()
            if not host.has_failed:
                made_jobs.runner.start()
            elif on_failure is not None:
                on_failure()

        starting = asyncio.create_task(start())
        yield
        await made_jobs.runner.stop()
        await host.stop()
        await asyncio.gather(starting, return_exceptions=True)
        await asyncio.to_thread(database.close)
        folder.close()

    app = FastAPI(
        title="proofrank",
        version=__version__,
        summary="Ranks knowledge-graph triples by the proofs that a trained policy finds for them.",
        lifespan=lifespan,
    )
    app.state.services = services
    problems.install(app)
    app.add_middleware(
        RequestMiddleware,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        body_limits=[BodyLimit("/policies/", settings.max_policy_bytes)],
    )
    for route in _ROUTES:
        app.include_router(route.make_router(services))

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

    return app

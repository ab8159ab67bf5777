"""The HTTP applications: that of the service, and that of metrics and health alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import Depends, FastAPI

from proofrank._version import __version__
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.jobs import make_jobs
from proofrank.service.page import route as page
from proofrank.service.policies import PolicyAtStart, PolicyRegistry, PolicyStore
from proofrank.service.policies.replicas import NoReplicas, Replicas
from proofrank.service.routes import (
    compare,
    graph,
    jobs,
    operation,
    pages,
    policies,
    rank,
    rankings,
    runs,
    sample,
    sleep,
    why,
)
from proofrank.service.services import RankingServices, Services
from proofrank.service.settings.settings import Settings
from proofrank.service.storage.data_folder import DataFolder, default_data_folder
from proofrank.service.storage.database import Database
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.threads import make_workers
from proofrank.service.web.drain_middleware import DrainMiddleware
from proofrank.service.web.openapi import operation_id
from proofrank.service.web.stack import install_stack

_ROUTES = (rank, why, sample, jobs, rankings, compare, policies, runs, graph, operation, sleep, page, pages)


def create_app(
    settings: Settings, on_failure: Callable[[], None] | None = None, replicas: Replicas | None = None
) -> FastAPI:
    """The application; it begins to load the evaluator when the server starts it.

    Args:
        settings: of the service.
        on_failure: called, in any thread, where the evaluator cannot be loaded, or loses its device.
        replicas: other processes that rank by the policy that is live here; none by default.

    Raises:
        DataFolderError: the data folder, or what is in it, cannot be used.
        FolderInUseError: another server has it.
    """
    folder = DataFolder.open(settings.data_folder or default_data_folder())
    try:
        return _create_app(settings, on_failure, replicas if replicas is not None else NoReplicas(), folder)
    except BaseException:
        # Else who tries again in this process would be told that another server has it.
        folder.close()
        raise


def _create_app(
    settings: Settings, on_failure: Callable[[], None] | None, replicas: Replicas, folder: DataFolder
) -> FastAPI:
    """The application, which closes ``folder`` when it ends."""
    metrics = ServiceMetrics()
    database = Database.open(folder.path)
    store = PolicyStore(folder.path, database, settings.max_policies)
    at_start = PolicyAtStart(store, settings.policy, metrics)
    host = EvaluatorHost(settings, metrics, at_start.first, at_start, on_failure)
    registry = PolicyRegistry(store, host, metrics, replicas, at_start)
    made_jobs = make_jobs(settings, metrics, host, database, registry)
    services = Services(settings, metrics, host, database, registry, made_jobs, replicas)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(make_workers())

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
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await asyncio.to_thread(database.close)
        folder.close()

    app = FastAPI(
        title="proofrank",
        version=__version__,
        summary="Ranks knowledge-graph triples by the proofs that a trained policy finds for them.",
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        # The document names it as the server, for clients that are made from it.
        servers=[{"url": settings.root_path}] if settings.root_path else None,
        # The pages that FastAPI has for its document load scripts from elsewhere; routes.pages has one that does not.
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.add_middleware(DrainMiddleware, is_stopping=lambda: host.is_stopping)
    install_stack(app, settings, metrics, [route.make_router(services) for route in _ROUTES])
    return app


def create_ranking_app(
    services: RankingServices,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    before_ranking: Callable[[], Awaitable[None]],
) -> FastAPI:
    """``POST /rank`` alone, for one of many processes; policies and jobs are in another one.

    Args:
        services: to rank by.
        lifespan: begins and ends what is behind the services.
        before_ranking: is awaited once a request's body has been read; what it raises is the answer.
    """
    app = FastAPI(lifespan=lifespan, openapi_url=None, dependencies=[Depends(before_ranking)])
    install_stack(app, services.settings, services.metrics, [rank.make_router(services)])
    return app


def create_operation_app(services: Services) -> FastAPI:
    """Metrics and health alone, for a port of their own."""
    app = FastAPI(openapi_url=None)
    install_stack(app, services.settings, services.metrics, [operation.make_watching_router(services)])
    return app

"""The HTTP application: ``/rank``, ``/info``, ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import torch
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from core import __version__
from core.errors import EvaluationError
from core.ranking import report
from service import problems
from service.host import READY, EvaluatorHost
from service.metrics import ServiceMetrics
from service.middleware import REQUEST_ID_HEADER, RequestMiddleware
from service.problems import MEDIA_TYPE, Problem, ProblemBody
from service.ranking import Limits, proof_maker, to_queries, to_report, to_results
from service.schemas import Identity, InfoResponse, RankRequest, RankResponse, Readiness, Timing
from service.settings import Settings

logger = logging.getLogger("proofrank")


def _problem_responses(*statuses: HTTPStatus) -> dict[int | str, dict]:
    """OpenAPI's description of the errors that a route answers with."""
    return {
        int(status): {"model": ProblemBody, "description": status.phrase, "content": {MEDIA_TYPE: {}}}
        for status in statuses
    }


def create_app(settings: Settings, on_failure: Callable[[], None] | None = None) -> FastAPI:
    """The application; it begins to load the evaluator when the server starts it.

    Args:
        settings: of the service.
        on_failure: called where the evaluator cannot be loaded.
    """
    metrics = ServiceMetrics()
    host = EvaluatorHost(settings, metrics)
    limits = Limits(settings.max_queries, settings.max_candidates, settings.max_proofs)

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
    )
    app.state.host = host
    problems.install(app)
    app.add_middleware(RequestMiddleware, metrics=metrics, max_body_bytes=settings.max_body_bytes)

    @app.post(
        "/rank",
        responses=_problem_responses(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    )
    async def rank(body: RankRequest, request: Request) -> RankResponse:
        """Ranks triples against corrupted copies of themselves."""
        loaded = host.loaded
        # In a thread: looking up many names, and drawing many corruptions, takes a while.
        queries = await asyncio.to_thread(to_queries, body, loaded.dataset, limits)
        try:
            execution = await host.rank(queries, body.seed)
        except EvaluationError as error:
            raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"evaluation failed: {error}") from error
        make_proof = proof_maker(loaded.reference.prover, loaded.reference.scorer, loaded.dataset)
        # The reference shares no state with the evaluator, so the next request need not wait for proofs.
        results = await asyncio.to_thread(to_results, body, execution.ranked, loaded.dataset, make_proof)
        return RankResponse(
            request_id=request.state.request_id,
            dataset=Identity(name=loaded.dataset.name, sha256=loaded.dataset.content_hash),
            policy=Identity(name=loaded.policy.name, sha256=loaded.policy.content_hash),
            engine=loaded.evaluator.engine,
            metrics=to_report(report(execution.ranked, loaded.dataset, body.ties)),
            timing=Timing(
                queue_seconds=execution.queue_seconds, execution_seconds=execution.execution_seconds
            ),
            queries=results,
        )

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", responses={int(HTTPStatus.SERVICE_UNAVAILABLE): {"model": Readiness}})
    async def readyz(answer: Response) -> Readiness:
        """Whether requests are taken; 503 with the stage until the evaluator is warm."""
        is_ready = host.stage == READY
        if not is_ready:
            answer.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Readiness(ready=is_ready, stage=host.stage, seconds=host.seconds_in_stage)

    @app.get("/info", responses=_problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
    async def info() -> InfoResponse:
        """What is being served: dataset, policy, prover settings, limits."""
        loaded = host.loaded
        dataset, network = loaded.dataset, loaded.policy.network
        return InfoResponse(
            version=__version__,
            dataset={
                "name": dataset.name,
                "sha256": dataset.content_hash,
                "constants": dataset.vocabulary.num_constants,
                "relations": list(dataset.vocabulary.predicates[:1000]),
                "rules": len(dataset.rules),
                "domains": {name: len(constants) for name, constants in dataset.domains.items()},
                **{split: len(triples) for split, triples in dataset.splits.items()},
            },
            policy={
                "name": loaded.policy.name,
                "sha256": loaded.policy.content_hash,
                "parameters": sum(parameter.numel() for parameter in network.parameters()),
                **dataclasses.asdict(network.config),
            },
            prover=host.describe_prover(),
            engine=loaded.evaluator.engine,
            device=str(network.embedding.arguments.device),
            torch=torch.__version__,
            limits={
                "max_body_bytes": settings.max_body_bytes,
                "max_queries": settings.max_queries,
                "max_candidates": settings.max_candidates,
                "max_queued_candidates": settings.max_queued_candidates,
                "max_proofs": settings.max_proofs,
            },
            startup_seconds=host.stage_seconds,
        )

    @app.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        """The metrics, in Prometheus' text form."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

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

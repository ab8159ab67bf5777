"""What operators ask: ``/healthz``, ``/readyz``, ``/info`` and ``/metrics``."""

from __future__ import annotations

import dataclasses
from http import HTTPStatus
from typing import Any

import torch
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from proofrank._version import __version__
from proofrank.core.hybrid import Hybrid
from proofrank.core.ranking.scoring import identity_of
from proofrank.service.engine.lifecycle import READY
from proofrank.service.errors import NotReady
from proofrank.service.services import Services
from proofrank.service.web.problems import problem_responses
from proofrank.service.wire import Activity, Health, Identity, Info, Readiness


def make_router(services: Services) -> APIRouter:
    """The routes on these services; without the metrics where those have a port of their own."""
    router = APIRouter(tags=["server"])
    _add_health(router, services)
    _add_info(router, services)
    _add_activity(router, services)
    if services.settings.metrics_port is None:
        _add_metrics(router, services)
    return router


def make_watching_router(services: Services) -> APIRouter:
    """What watches a service: metrics and health, for a port of their own."""
    router = APIRouter()
    _add_health(router, services)
    _add_metrics(router, services)
    return router


def _add_health(router: APIRouter, services: Services) -> None:
    host = services.host

    @router.get("/healthz")
    async def get_health() -> Health:
        """Whether the process is alive."""
        return Health("ok")

    @router.get(
        "/readyz",
        responses={
            int(HTTPStatus.SERVICE_UNAVAILABLE): {
                "model": Readiness,
                "description": "The server takes no requests yet.",
            }
        },
    )
    async def get_readiness(answer: Response) -> Readiness:
        """Whether requests are taken; 503 with the stage until the evaluator is warm."""
        is_ready = host.stage == READY
        if not is_ready:
            answer.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Readiness(ready=is_ready, stage=host.stage, seconds=host.seconds_in_stage)


def _weights(hybrid: Hybrid | None) -> dict[str, Any] | None:
    return None if hybrid is None else hybrid.to_dict()


def _add_info(router: APIRouter, services: Services) -> None:
    host, settings = services.host, services.settings

    @router.get("/info", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
    async def get_info() -> Info:
        """What is being served: dataset, policy, prover settings, limits."""
        dataset, policy, scores = host.loaded.dataset, host.active_policy, host.loaded.scores
        return Info(
            version=__version__,
            dataset={
                "name": dataset.name,
                "sha256": dataset.content_hash,
                "constants": dataset.vocabulary.num_constants,
                "relations": list(dataset.vocabulary.predicates[:1000]),
                "rules": len(dataset.rules),
                "domains": {name: len(constants) for name, constants in dataset.domains.items()},
                **{split: len(triples) for split, triples in dataset.splits.items()},
                "facts": len(dataset.fact_triples),
                "files": [
                    {"name": file.path.name, "holds": file.holds, "format": file.format, "count": file.count}
                    for file in dataset.files
                ],
                "warnings": [warning.without_folder().to_dict() for warning in dataset.warnings],
            },
            policy={
                "name": policy.name,
                "sha256": policy.content_hash,
                "parameters": sum(parameter.numel() for parameter in policy.model.parameters()),
                **dataclasses.asdict(policy.shape),
                "hybrid": _weights(policy.hybrid),
            },
            embedding=None
            if scores is None
            else {**identity_of(scores.source), "hybrid": _weights(scores.hybrid)},
            prover=host.describe_prover(),
            engine=host.engine,
            device=str(policy.model.device),
            torch=torch.__version__,
            limits={
                "max_body_bytes": settings.max_body_bytes,
                "max_queries": settings.max_queries,
                "max_candidates": settings.max_candidates,
                "max_queued_candidates": settings.max_queued_candidates,
                "max_proofs": settings.max_proofs,
                "max_beam": settings.max_beam,
            },
            startup_seconds=host.stage_seconds,
            not_restored=services.policies.not_restored,
        )


def _add_activity(router: APIRouter, services: Services) -> None:
    host, settings = services.host, services.settings

    @router.get("/activity")
    async def get_activity() -> Activity:
        """What the server is doing: its stage, the live policy, the queue, throughput and jobs."""
        try:
            policy = host.active_policy
        except NotReady:
            policy = None
        return Activity(
            stage=host.stage,
            seconds=host.seconds_in_stage,
            policy=None if policy is None else Identity(policy.name, policy.content_hash),
            queued_candidates=host.room.num_candidates,
            max_queued_candidates=settings.max_queued_candidates,
            tasks=host.num_tasks,
            candidates_per_second=host.candidates_per_second,
            jobs=dict(await services.jobs.store.counts()),
        )


def _add_metrics(router: APIRouter, services: Services) -> None:
    @router.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        """The metrics, in Prometheus' text form."""
        exposition = await services.replicas.gather_metrics(generate_latest(services.metrics.registry))
        return Response(exposition, media_type=CONTENT_TYPE_LATEST)

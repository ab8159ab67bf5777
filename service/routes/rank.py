"""``POST /rank``: ranks triples against corrupted copies of themselves."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

from fastapi import APIRouter, Request

from core.errors import EvaluationError
from core.ranking import report
from service.bodies import bounded_route
from service.disconnection import unless_client_goes
from service.host import Execution
from service.problems import Problem, problem_responses
from service.ranking import (
    Limits,
    asks_little,
    check_num_queries,
    proof_maker,
    to_queries,
    to_report,
    to_results,
)
from service.schemas import Identity, QueryResult, RankRequest, RankResponse, ReportView, Timing
from service.services import RankingServices
from service.threads import compute_beside_unless

_MOST_SECONDS_LATE = 0.5
"""By which the answer that a deadline has passed comes after it."""


def make_router(services: RankingServices) -> APIRouter:
    """The route on these services."""
    host, settings = services.host, services.settings
    limits = Limits(settings.max_queries, settings.max_candidates, settings.max_proofs)
    router = APIRouter(route_class=bounded_route(lambda value: check_num_queries(value, limits)))

    @router.post(
        "/rank",
        responses=problem_responses(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
    )
    async def rank(body: RankRequest, request: Request) -> RankResponse:
        """Ranks triples against corrupted copies of themselves."""
        milliseconds = min(body.deadline_ms or settings.max_deadline_ms, settings.max_deadline_ms)
        deadline = time.monotonic() + milliseconds / 1000
        dataset, policy = host.loaded.dataset, host.active_policy

        async def evaluate() -> tuple[Execution, list[QueryResult], ReportView]:
            is_small = asks_little(body, dataset)
            queries = await compute_beside_unless(is_small, to_queries, body, dataset, limits)
            execution = await host.rank(queries, body.seed, policy=policy, deadline=deadline)
            reference = host.reference(policy)
            make_proof = proof_maker(reference.prover, reference.scorer, dataset)

            def word() -> tuple[list[QueryResult], ReportView]:
                # The reference shares no state with the evaluator, so the next request need not wait for proofs.
                results = to_results(body, execution.ranked, dataset, make_proof)
                return results, to_report(report(execution.ranked, dataset, body.ties))

            return execution, *await compute_beside_unless(is_small, word)

        try:
            # All of it: what waits for a thread for a client that has gone keeps the threads from those that are there.
            # The scheduler sees to the deadline as well, and knows more; but it may be busy, or not be asked yet.
            async with asyncio.timeout(deadline - time.monotonic() + _MOST_SECONDS_LATE):
                execution, results, metrics = await unless_client_goes(request, evaluate())
        except TimeoutError as error:
            raise Problem(HTTPStatus.GATEWAY_TIMEOUT, "the deadline has passed") from error
        except EvaluationError as error:
            raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"evaluation failed: {error}") from error
        return RankResponse(
            request_id=request.state.request_id,
            dataset=Identity(name=dataset.name, sha256=dataset.content_hash),
            policy=Identity(name=policy.name, sha256=policy.content_hash),
            engine=host.engine,
            metrics=metrics,
            timing=Timing(
                queue_seconds=execution.queue_seconds,
                first_result_seconds=execution.first_result_seconds,
                execution_seconds=execution.execution_seconds,
            ),
            queries=results,
        )

    return router

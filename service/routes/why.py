"""``POST /why``: why a triple has its rank: its proof, and what scores higher or as much, and how."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from proofrank.core.errors import EvaluationError
from proofrank.service import wire
from proofrank.service.engine.ranker import count_candidates
from proofrank.service.errors import DeadlinePassed, EvaluationFailed
from proofrank.service.ranking.to_queries import Limits
from proofrank.service.ranking.to_why import to_explanation, to_query
from proofrank.service.services import RankingServices
from proofrank.service.web.client_disconnect import unless_client_goes
from proofrank.service.web.json_bodies import bounded_route
from proofrank.service.web.problems import problem_responses
from proofrank.service.wire import WhyRequest

_MOST_SECONDS_LATE = 0.5
"""By which the answer that a deadline has passed comes after it."""


def make_router(services: RankingServices) -> APIRouter:
    """The route on these services."""
    host, settings = services.host, services.settings
    limits = Limits(settings.max_queries, settings.max_candidates, settings.max_proofs)
    router = APIRouter(tags=["ranking"], route_class=bounded_route())

    @router.post(
        "/why",
        response_model=wire.RankExplanation,
        responses=problem_responses(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            HTTPStatus.SERVICE_UNAVAILABLE,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
    )
    async def why(body: WhyRequest, request: Request) -> Response:
        """Says why a triple has its rank: its proof, and those of the corruptions that score higher or as much."""
        milliseconds = min(body.deadline_ms or settings.max_deadline_ms, settings.max_deadline_ms)
        deadline = time.monotonic() + milliseconds / 1000
        # What the request begins with is what it ends with, whatever is activated meanwhile.
        loaded, policy = host.loaded, host.active_policy
        dataset = loaded.dataset

        async def evaluate() -> Response:
            host.room.check(1)
            query, also = await asyncio.to_thread(to_query, body, dataset, limits)
            request.state.until_sent.enter_context(host.room.taken(count_candidates([query])))
            execution = await host.rank(
                [query], body.seed, policy=policy, pruning=body.pruning_level, deadline=deadline
            )

            def word() -> bytes:
                answer = to_explanation(
                    body,
                    execution.ranked[0],
                    also,
                    host.reference(loaded, policy),
                    dataset,
                    policy,
                    engine=host.engine,
                    request_id=request.state.request_id,
                )
                return wire.answer_to_json(answer)

            return Response(await asyncio.to_thread(word), media_type="application/json")

        try:
            async with asyncio.timeout(deadline - time.monotonic() + _MOST_SECONDS_LATE):
                return await unless_client_goes(request, evaluate())
        except TimeoutError as error:
            raise DeadlinePassed("the deadline has passed") from error
        except EvaluationError as error:
            raise EvaluationFailed(f"evaluation failed: {error}") from error

    return router

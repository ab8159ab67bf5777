"""``POST /sample``: draws trajectories of triples, and answers the share of proofs among them."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from proofrank.service.ranking.to_queries import Limits, check_number
from proofrank.service.ranking.to_samples import (
    check_num_trajectories,
    is_small,
    to_candidates,
    to_sample_response,
)
from proofrank.service.routes.deadlines import ERRORS_OF_RANKING, by_deadline, deadline_of
from proofrank.service.services import Services
from proofrank.service.threads import in_worker_unless_small
from proofrank.service.web.json_bodies import bounded_route
from proofrank.service.web.problems import problem_responses
from proofrank.service.wire import SampleRequest, SampleResponse, Timing, answer_to_json


def make_router(services: Services) -> APIRouter:
    """The route on these services."""
    host, settings = services.host, services.settings
    limits = Limits(settings.max_queries, settings.max_candidates, settings.max_proofs)
    router = APIRouter(
        tags=["ranking"], route_class=bounded_route(lambda value: check_number(value, "triples", limits))
    )

    @router.post("/sample", response_model=SampleResponse, responses=problem_responses(*ERRORS_OF_RANKING))
    async def sample(body: SampleRequest, request: Request) -> Response:
        """Draws trajectories of triples by the policy's probabilities, and says how many of them are proofs."""
        deadline = deadline_of(body.deadline_ms, settings.max_deadline_ms)
        # What the request begins with is what it ends with, whatever is activated meanwhile.
        dataset, policy = host.loaded.dataset, host.active_policy

        async def evaluate() -> Response:
            check_num_trajectories(body, limits)
            num_trajectories = len(body.triples) * body.samples
            host.room.check(num_trajectories)
            small = is_small(body, dataset)
            candidates = await in_worker_unless_small(small, to_candidates, body, dataset)
            request.state.until_sent.enter_context(host.room.taken(num_trajectories))
            batch = await host.sample(candidates, body.samples, body.seed, policy, deadline=deadline)

            def word() -> bytes:
                answer = to_sample_response(
                    body,
                    batch.shares,
                    dataset,
                    policy,
                    engine=batch.engine,
                    request_id=request.state.request_id,
                    timing=Timing(
                        queue_seconds=batch.queue_seconds,
                        first_result_seconds=batch.first_result_seconds,
                        execution_seconds=batch.execution_seconds,
                    ),
                )
                return answer_to_json(answer)

            return Response(await in_worker_unless_small(small, word), media_type="application/json")

        return await by_deadline(request, deadline, evaluate())

    return router

"""``POST /why``: why a triple has its rank: its proof, and what scores higher or as much, and how."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from proofrank.core.errors import EmbeddingError, EvaluationError, PolicyError
from proofrank.core.policy import Policy
from proofrank.service import wire
from proofrank.service.engine.ranker import count_candidates
from proofrank.service.engine.served_scores import scoring_of_explanation, unscored
from proofrank.service.errors import InvalidInput, NoSuchJob, PolicyReplaced, UnusablePolicy
from proofrank.service.ranking.to_queries import Limits, beam_of
from proofrank.service.ranking.to_why import to_explanation, to_query
from proofrank.service.routes.deadlines import ERRORS_OF_RANKING, by_deadline, deadline_of
from proofrank.service.services import Services
from proofrank.service.web.json_bodies import bounded_route
from proofrank.service.web.problems import problem_responses
from proofrank.service.wire import FieldError, WhyRequest


def make_router(services: Services) -> APIRouter:
    """The route on these services."""
    host, settings = services.host, services.settings
    limits = Limits(settings.max_queries, settings.max_candidates, settings.max_proofs, settings.max_beam)
    router = APIRouter(tags=["ranking"], route_class=bounded_route())

    async def loaded_policy(name: str, sha256: str) -> Policy:
        try:
            return await services.policies.load(name, sha256)
        except (PolicyError, EvaluationError) as error:
            raise UnusablePolicy(str(error)) from error

    async def stored(name: str, sha256: str | None) -> Policy:
        """The policy of this name, which must have this content."""
        record = await services.policies.find(name)
        if sha256 is not None and record.sha256 != sha256:
            raise PolicyReplaced(f"policy {name!r} has the content {record.sha256} by now, not {sha256}")
        return await loaded_policy(name, record.sha256)

    async def of_job(job_id: str) -> tuple[Policy, wire.Scoring | None]:
        """The policy that a job ranks by, under the name that it had, whatever name has its content by now; and its
        scores, None for those of proofs.
        """
        job = await services.jobs.store.get(job_id)
        if job is None:
            raise NoSuchJob(f"there is no job {job_id!r}; it may have been removed")
        name, sha256 = job.policy.name, job.policy.sha256
        if all(record.sha256 != sha256 for record in await services.policies.records()):
            raise PolicyReplaced(
                f"job {job_id!r} is ranked by policy {name!r} with the content {sha256}, which no policy has by now"
            )
        scoring = None
        if job.scoring_json is not None:
            scoring = wire.read_answer(wire.Scoring, job.scoring_json)
        return await loaded_policy(name, sha256), scoring

    @router.post(
        "/why",
        response_model=wire.RankExplanation,
        responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, *ERRORS_OF_RANKING),
    )
    async def why(body: WhyRequest, request: Request) -> Response:
        """Says why a triple has its rank: its proof, and those of the corruptions that score higher or as much."""
        deadline = deadline_of(body.deadline_ms, settings.max_deadline_ms)
        # What the request begins with is what it ends with, whatever is activated meanwhile.
        loaded, active = host.loaded, host.active_policy
        dataset = loaded.dataset

        async def evaluate() -> Response:
            host.room.check(min(max(1, len(body.candidates or ())), limits.max_candidates))
            policy, scoring_of_job = active, None
            if body.job is not None:
                policy, scoring_of_job = await of_job(body.job)
            elif body.policy is not None:
                policy = await stored(body.policy, body.policy_sha256)
            scoring = scoring_of_explanation(body, scoring_of_job, loaded.scores, dataset, policy.hybrid)
            kind = "proof" if scoring is None else scoring.kind
            if kind == "embedding" and body.beam_width > 1:  # which a job may say, and not the request
                message = "the job ranked by an embedding alone, which has no beam; expected 1"
                raise InvalidInput([FieldError(field="beam", value=body.beam, message=message)])
            query, also = await asyncio.to_thread(to_query, body, dataset, limits)
            request.state.until_sent.enter_context(host.room.taken(count_candidates([query])))
            try:
                execution = await host.rank(
                    [query],
                    body.seed,
                    policy=policy,
                    pruning=body.pruning_of(kind),
                    scoring=scoring,
                    is_explanation=True,
                    deadline=deadline,
                    beam=beam_of(body),
                )
            except EmbeddingError as error:
                raise unscored(kind, error) from error

            def word() -> bytes:
                answer = to_explanation(
                    body,
                    execution.ranked[0],
                    also,
                    host.reference(loaded, policy),
                    dataset,
                    policy,
                    engine=execution.engine,
                    request_id=request.state.request_id,
                    scoring=scoring,
                )
                return wire.answer_to_json(answer)

            return Response(await asyncio.to_thread(word), media_type="application/json")

        return await by_deadline(request, deadline, evaluate())

    return router

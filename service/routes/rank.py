"""``POST /rank``: ranks triples against corrupted copies of themselves."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from proofrank.core.errors import EmbeddingError
from proofrank.core.ranking import Refinement, report
from proofrank.service.engine.ranker import NO_ENGINE, count_candidates
from proofrank.service.engine.refining import refine
from proofrank.service.engine.served_scores import scoring_of_request, unscored
from proofrank.service.ranking.json_names import JsonNamesOfServed
from proofrank.service.ranking.to_intervals import to_response, to_work
from proofrank.service.ranking.to_queries import (
    Limits,
    asks_little,
    beam_of,
    check_number,
    least_candidates,
    to_queries,
)
from proofrank.service.ranking.to_response import (
    ResponseBuilder,
    identity_of,
    json_pieces,
    proof_maker,
    proofs_maker,
    to_pruning,
    to_report,
    to_scoring,
    to_send,
    with_results,
)
from proofrank.service.routes.deadlines import ERRORS_OF_RANKING, by_deadline, deadline_of
from proofrank.service.services import RankingServices
from proofrank.service.telemetry.metrics import Kind
from proofrank.service.threads import in_worker_unless_small
from proofrank.service.web.json_bodies import bounded_route
from proofrank.service.web.problems import problem_responses
from proofrank.service.wire import (
    IntervalRankResponse,
    RankRequest,
    RankResponse,
    Timing,
    answer_to_json,
)


def make_router(services: RankingServices) -> APIRouter:
    """The route on these services."""
    host, settings = services.host, services.settings
    names = JsonNamesOfServed()
    limits = Limits(settings.max_queries, settings.max_candidates, settings.max_proofs, settings.max_beam)
    router = APIRouter(
        tags=["ranking"], route_class=bounded_route(lambda value: check_number(value, "queries", limits))
    )

    @router.post(
        "/rank",
        response_model=RankResponse | IntervalRankResponse,
        responses=problem_responses(*ERRORS_OF_RANKING),
    )
    async def rank(body: RankRequest, request: Request) -> Response:
        """Ranks triples against corrupted copies of themselves; with `mrr_tolerance`, the answer has intervals."""
        deadline = deadline_of(body.deadline_ms, settings.max_deadline_ms)
        # What the request begins with is what it ends with: the service may be less than ready by then.
        loaded, policy = host.loaded, host.active_policy
        dataset = loaded.dataset

        async def evaluate() -> Response:
            host.room.check(least_candidates(body, limits))
            is_small = asks_little(body, dataset)
            scoring = scoring_of_request(body, loaded.scores, dataset, policy.hybrid)
            queries = await in_worker_unless_small(is_small, to_queries, body, dataset, limits)
            # An answer may hold more than the evaluation did.
            request.state.until_sent.enter_context(host.room.taken(count_candidates(queries)))
            beam = beam_of(body)
            try:
                execution = await host.rank(
                    queries,
                    body.seed,
                    policy=policy,
                    pruning=body.pruning_level,
                    scoring=scoring,
                    deadline=deadline,
                    beam=beam,
                )
            except EmbeddingError as error:
                raise unscored(body.scoring_kind, error) from error
            reference = host.reference(loaded, policy) if body.return_proof else None
            make_proof = proof_maker(reference, dataset) if reference is not None else None
            make_proofs = (
                proofs_maker(reference, dataset, beam) if reference is not None and beam is not None else None
            )

            def word() -> Response:
                # The reference shares no state with the evaluator, so the next request need not wait for proofs.
                builder = ResponseBuilder(body, dataset, make_proof, names.of(dataset), make_proofs)
                answer = RankResponse(
                    request_id=request.state.request_id,
                    dataset=identity_of(dataset),
                    policy=identity_of(policy),
                    engine=execution.engine,
                    beam=body.beam_width,
                    beam_score=body.score_of_beam,
                    metrics=to_report(
                        report(execution.ranked, dataset, body.ties, hits_at=body.counted_hits_at),
                        body.hits_at,
                    ),
                    pruning=to_pruning(body.pruning_level, execution.counts, body.pruning_note),
                    scoring=to_scoring(scoring),
                    timing=Timing(
                        queue_seconds=execution.queue_seconds,
                        first_result_seconds=execution.first_result_seconds,
                        execution_seconds=execution.execution_seconds,
                    ),
                    queries=(),
                    protocol=body.protocol,
                )
                if is_small:
                    return _json(with_results(answer, execution.ranked, builder))
                return to_send(json_pieces(answer, execution.ranked, builder))

            return await in_worker_unless_small(is_small, word)

        async def evaluate_to_tolerance(tolerance: float) -> Response:
            host.room.check(len(body.queries))
            is_small = asks_little(body, dataset)
            scoring = scoring_of_request(body, loaded.scores, dataset, policy.hybrid)
            work = await in_worker_unless_small(is_small, to_work, body, dataset, limits)
            beam = beam_of(body)
            refinement = await in_worker_unless_small(
                is_small and scoring is None,
                Refinement,
                None,
                work,
                host.completions,
                level=body.pruning_level,
                ties=body.ties,
                seed=body.seed,
                scoring=scoring,
            )
            request.state.until_sent.enter_context(host.room.taken(refinement.num_candidates))
            # All parts of one answer come from one engine, whichever is in use by their turn.
            is_proving = body.scoring_kind != "embedding"
            engine = await host.engine_for(policy, beam) if is_proving else NO_ENGINE
            try:
                timing = await refine(
                    refinement,
                    tolerance,
                    partial(host.prove, policy=policy, deadline=deadline, beam=beam, engine=engine),
                    services.metrics,
                    Kind.INTERACTIVE,
                )
            except EmbeddingError as error:
                raise unscored(body.scoring_kind, error) from error

            def word() -> Response:
                answer = to_response(
                    body,
                    refinement,
                    dataset,
                    policy,
                    engine=engine,
                    request_id=request.state.request_id,
                    timing=timing,
                )
                return _json(answer)

            return await in_worker_unless_small(is_small, word)

        if body.mrr_tolerance is not None:
            return await by_deadline(request, deadline, evaluate_to_tolerance(body.mrr_tolerance))
        return await by_deadline(request, deadline, evaluate())

    return router


def _json(answer: RankResponse | IntervalRankResponse) -> Response:
    return Response(answer_to_json(answer), media_type="application/json")

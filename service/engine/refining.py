"""Ranks until the MRR is certain to a tolerance; the scheduler proves each part beside other tasks."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from proofrank.core.prover import Candidates, Outcomes
from proofrank.core.ranking import Refinement, RefinementPart, metric_intervals
from proofrank.service.scheduler import Finished
from proofrank.service.telemetry.metrics import Kind, Outcome, ServiceMetrics
from proofrank.service.threads import FEW_CANDIDATES, in_worker_unless_small
from proofrank.service.wire import Timing


async def refine(
    refinement: Refinement,
    tolerance: float,
    prove: Callable[[Candidates], Awaitable[Finished]],
    metrics: ServiceMetrics,
    kind: Kind,
    on_part: Callable[[], Awaitable[None]] | None = None,
) -> Timing:
    """Goes on with ``refinement`` until the MRR is certain to ``tolerance``.

    What is under way when this is cancelled, or when ``prove`` fails, leaves the refinement as it was.

    Args:
        refinement: says what to prove next.
        tolerance: 0 or more.
        prove: proves candidates, and raises what the caller is to see.
        metrics: count the parts and the end: of a request as one evaluation, of a job each part as one.
        kind: for the metrics.
        on_part: called after each part.

    Returns:
        Its times in seconds; 0 where there was nothing to do.

    Raises:
        EmbeddingError: a candidate has no score by the embedding.
    """
    # An embedding may take a millisecond for a candidate, so few of them are no small work.
    is_small = refinement.scoring is None and refinement.num_candidates <= FEW_CANDIDATES
    first: Finished | None = None
    began = 0.0

    def take_in(part: RefinementPart, finished: Finished) -> None:
        num_before = refinement.counts.unprovable
        part.put(finished.outcomes)
        refinement.seconds += finished.execution_seconds
        metrics.record_part(part.candidates, finished.outcomes, refinement.counts.unprovable - num_before)

    while (part := await in_worker_unless_small(is_small, refinement.next_part, tolerance)) is not None:
        submitted = time.monotonic()
        if not len(part.candidates):  # scored by an embedding alone, which waits for no lane
            await in_worker_unless_small(is_small, part.put, Outcomes.unprovable(0))
            seconds = time.monotonic() - submitted
            refinement.seconds += seconds
            if first is None:
                first, began = Finished(Outcomes.unprovable(0), 0.0, seconds, seconds), submitted
            if on_part is not None:
                await on_part()
            continue
        finished = await prove(part.candidates)
        if kind is Kind.JOB:
            metrics.record_ended(
                *(kind, Outcome.DONE, finished.queue_seconds),
                *(finished.first_result_seconds, finished.execution_seconds),
            )
        if first is None:
            first, began = finished, submitted + finished.queue_seconds
        await in_worker_unless_small(is_small, take_in, part, finished)
        if on_part is not None:
            await on_part()
    known = await in_worker_unless_small(is_small, lambda: metric_intervals(refinement.so_far(), 0.0))
    scoring_kind = "proof" if refinement.scoring is None else refinement.scoring.kind
    metrics.record_refined(known, kind, scoring_kind)
    if first is None:
        return Timing(0.0, 0.0, 0.0)
    timing = Timing(first.queue_seconds, first.first_result_seconds, time.monotonic() - began)
    if kind is Kind.INTERACTIVE and scoring_kind != "embedding":
        metrics.record_ended(
            kind, Outcome.DONE, timing.queue_seconds, timing.first_result_seconds, timing.execution_seconds
        )
    return timing

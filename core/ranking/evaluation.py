"""Ranks queries: gathers their candidates, has an evaluator prove them, and ranks the positives.

In: queries with their candidates. Out: a :class:`RankedQuery` for each, in order. All candidates that may be proved go
to the evaluator in one call, so that it may batch them freely; its answer for one must not depend on the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from proofrank.core.evaluator import Evaluator
from proofrank.core.prover import Outcome, Outcomes
from proofrank.core.ranking.candidate_queue import queue_of
from proofrank.core.ranking.corruptions import query_seed
from proofrank.core.ranking.metrics import RankedQuery
from proofrank.core.ranking.pruning import Pruning
from proofrank.core.ranking.queries import Query
from proofrank.core.ranking.ranks import rank_positive


def rank_queries(
    evaluator: Evaluator,
    queries: Sequence[Query],
    *,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
    pruning: Pruning | None = None,
) -> list[RankedQuery]:
    """Ranks ``queries``.

    Args:
        evaluator: proves the candidates.
        queries: queries to rank.
        seed: seed of the random order of ties.
        on_progress: called with the number of candidates done, as often as the evaluator can tell.
        pruning: what may be left out; nothing by default.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
    """
    start = time.perf_counter()
    queue = queue_of(queries, pruning)
    while queue.num_ready:
        indices = queue.take(queue.num_ready)
        tell = _counting_from(len(queue) - queue.num_left, on_progress)
        queue.put(indices, Outcomes.of(evaluator.evaluate(queue.candidates(indices), on_progress=tell)))
        if on_progress is not None:
            on_progress(len(queue) - queue.num_left)
    outcomes = queue.outcomes()
    seconds = time.perf_counter() - start
    return rank_outcomes(
        queries, outcomes, seed=seed, seconds=seconds, knows_proved=pruning is None or pruning.knows_proved
    )


def _counting_from(num_done: int, on_progress: Callable[[int], None] | None) -> Callable[[int], None] | None:
    """``on_progress`` for candidates beside ``num_done`` that were done before."""
    return None if on_progress is None else lambda number: on_progress(num_done + number)


def rank_outcomes(
    queries: Sequence[Query],
    outcomes: Sequence[Outcome],
    *,
    seed: int,
    seconds: float,
    knows_proved: bool = True,
) -> list[RankedQuery]:
    """Ranks ``queries`` whose candidates have been proved.

    Args:
        queries: queries to rank.
        outcomes: outcomes of the candidates of all queries, in order.
        seed: seed of the random order of ties.
        seconds: time of the evaluation, which is divided by steps taken.
        knows_proved: whether ``outcomes`` say of each corruption whether it is proved.
    """
    columns = Outcomes.of(outcomes)
    total_steps = int(columns.steps.sum())
    ranked: list[RankedQuery] = []
    position = 0
    for query in queries:
        own = columns[position : position + query.num_candidates]
        position += len(own)
        ranked.append(
            RankedQuery(
                query_index=query.query_index,
                query=query.triple,
                side=query.side,
                constants=query.constants,
                outcomes=own,
                ranks=rank_positive(own.scores, query_seed(seed, query.triple, query.side), query.tie_keys),
                seconds=seconds * int(own.steps.sum()) / total_steps,
                knows_proved=knows_proved,
            )
        )
    return ranked

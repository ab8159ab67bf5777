"""Ranks queries: gathers their candidates, has an evaluator prove them, and ranks the positives.

In: queries with their candidates. Out: a :class:`RankedQuery` for each, in order. All candidates that may be proved go
to the evaluator in one call, so that it may batch them freely; its answer for one must not depend on the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import Evaluator
from proofrank.core.evaluator.base import TakesModel
from proofrank.core.prover import CandidateQueue, Outcome, Outcomes
from proofrank.core.ranking.candidate_queue import queue_of
from proofrank.core.ranking.corruptions import query_seed
from proofrank.core.ranking.metrics import RankedQuery
from proofrank.core.ranking.pruning import Pruning
from proofrank.core.ranking.queries import Query, candidates_of
from proofrank.core.ranking.ranks import rank_positive
from proofrank.core.ranking.scored_queue import scored_queue_of
from proofrank.core.ranking.scoring import Scoring


def rank_queries(
    evaluator: Evaluator | None,
    queries: Sequence[Query],
    *,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
    pruning: Pruning | None = None,
    scoring: Scoring | None = None,
) -> list[RankedQuery]:
    """Ranks ``queries``.

    Args:
        evaluator: proves the candidates; it may be None where ``scoring`` is ``embedding``.
        queries: queries to rank.
        seed: seed of the random order of ties.
        on_progress: called with the number of candidates done, as often as the evaluator can tell.
        pruning: what may be left out; nothing by default.
        scoring: what scores beside or instead of proofs; None for proofs alone.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
        EmbeddingError: a candidate has no score by the embedding.
    """
    start = time.perf_counter()
    embedding = None
    if scoring is None:
        queue = queue_of(queries, pruning)
    else:
        embedding = scoring.embedding_scores(candidates_of(queries).triples)
        queue = scored_queue_of(queries, pruning, scoring, embedding)
    is_proving = scoring is None or scoring.kind != "embedding"
    if is_proving and evaluator is not None:
        if pruning is not None and isinstance(evaluator, TakesModel):
            evaluator.load_model(pruning.model)
        outcomes = _prove(evaluator, queue, on_progress)
    elif is_proving:
        raise EvaluationError("no evaluator is given; expected one where candidates are proved")
    else:
        outcomes = Outcomes.unprovable(len(queue))
        if on_progress is not None:
            on_progress(len(queue))
    return rank_outcomes(
        queries,
        outcomes,
        seed=seed,
        seconds=time.perf_counter() - start,
        knows_proved=is_proving and (pruning is None or pruning.knows_proved),
        scoring=scoring,
        embedding=embedding,
    )


def _prove(
    evaluator: Evaluator, queue: CandidateQueue, on_progress: Callable[[int], None] | None
) -> Outcomes:
    """The outcomes of all candidates of ``queue``."""
    while queue.num_ready:
        indices = queue.take(queue.num_ready)
        tell = _counting_from(len(queue) - queue.num_left, on_progress)
        queue.put(indices, Outcomes.of(evaluator.evaluate(queue.candidates(indices), on_progress=tell)))
        if on_progress is not None:
            on_progress(len(queue) - queue.num_left)
    return queue.outcomes()


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
    scoring: Scoring | None = None,
    embedding: np.ndarray | None = None,
) -> list[RankedQuery]:
    """Ranks ``queries`` whose candidates have been proved.

    Args:
        queries: queries to rank.
        outcomes: outcomes of the candidates of all queries, in order.
        seed: seed of the random order of ties.
        seconds: time of the evaluation, which is divided by steps taken.
        knows_proved: whether ``outcomes`` say of each corruption whether it is proved.
        scoring: what scores beside or instead of proofs; None for proofs alone.
        embedding: the embedding's score of each candidate, ``[C]`` float64; needed with ``scoring``.
    """
    columns = Outcomes.of(outcomes)
    part = None
    if scoring is None or embedding is None:
        scores = columns.scores
    else:
        triples = candidates_of(queries).triples
        scores = scoring.scores(embedding, triples, columns)
        if scoring.kind == "hybrid":
            part = scoring.columns(embedding, triples).embedding_part
    total_steps = int(columns.steps.sum())
    ranked: list[RankedQuery] = []
    position = 0
    for query in queries:
        place = slice(position, position + query.num_candidates)
        own, own_scores = columns[place], scores[place]
        position += len(own)
        steps = int(own.steps.sum())
        ranked.append(
            RankedQuery(
                query_index=query.query_index,
                query=query.triple,
                side=query.side,
                constants=query.constants,
                outcomes=own,
                ranks=rank_positive(own_scores, query_seed(seed, query.triple, query.side), query.tie_keys),
                # Without a step, as embeddings alone take none, by the number of candidates.
                seconds=seconds * (steps / total_steps if total_steps else len(own) / len(columns)),
                knows_proved=knows_proved,
                scores=None if scoring is None else own_scores,
                embedding=None if embedding is None else embedding[place],
                tries_proofs=scoring is None or scoring.kind != "embedding",
                embedding_part=None if part is None else part[place],
            )
        )
    return ranked

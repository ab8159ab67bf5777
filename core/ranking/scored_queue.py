"""Candidates that are ranked by hybrid scores: which need a trajectory, and how far.

A candidate's hybrid score is its embedding's part, and what a proof adds or a failure takes away. The embedding's part
is known before anything is proved. So once the positive's score p is known:

- A candidate outside of the least model fails: its score is known, and it needs no trajectory, whatever p is.
- With the level ``ranks``, a candidate that scores less than p both if it fails and if it is proved as well as it may
  still be needs no more steps. It is proved with at most log-probability 0, or with the bonus; along its trajectory,
  with at most the sum so far.

With a beam, the sum so far is the bound of what its proofs give together, which is never above 0 either.

``docs/pruning.md`` has the argument.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proofrank.core.prover import CandidateQueue, Outcomes
from proofrank.core.ranking.candidate_queue import PrunedQueue
from proofrank.core.ranking.pruning import Pruning
from proofrank.core.ranking.queries import Query, candidates_of
from proofrank.core.ranking.scoring import Scoring, WeightColumns


class ScoredQueue(PrunedQueue):
    """The candidates of queries under hybrid scores, of which those are taken that may change a rank."""

    def __init__(
        self, queries: Sequence[Query], pruning: Pruning, scoring: Scoring, embedding: np.ndarray
    ) -> None:
        """See :class:`PrunedQueue`.

        Args:
            queries: their candidates, in order.
            pruning: what may be left out.
            scoring: hybrid.
            embedding: the embedding's score of each candidate, ``[C]`` float64.
        """
        super().__init__(queries, pruning)
        self._scoring = scoring
        self._embedding = embedding

    def _positive_score(self, index: int, outcome: Outcomes) -> float:
        own = slice(index, index + 1)
        return float(self._scoring.scores(self._embedding[own], self._candidates.triples[own], outcome)[0])

    def _after_positive(self, corruptions: slice, score: float) -> tuple[np.ndarray, np.ndarray]:
        is_provable = self._candidates.is_provable[corruptions]
        if self._pruning.level == "exact":
            return is_provable, np.full(len(is_provable), -np.inf)
        columns = self._scoring.columns(self._embedding[corruptions], self._candidates.triples[corruptions])
        is_behind, threshold = what_may_be_left(columns, score)
        return is_provable & ~is_behind, threshold


def what_may_be_left(columns: WeightColumns, score: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a positive's hybrid score says of its corruptions, of which any may be proved.

    Args:
        columns: of the corruptions, ``[n]``.
        score: of the positive, or of the positive of each, ``[n]`` float64.

    Returns:
        ``[n]`` bool, which score less than the positive whatever their trajectories do; and ``[n]`` float64, the sum of
        log-probabilities below which each of the others does, minus infinity where that is not known.
    """
    is_lower_if_failed = columns.if_failed() < score
    is_lower_if_proved = columns.if_proved(0.0) < score
    part = columns.embedding_part
    # Below score - part, but for roundings: a few units in the last place further down it is certain.
    apart = score - part
    threshold = apart - 4 * np.spacing(np.maximum(np.maximum(abs(part), abs(apart)), abs(score)))
    is_certain = np.isnan(columns.bonus) & is_lower_if_failed & (part + threshold < score)
    return is_lower_if_failed & is_lower_if_proved, np.where(is_certain, threshold, -np.inf)


def scored_queue_of(
    queries: Sequence[Query], pruning: Pruning | None, scoring: Scoring, embedding: np.ndarray
) -> CandidateQueue:
    """The candidates of all ``queries``, in order; see :func:`proofrank.core.ranking.candidate_queue.queue_of`.

    Raises:
        EmbeddingError: the embedding's part of a hybrid score is not finite; so the queue itself, whose parts are taken
            while others are proved, raises nothing.
    """
    candidates = candidates_of(queries)
    if scoring.kind == "hybrid":
        scoring.columns(embedding, candidates.triples)
    if pruning is None:
        return CandidateQueue(candidates)
    return ScoredQueue(queries, pruning, scoring, embedding)

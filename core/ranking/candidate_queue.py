"""The candidates of queries: which may be proved next, and what is known of each so far.

Without pruning all candidates may be proved from the start. With pruning the positives of all queries come first; the
outcome of a positive says which of its corruptions need a trajectory, and up to which score. So no query waits for
another one's positive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proofrank.core.prover import CandidateQueue, Outcomes
from proofrank.core.ranking.pruning import Pruning
from proofrank.core.ranking.queries import Query, candidates_of


class PrunedQueue(CandidateQueue):
    """The candidates of queries, of which those are taken that may change a rank."""

    def __init__(self, queries: Sequence[Query], pruning: Pruning) -> None:
        """Looks up which candidates have no proof; at first the positives may be proved.

        Args:
            queries: their candidates, in order.
            pruning: what may be left out.
        """
        super().__init__(candidates_of(queries))
        self._pruning = pruning
        self.model = pruning.model
        sizes = np.array([query.num_candidates for query in queries], dtype=np.int64)
        positives = np.cumsum(sizes) - sizes
        is_provable = pruning.model.contains(self._candidates.triples)
        # A positive takes its course: its score is the threshold of the others.
        is_provable[positives] = True
        self._candidates = self._candidates.with_threshold(self._candidates.threshold, is_provable)
        self._order[: len(queries)] = positives
        self._num_ordered = len(queries)
        self._corruptions_of = {
            positive: slice(positive + 1, positive + size)
            for positive, size in zip(positives.tolist(), sizes.tolist(), strict=True)
        }

    def put(self, indices: Sequence[int], outcomes: Outcomes) -> None:
        """See :meth:`CandidateQueue.put`; the outcome of a positive makes corruptions ready, or ends them."""
        super().put(indices, outcomes)
        if not self._corruptions_of:
            return
        for row, index in enumerate(indices):
            corruptions = self._corruptions_of.pop(index, None)
            if corruptions is not None:
                self._begin_corruptions(corruptions, self._positive_score(index, outcomes[row : row + 1]))

    def _positive_score(self, index: int, outcome: Outcomes) -> float:
        """The score of the positive at ``index`` with its ``outcome`` ``[1]``."""
        return float(outcome.scores[0])

    def _after_positive(self, corruptions: slice, score: float) -> tuple[np.ndarray, np.ndarray]:
        """Which corruptions need a trajectory, and their thresholds; see :meth:`Pruning.after_positive`."""
        return self._pruning.after_positive(score, self._candidates.is_provable[corruptions])

    def _begin_corruptions(self, corruptions: slice, score: float) -> None:
        """Makes those corruptions ready that may change the rank of their positive, which scores ``score``."""
        is_left, threshold = self._after_positive(corruptions, score)
        self._candidates.threshold[corruptions] = threshold
        left = corruptions.start + np.flatnonzero(is_left)
        self._order[self._num_ordered : self._num_ordered + len(left)] = left
        self._num_ordered += len(left)
        unprovable = corruptions.start + np.flatnonzero(~is_left)
        self._outcomes.put(unprovable, Outcomes.unprovable(len(unprovable)))
        self.num_left -= len(unprovable)


def queue_of(queries: Sequence[Query], pruning: Pruning | None) -> CandidateQueue:
    """The candidates of all ``queries``, in order, of which ``pruning`` leaves out what it may; None for nothing."""
    return CandidateQueue(candidates_of(queries)) if pruning is None else PrunedQueue(queries, pruning)

"""The candidates of an evaluation: which may be proved next, and what is known of each so far.

An evaluator with free lanes takes the next candidates, and puts the outcomes back as they come, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proofrank.core.prover.columns import Candidates, Outcomes, OutcomeTable
from proofrank.core.prover.outcome import Candidate


class CandidateQueue:
    """Candidates that may all be proved, in order. A candidate is known by its index.

    Attributes:
        num_left: number of candidates that are not done.
        num_ready: number of candidates that may be taken.
        model: says which candidates may have a proof; None if nothing is known.
    """

    model: object = None

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = Candidates.of(candidates)
        self._outcomes = OutcomeTable(len(candidates))
        self.num_left = len(candidates)
        # What becomes ready goes behind what is; the first `_num_taken` have been taken.
        self._order = np.arange(len(candidates))
        self._num_ordered = len(candidates)
        self._num_taken = 0
        self._returned: list[int] = []

    def __len__(self) -> int:
        """Number of all candidates."""
        return len(self._candidates)

    @property
    def num_ready(self) -> int:
        """See the class."""
        return self._num_ordered - self._num_taken + len(self._returned)

    def take(self, number: int) -> list[int]:
        """Takes the next candidates, at most ``number``, first those given back, and returns their indices."""
        taken = self._returned[:number]
        del self._returned[: len(taken)]
        end = min(self._num_taken + number - len(taken), self._num_ordered)
        taken.extend(self._order[self._num_taken : end].tolist())
        self._num_taken = end
        return taken

    def candidates(self, indices: Sequence[int]) -> Candidates:
        """Returns the candidates at ``indices``, which have been taken."""
        return self._candidates.taken(indices)

    def give_back(self, indices: Sequence[int]) -> None:
        """Makes candidates ready again that have been taken."""
        self._returned.extend(indices)

    def begin_again(self) -> None:
        """Makes every candidate ready again that has been taken and is not done."""
        taken = self._order[: self._num_taken]
        self._returned = taken[~self._outcomes.is_there[taken]].tolist()

    def put(self, indices: Sequence[int], outcomes: Outcomes) -> None:
        """Stores the outcomes of the candidates at ``indices``, which have been taken and are not done."""
        self._outcomes.put(indices, outcomes)
        self.num_left -= len(indices)

    def outcomes(self) -> Outcomes:
        """Returns the outcomes of all candidates, once none is left."""
        return self._outcomes.outcomes()

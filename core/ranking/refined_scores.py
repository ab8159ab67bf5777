"""How an evaluation to a tolerance compares corruptions with their positive: by proofs, an embedding, or both.

Once a positive's score p is known, a corruption is certain to score more, as much or less, or it is open:

- By *proofs*, what has no proof scores less than a positive above minus the penalty. All others are open.
- By an *embedding*, every score is known, and nothing is open.
- By *hybrid* scores, e is the embedding's part. What has no proof scores ``e - penalty``. What may have one scores that
  too, or at most e, or ``e + bonus`` exactly: where all of these are on one side of p, its order is certain.

``docs/pruning.md`` has the argument.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from proofrank.core.prover import FAILURE_PENALTY, Outcomes
from proofrank.core.ranking.scored_queue import what_may_be_left
from proofrank.core.ranking.scoring import Scoring, WeightColumns

NUM_KINDS = 3
"""Number of kinds of corruptions: those that may be proved beside a positive that is, those that may be proved beside
one that is not, and those that cannot be."""


@dataclass(frozen=True, eq=False)
class FirstLook:
    """Knowledge of the corruptions of a ranking once its positive is known.

    Attributes:
        is_open: which need a trajectory, ``[n]`` bool.
        num_larger: how many of the others score more than the positive.
        num_equal: how many of the others score as much.
    """

    is_open: np.ndarray
    num_larger: int
    num_equal: int


@dataclass(frozen=True, eq=False)
class PartScores:
    """How the corruptions of a part are proved and scored.

    Attributes:
        threshold: sum of log-probabilities below which each has fallen behind, ``[N]`` float64; or minus infinity.
        of: gives the scores ``[N]`` float64 of their outcomes ``[N]``.
    """

    threshold: np.ndarray
    of: Callable[[Outcomes], np.ndarray]


class RefinedScores(Protocol):
    """The scores of an evaluation to a tolerance. Triples are ``[N, 3]`` int64, all else ``[N]``."""

    @property
    def proves(self) -> bool:
        """Whether candidates are proved."""
        ...

    @property
    def digest(self) -> np.ndarray | None:
        """A number that other scores hardly have, ``[]`` uint64; None for those of proofs."""
        ...

    def of_positives(self, triples: np.ndarray, outcomes: Outcomes) -> np.ndarray:
        """The scores of positives, float64.

        Raises:
            EmbeddingError: one has no score by the embedding, or one that is not finite.
        """
        ...

    def first_look(self, triples: np.ndarray, is_provable: np.ndarray, score: float) -> FirstLook:
        """Compares all corruptions of a ranking with the ``score`` of its positive.

        Raises:
            EmbeddingError: one has no score by the embedding, or one that is not finite.
        """
        ...

    def order(
        self, triples: np.ndarray, is_provable: np.ndarray, score: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """The places of the open corruptions in the order in which they are proved, int64, and how many of them may
        have a proof: these come first.
        """
        ...

    def part(self, triples: np.ndarray, is_provable: np.ndarray, score: np.ndarray) -> PartScores:
        """How to prove and score open corruptions, given the score of the positive of each."""
        ...

    def kinds(self, is_provable: np.ndarray, score: np.ndarray, is_proved: np.ndarray) -> np.ndarray:
        """The kind of each corruption, int64, given whether it may be proved, and the score of its positive and
        whether that is proved.
        """
        ...


@dataclass(frozen=True)
class ScoresOfProofs:
    """Log-probabilities, less the penalty of a failure.

    Attributes:
        level: of pruning, ``exact`` or ``ranks``.
    """

    level: str
    proves: bool = True
    digest: None = None

    def of_positives(self, triples: np.ndarray, outcomes: Outcomes) -> np.ndarray:
        """See :class:`RefinedScores`."""
        return outcomes.scores

    def first_look(self, triples: np.ndarray, is_provable: np.ndarray, score: float) -> FirstLook:
        """See :class:`RefinedScores`."""
        is_open = np.ones(len(is_provable), dtype=bool) if score <= -FAILURE_PENALTY else is_provable
        return FirstLook(is_open, 0, 0)

    def order(
        self, triples: np.ndarray, is_provable: np.ndarray, score: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """See :class:`RefinedScores`; in a random order."""
        provable = generator.permutation(np.flatnonzero(is_provable))
        others = np.zeros(0, dtype=np.int64)
        if score <= -FAILURE_PENALTY:
            others = generator.permutation(np.flatnonzero(~is_provable))
        return np.concatenate([provable, others]), len(provable)

    def part(self, triples: np.ndarray, is_provable: np.ndarray, score: np.ndarray) -> PartScores:
        """See :class:`RefinedScores`."""
        has_threshold = np.ones(len(score), dtype=bool) if self.level == "ranks" else ~is_provable
        return PartScores(np.where(has_threshold, score, -np.inf), lambda outcomes: outcomes.scores)

    def kinds(self, is_provable: np.ndarray, score: np.ndarray, is_proved: np.ndarray) -> np.ndarray:
        """See :class:`RefinedScores`; a proof whose score is at most minus the penalty counts as a failure."""
        return np.where(is_provable, np.where(score > -FAILURE_PENALTY, 0, 1), 2)


@dataclass(frozen=True)
class ScoresByEmbedding:
    """Scores by an embedding, alone or beside proofs.

    Attributes:
        scoring: ``embedding`` or ``hybrid``.
        level: of pruning of ``hybrid``, ``exact`` or ``ranks``. With ``exact`` all that may have a proof is open, so
            that in the end it is known which corruptions are proved.
    """

    scoring: Scoring
    level: str

    @property
    def proves(self) -> bool:
        """See :class:`RefinedScores`."""
        return self.scoring.kind != "embedding"

    @property
    def digest(self) -> np.ndarray:
        """See :class:`RefinedScores`."""
        text = json.dumps(self.scoring.to_dict(), sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return np.frombuffer(digest, dtype=np.uint64)[0]

    def of_positives(self, triples: np.ndarray, outcomes: Outcomes) -> np.ndarray:
        """See :class:`RefinedScores`."""
        scores = self.scoring.scores(self.scoring.embedding_scores(triples), triples, outcomes)
        # NaN would be above and beside nothing, so that its rank would be 1.
        self.scoring.check_finite(scores, triples, f"{self.scoring.kind} score")
        return scores

    def first_look(self, triples: np.ndarray, is_provable: np.ndarray, score: float) -> FirstLook:
        """See :class:`RefinedScores`."""
        embedding = self.scoring.embedding_scores(triples)
        if not self.proves:
            is_open = np.zeros(len(triples), dtype=bool)
            return FirstLook(is_open, _count(embedding > score), _count(embedding == score))
        columns = self.scoring.columns(embedding, triples)
        # NaN would leave a corruption open that no proof closes.
        for scores in (columns.if_failed(), columns.if_proved(0.0)):
            self.scoring.check_finite(scores, triples, "hybrid score")
        return self._first_look(columns, is_provable, score)

    def _first_look(self, columns: WeightColumns, is_provable: np.ndarray, score: float) -> FirstLook:
        failed, proved = columns.if_failed(), columns.if_proved(0.0)
        if self.level == "exact":
            fails = ~is_provable
            return FirstLook(is_provable, _count(fails & (failed > score)), _count(fails & (failed == score)))
        # Of the score of a proof without a bonus only the upper bound is known.
        is_exact = ~np.isnan(columns.bonus)
        is_larger = (failed > score) & (~is_provable | (is_exact & (proved > score)))
        is_equal = (failed == score) & (~is_provable | (is_exact & (proved == score)))
        is_lower = (failed < score) & (~is_provable | (proved < score))
        return FirstLook(~(is_larger | is_equal | is_lower), _count(is_larger), _count(is_equal))

    def order(
        self, triples: np.ndarray, is_provable: np.ndarray, score: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """See :class:`RefinedScores`; those first that score most by the embedding, as if all were proved."""
        # Whatever is open may have a proof, so the others need no second look.
        provable = generator.permutation(np.flatnonzero(is_provable))
        own = triples[provable]
        columns = self.scoring.columns(self.scoring.embedding_scores(own), own)
        is_open = self._first_look(columns, np.ones(len(own), dtype=bool), score).is_open
        in_order = np.argsort(-columns.if_proved(0.0), kind="stable")
        in_order = in_order[is_open[in_order]]
        return provable[in_order], len(in_order)

    def part(self, triples: np.ndarray, is_provable: np.ndarray, score: np.ndarray) -> PartScores:
        """See :class:`RefinedScores`."""
        embedding = self.scoring.embedding_scores(triples)
        threshold = np.full(len(triples), -np.inf)
        if self.level == "ranks":
            _, threshold = what_may_be_left(self.scoring.columns(embedding, triples), score)
        return PartScores(threshold, lambda outcomes: self.scoring.scores(embedding, triples, outcomes))

    def kinds(self, is_provable: np.ndarray, score: np.ndarray, is_proved: np.ndarray) -> np.ndarray:
        """See :class:`RefinedScores`."""
        return np.where(is_provable, np.where(is_proved, 0, 1), 2)


def refined_scores(scoring: Scoring | None, level: str) -> RefinedScores:
    """The scores of an evaluation to a tolerance with a level of pruning; ``scoring`` is None for proofs alone."""
    return ScoresOfProofs(level) if scoring is None else ScoresByEmbedding(scoring, level)


def _count(is_counted: np.ndarray) -> int:
    return int(np.count_nonzero(is_counted))

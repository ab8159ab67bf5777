"""Ranks of a positive among its candidates, and the effect of ties on them.

Definitions after Berrendorf et al. 2020 ("On the Ambiguity of Rank-Based Evaluation of Entity Alignment or Link
Prediction Methods") and Sun et al. 2020 ("A Re-evaluation of Knowledge Graph Completion Methods"). A rank is
one-based and smaller is better; only equal scores tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proofrank.core.choices import TIE_POLICIES
from proofrank.core.errors import RankingError


@dataclass(frozen=True)
class Ranks:
    """The ranks of one positive.

    >>> rank_positive([0.5, 0.9, 0.5, 0.1], seed=0)
    Ranks(optimistic=2, realistic=2.5, pessimistic=3, random=3, num_candidates=4)
    """

    optimistic: int
    """One more than the number of corruptions with a larger score: the best place among its ties."""

    realistic: float
    """The mean of optimistic and pessimistic: the expectation over all orders of the ties."""

    pessimistic: int
    """One more than the number of corruptions with a score at least as large: the worst place among its ties."""

    random: int
    """The place in one seeded random order of the ties."""

    num_candidates: int
    """Number of candidates ranked, including the positive."""

    def by(self, ties: str) -> float:
        """Returns the rank under one of ``TIE_POLICIES``. Raises RankingError for another name."""
        if ties not in TIE_POLICIES:
            raise RankingError(f"ties is {ties!r}; expected one of {', '.join(TIE_POLICIES)}")
        return float(getattr(self, ties))


def rank_positive(
    scores: Sequence[float] | np.ndarray,
    seed: int | Sequence[int],
    tie_keys: np.ndarray | None = None,
) -> Ranks:
    """Returns the ranks of the first of ``scores`` among all of them.

    Args:
        scores: ``[C]``, the positive's first.
        seed: seed of the random order of the ties; the same seed gives the same order.
        tie_keys: keys of the candidates, ``[C]``, in place of the seed: of equal scores the larger key comes first.

    Raises:
        RankingError: there is no score, or one is not a finite number.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise RankingError(f"scores have shape {list(values.shape)}; expected [C] with the positive's first")
    if not np.isfinite(values).all():
        raise RankingError(f"score {int(np.flatnonzero(~np.isfinite(values))[0])} is not a finite number")
    num_larger = int(np.count_nonzero(values[1:] > values[0]))
    num_equal = int(np.count_nonzero(values[1:] == values[0]))
    if tie_keys is not None:
        is_before = (values[1:] == values[0]) & (tie_keys[1:] > tie_keys[0])
        num_before = int(np.count_nonzero(is_before))
    else:
        num_before = _drawn_before(num_equal, seed)
    optimistic, pessimistic = num_larger + 1, num_larger + num_equal + 1
    return Ranks(
        optimistic=optimistic,
        realistic=(optimistic + pessimistic) / 2,
        pessimistic=pessimistic,
        random=optimistic + num_before,
        num_candidates=values.size,
    )


def _drawn_before(num_equal: int, seed: int | Sequence[int]) -> int:
    """The number of tied corruptions before the positive in one seeded random order."""
    # Each tied corruption is before or after the positive: in a random order, all numbers before it are equally likely.
    return int(np.random.default_rng(seed).integers(num_equal + 1)) if num_equal else 0


def rank_as_deepprooflog(scores: Sequence[Sequence[float]], seed: int = 0) -> list[int]:
    """Returns the ranks of the positives of a batch, with ties broken as in the public DeepProofLog code.

    Every candidate gets a key from ``numpy.random.RandomState(seed)``, drawn as one array ``[Q, C]`` per side.
    Candidates are ordered by score and then by key, both descending. This serves comparison with figures of that code;
    the ranks depend on what else is in the batch.

    Args:
        scores: one side's ``[Q]`` lists of ``[C]`` scores, the positive's first; shorter lists leave keys unused.
        seed: 0 in that code.
    """
    keys = np.random.RandomState(seed).rand(len(scores), max((len(row) for row in scores), default=0))
    ranks = []
    for row, row_keys in zip(scores, keys, strict=True):
        values = np.asarray(row, dtype=np.float64)
        tie_keys = row_keys[: values.size]
        is_before = (values > values[0]) | ((values == values[0]) & (tie_keys > tie_keys[0]))
        ranks.append(int(is_before.sum()) + 1)
    return ranks

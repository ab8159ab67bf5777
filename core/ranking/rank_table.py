"""Bounds of the ranks of many rankings while their candidates are proved bit by bit.

A ranking has corruptions that score more than its positive, as much, or less, and some that are open: not yet known.
If all open ones turn out lower, its rank is the lowest possible; if all turn out higher, the highest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from proofrank.core.ranking.intervals import RankedSoFar
from proofrank.core.ranking.ranks import rank_positive


class RankTable:
    """The rankings as columns; R is their number.

    Attributes:
        num_corruptions: ``[R]`` int64.
        larger: corruptions that score more than the positive, ``[R]`` int64.
        equal: corruptions that score as much, ``[R]`` int64.
        num_open: corruptions whose order is open, ``[R]`` int64.
        is_positive_known: ``[R]`` bool.
        is_proved: whether the positive is known to be proved, ``[R]`` bool.
        num_proved: corruptions that are known to be proved, ``[R]`` int64.
        num_unsure: corruptions of which it is not known whether they are proved, ``[R]`` int64.
        steps: ``[R]`` float64.
    """

    def __init__(
        self,
        num_corruptions: np.ndarray,
        query_index: np.ndarray,
        ties: str,
        seed_of: Callable[[int], list[int]],
    ) -> None:
        """A table in which every corruption is open.

        Args:
            num_corruptions: ``[R]`` int64.
            query_index: ``[R]`` int64.
            ties: rank that counts, one of ``TIE_POLICIES``.
            seed_of: gives the seed of a ranking's random order of ties.
        """
        number = len(num_corruptions)
        self.num_corruptions = num_corruptions
        self.query_index = query_index
        self.larger = np.zeros(number, dtype=np.int64)
        self.equal = np.zeros(number, dtype=np.int64)
        self.num_open = num_corruptions.copy()
        self.is_positive_known = np.zeros(number, dtype=bool)
        self.is_proved = np.zeros(number, dtype=bool)
        self.num_proved = np.zeros(number, dtype=np.int64)
        self.num_unsure = num_corruptions.copy()
        self.steps = np.zeros(number, dtype=np.float64)
        self._ties = ties
        self._seed_of = seed_of
        self._random = np.zeros(number, dtype=np.int64)  # 0 where it has not been drawn

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The columns that change, by their names."""
        names = (
            *("larger", "equal", "num_open", "is_positive_known", "is_proved"),
            *("num_proved", "num_unsure", "steps"),
        )
        return {name: getattr(self, name) for name in names}

    def __len__(self) -> int:
        return len(self.num_corruptions)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest possible rank of each positive, ``[R]`` float64 each.

        An open corruption adds at most 1 to any kind of rank, and at least nothing. A random rank lies between the
        optimistic and the pessimistic one, and is drawn once nothing is open.
        """
        optimistic = self.larger + 1.0
        if self._ties == "optimistic":
            return optimistic, optimistic + self.num_open
        if self._ties == "pessimistic":
            pessimistic = optimistic + self.equal
            return pessimistic, pessimistic + self.num_open
        if self._ties == "realistic":
            realistic = (optimistic + (optimistic + self.equal)) / 2
            return realistic, realistic + self.num_open
        for row in np.flatnonzero((self.num_open == 0) & (self._random == 0)).tolist():
            self._random[row] = self._drawn(row)
        is_known = self._random > 0
        return (
            np.where(is_known, self._random, optimistic),
            np.where(is_known, self._random, optimistic + self.equal + self.num_open),
        )

    def _drawn(self, row: int) -> int:
        """The random rank of a ranking in which nothing is open."""
        scores = np.zeros(1 + self.num_corruptions[row])
        scores[1:] = -1.0
        scores[1 : 1 + self.larger[row]] = 1.0
        scores[1 + self.larger[row] : 1 + self.larger[row] + self.equal[row]] = 0.0
        return rank_positive(scores, self._seed_of(row)).random

    def so_far(self, *, tries_proofs: bool = True) -> RankedSoFar:
        """The columns that metrics need; ``tries_proofs`` says whether anything is proved."""
        low, high = self.bounds()
        return RankedSoFar(
            low=low,
            high=high,
            query_index=self.query_index,
            num_corruptions=self.num_corruptions,
            num_open=self.num_open,
            is_proved=self.is_proved,
            is_positive_known=self.is_positive_known,
            num_proved=self.num_proved,
            num_unsure=self.num_unsure,
            steps=self.steps,
            tries_proofs=tries_proofs,
        )

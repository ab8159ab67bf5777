"""Chooses the rankings whose candidates are proved next, so that the interval of the MRR narrows fastest.

A ranking whose rank is between ``low`` and ``high`` adds ``1 / low - 1 / high`` to the width. Its next candidate raises
``low`` with some probability, estimated from the ranking's own candidates and from those of others like it; else it
lowers ``high``. There are two ways to narrow it:

- *Raise* ``low``. The first candidates that score more than the positive take away most of the width, later ones
  less and less: ``growth / (low (low + 1))`` each.
- *Close* the ranking. With a few open candidates it pays to prove them all, which takes away the whole width.

Each has a gain per expected step, and all rankings are worked on up to one gain: the least that makes the interval
as narrow as is wanted, if estimates hold. A wrong estimate costs time; what is certain stays certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_NUM_HALVINGS = 50
"""Number of halvings in the search for the gain; the range of its logarithm is divided by 2 to this power."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """Knowledge and expectations of the open rankings, as columns; N is their number.

    Attributes:
        low: lowest possible rank, ``[N]`` float64.
        high: highest possible rank, ``[N]`` float64, above ``low``.
        num_open: open candidates, ``[N]`` int64, at least one.
        growth: how much a candidate is expected to add to ``low``, ``[N]`` float64 between 0 and 1, not included.
        steps: how many steps a candidate is expected to take, ``[N]`` float64.
    """

    low: np.ndarray
    high: np.ndarray
    num_open: np.ndarray
    growth: np.ndarray
    steps: np.ndarray

    def up_to(self, gain: float) -> np.ndarray:
        """How many candidates of each ranking narrow it by at least ``gain`` per step, ``[N]`` int64."""
        # low (low + 1) = growth / (gain steps), solved for low
        root = np.sqrt(self.growth / (gain * self.steps) + 0.25) - 0.5
        raising = np.ceil((root - self.low) / self.growth).clip(0, self.num_open)
        # The width that is left by then has to be worth what is left to do.
        is_closed = self._width_after(raising) >= gain * self.steps * (self.num_open - raising)
        return np.where(is_closed, self.num_open, raising).astype(np.int64)

    def expected_width(self, num: np.ndarray) -> float:
        """The sum of the widths that are expected after ``num`` candidates of each ranking."""
        return float(self._width_after(num).sum())

    def _width_after(self, num: np.ndarray) -> np.ndarray:
        """The width that is expected of each ranking after ``num`` of its candidates, ``[N]`` float64 each."""
        low = self.low + self.growth * num
        high = np.maximum(self.high - (1 - self.growth) * num, low)
        return np.where(num < self.num_open, 1 / low - 1 / high, 0.0)


def next_candidates(outlook: Outlook, width: float, least: int, most: int) -> np.ndarray:
    """How many candidates of each ranking to prove next.

    Args:
        outlook: of at least one ranking.
        width: the sum of the widths that is wanted.
        least: number of candidates to take at least, if there are as many.
        most: number to take at most, at least ``least``.

    Returns:
        ``[N]`` int64, at least one in all.
    """
    low, high = np.log(1e-18), np.log(10.0)
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        num = outlook.up_to(float(np.exp(middle)))
        total = int(num.sum())
        is_enough = outlook.expected_width(num) <= width and total >= least
        if is_enough or total > most:
            low = middle
        else:
            high = middle
    # Just above the gain, and just below it, where at once many rankings may be worth more than nothing.
    fewer, more = (outlook.up_to(float(np.exp(end))) for end in (high, low))
    return _filled_up(fewer, more, most)


def _filled_up(fewer: np.ndarray, more: np.ndarray, most: int) -> np.ndarray:
    """``fewer``, and as much of what ``more`` has beyond as there is room for below ``most``."""
    added = np.maximum(more - fewer, 0)
    ends = np.cumsum(added)
    room = max(most - int(fewer.sum()), 0)
    return fewer + np.clip(room - (ends - added), 0, added)

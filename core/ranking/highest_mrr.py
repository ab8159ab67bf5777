"""The highest MRR that any policy can reach, from what rules and facts leave to a policy.

Some corruptions have one score whatever the policy is. One whose first state is a proof scores 0, the most there is.
One of a predicate without rules that is no fact fails in its only step, with a score of exactly -100; a positive
without a proof scores at most as much. All other corruptions a policy may let fail with a lower score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proofrank.core.graph import Triple
from proofrank.core.ranking.corruptions import Corruptor, Side
from proofrank.core.ranking.refinement import ProvableCompletions


@dataclass(frozen=True)
class HighestMrr:
    """Upper bounds, with realistic ranks.

    Attributes:
        any_policy: no policy has a higher MRR.
        without_luck: the MRR if every positive that may have a proof ranks as high as it can, and each other one at a
            random place among the candidates that need not be proved.
        provable: share of the positives that may have a proof.
    """

    any_policy: float
    without_luck: float
    provable: float


def highest_mrr(
    triples: Sequence[Triple],
    may_be_proved: Sequence[bool],
    sides: Sequence[Side],
    corruptor: Corruptor,
    immediate: ProvableCompletions,
) -> HighestMrr:
    """The bounds for at least one triple, ranked on at least one side.

    Args:
        triples: the positives.
        may_be_proved: False for those that certainly have no proof.
        sides: on which they are ranked.
        corruptor: draws the corruptions.
        immediate: says which atoms every policy proves at once.
    """
    rules = corruptor.dataset.rules_by_predicate
    best, usual = [], []
    for triple, may_be in zip(triples, may_be_proved, strict=True):
        for side in sides:
            constants = corruptor.constants(triple, side)
            other = triple.head if side == "tail" else triple.tail
            proved = immediate.completions(triple.predicate, side, other)
            num_proved = int(np.count_nonzero(np.isin(constants, proved, assume_unique=True)))
            num_failed = len(constants) - num_proved
            if may_be:  # at best it ties with those that score 0
                best.append(1 / (1 + num_proved / 2))
                usual.append(best[-1])
            else:
                ties = 0 if triple.predicate in rules else num_failed
                best.append(1 / (1 + num_proved + ties / 2))
                # With ties the one rank is the mean of the places, whose reciprocal is less than the mean reciprocal.
                usual.append(min(best[-1], _mean_reciprocal(1 + num_proved, 1 + num_proved + num_failed)))
    return HighestMrr(
        math.fsum(best) / len(best), math.fsum(usual) / len(usual), sum(may_be_proved) / len(triples)
    )


def _mean_reciprocal(low: int, high: int) -> float:
    """The mean of 1 / rank over all ranks from ``low`` to ``high``."""
    return float((1 / np.arange(low, high + 1)).mean())

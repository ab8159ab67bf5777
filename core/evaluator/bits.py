"""Whether the buckets of an evaluator give a candidate the same bits: asked of the device itself, by full lanes.

What a compiler makes of a sum may depend on the number of rows beside it, and so may the kernels of a library. Nothing
but the compiled ticks themselves can tell, and they are asked with the same candidates in every bucket.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.sample import repeated
from proofrank.core.prover import Candidate, Outcome

logger = logging.getLogger("proofrank")


class EvaluatorWithBuckets(Protocol):
    """The part of an evaluator that is compared: it takes the smallest bucket with a lane for each candidate."""

    @property
    def buckets(self) -> tuple[int, ...]:
        """Numbers of lanes, ascending."""
        ...

    def evaluate(self, candidates: Sequence[Candidate]) -> Sequence[Outcome]:
        """The outcomes."""
        ...


def buckets_with_other_bits(evaluator: EvaluatorWithBuckets, candidates: Sequence[Candidate]) -> list[int]:
    """The numbers of lanes of the buckets in which a candidate has another outcome than in the smaller ones, or beside
    other candidates.

    Args:
        evaluator: none of whose candidates are in flight.
        candidates: the first of them, as many as the smallest bucket has lanes, are repeated until they fill each
            bucket in turn: so each is compared in all buckets, and in several lanes of the larger ones.

    Raises:
        EvaluationError: one of the candidates cannot be evaluated.
    """
    candidates = candidates[: evaluator.buckets[0]]
    wanted: dict[int, Outcome] = {}
    differing: list[int] = []
    for num_lanes in evaluator.buckets:
        outcomes = evaluator.evaluate(repeated(candidates, num_lanes))
        is_same = [
            wanted.setdefault(number % len(candidates), outcome) == outcome
            for number, outcome in enumerate(outcomes)
        ]
        if not all(is_same):
            differing.append(num_lanes)
    return differing


def warn_if_buckets_differ(evaluator: EvaluatorWithBuckets, candidates: Sequence[Candidate]) -> None:
    """Logs a warning where a score would depend on how many others are evaluated beside it; see
    :func:`buckets_with_other_bits`."""
    try:
        differing = buckets_with_other_bits(evaluator, candidates)
    except EvaluationError as error:
        logger.warning("it is not known whether all buckets give the same bits: %s", error)
        return
    if differing:
        logger.warning(
            "in buckets of %s lanes this device gives other bits than in smaller ones: scores may differ by rounding "
            "with the load; mode 'captured' with buckets of 16 lanes or more keeps them equal",
            ", ".join(map(str, differing)),
        )

"""How the policy picks an action from logits: the first of the best, a seeded sample, or recorded actions.

Variables that link two atoms cancel in a TransE sum, so different resolvents often have logits that are equal in exact
arithmetic; rounding decides which is larger. A plain argmax would make the proof depend on the order of a float sum.
Therefore every engine takes the first action within the tie tolerance of the largest.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence

from proofrank.core.errors import EvaluationError
from proofrank.core.prover.settings import TIE_TOLERANCE

Choice = Callable[[Sequence[float]], int]
"""Takes the logits of a state's actions and returns the index of one."""


def first_of_the_best(logits: Sequence[float]) -> int:
    """Returns the index of the first logit within the tie tolerance of the largest.

    >>> first_of_the_best([1.0, 3.0, 3.00001])
    1
    """
    bound = tie_bound(max(logits))
    return next(index for index, logit in enumerate(logits) if logit >= bound)


def tie_bound(largest: float) -> float:
    """Returns the smallest logit that counts as equal to ``largest``."""
    return largest - TIE_TOLERANCE * (1.0 + abs(largest))


def is_near_tie(logits: Sequence[float]) -> bool:
    """Returns whether at least two logits count as equal to the largest."""
    bound = tie_bound(max(logits))
    return sum(logit >= bound for logit in logits) > 1


def log_softmax(logits: Sequence[float]) -> list[float]:
    """Returns the log-probabilities of a softmax over ``logits``, in double precision.

    >>> log_softmax([0.0])
    [0.0]
    """
    largest = max(logits)
    log_total = math.log(math.fsum(math.exp(logit - largest) for logit in logits))
    return [logit - largest - log_total for logit in logits]


def sampled(seed: int, *key: int) -> Choice:
    """Makes a choice that samples from the softmax; the same seed and key give the same sequence of choices."""
    generator = random.Random(repr((seed, *key)))  # noqa: S311 - not for secrets

    def choose(logits: Sequence[float]) -> int:
        weights = [math.exp(value) for value in log_softmax(logits)]
        return generator.choices(range(len(weights)), weights)[0]

    return choose


def recorded(actions: Iterable[int]) -> Choice:
    """Makes a choice that follows ``actions``, one for each step.

    The choice raises EvaluationError if the actions end before the trajectory, or if one does not exist.
    """
    remaining = iter(actions)

    def choose(logits: Sequence[float]) -> int:
        index = next(remaining, None)
        if index is None:
            raise EvaluationError("the recorded actions end before the trajectory does")
        if not 0 <= index < len(logits):
            raise EvaluationError(f"recorded action {index} of only {len(logits)} actions")
        return index

    return choose

"""The input and the output of a prover: candidates, and the outcome of each one's trajectory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from proofrank.core.graph import Triple
from proofrank.core.prover.settings import FAILURE_PENALTY

Atom = tuple[int, int, int]
State = tuple[Atom, ...]


class Candidate(NamedTuple):
    """A triple to prove.

    Attributes:
        triple: the triple.
        is_positive: whether it is the positive of its query, which is never a fact in its own proof.
        threshold: the score that matters. The trajectory ends after the first step that makes sure that its score is
            lower; it always takes its course where this is minus infinity.
        is_provable: False where it is known to have no proof, so that its score loses the penalty whatever happens.
    """

    triple: Triple
    is_positive: bool
    threshold: float = -math.inf
    is_provable: bool = True

    def has_fallen_behind(self, log_probability: float) -> bool:
        """Whether its score is certain to be below ``threshold``.

        A step's log-probability is never above 0, and adding such a number in float64 never makes a sum larger; nor
        does subtracting the same penalty change the order of two numbers, though it may make them equal. So the score
        of the trajectory so far, were it to fail or succeed as is known, is at least the score at its end.

        Args:
            log_probability: sum over the steps so far.
        """
        return log_probability - (0.0 if self.is_provable else FAILURE_PENALTY) < self.threshold


@dataclass(frozen=True)
class ProofStep:
    """One step of a trajectory.

    Attributes:
        state: the goals before the step.
        next_variable: the next free run-time variable in that state.
        skipped: the states that were passed without a step to find the actions (``skip_unary_actions``).
        actions: the states to choose from.
        logits: one for each action; ``(0.0,)`` if the only action needed no score.
        chosen: index of the chosen action.
        log_probability: log-probability of that action.
    """

    state: State
    next_variable: int
    skipped: tuple[State, ...]
    actions: tuple[State, ...]
    logits: tuple[float, ...]
    chosen: int
    log_probability: float


@dataclass(frozen=True)
class Outcome:
    """The end of one candidate's trajectory.

    Attributes:
        success: whether it was proved.
        log_probability: sum over the steps, without the penalty.
        steps: number of steps taken.
        actions: index of the action taken at each step.
        passes_near_tie: whether at some step the two largest logits were within the tie tolerance.
        largest_logit: largest absolute logit met; rounding of log-probabilities is relative to it.
        trace: the steps, if they were asked for.
        is_pruned: whether the trajectory was ended because its score was certain to be below the candidate's
            threshold. Its score is then what is known of it: an upper bound less the penalty, below the threshold too.
    """

    success: bool
    log_probability: float
    steps: int
    actions: tuple[int, ...]
    passes_near_tie: bool = False
    largest_logit: float = 0.0
    trace: tuple[ProofStep, ...] | None = None
    is_pruned: bool = False

    @property
    def score(self) -> float:
        """The number by which candidates are ranked: the log-probability, less the penalty if the proof failed."""
        return self.log_probability - (0.0 if self.success else FAILURE_PENALTY)

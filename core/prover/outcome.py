"""The input and the output of a prover: candidates, and the outcome of each one's trajectory."""

from __future__ import annotations

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
    """

    triple: Triple
    is_positive: bool


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
    """

    success: bool
    log_probability: float
    steps: int
    actions: tuple[int, ...]
    passes_near_tie: bool = False
    largest_logit: float = 0.0
    trace: tuple[ProofStep, ...] | None = None

    @property
    def score(self) -> float:
        """The number by which candidates are ranked: the log-probability, less the penalty if the proof failed."""
        return self.log_probability - (0.0 if self.success else FAILURE_PENALTY)

"""Beams: several trajectories of a candidate, and the one number by which they rank it.

What a beam is and how its trajectories are chosen: ``docs/semantics.md``, "Beams", and
:mod:`proofrank.core.prover.beam_reference`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from proofrank.core.choices import BEAM_SCORES, MOST_TRAJECTORIES, BeamScore
from proofrank.core.errors import EvaluationError, did_you_mean, nearest_names, shown
from proofrank.core.prover.outcome import Candidate, Outcome
from proofrank.core.prover.settings import FAILURE_PENALTY, TIE_TOLERANCE

_BOUND_MARGIN = 1e-9
"""Margin of the bound of a sum of probabilities, relative to 1 plus its size. Rounding of log-probabilities in float64
moves such a sum by less than 1e-12, over any number of steps that a trajectory can have."""

_CERTAINLY_SMALL = -40.0
"""Log-probability below which ``1 - (1 - p)(1 - q)`` and ``p + q`` are the same float64."""


@dataclass(frozen=True)
class Beam:
    """How many trajectories a candidate has, and how their proofs make a score.

    Attributes:
        width: maximum number of trajectories; with 1 the candidate has the trajectory of a greedy policy.
        score: one of ``BEAM_SCORES``.
    """

    width: int = 1
    score: BeamScore = "max"

    def __post_init__(self) -> None:
        """Raises EvaluationError for a width out of its range and for an unknown score."""
        if type(self.width) is not int or not 1 <= self.width <= MOST_TRAJECTORIES:
            raise EvaluationError(
                f"beam is {shown(self.width)}; expected a whole number from 1 to {MOST_TRAJECTORIES}"
            )
        if self.score not in BEAM_SCORES:
            near = did_you_mean(nearest_names(str(self.score), BEAM_SCORES))
            raise EvaluationError(
                f"beam_score is {shown(self.score)}{near}; expected one of {', '.join(BEAM_SCORES)}"
            )


@dataclass(frozen=True)
class EndedTrajectory:
    """One of a candidate's trajectories, at its end.

    Attributes:
        success: whether it is a proof.
        log_probability: sum over its steps.
        actions: index of the action taken at each step.
        passes_near_tie: whether at some state on its way the two largest logits were within the tie tolerance.
    """

    success: bool
    log_probability: float
    actions: tuple[int, ...]
    passes_near_tie: bool = False


@dataclass(frozen=True)
class BeamOutcome:
    """The end of a candidate's beam.

    Attributes:
        trajectories: all that ended, in the order in which they did; what was open when the candidate was pruned comes
            last, as a failure.
        log_probability: of the candidate, without the penalty: of its proofs together under the beam's score, or of
            its most probable trajectory if there is no proof or the candidate was pruned.
        num_resolved: states whose actions were found, over all trajectories; those that share a prefix share its
            states. A greedy trajectory resolves one for each step.
        largest_logit: largest absolute logit met.
        is_pruned: whether it was ended because its score was certain to be below the candidate's threshold.
    """

    trajectories: tuple[EndedTrajectory, ...]
    log_probability: float
    num_resolved: int
    largest_logit: float
    is_pruned: bool = False

    @property
    def proofs(self) -> tuple[EndedTrajectory, ...]:
        """The proofs, the most probable first; of those that tie, the one that was found first."""
        return best_first([one for one in self.trajectories if one.success], self.largest_logit)

    @property
    def outcome(self) -> Outcome:
        """The outcome by which the candidate is ranked; its steps and actions are those of the best proof, or of the
        most probable trajectory if there is no proof. A pruned candidate counts as not proved, as everywhere.
        """
        proofs = () if self.is_pruned else self.proofs
        best = proofs[0] if proofs else best_first(self.trajectories, self.largest_logit)[0]
        return Outcome(
            success=bool(proofs),
            log_probability=self.log_probability,
            steps=len(best.actions),
            actions=best.actions,
            passes_near_tie=best.passes_near_tie,
            largest_logit=self.largest_logit,
            is_pruned=self.is_pruned,
        )


def outcome_of(
    trajectories: Sequence[EndedTrajectory],
    beam: Beam,
    *,
    num_resolved: int,
    largest_logit: float,
    is_pruned: bool = False,
) -> BeamOutcome:
    """Returns the outcome of a candidate with these trajectories, of which there is at least one."""
    of_proofs = [one.log_probability for one in trajectories if one.success and not is_pruned]
    log_probability = (
        combined(of_proofs, beam.score) if of_proofs else max(one.log_probability for one in trajectories)
    )
    return BeamOutcome(tuple(trajectories), log_probability, num_resolved, largest_logit, is_pruned)


def sum_tolerance(largest_logit: float) -> float:
    """Returns by how much sums of log-probabilities may differ and count as equal.

    Args:
        largest_logit: largest absolute logit that the candidate has met; rounding is relative to it.
    """
    return TIE_TOLERANCE * (1.0 + largest_logit)


def best_first(trajectories: Sequence[EndedTrajectory], largest_logit: float) -> tuple[EndedTrajectory, ...]:
    """Returns ``trajectories`` by falling log-probability; those that tie keep their order."""
    remaining, ordered = list(trajectories), []
    while remaining:
        bound = max(one.log_probability for one in remaining) - sum_tolerance(largest_logit)
        place = next(place for place, one in enumerate(remaining) if one.log_probability >= bound)
        ordered.append(remaining.pop(place))
    return tuple(ordered)


def combined(log_probabilities: Sequence[float], score: BeamScore) -> float:
    """Returns the log-probability of several proofs together; of a single proof, its own to the bit.

    Args:
        log_probabilities: of the proofs, at least one, none above 0.
        score: ``max``: the best one's. ``logsumexp``: that the policy's random walk takes any of them. ``noisy-or``:
            that at least one of them holds if they were independent.

    >>> combined([-1.0, -2.0], "max")
    -1.0
    """
    largest = max(log_probabilities)
    if score == "max" or len(log_probabilities) == 1 or largest in (0.0, -math.inf):
        return largest
    total = largest + math.log(math.fsum(math.exp(value - largest) for value in log_probabilities))
    total = min(total, 0.0)  # rounding may lift a sum of probabilities above 1
    if score == "logsumexp" or largest < _CERTAINLY_SMALL:
        return max(total, largest)
    none_holds = math.fsum(math.log1p(-math.exp(value)) for value in log_probabilities)
    any_holds = -math.expm1(none_holds)
    return min(max(math.log(any_holds), largest), 0.0)


def has_fallen_behind(
    candidate: Candidate,
    beam: Beam,
    *,
    proved: Sequence[float],
    failed: Sequence[float],
    open_: Sequence[float],
) -> bool:
    """Whether the score of a candidate's beam is certain to be below its threshold (``docs/pruning.md``).

    Args:
        candidate: has the threshold.
        beam: its width and score.
        proved: log-probabilities of the proofs found.
        failed: of the trajectories that failed.
        open_: of the trajectories under way, at least one.
    """
    if candidate.threshold == -math.inf:
        return False
    as_failure = max(*failed, *open_, -math.inf) - FAILURE_PENALTY
    if not candidate.is_provable:
        return as_failure < candidate.threshold
    as_proofs = combined((*proved, *open_), beam.score)
    if beam.score != "max" and beam.width > 1:
        as_proofs += _BOUND_MARGIN * (1.0 + abs(as_proofs))
    return max(as_proofs, as_failure) < candidate.threshold

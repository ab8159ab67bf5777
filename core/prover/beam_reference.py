"""Beam search over trajectories, written to be read: the oracle of every faster form.

In: a candidate, the policy's scorer, and a beam. Out: the candidate's trajectories and what they make together. It uses
the actions of :class:`~proofrank.core.prover.reference.ReferenceProver`, so a step is what it is there.
``docs/semantics.md`` describes the same in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proofrank.core.prover.beams import (
    Beam,
    BeamOutcome,
    EndedTrajectory,
    has_fallen_behind,
    outcome_of,
    sum_tolerance,
)
from proofrank.core.prover.choice import first_of_the_best, is_near_tie, log_softmax
from proofrank.core.prover.outcome import Atom, Candidate, State
from proofrank.core.prover.reference import Actions, ReferenceProver, Scorer


class OpenTrajectory(NamedTuple):
    """A trajectory under way.

    Attributes:
        state: its goals.
        actions: the actions of that state.
        visited: its visited set, which it shares with no other trajectory.
        log_probability: sum over its steps.
        taken: the actions taken.
        passes_near_tie: whether at some state before this one the two largest logits were within the tie tolerance.
    """

    state: State
    actions: Actions
    visited: set[frozenset[Atom]]
    log_probability: float
    taken: tuple[int, ...]
    passes_near_tie: bool


class Continuation(NamedTuple):
    """A trajectory and one of its actions.

    Attributes:
        place: place of the trajectory in the beam.
        action: index of the action.
        log_probability: sum over the steps, this one included.
    """

    place: int
    action: int
    log_probability: float


class BeamReferenceProver:
    """Proves candidates by beam search over one graph under one choice of settings."""

    def __init__(self, prover: ReferenceProver) -> None:
        """A beam search whose steps are those of ``prover``."""
        self.prover = prover

    def prove(self, candidate: Candidate, scorer: Scorer, beam: Beam) -> BeamOutcome:
        """Returns the trajectories of ``candidate``; see :meth:`ReferenceProver.prove`."""
        prover = self.prover
        excluded = candidate.triple if candidate.is_positive else None
        terminal_states = (prover.true_state, prover.false_state, prover.endf_state)
        first: State = (candidate.triple,)
        visited: set[frozenset[Atom]] = {frozenset(first)}
        actions = prover.actions(first, prover.first_variable, visited, excluded)
        trajectories = [OpenTrajectory(first, actions, visited, 0.0, (), False)]
        ended: list[EndedTrajectory] = []
        largest_logit, num_resolved = 0.0, 0
        while trajectories:
            num_resolved += len(trajectories)
            logits = [self._logits(trajectory, scorer) for trajectory in trajectories]
            largest_logit = max(largest_logit, *(abs(logit) for row in logits for logit in row))
            moved: list[tuple[OpenTrajectory, State, Continuation]] = []
            for best in best_continuations(trajectories, logits, beam.width - len(ended), largest_logit):
                parent = trajectories[best.place]
                state = parent.actions.states[best.action]
                near_tie = parent.passes_near_tie or is_near_tie(logits[best.place])
                taken = (*parent.taken, best.action)
                if state in terminal_states or len(taken) >= prover.settings.max_depth:
                    success = state == prover.true_state
                    ended.append(EndedTrajectory(success, best.log_probability, taken, near_tie))
                else:
                    moved.append((parent._replace(taken=taken, passes_near_tie=near_tie), state, best))
            if moved and has_fallen_behind(
                candidate,
                beam,
                proved=[one.log_probability for one in ended if one.success],
                failed=[one.log_probability for one in ended if not one.success],
                open_=[best.log_probability for _, _, best in moved],
            ):
                ended += [
                    EndedTrajectory(False, best.log_probability, parent.taken, parent.passes_near_tie)
                    for parent, _, best in moved
                ]
                return outcome_of(
                    ended, beam, num_resolved=num_resolved, largest_logit=largest_logit, is_pruned=True
                )
            trajectories = []
            for parent, state, best in moved:
                visited = set(parent.visited)
                actions = prover.actions(state, parent.actions.next_variable, visited, excluded)
                if actions.is_stuck:
                    ended.append(
                        EndedTrajectory(False, best.log_probability, parent.taken, parent.passes_near_tie)
                    )
                else:
                    trajectories.append(
                        OpenTrajectory(
                            state,
                            actions,
                            visited,
                            best.log_probability,
                            parent.taken,
                            parent.passes_near_tie,
                        )
                    )
        return outcome_of(ended, beam, num_resolved=num_resolved, largest_logit=largest_logit)

    @staticmethod
    def _logits(trajectory: OpenTrajectory, scorer: Scorer) -> tuple[float, ...]:
        """The logits of its actions; a single action is taken with probability 1, whatever its logit."""
        states = trajectory.actions.states
        return (0.0,) if len(states) == 1 else tuple(scorer(trajectory.state, states))


def best_continuations(
    trajectories: Sequence[OpenTrajectory],
    logits: Sequence[Sequence[float]],
    number: int,
    largest_logit: float,
) -> list[Continuation]:
    """Returns the ``number`` most probable continuations of ``trajectories``, in order; all if there are fewer.

    They are taken one after the other. Each trajectory offers one of its actions: by its logit, the first of the best
    that are left. Of these offers the largest sum wins; of those that tie with it, the one of the first trajectory. The
    actions with the same state as the one taken are out from then on.

    Args:
        trajectories: in the order of the beam.
        logits: of the actions of each.
        number: of continuations.
        largest_logit: largest absolute logit that the candidate has met.
    """
    log_probabilities = [log_softmax(row) for row in logits]
    left = [list(range(len(row))) for row in logits]
    best: list[Continuation] = []
    while len(best) < number:
        offers: list[Continuation] = []
        for place, (trajectory, row) in enumerate(zip(trajectories, logits, strict=True)):
            if left[place]:
                action = left[place][first_of_the_best([row[index] for index in left[place]])]
                total = trajectory.log_probability + log_probabilities[place][action]
                offers.append(Continuation(place, action, total))
        if not offers:
            break
        bound = max(offer.log_probability for offer in offers) - sum_tolerance(largest_logit)
        taken = next(offer for offer in offers if offer.log_probability >= bound)
        best.append(taken)
        states = trajectories[taken.place].actions.states
        left[taken.place] = [index for index in left[taken.place] if states[index] != states[taken.action]]
    return best

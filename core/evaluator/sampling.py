"""Evaluates sampled trajectories of candidates, many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.beams import Asked, BeamEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.reference import ReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.prover.beam_lanes import Found, Taken
from proofrank.core.prover.beams import Beam, BeamOutcome, EndedTrajectory, outcome_of
from proofrank.core.prover.lanes import LaneState
from proofrank.core.prover.sampling import (
    SampledCandidates,
    SampledShare,
    check_sampling,
    drawn,
    drawn_action,
    uniform,
)


class _Draws(NamedTuple):
    """The key of a trajectory's draws, beside its triple."""

    seed: int
    sample: int


class SamplingEvaluator(BeamEvaluator):
    """Draws trajectories; a draw depends on the seed, the candidate, the number of the sample and the step alone.

    As a stream it takes :class:`SampledCandidates`.
    """

    def __init__(
        self,
        dataset: Dataset,
        policy: Policy,
        settings: ProverSettings,
        options: EvaluatorOptions | None = None,
        *,
        seed: int = 0,
    ) -> None:
        """See :class:`BeamEvaluator`; ``seed`` is of the draws of :meth:`sample` and :meth:`trajectories`."""
        super().__init__(dataset, policy, settings, Beam(1), options)
        check_sampling(1, seed)
        self._seed = seed
        self._draws_of_slot: dict[int, _Draws] = {}

    def sample(
        self,
        candidates: Sequence[Candidate],
        number: int,
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[SampledShare]:
        """Draws ``number`` trajectories of each candidate; returns how many of them are proofs.

        Raises:
            EvaluationError: ``number`` is out of its range, or a candidate cannot be evaluated exactly.
        """
        shares: list[SampledShare] = []
        for index, candidate in enumerate(candidates):
            proved = sum(one.trajectories[0].success for one in self.trajectories(candidate, number))
            shares.append(SampledShare(number, proved))
            if on_progress is not None:
                on_progress(index + 1)
        return shares

    def trajectories(self, candidate: Candidate, number: int) -> list[BeamOutcome]:
        """Draws ``number`` trajectories of a candidate; returns each as an outcome with one trajectory, in order."""
        return self.prove(SampledCandidates.drawn([candidate], number, self._seed))

    def submit(self, candidates: Sequence[Candidate]) -> list[int]:
        """See :class:`BeamEvaluator`.

        Raises:
            EvaluationError: they are not :class:`SampledCandidates`, or more than there are free slots.
        """
        if not isinstance(candidates, SampledCandidates):
            raise EvaluationError("candidates without the key of their draws; expected SampledCandidates")
        slots = super().submit(candidates)
        draws = map(_Draws, candidates.seed.tolist(), candidates.sample.tolist())
        self._draws_of_slot.update(zip(slots, draws, strict=True))
        return slots

    def cancel(self, slots: Collection[int]) -> None:
        """See :class:`BeamEvaluator`."""
        super().cancel(slots)
        for slot in slots:
            self._draws_of_slot.pop(slot, None)

    def _taken_out(self) -> dict[int, BeamOutcome | EvaluationError]:
        done = super()._taken_out()
        for slot in done:
            del self._draws_of_slot[slot]
        return done

    def _prove_again(self, asked: Asked) -> BeamOutcome | EvaluationError:
        """The same draws by the reference, where two states of one hash were met."""
        draws = self._draws_of_slot[asked.slot]
        choose = drawn(draws.seed, asked.candidate.triple, draws.sample)
        try:
            found = ReferenceEvaluator(self._dataset, asked.policy, self.settings).prove(
                asked.candidate, choose=choose
            )
        except EvaluationError as error:
            return error
        trajectory = EndedTrajectory(
            found.success, found.log_probability, found.actions, found.passes_near_tie
        )
        return outcome_of(
            [trajectory], self.beam, num_resolved=found.steps, largest_logit=found.largest_logit
        )

    def _take(
        self, lanes: LaneState, found: Found, is_open: Tensor, num_free: Tensor, largest_logit: Tensor
    ) -> Taken:
        """The drawn action of each trajectory in place of the best."""
        has_action = (found.logits != -torch.inf).tolist()
        log_probabilities, depths = found.log_probabilities.tolist(), lanes.depth.tolist()
        actions = []
        for lane, asked in enumerate(self._running):
            possible = [
                value for value, flag in zip(log_probabilities[lane], has_action[lane], strict=True) if flag
            ]
            draws = self._draws_of_slot[asked.slot]
            draw = uniform(draws.seed, asked.candidate.triple, draws.sample, depths[lane])
            # Actions come first, without gaps; one that is stuck has none.
            actions.append(drawn_action(possible, draw) if possible else 0)
        number = torch.arange(len(actions), device=is_open.device)
        lane = torch.where(is_open.squeeze(1), number, -1)
        return Taken(lane.unsqueeze(1), torch.tensor(actions, device=is_open.device).unsqueeze(1))

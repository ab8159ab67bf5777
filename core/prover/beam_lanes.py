"""The trajectories of many beams as lanes: find the actions of all, take the best continuations, move.

The results are those of :mod:`proofrank.core.prover.beam_reference`. A beam has ``k`` lanes in a row: those with a
trajectory that ended before the last tick, then those that were taken in it, in the order in which they were. Letters:
``G`` beams, ``k`` lanes of a beam, ``B = G k`` lanes, ``W`` atoms of a working state, ``S`` maximum actions of a state,
``E`` embedding size, ``N`` states.

Buffers follow the true counts, which are read back; nothing here is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from proofrank.core.prover.environment import EvalOnlyEnvCompiled
from proofrank.core.prover.lanes import LaneState
from proofrank.core.prover.observation import EvalObs
from proofrank.core.prover.settings import TIE_TOLERANCE
from proofrank.core.prover.state_sets import set_hash

FREE, OPEN, FAILED, PROVED = 0, 1, 2, 3
"""States of a lane: without a trajectory, under way, ended without a proof, ended with one."""


class Network(NamedTuple):
    """What scores states.

    Attributes:
        vectors: from ``[N, W]`` int64 states (pairs: ``[N, 2 W]``) to ``[N, E]`` float, with bits that do not depend on
            the other rows.
        endf_feature: ``[E]`` float, the vector of ``[Endf]``.
        logit_scale: factor by which a dot product becomes a logit.
    """

    vectors: Callable[[Tensor], Tensor]
    endf_feature: Tensor
    logit_scale: float


class Found(NamedTuple):
    """The actions of the lanes, whose states were resolved in one look or several.

    Attributes:
        logits: ``[B, S]`` float64, minus infinity where there is no action; 0 for a single action.
        log_probabilities: ``[B, S]`` float64.
        num_states: ``[B]`` int64, how many actions are states; one that follows is ``[Endf]``, or the only action is
            ``[True]`` or ``[False]``.
        place: ``[B]`` int64, place in ``atoms`` of the first of them; the others follow.
        atoms: ``[N, W]`` int64.
        features: ``[N, E]`` float, vectors of ``atoms``; of a single action it means nothing.
        has_features: ``[B]`` bool, whether it means something.
        is_proved: ``[B]`` bool, the only action is ``[True]``.
        is_failed: ``[B]`` bool, the only action is ``[False]``.
        is_stuck: ``[B]`` bool, the trajectory ends here without a step.
        is_near_tie: ``[B]`` bool, the two largest logits are within the tie tolerance.
    """

    logits: Tensor
    log_probabilities: Tensor
    num_states: Tensor
    place: Tensor
    atoms: Tensor
    features: Tensor
    has_features: Tensor
    is_proved: Tensor
    is_failed: Tensor
    is_stuck: Tensor
    is_near_tie: Tensor


class Taken(NamedTuple):
    """The continuations that were taken, in order.

    Attributes:
        lane: ``[G, k]`` int64, the lane that each continues; -1 for none.
        action: ``[G, k]`` int64, its action.
    """

    lane: Tensor
    action: Tensor


class BeamEnvironment(EvalOnlyEnvCompiled):
    """The environment for beams: what resolves goals is the greedy one's, what chooses is not."""

    def find_actions(
        self, lanes: LaneState, is_open: Tensor, network: Network, count: Callable[[EvalObs, int], None]
    ) -> tuple[LaneState, Found]:
        """Finds and scores the actions of the lanes under way.

        A lane may have to be looked at several times: while it skips single actions, and while buffers are full.

        Args:
            lanes: the trajectories.
            is_open: ``[B]`` bool, those under way.
            network: scores the states.
            count: told of each observation, and how many states the network computed for it.

        Returns:
            The lanes, in the states that the actions belong to; and the actions.
        """
        found = self._nothing(lanes)
        atoms, features = [found.atoms], [found.features]
        num_atoms = 0
        first_lane = torch.zeros((), dtype=torch.int64, device=is_open.device)
        is_left = is_open
        while bool(is_left.any()):
            observation = self.observe(lanes, is_left, first_lane)
            vectors = network.vectors(observation.states[: int(observation.num_scored)])
            count(observation, len(vectors))
            lanes, logits = self._scored(lanes, observation, vectors, network)
            selection = self._select(logits)
            settled = observation.is_scored | observation.is_single | observation.is_proved
            settled = settled | observation.is_failed | observation.is_stuck
            scored = observation.is_scored
            single = torch.nonzero(observation.is_single).squeeze(1)
            place = torch.where(scored, num_atoms + observation.score_begin.long(), 0)
            place[single] = num_atoms + len(vectors) + torch.arange(len(single), device=place.device)
            # Of pairs, the second state is the action's.
            width = lanes.atoms.shape[1]
            states = observation.states.new_zeros(len(vectors), width)
            states[: len(observation.states)] = observation.states[:, -width:]
            atoms += [states, observation.row_atoms[observation.single_row[single]]]
            features += [vectors, vectors.new_zeros(len(single), vectors.shape[1])]
            num_atoms += len(vectors) + len(single)
            # What is no choice has one action, with probability 1.
            only = torch.zeros_like(logits)
            only[:, 1:] = -torch.inf
            has_one = settled & ~scored & ~observation.is_stuck
            found = found._replace(
                logits=_where(scored, logits, _where(has_one, only, found.logits)),
                log_probabilities=_where(scored, selection.log_probabilities, found.log_probabilities),
                num_states=torch.where(
                    scored,
                    observation.num_actions,
                    torch.where(observation.is_single, 1, found.num_states),
                ),
                place=torch.where(settled, place, found.place),
                has_features=found.has_features | (scored & (self._endf_of_pairs is None)),
                is_proved=found.is_proved | observation.is_proved,
                is_failed=found.is_failed | observation.is_failed,
                is_stuck=found.is_stuck | observation.is_stuck,
                is_near_tie=found.is_near_tie | (scored & selection.is_near_tie),
            )
            lanes = lanes._replace(
                largest_logit=torch.where(
                    scored,
                    torch.maximum(lanes.largest_logit, selection.largest_logit),
                    lanes.largest_logit,
                ),
                is_broken=lanes.is_broken | (scored & ~selection.is_finite),
            )
            lanes = self._skip(lanes, observation)
            is_left = is_left & ~settled
        return lanes, found._replace(atoms=torch.cat(atoms), features=torch.cat(features))

    def _nothing(self, lanes: LaneState) -> Found:
        num_lanes, width = lanes.atoms.shape
        integers, falsehoods = torch.zeros_like(lanes.depth), torch.zeros_like(lanes.has_feature)
        logits = lanes.log_probability.new_full((num_lanes, self.settings.padding_states), -torch.inf)
        return Found(
            logits=logits,
            log_probabilities=torch.zeros_like(logits),
            num_states=integers,
            place=integers,
            atoms=lanes.atoms.new_zeros(0, width),
            features=lanes.feature.new_zeros(0, lanes.feature.shape[1]),
            has_features=falsehoods,
            is_proved=falsehoods,
            is_failed=falsehoods,
            is_stuck=falsehoods,
            is_near_tie=falsehoods,
        )

    def _scored(
        self, lanes: LaneState, observation: EvalObs, vectors: Tensor, network: Network
    ) -> tuple[LaneState, Tensor]:
        """The lanes with the vectors of their states, and their logits ``[B, S]`` float64."""
        needs_feature = observation.needs_feature
        place = torch.where(needs_feature, observation.self_place, 0)
        feature = _where(needs_feature, vectors[place], lanes.feature)
        state_lane = observation.state_lane
        state_lane = torch.cat([state_lane, state_lane.new_zeros(len(vectors) - len(state_lane))])
        logits = self._logits(
            observation._replace(state_lane=state_lane),
            vectors,
            feature,
            network.endf_feature,
            network.logit_scale,
        )
        return lanes._replace(feature=feature, has_feature=lanes.has_feature | needs_feature), logits

    def _skip(self, lanes: LaneState, observation: EvalObs) -> LaneState:
        """Moves the lanes that follow a single action without a step; keeps what was learned of the others."""
        is_skipping, row = observation.is_skipping, observation.single_row
        is_resolved = (
            is_skipping | observation.is_scored | observation.is_single | observation.is_proved
        ) | observation.is_failed
        lanes = self._remember(lanes, observation, row, torch.zeros_like(is_skipping))
        return lanes._replace(
            atoms=_where(is_skipping, observation.row_atoms[row], lanes.atoms),
            next_variable=torch.where(is_resolved, observation.next_variable, lanes.next_variable),
            num_skipped=lanes.num_skipped + is_skipping,
            num_checked=torch.where(is_skipping, 0, observation.num_checked),
            is_proved=torch.where(is_skipping, False, observation.is_found),
            is_ambiguous=lanes.is_ambiguous | observation.is_ambiguous,
        )

    def take_best(
        self, lanes: LaneState, found: Found, is_open: Tensor, num_free: Tensor, largest_logit: Tensor
    ) -> Taken:
        """Takes the best continuations of each beam, as many as it has places.

        Args:
            lanes: the trajectories.
            found: their actions.
            is_open: ``[G, k]`` bool, lanes that may be continued.
            num_free: ``[G]`` int64, places of each beam.
            largest_logit: ``[G]`` float64, the largest absolute logit that each candidate has met.
        """
        num_beams, width = is_open.shape
        num_actions = found.logits.shape[1]
        logits = found.logits.view(num_beams, width, num_actions)
        logits = logits.masked_fill(~is_open.unsqueeze(2), -torch.inf)
        sums = lanes.log_probability.unsqueeze(1) + found.log_probabilities
        sums = sums.view(num_beams, width, num_actions)
        beam = torch.arange(num_beams, device=logits.device)
        place, column = (torch.arange(number, device=logits.device) for number in (width, num_actions))
        tolerance = TIE_TOLERANCE * (1.0 + largest_logit)
        taken: list[tuple[Tensor, Tensor]] = []
        most = int(num_free.max()) if num_beams else 0
        for number in range(most):
            largest = logits.amax(dim=2, keepdim=True)
            is_best = logits >= largest - TIE_TOLERANCE * (1.0 + largest.abs())
            offer = torch.where(is_best, column, num_actions - 1).amin(dim=2)
            offered = sums.gather(2, offer.unsqueeze(2)).squeeze(2)
            offered = torch.where(largest.squeeze(2) == -torch.inf, -torch.inf, offered)
            best = offered.amax(dim=1)
            ties = offered >= (best - tolerance).unsqueeze(1)
            chosen = torch.where(ties, place, width - 1).amin(dim=1)
            action = offer[beam, chosen]
            lane = beam * width + chosen
            is_taken = (best != -torch.inf) & (number < num_free)
            taken.append((torch.where(is_taken, lane, -1), action))
            if number + 1 < most:
                is_out = self._leads_to_same(found, lane, action, column) & is_taken.unsqueeze(1)
                logits[beam, chosen] = _where(is_out, -torch.inf, logits[beam, chosen])
        nothing = torch.full_like(beam, -1)
        taken += [(nothing, nothing)] * (width - most)
        return Taken(*(torch.stack(columns, dim=1) for columns in zip(*taken, strict=True)))

    @staticmethod
    def _leads_to_same(found: Found, lane: Tensor, action: Tensor, column: Tensor) -> Tensor:
        """Which actions ``[G, S]`` of the lanes ``[G]`` have the same state as ``action`` ``[G]``, itself included."""
        is_itself = column == action.unsqueeze(1)
        if not len(found.atoms):
            return is_itself
        last = len(found.atoms) - 1
        num_states = found.num_states[lane].unsqueeze(1)
        places = (found.place[lane].unsqueeze(1) + column).clamp(max=last)
        own = found.atoms[(found.place[lane] + action).clamp(max=last)]
        is_same = (found.atoms[places] == own.unsqueeze(1)).all(dim=2)
        return is_itself | (is_same & (column < num_states) & (action.unsqueeze(1) < num_states))

    def continue_with(
        self, lanes: LaneState, status: Tensor, found: Found, taken: Taken, largest_logit: Tensor
    ) -> tuple[LaneState, Tensor]:
        """Moves every beam to the continuations that were taken, behind the trajectories that have ended.

        Args:
            lanes: the trajectories.
            status: ``[G, k]`` int64 of each: ``FREE`` and so on.
            found: their actions.
            taken: the continuations.
            largest_logit: ``[G]`` float64, as in :meth:`take_best`.

        Returns:
            The lanes, and the status of each.
        """
        num_beams, width = status.shape
        device = status.device
        has_ended = status >= FAILED
        num_ended = has_ended.sum(dim=1, keepdim=True)
        # Those that ended before, then those that are stuck in this tick, each in their order.
        kind = torch.where(has_ended, found.is_stuck.view_as(status).to(torch.int8), 2)
        in_order = torch.argsort(kind, dim=1, stable=True)
        place = torch.arange(width, device=device).expand(num_beams, width)
        is_kept = place < num_ended
        number = (place - num_ended).clamp(min=0)
        parent = torch.where(is_kept, -1, taken.lane.gather(1, number))
        is_new = parent >= 0
        first = torch.arange(num_beams, device=device).unsqueeze(1) * width
        source = torch.where(is_kept, first + in_order, torch.where(is_new, parent, first)).flatten()
        kept_status = torch.where(is_kept, status.flatten()[source].view(num_beams, width), FREE)
        action = taken.action.gather(1, number).clamp(min=0).flatten()
        before = LaneState(*(tensor[source] for tensor in lanes))
        new = is_new.flatten()
        is_state = new & (action < found.num_states[source])
        depth = before.depth + new
        is_open = is_state & (depth < self.settings.max_depth)
        ended_as = torch.where(found.is_proved[source], PROVED, torch.where(is_open, OPEN, FAILED))
        status = torch.where(new, ended_as, kept_status.flatten()).view(num_beams, width)
        after = self._moved(before, found, source, action, new, is_open)
        return after._replace(
            depth=depth,
            largest_logit=torch.where(new, largest_logit.repeat_interleave(width), before.largest_logit),
        ), status

    def _moved(
        self, lanes: LaneState, found: Found, source: Tensor, action: Tensor, is_new: Tensor, is_open: Tensor
    ) -> LaneState:
        """The lanes, copies of ``source``, after ``action``, where ``is_new``; in its state where ``is_open``."""
        place = torch.where(is_open, found.place[source] + action, 0)
        atoms, feature = lanes.atoms, lanes.feature
        if len(found.atoms):
            atoms = _where(is_open, found.atoms[place], atoms)
            feature = _where(is_open & found.has_features[source], found.features[place], feature)
        log_probability = found.log_probabilities[source].gather(1, action.unsqueeze(1)).squeeze(1)
        is_added = is_open.unsqueeze(1) & (
            torch.arange(lanes.visited_hash.shape[1], device=source.device) == lanes.num_visited.unsqueeze(1)
        )
        is_step = is_new.unsqueeze(1) & (
            torch.arange(lanes.actions.shape[1], device=source.device) == lanes.depth.unsqueeze(1)
        )
        return lanes._replace(
            atoms=atoms,
            observed=_where(is_open, atoms, lanes.observed),
            feature=feature,
            has_feature=torch.where(is_open, found.has_features[source], lanes.has_feature),
            num_skipped=torch.where(is_new, 0, lanes.num_skipped),
            num_checked=torch.where(is_new, 0, lanes.num_checked),
            is_proved=torch.where(is_new, False, lanes.is_proved),
            visited_hash=_where(is_added, set_hash(lanes.observed).unsqueeze(1), lanes.visited_hash),
            visited_atoms=_where(is_added, lanes.observed.unsqueeze(1), lanes.visited_atoms),
            num_visited=lanes.num_visited + is_open,
            log_probability=torch.where(
                is_new, lanes.log_probability + log_probability, lanes.log_probability
            ),
            passes_near_tie=lanes.passes_near_tie | (is_new & found.is_near_tie[source]),
            actions=_where(is_step, action.to(lanes.actions.dtype).unsqueeze(1), lanes.actions),
        )


def _where(flags: Tensor, values: Tensor | float, others: Tensor) -> Tensor:
    """``torch.where`` with ``flags`` over the first dimensions of ``others``."""
    return torch.where(flags.view(*flags.shape, *([1] * (others.dim() - flags.dim()))), values, others)

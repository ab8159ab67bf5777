"""The choices of the lanes in one tick, and the sizes of the buffers for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Capacities:
    """Sizes of the buffers of one bucket.

    Attributes:
        num_lanes: B.
        num_rows: R, resolvents built in a tick; at least as many as one lane can request.
        num_checks: facts checked for immediate proofs in a tick, without those that become rows.
        num_states: N, states scored in a tick; at least the actions of one state and the state itself.
    """

    num_lanes: int
    num_rows: int
    num_checks: int
    num_states: int


class EvalObs(NamedTuple):
    """The choices of the lanes in one tick, and the states that the policy must score for them.

    Attributes:
        states: ``[N, W]`` int64: first the observed states that lack a feature, then the actions' states. Where the
            policy maps pairs, ``[N, 2 W]``: the state of a lane, then ``Endf`` or an action.
        state_lane: ``[N]`` int64, lane of each.
        num_scored: ``[]`` int64, number of states in use.
        score_begin: ``[B]`` int32, place in ``states`` of each lane's first action.
        self_place: ``[B]`` int64, place in ``states`` of each lane's observed state, where it ``needs_feature``.
        needs_feature: ``[B]`` bool.
        num_actions: ``[B]`` int32, actions of each lane, without ``Endf``.
        is_scored: ``[B]`` bool: more than one action, and room to score them; moves.
        is_single: ``[B]`` bool: one action and it is a state; moves.
        is_proved: ``[B]`` bool: the only action is ``[True]``; moves.
        is_failed: ``[B]`` bool: the only action is ``[False]``; moves.
        is_stuck: ``[B]`` bool: too many single actions skipped on arrival; ends without a step.
        is_skipping: ``[B]`` bool: a single action is followed without a step.
        row_atoms: ``[R, W]`` int64, the resolvents.
        single_row: ``[B]`` int64, the row of a lane's only action.
        action_tally: ``[R]`` int32, prefix sum, with each row, of the rows that are actions of lanes that are scored.
        row_begin: ``[B]`` int64, first row of each lane.
        next_variable: ``[B]`` int64, after this resolution.
        num_checked: ``[B]`` int64, as in :class:`LaneState`, after this tick.
        is_found: ``[B]`` bool, ``LaneState.is_proved`` after this tick.
        is_ambiguous: ``[B]`` bool, hashes of different states were equal.
        num_rows: ``[]`` int64, resolvents built.
        num_checks: ``[]`` int64, facts checked.
    """

    states: Tensor
    state_lane: Tensor
    num_scored: Tensor
    score_begin: Tensor
    self_place: Tensor
    needs_feature: Tensor
    num_actions: Tensor
    is_scored: Tensor
    is_single: Tensor
    is_proved: Tensor
    is_failed: Tensor
    is_stuck: Tensor
    is_skipping: Tensor
    row_atoms: Tensor
    single_row: Tensor
    action_tally: Tensor
    row_begin: Tensor
    next_variable: Tensor
    num_checked: Tensor
    is_found: Tensor
    is_ambiguous: Tensor
    num_rows: Tensor
    num_checks: Tensor

"""The values that the steps of a tick pass to each other; see ``proofrank.core.prover.environment``.

Letters: ``B`` lanes, ``R`` rows, ``S`` maximum actions of a state, ``T`` maximum steps.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from proofrank.core.prover.rows import Admission, Rows, Tally
from proofrank.core.prover.vectorized import Resolvents


class FactCheck(NamedTuple):
    """The search for immediate proofs among the facts that cannot become actions.

    Attributes:
        num_checked: ``[B]`` int64, facts checked so far.
        is_found: ``[B]`` bool, whether one was a proof.
        is_pending: ``[B]`` bool, whether some remain.
        num_checks: ``[]`` int64, facts checked in this tick.
    """

    num_checked: Tensor
    is_found: Tensor
    is_pending: Tensor
    num_checks: Tensor


class Expansion(NamedTuple):
    """The resolvents of the lanes that were admitted.

    Attributes:
        admission: admission of the lanes to the rows.
        rows: the rows and their lanes.
        resolvents: resolvents in the rows.
        is_admitted: ``[B]`` bool, lanes whose goal is resolved in this tick.
    """

    admission: Admission
    rows: Rows
    resolvents: Resolvents
    is_admitted: Tensor


class Visits(NamedTuple):
    """The comparison of rows with the visited states of their lanes, ``[R]`` bool each.

    Attributes:
        is_visited: the row is a visited state.
        is_observed: the row is the state that the policy sees.
        is_unsure: the row has the hash of a visited state but differs from it.
    """

    is_visited: Tensor
    is_observed: Tensor
    is_unsure: Tensor


class FilteredRows(NamedTuple):
    """The rest of an expansion.

    Attributes:
        valid: counts the rows that are resolvents.
        is_small: ``[R]`` bool, rows among the first ``padding_states`` of their lane that are not too large.
        visits: visits of all rows.
        actions: counts the rows that are actions.
        is_action: ``[R]`` bool, rows that are actions.
        is_proved: ``[B]`` bool, lanes whose only action is ``[True]``.
    """

    valid: Tally
    is_small: Tensor
    visits: Visits
    actions: Tally
    is_action: Tensor
    is_proved: Tensor


class SingleActions(NamedTuple):
    """The only actions of lanes.

    Attributes:
        is_skipped: ``[B]`` bool, lanes that follow it without a step.
        is_too_long: ``[B]`` bool, of those, lanes that have skipped too many.
        row: ``[B]`` int64, row of the only action; any row if there are more.
    """

    is_skipped: Tensor
    is_too_long: Tensor
    row: Tensor


class Verdict(NamedTuple):
    """The result for the lanes that are neither proved nor skipping, ``[B]`` each.

    Attributes:
        num_actions: int32, number of actions without ``Endf``.
        is_single: bool, one action, which needs no score.
        is_failed: bool, no action at all.
        needs_score: bool, the policy must choose.
    """

    num_actions: Tensor
    is_single: Tensor
    is_failed: Tensor
    needs_score: Tensor


class Scoring(NamedTuple):
    """The states to score: first the observed states, then the actions, both in the order of their rows.

    Attributes:
        is_scored: ``[B]`` bool, lanes whose actions are all scored in this tick.
        needs_feature: ``[B]`` bool, those of them whose observed state is scored too.
        self_place: ``[B]`` int64, place of the observed state among the states.
        num_self: ``[]`` int64, number of observed states.
        is_scored_row: ``[R]`` bool, actions to score.
        scored: counts the actions to score.
    """

    is_scored: Tensor
    needs_feature: Tensor
    self_place: Tensor
    num_self: Tensor
    is_scored_row: Tensor
    scored: Tally


class Selection(NamedTuple):
    """The policy's selection.

    Attributes:
        chosen: ``[B]`` int64, the action.
        log_probabilities: ``[B, S]`` float64, log-probabilities of all actions.
        largest_logit: ``[B]`` float64, largest absolute logit.
        is_near_tie: ``[B]`` bool, whether others were within the tie tolerance.
        is_finite: ``[B]`` bool, whether all logits were finite.
    """

    chosen: Tensor
    log_probabilities: Tensor
    largest_logit: Tensor
    is_near_tie: Tensor
    is_finite: Tensor


class TakenAction(NamedTuple):
    """The action that a lane takes: the recorded one, or otherwise the policy's.

    Attributes:
        chosen: ``[B]`` int64; 0 if nothing was scored.
        log_probability: ``[B]`` float64, log-probability of the action.
        is_wrong: ``[B]`` bool, whether the recorded action does not exist.
    """

    chosen: Tensor
    log_probability: Tensor
    is_wrong: Tensor


class Move(NamedTuple):
    """The effect of an action on a lane, ``[B]`` each.

    Attributes:
        is_step: bool, the lane takes a step.
        depth: int64, steps afterwards.
        is_ended: bool, the trajectory ends.
        is_moved: bool, the lane has another state after the step.
        is_placed: bool, the lane has another state, by a step or by skipping.
        row: int64, row of that state; 0 if there is none.
    """

    is_step: Tensor
    depth: Tensor
    is_ended: Tensor
    is_moved: Tensor
    is_placed: Tensor
    row: Tensor

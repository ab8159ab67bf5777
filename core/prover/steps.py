"""What the steps of a tick hand on to each other; see ``proofrank.core.prover.environment``.

Letters: ``B`` lanes, ``R`` rows, ``S`` actions of a state at most, ``T`` steps at most.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from proofrank.core.prover.rows import Admission, Rows, Tally
from proofrank.core.prover.vectorized import Resolvents


class FactCheck(NamedTuple):
    """The search for immediate proofs among the facts that cannot become actions.

    Attributes:
        num_checked: ``[B]`` int64, facts looked at so far.
        is_found: ``[B]`` bool, whether one was a proof.
        is_pending: ``[B]`` bool, whether some are left to look at.
        num_checks: ``[]`` int64, facts looked at in this tick.
    """

    num_checked: Tensor
    is_found: Tensor
    is_pending: Tensor
    num_checks: Tensor


class Expansion(NamedTuple):
    """The resolvents of the lanes that there was room for.

    Attributes:
        admission: of the lanes to the rows.
        rows: the rows and their lanes.
        resolvents: in the rows.
        is_admitted: ``[B]`` bool, lanes whose goal is resolved in this tick.
    """

    admission: Admission
    rows: Rows
    resolvents: Resolvents
    is_admitted: Tensor


class Visits(NamedTuple):
    """Rows beside the states that their lanes have visited, ``[R]`` bool each.

    Attributes:
        is_visited: the row is one of them.
        is_observed: the row is the state that the policy sees.
        is_unsure: the row has the hash of a visited state and is another.
    """

    is_visited: Tensor
    is_observed: Tensor
    is_unsure: Tensor


class FilteredRows(NamedTuple):
    """What is left of an expansion.

    Attributes:
        valid: counts the rows that are resolvents.
        is_small: ``[R]`` bool, rows that are among the first so many of their lane, and not too large.
        visits: of all rows.
        actions: counts the rows that are actions.
        is_action: ``[R]`` bool, those rows.
        is_proved: ``[B]`` bool, lanes whose only action is ``[True]``.
    """

    valid: Tally
    is_small: Tensor
    visits: Visits
    actions: Tally
    is_action: Tensor
    is_proved: Tensor


class SingleActions(NamedTuple):
    """The actions that are their lanes' only ones.

    Attributes:
        is_skipped: ``[B]`` bool, lanes that follow it without a step.
        is_too_long: ``[B]`` bool, of those, lanes that have skipped too many.
        row: ``[B]`` int64, the row of the only action; any row where there are more.
    """

    is_skipped: Tensor
    is_too_long: Tensor
    row: Tensor


class Verdict(NamedTuple):
    """What becomes of the lanes that neither are proved nor skip, ``[B]`` each.

    Attributes:
        num_actions: int64, actions, ``Endf`` not counted.
        is_single: bool, one action, which needs no score.
        is_failed: bool, no action at all.
        needs_score: bool, the policy has to choose.
    """

    num_actions: Tensor
    is_single: Tensor
    is_failed: Tensor
    needs_score: Tensor


class Scoring(NamedTuple):
    """Which states are scored: the observed states first, then the actions, both in the order of their rows.

    Attributes:
        is_scored: ``[B]`` bool, lanes whose actions are all scored in this tick.
        needs_feature: ``[B]`` bool, of those, lanes whose observed state is scored too.
        self_place: ``[B]`` int64, the observed state's place among the states.
        num_self: ``[]`` int64, observed states.
        is_scored_row: ``[R]`` bool, actions to score.
        scored: counts them.
    """

    is_scored: Tensor
    needs_feature: Tensor
    self_place: Tensor
    num_self: Tensor
    is_scored_row: Tensor
    scored: Tally


class Selection(NamedTuple):
    """What the policy selects.

    Attributes:
        chosen: ``[B]`` int64, the action.
        log_probabilities: ``[B, S]`` float64, of all actions.
        largest_logit: ``[B]`` float64, the largest absolute one.
        is_near_tie: ``[B]`` bool, others were within the tie tolerance.
        is_finite: ``[B]`` bool, all logits were.
    """

    chosen: Tensor
    log_probabilities: Tensor
    largest_logit: Tensor
    is_near_tie: Tensor
    is_finite: Tensor


class TakenAction(NamedTuple):
    """The action that a lane takes: the recorded one, or else the policy's.

    Attributes:
        chosen: ``[B]`` int64; 0 where nothing was scored.
        log_probability: ``[B]`` float64, its own.
        is_wrong: ``[B]`` bool, the recorded one does not exist.
    """

    chosen: Tensor
    log_probability: Tensor
    is_wrong: Tensor


class Move(NamedTuple):
    """Where a lane goes, ``[B]`` each.

    Attributes:
        is_step: bool, it takes a step.
        depth: int64, steps after it.
        is_ended: bool, its trajectory ends.
        is_moved: bool, it has another state after the step.
        is_placed: bool, it has another state, by a step or by skipping.
        row: int64, the row of that state; 0 where there is none.
    """

    is_step: Tensor
    depth: Tensor
    is_ended: Tensor
    is_moved: Tensor
    is_placed: Tensor
    row: Tensor

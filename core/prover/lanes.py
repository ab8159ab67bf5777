"""The state of the lanes and of the pool of candidates, as tensors of fixed shape.

A lane holds one candidate's trajectory. The pool holds the candidates that wait, and the outcomes of
those that are done. Letters: ``B`` lanes, ``W`` atoms of a working state, ``V`` visited states, ``T`` maximum steps,
``P`` slots of the pool, ``E`` embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from proofrank.core.errors import EvaluationError
from proofrank.core.prover.settings import ProverSettings

NO_FACT = -1
"""Value of ``excluded`` if there is no excluded fact."""

IDLE = -1
"""Value of a lane's candidate if it has none."""

NOT_RECORDED = -1
"""Value of a recorded action where the policy chooses."""


@dataclass(frozen=True)
class LaneShape:
    """Sizes of the lanes' tensors.

    Attributes:
        working_atoms: W: ``padding_atoms``, or with skipping what one resolution can make of that, because skipped
            states may exceed ``padding_atoms``.
        num_visited: V.
        max_depth: T.
        embedding_dim: E.
        action_dtype: of the actions that are kept: int16 where every action of a state has a place below 2**15, or
            else int32.
    """

    working_atoms: int
    num_visited: int
    max_depth: int
    embedding_dim: int
    action_dtype: torch.dtype

    @classmethod
    def of(cls, settings: ProverSettings, longest_body: int, embedding_dim: int) -> LaneShape:
        """Returns the sizes for these settings and rules."""
        extra_atoms = longest_body - 1 if settings.skip_unary_actions else 0
        return cls(
            working_atoms=settings.padding_atoms + extra_atoms,
            num_visited=1 + settings.max_depth * settings.max_resolutions_per_step,
            max_depth=settings.max_depth,
            embedding_dim=embedding_dim,
            action_dtype=action_dtype_of(settings),
        )


def action_dtype_of(settings: ProverSettings) -> torch.dtype:
    """Returns the narrowest type that holds every action of a state, ``Endf`` included, and ``NOT_RECORDED`` - 1.

    Raises:
        EvaluationError: there are so many that no type does.
    """
    for dtype in (torch.int16, torch.int32):
        if settings.padding_states <= torch.iinfo(dtype).max:
            return dtype
    raise EvaluationError(
        f"padding_states is {settings.padding_states}; expected at most {torch.iinfo(torch.int32).max}"
    )


class LaneState(NamedTuple):
    """The trajectories in progress.

    Attributes:
        candidate: ``[B]`` int64, slot in the pool, or ``IDLE``.
        atoms: ``[B, W]`` int64, the state whose first goal is resolved next.
        observed: ``[B, W]`` int64, the state that the policy sees; it differs from ``atoms`` only while single actions
            are being skipped.
        feature: ``[B, E]`` float, the network's vector of ``observed``; of pairs ``[B, 1]``, the logit of ``Endf``.
        has_feature: ``[B]`` bool, whether ``feature`` has been computed.
        next_variable: ``[B]`` int64, the next free run-time variable.
        depth: ``[B]`` int64, steps taken.
        num_skipped: ``[B]`` int64, single actions skipped since the last step.
        excluded: ``[B]`` int64, the fact that must not be used, or ``NO_FACT``.
        num_checked: ``[B]`` int64, facts checked for an immediate proof of ``atoms``, without those that become rows.
        is_proved: ``[B]`` bool, whether one of those was a proof.
        visited_hash: ``[B, V]`` int64, hashes of the visited states.
        visited_atoms: ``[B, V, W]`` int64, their atoms.
        num_visited: ``[B]`` int64, number of visited states.
        log_probability: ``[B]`` float64, log-probability of the steps so far.
        largest_logit: ``[B]`` float64, the largest absolute logit so far.
        passes_near_tie: ``[B]`` bool.
        is_ambiguous: ``[B]`` bool, whether two different states with one hash occurred, so that the reference must
            prove the candidate.
        is_broken: ``[B]`` bool, whether a logit was not finite or a recorded action did not exist.
        actions: ``[B, T]`` of the shape's ``action_dtype``, the actions taken.
    """

    candidate: Tensor
    atoms: Tensor
    observed: Tensor
    feature: Tensor
    has_feature: Tensor
    next_variable: Tensor
    depth: Tensor
    num_skipped: Tensor
    excluded: Tensor
    num_checked: Tensor
    is_proved: Tensor
    visited_hash: Tensor
    visited_atoms: Tensor
    num_visited: Tensor
    log_probability: Tensor
    largest_logit: Tensor
    passes_near_tie: Tensor
    is_ambiguous: Tensor
    is_broken: Tensor
    actions: Tensor

    @property
    def is_busy(self) -> Tensor:
        """``[B]`` bool."""
        return self.candidate != IDLE


def idle_lanes(num_lanes: int, shape: LaneShape, device: torch.device) -> LaneState:
    """Makes lanes without candidates."""

    def integers(*sizes: int) -> Tensor:
        return torch.zeros(num_lanes, *sizes, dtype=torch.int64, device=device)

    def booleans() -> Tensor:
        return torch.zeros(num_lanes, dtype=torch.bool, device=device)

    def doubles() -> Tensor:
        return torch.zeros(num_lanes, dtype=torch.float64, device=device)

    return LaneState(
        candidate=torch.full((num_lanes,), IDLE, dtype=torch.int64, device=device),
        atoms=integers(shape.working_atoms),
        observed=integers(shape.working_atoms),
        feature=torch.zeros(num_lanes, shape.embedding_dim, device=device),
        has_feature=booleans(),
        next_variable=integers(),
        depth=integers(),
        num_skipped=integers(),
        excluded=torch.full((num_lanes,), NO_FACT, dtype=torch.int64, device=device),
        num_checked=integers(),
        is_proved=booleans(),
        visited_hash=integers(shape.num_visited),
        visited_atoms=integers(shape.num_visited, shape.working_atoms),
        num_visited=integers(),
        log_probability=doubles(),
        largest_logit=doubles(),
        passes_near_tie=booleans(),
        is_ambiguous=booleans(),
        is_broken=booleans(),
        actions=torch.zeros(num_lanes, shape.max_depth, dtype=shape.action_dtype, device=device),
    )


class CandidatePool(NamedTuple):
    """Candidates that wait and outcomes of those that are done. The extra slot after P receives values to discard.

    Attributes:
        atom: ``[P + 1]`` int64, the candidates, packed.
        excluded: ``[P + 1]`` int64, the fact that each must not use, or ``NO_FACT``.
        recorded: ``[P + 1, T]`` of the lanes' type of actions, actions to take, or ``NOT_RECORDED``.
        threshold: ``[P + 1]`` float64, the score that matters; see :class:`proofrank.core.prover.Candidate`.
        penalty: ``[P + 1]`` float64, what a score is known to lose: the penalty of candidates without a proof, or 0.
        is_held: ``[P + 1]`` bool, whether a candidate's lane does not move.
        queue: ``[P]`` int64, a ring of the waiting slots, in order.
        head: ``[1]`` int64, number of slots ever taken from the ring.
        tail: ``[1]`` int64, number of slots ever put into it.
        is_done: ``[P + 1]`` bool.
        success: ``[P + 1]`` bool.
        log_probability: ``[P + 1]`` float64.
        steps: ``[P + 1]`` int64.
        actions: ``[P + 1, T]``, likewise.
        passes_near_tie: ``[P + 1]`` bool.
        largest_logit: ``[P + 1]`` float64.
        is_ambiguous: ``[P + 1]`` bool.
        is_broken: ``[P + 1]`` bool.
        is_pruned: ``[P + 1]`` bool.
    """

    atom: Tensor
    excluded: Tensor
    recorded: Tensor
    threshold: Tensor
    penalty: Tensor
    is_held: Tensor
    queue: Tensor
    head: Tensor
    tail: Tensor
    is_done: Tensor
    success: Tensor
    log_probability: Tensor
    steps: Tensor
    actions: Tensor
    passes_near_tie: Tensor
    largest_logit: Tensor
    is_ambiguous: Tensor
    is_broken: Tensor
    is_pruned: Tensor

    @property
    def size(self) -> int:
        """P."""
        return self.queue.shape[0]


def empty_pool(
    size: int, max_depth: int, device: torch.device, action_dtype: torch.dtype = torch.int16
) -> CandidatePool:
    """Makes a pool of ``size`` slots without candidates."""

    def integers(*sizes: int, value: int = 0) -> Tensor:
        return torch.full(sizes, value, dtype=torch.int64, device=device)

    def booleans() -> Tensor:
        return torch.zeros(size + 1, dtype=torch.bool, device=device)

    def doubles() -> Tensor:
        return torch.zeros(size + 1, dtype=torch.float64, device=device)

    return CandidatePool(
        atom=integers(size + 1),
        excluded=integers(size + 1, value=NO_FACT),
        recorded=torch.full((size + 1, max_depth), NOT_RECORDED, dtype=action_dtype, device=device),
        threshold=torch.full((size + 1,), -torch.inf, dtype=torch.float64, device=device),
        penalty=doubles(),
        is_held=booleans(),
        queue=integers(size),
        head=integers(1),
        tail=integers(1),
        is_done=booleans(),
        success=booleans(),
        log_probability=doubles(),
        steps=integers(size + 1),
        actions=torch.zeros(size + 1, max_depth, dtype=action_dtype, device=device),
        passes_near_tie=booleans(),
        largest_logit=doubles(),
        is_ambiguous=booleans(),
        is_broken=booleans(),
        is_pruned=booleans(),
    )

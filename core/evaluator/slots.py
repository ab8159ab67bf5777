"""The host's side of the pool: who is in which slot, in which order they wait, who keeps still and who is done.

A slot belongs to a candidate from when it is put into the pool until its outcome is taken out or it is dropped. Where
ticks are recorded, what is done is read from a copy made one look before, so that the device always has work queued.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Sequence, Set
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.snapshots import PoolOutcomes, Snapshot, Snapshots
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Candidates
from proofrank.core.prover.lanes import NO_FACT, NOT_RECORDED, CandidatePool
from proofrank.core.prover.packing import pack
from proofrank.core.prover.settings import FAILURE_PENALTY

_NEVER = np.iinfo(np.int64).max
"""In the place of the first snapshot that tells of a slot, where it has no candidate."""


class Submitted(NamedTuple):
    """A candidate in the pool, the policy that proves it, and the actions that it must take, if any."""

    candidate: Candidate
    policy: Policy
    recorded_actions: Sequence[int] | None


class Done(NamedTuple):
    """Finished candidates: their slots, and their outcomes with a row for each."""

    slots: list[int]
    outcomes: PoolOutcomes


class PoolSlots:
    """The candidates of a pool, by slot."""

    def __init__(self, pool: CandidatePool, *, is_read_late: bool) -> None:
        """All slots of ``pool`` are free.

        Args:
            pool: where lanes take candidates from and put outcomes into.
            is_read_late: whether :meth:`done` tells what was done at the look before, so as not to wait.
        """
        self._pool = pool
        self._device = pool.atom.device
        self._max_depth = pool.recorded.shape[1]
        # A heap, so that slots are the first of the pool where candidates are few: those are what is looked at.
        self._free = list(range(pool.size))
        self._num_queued = 0
        self._submitted: dict[int, Policy] = {}
        self._candidates = Candidates(
            np.zeros((pool.size, 3), dtype=np.int64), np.zeros(pool.size, dtype=bool)
        )
        self._recorded: dict[int, tuple[int, ...]] = {}
        self._num_of_policy: Counter[int] = Counter()
        self._held: Set[int] = frozenset()
        self._snapshots = Snapshots(pool) if is_read_late else None
        self._first_snapshot = np.full(pool.size, _NEVER, dtype=np.int64)
        self._num_slots_used = 0

    @property
    def num_free(self) -> int:
        """How many slots have no candidate."""
        return len(self._free)

    @property
    def taken(self) -> Collection[int]:
        """The slots that have one."""
        return self._submitted.keys()

    @torch.inference_mode()
    def put(
        self,
        candidates: Candidates,
        policy: Policy,
        recorded_actions: Sequence[Sequence[int]] | None,
    ) -> list[int]:
        """Puts candidates behind those that wait.

        Args:
            candidates: at most ``num_free``.
            policy: proves them.
            recorded_actions: for each the actions to take instead of the policy's choice.

        Returns:
            The slot of each.

        Raises:
            EvaluationError: there are more than free slots, or recorded actions than steps.
        """
        if len(candidates) > len(self._free):
            raise EvaluationError(f"{len(candidates)} candidates for {len(self._free)} free slots")
        actions = None if recorded_actions is None else self._action_table(recorded_actions)
        if not candidates:
            return []
        atoms = pack(*torch.from_numpy(np.ascontiguousarray(candidates.triples.T)))
        is_positive = torch.from_numpy(np.ascontiguousarray(candidates.is_positive))
        pool = self._pool
        slots = [heapq.heappop(self._free) for _ in range(len(candidates))]
        self._num_slots_used = max(self._num_slots_used, slots[-1] + 1)
        index = self._on_device(torch.tensor(slots))
        pool.atom[index] = self._on_device(atoms)
        pool.excluded[index] = self._on_device(torch.where(is_positive, atoms, NO_FACT))
        pool.is_done.index_fill_(0, index, False)
        pool.is_held.index_fill_(0, index, False)
        if actions is None:
            pool.recorded.index_fill_(0, index, NOT_RECORDED)
        else:
            pool.recorded[index] = self._on_device(actions)
        pool.threshold[index] = self._on_device(torch.from_numpy(candidates.threshold.copy()))
        pool.penalty[index] = self._on_device(
            torch.from_numpy(np.where(candidates.is_provable, 0.0, FAILURE_PENALTY))
        )
        turn = (self._num_queued + torch.arange(len(slots))) % pool.size
        pool.queue[self._on_device(turn)] = index
        self._num_queued += len(slots)
        pool.tail.fill_(self._num_queued)
        if self._snapshots is not None:
            self._first_snapshot[slots] = self._snapshots.num_taken
        self._candidates.put(slots, candidates)
        self._submitted.update(dict.fromkeys(slots, policy))
        if recorded_actions is not None:
            self._recorded.update(zip(slots, map(tuple, recorded_actions), strict=True))
        self._num_of_policy[id(policy)] += len(slots)
        return slots

    def _action_table(self, recorded_actions: Sequence[Sequence[int]]) -> Tensor:
        """Recorded actions of n candidates as ``[n, T]`` of the pool's type."""
        dtype = self._pool.recorded.dtype
        # A step past the end of the record is an error, and so is an action that cannot exist.
        table = torch.full((len(recorded_actions), self._max_depth), NOT_RECORDED - 1, dtype=dtype)
        for row, actions in enumerate(recorded_actions):
            if len(actions) > self._max_depth:
                raise EvaluationError(
                    f"{len(actions)} recorded actions of a trajectory of at most {self._max_depth} steps"
                )
            taken = torch.tensor(list(actions), dtype=torch.int64)
            can_exist = (taken >= 0) & (taken <= torch.iinfo(dtype).max)
            table[row, : len(actions)] = torch.where(can_exist, taken, NOT_RECORDED - 1).to(dtype)
        return table

    def _on_device(self, values: Tensor) -> Tensor:
        """``values`` of the host on the device, without waiting for it."""
        if self._device.type != "cuda":
            return values.to(self._device)
        return values.pin_memory().to(self._device, non_blocking=True)

    def submitted(self, slot: int) -> Submitted:
        """The candidate of an occupied slot, and its state."""
        return Submitted(self._candidates[slot], self._submitted[slot], self._recorded.get(slot))

    def take_out(self, slots: Sequence[int]) -> None:
        """Frees slots, each of which has a candidate."""
        for policy, number in Counter(id(self._submitted.pop(slot)) for slot in slots).items():
            self._num_of_policy[policy] -= number
            if not self._num_of_policy[policy]:
                del self._num_of_policy[policy]
        for slot in slots:
            heapq.heappush(self._free, slot)
        if self._recorded:
            for slot in slots:
                self._recorded.pop(slot, None)
        self._first_snapshot[slots] = _NEVER
        if not self._submitted:
            self._num_slots_used = 0

    @torch.inference_mode()
    def hold_others(self, policy: Policy, only: Collection[int] | None = None) -> None:
        """Holds all candidates but those that ``policy`` proves, and of these all but ``only``."""
        if only is None and self._num_of_policy[id(policy)] == len(self._submitted):
            held: Set[int] = frozenset()
        else:
            moving = self._submitted if only is None else only
            running = {slot for slot in moving if self._submitted.get(slot) is policy}
            held = self._submitted.keys() - running
        if held == self._held:
            return
        self._held = held
        is_held = self._pool.is_held
        is_held.zero_()
        is_held.index_fill_(0, self._on_device(torch.tensor(sorted(held), dtype=torch.int64)), True)

    def done(self) -> Done:
        """Takes the finished candidates; those of the look before, where outcomes are read late.

        So a loop of ticks and looks waits for no more than the ticks before its last look. A second look without a tick
        in between returns everything that is done.
        """
        if self._snapshots is None:
            return self._done_now()
        self._snapshots.take(self._num_slots_used)
        return self._done_in(self._snapshots.before_last())

    @torch.inference_mode()
    def _done_now(self) -> Done:
        """Takes all candidates that are finished by now; waits for the device."""
        pool = self._pool
        slots = [
            slot for slot in torch.nonzero(pool.is_done[:-1]).squeeze(1).tolist() if slot in self._submitted
        ]
        if not slots:
            return self._nothing()
        index = self._on_device(torch.tensor(slots))
        outcomes = PoolOutcomes(*(column[index] for column in PoolOutcomes.of(pool)))
        pool.is_done.index_fill_(0, index, False)
        return Done(slots, outcomes)

    def _done_in(self, snapshot: Snapshot | None) -> Done:
        """Takes the candidates that were finished at ``snapshot``.

        Of a slot that was given to another candidate since, it would tell of the one before, and is not asked.
        """
        if snapshot is None:
            return self._nothing()
        outcomes = snapshot.outcomes
        is_done = outcomes.is_done.numpy() & (
            self._first_snapshot[: len(outcomes.is_done)] <= snapshot.number
        )
        slots = np.nonzero(is_done)[0]
        index = torch.from_numpy(slots)
        return Done(slots.tolist(), PoolOutcomes(*(column[index] for column in outcomes)))

    def _nothing(self) -> Done:
        return Done([], PoolOutcomes(*(column[:0] for column in PoolOutcomes.of(self._pool))))

    @torch.inference_mode()
    def drop(self, slots: Sequence[int]) -> Tensor | None:
        """Takes out what of ``slots`` has a candidate, waiting or not; those that wait will never begin.

        Returns:
            ``[n]`` int64 on the device, the slots that had one; None where none had.
        """
        mine = [slot for slot in slots if slot in self._submitted]
        if not mine:
            return None
        pool = self._pool
        gone = set(mine)
        ring = pool.queue[
            self._on_device(torch.arange(int(pool.head), self._num_queued) % pool.size)
        ].tolist()
        self._requeue([slot for slot in ring if slot not in gone])
        self.take_out(mine)
        return self._on_device(torch.tensor(mine))

    @torch.inference_mode()
    def begin_again(self) -> None:
        """Puts every candidate that is not done into the queue again, in the order in which they came.

        For when all lanes are gone, with what was in them.
        """
        is_done = self._pool.is_done.tolist()
        self._requeue([slot for slot in self._submitted if not is_done[slot]])

    def _requeue(self, slots: Sequence[int]) -> None:
        """Makes ``slots`` the whole queue, in that order."""
        pool, head = self._pool, int(self._pool.head)
        if slots:
            turns = torch.arange(head, head + len(slots)) % pool.size
            pool.queue[self._on_device(turns)] = self._on_device(torch.tensor(slots))
        self._num_queued = head + len(slots)
        pool.tail.fill_(self._num_queued)

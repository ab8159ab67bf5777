"""Copies of finished outcomes, made while the device goes on.

After each replay the pool's outcomes are copied to the host without waiting for them; the host then looks at the copy
of the replay before, which has ended by the time the next one is under way. So the device always has work queued, and
the host waits only for work that has been done already.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from proofrank.core.prover.lanes import CandidatePool

NUM_COPIES = 2


class PoolOutcomes(NamedTuple):
    """The columns of a pool that tell what is done; as in :class:`proofrank.core.prover.lanes.CandidatePool`."""

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

    @classmethod
    def of(cls, pool: CandidatePool) -> PoolOutcomes:
        """The columns of ``pool`` themselves."""
        return cls(*(getattr(pool, name) for name in cls._fields))


class Snapshot(NamedTuple):
    """A pool's outcomes at one moment.

    Attributes:
        number: how many snapshots were taken before; of a slot that was taken anew since, it tells nothing.
        outcomes: of the first slots of the pool, on the host; valid until the next snapshot but one is taken.
    """

    number: int
    outcomes: PoolOutcomes


class Snapshots:
    """Copies a pool's outcomes, in turn into one of two copies that stay where they are."""

    def __init__(self, pool: CandidatePool) -> None:
        """Copies for the outcomes of ``pool``, in pinned memory where that is on CUDA."""
        self._columns = PoolOutcomes.of(pool)
        self._device = pool.atom.device
        self._is_on_cuda = self._device.type == "cuda"
        self._copies = [
            PoolOutcomes(
                *(
                    torch.empty(column.shape, dtype=column.dtype, pin_memory=self._is_on_cuda)
                    for column in self._columns
                )
            )
            for _ in range(NUM_COPIES)
        ]
        self._events = [torch.cuda.Event() for _ in range(NUM_COPIES)] if self._is_on_cuda else []
        self._num_slots = [0] * NUM_COPIES
        self.num_taken = 0

    @torch.inference_mode()
    def take(self, num_slots: int) -> None:
        """Queues a copy of the first ``num_slots`` slots behind what the device has to do; does not wait for it."""
        copy = self.num_taken % NUM_COPIES
        for copied, column in zip(self._copies[copy], self._columns, strict=True):
            copied[:num_slots].copy_(column[:num_slots], non_blocking=True)
        if self._is_on_cuda:
            # Of the device that copies, which need not be the current one.
            self._events[copy].record(torch.cuda.current_stream(self._device))
        self._num_slots[copy] = num_slots
        self.num_taken += 1

    def before_last(self) -> Snapshot | None:
        """The last but one that was taken, when it has been copied; None where there is none."""
        number = self.num_taken - 2
        if number < 0:
            return None
        copy = number % NUM_COPIES
        if self._is_on_cuda:
            self._events[copy].synchronize()
        num_slots = self._num_slots[copy]
        return Snapshot(number, PoolOutcomes(*(column[:num_slots] for column in self._copies[copy])))

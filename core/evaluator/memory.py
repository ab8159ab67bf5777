"""How much memory a tick takes at once, found without taking it.

The tick is run on tensors that have shapes and no memory, and the bytes of those that are alive are added up: what an
allocator would have to give at the worst moment, but for its rounding. It is that of the tick as it is; compiled, a
tick keeps fewer results between its operations.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from proofrank.core.evaluator.tick import Tick
from proofrank.core.evaluator.tick_program import TickProgram, tensors_of


class TickMemory(NamedTuple):
    """Bytes of one bucket.

    Attributes:
        static: of the tensors that stay: lanes, pool, tables and parameters, the last three shared by all buckets.
        lanes: of those, the lanes' own.
        temporary: at the worst moment of a tick, beyond those that stay.
    """

    static: int
    lanes: int
    temporary: int


def memory_of(tick: Tick) -> TickMemory:
    """Memory of ``tick``, which must be of fixed shape."""
    tensors = tensors_of(tick)
    shapes = [torch.empty_like(tensor, device="meta") for tensor in tensors]
    with torch.no_grad(), _LiveBytes(shapes) as live:
        TickProgram(tick)(shapes)
    return TickMemory(_num_bytes(tensors), _num_bytes(tick.buffers.lanes), live.most)


def _num_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _LiveBytes(TorchDispatchMode):
    """Adds up the bytes of the storages that operations make, while they are alive."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        """Storages of ``known`` do not count."""
        super().__init__()
        self.most = 0
        self._now = 0
        self._storages = weakref.WeakSet(tensor.untyped_storage() for tensor in known)
        self._known = list(known)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._storages:
            return
        self._storages.add(storage)
        num_bytes = storage.nbytes()
        self._now += num_bytes
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._free, num_bytes)

    def _free(self, num_bytes: int) -> None:
        self._now -= num_bytes

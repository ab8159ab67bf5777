"""A set of packed facts that tests membership of whole tensors at once, with two look-ups for each key.

Each fact is in one of two buckets of four places, given by its hashes (cuckoo hashing; Pagh and Rodler 2004, with
buckets after Dietzfelbinger and Weidling 2007). A look-up reads two short rows, whatever the number of facts. At most
half of the places are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from proofrank.core.errors import EvaluationError

BUCKET_SIZE = 4

_MULTIPLIERS = (-7046029254386353131, -4417276706812531889)  # odd 64-bit constants with mixed bits
_MAX_ROUNDS = 500

_Integers = TypeVar("_Integers", np.ndarray, Tensor)


@dataclass(frozen=True)
class FactSet:
    """Membership of packed atoms.

    Attributes:
        table: ``[buckets, BUCKET_SIZE]`` int64, each fact in one of its two buckets; 0 where there is none.
    """

    table: Tensor

    @classmethod
    def of(cls, facts: np.ndarray, device: torch.device) -> FactSet:
        """Returns the set of ``facts``.

        Args:
            facts: ``[F]`` int64, distinct packed atoms, none 0.
            device: device of the look-ups.

        Raises:
            EvaluationError: no table could be built (only for keys chosen to defeat the hashes).
        """
        num_buckets = 1
        while num_buckets * BUCKET_SIZE < 2 * max(1, facts.size):
            num_buckets *= 2
        table = _place(facts, num_buckets)
        while table is None and num_buckets * BUCKET_SIZE < 64 * max(1, facts.size):
            num_buckets *= 2
            table = _place(facts, num_buckets)
        if table is None:
            raise EvaluationError(f"no hash table could be built for {facts.size} facts")
        return cls(torch.from_numpy(table).to(device))

    def contains(self, atoms: Tensor) -> Tensor:
        """Returns whether each of ``atoms`` ``[...]`` int64 is in the set, ``[...]`` bool. Padding never is."""
        keys = atoms.unsqueeze(-1)
        num_buckets = self.table.shape[0]
        found = torch.zeros_like(atoms, dtype=torch.bool)
        for multiplier in _MULTIPLIERS:
            found = found | (self.table[_bucket(atoms * multiplier, num_buckets)] == keys).any(dim=-1)
        return found & (atoms != 0)


def _bucket(product: _Integers, num_buckets: int) -> _Integers:
    """Returns the bucket given by the highest bits of ``product``, which depend on all bits of the key."""
    num_bits = num_buckets.bit_length() - 1
    return (product >> (64 - num_bits)) & (num_buckets - 1) if num_bits else product & 0


def _place(facts: np.ndarray, num_buckets: int) -> np.ndarray | None:
    """Returns a table ``[num_buckets, BUCKET_SIZE]`` with each fact in one of its two buckets; None if that fails.

    All facts without a place move at once. Each bucket keeps as many as it holds, and the rest go to their other bucket
    in the next round, where a newcomer precedes those that are already there.
    """
    with np.errstate(over="ignore"):
        homes = np.stack([_bucket(facts * np.int64(multiplier), num_buckets) for multiplier in _MULTIPLIERS])
    side = np.zeros(facts.size, dtype=np.int64)
    since = np.zeros(facts.size, dtype=np.int64)  # the round in which each fact entered its bucket
    for number in range(1, _MAX_ROUNDS):
        bucket = homes[side, np.arange(facts.size)]
        order = np.lexsort((-since, bucket))
        ordered = bucket[order]
        first = np.searchsorted(ordered, ordered, side="left")
        place = np.arange(facts.size) - first
        is_over = place >= BUCKET_SIZE
        if not is_over.any():
            table = np.zeros((num_buckets, BUCKET_SIZE), dtype=np.int64)
            table[ordered, place] = facts[order]
            return table
        moved = order[is_over]
        side[moved] ^= 1
        since[moved] = number
    return None

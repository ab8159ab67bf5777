"""A set of ground atoms with one bit for every atom that there could be, so that a look-up reads one byte."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from proofrank.core.errors import EvaluationError
from proofrank.core.prover.packing import first_of, predicate_of, second_of

MOST_BYTES = 256 << 20
"""Maximum size of a set in bytes; a larger one is not made."""


@dataclass(frozen=True)
class AtomBits:
    """Ground atoms that may have a proof; all of them until :meth:`load` says otherwise.

    Attributes:
        table: ``[P + 1, C + 1, ceil((C + 1) / 8)]`` uint8 for P predicates and C constants, both counted from 1. The
            bit of an atom is bit ``second % 8``, the lowest first, of the byte at (predicate, first, second // 8).
    """

    table: Tensor

    @classmethod
    def full(cls, num_predicates: int, num_constants: int, device: torch.device) -> AtomBits:
        """Returns the set of all atoms."""
        shape = shape_of(num_predicates, num_constants)
        return cls(torch.full(shape, 255, dtype=torch.uint8, device=device))

    def load(self, table: np.ndarray) -> None:
        """Replaces the set in place; the address stays.

        Args:
            table: uint8, shaped as the attribute.

        Raises:
            EvaluationError: it has another shape.
        """
        if table.shape != tuple(self.table.shape):
            raise EvaluationError(
                f"a set of atoms has the shape {list(table.shape)}; expected {list(self.table.shape)}, as the graph"
            )
        self.table.copy_(torch.from_numpy(table))

    def contains(self, atoms: Tensor) -> Tensor:
        """Returns whether each packed atom is in the set, ``[...]`` bool.

        Args:
            atoms: ``[...]`` int64, ground atoms of the graph, or padding, of which the answer means nothing.
        """
        second = second_of(atoms)
        byte = self.table[predicate_of(atoms), first_of(atoms), second >> 3]
        return (byte >> (second & 7).to(torch.uint8)) & 1 != 0


def shape_of(num_predicates: int, num_constants: int) -> tuple[int, int, int]:
    """Returns the shape of a set's table."""
    return num_predicates + 1, num_constants + 1, num_constants // 8 + 1


def num_bytes_of(num_predicates: int, num_constants: int) -> int:
    """Returns the size of a set's table in bytes."""
    planes, rows, row_bytes = shape_of(num_predicates, num_constants)
    return planes * rows * row_bytes

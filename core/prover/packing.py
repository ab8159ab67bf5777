"""Packs an atom into one 64-bit integer, so that a state is a short row of integers.

``predicate << 50 | first << 25 | second``: atoms compare, sort and hash as single numbers, in the order of
(predicate, first, second). 0 is padding. The widths are limits on the graph, checked when it is loaded.
"""

from __future__ import annotations

from torch import Tensor

from proofrank.core.errors import EvaluationError
from proofrank.core.graph import Dataset

ARGUMENT_BITS = 25
PREDICATE_BITS = 11
FIRST_SHIFT = ARGUMENT_BITS
PREDICATE_SHIFT = 2 * ARGUMENT_BITS
ARGUMENT_MASK = (1 << ARGUMENT_BITS) - 1


def check_packable(dataset: Dataset, max_variables: int) -> None:
    """Raises EvaluationError if the graph has more names than packed atoms can distinguish."""
    vocabulary = dataset.vocabulary
    num_arguments = 1 + vocabulary.num_constants + max_variables
    if num_arguments > 1 << ARGUMENT_BITS:
        raise EvaluationError(
            f"dataset {dataset.name!r} has {vocabulary.num_constants} constants and the policy {max_variables} "
            f"variables; the vectorised engines hold at most {(1 << ARGUMENT_BITS) - 1} together"
        )
    if vocabulary.endf_index >= 1 << PREDICATE_BITS:
        raise EvaluationError(
            f"dataset {dataset.name!r} has {vocabulary.num_predicates} predicates; the vectorised engines hold at "
            f"most {(1 << PREDICATE_BITS) - 4}"
        )


def pack(predicate: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Packs atoms into single integers; all ``[...]`` int64."""
    return (predicate << PREDICATE_SHIFT) | (first << FIRST_SHIFT) | second


def predicate_of(atoms: Tensor) -> Tensor:
    """Returns the predicates of packed atoms, ``[...]`` int64."""
    return atoms >> PREDICATE_SHIFT


def first_of(atoms: Tensor) -> Tensor:
    """Returns the first arguments of packed atoms, ``[...]`` int64."""
    return (atoms >> FIRST_SHIFT) & ARGUMENT_MASK


def second_of(atoms: Tensor) -> Tensor:
    """Returns the second arguments of packed atoms, ``[...]`` int64."""
    return atoms & ARGUMENT_MASK


def pack_atom(predicate: int, first: int, second: int) -> int:
    """Packs one atom into an integer."""
    return predicate << PREDICATE_SHIFT | first << FIRST_SHIFT | second


def unpack_atom(atom: int) -> tuple[int, int, int]:
    """Returns (predicate, first, second) of a packed atom."""
    return atom >> PREDICATE_SHIFT, atom >> FIRST_SHIFT & ARGUMENT_MASK, atom & ARGUMENT_MASK

"""What a rule's body implies, by products of sparse boolean matrices.

A relation is a matrix ``[C, C]`` over the constants, which count from 0 here: row ``h``, column ``t`` is true where
``relation(h, t)`` holds. A body is a conjunction of such relations. Its existential variables, those that are not
in the head, are eliminated one by one, the variable with the fewest neighbours first:

- A variable with one neighbour leaves a set of constants for that neighbour.
- A variable with two neighbours leaves a relation between them, the product of its two relations.
- A variable with more neighbours is replaced by each of its constants in turn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from proofrank.core.graph import Rule

Relation = sparse.csr_array
"""A boolean matrix ``[C, C]``, canonical: column indices ascend in each row, and no entry is stored twice."""


class LimitReachedError(Exception):
    """A join needs more time or memory than it may have."""


@dataclass(frozen=True)
class Limits:
    """Bounds of a computation.

    Attributes:
        ends: when it has to stop, in seconds of ``time.monotonic``.
        max_atoms: how many atoms one relation may hold.
    """

    ends: float
    max_atoms: int

    def check(self, num_atoms: int = 0, num_operations: int = 0) -> None:
        """Raises LimitReachedError if the time is over or ``num_atoms`` or ``num_operations`` are too many."""
        left = self.ends - time.monotonic()
        if left <= 0 or num_operations > left * _OPERATIONS_PER_SECOND or num_atoms > self.max_atoms:
            raise LimitReachedError


_OPERATIONS_PER_SECOND = 200_000_000
"""Upper estimate of the multiplications that a sparse product does in a second: a product of more would miss
the end.
"""


def size_of(relation: Relation) -> int:
    """C."""
    return len(relation.indptr) - 1


def empty_relation(num_constants: int) -> Relation:
    """The relation of no pair."""
    return sparse.csr_array((num_constants, num_constants), dtype=bool)


def relation_of(heads: np.ndarray, tails: np.ndarray, num_constants: int) -> Relation:
    """The relation of the pairs ``(heads[i], tails[i])``; a pair may occur more than once."""
    values = np.ones(len(heads), dtype=bool)
    shape = (num_constants, num_constants)
    return _canonical(sparse.csr_array((values, (heads, tails)), shape=shape, dtype=bool))


def union(one: Relation, other: Relation) -> Relation:
    """The pairs of either."""
    return _canonical(one + other)


def difference(one: Relation, other: Relation) -> Relation:
    """The pairs of ``one`` that are not in ``other``."""
    return _canonical(one > other)


def _canonical(matrix: Relation) -> Relation:
    matrix = sparse.csr_array(matrix)
    matrix.sum_duplicates()
    return matrix


def derive(rule: Rule, relations: Sequence[Relation], limits: Limits) -> Relation:
    """The pairs for which ``rule`` derives its head.

    Args:
        rule: its variables are below 0; its constants count from 1.
        relations: of each atom of the body, in order.
        limits: what it may take.

    Raises:
        LimitReachedError: it would take more than ``limits``.
    """
    body = [(first, second) for _, first, second in rule.body]
    conjunction = _Conjunction.of(body, relations, limits)
    if conjunction is None:
        return empty_relation(size_of(relations[0]))
    return conjunction.project(rule.head[1], rule.head[2])


class _Conjunction:
    """A conjunction of sets of constants, one for a variable, and of relations, one for a pair of variables."""

    def __init__(self, num_constants: int, limits: Limits) -> None:
        self._num_constants = num_constants
        self._limits = limits
        self._sets: dict[int, np.ndarray] = {}  # variable -> [C] bool
        self._relations: dict[tuple[int, int], Relation] = {}  # (lower, higher variable) -> relation

    @classmethod
    def of(
        cls, body: Sequence[tuple[int, int]], relations: Sequence[Relation], limits: Limits
    ) -> _Conjunction | None:
        """The conjunction of ``body``; None where an atom without variables does not hold."""
        conjunction = cls(size_of(relations[0]), limits)
        for (first, second), relation in zip(body, relations, strict=True):
            if first > 0 and second > 0:
                if not relation[first - 1, second - 1]:
                    return None
            elif first > 0:
                conjunction._restrict(second, _row(relation, first - 1))
            elif second > 0:
                conjunction._restrict(first, _row(relation.T.tocsr(), second - 1))
            elif first == second:
                conjunction._restrict(first, relation.diagonal().astype(bool))
            else:
                conjunction._relate(first, second, relation)
        return conjunction

    def _copy(self) -> _Conjunction:
        copy = _Conjunction(self._num_constants, self._limits)
        copy._sets = dict(self._sets)
        copy._relations = dict(self._relations)
        return copy

    def _restrict(self, variable: int, constants: np.ndarray) -> None:
        before = self._sets.get(variable)
        self._sets[variable] = constants if before is None else before & constants

    def _relate(self, first: int, second: int, relation: Relation) -> None:
        key = (first, second) if first < second else (second, first)
        if key != (first, second):
            relation = _canonical(relation.T.tocsr())
        before = self._relations.get(key)
        self._relations[key] = relation if before is None else _canonical(before.multiply(relation))

    def _between(self, first: int, second: int) -> Relation:
        """The relation from ``first`` to ``second``, restricted to their sets."""
        relation = (
            self._relations[first, second] if first < second else self._relations[second, first].T.tocsr()
        )
        for variable, by_row in ((first, True), (second, False)):
            constants = self._sets.get(variable)
            if constants is not None:
                kept = sparse.diags_array(constants, dtype=bool)
                relation = sparse.csr_array(kept @ relation if by_row else relation @ kept)
                relation.eliminate_zeros()
        return _canonical(relation)

    def _neighbours(self, variable: int) -> list[int]:
        return [
            one if other == variable else other for one, other in self._relations if variable in (one, other)
        ]

    def project(self, first: int, second: int) -> Relation:
        """The pairs of constants of the head's arguments for which the conjunction holds.

        Args:
            first, second: variables, which are below 0, or constants, which count from 1.
        """
        heads = {argument for argument in (first, second) if argument < 0}
        while True:
            self._limits.check()
            hidden = (set(self._sets) | {name for pair in self._relations for name in pair}) - heads
            if not hidden:
                break
            variable = min(hidden, key=lambda name: (len(self._neighbours(name)), name))
            neighbours = self._neighbours(variable)
            if len(neighbours) > 2:
                return self._by_cases(variable, first, second)
            if not self._eliminate(variable, neighbours):
                return empty_relation(self._num_constants)
        return self._head_relation(first, second)

    def _eliminate(self, variable: int, neighbours: Sequence[int]) -> bool:
        """Takes ``variable`` out; False where nothing satisfies it."""
        if not neighbours:
            return bool(self._sets.pop(variable).any())
        relations = [self._between(neighbour, variable) for neighbour in neighbours]
        self._sets.pop(variable, None)
        for pair in [pair for pair in self._relations if variable in pair]:
            del self._relations[pair]
        if len(neighbours) == 1:
            self._restrict(neighbours[0], np.diff(relations[0].indptr) > 0)
        else:
            self._relate(neighbours[0], neighbours[1], self._product(relations[0], relations[1].T.tocsr()))
        return True

    def _product(self, left: Relation, right: Relation) -> Relation:
        self._limits.check(num_operations=int(np.diff(right.indptr)[left.indices].sum(dtype=np.int64)))
        product = _canonical(left @ right)
        self._limits.check(product.nnz)
        return product

    def _by_cases(self, variable: int, first: int, second: int) -> Relation:
        """The union of the cases in which ``variable`` is each of its constants."""
        relations = {
            neighbour: self._between(variable, neighbour) for neighbour in self._neighbours(variable)
        }
        constants = np.logical_and.reduce([np.diff(relation.indptr) > 0 for relation in relations.values()])
        found = empty_relation(self._num_constants)
        for constant in np.flatnonzero(constants).tolist():
            case = self._copy()
            case._sets.pop(variable, None)
            for neighbour, relation in relations.items():
                case._restrict(neighbour, _row(relation, constant))
            for pair in [pair for pair in case._relations if variable in pair]:
                del case._relations[pair]
            found = union(found, case.project(first, second))
        return found

    def _head_relation(self, first: int, second: int) -> Relation:
        """The pairs of the head once only its variables are left."""
        if first < 0 and second < 0 and first != second and self._relations:
            return self._between(first, second)
        size = self._num_constants
        if first == second and first < 0:
            constants = np.flatnonzero(self._set_of(first))
            return relation_of(constants, constants, size)
        heads, tails = np.flatnonzero(self._set_of(first)), np.flatnonzero(self._set_of(second))
        self._limits.check(len(heads) * len(tails))
        return relation_of(np.repeat(heads, len(tails)), np.tile(tails, len(heads)), size)

    def _set_of(self, argument: int) -> np.ndarray:
        """The constants that an argument of the head may be, ``[C]`` bool: all where nothing restricts it."""
        if argument > 0:
            constants = np.zeros(self._num_constants, dtype=bool)
            constants[argument - 1] = True
            return constants
        return self._sets.get(argument, np.ones(self._num_constants, dtype=bool))


def _row(relation: Relation, index: int) -> np.ndarray:
    """A row, ``[C]`` bool."""
    row = np.zeros(size_of(relation), dtype=bool)
    row[relation.indices[relation.indptr[index] : relation.indptr[index + 1]]] = True
    return row

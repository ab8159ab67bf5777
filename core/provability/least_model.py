"""The least model of a dataset: every ground atom that its facts and rules can prove.

A successful trajectory is a proof by resolution from facts and rules. So a candidate that is proved lies in the
least model, and a candidate outside of it fails under any policy. The prover's limits, its excluded fact and its
visited states only take proofs away.

The model is computed from the facts upwards, each round from what the round before it added (semi-naive evaluation,
Bancilhon and Ramakrishnan 1986), one group of predicates that depend on each other after the other. Where a group
would take more time or memory than it may, the model of a smaller graph answers for its predicates
(:mod:`proofrank.core.provability.quotient`): a superset, which is as sound.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from proofrank.core.choices import Side
from proofrank.core.graph import Dataset, Rule, Triple
from proofrank.core.provability.groups import groups_of_predicates
from proofrank.core.provability.joins import (
    LimitReachedError,
    Limits,
    Relation,
    derive,
    difference,
    empty_relation,
    relation_of,
    size_of,
    union,
)
from proofrank.core.provability.quotient import MAX_BLOCKS, Quotient, quotient_of

DEFAULT_SECONDS = 20.0
"""Maximum time of a computation by default."""

DEFAULT_MAX_ATOMS = 50_000_000
"""Maximum atoms of one relation by default; each takes five bytes, and a computation holds a few such relations."""

_MOST_UNPACKED = 1 << 24
"""Maximum number of atoms that are unpacked at once, each into a byte, to make their bits."""


@dataclass(frozen=True)
class LeastModel:
    """The triples that can be proved, or a superset of them.

    Attributes:
        relations: predicate -> its pairs of constants, exact.
        coarse: of the predicates without a relation, the blocks of constants and the pairs of blocks; None where every
            predicate has a relation.
        seconds: time of the computation.
    """

    relations: Mapping[int, Relation]
    coarse: CoarseModel | None = None
    seconds: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Whether it holds provable atoms alone."""
        return self.coarse is None

    @property
    def num_atoms(self) -> int:
        """Number of atoms of the exact relations."""
        return sum(relation.nnz for relation in self.relations.values())

    def is_exact_for(self, predicate: int) -> bool:
        """Whether the atoms of ``predicate`` that it holds are provable for certain."""
        return predicate in self.relations

    def contains(self, triples: np.ndarray | Sequence[Triple]) -> np.ndarray:
        """Whether each triple is in the model.

        Args:
            triples: ``[N, 3]`` int64: predicate, head, tail.

        Returns:
            ``[N]`` bool. False means that no proof exists.
        """
        rows = np.asarray(triples, dtype=np.int64).reshape(-1, 3)
        found = np.zeros(len(rows), dtype=bool)
        for predicate in np.unique(rows[:, 0]).tolist():
            places = np.flatnonzero(rows[:, 0] == predicate)
            heads, tails = rows[places, 1] - 1, rows[places, 2] - 1
            if predicate in self.relations:
                found[places] = _contains(self.relations[predicate], heads, tails)
            elif self.coarse is not None:
                found[places] = self.coarse.contains(predicate, heads, tails)
        return found

    def completions(self, predicate: int, side: Side, other: int) -> np.ndarray:
        """The constants that make an atom of the model together with ``other``.

        Args:
            predicate: of the atoms.
            side: where the constants stand; ``other`` stands on the other side.
            other: a constant.

        Returns:
            ``[n]`` int64, ascending.
        """
        if predicate in self.relations:
            return _neighbours(self._by(predicate, side), other - 1) + 1
        return (
            np.zeros(0, dtype=np.int64)
            if self.coarse is None
            else self.coarse.completions(predicate, side, other)
        )

    def bits(self, num_predicates: int, num_constants: int) -> np.ndarray:
        """The model with one bit for every ground atom, made at the first call and kept.

        Args:
            num_predicates: P of the graph.
            num_constants: C of the graph.

        Returns:
            ``[P + 1, C + 1, ceil((C + 1) / 8)]`` uint8, not to be changed: all callers have the same. The bit of an
            atom is bit ``tail % 8``, the lowest first, of the byte at (predicate, head, tail // 8).
        """
        size = num_predicates, num_constants
        if size not in self._bits_by_size:
            self._bits_by_size[size] = self._new_bits(num_predicates, num_constants)
        return self._bits_by_size[size]

    def _new_bits(self, num_predicates: int, num_constants: int) -> np.ndarray:
        table = np.zeros((num_predicates + 1, num_constants + 1, num_constants // 8 + 1), dtype=np.uint8)
        heads_at_once = max(1, _MOST_UNPACKED // (num_constants + 1))
        for predicate in range(1, num_predicates + 1):
            for begin in range(0, num_constants, heads_at_once):
                heads = np.arange(begin, min(begin + heads_at_once, num_constants))
                is_atom = np.zeros((len(heads), num_constants + 1), dtype=bool)
                if predicate in self.relations:
                    is_atom[:, 1:] = self.relations[predicate][heads].toarray()
                elif self.coarse is not None:
                    is_atom[:, 1:] = self.coarse.rows(predicate, heads)
                table[predicate, heads + 1] = np.packbits(is_atom, axis=1, bitorder="little")
        return table

    def _by(self, predicate: int, side: Side) -> Relation | sparse.csc_array:
        """The relation of ``predicate``, stored so that what stands on ``side`` is found at once."""
        if side == "tail":
            return self.relations[predicate]
        if predicate not in self._by_tail:
            self._by_tail[predicate] = self.relations[predicate].tocsc()
        return self._by_tail[predicate]

    @cached_property
    def _bits_by_size(self) -> dict[tuple[int, int], np.ndarray]:
        return {}

    @cached_property
    def _by_tail(self) -> dict[int, sparse.csc_array]:
        return {}


@dataclass(frozen=True)
class CoarseModel:
    """The least model of a quotient of the graph.

    Attributes:
        block_of: the block of each constant, ``[C]`` int64, both from 0.
        relations: predicate -> its pairs of blocks.
    """

    block_of: np.ndarray
    relations: Mapping[int, Relation]

    def contains(self, predicate: int, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
        """Whether the blocks of ``heads`` and ``tails``, ``[N]`` from 0, are a pair of ``predicate``."""
        relation = self.relations.get(predicate)
        if relation is None:
            return np.zeros(len(heads), dtype=bool)
        return _contains(relation, self.block_of[heads], self.block_of[tails])

    def rows(self, predicate: int, heads: np.ndarray) -> np.ndarray:
        """For each of ``heads`` ``[n]``, from 0, which constants make a pair of blocks with it, ``[n, C]`` bool."""
        relation = self.relations.get(predicate)
        if relation is None:
            return np.zeros((len(heads), len(self.block_of)), dtype=bool)
        return relation[self.block_of[heads]].toarray()[:, self.block_of]

    def completions(self, predicate: int, side: Side, other: int) -> np.ndarray:
        """See :meth:`LeastModel.completions`."""
        relation = self.relations.get(predicate)
        if relation is None:
            return np.zeros(0, dtype=np.int64)
        stored = relation if side == "tail" else relation.tocsc()
        is_related = np.zeros(size_of(relation), dtype=bool)
        is_related[_neighbours(stored, int(self.block_of[other - 1]))] = True
        return np.flatnonzero(is_related[self.block_of]) + 1


def _neighbours(stored: Relation | sparse.csc_array, index: int) -> np.ndarray:
    """The constants, from 0, that stand in the row or column ``index``, whichever is stored together; ``[n]``
    int64, ascending.
    """
    return np.sort(stored.indices[stored.indptr[index] : stored.indptr[index + 1]]).astype(np.int64)


def _contains(relation: Relation, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Whether each pair is stored, by a binary search in each row at once; ``[N]`` each."""
    indices = relation.indices
    if not len(indices):
        return np.zeros(len(rows), dtype=bool)
    low = relation.indptr[rows].astype(np.int64)
    row_ends = relation.indptr[rows + 1].astype(np.int64)
    high = row_ends.copy()
    while (low < high).any():
        middle = (low + high) // 2
        is_before = indices[np.minimum(middle, len(indices) - 1)] < columns
        is_open = low < high
        low = np.where(is_open & is_before, middle + 1, low)
        high = np.where(is_open & ~is_before, middle, high)
    return (low < row_ends) & (indices[np.minimum(low, len(indices) - 1)] == columns)


def compute_least_model(
    dataset: Dataset,
    *,
    seconds: float = DEFAULT_SECONDS,
    max_atoms: int = DEFAULT_MAX_ATOMS,
    max_blocks: int = MAX_BLOCKS,
) -> LeastModel:
    """The least model of ``dataset``.

    Args:
        dataset: its ``fact_triples`` are the facts.
        seconds: maximum time of the exact part; a group of predicates that would take longer gets a superset.
        max_atoms: maximum atoms of one relation.
        max_blocks: of the quotient that gives the superset.
    """
    began = time.monotonic()
    limits = Limits(began + seconds, max_atoms)
    relations, unknown = _fixpoint(
        dataset.fact_triples, dataset.rules, dataset.vocabulary.num_constants, limits
    )
    coarse = _coarse_model(quotient_of(dataset, max_blocks)) if unknown else None
    return LeastModel(relations, coarse, time.monotonic() - began)


def _coarse_model(quotient: Quotient) -> CoarseModel:
    size = quotient.num_blocks
    relations, unknown = _fixpoint(quotient.facts, quotient.rules, size, Limits(float("inf"), size**2))
    if unknown:  # for lack of memory: nothing is known of these, so nothing of them may be ruled out
        relations |= dict.fromkeys(unknown, sparse.csr_array(np.ones((size, size), dtype=bool)))
    return CoarseModel(quotient.block_of, relations)


def _fixpoint(
    facts: Iterable[Triple], rules: Sequence[Rule], num_constants: int, limits: Limits
) -> tuple[dict[int, Relation], set[int]]:
    """The relations that ``facts`` and ``rules`` imply, and the predicates whose relations are not known.

    A predicate that would need more than ``limits``, or than there is memory, has none, nor has any predicate that
    depends on it.
    """
    model = _Rounds(facts_by_predicate(facts, num_constants), num_constants, limits)
    for group in groups_of_predicates(rules):
        own_rules = [rule for rule in rules if rule.head[0] in group]
        needed = {atom[0] for rule in own_rules for atom in rule.body} - set(group)
        if needed & model.unknown:
            model.give_up(group)
        else:
            try:
                model.close(group, own_rules)
            except (LimitReachedError, MemoryError):
                model.give_up(group)
    return model.relations, model.unknown


def facts_by_predicate(facts: Iterable[Triple], num_constants: int) -> dict[int, Relation]:
    """Predicate -> the relation of its facts."""
    rows = np.array(list(facts), dtype=np.int64).reshape(-1, 3)
    relations = {}
    for predicate in np.unique(rows[:, 0]).tolist():
        own = rows[rows[:, 0] == predicate]
        relations[predicate] = relation_of(own[:, 1] - 1, own[:, 2] - 1, num_constants)
    return relations


@dataclass
class _Rounds:
    """Relations that grow round by round.

    Attributes:
        relations: predicate -> what is known to follow.
        num_constants: C.
        limits: of all rounds.
        unknown: the predicates that were given up.
    """

    relations: dict[int, Relation]
    num_constants: int
    limits: Limits
    unknown: set[int] = field(default_factory=set)

    def give_up(self, group: Iterable[int]) -> None:
        """Forgets what is known of the predicates of ``group``: it is not all."""
        for predicate in group:
            self.relations.pop(predicate, None)
            self.unknown.add(predicate)

    def close(self, group: Sequence[int], rules: Sequence[Rule]) -> None:
        """Adds all that ``rules``, whose heads are in ``group``, derive from the relations so far.

        Raises:
            LimitReachedError: it would take more than the limits.
        """
        recent = self._add({rule.head[0] for rule in rules}, ((rule, None, None) for rule in rules))
        while recent:
            steps = (
                (rule, place, recent[atom[0]])
                for rule in rules
                for place, atom in enumerate(rule.body)
                if atom[0] in recent
            )
            recent = self._add(set(group), steps)

    def _add(
        self, heads: set[int], steps: Iterable[tuple[Rule, int | None, Relation | None]]
    ) -> dict[int, Relation]:
        """New pairs of each predicate, found by trying each rule with recent pairs for its atom at ``place``."""
        derived = {predicate: empty_relation(self.num_constants) for predicate in heads}
        for rule, place, recent in steps:
            relations = [self._relation(atom[0]) for atom in rule.body]
            if place is not None and recent is not None:
                relations[place] = recent
            found = derive(rule, relations, self.limits)
            derived[rule.head[0]] = union(derived[rule.head[0]], found)
            self.limits.check(derived[rule.head[0]].nnz)
        new = {
            predicate: difference(relation, self._relation(predicate))
            for predicate, relation in derived.items()
        }
        for predicate, relation in new.items():
            self.relations[predicate] = union(self._relation(predicate), relation)
            self.limits.check(self.relations[predicate].nnz)
        return {predicate: relation for predicate, relation in new.items() if relation.nnz}

    def _relation(self, predicate: int) -> Relation:
        known = self.relations.get(predicate)
        return empty_relation(self.num_constants) if known is None else known

"""Corruptions of a query: copies of it with another head or tail, to rank it against.

A corruption replaces the head or the tail by another constant. With domains, the constant is from the domains of the
replaced one. It is never the query's own constant, and in the filtered setting (Bordes et al. 2013), the default, the
result is never a known triple. A draw depends only on the seed and the query, so a query has the same corruptions
whatever is asked beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from proofrank.core.choices import SIDE_OPTIONS, SIDES, Side
from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset, Triple


def sides_of(option: str) -> tuple[Side, ...]:
    """Returns the sides that ``head``, ``tail`` or ``both`` names. Raises RankingError for another word."""
    if option == "both":
        return SIDES
    for side in SIDES:
        if side == option:
            return (side,)
    raise RankingError(f"side is {option!r}; expected one of {', '.join(SIDE_OPTIONS)}")


def sample_triples(triples: Sequence[Triple], number: int, seed: int) -> list[Triple]:
    """Returns a seeded sample of ``number`` of ``triples`` in their order; all of them if there are no more."""
    if number >= len(triples):
        return list(triples)
    drawn = np.random.default_rng(seed).choice(len(triples), number, replace=False)
    return [triples[index] for index in sorted(drawn.tolist())]


def with_constant(query: Triple, side: Side, constant: int) -> Triple:
    """Returns ``query`` with ``constant`` in place of its head or tail."""
    if side == "head":
        return Triple(query.predicate, constant, query.tail)
    return Triple(query.predicate, query.head, constant)


def replaced_constant(query: Triple, side: Side) -> int:
    """Returns the constant that the corruptions of ``query`` on ``side`` replace."""
    return query.head if side == "head" else query.tail


def triples_with(query: Triple, side: Side, constants: np.ndarray) -> np.ndarray:
    """Returns ``query``, and copies with each of ``constants`` ``[n]`` on ``side``: ``[1 + n, 3]`` int64, as a
    Triple.
    """
    triples = np.empty((1 + len(constants), 3), dtype=np.int64)
    triples[:] = query
    triples[1:, 1 if side == "head" else 2] = constants
    return triples


def query_seed(seed: int, query: Triple, side: Side) -> list[int]:
    """Returns the seed for one query and side, which does not depend on what else is asked with it."""
    return [seed, *query, SIDES.index(side)]


@dataclass(frozen=True)
class Corruptor:
    """Draws the corruptions of queries.

    Attributes:
        dataset: dataset of the constants, domains and known triples.
        number: number of corruptions for each query and side; None for all.
        is_filtered: whether corruptions that are a triple of train, valid or test are left out.
        seed: seed of the draws.
    """

    dataset: Dataset
    number: int | None = None
    is_filtered: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises RankingError for a negative number or seed."""
        for name in ("number", "seed"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise RankingError(f"{name} of corruptions is {value}; expected 0 or more")

    def corruptions(self, query: Triple, side: Side) -> list[Triple]:
        """Returns the corruptions of ``query`` on ``side``, in ascending order of the new constant."""
        return [with_constant(query, side, constant) for constant in self.constants(query, side).tolist()]

    def constants(self, query: Triple, side: Side) -> np.ndarray:
        """Returns the new constants of the corruptions of ``query`` on ``side``, ascending ``[n]`` int64."""
        pool, left_out = self._pool(query, side)
        pool = np.delete(pool, left_out)
        if self.number is not None and self.number < pool.size:
            generator = np.random.default_rng(query_seed(self.seed, query, side))
            pool = np.sort(generator.choice(pool, self.number, replace=False))
        return pool

    def among(self, query: Triple, side: Side, constants: np.ndarray) -> np.ndarray:
        """Returns those of ``constants`` that make a corruption of ``query`` on ``side``, ``[n]`` int64, in order.

        The query's own constant makes none, nor, in the filtered setting, one that makes a known triple. Domains and
        ``number`` have no part in it. PyKEEN ranks the same with ``restrict_entities_to``.

        Args:
            query: the positive.
            side: side whose constant is replaced.
            constants: candidates, ``[m]`` int64, none of them twice.
        """
        return constants[~np.isin(constants, self._left_out(query, side))]

    def count(self, query: Triple, side: Side) -> int:
        """Counts the corruptions of ``query`` on ``side``, without drawing them."""
        pool, left_out = self._pool(query, side)
        num_all = pool.size - left_out.size
        return num_all if self.number is None else min(self.number, num_all)

    def drawn(self, index: int, query: Triple, side: Side) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the new constants of the query at ``index`` of an evaluation, ``[n]`` int64, and the keys by which
        equal scores are ordered, ``[1 + n]``, the positive's first; None for a seeded draw.
        """
        return self.constants(query, side), None

    def count_at(self, index: int, query: Triple, side: Side) -> int:
        """Counts the corruptions of the query at ``index`` of an evaluation."""
        return self.count(query, side)

    def replacements(self, query: Triple, side: Side) -> np.ndarray:
        """Returns what may stand on ``side``, ascending ``[n]`` int64: the domains of the constant there."""
        return self._same_domain(replaced_constant(query, side))

    def _pool(self, query: Triple, side: Side) -> tuple[np.ndarray, np.ndarray]:
        """Returns the constants of the domain, ascending, ``[P]`` int64, and the places of those that are left out,
        ``[L]`` int64.
        """
        pool = self.replacements(query, side)
        left_out = self._left_out(query, side)
        if not pool.size:
            return pool, np.empty(0, dtype=np.int64)
        # The pool is ascending, so its members among these are found without a pass over all of it.
        places = np.minimum(np.searchsorted(pool, left_out), pool.size - 1)
        return pool, places[pool[places] == left_out]

    def _left_out(self, query: Triple, side: Side) -> np.ndarray:
        """Returns the constants that make no corruption of ``query`` on ``side``, ascending, ``[n]`` int64."""
        known = self._known(query, side) if self.is_filtered else ()
        return np.unique([replaced_constant(query, side), *known])

    def _same_domain(self, constant: int) -> np.ndarray:
        """Returns the constants that may replace ``constant``: of its domains, or all if it has none. Ascending."""
        domains = self.dataset.domains_of_constants.get(constant)
        if domains is None:
            return self.all_constants
        return domains[0] if len(domains) == 1 else np.unique(np.concatenate(domains))

    def _known(self, query: Triple, side: Side) -> Sequence[int]:
        """Returns the constants that make a known triple on ``side``."""
        if side == "head":
            return self.dataset.known_heads.get((query.predicate, query.tail), ())
        return self.dataset.known_tails.get((query.predicate, query.head), ())

    @cached_property
    def all_constants(self) -> np.ndarray:
        """All constants, ascending ``[C]`` int64."""
        return np.arange(1, self.dataset.vocabulary.num_constants + 1)

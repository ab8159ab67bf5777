"""Queries to rank: a triple, the side whose constant is replaced, and what it is replaced by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from proofrank.core.graph import Triple
from proofrank.core.prover import Candidates
from proofrank.core.ranking.corruptions import Corruptor, Side, triples_with


@dataclass(frozen=True, eq=False)
class Query:
    """A query to rank on one side.

    Attributes:
        query_index: place in the request; the two sides of a query share it.
        triple: the positive.
        side: side whose constant the corruptions replace.
        constants: the new constants of the corruptions, ``[C - 1]`` int64.
        tie_keys: keys by which equal scores are ordered for the random rank, ``[C]``, the positive's first, the largest
            key first; None for a draw seeded by the query.
    """

    query_index: int
    triple: Triple
    side: Side
    constants: np.ndarray
    tie_keys: np.ndarray | None = None

    @property
    def num_candidates(self) -> int:
        """C, including the positive."""
        return 1 + len(self.constants)

    @property
    def positive(self) -> Candidates:
        """``[1]``, the positive."""
        return Candidates(np.array([self.triple], dtype=np.int64), np.ones(1, dtype=bool))

    @property
    def corruptions(self) -> Candidates:
        """``[C - 1]``, the candidates without the positive."""
        triples = triples_with(self.triple, self.side, self.constants)[1:]
        return Candidates(triples, np.zeros(len(triples), dtype=bool))

    @property
    def candidates(self) -> Candidates:
        """``[C]``, the positive first."""
        is_positive = np.zeros(self.num_candidates, dtype=bool)
        is_positive[0] = True
        return Candidates(triples_with(self.triple, self.side, self.constants), is_positive)


@dataclass(frozen=True)
class LazyQueries:
    """Queries whose corruptions are drawn when they are needed.

    Attributes:
        triples: triples to rank, in order.
        sides: sides of each triple on which to rank it.
        corruptor: draws the corruptions.
    """

    triples: Sequence[Triple]
    sides: Sequence[tuple[Side, ...]]
    corruptor: Corruptor

    def queries(self, index: int) -> list[Query]:
        """Returns the triple at ``index`` on each of its sides, with its corruptions."""
        triple = self.triples[index]
        return [
            Query(index, triple, side, *self.corruptor.drawn(index, triple, side))
            for side in self.sides[index]
        ]

    def all_queries(self) -> list[Query]:
        """Returns the queries of every triple."""
        return [query for index in range(len(self.triples)) for query in self.queries(index)]

    def num_candidates(self, index: int) -> int:
        """Counts the candidates of the triple at ``index`` on all of its sides, without drawing them."""
        return sum(
            1 + self.corruptor.count_at(index, self.triples[index], side) for side in self.sides[index]
        )


def corrupted_queries(triples: Iterable[Triple], sides: Sequence[Side], corruptor: Corruptor) -> list[Query]:
    """Returns each triple on each of ``sides``, with its corruptions."""
    listed = list(triples)
    return LazyQueries(listed, [tuple(sides)] * len(listed), corruptor).all_queries()


def candidates_of(queries: Sequence[Query]) -> Candidates:
    """Returns the candidates of all ``queries``, in order."""
    return Candidates.joined([query.candidates for query in queries])

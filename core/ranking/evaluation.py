"""Ranks queries: gathers their candidates, has an evaluator prove them, and ranks the positives.

In: queries with their candidates. Out: a :class:`RankedQuery` for each, in order. All candidates go to the evaluator in
one call, so that it may batch them freely; its answer for one must not depend on the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from proofrank.core.evaluator import Evaluator
from proofrank.core.graph import Triple
from proofrank.core.prover import Candidates, Outcome, Outcomes
from proofrank.core.ranking.corruptions import Corruptor, Side, query_seed, triples_with
from proofrank.core.ranking.metrics import RankedQuery
from proofrank.core.ranking.ranks import rank_positive


@dataclass(frozen=True, eq=False)
class Query:
    """A query to rank on one side.

    Attributes:
        query_index: place in the request; the two sides of a query share it.
        triple: the positive.
        side: side whose constant the corruptions replace.
        constants: the new constants of the corruptions, ``[C - 1]`` int64.
    """

    query_index: int
    triple: Triple
    side: Side
    constants: np.ndarray

    @property
    def num_candidates(self) -> int:
        """C, including the positive."""
        return 1 + len(self.constants)

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
            Query(index, triple, side, self.corruptor.constants(triple, side)) for side in self.sides[index]
        ]

    def all_queries(self) -> list[Query]:
        """Returns the queries of every triple."""
        return [query for index in range(len(self.triples)) for query in self.queries(index)]

    def num_candidates(self, index: int) -> int:
        """Counts the candidates of the triple at ``index`` on all of its sides, without drawing them."""
        return sum(1 + self.corruptor.count(self.triples[index], side) for side in self.sides[index])


def corrupted_queries(triples: Iterable[Triple], sides: Sequence[Side], corruptor: Corruptor) -> list[Query]:
    """Returns each triple on each of ``sides``, with its corruptions."""
    listed = list(triples)
    return LazyQueries(listed, [tuple(sides)] * len(listed), corruptor).all_queries()


def candidates_of(queries: Sequence[Query]) -> Candidates:
    """Returns the candidates of all ``queries``, in order."""
    return Candidates.joined([query.candidates for query in queries])


def rank_queries(
    evaluator: Evaluator,
    queries: Sequence[Query],
    *,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> list[RankedQuery]:
    """Ranks ``queries``.

    Args:
        evaluator: proves the candidates.
        queries: queries to rank.
        seed: seed of the random order of ties.
        on_progress: called with the number of candidates done, as often as the evaluator can tell.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
    """
    candidates = candidates_of(queries)
    start = time.perf_counter()
    outcomes = evaluator.evaluate(candidates, on_progress=on_progress)
    return rank_outcomes(queries, outcomes, seed=seed, seconds=time.perf_counter() - start)


def rank_outcomes(
    queries: Sequence[Query], outcomes: Sequence[Outcome], *, seed: int, seconds: float
) -> list[RankedQuery]:
    """Ranks ``queries`` whose candidates have been proved.

    Args:
        queries: queries to rank.
        outcomes: outcomes of the candidates of all queries, in order.
        seed: seed of the random order of ties.
        seconds: time of the evaluation, which is divided by steps taken.
    """
    columns = Outcomes.of(outcomes)
    total_steps = int(columns.steps.sum())
    ranked: list[RankedQuery] = []
    position = 0
    for query in queries:
        own = columns[position : position + query.num_candidates]
        position += len(own)
        ranked.append(
            RankedQuery(
                query_index=query.query_index,
                query=query.triple,
                side=query.side,
                constants=query.constants,
                outcomes=own,
                ranks=rank_positive(own.scores, query_seed(seed, query.triple, query.side)),
                seconds=seconds * int(own.steps.sum()) / total_steps,
            )
        )
    return ranked

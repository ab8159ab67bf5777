"""Ranks queries: gathers their candidates, has an evaluator prove them, and ranks the positives.

In: queries with their candidates. Out: a :class:`RankedQuery` each, in order. All candidates go to the evaluator
in one call, so that it may batch them as it likes; what it answers for one must not depend on the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from proofrank.core.evaluator import Evaluator
from proofrank.core.graph import Triple
from proofrank.core.prover import Candidate, Outcome
from proofrank.core.ranking.corruptions import Corruptor, Side, query_seed
from proofrank.core.ranking.metrics import RankedQuery
from proofrank.core.ranking.ranks import rank_positive


@dataclass(frozen=True)
class Query:
    """A query to rank on one side.

    Attributes:
        query_index: its place in the request; the two sides of a query share it.
        triple: the positive.
        side: which of its constants the candidates replace.
        corruptions: the triples to rank it against.
    """

    query_index: int
    triple: Triple
    side: Side
    corruptions: tuple[Triple, ...]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """``[C]``, the positive first."""
        positive = Candidate(self.triple, is_positive=True)
        return (positive, *(Candidate(triple, is_positive=False) for triple in self.corruptions))


@dataclass(frozen=True)
class LazyQueries:
    """Queries whose corruptions are drawn when they are wanted.

    Attributes:
        triples: to rank, in order.
        sides: of each, which constants are replaced.
        corruptor: draws their corruptions.
    """

    triples: Sequence[Triple]
    sides: Sequence[tuple[Side, ...]]
    corruptor: Corruptor

    def queries(self, index: int) -> list[Query]:
        """The triple at ``index`` on each of its sides, with its corruptions."""
        triple = self.triples[index]
        return [
            Query(index, triple, side, tuple(self.corruptor.corruptions(triple, side)))
            for side in self.sides[index]
        ]

    def all_queries(self) -> list[Query]:
        """Those of every triple."""
        return [query for index in range(len(self.triples)) for query in self.queries(index)]

    def num_candidates(self, index: int) -> int:
        """How many candidates the triple at ``index`` has on all its sides, without drawing them."""
        return sum(1 + self.corruptor.count(self.triples[index], side) for side in self.sides[index])


def corrupted_queries(triples: Iterable[Triple], sides: Sequence[Side], corruptor: Corruptor) -> list[Query]:
    """Each triple on each of ``sides``, with its corruptions."""
    listed = list(triples)
    return LazyQueries(listed, [tuple(sides)] * len(listed), corruptor).all_queries()


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
        queries: what to rank.
        seed: of the random order of ties.
        on_progress: told the number of candidates done, as often as the evaluator can tell.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
    """
    candidates = [candidate for query in queries for candidate in query.candidates]
    start = time.perf_counter()
    outcomes = evaluator.evaluate(candidates, on_progress=on_progress)
    return rank_outcomes(queries, outcomes, seed=seed, seconds=time.perf_counter() - start)


def rank_outcomes(
    queries: Sequence[Query], outcomes: Sequence[Outcome], *, seed: int, seconds: float
) -> list[RankedQuery]:
    """Ranks ``queries`` whose candidates have been proved.

    Args:
        queries: what to rank.
        outcomes: of the candidates of all queries, in order.
        seed: of the random order of ties.
        seconds: time of the evaluation, which is shared out by steps taken.
    """
    total_steps = sum(outcome.steps for outcome in outcomes)
    ranked: list[RankedQuery] = []
    position = 0
    for query in queries:
        own = tuple(outcomes[position : position + 1 + len(query.corruptions)])
        position += len(own)
        ranked.append(
            RankedQuery(
                query_index=query.query_index,
                query=query.triple,
                side=query.side,
                candidates=(query.triple, *query.corruptions),
                outcomes=own,
                ranks=rank_positive(
                    [outcome.score for outcome in own], query_seed(seed, query.triple, query.side)
                ),
                seconds=seconds * sum(outcome.steps for outcome in own) / total_steps,
            )
        )
    return ranked

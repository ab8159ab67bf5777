"""Metrics from counts that grow by one ranking at a time.

A tally keeps whole numbers (how often each rank occurred, how many were proved). The metrics therefore depend only on
the rankings, not on their order or parts: an evaluation that reports progress, or resumes after an interruption, ends
with the same bits as one without. Only the seconds are a plain sum.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from proofrank.core.graph import Dataset
from proofrank.core.ranking.corruptions import SIDES
from proofrank.core.ranking.metrics import HITS_AT, Metrics, RankedQuery, RankingSummary, Report
from proofrank.core.ranking.parts import depth_order


class Tally:
    """Counts rankings; the rankings of one query are added one after the other."""

    def __init__(self, ties: str = "realistic", hits_at: Sequence[int] = HITS_AT) -> None:
        self._ties = ties
        self._hits_at = hits_at
        self._num_of_rank: Counter[float] = Counter()
        self._num_queries = 0
        self._last_query: int | None = None
        self._num_candidates = 0
        self._num_proved = 0
        self._num_corruptions_proved = 0
        self._knows_proved = True
        self._tries_proofs = True
        self._seconds = 0.0

    def add(self, ranking: RankingSummary) -> None:
        """Counts one ranking. Raises RankingError if ``ties`` names no rank."""
        self._num_of_rank[ranking.ranks.by(self._ties)] += 1
        self._num_queries += ranking.query_index != self._last_query
        self._last_query = ranking.query_index
        self._num_candidates += ranking.ranks.num_candidates
        self._num_proved += ranking.is_proved
        self._num_corruptions_proved += ranking.corruptions_proved
        self._knows_proved &= ranking.knows_proved
        self._tries_proofs &= ranking.tries_proofs
        self._seconds += ranking.seconds

    def metrics(self) -> Metrics:
        """Returns the metrics; there must be at least one ranking."""
        counts = self._num_of_rank
        num = counts.total()
        num_corruptions = self._num_candidates - num
        sum_of_ranks = math.fsum(rank * count for rank, count in counts.items())
        # fsum rounds once, at the end, so the sum does not depend on the order.
        sum_of_reciprocals = math.fsum(count / rank for rank, count in counts.items())
        return Metrics(
            mrr=sum_of_reciprocals / num,
            hits_at={
                k: sum(count for rank, count in counts.items() if rank <= k) / num for k in self._hits_at
            },
            mean_rank=sum_of_ranks / num,
            adjusted_mean_rank_index=1 - (sum_of_ranks - num) / (num_corruptions / 2)
            if num_corruptions
            else None,
            positives_proved=self._num_proved / num if self._tries_proofs else None,
            corruptions_proved=self._num_corruptions_proved / num_corruptions
            if num_corruptions and self._knows_proved
            else None,
            rankings=num,
            queries=self._num_queries,
            candidates=self._num_candidates,
            seconds=self._seconds,
        )


class ReportTally:
    """Counts rankings overall, per side, per relation and per depth."""

    def __init__(self, ties: str = "realistic", hits_at: Sequence[int] = HITS_AT) -> None:
        self._ties = ties
        self._hits_at = hits_at
        self._overall = Tally(ties, hits_at)
        self._by_side: dict[str, Tally] = {}
        self._by_relation: dict[str, Tally] = {}
        self._by_depth: dict[str, Tally] = {}

    def add(self, relation: str, ranking: RankingSummary, depth: str | None = None) -> None:
        """Counts one ranking of a query of ``relation``; the rankings of one query are added one after the other.

        Args:
            relation: its name.
            ranking: what counts.
            depth: name of the depth of the positive's proof, if depths are known.
        """
        self._overall.add(ranking)
        parts = ((self._by_side, ranking.side), (self._by_relation, relation), (self._by_depth, depth))
        for tallies, name in parts:
            if name is None:
                continue
            if name not in tallies:
                tallies[name] = Tally(self._ties, self._hits_at)
            tallies[name].add(ranking)

    def report(self, relations: Iterable[str]) -> Report:
        """Returns the metrics, those per relation in the order of ``relations``; there must be at least one ranking."""
        return Report(
            overall=self._overall.metrics(),
            by_side={side: self._by_side[side].metrics() for side in SIDES if side in self._by_side},
            by_relation={
                relation: self._by_relation[relation].metrics()
                for relation in relations
                if relation in self._by_relation
            },
            by_depth={
                depth: self._by_depth[depth].metrics() for depth in sorted(self._by_depth, key=depth_order)
            },
        )


def aggregate(ranked: Sequence[RankedQuery], ties: str = "realistic") -> Metrics:
    """Returns the metrics of at least one ranked query.

    Args:
        ranked: ranked queries.
        ties: rank that counts, one of ``TIE_POLICIES``.
    """
    tally = Tally(ties)
    for query in _query_by_query(ranked):
        tally.add(query.summary)
    return tally.metrics()


def report(
    ranked: Sequence[RankedQuery],
    dataset: Dataset,
    ties: str = "realistic",
    depths: Sequence[str] | None = None,
    hits_at: Sequence[int] = HITS_AT,
) -> Report:
    """Returns the metrics of at least one ranked query: overall, per side, and per relation in order of their names.

    Args:
        ranked: ranked queries.
        dataset: gives the names of relations.
        ties: rank that counts, one of ``TIE_POLICIES``.
        depths: name of the depth of each query's positive, by its index, if depths are known.
        hits_at: the k of Hits@k.
    """
    tally = ReportTally(ties, hits_at)
    for query in _query_by_query(ranked):
        depth = None if depths is None else depths[query.query_index]
        tally.add(dataset.vocabulary.predicate_name(query.query.predicate), query.summary, depth)
    return tally.report(dataset.vocabulary.predicates)


def _query_by_query(ranked: Sequence[RankedQuery]) -> list[RankedQuery]:
    return sorted(ranked, key=lambda query: query.query_index)

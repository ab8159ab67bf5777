"""Comparison of pruned rankings by an evaluator with whole ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proofrank.core.evaluator import Evaluator
from proofrank.core.graph import Dataset
from proofrank.core.provability import compute_least_model
from proofrank.core.ranking import Pruning, Query, RankedQuery, aggregate, rank_queries
from proofrank.core.ranking.corruptions import SIDES
from tests.helpers.cases import Case
from tests.helpers.outcomes import assert_same


def queries_of(case: Case, dataset: Dataset) -> list[Query]:
    """Each query of ``case`` against all other constants on both sides, known facts included."""
    constants = np.arange(1, dataset.vocabulary.num_constants + 1)
    triples = [dataset.triple(first, predicate, second) for (predicate, first, second), _ in case.queries]
    return [
        Query(index, triple, side, constants[constants != getattr(triple, side)])
        for index, triple in enumerate(triples)
        for side in SIDES
    ]


def assert_same_ranks(pruned: Sequence[RankedQuery], whole: Sequence[RankedQuery]) -> None:
    assert [ranked.ranks for ranked in pruned] == [ranked.ranks for ranked in whole]


def assert_exact(pruned: Sequence[RankedQuery], whole: Sequence[RankedQuery]) -> None:
    """Every metric is the same, and every outcome that was not pruned."""
    assert_same_ranks(pruned, whole)
    for ties in ("optimistic", "realistic", "pessimistic", "random"):
        assert without_seconds(pruned, ties) == without_seconds(whole, ties)
    for ranked, expected in zip(pruned, whole, strict=True):
        kept = np.flatnonzero(~ranked.outcomes.is_pruned)
        assert_same(ranked.outcomes.taken(kept), expected.outcomes.taken(kept))
        assert (ranked.outcomes.log_probability[kept] == expected.outcomes.log_probability[kept]).all()


def without_seconds(ranked: Sequence[RankedQuery], ties: str) -> dict[str, object]:
    return {name: value for name, value in aggregate(ranked, ties).to_dict().items() if name != "seconds"}


def check(case: Case, dataset: Dataset, evaluator: Evaluator) -> None:
    queries, model = queries_of(case, dataset), compute_least_model(dataset)
    whole = rank_queries(evaluator, queries, seed=3)

    assert_exact(rank_queries(evaluator, queries, seed=3, pruning=Pruning("exact", model)), whole)
    by_ranks = rank_queries(evaluator, queries, seed=3, pruning=Pruning("ranks", model))

    assert_same_ranks(by_ranks, whole)
    assert aggregate(by_ranks).corruptions_proved is None

"""Ranking whole queries: candidates go to the evaluator in one call, and each query gets its own back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate, Outcome
from proofrank.core.ranking import SIDES, Corruptor, Query, corrupted_queries, rank_queries
from tests.helpers.datasets import DatasetMaker


class EvaluatorByTail:
    """Proves candidates whose tail has an even index; the log-probability grows with head and tail."""

    engine = "original"

    def __init__(self) -> None:
        self.calls: list[list[Candidate]] = []

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Outcome]:
        self.calls.append(list(candidates))
        if on_progress is not None:
            on_progress(len(candidates))
        return [
            Outcome(
                success=triple.tail % 2 == 0,
                log_probability=-1.0 / (triple.head + 10 * triple.tail),
                steps=triple.head,
                actions=(0,) * triple.head,
            )
            for triple in (candidate.triple for candidate in candidates)
        ]


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Constants a to e are 1 to 5."""
    return make_dataset(["p(a,b).", "p(c,d).", "p(e,a)."], ["p(X,Y) -> p(Y,X)"])


def test_queries_are_made_per_triple_and_side_with_the_positive_first(dataset: Dataset) -> None:
    triples = dataset.splits["train"][:2]

    queries = corrupted_queries(triples, SIDES, Corruptor(dataset))

    assert [(query.query_index, query.triple, query.side) for query in queries] == [
        (0, triples[0], "head"),
        (0, triples[0], "tail"),
        (1, triples[1], "head"),
        (1, triples[1], "tail"),
    ]
    for query in queries:
        positive, *corruptions = query.candidates
        assert positive == Candidate(query.triple, is_positive=True)
        expected = Corruptor(dataset).corruptions(query.triple, query.side)
        assert corruptions == [Candidate(triple, is_positive=False) for triple in expected]


def test_each_query_is_ranked_among_its_own_candidates(dataset: Dataset) -> None:
    evaluator = EvaluatorByTail()
    queries = corrupted_queries([dataset.triple("a", "p", "b")], SIDES, Corruptor(dataset))

    head, tail = rank_queries(evaluator, queries)

    # Heads b to e are all larger than a, with the same proved tail b. Tails: a, c, e fail, d is proved and larger.
    assert (head.ranks.optimistic, head.ranks.num_candidates) == (5, 5)
    assert (tail.ranks.optimistic, tail.ranks.num_candidates) == (2, 5)
    assert [outcome.success for outcome in tail.outcomes] == [True, False, False, True, False]
    assert len(evaluator.calls) == 1
    assert [candidate.is_positive for candidate in evaluator.calls[0]] == ([True] + [False] * 4) * 2


def test_ranks_of_a_query_do_not_depend_on_the_others(dataset: Dataset) -> None:
    corruptor = Corruptor(dataset, number=2, seed=5)
    triples = dataset.splits["train"]
    together = rank_queries(EvaluatorByTail(), corrupted_queries(triples, SIDES, corruptor), seed=3)

    for ranked in together:
        (query,) = corrupted_queries([ranked.query], (ranked.side,), corruptor)
        (alone,) = rank_queries(EvaluatorByTail(), [query], seed=3)
        assert (alone.candidates, alone.outcomes, alone.ranks) == (
            ranked.candidates,
            ranked.outcomes,
            ranked.ranks,
        )


def test_time_is_shared_by_steps(dataset: Dataset) -> None:
    queries = corrupted_queries([dataset.triple("a", "p", "b")], SIDES, Corruptor(dataset))

    head, tail = rank_queries(EvaluatorByTail(), queries)

    # Heads 1 to 5 take as many steps as their index, 15; tails keep head 1, five times 1 step.
    assert head.seconds == pytest.approx(3 * tail.seconds)


def test_a_query_without_corruptions_is_first(dataset: Dataset) -> None:
    query = Query(0, dataset.triple("a", "p", "c"), "tail", np.array([], dtype=np.int64))

    (ranked,) = rank_queries(EvaluatorByTail(), [query])

    assert ranked.ranks.by("pessimistic") == 1.0


def test_no_queries_give_no_ranks() -> None:
    assert rank_queries(EvaluatorByTail(), []) == []


def test_progress_is_told(dataset: Dataset) -> None:
    told: list[int] = []
    queries = corrupted_queries(dataset.splits["train"], ("tail",), Corruptor(dataset))

    rank_queries(EvaluatorByTail(), queries, on_progress=told.append)

    assert told[-1] == sum(len(query.candidates) for query in queries)

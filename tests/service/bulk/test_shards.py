"""How an evaluation is cut into shards, and the report of how evenly they were shared."""

from __future__ import annotations

import time

import pytest

from proofrank.core.default import DATASET
from proofrank.core.graph import load_dataset
from proofrank.core.ranking import Corruptor, LazyQueries, PruningCounts, sides_of
from proofrank.service.bulk.shards import LEAST_CANDIDATES, MOST_CANDIDATES, Shard, ShardResult, cut_shards
from proofrank.service.bulk.trace import Trace


@pytest.fixture(scope="module")
def uneven_work() -> LazyQueries:
    """Queries with few candidates (the region of a country), and then with many (the countries of a region)."""
    dataset = load_dataset(DATASET)
    located = dataset.vocabulary.predicate_index("locatedInCR")
    triples = [triple for triple in dataset.splits["train"] if triple.predicate == located]
    sides = [*([sides_of("tail")] * len(triples)), *([sides_of("head")] * len(triples))]
    return LazyQueries([*triples, *triples], sides, Corruptor(dataset))


def candidates_of(work: LazyQueries, shards: list[Shard]) -> list[int]:
    """Returns the number of candidates of each shard."""
    return [sum(map(work.num_candidates, shard.query_indices)) for shard in shards]


def test_shards_hold_like_numbers_of_candidates_and_not_of_queries(uneven_work: LazyQueries) -> None:
    shards = cut_shards(uneven_work, num_workers=2)

    numbers = candidates_of(uneven_work, shards)
    largest_query = max(map(uneven_work.num_candidates, range(len(uneven_work.triples))))
    assert len(shards) > 16
    assert max(numbers) - min(numbers[:-1]) <= largest_query
    assert [index for shard in shards for index in shard.query_indices] == [*range(len(uneven_work.triples))]
    assert [shard.number for shard in shards] == [*range(len(shards))]


@pytest.mark.parametrize("num_workers", [1, 4, 1000])
def test_shards_are_neither_too_small_nor_too_large_for_an_evaluator(
    uneven_work: LazyQueries, num_workers: int
) -> None:
    numbers = candidates_of(uneven_work, cut_shards(uneven_work, num_workers))

    assert min(numbers[:-1], default=LEAST_CANDIDATES) >= LEAST_CANDIDATES
    assert max(numbers) <= MOST_CANDIDATES


def test_what_is_done_is_in_no_shard(uneven_work: LazyQueries) -> None:
    done = set(range(0, len(uneven_work.triples), 3))
    shards = cut_shards(uneven_work, 2, done=done)

    left = [index for shard in shards for index in shard.query_indices]
    assert left == [index for index in range(len(uneven_work.triples)) if index not in done]


def result(number: int, process: int, began: float, seconds: float) -> ShardResult:
    """Makes the result of a shard that ``process`` began ``began`` seconds from now."""
    began += time.time()
    shard, counts = Shard(number, (number,)), PruningCounts()
    return ShardResult(shard, (), 10, 20, began, seconds, "host", process, 0, "eager", counts)


def test_a_lost_worker_is_not_the_first_to_end() -> None:
    trace = Trace()
    # Worker 1 is lost after a second, and worker 3 replaces it.
    for number, process, began, seconds in [
        (0, 1, 0, 1),
        (1, 2, 0, 5),
        (2, 3, 2, 4),
        (3, 2, 5, 4),
        (4, 3, 6, 2),
    ]:
        trace.add(result(number, process, began, seconds))

    balance = trace.balance(num_workers=2)

    assert (balance.workers, balance.shards) == (3, 5)
    assert balance.late_seconds == pytest.approx(1, abs=0.1)
    assert balance.busy_share == pytest.approx(16 / 18, abs=0.02)

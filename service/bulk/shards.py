"""Cuts an evaluation into shards of whole queries, and proves a shard.

Which corruptions a query has, and how its ties are ordered, depends on the query and the seed alone, so that shards may
be cut anywhere and proved anywhere. They are small: whoever is free takes the next, and the last to finish is late by
one shard at most, however much the lengths of proofs differ. By default they hold much the same number of candidates,
and not of queries, of which one may have five candidates and the next a thousand.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from proofrank.core.evaluator import Evaluator
from proofrank.core.evaluator.artifacts import compile_counts
from proofrank.core.ranking import LazyQueries, rank_queries
from proofrank.service.jobs.job import StoredRanking

SHARDS_PER_WORKER = 16
"""By default, where there is enough to prove: the last worker is then late by two of its sixteen, at most."""

LEAST_CANDIDATES = 512
"""In a shard, by default: below that a shard takes as long as its longest proof, however few candidates it has."""

MOST_CANDIDATES = 16384
"""In a shard of several queries, by default: as many as an evaluator keeps in flight at once."""


class Shard(NamedTuple):
    """Queries that are proved together.

    Attributes:
        number: its place among the shards of the run.
        query_indices: the places of its queries in the evaluation, ascending.
    """

    number: int
    query_indices: tuple[int, ...]


@dataclass(frozen=True)
class ShardResult:
    """What came of a shard.

    Attributes:
        shard: what was proved.
        rankings: one for each query and side, in order.
        candidates: how many were proved.
        steps: of all trajectories together.
        began: when the worker began, seconds since 1970 by its clock.
        seconds: that it took in the worker.
        node: name of the worker's machine.
        process: its process id there.
        graphs_compiled: meanwhile; those that were taken from the cache are not among them.
        engine: that proved them.
    """

    shard: Shard
    rankings: tuple[StoredRanking, ...]
    candidates: int
    steps: int
    began: float
    seconds: float
    node: str
    process: int
    graphs_compiled: int
    engine: str


def cut_shards(
    work: LazyQueries, num_workers: int, queries_per_shard: int | None = None, done: Collection[int] = ()
) -> list[Shard]:
    """The shards of what is left of ``work``.

    Args:
        work: the whole evaluation.
        num_workers: who will prove them.
        queries_per_shard: at most; None for shards of like numbers of candidates, some for each worker.
        done: places of queries that are left out.
    """
    left = [index for index in range(len(work.triples)) if index not in done]
    if queries_per_shard is None:
        cut = _cut_by_candidates(left, [work.num_candidates(index) for index in left], num_workers)
    else:
        cut = (left[start : start + queries_per_shard] for start in range(0, len(left), queries_per_shard))
    return [Shard(number, tuple(query_indices)) for number, query_indices in enumerate(cut)]


def _cut_by_candidates(
    query_indices: Sequence[int], num_candidates: Sequence[int], num_workers: int
) -> Iterator[list[int]]:
    """``query_indices`` in order, cut where a worker has its share of the candidates, ``num_candidates`` of each."""
    share = sum(num_candidates) / (num_workers * SHARDS_PER_WORKER)
    enough = max(LEAST_CANDIDATES, min(MOST_CANDIDATES, share))
    in_shard: list[int] = []
    num_in_shard = 0
    for query_index, number in zip(query_indices, num_candidates, strict=True):
        if in_shard and (num_in_shard >= enough or num_in_shard + number > MOST_CANDIDATES):
            yield in_shard
            in_shard, num_in_shard = [], 0
        in_shard.append(query_index)
        num_in_shard += number
    if in_shard:
        yield in_shard


def prove_shard(evaluator: Evaluator, work: LazyQueries, shard: Shard) -> ShardResult:
    """Ranks the queries of ``shard``.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
    """
    began, start = time.time(), time.perf_counter()
    num_compiled = compile_counts().cache_misses
    queries = [query for index in shard.query_indices for query in work.queries(index)]
    ranked = rank_queries(evaluator, queries, seed=work.corruptor.seed)
    return ShardResult(
        shard=shard,
        rankings=tuple(StoredRanking.of(query, work.corruptor.dataset) for query in ranked),
        candidates=sum(len(query.outcomes) for query in ranked),
        steps=sum(int(query.outcomes.steps.sum()) for query in ranked),
        began=began,
        seconds=time.perf_counter() - start,
        node=socket.gethostname(),
        process=os.getpid(),
        graphs_compiled=compile_counts().cache_misses - num_compiled,
        engine=evaluator.engine,
    )

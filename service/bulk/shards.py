"""Cuts an evaluation into shards of whole queries, and proves a shard.

Which corruptions a query has, and how its ties are ordered, depends on the query and the seed alone, so that shards may
be cut anywhere and proved anywhere. They are small: whoever is free takes the next, and the last to finish is late by
one shard at most, however much the lengths of proofs differ.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from core.evaluator import Evaluator
from core.evaluator.artifacts import compile_counts
from core.ranking import LazyQueries, rank_queries
from service.jobs.job import StoredRanking

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
        queries_per_shard: at most; None for as many as give each worker some shards and none too many candidates.
        done: places of queries that are left out.
    """
    left = [index for index in range(len(work.triples)) if index not in done]
    if queries_per_shard is None:
        mean_candidates = max(1, sum(map(work.num_candidates, left)) / max(1, len(left)))
        by_workers = -(-len(left) // (num_workers * SHARDS_PER_WORKER))
        most, least = int(MOST_CANDIDATES / mean_candidates), math.ceil(LEAST_CANDIDATES / mean_candidates)
        queries_per_shard = max(1, least, min(by_workers, most))
    return [
        Shard(number, tuple(left[start : start + queries_per_shard]))
        for number, start in enumerate(range(0, len(left), queries_per_shard))
    ]


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
        candidates=sum(len(query.candidates) for query in ranked),
        steps=sum(outcome.steps for query in ranked for outcome in query.outcomes),
        began=began,
        seconds=time.perf_counter() - start,
        node=socket.gethostname(),
        process=os.getpid(),
        graphs_compiled=compile_counts().cache_misses - num_compiled,
        engine=evaluator.engine,
    )

"""Cuts an evaluation into shards of whole queries, and proves a shard.

A query's corruptions and the order of its ties depend only on the query and the seed, so shards may be cut anywhere and
proved anywhere. They are small: each free worker takes the next one, and the last worker finishes at most one shard
late, however much the lengths of proofs differ. By default shards hold similar numbers of candidates rather than of
queries, because one query may have five candidates and the next a thousand.
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
from proofrank.core.ranking import LazyQueries, Pruning, PruningCounts, Scoring, rank_queries
from proofrank.in_process import NO_ENGINE
from proofrank.service.jobs.job import StoredRanking

SHARDS_PER_WORKER = 16
"""Default number of shards for each worker, with enough work: the last worker is then late by at most two of sixteen.
"""

LEAST_CANDIDATES = 512
"""Default minimum of candidates in a shard; a smaller shard still takes as long as its longest proof."""

MOST_CANDIDATES = 16384
"""Default maximum of candidates in a shard of several queries: the number that an evaluator has in progress at once."""


class Shard(NamedTuple):
    """Queries that are proved together.

    Attributes:
        number: place among the shards of the run.
        query_indices: places of its queries in the evaluation, ascending.
    """

    number: int
    query_indices: tuple[int, ...]


@dataclass(frozen=True)
class ShardResult:
    """The result of a shard.

    Attributes:
        shard: the shard.
        rankings: one ranking for each query and side, in order.
        candidates: number of candidates ranked.
        steps: steps of all trajectories together.
        began: start in the worker, seconds since 1970 by its clock.
        seconds: duration in the worker.
        node: name of the worker's machine.
        process: id of the worker's process there.
        graphs_compiled: graphs compiled meanwhile, without those taken from the cache.
        engine: name of the engine.
        counts: how many candidates took which way.
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
    counts: PruningCounts


def cut_shards(
    work: LazyQueries, num_workers: int, queries_per_shard: int | None = None, done: Collection[int] = ()
) -> list[Shard]:
    """Cuts the rest of ``work`` into shards.

    Args:
        work: the whole evaluation.
        num_workers: number of workers that will prove them.
        queries_per_shard: maximum queries in a shard; None for shards of similar numbers of candidates.
        done: places of queries to leave out.
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
    """Yields parts of ``query_indices``, in order, with about equal sums of ``num_candidates``."""
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


def prove_shard(
    evaluator: Evaluator | None,
    work: LazyQueries,
    shard: Shard,
    pruning: Pruning | None = None,
    scoring: Scoring | None = None,
) -> ShardResult:
    """Ranks the queries of ``shard``.

    Args:
        evaluator: proves candidates; None where ``scoring`` is by an embedding alone.
        work: the whole evaluation.
        shard: which of its queries.
        pruning: what may be left out; None for nothing.
        scoring: what scores beside or instead of proofs; None for proofs alone.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
        EmbeddingError: a candidate has no score by the embedding.
    """
    began, start = time.time(), time.perf_counter()
    num_compiled = compile_counts().cache_misses
    queries = [query for index in shard.query_indices for query in work.queries(index)]
    ranked = rank_queries(evaluator, queries, seed=work.corruptor.seed, pruning=pruning, scoring=scoring)
    counts = PruningCounts()
    if evaluator is not None:
        counts = sum((PruningCounts.of(query.outcomes) for query in ranked), counts)
    return ShardResult(
        shard=shard,
        rankings=tuple(StoredRanking.of(query, work.corruptor.dataset) for query in ranked),
        candidates=sum(len(query.outcomes) for query in ranked),
        steps=counts.steps,
        began=began,
        seconds=time.perf_counter() - start,
        node=socket.gethostname(),
        process=os.getpid(),
        graphs_compiled=compile_counts().cache_misses - num_compiled,
        engine=NO_ENGINE if evaluator is None else evaluator.engine,
        counts=counts,
    )

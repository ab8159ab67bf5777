"""Shards, the units that a worker gets, made from the work of queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shard:
    """Queries that one worker evaluates together.

    Attributes:
        num_queries: triples with both sides, or parts of one; each costs the driver a row for each side.
        work_seconds: seconds of one worker of measured speed.
    """

    num_queries: int
    work_seconds: float


def shards_of_queries(work_seconds: np.ndarray, queries_per_shard: int) -> list[Shard]:
    """Makes shards of ``queries_per_shard`` queries in their order; the last may have fewer.

    Args:
        work_seconds: ``[Q]``, seconds of each query.
        queries_per_shard: 1 or more.
    """
    return [
        Shard(len(part), float(part.sum()))
        for part in np.split(work_seconds, range(queries_per_shard, len(work_seconds), queries_per_shard))
    ]


def shards_of_parts(work_seconds: np.ndarray, parts_per_query: int) -> list[Shard]:
    """Cuts each query into ``parts_per_query`` shards with an equal share of its candidates.

    Args:
        work_seconds: ``[Q]``, seconds of each query.
        parts_per_query: 1 or more.
    """
    return [
        Shard(1, float(seconds) / parts_per_query) for seconds in work_seconds for _ in range(parts_per_query)
    ]


def longest_first(shards: Iterable[Shard]) -> list[Shard]:
    """Orders shards by their true times, the longest first."""
    return sorted(shards, key=lambda shard: -shard.work_seconds)

"""The interval of a mean over the rankings of one evaluation, from sums that a database can make.

The two sides of a query depend on each other, so the spread is that of queries, not of single rankings: the linearised
variance of a ratio, with Student's distribution.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from proofrank.core.comparison.bootstrap import student_quantile


class QuerySums(NamedTuple):
    """Sums over the queries of an evaluation.

    Attributes:
        queries: number of queries, ``T``.
        values: sum of ``s``, where ``s`` is the sum of the values of a query's rankings.
        sizes: sum of ``n``, the number of its rankings.
        values_squared: sum of ``s * s``.
        products: sum of ``s * n``.
        sizes_squared: sum of ``n * n``.
    """

    queries: int
    values: float
    sizes: int
    values_squared: float
    products: float
    sizes_squared: float


def interval_of_mean(sums: QuerySums, confidence: float) -> tuple[float, float] | None:
    """The interval of the mean over all rankings of a value between 0 and 1, such as the reciprocal rank.

    Args:
        sums: of the rankings, at least one.
        confidence: share of the intervals that should hold the true mean, between 0.5 and 1.

    Returns:
        Lower and upper bound; None with a single query, which tells nothing of others.
    """
    if sums.queries < 2:
        return None
    mean = sums.values / sums.sizes
    residuals = sums.values_squared - 2 * mean * sums.products + mean * mean * sums.sizes_squared
    variance = max(residuals, 0.0) / sums.sizes**2 * sums.queries / (sums.queries - 1)
    margin = student_quantile((1 + confidence) / 2, sums.queries - 1) * math.sqrt(variance)
    return max(mean - margin, 0.0), min(mean + margin, 1.0)

"""A paired bootstrap over triples: how much a difference of means would vary with other triples.

The two sides of a triple are ranked by the same proofs, and so depend on each other. A resample therefore draws
triples, each with all of its rankings, and never single rankings. It draws one triple fewer than there are: a resample
of ``T - 1`` of ``T`` triples has the variance ``s² / T``, that of ``T`` triples only ``(T - 1) / T`` of it, which makes
small groups look too sure. The interval is that of percentiles, at the levels of Student's distribution in place of the
normal one. ``docs/comparing.md`` has the coverage of this interval and of others.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()
_CELLS_AT_ONCE = 100_000
"""Number of drawn triples in memory, over several resamples: few enough for a processor's cache."""


def resampled_counts(generator: np.random.Generator, num_resamples: int, num_triples: int) -> np.ndarray:
    """``[R, T]`` int64: how often each of ``T`` triples is drawn in each resample of ``T - 1``."""
    drawn = generator.integers(num_triples, size=(num_resamples, num_triples - 1), dtype=np.int32)
    drawn += (np.arange(num_resamples, dtype=np.int32) * num_triples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=num_resamples * num_triples)
    return counts.reshape(num_resamples, num_triples)


def resampled_means(
    sums: np.ndarray, sizes: np.ndarray, generator: np.random.Generator, num_resamples: int
) -> np.ndarray:
    """The means of resamples.

    Args:
        sums: ``[T, M]`` float64, sum over the rankings of each triple of ``M`` values; ``T`` is 2 or more.
        sizes: ``[T]``, number of rankings of each triple.
        generator: draws.
        num_resamples: ``R``.

    Returns:
        ``[R, M]`` float64, mean over the rankings of each resample.
    """
    num_triples = len(sums)
    rows_at_once = max(1, _CELLS_AT_ONCE // num_triples)
    parts = []
    for start in range(0, num_resamples, rows_at_once):
        counts = resampled_counts(generator, min(rows_at_once, num_resamples - start), num_triples)
        parts.append(means_of_counts(counts, sums, sizes))
    return np.concatenate(parts)


def means_of_counts(counts: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The means over the rankings of resamples that draw each triple as often as ``counts`` ``[R, T]`` says; ``sums``,
    ``sizes`` and the result as in :func:`resampled_means`.
    """
    totals = counts.astype(np.float64) @ np.column_stack([sums, sizes]).astype(np.float64)
    return totals[:, :-1] / totals[:, -1:]


def interval(resampled: np.ndarray, confidence: float, degrees: int) -> np.ndarray:
    """The bounds of the interval of each value.

    Args:
        resampled: ``[R, M]`` float64.
        confidence: share of the intervals that should hold the true value, between 0 and 1.
        degrees: degrees of freedom: triples less groups of triples, 1 or more.

    Returns:
        ``[2, M]`` float64, lower and upper bound.
    """
    tail = _NORMAL.cdf(-student_quantile((1 + confidence) / 2, degrees))
    return np.quantile(resampled, [tail, 1 - tail], axis=0)


def student_quantile(level: float, degrees: int) -> float:
    """The quantile of Student's distribution for a ``level`` of 0.5 or more, right to 1 % from 0.8 to 0.995.

    Exact for 1 and 2 degrees of freedom, else by the expansion of Abramowitz and Stegun, 26.7.5.
    """
    if degrees == 1:
        return math.tan(math.pi * (level - 0.5))
    if degrees == 2:
        return (2 * level - 1) * math.sqrt(2 / (4 * level * (1 - level)))
    z = _NORMAL.inv_cdf(level)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / degrees**power for power, term in enumerate(terms))

"""Rank-based metrics from ranks and numbers of candidates, equal to those of PyKEEN 1.11.

Definitions after Berrendorf et al. 2020 and Hoyt et al. 2022 ("A Unified Framework for Rank-based Evaluation Metrics
for Link Prediction in Knowledge Graphs", arXiv 2203.07544). A rank by chance is uniform between 1 and the number of
candidates C; expectations E and variances V are over such ranks. An adjusted metric M is (M - E) / (1 - E), a z-score
(M - E) / sqrt(V), with the sign by which more is better. Sums are rounded once (``fsum``), so no value depends on the
order of the rankings.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from proofrank.core.rank_metrics.names import MetricKey

_NORMAL_MAD = 0.6744897501960817
"""The 0.75 quantile of the standard normal distribution, by which a median absolute deviation is divided."""


def metric_value(key: MetricKey, ranks: Sequence[float], num_candidates: Sequence[int]) -> float | None:
    """Returns a metric of at least one rank; None where chance has no spread, so that nothing can be adjusted.

    Args:
        key: the metric; its side, type and macro are the caller's concern.
        ranks: ``[R]``, from 1.
        num_candidates: ``[R]``, number of candidates of each ranking, the positive included.
    """
    if key.k is not None:
        return _hits(key.metric, key.k, ranks, num_candidates)
    plain = _PLAIN.get(key.metric)
    if plain is not None:
        return plain(ranks)
    base, adjust = _ADJUSTED[key.metric]
    return adjust(base, ranks, num_candidates)


def _weighted_sum(function: Callable[[float], float], values: Sequence[float]) -> float:
    """The sum of ``function`` over ``values``; equal values are added as one product, as a tally adds them."""
    return math.fsum(count * function(value) for value, count in Counter(values).items())


def _mean(function: Callable[[float], float], values: Sequence[float]) -> float:
    return _weighted_sum(function, values) / len(values)


def _arithmetic(ranks: Sequence[float]) -> float:
    return _mean(float, ranks)


def _geometric(ranks: Sequence[float]) -> float:
    return math.exp(_mean(math.log, ranks))


def _reciprocal(ranks: Sequence[float]) -> float:
    # count / rank, not count * (1 / rank): the MRR of the reports to the last bit.
    return math.fsum(count / rank for rank, count in Counter(ranks).items()) / len(ranks)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _variance(ranks: Sequence[float]) -> float:
    mean = _arithmetic(ranks)
    return _mean(lambda rank: (rank - mean) ** 2, ranks)


def _median_absolute_deviation(ranks: Sequence[float]) -> float:
    median = _median(ranks)
    return _median([abs(rank - median) for rank in ranks]) / _NORMAL_MAD


_PLAIN: dict[str, Callable[[Sequence[float]], float]] = {
    "arithmetic_mean_rank": _arithmetic,
    "geometric_mean_rank": _geometric,
    "harmonic_mean_rank": lambda ranks: 1 / _reciprocal(ranks),
    "median_rank": _median,
    "inverse_arithmetic_mean_rank": lambda ranks: 1 / _arithmetic(ranks),
    "inverse_geometric_mean_rank": lambda ranks: 1 / _geometric(ranks),
    "inverse_harmonic_mean_rank": _reciprocal,
    "inverse_median_rank": lambda ranks: 1 / _median(ranks),
    "standard_deviation": lambda ranks: math.sqrt(_variance(ranks)),
    "variance": _variance,
    "median_absolute_deviation": _median_absolute_deviation,
    "count": lambda ranks: float(len(ranks)),
}


class _MeanRank:
    """The arithmetic mean rank and what chance gives of it."""

    is_increasing = False

    @staticmethod
    def value(ranks: Sequence[float]) -> float:
        return _arithmetic(ranks)

    @staticmethod
    def expectation(num_candidates: Sequence[int]) -> float:
        return _mean(lambda number: (number + 1) / 2, num_candidates)

    @staticmethod
    def variance(num_candidates: Sequence[int]) -> float:
        return _mean(lambda number: (number**2 - 1) / 12, num_candidates) / len(num_candidates)


class _GeometricMeanRank:
    """The geometric mean rank of R rankings: a product of independent ranks to the power 1 / R."""

    is_increasing = False

    @staticmethod
    def value(ranks: Sequence[float]) -> float:
        return _geometric(ranks)

    @classmethod
    def expectation(cls, num_candidates: Sequence[int]) -> float:
        return math.exp(cls._log_of_product(num_candidates, 1))

    @classmethod
    def variance(cls, num_candidates: Sequence[int]) -> float:
        # E[x^2] - E[x]^2 as a product, for the two differ in their last digits only where there are many rankings.
        first, second = (cls._log_of_product(num_candidates, power) for power in (1, 2))
        return math.exp(2 * first) * math.expm1(second - 2 * first)

    @staticmethod
    def _log_of_product(num_candidates: Sequence[int], power: int) -> float:
        """The logarithm of the product of E[rank^(power / R)] over the rankings."""
        exponent = power / len(num_candidates)
        counts = Counter(num_candidates)
        terms, logs = [], []
        for number in range(1, max(counts) + 1):
            terms.append(math.expm1(exponent * math.log(number)))
            if number in counts:
                # Partial sums are kept exact: all the terms before are summed again as one.
                terms = _exact(terms)
                logs.append(counts[number] * math.log1p(math.fsum(terms) / number))
        return math.fsum(logs)


def _exact(terms: Sequence[float]) -> list[float]:
    """A few numbers with the same sum as ``terms``, to twice the precision of one."""
    total = math.fsum(terms)
    return [total, math.fsum([*terms, -total])]


class _MeanReciprocalRank:
    """The mean reciprocal rank; E and V by harmonic numbers."""

    is_increasing = True

    @staticmethod
    def value(ranks: Sequence[float]) -> float:
        return _reciprocal(ranks)

    @staticmethod
    def expectation(num_candidates: Sequence[int]) -> float:
        harmonic = _harmonic_numbers(num_candidates, 1)
        return _mean(lambda number: harmonic[int(number)] / number, num_candidates)

    @staticmethod
    def variance(num_candidates: Sequence[int]) -> float:
        first, second = (_harmonic_numbers(num_candidates, power) for power in (1, 2))

        def of_one(number: float) -> float:
            place = int(number)
            return max((number * second[place] - first[place] ** 2) / number**2, 0.0)

        return _mean(of_one, num_candidates) / len(num_candidates)


def _harmonic_numbers(num_candidates: Sequence[int], power: int) -> dict[int, float]:
    """The sum of 1 / i^power for i from 1 to each of ``num_candidates``."""
    wanted = set(num_candidates)
    found: dict[int, float] = {}
    terms: list[float] = []
    for number in range(1, max(wanted) + 1):
        terms.append(1 / number**power)
        if number in wanted:
            terms = _exact(terms)
            found[number] = math.fsum(terms)
    return found


class _HitsAt:
    """Hits@k; by chance the hits of a ranking are a Bernoulli variable with p = min(k / C, 1)."""

    is_increasing = True

    def __init__(self, k: int) -> None:
        self._k = k

    def value(self, ranks: Sequence[float]) -> float:
        return sum(rank <= self._k for rank in ranks) / len(ranks)

    def expectation(self, num_candidates: Sequence[int]) -> float:
        return _mean(lambda number: min(self._k / number, 1.0), num_candidates)

    def variance(self, num_candidates: Sequence[int]) -> float:
        def of_one(number: float) -> float:
            chance = min(self._k / number, 1.0)
            return chance * (1 - chance)

        return _mean(of_one, num_candidates) / len(num_candidates)


_Base = type[_MeanRank] | type[_GeometricMeanRank] | type[_MeanReciprocalRank] | _HitsAt


def _over_expectation(base: _Base, ranks: Sequence[float], num_candidates: Sequence[int]) -> float:
    return base.value(ranks) / base.expectation(num_candidates)


def _index(base: _Base, ranks: Sequence[float], num_candidates: Sequence[int]) -> float | None:
    expected = base.expectation(num_candidates)
    if expected == 1:
        return None
    return (base.value(ranks) - expected) / (1 - expected)


def _z_score(base: _Base, ranks: Sequence[float], num_candidates: Sequence[int]) -> float | None:
    variance = base.variance(num_candidates)
    if variance <= 0:
        return None
    difference = base.value(ranks) - base.expectation(num_candidates)
    return (difference if base.is_increasing else -difference) / math.sqrt(variance)


_ADJUSTED: dict[str, tuple[_Base, Callable[[_Base, Sequence[float], Sequence[int]], float | None]]] = {
    "adjusted_arithmetic_mean_rank": (_MeanRank, _over_expectation),
    "adjusted_arithmetic_mean_rank_index": (_MeanRank, _index),
    "adjusted_geometric_mean_rank_index": (_GeometricMeanRank, _index),
    "adjusted_inverse_harmonic_mean_rank": (_MeanReciprocalRank, _index),
    "z_arithmetic_mean_rank": (_MeanRank, _z_score),
    "z_geometric_mean_rank": (_GeometricMeanRank, _z_score),
    "z_inverse_harmonic_mean_rank": (_MeanReciprocalRank, _z_score),
}


def _hits(metric: str, k: int, ranks: Sequence[float], num_candidates: Sequence[int]) -> float | None:
    base = _HitsAt(k)
    if metric == "hits_at_":
        return base.value(ranks)
    return (_index if metric == "adjusted_hits_at_" else _z_score)(base, ranks, num_candidates)

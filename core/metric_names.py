"""The metrics by name, for reports, options and logs; :mod:`proofrank.core.ranking.metrics` defines each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from proofrank.core.choices import HITS_AT, MOST_HITS_AT, MOST_K
from proofrank.core.errors import RankingError, shown


def metric_names(hits_at: Iterable[int]) -> tuple[str, ...]:
    """Names of the metrics, with Hits@k for each of ``hits_at``, in the order in which they are written."""
    return (
        "mrr",
        *(f"hits@{k}" for k in hits_at),
        "mean_rank",
        "adjusted_mean_rank_index",
        "positives_proved",
        "corruptions_proved",
    )


METRICS = metric_names(HITS_AT)
"""Names of the metrics that a report has unless other k are asked for."""

SMALLER_IS_BETTER = ("mean_rank", "corruptions_proved")

Value = TypeVar("Value", covariant=True)
T = TypeVar("T")


class MetricValues(Protocol[Value]):
    """A value for each metric: a number, or an interval."""

    @property
    def mrr(self) -> Value: ...
    @property
    def hits_at(self) -> Mapping[int, Value]: ...
    @property
    def mean_rank(self) -> Value: ...
    @property
    def adjusted_mean_rank_index(self) -> Value | None: ...
    @property
    def positives_proved(self) -> Value | None: ...
    @property
    def corruptions_proved(self) -> Value | None: ...


def checked_hits_at(ks: Iterable[int]) -> tuple[int, ...]:
    """The k of Hits@k, ascending.

    Raises:
        RankingError: there is none, one is no whole number from 1 to 10^9, one comes twice, or there are more than 20.
    """
    given = list(ks)
    for k in given:
        if type(k) is not int or not 1 <= k <= MOST_K:
            raise RankingError(f"hits_at has {shown(k)}; expected whole numbers from 1 to {MOST_K}")
    if not 1 <= len(given) <= MOST_HITS_AT or len(set(given)) != len(given):
        raise RankingError(f"hits_at is {shown(given)}; expected 1 to {MOST_HITS_AT} different whole numbers")
    return tuple(sorted(given))


def by_name(metrics: MetricValues[T]) -> dict[str, T | None]:
    """The values by the names of :func:`metric_names`; None for what is undefined or was left open."""
    return {
        "mrr": metrics.mrr,
        **{f"hits@{k}": share for k, share in metrics.hits_at.items()},
        "mean_rank": metrics.mean_rank,
        "adjusted_mean_rank_index": metrics.adjusted_mean_rank_index,
        "positives_proved": metrics.positives_proved,
        "corruptions_proved": metrics.corruptions_proved,
    }

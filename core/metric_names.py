"""The metrics by name, for reports, options and logs; :mod:`proofrank.core.ranking.metrics` defines each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from proofrank.core.choices import HITS_AT

METRICS = (
    "mrr",
    *(f"hits@{k}" for k in HITS_AT),
    "mean_rank",
    "adjusted_mean_rank_index",
    "positives_proved",
    "corruptions_proved",
)
"""Names of the metrics, in the order in which they are written."""

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
    def positives_proved(self) -> Value: ...
    @property
    def corruptions_proved(self) -> Value | None: ...


def by_name(metrics: MetricValues[T]) -> dict[str, T | None]:
    """The values by the names in ``METRICS``; None for what is undefined or was left open."""
    return {
        "mrr": metrics.mrr,
        **{f"hits@{k}": share for k, share in metrics.hits_at.items()},
        "mean_rank": metrics.mean_rank,
        "adjusted_mean_rank_index": metrics.adjusted_mean_rank_index,
        "positives_proved": metrics.positives_proved,
        "corruptions_proved": metrics.corruptions_proved,
    }

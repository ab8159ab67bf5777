"""The metrics that callbacks log, and when one of them no longer gets better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from proofrank.core.choices import HITS_AT
from proofrank.core.errors import ProofrankError

METRICS = (
    "mrr",
    *(f"hits@{k}" for k in HITS_AT),
    "mean_rank",
    "adjusted_mean_rank_index",
    "positives_proved",
    "corruptions_proved",
)
"""Names of the metrics, in the order in which they are written."""

_SMALLER_IS_BETTER = ("mean_rank", "corruptions_proved")


class OverallMetrics(Protocol):
    """Metrics over all rankings, of an evaluation in this process or of a job alike."""

    @property
    def mrr(self) -> float: ...
    @property
    def hits_at(self) -> Mapping[int, float]: ...
    @property
    def mean_rank(self) -> float: ...
    @property
    def adjusted_mean_rank_index(self) -> float | None: ...
    @property
    def positives_proved(self) -> float: ...
    @property
    def corruptions_proved(self) -> float | None: ...


def metrics_by_name(metrics: OverallMetrics) -> dict[str, float]:
    """The metrics by the names in ``METRICS``, without those that are undefined or were left open."""
    values = {
        "mrr": metrics.mrr,
        **{f"hits@{k}": metrics.hits_at[k] for k in HITS_AT},
        "mean_rank": metrics.mean_rank,
        "adjusted_mean_rank_index": metrics.adjusted_mean_rank_index,
        "positives_proved": metrics.positives_proved,
        "corruptions_proved": metrics.corruptions_proved,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


class Improvement:
    """Follows one metric from step to step.

    Attributes:
        is_exhausted: whether ``patience`` values in a row were not better than the best one before them.
    """

    def __init__(self, metric: str, patience: int | None, min_delta: float) -> None:
        """Checks the choices.

        Args:
            metric: a name of ``METRICS``. ``mean_rank`` and ``corruptions_proved`` are better when smaller.
            patience: number of values in a row without an improvement after which it is exhausted; None for never.
            min_delta: difference that a value must exceed to count as an improvement, in the metric's unit.

        Raises:
            ProofrankError: one of them is wrong.
        """
        if metric not in METRICS:
            raise ProofrankError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
        if patience is not None and (type(patience) is not int or patience < 1):
            raise ProofrankError(f"patience is {patience!r}; expected a whole number, 1 or more, or None")
        if not 0 <= min_delta < float("inf"):
            raise ProofrankError(f"min_delta is {min_delta!r}; expected a number, 0 or more")
        self.is_exhausted = False
        self._sign = -1.0 if metric in _SMALLER_IS_BETTER else 1.0
        self._patience = patience
        self._min_delta = min_delta
        self._best: float | None = None
        self._best_with_delta: float | None = None
        self._steps_without = 0

    def add(self, value: float) -> bool:
        """Takes the next value, and returns whether it is the best so far; the first of equal ones is."""
        value *= self._sign
        if self._best_with_delta is None or value > self._best_with_delta + self._min_delta:
            self._best_with_delta = value
            self._steps_without = 0
        else:
            self._steps_without += 1
        if self._patience is not None and self._steps_without >= self._patience:
            self.is_exhausted = True
        if self._best is not None and value <= self._best:
            return False
        self._best = value
        return True

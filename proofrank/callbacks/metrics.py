"""The metrics that callbacks log, and when one of them no longer gets better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from proofrank.core.errors import ProofrankError
from proofrank.core.metric_names import METRICS, SMALLER_IS_BETTER, MetricValues, by_name


def metrics_by_name(metrics: MetricValues[float]) -> dict[str, float]:
    """The metrics over all rankings by the names in ``METRICS``, without those that are undefined or were left open."""
    return {name: float(value) for name, value in by_name(metrics).items() if value is not None}


class Ends(Protocol):
    """A number that is at least ``low`` and at most ``high``."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def metrics_of_intervals(intervals: Mapping[str, Ends | None]) -> dict[str, float]:
    """The metrics of an evaluation with ``mrr_tolerance``, by name: the middle of the MRR's interval, its ends as
    ``mrr_low`` and ``mrr_high``, and those others that are known.
    """
    found = {
        name: interval.low
        for name, interval in intervals.items()
        if interval is not None and interval.low == interval.high
    }
    mrr = intervals["mrr"]
    assert mrr is not None, "the MRR is always defined"
    return {**found, "mrr": (mrr.low + mrr.high) / 2, "mrr_low": mrr.low, "mrr_high": mrr.high}


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
        self._sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
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

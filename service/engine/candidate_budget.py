"""A budget of candidates over all requests: those that wait, run, or are in an answer being made or sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proofrank.service.engine.throughput import Throughput
from proofrank.service.errors import QueueFull
from proofrank.service.telemetry.metrics import ServiceMetrics


class CandidateBudget:
    """Bounds the memory of requests by their candidates; used only on the event loop."""

    def __init__(self, max_candidates: int, metrics: ServiceMetrics, throughput: Throughput) -> None:
        """Args:
        max_candidates: maximum number of candidates.
        metrics: shows their number.
        throughput: estimates when to retry.
        """
        self._max_candidates = max_candidates
        self._metrics = metrics
        self._throughput = throughput
        self._num_candidates = 0
        metrics.max_queued_candidates.set(max_candidates)

    @property
    def num_candidates(self) -> int:
        """Number of candidates that have room."""
        return self._num_candidates

    def check(self, num_candidates: int) -> None:
        """Raises QueueFull if there is no room for ``num_candidates`` more."""
        surplus = self._num_candidates + num_candidates - self._max_candidates
        if surplus > 0:
            raise QueueFull(
                f"{self._num_candidates} candidates are waiting or running and {num_candidates} more would be "
                f"over the limit of {self._max_candidates}",
                retry_seconds=self._throughput.seconds_for(surplus),
            )

    @contextmanager
    def taken(self, num_candidates: int) -> Iterator[None]:
        """Takes room for ``num_candidates`` while the context lasts. Raises QueueFull if there is none."""
        self.check(num_candidates)
        self._change(num_candidates)
        try:
            yield
        finally:
            self._change(-num_candidates)

    def _change(self, num_candidates: int) -> None:
        self._num_candidates += num_candidates
        self._metrics.queued_candidates.set(self._num_candidates)

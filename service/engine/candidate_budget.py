"""A budget of candidates: how many of all requests may wait, run, or be in an answer that is being made or sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proofrank.service.engine.throughput import Throughput
from proofrank.service.errors import QueueFull
from proofrank.service.telemetry.metrics import ServiceMetrics


class CandidateBudget:
    """Bounds what requests hold in memory, by their candidates; used on the event loop alone."""

    def __init__(self, max_candidates: int, metrics: ServiceMetrics, throughput: Throughput) -> None:
        """Args:
        max_candidates: for how many there is room.
        metrics: show how many there are.
        throughput: tells when it is worth coming back.
        """
        self._max_candidates = max_candidates
        self._metrics = metrics
        self._throughput = throughput
        self._num_candidates = 0
        metrics.max_queued_candidates.set(max_candidates)

    def check(self, num_candidates: int) -> None:
        """Raises QueueFull where there is no room for so many more."""
        surplus = self._num_candidates + num_candidates - self._max_candidates
        if surplus > 0:
            raise QueueFull(
                f"{self._num_candidates} candidates are waiting or running and {num_candidates} more would be "
                f"over the limit of {self._max_candidates}",
                retry_seconds=self._throughput.seconds_for(surplus),
            )

    @contextmanager
    def taken(self, num_candidates: int) -> Iterator[None]:
        """While it lasts, so many candidates have room. Raises as :meth:`check` does."""
        self.check(num_candidates)
        self._change(num_candidates)
        try:
            yield
        finally:
            self._change(-num_candidates)

    def _change(self, num_candidates: int) -> None:
        self._num_candidates += num_candidates
        self._metrics.queued_candidates.set(self._num_candidates)

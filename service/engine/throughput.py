"""The recent throughput of candidates, from which the time to retry follows."""

from __future__ import annotations

import math
import time
from collections import deque

_WINDOW_SECONDS = 30.0
_MOST_RETRY_SECONDS = 30
"""Maximum time to retry after, in seconds. Clients do not wait much longer: ours gives up after one minute in all."""


class Throughput:
    """Candidates per second over the last 30 seconds."""

    def __init__(self) -> None:
        self._done: deque[tuple[float, int]] = deque()
        self._total = 0

    def count(self, number: int) -> None:
        """Counts candidates that are done."""
        self._forget()
        self._done.append((time.monotonic(), number))
        self._total += number

    def seconds_for(self, number: int) -> int:
        """Returns the whole seconds in which about ``number`` candidates will be done, from 1 to 30."""
        self._forget()
        rate = self._total / _WINDOW_SECONDS
        return max(1, min(_MOST_RETRY_SECONDS, math.ceil(number / rate))) if rate else 1

    @property
    def per_second(self) -> float:
        """Mean number of candidates done per second."""
        self._forget()
        return self._total / _WINDOW_SECONDS

    def _forget(self) -> None:
        """Drops counts older than the window."""
        while self._done and time.monotonic() - self._done[0][0] > _WINDOW_SECONDS:
            self._total -= self._done.popleft()[1]

"""Turns of several schedulers, which share one device: one ticks at a time, as the policies of one scheduler do."""

from __future__ import annotations

import threading
import time
from collections import deque


class Turns:
    """Lets one of several schedulers tick, each for its time; may be used from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: object | None = None
        self._ends = 0.0
        # Those that wait, the oldest first, each with the length of its turn in seconds.
        self._waiting: deque[tuple[object, float]] = deque()

    def take(self, scheduler: object, seconds: float) -> None:
        """Returns once it is the turn of ``scheduler``, or once :meth:`leave` was called for it meanwhile.

        Args:
            scheduler: whose turn it is to be; it keeps the turn that it has until that is over and another waits.
            seconds: length of its next turn.
        """
        with self._changed:
            if self._holder is scheduler:
                if not self._waiting or time.monotonic() < self._ends:
                    return
                self._holder = None
            self._waiting.append((scheduler, seconds))
            self._pass_on()
            self._changed.wait_for(
                lambda: self._holder is scheduler or all(other is not scheduler for other, _ in self._waiting)
            )

    def leave(self, scheduler: object) -> None:
        """Ends the turn of ``scheduler``, and its wait for one."""
        with self._changed:
            self._waiting = deque(entry for entry in self._waiting if entry[0] is not scheduler)
            if self._holder is scheduler:
                self._holder = None
            self._pass_on()
            self._changed.notify_all()

    def _pass_on(self) -> None:
        if self._holder is None and self._waiting:
            self._holder, seconds = self._waiting.popleft()
            self._ends = time.monotonic() + seconds
            self._changed.notify_all()

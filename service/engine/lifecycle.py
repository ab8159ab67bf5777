"""Which stage the evaluator is at, as every thread may say and see it."""

from __future__ import annotations

import logging
import threading
import time

from proofrank.service.telemetry.metrics import ServiceMetrics

logger = logging.getLogger("proofrank")

STARTING = "starting"
READY = "ready"
DRAINING = "draining"
FAILED = "failed"


class Stages:
    """The stage, how long each took, and whether the end has begun; for any thread.

    A stage of the start may follow any but ``failed``, as an evaluator is made anew while requests are drained.
    ``ready`` becomes ``draining`` once the end has begun, and nothing follows ``failed``.
    """

    def __init__(self, metrics: ServiceMetrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._is_stopping = threading.Event()
        self._stage = STARTING
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}

    @property
    def stage(self) -> str:
        """What is going on: a stage of the start, ``ready``, ``draining`` or ``failed``."""
        return self._stage

    @property
    def seconds_in_stage(self) -> float:
        """How long that has been going on."""
        return time.monotonic() - self._began

    @property
    def stage_seconds(self) -> dict[str, float]:
        """How long each stage took that has ended, the last time."""
        with self._lock:
            return dict(self._seconds)

    @property
    def is_stopping(self) -> bool:
        """Whether the end has begun."""
        return self._is_stopping.is_set()

    def wait_until_stopping(self, seconds: float) -> bool:
        """Waits for the end to begin, no longer than ``seconds``; whether it has."""
        return self._is_stopping.wait(seconds)

    def begin_stop(self) -> None:
        """From now on ``ready`` is not entered.

        The stage stays until :meth:`drain`: this takes no lock of the stage, so that handlers of signals may call it.
        """
        self._is_stopping.set()

    def drain(self) -> None:
        """Begins the end, and enters ``draining`` unless it has failed."""
        self.begin_stop()
        self.enter(DRAINING)

    def enter(self, stage: str) -> None:
        """Goes on to ``stage``; see the class for what becomes of it."""
        with self._lock:
            # Under the lock, since draining may begin between a look at it and the entry.
            if stage == READY and self.is_stopping:
                stage = DRAINING
            if self._stage in (FAILED, stage):
                return
            seconds = self.seconds_in_stage
            self._seconds[self._stage] = seconds
            self._metrics.startup_seconds.labels(self._stage).set(seconds)
            self._metrics.ready.set(stage == READY)
            logger.info("%s (after %.2f s of %s)", stage, seconds, self._stage)
            self._stage, self._began = stage, time.monotonic()

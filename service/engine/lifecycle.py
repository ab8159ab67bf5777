"""The stage of the evaluator, which any thread may set and read."""

from __future__ import annotations

import logging
import threading
import time

from proofrank.service.telemetry.metrics import ServiceMetrics

logger = logging.getLogger("proofrank")

STARTING = "starting"
READY = "ready"
ASLEEP = "asleep"
DRAINING = "draining"
FAILED = "failed"


class Stages:
    """The stage, the duration of each stage, and whether the end has begun; for any thread.

    A stage of the start may follow any stage but ``failed``, because an evaluator may be made again while requests are
    drained, or after the server has slept. Once the end has begun, ``ready`` becomes ``draining``. Nothing follows
    ``failed``.
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
        """The current stage: a stage of the start, ``ready``, ``draining`` or ``failed``."""
        return self._stage

    @property
    def seconds_in_stage(self) -> float:
        """Time since the current stage began, in seconds."""
        return time.monotonic() - self._began

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Duration of the last run of each stage that has ended, in seconds."""
        with self._lock:
            return dict(self._seconds)

    @property
    def is_stopping(self) -> bool:
        """Whether the end has begun."""
        return self._is_stopping.is_set()

    def wait_until_stopping(self, seconds: float) -> bool:
        """Waits at most ``seconds`` for the end to begin; returns whether it has."""
        return self._is_stopping.wait(seconds)

    def begin_stop(self) -> None:
        """Prevents ``ready`` from now on.

        The stage does not change before :meth:`drain`. This takes no lock, so signal handlers may call it.
        """
        self._is_stopping.set()

    def drain(self) -> None:
        """Begins the end, and enters ``draining`` unless the stage is ``failed``."""
        self.begin_stop()
        self.enter(DRAINING)

    def enter(self, stage: str, *, unless: str | None = None) -> None:
        """Enters ``stage``, as far as the rules of the class allow, unless it is in the stage ``unless``."""
        with self._lock:
            if self._stage == unless:
                return
            # Under the lock, because draining may begin between the check and the change.
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

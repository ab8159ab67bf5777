"""An evaluator with its scheduler, and how one is made, also again after it has failed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import torch

from proofrank.core.errors import MemoryShortError
from proofrank.core.evaluator import CandidateStream
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.service.engine.evaluators import (
    make_beam_evaluator,
    make_evaluator,
    make_sampling_evaluator,
)
from proofrank.service.engine.lifecycle import READY, STARTING, Stages
from proofrank.service.engine.shape import Shape
from proofrank.service.scheduler import Lanes, Scheduler, Turns
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics

logger = logging.getLogger("proofrank")

_FIRST_SECONDS_BETWEEN_ATTEMPTS = 1.0
_MOST_SECONDS_BETWEEN_ATTEMPTS = 60.0
_DEVICE_ERRORS: tuple[type[Exception], ...] = tuple(filter(None, [getattr(torch, "AcceleratorError", None)]))
"""Classes of the errors of a device; older versions of torch have none."""
_NO_MEMORY = 2
"""Code of CUDA's error for lacking memory, ``cudaErrorMemoryAllocation``."""
_ATTEMPTS_ON_LOST_DEVICE = 3
"""Number of attempts in a row that fail by an error of the device, after which the device is lost to this process."""
_SECONDS_BETWEEN_LOOKS = 0.25
"""Time between two looks, in a wait for the next attempt, at whether the evaluator is to end, in seconds."""


class ShapeEvaluator:
    """An evaluator with its scheduler.

    Attributes:
        shape: shape of the policies that it ranks by.
        mode: engine that was asked for.
        scheduler: scheduler that owns the evaluator.
        engine: name of the engine that it came to.
        device: device that it computes on, as torch names it.
        stage: stage of the evaluator: ``ready``, or a stage of making it.
        cannot_be_made: whether the last attempt to make it again after a fault has failed.
        num_users: number of evaluations and activations that use it; changed on the event loop only.
        idle_since: time by ``time.monotonic()`` at which its last user left.
        idle_check: look at whether it has been idle for too long, which is to come; None for none.
    """

    def __init__(self, shape: Shape, mode: str) -> None:
        self.shape = shape
        self.mode = mode
        self.scheduler: Scheduler
        self.engine = mode
        self.device = "cpu"
        self.stage = STARTING
        self.cannot_be_made = False
        self.num_users = 0
        self.idle_since = time.monotonic()
        self.idle_check: asyncio.TimerHandle | None = None


class EvaluatorMaker:
    """Makes evaluators, each in the thread of its scheduler."""

    def __init__(
        self,
        settings: Settings,
        dataset: Dataset,
        metrics: ServiceMetrics,
        stages: Stages,
        on_stage: Callable[[ShapeEvaluator], None],
        on_lost_device: Callable[[Exception], None],
    ) -> None:
        """Makes nothing yet.

        Args:
            settings: settings of the service.
            dataset: the graph.
            metrics: counts evaluators that are made again.
            stages: tells when the service stops.
            on_stage: called after the stage of an evaluator has changed, in any thread.
            on_lost_device: called with the error, in any thread, once only another process can use the device.
        """
        self._settings = settings
        self._dataset = dataset
        self._metrics = metrics
        self._stages = stages
        self._on_stage = on_stage
        self._on_lost_device = on_lost_device
        self._turns = Turns()

    def make(self, shape: Shape, mode: str, policy: Policy) -> ShapeEvaluator:
        """Makes an evaluator and its thread, and waits until it is warm.

        Args:
            shape: shape of ``policy``.
            mode: the engine; those of beams and of samples have their own.
            policy: policy to begin with.

        Raises:
            EvaluationError: it cannot be made here.
            MemoryShortError: there is no memory for it.
        """
        evaluator = ShapeEvaluator(shape, mode)
        evaluator.scheduler = Scheduler(
            lambda fault: self._make_stream(evaluator, policy, fault), turns=self._turns
        )
        evaluator.scheduler.start()
        evaluator.stage = READY
        return evaluator

    def _make_stream(
        self, evaluator: ShapeEvaluator, policy: Policy, fault: Exception | None
    ) -> tuple[CandidateStream, Lanes]:
        """Makes an evaluator; to replace a failed one, tries until it succeeds, or is to end, or the server stops.

        Some errors of CUDA, such as an illegal memory access, make each later call in the process fail. So where the
        device fails again and again, this gives up.
        """
        if fault is None:
            return self._make_once(evaluator, policy)
        self._metrics.evaluator_rebuilds.inc()
        logger.error("making the evaluator again after %s", type(fault).__name__)
        seconds, num_lost = _FIRST_SECONDS_BETWEEN_ATTEMPTS, 0
        while True:
            try:
                made = self._make_once(evaluator, policy)
            except Exception as error:
                num_lost = num_lost + 1 if _is_of_device(error) else 0
                if num_lost == _ATTEMPTS_ON_LOST_DEVICE:
                    self._on_lost_device(error)
                    raise
                logger.exception("the evaluator cannot be made; trying again in %.0f s", seconds)
                evaluator.cannot_be_made = True
                if self._is_to_end_within(seconds, evaluator):
                    raise
                seconds = min(2 * seconds, _MOST_SECONDS_BETWEEN_ATTEMPTS)
            else:
                evaluator.cannot_be_made = False
                self._enter(evaluator, READY)
                return made

    def _is_to_end_within(self, seconds: float, evaluator: ShapeEvaluator) -> bool:
        """Waits at most ``seconds``; returns whether the end of the evaluator, or of the server, has begun."""
        ends = time.monotonic() + seconds
        while not evaluator.scheduler.is_stopping:
            left = ends - time.monotonic()
            if left <= 0:
                return False
            if self._stages.wait_until_stopping(min(left, _SECONDS_BETWEEN_LOOKS)):
                return True
        return True

    def _make_once(self, evaluator: ShapeEvaluator, policy: Policy) -> tuple[CandidateStream, Lanes]:
        shape = evaluator.shape
        try:
            if shape.is_sampling:
                stream, lanes = make_sampling_evaluator(self._settings, self._dataset, policy, shape.settings)
            elif shape.beam is not None:
                stream, lanes = make_beam_evaluator(
                    self._settings, self._dataset, policy, shape.settings, shape.beam
                )
            else:
                stream, lanes = make_evaluator(
                    self._settings.model_copy(update={"engine": evaluator.mode}),
                    self._dataset,
                    policy,
                    shape.settings,
                    self._metrics,
                    lambda stage: self._enter(evaluator, stage),
                )
        except RuntimeError as error:
            if not _tells_of_lacking_memory(error):
                raise
            raise MemoryShortError(f"no evaluator of shape {shape.name}: {error}") from error
        evaluator.engine = stream.engine
        evaluator.device = str(getattr(stream, "device", "cpu"))
        return stream, lanes

    def _enter(self, evaluator: ShapeEvaluator, stage: str) -> None:
        evaluator.stage = stage
        self._on_stage(evaluator)


def _tells_of_lacking_memory(error: Exception) -> bool:
    # Outside of torch's own allocator CUDA's usual error says so.
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, _DEVICE_ERRORS) and getattr(error, "error_code", None) == _NO_MEMORY
    )


def _is_of_device(error: Exception) -> bool:
    """Whether an error comes from the device, and does not say that memory lacks: some calls of torch and the libraries
    of CUDA give plain RuntimeErrors.
    """
    return isinstance(error, _DEVICE_ERRORS) or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )

"""The evaluators of a server: one for each shape of policy in use, each with a scheduler and a thread of its own.

A policy of another shape needs another evaluator. It is made and warmed in its own thread while the others rank on.
Evaluators share the device: one ticks at a time, in turns. One that is not of the live policy's shape, and that nothing
has used for some minutes, is ended; or at once if another one needs its memory.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import reduce
from operator import add

import torch

from proofrank.core.errors import EvaluationError, MemoryShortError
from proofrank.core.evaluator import CandidateStream, Work
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover.beams import Beam
from proofrank.service.engine.evaluators import (
    make_beam_evaluator,
    make_evaluator,
    make_sampling_evaluator,
)
from proofrank.service.engine.lifecycle import ASLEEP, READY, STARTING, Stages
from proofrank.service.engine.shape import Shape
from proofrank.service.errors import Draining, NotReady
from proofrank.service.scheduler import Lanes, Scheduler, Snapshot, Turns
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import Made, ServiceMetrics
from proofrank.service.threads import start_daemon

logger = logging.getLogger("proofrank")

MAX_EVALUATORS = 4
"""Number of evaluators above which unused ones are ended before another is made."""

IDLE_SECONDS = 300.0
"""Time after which an unused evaluator is ended, in seconds; a job of its shape that pauses need not wait for another
one.
"""

_MOST_SECONDS_BETWEEN_ATTEMPTS = 60


class ShapeEvaluator:
    """An evaluator with its scheduler.

    Attributes:
        shape: shape of the policies that it ranks by.
        scheduler: scheduler that owns the evaluator.
        engine: name of the engine.
        stage: stage of the evaluator: ``ready``, or a stage of making it.
        num_users: number of evaluations and activations that use it; changed on the event loop only.
        idle_since: time by ``time.monotonic()`` at which its last user left.
    """

    def __init__(self, shape: Shape, engine: str) -> None:
        self.shape = shape
        self.scheduler: Scheduler
        self.engine = engine
        self.stage = STARTING
        self.num_users = 0
        self.idle_since = time.monotonic()


class EvaluatorsByShape:
    """Makes evaluators as policies need them, and ends those that are not needed; used on the event loop.

    :meth:`begin`, :meth:`snapshot` and :meth:`end` may be called from other threads.
    """

    def __init__(self, settings: Settings, dataset: Dataset, metrics: ServiceMetrics, stages: Stages) -> None:
        self._settings = settings
        self._dataset = dataset
        self._metrics = metrics
        self._stages = stages
        self._turns = Turns()
        self._evaluators: dict[Shape, ShapeEvaluator] = {}
        self._live: ShapeEvaluator
        self._live_shape: Shape | None = None
        self._making: dict[Shape, asyncio.Task[None]] = {}
        self._is_asleep = False
        self._user_left = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._threads: set[threading.Thread] = set()
        # Guards what snapshots read: an evaluator's work counts once, before its end and after.
        self._lock = threading.Lock()
        self._work_before: Work | None = None

    @property
    def live(self) -> ShapeEvaluator:
        """The evaluator of the live policy."""
        return self._live

    def shape_of(self, policy: Policy, beam: Beam | None = None, *, is_sampling: bool = False) -> Shape:
        """Returns the shape of ``policy`` in this server, for a beam, for one trajectory of a candidate or for
        sampling. Raises EvaluationError if its settings are bad.
        """
        return Shape.of(policy, self._settings.prover_overrides, beam, is_sampling=is_sampling)

    def begin(self, policy: Policy) -> None:
        """Makes the first evaluator, whose stages are those of the server. Waits for it."""
        shape = self.shape_of(policy)
        self._live_shape = shape
        began = time.monotonic()
        self._live = self._make_scheduler(shape, policy)
        self._metrics.record_made(shape.name, Made.MADE, time.monotonic() - began)
        self._evaluators[shape] = self._live
        self._show()

    @asynccontextmanager
    async def using(
        self, policy: Policy, beam: Beam | None = None, *, is_sampling: bool = False
    ) -> AsyncIterator[ShapeEvaluator]:
        """Yields the evaluator for ``policy``, which stays as long as the context lasts; makes it if there is none.

        One for a beam is another than that for one trajectory of a candidate, and so is one that draws trajectories.

        Raises:
            MemoryShortError: there is no memory for it.
            EvaluationError: no evaluator can be made for the policy.
            Draining: the service stops.
            NotReady: it sleeps.
        """
        shape = self.shape_of(policy, beam, is_sampling=is_sampling)
        while (evaluator := self._evaluators.get(shape)) is None:
            await self._made(shape, policy)
        evaluator.num_users += 1
        try:
            yield evaluator
        finally:
            evaluator.num_users -= 1
            self._user_left.set()
            self._may_be_idle(evaluator)

    def set_live(self, policy: Policy) -> None:
        """Notes that requests now rank by ``policy``, whose evaluator is in use."""
        before = self._live
        self._live = self._evaluators[self.shape_of(policy)]
        self._live_shape = self._live.shape
        if self._live is before:
            return
        logger.info(
            "shape %s is live; its policies differ from those of %s in %s",
            self._live.shape.name,
            before.shape.name,
            ", ".join(before.shape.differences(self._live.shape)),
        )
        self._stages.enter(self._live.stage)
        self._show()
        self._may_be_idle(before)

    async def sleep(self) -> None:
        """Ends all evaluators once their users have left, and gives their memory back; no other is made until
        :meth:`wake`.
        """
        self._is_asleep = True
        async with self._one_at_a_time:
            while any(evaluator.num_users for evaluator in self._evaluators.values()):
                self._user_left.clear()
                await self._user_left.wait()
            for evaluator in list(self._evaluators.values()):
                await self._end_one(evaluator)
            await asyncio.to_thread(_give_memory_back)

    async def wake(self, policy: Policy) -> None:
        """Makes the evaluator of the live ``policy`` again; its stages are those of the server.

        Raises:
            MemoryShortError: there is no memory for it; the server still sleeps.
        """
        shape = self.shape_of(policy)
        async with self._one_at_a_time:
            self._is_asleep = False
            began = time.monotonic()
            try:
                evaluator = await self._made_in_thread(shape, policy)
            except BaseException as error:
                self._is_asleep = True
                made = Made.REFUSED if isinstance(error, EvaluationError) else Made.FAILED
                self._metrics.record_made(shape.name, made, time.monotonic() - began)
                raise
            self._metrics.record_made(shape.name, Made.MADE, time.monotonic() - began)
            with self._lock:
                self._evaluators[shape] = self._live = evaluator
            self._show()

    def snapshot(self) -> Snapshot:
        """Returns the state of all schedulers; may be called from any thread."""
        with self._lock:
            snapshots = [evaluator.scheduler.snapshot for evaluator in self._evaluators.values()]
            works = [self._work_before, *(snapshot.work for snapshot in snapshots)]
            counted = [work for work in works if work is not None]
            return Snapshot(
                work=reduce(add, counted) if counted else None,
                num_tasks=sum(snapshot.num_tasks for snapshot in snapshots),
                num_in_flight=sum(snapshot.num_in_flight for snapshot in snapshots),
                num_lanes=self._live.scheduler.snapshot.num_lanes,
            )

    def end(self, ends: float | None = None) -> bool:
        """Ends all schedulers; unfinished tasks fail at once. May be called from any thread.

        Args:
            ends: time by ``time.monotonic()`` until which to wait for their threads, and for those that make
                evaluators; None not to wait.

        Returns:
            Whether all threads have ended.
        """
        schedulers = [evaluator.scheduler for evaluator in list(self._evaluators.values())]
        for scheduler in schedulers:
            scheduler.stop(patience_seconds=0)
        if ends is None:
            return False
        for thread in list(self._threads):
            thread.join(max(0.0, ends - time.monotonic()))
        have_ended = [scheduler.stop(max(0.0, ends - time.monotonic())) for scheduler in schedulers]
        return all(have_ended) and not any(thread.is_alive() for thread in list(self._threads))

    async def _made(self, shape: Shape, policy: Policy) -> None:
        """Returns once the evaluator is there; other callers that need it wait for the same one."""
        making = self._making.get(shape)
        if making is None:
            making = self._making[shape] = asyncio.create_task(self._make_beside(shape, policy))

            def forget(made: asyncio.Task[None]) -> None:
                del self._making[shape]
                if not made.cancelled():
                    made.exception()  # the callers that waited have raised it; asyncio would log it once more

            making.add_done_callback(forget)
        # A client that goes away does not end what others may wait for.
        await asyncio.shield(making)

    async def _make_beside(self, shape: Shape, policy: Policy) -> None:
        async with self._one_at_a_time:
            if self._stages.is_stopping:
                raise Draining("the server is stopping")
            if self._is_asleep:
                raise NotReady(f"not ready: {ASLEEP}")
            while len(self._evaluators) >= MAX_EVALUATORS and (idle := self._idle()):
                await self._end_one(min(idle, key=lambda evaluator: evaluator.idle_since))
            logger.info("making an evaluator of shape %s for policy %s", shape.name, policy.name)
            began = time.monotonic()
            try:
                evaluator = await self._made_in_thread(shape, policy)
            except MemoryShortError:
                if not self._idle():
                    self._metrics.record_made(shape.name, Made.REFUSED, time.monotonic() - began)
                    raise
                while idle := self._idle():
                    await self._end_one(idle[0])
                evaluator = await self._made_after_all(shape, policy, began)
            except EvaluationError:
                self._metrics.record_made(shape.name, Made.REFUSED, time.monotonic() - began)
                raise
            except Exception:
                self._metrics.record_made(shape.name, Made.FAILED, time.monotonic() - began)
                logger.exception("no evaluator of shape %s can be made", shape.name)
                raise
            if self._stages.is_stopping:
                await asyncio.to_thread(evaluator.scheduler.stop)
                raise Draining("the server is stopping")
            seconds = time.monotonic() - began
            self._metrics.record_made(shape.name, Made.MADE, seconds)
            logger.info("the evaluator of shape %s is warm after %.2f s", shape.name, seconds)
            with self._lock:
                self._evaluators[shape] = evaluator
            self._show()
            self._may_be_idle(evaluator)

    async def _made_after_all(self, shape: Shape, policy: Policy, began: float) -> ShapeEvaluator:
        """Makes the evaluator in the memory of others that were ended for it."""
        try:
            return await self._made_in_thread(shape, policy)
        except EvaluationError:
            self._metrics.record_made(shape.name, Made.REFUSED, time.monotonic() - began)
            raise

    async def _made_in_thread(self, shape: Shape, policy: Policy) -> ShapeEvaluator:
        thread, made = start_daemon(lambda: self._make_scheduler(shape, policy), "make evaluator")
        self._threads.add(thread)
        try:
            return await asyncio.wrap_future(made)
        finally:
            self._threads.discard(thread)

    def _make_scheduler(self, shape: Shape, policy: Policy) -> ShapeEvaluator:
        """Makes an evaluator and its thread, and waits until it is warm."""
        evaluator = ShapeEvaluator(shape, self._settings.engine)
        evaluator.scheduler = Scheduler(
            lambda fault: self._make_stream(evaluator, policy, fault), turns=self._turns
        )
        evaluator.scheduler.start()
        evaluator.stage = READY
        return evaluator

    def _make_stream(
        self, evaluator: ShapeEvaluator, policy: Policy, fault: Exception | None
    ) -> tuple[CandidateStream, Lanes]:
        """Makes an evaluator; to replace a failed one, tries until it succeeds or the server stops."""
        if fault is None:
            return self._make_once(evaluator, policy)
        self._metrics.evaluator_rebuilds.inc()
        logger.error("making the evaluator again after %s", type(fault).__name__)
        seconds = 1.0
        while True:
            try:
                made = self._make_once(evaluator, policy)
            except Exception:
                logger.exception("the evaluator cannot be made; trying again in %.0f s", seconds)
                if self._stages.wait_until_stopping(seconds):
                    raise
                seconds = min(2 * seconds, _MOST_SECONDS_BETWEEN_ATTEMPTS)
            else:
                self._enter(evaluator, READY)
                return made

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
                    self._settings,
                    self._dataset,
                    policy,
                    shape.settings,
                    self._metrics,
                    lambda stage: self._enter(evaluator, stage),
                )
        except torch.OutOfMemoryError as error:
            raise MemoryShortError(f"no evaluator of shape {shape.name}: {error}") from error
        evaluator.engine = stream.engine
        return stream, lanes

    def _enter(self, evaluator: ShapeEvaluator, stage: str) -> None:
        """Notes a stage of an evaluator; it is that of the server if its policies are live."""
        evaluator.stage = stage
        if evaluator.shape == self._live_shape and not self._is_asleep:
            self._stages.enter(stage)

    def _idle(self) -> list[ShapeEvaluator]:
        return [
            evaluator
            for evaluator in self._evaluators.values()
            if evaluator.num_users == 0 and evaluator is not self._live
        ]

    def _may_be_idle(self, evaluator: ShapeEvaluator) -> None:
        if evaluator.num_users == 0 and evaluator is not self._live:
            evaluator.idle_since = time.monotonic()
            asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end_if_idle, evaluator)

    def _end_if_idle(self, evaluator: ShapeEvaluator) -> None:
        is_idle = evaluator in self._idle() and time.monotonic() - evaluator.idle_since >= IDLE_SECONDS * 0.99
        if is_idle and not self._stages.is_stopping:
            ending = asyncio.ensure_future(self._end_one(evaluator))
            ending.add_done_callback(lambda ended: ended.exception())

    async def _end_one(self, evaluator: ShapeEvaluator) -> None:
        """Ends an unused evaluator, and gives its memory back."""
        # Removed first, so that nothing begins to use it.
        with self._lock:
            if self._evaluators.get(evaluator.shape) is not evaluator:
                return  # it is being ended already
            del self._evaluators[evaluator.shape]
            work = evaluator.scheduler.snapshot.work
            if work is not None:
                self._work_before = work if self._work_before is None else self._work_before + work
        logger.info("ending the evaluator of shape %s, which nothing uses", evaluator.shape.name)
        self._show()
        await asyncio.to_thread(evaluator.scheduler.stop)

    def _show(self) -> None:
        self._metrics.show_shapes(
            [evaluator.shape.name for evaluator in self._evaluators.values()], self._live.shape.name
        )


def _give_memory_back() -> None:
    """Frees what evaluators that have ended leave behind: cycles of objects, and what torch keeps of the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

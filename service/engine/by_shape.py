"""The evaluators of a server: one for each shape of policy in use, each with a scheduler and a thread of its own.

A policy of another shape needs another evaluator. It is made and warmed in its own thread while the others rank on.
So is one of another engine for the same shape: what has begun with one engine ends with it.
Evaluators share the device: one ticks at a time, in turns. One that is not of the live policy's shape, and that nothing
has used for some minutes, is ended; or at once if another one needs its memory.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import reduce
from operator import add
from typing import NamedTuple

import torch

from proofrank.core.errors import EvaluationError, MemoryShortError
from proofrank.core.evaluator import Work, default_device
from proofrank.core.evaluator.engines import automatic_mode, option_of
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover.beams import Beam
from proofrank.service.engine.lifecycle import ASLEEP, READY, Stages
from proofrank.service.engine.shape import Shape
from proofrank.service.engine.shape_evaluator import EvaluatorMaker, ShapeEvaluator
from proofrank.service.errors import Draining, NotReady
from proofrank.service.scheduler import Snapshot
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

_SECONDS_BETWEEN_LOOKS = 1.0
"""Time between two looks at whether evaluators that have users can be made again, in seconds."""

_OF_SEVERAL = "eager"
"""Engine of evaluators of beams and of samples, whatever the server's."""


class _Key(NamedTuple):
    """What evaluators differ in: the shape of their policies, and the engine that was asked for."""

    shape: Shape
    mode: str


class EvaluatorsByShape:
    """Makes evaluators as policies need them, and ends those that are not needed; used on the event loop.

    :meth:`begin`, :meth:`snapshot` and :meth:`end` may be called from other threads.
    """

    def __init__(
        self,
        settings: Settings,
        dataset: Dataset,
        metrics: ServiceMetrics,
        stages: Stages,
        on_lost_device: Callable[[Exception], None],
    ) -> None:
        """Makes nothing yet; the arguments are those of :class:`EvaluatorMaker`."""
        self._settings = settings
        self._dataset = dataset
        self._metrics = metrics
        self._stages = stages
        self._maker = EvaluatorMaker(settings, dataset, metrics, stages, self._on_stage, on_lost_device)
        self._first_mode = first_mode(settings)
        self._modes: dict[Shape, str] = {}
        self._evaluators: dict[_Key, ShapeEvaluator] = {}
        self._live: ShapeEvaluator
        self._live_key: _Key | None = None
        self._making: dict[_Key, asyncio.Task[None]] = {}
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
        self._live_key = self._key(shape)
        began = time.monotonic()
        self._live = self._maker.make(*self._live_key, policy)
        self._metrics.record_made(shape.name, Made.MADE, time.monotonic() - began)
        self._evaluators[self._came_to(self._live)] = self._live
        self._set_live(self._live)
        self._show()

    @asynccontextmanager
    async def using(
        self,
        policy: Policy,
        beam: Beam | None = None,
        *,
        is_sampling: bool = False,
        engine: str | None = None,
    ) -> AsyncIterator[ShapeEvaluator]:
        """Yields the evaluator for ``policy``, which stays as long as the context lasts; makes it if there is none.

        One for a beam is another than that for one trajectory of a candidate, and so is one that draws trajectories.

        Args:
            policy: policy to rank by.
            beam: how many trajectories a candidate has.
            is_sampling: whether trajectories are drawn.
            engine: name of the engine that it must have, because something has begun with it; None for the one in use
                now. Those of beams and of samples have their own.

        Raises:
            MemoryShortError: there is no memory for it.
            EvaluationError: no evaluator can be made for the policy, or none of this engine.
            Draining: the service stops.
            NotReady: it sleeps.
        """
        shape = self.shape_of(policy, beam, is_sampling=is_sampling)
        while (evaluator := self._evaluators.get(key := self._key(shape, engine))) is None:
            await self._made(key, policy)
        if engine is not None and option_of(engine) == key.mode and evaluator.engine != engine:
            raise EvaluationError(f"engine {engine!r} is needed, and here there is only {evaluator.engine!r}")
        evaluator.num_users += 1
        try:
            yield evaluator
        finally:
            evaluator.num_users -= 1
            self._user_left.set()
            self._may_be_idle(evaluator)

    def set_live(self, policy: Policy, prepared: ShapeEvaluator) -> None:
        """Notes that requests now rank by ``policy``, by the evaluator that was ``prepared`` for it, or the one of
        another engine that has taken its place meanwhile.
        """
        before = self._live
        self._set_live(self._evaluators.get(self._key(self.shape_of(policy)), prepared))
        if self._live is before:
            return
        logger.info(
            "shape %s is live; its policies differ from those of %s in %s",
            self._live.shape.name,
            before.shape.name,
            ", ".join(before.shape.differences(self._live.shape)),
        )
        if not self._is_asleep:
            self._stages.enter(self._live.stage)
        self._show()
        self._may_be_idle(before)

    async def switch(self, policy: Policy, engine: str) -> None:
        """Makes an evaluator of ``engine`` for the shape of ``policy`` beside the one in use; what begins from then on
        uses it. What has begun ends with the engine that it has.

        Raises:
            MemoryShortError: there is no memory for both.
            EvaluationError: there is no such evaluator here.
            Draining: the service stops.
            NotReady: it sleeps.
        """
        shape = self.shape_of(policy)
        async with self.using(policy, engine=engine) as evaluator:
            self._modes[shape] = evaluator.mode
            before = self._live
            if before.shape != shape or before is evaluator:
                return
            self._set_live(evaluator)
            if not self._is_asleep:
                self._stages.enter(evaluator.stage)
            self._show()
            self._may_be_idle(before)

    async def sleep(self) -> None:
        """Ends all evaluators once their users have left, and gives their memory back; no other is made until
        :meth:`wake`. Those that wait for an evaluator that cannot be made again are told to come later.
        """
        self._is_asleep = True
        async with self._one_at_a_time:
            while any(
                evaluator.num_users and not evaluator.cannot_be_made
                for evaluator in self._evaluators.values()
            ):
                self._user_left.clear()
                with suppress(TimeoutError):  # whether one can be made again may change without a word
                    async with asyncio.timeout(_SECONDS_BETWEEN_LOOKS):
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
                evaluator = await self._made_in_thread(self._key(shape), policy)
            except BaseException as error:
                self._is_asleep = True
                made = Made.REFUSED if isinstance(error, EvaluationError) else Made.FAILED
                self._metrics.record_made(shape.name, made, time.monotonic() - began)
                raise
            self._metrics.record_made(shape.name, Made.MADE, time.monotonic() - began)
            with self._lock:
                self._evaluators[self._came_to(evaluator)] = evaluator
                self._set_live(evaluator)
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

    def _key(self, shape: Shape, engine: str | None = None) -> _Key:
        """The evaluator for ``shape``, of ``engine`` or of the engine in use now."""
        if shape.beam is not None or shape.is_sampling:
            return _Key(shape, _OF_SEVERAL)
        return _Key(shape, self._modes.get(shape, self._first_mode) if engine is None else option_of(engine))

    def _came_to(self, evaluator: ShapeEvaluator) -> _Key:
        """The key of an evaluator that was made, which may have come to another engine than was asked for.

        Raises:
            EvaluationError: it has, and something needs the one that was asked for.
        """
        shape, mode = evaluator.shape, option_of(evaluator.engine)
        if mode != evaluator.mode:
            if evaluator.mode != self._key(shape).mode:
                raise EvaluationError(
                    f"engine {evaluator.mode!r} is needed, and here there is only {evaluator.engine!r}"
                )
            self._modes[shape] = evaluator.mode = mode
        return _Key(shape, mode)

    def _set_live(self, evaluator: ShapeEvaluator) -> None:
        self._live = evaluator
        self._live_key = _Key(evaluator.shape, evaluator.mode)

    async def _made(self, key: _Key, policy: Policy) -> None:
        """Returns once the evaluator is there; other callers that need it wait for the same one."""
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = asyncio.create_task(self._make_beside(key, policy))

            def forget(made: asyncio.Task[None]) -> None:
                del self._making[key]
                if not made.cancelled():
                    made.exception()  # the callers that waited have raised it; asyncio would log it once more

            making.add_done_callback(forget)
        # A client that goes away does not end what others may wait for.
        await asyncio.shield(making)

    async def _make_beside(self, key: _Key, policy: Policy) -> None:
        shape = key.shape
        async with self._one_at_a_time:
            if self._stages.is_stopping:
                raise Draining("the server is stopping")
            if self._is_asleep:
                raise NotReady(f"not ready: {ASLEEP}")
            while len(self._evaluators) >= MAX_EVALUATORS and (idle := self._idle()):
                await self._end_one(min(idle, key=lambda evaluator: evaluator.idle_since))
            logger.info(
                "making an evaluator of shape %s for policy %s (%s)", shape.name, policy.name, key.mode
            )
            began = time.monotonic()
            try:
                evaluator = await self._made_in_thread(key, policy)
            except MemoryShortError:
                if not self._idle():
                    self._metrics.record_made(shape.name, Made.REFUSED, time.monotonic() - began)
                    raise
                while idle := self._idle():
                    await self._end_one(idle[0])
                evaluator = await self._made_after_all(key, policy, began)
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
            try:
                came_to = self._came_to(evaluator)
            except EvaluationError:
                self._metrics.record_made(shape.name, Made.REFUSED, seconds)
                await asyncio.to_thread(evaluator.scheduler.stop)
                raise
            self._metrics.record_made(shape.name, Made.MADE, seconds)
            if came_to in self._evaluators:
                # Another engine was asked for, and came to one that there is already.
                await asyncio.to_thread(evaluator.scheduler.stop)
                return
            logger.info("the evaluator of shape %s is warm after %.2f s", shape.name, seconds)
            with self._lock:
                self._evaluators[came_to] = evaluator
            self._show()
            self._may_be_idle(evaluator)

    async def _made_after_all(self, key: _Key, policy: Policy, began: float) -> ShapeEvaluator:
        """Makes the evaluator in the memory of others that were ended for it."""
        try:
            return await self._made_in_thread(key, policy)
        except EvaluationError:
            self._metrics.record_made(key.shape.name, Made.REFUSED, time.monotonic() - began)
            raise

    async def _made_in_thread(self, key: _Key, policy: Policy) -> ShapeEvaluator:
        thread, made = start_daemon(lambda: self._maker.make(*key, policy), "make evaluator")
        self._threads.add(thread)
        try:
            return await asyncio.wrap_future(made)
        finally:
            self._threads.discard(thread)

    def _on_stage(self, evaluator: ShapeEvaluator) -> None:
        """Makes a stage of the live evaluator that of the server."""
        is_live = _Key(evaluator.shape, evaluator.mode) == self._live_key
        if is_live and not self._is_asleep:
            # The server may fall asleep at this moment, and nothing but `wake` is to end that.
            self._stages.enter(evaluator.stage, unless=ASLEEP)
            if evaluator.stage == READY:  # after a fault, perhaps with another engine
                self._metrics.show_evaluator(self._dataset, evaluator.engine, evaluator.device)

    def _idle(self) -> list[ShapeEvaluator]:
        return [
            evaluator
            for evaluator in self._evaluators.values()
            if evaluator.num_users == 0 and evaluator is not self._live
        ]

    def _may_be_idle(self, evaluator: ShapeEvaluator) -> None:
        if evaluator.num_users == 0 and evaluator is not self._live:
            evaluator.idle_since = time.monotonic()
            if evaluator.idle_check is not None:
                evaluator.idle_check.cancel()
            loop = asyncio.get_running_loop()
            evaluator.idle_check = loop.call_later(IDLE_SECONDS, self._end_if_idle, evaluator)

    def _end_if_idle(self, evaluator: ShapeEvaluator) -> None:
        is_idle = evaluator in self._idle() and time.monotonic() - evaluator.idle_since >= IDLE_SECONDS * 0.99
        if is_idle and not self._stages.is_stopping:
            ending = asyncio.ensure_future(self._end_one(evaluator))
            ending.add_done_callback(lambda ended: ended.exception())

    async def _end_one(self, evaluator: ShapeEvaluator) -> None:
        """Ends an unused evaluator, and gives its memory back."""
        # Removed first, so that nothing begins to use it.
        with self._lock:
            key = next((key for key, other in self._evaluators.items() if other is evaluator), None)
            if key is None:
                return  # it is being ended already
            del self._evaluators[key]
            work = evaluator.scheduler.snapshot.work
            if work is not None:
                self._work_before = work if self._work_before is None else self._work_before + work
        logger.info("ending the evaluator of shape %s, which nothing uses", evaluator.shape.name)
        self._show()
        await asyncio.to_thread(evaluator.scheduler.stop)

    def _show(self) -> None:
        self._metrics.show_evaluator(self._dataset, self._live.engine, self._live.device)
        self._metrics.show_shapes(
            [evaluator.shape.name for evaluator in self._evaluators.values()], self._live.shape.name
        )


def first_mode(settings: Settings) -> str:
    """The engine that a server with ``settings`` begins with: ``auto`` by the name of what it is there."""
    if settings.engine != "auto":
        return settings.engine
    return automatic_mode(torch.device(settings.device or default_device()))


def _give_memory_back() -> None:
    """Frees what evaluators that have ended leave behind: cycles of objects, and what torch keeps of the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

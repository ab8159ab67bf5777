"""The host of the evaluator: loads and warms it in the background, ranks requests by it, replaces it if it fails."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from proofrank.core.choices import PruningLevel
from proofrank.core.errors import (
    DatasetError,
    EvaluationError,
    MemoryShortError,
    PolicyError,
    ProofrankError,
)
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Candidate, Candidates, ProverSettings
from proofrank.core.prover.beams import Beam
from proofrank.core.ranking import ProvableCompletions, Query, Scoring
from proofrank.service.engine.by_shape import EvaluatorsByShape
from proofrank.service.engine.depths import SplitDepths
from proofrank.service.engine.engine_switch import EngineSwitch
from proofrank.service.engine.lifecycle import ASLEEP, DRAINING, FAILED, READY, STARTING, Stages
from proofrank.service.engine.live_policy import LivePolicy
from proofrank.service.engine.loaded import Loaded
from proofrank.service.engine.provability import Provability
from proofrank.service.engine.ranker import RankedBatch, Ranker, SampledBatch
from proofrank.service.engine.served_scores import load_scores
from proofrank.service.errors import NotReady
from proofrank.service.scheduler import Finished
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.threads import start_daemon

logger = logging.getLogger("proofrank")

_LEAST_SECONDS_TO_END = 0.5
"""Minimum time for the threads to finish, in seconds; the evaluator's finishes its current tick."""
_MOST_SECONDS_FOR_MODEL = 5.0
"""Maximum time for which a warm evaluator waits for the least model before the first request, in seconds."""

PolicySource = Callable[[Dataset], Policy]
"""A function that returns the policy to begin with, which must fit the graph."""


class Fallback(Protocol):
    """Knows another policy to begin with, for the case that no evaluator can be made for the first one."""

    def instead(self, dataset: Dataset) -> Policy | None:
        """Returns it; None if there is none. Raises as a :data:`PolicySource` does."""
        ...

    def give_way(self, instead: Policy, reason: str) -> None:
        """Is told that ``instead`` will be live, and why the first one cannot be."""
        ...


class EvaluatorHost:
    """Loads the evaluator, and shares it among requests; makes others for policies of other shapes."""

    def __init__(
        self,
        settings: Settings,
        metrics: ServiceMetrics,
        policy_source: PolicySource | None = None,
        fallback: Fallback | None = None,
        on_failure: Callable[[], object] | None = None,
    ) -> None:
        """Args:
        settings: settings of the service.
        metrics: metrics of the service.
        policy_source: returns the policy to begin with; that of the settings by default.
        fallback: knows the policy for the case that no evaluator can be made for that one; None for none.
        on_failure: called in any thread where only a new process can help; nothing is by default.
        """
        self._settings = settings
        self._fallback = fallback
        self._on_failure = on_failure
        self._policy_source = policy_source or (lambda dataset: load_policy(settings.policy, dataset))
        self._metrics = metrics
        self._loaded: Loaded | None = None
        self._stages = Stages(metrics)
        self._live = LivePolicy(metrics)
        self._depths = SplitDepths()
        self._provability = Provability(settings, metrics)
        self._ranker = Ranker(settings.max_queued_candidates, metrics)
        self.room = self._ranker.room
        self._sleeping = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loading: threading.Thread | None = None
        self._switch: EngineSwitch | None = None
        self._grace_ends: float | None = None
        self._has_ended = True
        self._failure: Exception | None = None

    @property
    def stage(self) -> str:
        """The current stage: a stage of the start, ``ready``, ``draining`` or ``failed``."""
        return self._stages.stage

    @property
    def has_failed(self) -> bool:
        """Whether the evaluator could not be loaded, or its device is lost to this process."""
        return self._stages.stage == FAILED

    @property
    def failure(self) -> Exception | None:
        """Why it has failed: a ProofrankError where that is not a fault of the service."""
        return self._failure

    @property
    def is_stopping(self) -> bool:
        """Whether it has been told to drain or stop."""
        return self._stages.is_stopping

    @property
    def has_ended(self) -> bool:
        """Whether its threads have ended, once :meth:`stop` has returned; if not, the process must end without them."""
        return self._has_ended

    @property
    def seconds_in_stage(self) -> float:
        """Time since the current stage began, in seconds."""
        return self._stages.seconds_in_stage

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Duration of the last run of each stage that has ended, in seconds."""
        return self._stages.stage_seconds

    @property
    def loaded(self) -> Loaded:
        """The dataset and the evaluators in use. Raises NotReady if they are not ready."""
        # Requests that began before draining still come here.
        stage = self._stages.stage
        if self._loaded is None or stage not in (READY, DRAINING):
            raise NotReady(f"not ready: {stage}")
        return self._loaded

    @property
    def _known(self) -> Loaded:
        """As :attr:`loaded`, also in a server that sleeps."""
        if self._loaded is not None and self._stages.stage == ASLEEP:
            return self._loaded
        return self.loaded

    @property
    def active_policy(self) -> Policy:
        """The live policy, also in a server that sleeps. Raises NotReady if the service is not ready."""
        _ = self._known
        return self._live.active

    @property
    def engine(self) -> str:
        """Name of the running engine."""
        return self._settings.engine if self._loaded is None else self._loaded.evaluators.live.engine

    @property
    def candidates_per_second(self) -> float:
        """Candidates done per second over the last 30 seconds."""
        return self._ranker.candidates_per_second

    @property
    def num_tasks(self) -> int:
        """Number of requests and chunks of jobs that wait or run."""
        return 0 if self._loaded is None else self._loaded.evaluators.snapshot().num_tasks

    def depths(self) -> Mapping[tuple[str, str, str], str] | None:
        """The depth of each triple of the splits that have a file of depths, by its names; None if there is no file.

        Reads the files at the first call. Raises NotReady if the service is not ready, DatasetError if a file cannot
        be read.
        """
        return self._depths.of(self.loaded.dataset, self._provability.model)

    async def activate(self, policy: Policy) -> None:
        """Makes ``policy`` the live one, after its evaluator is made if there is none of its shape.

        Raises:
            PolicyError: it does not fit the graph.
            MemoryShortError: there is no memory for its evaluator.
            EvaluationError: no evaluator can be made for it.
            NotReady: the service is not ready.
        """
        async with self.prepared(policy) as go_live:
            go_live()

    @asynccontextmanager
    async def prepared(self, policy: Policy) -> AsyncIterator[Callable[[], None]]:
        """Makes the evaluator of ``policy`` beside the live one if there is none of its shape, and keeps it while the
        context lasts; raises as :meth:`activate` does.

        Yields the function that makes ``policy`` the live one. It does so whatever has become of the evaluators, so
        that what is written of the live policy before it is called stays true.
        """
        # A server that begins to sleep meanwhile ends what is prepared only after that.
        loaded = self._known
        self._live.check(policy, loaded)
        async with loaded.evaluators.using(policy) as evaluator:

            def go_live() -> None:
                self._live.activate(policy, loaded)
                loaded.evaluators.set_live(policy, evaluator)

            yield go_live

    def has_shape_of_live(self, policy: Policy) -> bool:
        """Whether the evaluator of the live policy can rank by ``policy``. Raises NotReady, or EvaluationError."""
        return self.loaded.evaluators.shape_of(policy) == self.loaded.evaluators.live.shape

    def check_policy(self, policy: Policy) -> None:
        """Checks that ``policy`` can rank on this graph; raises as :meth:`LivePolicy.check` does."""
        self._live.check(policy, self.loaded)

    def reference(self, loaded: Loaded, policy: Policy) -> ReferenceEvaluator:
        """Returns a reference evaluator with ``policy``; it shares no state with the evaluator, which need not be
        ready.
        """
        return self._live.reference(loaded, policy)

    async def sleep(self) -> None:
        """Gives the evaluators' memory back, and takes no requests until :meth:`wake`.

        Those that rank now are finished first; a job pauses after its chunk. Does nothing in a server that sleeps.

        Raises:
            NotReady: the service is not ready.
        """
        async with self._sleeping:
            if self._stages.stage == ASLEEP:
                return
            evaluators = self.loaded.evaluators
            self._stages.enter(ASLEEP)
            await evaluators.sleep()

    async def wake(self) -> None:
        """Makes and warms the evaluator of the live policy again; does nothing in a server that is awake.

        Raises:
            NotReady: the service has not been ready yet; or there is no memory for the evaluator, and it still sleeps.
        """
        async with self._sleeping:
            if self._stages.stage != ASLEEP:
                _ = self.loaded
                return
            evaluators = self._known.evaluators
            self._stages.enter(STARTING)
            try:
                await evaluators.wake(self._live.active)
            except BaseException as error:
                self._stages.enter(ASLEEP, unless=DRAINING)
                if isinstance(error, MemoryShortError):
                    raise NotReady(f"still {ASLEEP}: {error}", retry_seconds=10) from error
                raise
            self._stages.enter(READY)

    async def start(self) -> None:
        """Loads and warms everything; afterwards ``has_failed`` tells whether that failed."""
        self._loop = asyncio.get_running_loop()
        try:
            self._loading, loaded = start_daemon(self._load, "start")
            await asyncio.wrap_future(loaded)
            if (
                self._loaded is not None
                and not self._stages.is_stopping
                and EngineSwitch.is_for(self._settings)
            ):
                self._switch = EngineSwitch(
                    *(self._settings, self._loaded, lambda: self._live.active),
                    lambda: self._stages.stage == READY,
                    self._metrics,
                )
                self._switch.start()
        except ProofrankError as error:
            self._failure = error
            self._stages.enter(FAILED)
            logger.error("cannot start: %s", error)
        except Exception as error:
            self._failure = error
            self._stages.enter(FAILED)
            logger.exception("cannot start")

    def _load(self) -> None:
        self._stages.enter("load dataset")
        try:
            dataset = load_dataset(
                self._settings.dataset,
                rules_format=self._settings.rules_format,
                strict=self._settings.strict,
            )
        except DatasetError as error:
            raise self._settings.refusal("dataset", str(error)) from error
        for file in dataset.files:
            logger.info("read %s", file)
        for warning in dataset.warnings:
            logger.warning("%s", warning)
        self._provability.begin(dataset)
        scores = load_scores(self._settings, dataset)
        self._stages.enter("load policy")
        evaluators = EvaluatorsByShape(
            self._settings, dataset, self._metrics, self._stages, self._note_lost_device
        )
        try:
            policy = self._begin(evaluators, dataset)
        except PolicyError as error:
            raise self._settings.refusal("policy", str(error)) from error
        self._metrics.watch(evaluators.snapshot)
        self._live.begin_with(policy, dataset)
        self._stages.enter("least model")
        self._provability.wait(_MOST_SECONDS_FOR_MODEL)
        self._loaded = Loaded(dataset, evaluators, scores)
        self._stages.enter(READY)

    def _note_lost_device(self, error: Exception) -> None:
        """Ends the service: a supervisor starts another process, which may use the device again."""
        logger.critical("this process cannot use its device any more; only a new one can: %s", error)
        self._failure = error
        self._stages.enter(FAILED)
        if self._on_failure is not None:
            self._on_failure()

    def _begin(self, evaluators: EvaluatorsByShape, dataset: Dataset) -> Policy:
        """Makes the first evaluator, and returns the policy that it is for.

        Raises:
            PolicyError: the policy to begin with cannot be used.
            EvaluationError: no evaluator can be made, for lack of memory for instance.
        """
        policy = self._policy_source(dataset)
        try:
            evaluators.begin(policy)
        except EvaluationError as error:
            instead = None if self._fallback is None else self._fallback.instead(dataset)
            if self._fallback is None or instead is None:
                raise
            reason = str(error)
        else:
            return policy
        # Only now, when the error is gone and with it what its frames held of the device's memory.
        gc.collect()
        logger.error("no evaluator for policy %s: %s; trying policy %s", policy.name, reason, instead.name)
        evaluators.begin(instead)
        self._fallback.give_way(instead, reason)
        return instead

    async def rank(
        self,
        queries: Sequence[Query],
        seed: int,
        *,
        policy: Policy | None = None,
        pruning: PruningLevel = "none",
        scoring: Scoring | None = None,
        is_job: bool = False,
        is_explanation: bool = False,
        deadline: float | None = None,
        beam: Beam | None = None,
        engine: str | None = None,
    ) -> RankedBatch:
        """Ranks ``queries`` as :meth:`Ranker.rank` does, by the live policy by default, perhaps with a beam.

        What is a part of something must have the ``engine`` that the whole has begun with; None for the one in use now.

        Raises NotReady if the service is not ready, EvaluationError if there is no such engine here.
        """
        loaded = self.loaded
        with_policy = policy if policy is not None else self.active_policy
        if scoring is not None and scoring.kind == "embedding":
            return await self._ranker.rank_by_embedding(queries, seed, with_policy, scoring)
        async with loaded.evaluators.using(with_policy, beam, engine=engine) as evaluator:
            batch = await self._ranker.rank(
                queries,
                seed,
                loaded.dataset,
                evaluator.scheduler,
                with_policy,
                pruning=self._provability.pruning(pruning),
                scoring=scoring,
                is_job=is_job,
                is_explanation=is_explanation,
                deadline=deadline,
            )
            return dataclasses.replace(batch, engine=batch.engine or evaluator.engine)

    async def prove(
        self,
        candidates: Candidates,
        policy: Policy,
        *,
        is_job: bool = False,
        deadline: float | None = None,
        beam: Beam | None = None,
        engine: str | None = None,
    ) -> Finished:
        """Proves ``candidates`` as :meth:`Ranker.prove` does, with the engine as in :meth:`rank`; raises as that."""
        async with self.loaded.evaluators.using(policy, beam, engine=engine) as evaluator:
            return await self._ranker.prove(
                candidates, evaluator.scheduler, policy, is_job=is_job, deadline=deadline
            )

    async def sample(
        self, candidates: Sequence[Candidate], number: int, seed: int, policy: Policy, *, deadline: float
    ) -> SampledBatch:
        """Draws ``number`` trajectories of each of ``candidates`` beside other tasks, as :meth:`Ranker.sample` does.

        Raises NotReady if the service is not ready.
        """
        async with self.loaded.evaluators.using(policy, is_sampling=True) as evaluator:
            return await self._ranker.sample(
                candidates,
                number,
                seed,
                evaluator.scheduler,
                policy,
                engine=evaluator.engine,
                deadline=deadline,
            )

    async def engine_for(self, policy: Policy, beam: Beam | None = None, engine: str | None = None) -> str:
        """Name of the engine that proves by ``policy`` now; raises as :meth:`rank` does."""
        async with self.loaded.evaluators.using(policy, beam, engine=engine) as evaluator:
            return evaluator.engine

    def prover_settings(self, policy: Policy) -> ProverSettings:
        """The settings of the prover by which ``policy`` ranks here: those that it was trained under, but for those of
        the server. Raises NotReady if the service is not ready, EvaluationError if they are bad.
        """
        return self.loaded.evaluators.shape_of(policy).settings

    @property
    def completions(self) -> ProvableCompletions:
        """What is known now of the atoms that may have a proof. Raises NotReady if the service is not ready."""
        return self._provability.completions(self.loaded.dataset)

    def drain(self) -> None:
        """Becomes not ready and gives running requests ``grace_seconds``; for any thread and for signal handlers."""
        if self._loop is not None and not self._stages.is_stopping:
            self._stages.begin_stop()
            self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        assert self._loop is not None
        self._stages.drain()
        self._grace_ends = time.monotonic() + self._settings.grace_seconds
        self._loop.call_later(self._settings.grace_seconds, self._end_drain)

    def _end_drain(self) -> None:
        if self._loaded is not None:
            self._loaded.evaluators.end()

    async def stop(self) -> None:
        """Ends the evaluator; requests that still run are answered by 503.

        Its threads may be in a call that cannot be interrupted, such as a compilation. This waits for them for the rest
        of ``grace_seconds``, or for all of it without a :meth:`drain` before. Afterwards ``has_ended`` tells whether
        they ended.
        """
        self._stages.drain()
        ends = self._grace_ends or time.monotonic() + self._settings.grace_seconds
        ends = max(ends, time.monotonic() + _LEAST_SECONDS_TO_END)
        if self._switch is not None:
            await self._switch.stop()
        self._has_ended = await asyncio.to_thread(self._end_threads, ends)

    def _end_threads(self, ends: float) -> bool:
        """Waits for the threads until ``ends``; returns whether they have ended."""
        if self._loading is not None:
            self._loading.join(max(0.0, ends - time.monotonic()))
            if self._loading.is_alive():
                return False
        return self._loaded is None or self._loaded.evaluators.end(ends)

    def describe_prover(self) -> dict[str, int | bool]:
        """Returns the prover settings of the live policy."""
        return dataclasses.asdict(self.loaded.settings)

"""Owns what is being served: loads and warms it in the background, lends it to requests, and replaces what fails."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from proofrank.core.errors import EvaluationError, ProofrankError
from proofrank.core.evaluator import (
    CandidateStream,
    ReferenceEvaluator,
    settings_for,
)
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, PolicyConfig, load_policy
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.ranking import Query, RankedQuery, rank_outcomes
from proofrank.service.engine.candidate_budget import CandidateBudget
from proofrank.service.engine.evaluators import make_evaluator
from proofrank.service.engine.throughput import Throughput
from proofrank.service.scheduler import (
    DeadlineError,
    FaultError,
    Finished,
    Lanes,
    Scheduler,
    StoppedError,
    Task,
)
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import Kind, Outcome, ServiceMetrics
from proofrank.service.threads import FEW_CANDIDATES, in_worker_unless_small, start_daemon
from proofrank.service.web.problems import Problem
from proofrank.service.web.rejections import Rejection

logger = logging.getLogger("proofrank")

READY = "ready"
DRAINING = "draining"
FAILED = "failed"

_MOST_REFERENCES = 4
_LEAST_SECONDS_TO_END = 0.5
"""That a thread is given to end: that of the evaluator ends after its tick."""
_MOST_SECONDS_BETWEEN_ATTEMPTS = 60

PolicySource = Callable[[Dataset], Policy]
"""Gives the policy to begin with; it must fit the graph."""


@dataclass(frozen=True)
class Loaded:
    """Everything that is being served, but for the policy."""

    dataset: Dataset
    settings: ProverSettings
    scheduler: Scheduler


@dataclass(frozen=True)
class RankedBatch:
    """Ranked queries, the policy that they were ranked by, and where the time went in seconds."""

    ranked: list[RankedQuery]
    policy: Policy
    queue_seconds: float
    first_result_seconds: float
    execution_seconds: float


class EvaluatorHost:
    """Loads the evaluator, and shares it among the requests by a :class:`Scheduler`."""

    def __init__(
        self, settings: Settings, metrics: ServiceMetrics, policy_source: PolicySource | None = None
    ) -> None:
        self._settings = settings
        self._policy_source = policy_source or (lambda dataset: load_policy(settings.policy, dataset))
        self._metrics = metrics
        self._loaded: Loaded | None = None
        self._active: Policy | None = None
        self._references: dict[str, ReferenceEvaluator] = {}
        self._engine = settings.engine
        self._throughput = Throughput()
        self.room = CandidateBudget(settings.max_queued_candidates, metrics, self._throughput)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = threading.Event()
        self._loading: threading.Thread | None = None
        self._grace_ends: float | None = None
        self._has_ended = True
        self._stage = "starting"
        self._stage_began = time.monotonic()
        self.stage_seconds: dict[str, float] = {}

    @property
    def stage(self) -> str:
        """What is going on: a stage of the start, ``ready``, ``draining`` or ``failed``."""
        return self._stage

    @property
    def has_failed(self) -> bool:
        """Whether the evaluator could not be loaded."""
        return self._stage == FAILED

    @property
    def is_stopping(self) -> bool:
        """Whether it has been told to drain or to stop."""
        return self._is_stopping.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether its threads have, once :meth:`stop` has returned; else the process has to end without them."""
        return self._has_ended

    @property
    def seconds_in_stage(self) -> float:
        """How long that has been going on."""
        return time.monotonic() - self._stage_began

    @property
    def loaded(self) -> Loaded:
        """What is being served. Raises a 503 Problem where that is not ready."""
        # While draining, requests that had begun before still come here.
        if self._loaded is None or self._stage not in (READY, DRAINING):
            raise _unavailable(f"not ready: {self._stage}", Rejection.NOT_READY)
        return self._loaded

    @property
    def active_policy(self) -> Policy:
        """The policy that ranks what comes in now. Raises a 503 Problem where the service is not ready."""
        _ = self.loaded
        assert self._active is not None
        return self._active

    @property
    def engine(self) -> str:
        """Name of the engine that runs."""
        return self._engine

    def activate(self, policy: Policy) -> None:
        """Lets ``policy`` rank whatever comes in from now on.

        Raises:
            EvaluationError: its shape, or a prover setting that it was trained under, is not what is being served.
            PolicyError: it does not fit the graph.
        """
        self.check_policy(policy)
        self._metrics.show_live_policy(self.loaded.dataset, policy, self._active)
        self._active = policy

    def check_policy(self, policy: Policy) -> None:
        """Whether ``policy`` can go live without a new evaluator; raises as :meth:`activate` does."""
        loaded, active = self.loaded, self.active_policy
        policy.check_fits(loaded.dataset)
        differing = [
            *_differences(policy.network.config, active.network.config),
            *_differences(settings_for(policy, self._settings.prover_overrides), loaded.settings),
        ]
        if differing:
            raise EvaluationError(
                f"policy {policy.name!r} cannot replace {active.name!r} in this server: {'; '.join(differing)}"
            )

    def reference(self, loaded: Loaded, policy: Policy) -> ReferenceEvaluator:
        """The reference evaluator with ``policy``; it shares no state with the one that serves, nor needs it ready."""
        if policy.content_hash not in self._references:
            if len(self._references) >= _MOST_REFERENCES:
                del self._references[next(iter(self._references))]
            self._references[policy.content_hash] = ReferenceEvaluator(
                loaded.dataset, policy, loaded.settings
            )
        return self._references[policy.content_hash]

    async def start(self) -> None:
        """Loads and warms everything; ``has_failed`` tells afterwards whether that could not be done."""
        self._loop = asyncio.get_running_loop()
        try:
            self._loading, loaded = start_daemon(self._load, "start")
            await asyncio.wrap_future(loaded)
        except ProofrankError as error:
            self._enter(FAILED)
            logger.error("cannot start: %s", error)
        except Exception:
            self._enter(FAILED)
            logger.exception("cannot start")

    def _load(self) -> None:
        self._enter("load dataset")
        dataset = load_dataset(self._settings.dataset)
        for warning in dataset.warnings:
            logger.warning("%s", warning)
        self._enter("load policy")
        policy = self._policy_source(dataset)
        settings = settings_for(policy, self._settings.prover_overrides)
        scheduler = Scheduler(lambda fault: self._make(dataset, policy, settings, fault))
        scheduler.start()
        self._metrics.watch(lambda: scheduler.snapshot)
        self._metrics.show_live_policy(dataset, policy, None)
        self._active = policy
        self._loaded = Loaded(dataset, settings, scheduler)
        self._enter(DRAINING if self._is_stopping.is_set() else READY)

    def _make(
        self, dataset: Dataset, policy: Policy, settings: ProverSettings, fault: Exception | None
    ) -> tuple[CandidateStream, Lanes]:
        """An evaluator; in the place of one that failed it is tried until it can be made or the server stops."""
        if fault is None:
            return self._make_once(dataset, policy, settings)
        self._metrics.evaluator_rebuilds.inc()
        logger.error("making the evaluator anew after %s", type(fault).__name__)
        seconds = 1.0
        while True:
            try:
                made = self._make_once(dataset, policy, settings)
            except Exception:
                logger.exception("the evaluator cannot be made; trying again in %.0f s", seconds)
                if self._is_stopping.wait(seconds):
                    raise
                seconds = min(2 * seconds, _MOST_SECONDS_BETWEEN_ATTEMPTS)
            else:
                self._enter(DRAINING if self._is_stopping.is_set() else READY)
                return made

    def _make_once(
        self, dataset: Dataset, policy: Policy, settings: ProverSettings
    ) -> tuple[CandidateStream, Lanes]:
        stream, lanes = make_evaluator(self._settings, dataset, policy, settings, self._metrics, self._enter)
        self._engine = stream.engine
        return stream, lanes

    def _enter(self, stage: str) -> None:
        seconds = self.seconds_in_stage
        self.stage_seconds[self._stage] = seconds
        self._metrics.startup_seconds.labels(self._stage).set(seconds)
        self._metrics.ready.set(stage == READY)
        logger.info("%s (after %.2f s of %s)", stage, seconds, self._stage)
        self._stage, self._stage_began = stage, time.monotonic()

    async def rank(
        self,
        queries: Sequence[Query],
        seed: int,
        *,
        policy: Policy | None = None,
        is_job: bool = False,
        deadline: float | None = None,
    ) -> RankedBatch:
        """Ranks ``queries`` beside what else runs; cancelling it frees its lanes.

        Requests take ``room`` first, and keep it until they are answered.

        Args:
            queries: what to rank.
            seed: of the random order of ties.
            policy: ranks them, whatever is activated meanwhile; the active one by default.
            is_job: whether it yields to what is no job.
            deadline: by ``time.monotonic()``.

        Raises:
            Problem: 500 where the evaluator fails over them, 503 where the service is not ready or stops, 504 at the
                deadline.
            EvaluationError: a candidate cannot be evaluated.
        """
        loaded = self.loaded
        with_policy = policy if policy is not None else self.active_policy
        num_candidates = count_candidates(queries)
        is_small = num_candidates <= FEW_CANDIDATES
        kind = Kind.JOB if is_job else Kind.INTERACTIVE
        candidates = await in_worker_unless_small(is_small, _candidates_of, queries)
        finished = await self._outcome(
            Task(candidates, with_policy, is_job=is_job, deadline=deadline), loaded.scheduler, kind
        )
        self._throughput.count(num_candidates)
        self._metrics.record_ended(
            kind,
            Outcome.DONE,
            finished.queue_seconds,
            finished.first_result_seconds,
            finished.execution_seconds,
        )

        def rank() -> list[RankedQuery]:
            ranked = rank_outcomes(queries, finished.outcomes, seed=seed, seconds=finished.execution_seconds)
            self._metrics.record_ranked(ranked, loaded.dataset, with_policy, kind)
            return ranked

        ranked = await in_worker_unless_small(is_small, rank)
        return RankedBatch(
            ranked,
            with_policy,
            finished.queue_seconds,
            finished.first_result_seconds,
            finished.execution_seconds,
        )

    async def _outcome(self, task: Task, scheduler: Scheduler, kind: Kind) -> Finished:
        outcome = Outcome.FAILED
        try:
            scheduler.submit(task)
            finished = await asyncio.wrap_future(task.future)
            outcome = Outcome.DONE
            return finished
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
            raise
        except DeadlineError as error:
            outcome = Outcome.DEADLINE
            raise Problem(HTTPStatus.GATEWAY_TIMEOUT, f"the deadline has passed: {error}") from error
        except StoppedError as error:
            outcome = Outcome.CANCELLED
            raise _unavailable(str(error), Rejection.DRAINING) from error
        except FaultError as error:
            raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"evaluation failed: {error}") from error
        finally:
            if outcome is not Outcome.DONE:
                self._metrics.record_ended(kind, outcome, *task.times_so_far)
            # The task has the error, whose traceback has this frame: a cycle that holds all candidates.
            del task

    def drain(self) -> None:
        """Is not ready any more, and gives requests that run ``grace_seconds``; from any thread, and from signals."""
        if self._loop is not None and not self._is_stopping.is_set():
            self._is_stopping.set()
            self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        assert self._loop is not None
        if self._stage != FAILED:
            self._enter(DRAINING)
        self._grace_ends = time.monotonic() + self._settings.grace_seconds
        self._loop.call_later(self._settings.grace_seconds, self._end_drain)

    def _end_drain(self) -> None:
        if self._loaded is not None:
            self._loaded.scheduler.stop(patience_seconds=0)

    async def stop(self) -> None:
        """Ends the evaluator; requests that still run are answered by 503.

        Its threads may be at what cannot be stopped, such as a compiler. They are waited for no longer than what is
        left of ``grace_seconds``, all of it where nobody has called :meth:`drain`; ``has_ended`` tells afterwards.
        """
        self._is_stopping.set()
        if self._stage not in (FAILED, DRAINING):
            self._enter(DRAINING)
        ends = self._grace_ends or time.monotonic() + self._settings.grace_seconds
        ends = max(ends, time.monotonic() + _LEAST_SECONDS_TO_END)
        self._has_ended = await asyncio.to_thread(self._end_threads, ends)

    def _end_threads(self, ends: float) -> bool:
        """Waits for the threads until ``ends``; whether they have ended."""
        if self._loading is not None:
            self._loading.join(max(0.0, ends - time.monotonic()))
            if self._loading.is_alive():
                return False
        return self._loaded is None or self._loaded.scheduler.stop(max(0.0, ends - time.monotonic()))

    def describe_prover(self) -> dict[str, int | bool]:
        """The prover settings in force."""
        return dataclasses.asdict(self.loaded.settings)


def count_candidates(queries: Sequence[Query]) -> int:
    """How many candidates they have, positives included."""
    return sum(1 + len(query.corruptions) for query in queries)


def _candidates_of(queries: Sequence[Query]) -> list[Candidate]:
    return [candidate for query in queries for candidate in query.candidates]


def _unavailable(detail: str, rejection: Rejection) -> Problem:
    headers = {"Retry-After": "1"}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers, rejection=rejection)


def _differences(offered: PolicyConfig | ProverSettings, served: PolicyConfig | ProverSettings) -> list[str]:
    """Each field in which ``offered`` is not ``served``, in words."""
    theirs, ours = dataclasses.asdict(offered), dataclasses.asdict(served)
    return [
        f"its {name} is {theirs[name]!r}, here it is {ours[name]!r}"
        for name in ours
        if theirs[name] != ours[name]
    ]

"""Owns the evaluator: loads and warms it in the background, then runs one request after the other off the loop.

The thread that evaluates is the only one that touches the evaluator; what comes back to the event loop are
finished answers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus

from core.errors import EvaluationError, ProofrankError
from core.evaluator import CompiledEvaluator, Evaluator, OriginalEvaluator, create_evaluator, settings_for
from core.graph import Dataset, load_dataset
from core.policy import Policy, PolicyConfig, load_policy
from core.prover import ProverSettings
from core.ranking import Query, RankedQuery, rank_queries
from service.metrics import ServiceMetrics
from service.problems import Problem
from service.settings import Settings
from service.threads import use_threads

logger = logging.getLogger("proofrank")

READY = "ready"
DRAINING = "draining"
FAILED = "failed"

_MOST_REFERENCES = 4

PolicySource = Callable[[Dataset], Policy]
"""Gives the policy to begin with; it must fit the graph."""


@dataclass(frozen=True)
class Loaded:
    """Everything that is being served."""

    dataset: Dataset
    settings: ProverSettings
    evaluator: Evaluator


@dataclass(frozen=True)
class Execution:
    """Ranked queries, the policy that they were ranked by, and where the time went in seconds."""

    ranked: list[RankedQuery]
    policy: Policy
    queue_seconds: float
    execution_seconds: float


class EvaluatorHost:
    """Loads the evaluator and lends it to one request at a time."""

    def __init__(
        self, settings: Settings, metrics: ServiceMetrics, policy_source: PolicySource | None = None
    ) -> None:
        self._settings = settings
        self._policy_source = policy_source or (lambda dataset: load_policy(settings.policy, dataset))
        self._metrics = metrics
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evaluator")
        self._loaded: Loaded | None = None
        self._active: Policy | None = None
        self._references: dict[str, OriginalEvaluator] = {}
        self._queued_candidates = 0
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
    def seconds_in_stage(self) -> float:
        """How long that has been going on."""
        return time.monotonic() - self._stage_began

    @property
    def loaded(self) -> Loaded:
        """What is being served. Raises a 503 Problem where that is not ready."""
        if self._loaded is None or self._stage != READY:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {self._stage}", headers={"Retry-After": "1"}
            )
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
        return self.loaded.evaluator.engine

    def activate(self, policy: Policy) -> None:
        """Lets ``policy`` rank whatever comes in from now on.

        Raises:
            EvaluationError: its shape, or a prover setting that it was trained under, is not what is being served.
            PolicyError: it does not fit the graph.
        """
        self.check_policy(policy)
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

    def reference(self, policy: Policy) -> OriginalEvaluator:
        """The reference evaluator with ``policy``; it shares no state with the one that serves."""
        loaded = self.loaded
        if policy.content_hash not in self._references:
            if len(self._references) >= _MOST_REFERENCES:
                del self._references[next(iter(self._references))]
            self._references[policy.content_hash] = OriginalEvaluator(loaded.dataset, policy, loaded.settings)
        return self._references[policy.content_hash]

    async def start(self) -> None:
        """Loads and warms everything; ``has_failed`` tells afterwards whether that could not be done."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._load)
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
        self._enter("build evaluator")
        evaluator = create_evaluator(
            self._settings.engine,
            dataset,
            policy,
            settings,
            device=self._settings.device,
            fullgraph=self._settings.fullgraph,
            precision=self._settings.precision,
            cache_folder=self._settings.cache_folder,
        )
        use_threads(self._settings.threads, evaluator.engine)
        self._enter("warm up")
        if isinstance(evaluator, CompiledEvaluator):
            evaluator.warm_up(lambda num_lanes: logger.info("warming a bucket of %d lanes", num_lanes))
        self._active = policy
        self._loaded = Loaded(dataset, settings, evaluator)
        self._enter(READY)

    def _enter(self, stage: str) -> None:
        seconds = self.seconds_in_stage
        self.stage_seconds[self._stage] = seconds
        self._metrics.startup_seconds.labels(self._stage).set(seconds)
        self._metrics.ready.set(stage == READY)
        logger.info("%s (after %.2f s of %s)", stage, seconds, self._stage)
        self._stage, self._stage_began = stage, time.monotonic()

    async def rank(self, queries: Sequence[Query], seed: int, *, policy: Policy | None = None) -> Execution:
        """Ranks ``queries``, after those that came before.

        Args:
            queries: what to rank.
            seed: of the random order of ties.
            policy: ranks them, whatever is activated meanwhile; the active one by default.

        Raises:
            Problem: 429 where too many candidates wait, 503 where the service is not ready.
            EvaluationError: a candidate cannot be evaluated.
        """
        loaded = self.loaded
        with_policy = policy if policy is not None else self.active_policy
        num_candidates = sum(1 + len(query.corruptions) for query in queries)
        if self._queued_candidates + num_candidates > self._settings.max_queued_candidates:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._queued_candidates} candidates are waiting or running and {num_candidates} more would be "
                f"over the limit of {self._settings.max_queued_candidates}",
                headers={"Retry-After": "1"},
            )
        accepted = time.perf_counter()

        def execute() -> Execution:
            began = time.perf_counter()
            evaluator = loaded.evaluator
            if isinstance(evaluator, CompiledEvaluator):
                evaluator.load_policy(with_policy)
            else:
                evaluator = self.reference(with_policy)
            ranked = rank_queries(evaluator, queries, seed=seed)
            return Execution(ranked, with_policy, began - accepted, time.perf_counter() - began)

        self._count_queued(num_candidates)
        try:
            execution = await asyncio.get_running_loop().run_in_executor(self._executor, execute)
        finally:
            self._count_queued(-num_candidates)
        self._metrics.queue_seconds.observe(execution.queue_seconds)
        self._metrics.execution_seconds.observe(execution.execution_seconds)
        self._metrics.record_ranked(execution.ranked, loaded.dataset.name, with_policy.name)
        return execution

    def _count_queued(self, change: int) -> None:
        self._queued_candidates += change
        self._metrics.queued_candidates.set(self._queued_candidates)

    async def stop(self) -> None:
        """Takes no more requests and waits for those that run."""
        if self._stage != FAILED:
            self._enter(DRAINING)
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=False)

    def describe_prover(self) -> dict[str, int | bool]:
        """The prover settings in force."""
        return dataclasses.asdict(self.loaded.settings)


def _differences(offered: PolicyConfig | ProverSettings, served: PolicyConfig | ProverSettings) -> list[str]:
    """Each field in which ``offered`` is not ``served``, in words."""
    theirs, ours = dataclasses.asdict(offered), dataclasses.asdict(served)
    return [
        f"its {name} is {theirs[name]!r}, here it is {ours[name]!r}"
        for name in ours
        if theirs[name] != ours[name]
    ]

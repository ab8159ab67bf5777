"""A scheduler on a real evaluator that tests can stop before a tick and inspect, with its graph and fixtures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence

import pytest

from proofrank.core.evaluator import CompiledEvaluator, ReferenceEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.work import Work
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from proofrank.service.scheduler import Lanes, Scheduler, Task
from tests.helpers.datasets import DatasetMaker
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy

SETTINGS = ProverSettings(padding_states=6, padding_atoms=4, max_depth=8)
POOL_SIZE = 256
PATIENCE = 300
"""Seconds after which a missing event counts as a failure; never waited in full."""


class SteppedEvaluator(CompiledEvaluator):
    """An evaluator that tests can stop before a tick, and make fail.

    Attributes:
        may_tick: when cleared, the evaluator stops before the next tick.
        has_stopped: set while it is stopped there.
        on_cancel: called once, when lanes are next freed.
        fault_in_counters: raised once, when the counters are next read, like an earlier fault of a device.
        fault_in_submission: raised once, when candidates are next submitted.
        poison: candidate that it fails to move.
        moved: slots that each tick moved.
        lanes_of_ticks: number of lanes of each tick's bucket.
        num_cancelled: number of candidates whose trajectories were dropped.
    """

    fault_in_counters: Exception | None = None
    fault_in_submission: Exception | None = None
    poison: Candidate | None = None

    def __init__(self, dataset: Dataset, policy: Policy, buckets: tuple[int, ...]) -> None:
        super().__init__(dataset, policy, SETTINGS, EvaluatorOptions(buckets=buckets, pool_size=POOL_SIZE))
        self.may_tick = threading.Event()
        self.may_tick.set()
        self.has_stopped = threading.Event()
        self.on_cancel: Callable[[], object] | None = None
        self.moved: list[frozenset[int]] = []
        self.lanes_of_ticks: list[int | None] = []
        self.num_cancelled = 0
        self._candidate_at: dict[int, Candidate] = {}

    def submit(
        self, candidates: Sequence[Candidate], recorded_actions: Sequence[Sequence[int]] | None = None
    ) -> list[int]:
        if self.fault_in_submission is not None:
            fault, self.fault_in_submission = self.fault_in_submission, None
            raise fault
        slots = super().submit(candidates, recorded_actions)
        self._candidate_at.update(zip(slots, candidates, strict=True))
        return slots

    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        if not self.may_tick.is_set():
            self.has_stopped.set()
            assert self.may_tick.wait(PATIENCE)
            self.has_stopped.clear()
        assert only is not None
        self.moved.append(frozenset(only))
        self.lanes_of_ticks.append(num_lanes)
        if any(self._candidate_at[slot] == self.poison for slot in only):
            raise RuntimeError("device-side assert")
        super().advance(num_ticks, num_lanes, only=only)

    def cancel(self, slots: Sequence[int]) -> None:
        super().cancel(slots)
        self.num_cancelled += len(slots)
        if self.on_cancel is not None:
            on_cancel, self.on_cancel = self.on_cancel, None
            on_cancel()

    @property
    def work(self) -> Work:
        if self.fault_in_counters is not None:
            fault, self.fault_in_counters = self.fault_in_counters, None
            raise fault
        return super().work

    def stop_before_the_next_tick(self) -> None:
        """Returns once it has stopped; there must be work for it."""
        self.may_tick.clear()
        assert self.has_stopped.wait(PATIENCE)


class Stage:
    """A scheduler and its evaluators, of which the last runs."""

    def __init__(
        self, dataset: Dataset, policy: Policy, lanes: Lanes, poison: Candidate | None = None
    ) -> None:
        self.evaluators: list[SteppedEvaluator] = []
        self.rebuild_fault: Exception | None = None

        def make(_: Exception | None) -> tuple[SteppedEvaluator, Lanes]:
            if self.rebuild_fault is not None:
                raise self.rebuild_fault
            evaluator = SteppedEvaluator(dataset, policy, lanes.buckets)
            evaluator.poison = poison
            self.evaluators.append(evaluator)
            return evaluator, lanes

        self.scheduler = Scheduler(make)
        self.scheduler.start()

    @property
    def evaluator(self) -> SteppedEvaluator:
        return self.evaluators[-1]

    def submit(
        self,
        candidates: Sequence[Candidate],
        policy: Policy,
        *,
        is_job: bool = False,
        deadline: float | None = None,
    ) -> Task:
        task = Task(candidates, policy, is_job=is_job, deadline=deadline)
        self.scheduler.submit(task)
        return task

    def wait_for_ticks(self, number: int) -> None:
        """Returns once the current evaluator has moved candidates ``number`` times."""
        ends = time.monotonic() + PATIENCE
        while len(self.evaluator.moved) < number:
            assert time.monotonic() < ends, len(self.evaluator.moved)
            time.sleep(0.005)

    def wait_until_idle(self) -> None:
        """Returns once there is no task, no candidate is in progress, and all slots are free."""
        ends = time.monotonic() + PATIENCE
        while (
            self.scheduler.snapshot.num_tasks
            or self.scheduler.snapshot.num_in_flight
            or self.evaluator.num_free_slots < POOL_SIZE
        ):
            assert time.monotonic() < ends, self.scheduler.snapshot
            time.sleep(0.005)


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    return make_paths(make_dataset)


@pytest.fixture(scope="module")
def policy(dataset: Dataset) -> Policy:
    return make_policy(dataset, 1, spread=2.0)


@pytest.fixture(scope="module")
def other_policy(dataset: Dataset) -> Policy:
    return make_policy(dataset, 2, spread=2.0)


@pytest.fixture(scope="module")
def candidates(dataset: Dataset, policy: Policy) -> list[Candidate]:
    """The candidates, those with the longest trajectories first."""
    every = all_paths(dataset)
    outcomes = ReferenceEvaluator(dataset, policy, SETTINGS).evaluate(every)
    ordered = sorted(zip(every, outcomes, strict=True), key=lambda pair: -pair[1].steps)
    assert ordered[3][1].steps > 3
    return [candidate for candidate, _ in ordered]


@pytest.fixture(scope="module")
def expected(dataset: Dataset, policy: Policy, candidates: list[Candidate]) -> list[Outcome]:
    return list(ReferenceEvaluator(dataset, policy, SETTINGS).evaluate(candidates))


@pytest.fixture
def make_stage(dataset: Dataset, policy: Policy) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(
        buckets: tuple[int, ...] = (32,),
        *,
        is_cost_by_lane: bool = True,
        gather_seconds: float = 0.0,
        poison: Candidate | None = None,
    ) -> Stage:
        lanes = Lanes(buckets, is_cost_by_lane, gather_seconds=gather_seconds)
        stages.append(Stage(dataset, policy, lanes, poison))
        return stages[-1]

    yield make
    for stage in stages:
        stage.evaluator.may_tick.set()
        stage.scheduler.stop()

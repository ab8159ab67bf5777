"""The scheduler in corners that chance seldom reaches: each is brought about, step by step, on a real evaluator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence

import pytest

from core.evaluator import CompiledEvaluator, OriginalEvaluator
from core.evaluator.compiled import Work
from core.graph import Dataset
from core.policy import Policy
from core.prover import Candidate, Outcome, ProverSettings
from service.scheduler import DeadlineError, FaultError, Lanes, Scheduler, StoppedError, Task
from tests.conftest import DatasetMaker
from tests.core.test_vectorized_properties import assert_same, make_policy

SETTINGS = ProverSettings(padding_states=6, padding_atoms=4, max_depth=8)
NAMES = tuple(f"n{number}" for number in range(6))
POOL_SIZE = 256
PATIENCE = 30
"""Seconds until something that does not come counts as broken; never waited in full."""


class SteppedEvaluator(CompiledEvaluator):
    """An evaluator that can be stopped before a tick, and made to fail.

    Attributes:
        may_tick: cleared, it stops before the next tick.
        has_stopped: set while it has stopped there.
        on_cancel: called once, when lanes are next freed.
        fault_in_counters: raised once, when the counters are next read, as a device tells of an earlier fault.
        poison: a candidate that it fails to move.
        moved: the places that each tick moved.
    """

    fault_in_counters: Exception | None = None
    poison: Candidate | None = None

    def __init__(self, dataset: Dataset, policy: Policy, buckets: tuple[int, ...]) -> None:
        super().__init__(dataset, policy, SETTINGS, buckets=buckets, pool_size=POOL_SIZE)
        self.may_tick = threading.Event()
        self.may_tick.set()
        self.has_stopped = threading.Event()
        self.on_cancel: Callable[[], object] | None = None
        self.moved: list[frozenset[int]] = []

    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        if not self.may_tick.is_set():
            self.has_stopped.set()
            assert self.may_tick.wait(PATIENCE)
            self.has_stopped.clear()
        moving = self._submitted.keys() if only is None else only
        self.moved.append(frozenset(moving))
        if any(self._submitted[place][0] == self.poison for place in moving):
            raise RuntimeError("device-side assert")
        super().advance(num_ticks, num_lanes, only=only)

    def cancel(self, places: Sequence[int]) -> None:
        super().cancel(places)
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
        """Returns once it has stopped; there must be something to do."""
        self.may_tick.clear()
        assert self.has_stopped.wait(PATIENCE)


class Stage:
    """A scheduler and its evaluators, the last of which runs."""

    def __init__(
        self, dataset: Dataset, policy: Policy, lanes: Lanes, poison: Candidate | None = None
    ) -> None:
        self.evaluators: list[SteppedEvaluator] = []
        self.rebuild_fault: Exception | None = None

        def make(_: Exception | None = None) -> SteppedEvaluator:
            if self.rebuild_fault is not None:
                raise self.rebuild_fault
            evaluator = SteppedEvaluator(dataset, policy, lanes.buckets)
            evaluator.poison = poison
            self.evaluators.append(evaluator)
            return evaluator

        self.scheduler = Scheduler(make(), lanes, make)
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

    def wait_until_idle(self) -> None:
        """Returns once there is no task and no candidate in flight, and all places are free."""
        ends = time.monotonic() + PATIENCE
        while self.scheduler.snapshot.num_tasks or self.scheduler.snapshot.num_in_flight:
            assert time.monotonic() < ends, self.scheduler.snapshot
            time.sleep(0.005)
        assert self.evaluator.num_free_places == POOL_SIZE


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    facts = [
        f"edge({name},{NAMES[(number + step) % 6]})."
        for number, name in enumerate(NAMES)
        for step in (1, 4)
        if (number + step) % 4
    ]
    return make_dataset(
        facts, ["path(X,Y) :- edge(X,Y).", "path(X,Y) :- edge(X,Z), path(Z,Y).", "path(X,Y) :- path(Y,X)."]
    )


@pytest.fixture(scope="module")
def policy(dataset: Dataset) -> Policy:
    return make_policy(dataset, 1, spread=2.0)


@pytest.fixture(scope="module")
def other_policy(dataset: Dataset) -> Policy:
    return make_policy(dataset, 2, spread=2.0)


@pytest.fixture(scope="module")
def candidates(dataset: Dataset, policy: Policy) -> list[Candidate]:
    """Those whose trajectories are longest come first."""
    every = [
        Candidate(dataset.triple(first, "path", second), is_positive=False)
        for first in NAMES
        for second in NAMES
    ]
    outcomes = OriginalEvaluator(dataset, policy, SETTINGS).evaluate(every)
    ordered = sorted(zip(every, outcomes, strict=True), key=lambda pair: -pair[1].steps)
    assert ordered[3][1].steps > 3
    return [candidate for candidate, _ in ordered]


@pytest.fixture(scope="module")
def expected(dataset: Dataset, policy: Policy, candidates: list[Candidate]) -> list[Outcome]:
    return OriginalEvaluator(dataset, policy, SETTINGS).evaluate(candidates)


@pytest.fixture
def make_stage(dataset: Dataset, policy: Policy) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(
        buckets: tuple[int, ...] = (32,), *, is_cost_by_lane: bool = True, poison: Candidate | None = None
    ) -> Stage:
        stages.append(Stage(dataset, policy, Lanes(buckets, is_cost_by_lane), poison))
        return stages[-1]

    yield make
    for stage in stages:
        stage.evaluator.may_tick.set()
        stage.scheduler.stop()


def test_a_task_that_is_cancelled_while_the_lanes_of_another_are_freed_leaves_none_behind(
    make_stage: Callable[..., Stage], policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    stage = make_stage()
    stage.evaluator.may_tick.clear()
    first, second = stage.submit(candidates * 50, policy), stage.submit(candidates * 50, policy)
    stage.evaluator.stop_before_the_next_tick()
    third = stage.submit(candidates, policy)

    stage.evaluator.on_cancel = first.future.cancel
    second.future.cancel()
    stage.evaluator.may_tick.set()

    assert_same(third.future.result(PATIENCE).outcomes, expected)
    stage.wait_until_idle()
    assert len(stage.evaluators) == 1


def test_the_lanes_of_a_small_bucket_run_empty_however_many_tasks_want_a_larger_one(
    make_stage: Callable[..., Stage], policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    stage = make_stage((4, 128), is_cost_by_lane=False)
    stage.evaluator.may_tick.clear()
    first = stage.submit(candidates[:4], policy)
    stage.evaluator.stop_before_the_next_tick()

    others = [stage.submit(candidates[:3], policy) for _ in range(20)]
    stage.evaluator.may_tick.set()

    assert_same(first.future.result(PATIENCE).outcomes, expected[:4])
    for task in others:
        assert_same(task.future.result(PATIENCE).outcomes, expected[:3])


@pytest.mark.parametrize("is_cost_by_lane", [True, False])
def test_a_job_goes_on_beside_more_requests_than_have_a_turn(
    make_stage: Callable[..., Stage],
    policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
    is_cost_by_lane: bool,
) -> None:
    stage = make_stage(is_cost_by_lane=is_cost_by_lane)
    requests = [stage.submit(candidates * 500, policy) for _ in range(6)]

    job = stage.submit(candidates[:3], policy, is_job=True)

    assert_same(job.future.result(PATIENCE).outcomes, expected[:3])
    assert not any(request.future.done() for request in requests)


def test_a_fault_that_shows_when_the_counters_are_read_costs_the_evaluator_but_no_task(
    make_stage: Callable[..., Stage], policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    stage = make_stage()
    stage.evaluator.may_tick.clear()
    tasks = [stage.submit(candidates * 5, policy) for _ in range(2)]
    stage.evaluator.stop_before_the_next_tick()

    stage.evaluator.fault_in_counters = RuntimeError("an illegal memory access")
    time.sleep(0.25)  # until the counters are read again
    stage.evaluator.may_tick.set()

    for task in tasks:
        assert_same(task.future.result(PATIENCE).outcomes, expected * 5)
    assert len(stage.evaluators) == 2


def test_nobody_waits_for_ever_where_no_other_evaluator_can_be_made(
    make_stage: Callable[..., Stage], policy: Policy, candidates: list[Candidate]
) -> None:
    stage = make_stage(poison=candidates[0])
    stage.rebuild_fault = MemoryError()
    stage.evaluator.may_tick.clear()
    tasks = [stage.submit(candidates, policy), stage.submit(candidates[5:], policy)]
    stage.evaluator.stop_before_the_next_tick()

    tasks.append(stage.submit(candidates[5:], policy))
    stage.evaluator.may_tick.set()

    for task in tasks:
        with pytest.raises((StoppedError, FaultError)):
            task.future.result(PATIENCE)
    with pytest.raises(StoppedError):
        stage.submit(candidates, policy).future.result(PATIENCE)


def test_a_deadline_that_passes_while_another_policy_has_its_turn_is_kept(
    make_stage: Callable[..., Stage], policy: Policy, other_policy: Policy, candidates: list[Candidate]
) -> None:
    stage = make_stage()
    stage.submit(candidates * 500, policy)

    late = stage.submit(candidates * 500, other_policy, deadline=time.monotonic() + 0.05)

    with pytest.raises(DeadlineError):
        late.future.result(PATIENCE)

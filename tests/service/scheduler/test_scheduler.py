"""The scheduler on real evaluators: exact outcomes beside other tasks, fairness, deadlines, cancellation, faults."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pytest

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import (
    CandidateStream,
    CompiledEvaluator,
    EvaluatorOptions,
    OriginalStream,
    ReferenceEvaluator,
)
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from proofrank.service.scheduler import DeadlineError, FaultError, Lanes, Scheduler, StoppedError, Task
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy, with_nan
from tests.helpers.waiting import PATIENCE, wait_until

SETTINGS = ProverSettings(padding_states=6, padding_atoms=4, max_depth=8)
NUM_LANES = 32
MakeScheduler = Callable[..., Scheduler]


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
def candidates(dataset: Dataset) -> list[Candidate]:
    return all_paths(dataset)


@pytest.fixture(scope="module")
def expected(dataset: Dataset, policy: Policy, candidates: list[Candidate]) -> list[Outcome]:
    return list(ReferenceEvaluator(dataset, policy, SETTINGS).evaluate(candidates))


@pytest.fixture(scope="module")
def expected_of_other(dataset: Dataset, other_policy: Policy, candidates: list[Candidate]) -> list[Outcome]:
    return list(ReferenceEvaluator(dataset, other_policy, SETTINGS).evaluate(candidates))


class PoisonableEvaluator(CompiledEvaluator):
    """An evaluator that fails, as a device may, when it moves one certain candidate."""

    poison: Candidate | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._candidate_at: dict[int, Candidate] = {}

    def submit(
        self, candidates: Sequence[Candidate], recorded_actions: Sequence[Sequence[int]] | None = None
    ) -> list[int]:
        slots = super().submit(candidates, recorded_actions)
        self._candidate_at.update(zip(slots, candidates, strict=True))
        return slots

    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        assert only is not None
        if any(self._candidate_at[slot] == self.poison for slot in only):
            raise RuntimeError("device-side assert")
        super().advance(num_ticks, num_lanes, only=only)


@pytest.fixture
def make_scheduler(dataset: Dataset, policy: Policy) -> Iterator[MakeScheduler]:
    """Makes and starts schedulers; ends them."""
    started: list[Scheduler] = []

    def make(
        *,
        poison: Candidate | None = None,
        buckets: tuple[int, ...] = (NUM_LANES,),
        is_cost_by_lane: bool = True,
        engine: str = "eager",
    ) -> Scheduler:
        lanes = Lanes(buckets, is_cost_by_lane, ticks_per_look=1 if is_cost_by_lane else 4)

        def make_stream(_: Exception | None) -> tuple[CandidateStream, Lanes]:
            if engine == "original":
                return OriginalStream(dataset, policy, SETTINGS, num_slots=NUM_LANES), lanes
            options = EvaluatorOptions(buckets=buckets, pool_size=64)
            evaluator = PoisonableEvaluator(dataset, policy, SETTINGS, options, compile_mode=engine)
            evaluator.poison = poison
            return evaluator, lanes

        scheduler = Scheduler(make_stream)
        scheduler.start()
        started.append(scheduler)
        return scheduler

    yield make
    for scheduler in started:
        scheduler.stop()


def outcomes_of(task: Task) -> list[Outcome]:
    """Returns the outcomes of a task, once it is done."""
    return list(task.future.result(PATIENCE).outcomes)


def submit(scheduler: Scheduler, candidates: Sequence[Candidate], policy: Policy, **options: object) -> Task:
    """Submits a task and returns it."""
    task = Task(candidates, policy, **options)  # pyright: ignore[reportArgumentType]
    scheduler.submit(task)
    return task


@pytest.mark.parametrize("engine", ["eager", "captured", "original"])
@pytest.mark.parametrize("is_cost_by_lane", [True, False])
def test_tasks_of_all_sizes_have_exact_outcomes_whatever_runs_beside_them(
    make_scheduler: MakeScheduler,
    policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
    engine: str,
    is_cost_by_lane: bool,
) -> None:
    scheduler = make_scheduler(engine=engine, is_cost_by_lane=is_cost_by_lane)
    sizes = [36, 0, 1, 36, 7, 20, 3]

    tasks = [submit(scheduler, candidates[:size], policy, is_job=size == 20) for size in sizes]

    for task, size in zip(tasks, sizes, strict=True):
        assert_same(outcomes_of(task), expected[:size])
    assert_same(outcomes_of(submit(scheduler, candidates, policy)), expected)


@pytest.mark.parametrize("engine", ["eager", "captured", "original"])
def test_tasks_of_different_policies_run_side_by_side_each_by_its_own(
    make_scheduler: MakeScheduler,
    policy: Policy,
    other_policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
    expected_of_other: list[Outcome],
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proofrank.service.scheduler.scheduler.TURN_SECONDS", 0.0)
    scheduler = make_scheduler(engine=engine)

    tasks = [
        submit(scheduler, candidates, with_policy)
        for with_policy in (policy, other_policy, policy, other_policy, other_policy)
    ]

    wanted = (expected, expected_of_other, expected, expected_of_other, expected_of_other)
    for task, outcomes in zip(tasks, wanted, strict=True):
        assert_same(outcomes_of(task), outcomes)


def test_a_policy_whose_tasks_hold_all_lanes_makes_room_for_another(
    make_scheduler: MakeScheduler,
    policy: Policy,
    other_policy: Policy,
    candidates: list[Candidate],
    expected_of_other: list[Outcome],
) -> None:
    scheduler = make_scheduler()
    large = [submit(scheduler, candidates * 200, policy) for _ in range(2)]
    wait_until(lambda: scheduler.snapshot.num_in_flight > NUM_LANES // 2)

    small = submit(scheduler, candidates[:5], other_policy)

    assert_same(outcomes_of(small), expected_of_other[:5])
    assert not any(task.future.done() for task in large)


def test_a_small_task_is_not_stuck_behind_large_ones(
    make_scheduler: MakeScheduler, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    scheduler = make_scheduler()
    large = [submit(scheduler, candidates * 200, policy) for _ in range(5)]
    wait_until(lambda: scheduler.snapshot.num_in_flight > 0)

    small = submit(scheduler, candidates[:4], policy)

    assert_same(outcomes_of(small), expected[:4])
    assert not any(task.future.done() for task in large)


def test_many_more_tasks_than_lanes_all_end_and_are_exact(
    make_scheduler: MakeScheduler, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    scheduler = make_scheduler()
    starts = [number % 30 for number in range(150)]

    tasks = [submit(scheduler, candidates[start : start + 5], policy) for start in starts]

    for task, start in zip(tasks, starts, strict=True):
        assert_same(outcomes_of(task), expected[start : start + 5])


def test_a_job_goes_on_beside_a_stream_of_requests_and_is_exact(
    make_scheduler: MakeScheduler, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    scheduler = make_scheduler()

    job = submit(scheduler, candidates, policy, is_job=True)
    while not job.future.done():
        assert_same(outcomes_of(submit(scheduler, candidates[:3], policy)), expected[:3])

    assert_same(outcomes_of(job), expected)


def test_a_larger_bucket_is_taken_when_more_comes(
    make_scheduler: MakeScheduler, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    scheduler = make_scheduler(buckets=(4, 16), is_cost_by_lane=False)

    tasks = [submit(scheduler, candidates[:3], policy)]
    assert_same(outcomes_of(tasks[0]), expected[:3])
    wait_until(lambda: scheduler.snapshot.num_tasks == 0)
    assert scheduler.snapshot.num_lanes == 4
    tasks = [submit(scheduler, candidates, policy) for _ in range(20)]

    for task in tasks:
        assert_same(outcomes_of(task), expected)
    assert scheduler.snapshot.num_lanes == 16


def test_a_cancelled_task_frees_its_lanes_and_the_others_go_on(
    make_scheduler: MakeScheduler, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    scheduler = make_scheduler()
    large = submit(scheduler, candidates * 1000, policy)
    wait_until(lambda: scheduler.snapshot.num_in_flight > 0)
    other = submit(scheduler, candidates, policy)

    assert large.future.cancel()

    assert_same(outcomes_of(other), expected)
    wait_until(lambda: scheduler.snapshot.num_in_flight == 0)
    assert scheduler.snapshot.num_tasks == 0


def test_at_its_deadline_a_task_fails_and_frees_its_lanes(
    make_scheduler: MakeScheduler, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    scheduler = make_scheduler()

    late = submit(scheduler, candidates * 1000, policy, deadline=time.monotonic() + 0.1)

    with pytest.raises(DeadlineError, match="candidates were not done"):
        late.future.result(PATIENCE)
    assert_same(outcomes_of(submit(scheduler, candidates, policy)), expected)


def test_a_task_that_makes_the_evaluator_fail_takes_no_other_with_it(
    make_scheduler: MakeScheduler, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    scheduler = make_scheduler(poison=candidates[-1])

    innocent = [submit(scheduler, candidates[:-1], policy) for _ in range(3)]
    poisoned = submit(scheduler, candidates[-3:], policy)
    later = submit(scheduler, candidates[:9], policy)

    with pytest.raises(FaultError, match="the evaluator failed: RuntimeError"):
        poisoned.future.result(PATIENCE)
    for task in innocent:
        assert_same(outcomes_of(task), expected[:-1])
    assert_same(outcomes_of(later), expected[:9])


def test_an_evaluator_that_failed_is_gone_before_another_is_made(
    dataset: Dataset, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    made: list[weakref.ref[CompiledEvaluator]] = []
    was_gone: list[bool] = []
    threads: set[str] = set()

    def make(fault: Exception | None) -> tuple[CandidateStream, Lanes]:
        threads.add(threading.current_thread().name)
        if fault is not None:
            gc.collect()
            was_gone.append(made[-1]() is None)
        evaluator = PoisonableEvaluator(
            dataset, policy, SETTINGS, EvaluatorOptions(buckets=(NUM_LANES,), pool_size=64)
        )
        evaluator.poison = candidates[0]
        made.append(weakref.ref(evaluator))
        return evaluator, Lanes((NUM_LANES,), is_cost_by_lane=True)

    scheduler = Scheduler(make)
    scheduler.start()
    with pytest.raises(FaultError):
        submit(scheduler, candidates, policy).future.result(PATIENCE)
    assert_same(outcomes_of(submit(scheduler, candidates[1:], policy)), expected[1:])
    scheduler.stop()

    assert was_gone == [True]
    assert threads == {"evaluator"}


def test_a_scheduler_whose_evaluator_cannot_be_made_says_why_at_the_start() -> None:
    def make(_: Exception | None) -> tuple[CandidateStream, Lanes]:
        raise EvaluationError("no such engine")

    scheduler = Scheduler(make)

    with pytest.raises(EvaluationError, match="no such engine"):
        scheduler.start()
    scheduler.stop()


def test_logits_that_are_no_numbers_fail_the_task_of_that_policy_alone(
    make_scheduler: MakeScheduler,
    dataset: Dataset,
    policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
) -> None:
    scheduler = make_scheduler()

    broken = submit(scheduler, candidates, with_nan(policy, dataset, "path"))
    good = submit(scheduler, candidates, policy)

    with pytest.raises(EvaluationError, match="not finite"):
        broken.future.result(PATIENCE)
    assert_same(outcomes_of(good), expected)


def test_what_is_not_done_when_the_scheduler_stops_fails_and_so_does_what_comes_after(
    make_scheduler: MakeScheduler, policy: Policy, candidates: list[Candidate]
) -> None:
    scheduler = make_scheduler()
    large = submit(scheduler, candidates * 1000, policy)
    wait_until(lambda: scheduler.snapshot.num_in_flight > 0)

    scheduler.stop()

    with pytest.raises(StoppedError):
        large.future.result(PATIENCE)
    with pytest.raises(StoppedError):
        submit(scheduler, candidates, policy).future.result(PATIENCE)


def test_a_finished_task_tells_where_its_time_went(
    make_scheduler: MakeScheduler, policy: Policy, candidates: list[Candidate]
) -> None:
    task = submit(make_scheduler(), candidates, policy)

    finished = task.future.result(PATIENCE)

    assert 0 <= finished.queue_seconds <= finished.first_result_seconds
    assert finished.first_result_seconds <= finished.queue_seconds + finished.execution_seconds

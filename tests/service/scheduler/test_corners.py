"""Rare situations of the scheduler, each brought about step by step on a real evaluator."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable

import pytest

from proofrank.core.evaluator import Work
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Outcome
from proofrank.service.scheduler import DeadlineError, FaultError, StoppedError
from tests.helpers.outcomes import assert_same
from tests.helpers.stage import (  # noqa: F401 - fixtures
    PATIENCE,
    Stage,
    candidates,
    dataset,
    expected,
    make_stage,
    other_policy,
    policy,
)


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
    ticks = zip(stage.evaluator.lanes_of_ticks, stage.evaluator.moved, strict=True)
    assert len(frozenset().union(*(moved for num_lanes, moved in ticks if num_lanes == 4))) == 4
    assert stage.evaluator.lanes_of_ticks[-1] == 128


def test_a_policy_that_waits_for_a_larger_bucket_does_not_keep_the_one_that_has_the_lanes_from_moving(
    make_stage: Callable[..., Stage], policy: Policy, other_policy: Policy, candidates: list[Candidate]
) -> None:
    stage = make_stage((4, 128), is_cost_by_lane=False)
    stage.evaluator.may_tick.clear()
    first = stage.submit(candidates[:4], policy)
    stage.evaluator.stop_before_the_next_tick()

    second = stage.submit(candidates * 3, other_policy)
    time.sleep(0.3)  # longer than the turn of the first policy
    stage.evaluator.may_tick.set()

    first.future.result(PATIENCE)
    second.future.result(PATIENCE)
    assert all(stage.evaluator.moved)
    assert stage.evaluator.lanes_of_ticks[-1] == 128


def test_an_idle_scheduler_keeps_nothing_of_a_task_that_was_cancelled(
    make_stage: Callable[..., Stage], policy: Policy, candidates: list[Candidate]
) -> None:
    stage = make_stage()
    stage.evaluator.may_tick.clear()
    task = stage.submit(candidates * 500, policy)
    cancelled = weakref.ref(task)
    stage.evaluator.stop_before_the_next_tick()

    task.future.cancel()
    del task
    stage.evaluator.may_tick.set()
    stage.wait_until_idle()

    gc.collect()
    assert cancelled() is None


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
    stage = make_stage(gather_seconds=0.2)
    stage.evaluator.may_tick.clear()
    tasks = [stage.submit(candidates * 5, policy) for _ in range(2)]
    stage.evaluator.stop_before_the_next_tick()

    stage.evaluator.fault_in_counters = RuntimeError("an illegal memory access")
    time.sleep(0.25)  # long enough for the counters to be read again
    stage.evaluator.may_tick.set()

    for task in tasks:
        assert_same(task.future.result(PATIENCE).outcomes, expected * 5)
    assert len(stage.evaluators) == 2


def test_a_fault_at_a_submission_costs_no_candidate(
    make_stage: Callable[..., Stage], policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    stage = make_stage(gather_seconds=0.2)
    stage.evaluator.may_tick.clear()
    tasks = [stage.submit(candidates, policy) for _ in range(2)]
    stage.evaluator.stop_before_the_next_tick()

    stage.evaluator.fault_in_submission = RuntimeError("an illegal memory access")
    stage.evaluator.may_tick.set()

    for task in tasks:
        assert_same(task.future.result(PATIENCE).outcomes, expected)
    assert len(stage.evaluators) == 2


def test_the_counters_grow_on_where_another_evaluator_takes_over_and_does_more_than_the_first(
    make_stage: Callable[..., Stage], policy: Policy, candidates: list[Candidate]
) -> None:
    def wait_for_counters(before: Work) -> Work:
        ends = time.monotonic() + PATIENCE
        while (seen := stage.scheduler.snapshot.work) != before + stage.evaluator.work:
            assert time.monotonic() < ends, seen
            time.sleep(0.005)
        assert seen is not None
        return seen

    stage = make_stage()
    stage.submit(candidates[:2], policy).future.result(PATIENCE)
    first = wait_for_counters(Work())

    stage.evaluator.fault_in_counters = RuntimeError("an illegal memory access")
    stage.submit(candidates[:1], policy).future.result(PATIENCE)
    ends = time.monotonic() + PATIENCE
    while len(stage.evaluators) < 2:
        assert time.monotonic() < ends
        time.sleep(0.005)
    stage.submit(candidates * 5, policy).future.result(PATIENCE)

    both = wait_for_counters(first)
    assert both.ticks > 2 * first.ticks > 0


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

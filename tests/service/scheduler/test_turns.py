"""Which tasks have lanes and which lanes move, tick by tick: shares, turns, lanes taken back, tasks gathered."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Outcome
from proofrank.service.scheduler import Task
from proofrank.service.scheduler.fair_shares import LANES_PER_TASK
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

MakeStage = Callable[..., Stage]


@pytest.fixture
def longest(candidates: list[Candidate]) -> Candidate:
    """A candidate whose trajectory has more than three steps, so that it is not done in the first ticks."""
    return candidates[0]


def newcomer_to_full_lanes(
    make_stage: MakeStage, policy: Policy, longest: Candidate, number: int
) -> tuple[Stage, Task]:
    """Makes a stage with 128 lanes, of which two large tasks have 64 each, and submits a third task of ``number``
    candidates; the stage then runs on.
    """
    stage = make_stage((128,), gather_seconds=0.2)
    stage.evaluator.may_tick.clear()
    large = [stage.submit([longest] * 500, policy) for _ in range(2)]
    stage.evaluator.stop_before_the_next_tick()
    assert [len(task.slots) for task in large] == [64, 64]
    newcomer = stage.submit([longest] * number, policy)
    stage.evaluator.may_tick.set()
    return stage, newcomer


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives lanes to new tasks at once, because trajectories here are shorter than the usual wait."""
    monkeypatch.setattr("proofrank.service.scheduler.scheduler.PATIENT_TICKS", 0)


def test_beside_a_small_task_on_a_cpu_a_large_one_moves_its_oldest_trajectories_and_the_rest_keep_still(
    make_stage: MakeStage, policy: Policy, longest: Candidate
) -> None:
    stage = make_stage((128,))
    stage.evaluator.may_tick.clear()
    large = stage.submit([longest] * 500, policy)
    stage.evaluator.stop_before_the_next_tick()
    of_large = list(large.slots)
    stage.submit([longest] * 10, policy).future.add_done_callback(lambda _: large.future.cancel())

    stage.evaluator.may_tick.set()
    stage.wait_until_idle()

    first, second = stage.evaluator.moved[:2]
    assert first == set(of_large)
    assert len(of_large) == 64
    assert second & first == set(of_large[:22])
    assert len(second - first) == 10


@pytest.mark.usefixtures("no_patience")
def test_a_small_task_on_a_device_takes_the_lanes_of_the_youngest_trajectories_which_begin_again(
    make_stage: MakeStage, policy: Policy, longest: Candidate, expected: list[Outcome]
) -> None:
    stage = make_stage(is_cost_by_lane=False)
    stage.evaluator.may_tick.clear()
    large = stage.submit([longest] * 100, policy)
    stage.evaluator.stop_before_the_next_tick()
    of_large = list(large.slots)
    small = stage.submit([longest] * 4, policy)

    stage.evaluator.may_tick.set()

    assert_same(small.future.result(PATIENCE).outcomes, expected[:1] * 4)
    assert_same(large.future.result(PATIENCE).outcomes, expected[:1] * 100)
    first, second = stage.evaluator.moved[:2]
    assert len(first) == len(second) == 32
    # The small task gets the slots of the other four at once.
    assert second >= set(of_large[:28])
    assert stage.evaluator.num_cancelled == 4


def test_a_newcomer_takes_lanes_that_come_free_rather_than_those_of_others(
    make_stage: MakeStage, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    stage = make_stage(is_cost_by_lane=False)
    stage.evaluator.may_tick.clear()
    # Two steps, of which the second frees all lanes.
    short = next(index for index, outcome in enumerate(expected) if outcome.steps == 2)
    large = stage.submit([candidates[short]] * 100, policy)
    stage.evaluator.stop_before_the_next_tick()
    small = stage.submit([candidates[0]] * 4, policy)

    stage.evaluator.may_tick.set()

    assert_same(small.future.result(PATIENCE).outcomes, expected[:1] * 4)
    assert_same(large.future.result(PATIENCE).outcomes, [expected[short]] * 100)
    assert stage.evaluator.num_cancelled == 0


def test_trajectories_over_the_share_move_while_others_have_not_been_given_theirs(
    make_stage: MakeStage, policy: Policy, longest: Candidate
) -> None:
    stage, _ = newcomer_to_full_lanes(make_stage, policy, longest, 40)
    stage.wait_for_ticks(2)

    # Each share is 40 lanes. No lane is free, so the older tasks move lanes that the new task may not move yet.
    first, second = stage.evaluator.moved[:2]
    assert (len(first), len(second)) == (128, 120)


@pytest.mark.usefixtures("no_patience")
def test_no_more_trajectories_are_dropped_than_others_have_use_for(
    make_stage: MakeStage, policy: Policy, longest: Candidate
) -> None:
    stage, small = newcomer_to_full_lanes(make_stage, policy, longest, 4)
    small.future.result(PATIENCE)

    assert stage.evaluator.num_cancelled == 4


@pytest.mark.usefixtures("no_patience")
def test_a_newcomer_takes_no_more_lanes_from_others_than_it_begins_with(
    make_stage: MakeStage, policy: Policy, longest: Candidate
) -> None:
    stage, small = newcomer_to_full_lanes(make_stage, policy, longest, 40)
    small.future.result(PATIENCE)

    # Its share is 42 lanes; the others become free while these move.
    assert stage.evaluator.num_cancelled == LANES_PER_TASK


@pytest.mark.parametrize(("is_cost_by_lane", "alone", "together"), [(False, 32, 16), (True, 16, 8)])
def test_each_policy_has_its_share_of_the_lanes_and_takes_it_from_one_that_has_all(
    make_stage: MakeStage,
    policy: Policy,
    other_policy: Policy,
    longest: Candidate,
    is_cost_by_lane: bool,
    alone: int,
    together: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proofrank.service.scheduler.scheduler.TURN_SECONDS", 0.0)
    stage = make_stage(is_cost_by_lane=is_cost_by_lane)
    stage.evaluator.may_tick.clear()
    first = stage.submit([longest] * 20_000, policy)
    stage.evaluator.stop_before_the_next_tick()
    assert len(first.slots) == alone
    second = stage.submit([longest] * 20_000, other_policy)

    stage.evaluator.may_tick.set()
    stage.wait_for_ticks(40)
    stage.evaluator.stop_before_the_next_tick()

    assert all(stage.evaluator.moved)
    assert {len(moved) for moved in stage.evaluator.moved[1:]} == {together}
    assert not first.future.done() and not second.future.done()


def test_a_job_of_another_policy_has_shorter_turns_than_a_request(
    make_stage: MakeStage,
    policy: Policy,
    other_policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proofrank.service.scheduler.scheduler.TURN_SECONDS", 1000.0)
    monkeypatch.setattr("proofrank.service.scheduler.scheduler.JOB_TURN_SECONDS", 0.0)
    stage = make_stage(gather_seconds=0.2)
    job = stage.submit(candidates * 500, other_policy, is_job=True)

    request = stage.submit(candidates, policy)

    assert_same(request.future.result(PATIENCE).outcomes, expected)
    assert not job.future.done()


def test_a_large_task_is_done_at_last_however_many_small_ones_keep_coming(
    make_stage: MakeStage, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    stage = make_stage()
    large = stage.submit(candidates, policy)
    small = [stage.submit(candidates[:2], policy) for _ in range(6)]
    ends = time.monotonic() + PATIENCE

    while not large.future.done():
        assert time.monotonic() < ends
        done = small.pop(0)
        small.append(stage.submit(candidates[:2], policy))
        done.future.result(PATIENCE)

    assert_same(large.future.result(PATIENCE).outcomes, expected)


def test_requests_have_their_turn_before_all_jobs_but_one(
    make_stage: MakeStage, policy: Policy, longest: Candidate
) -> None:
    stage = make_stage((64,), gather_seconds=0.3)
    stage.evaluator.may_tick.clear()
    jobs = [stage.submit([longest] * 500, policy, is_job=True) for _ in range(6)]
    requests = [stage.submit([longest] * 500, policy) for _ in range(3)]

    stage.evaluator.stop_before_the_next_tick()

    assert all(request.slots for request in requests)
    assert [bool(job.slots) for job in jobs] == [True, False, False, False, False, False]


def test_tasks_that_come_while_others_are_gathered_begin_with_them(
    make_stage: MakeStage, policy: Policy, longest: Candidate
) -> None:
    stage = make_stage((64,), gather_seconds=0.5)

    tasks = []
    for _ in range(3):
        tasks.append(stage.submit([longest] * 2, policy))
        time.sleep(0.02)
    for task in tasks:
        task.future.result(PATIENCE)

    assert len(stage.evaluator.moved[0]) == 6


def test_a_scheduler_that_gathers_stops_at_once(
    make_stage: MakeStage, policy: Policy, longest: Candidate
) -> None:
    stage = make_stage(gather_seconds=60)
    stage.submit([longest], policy)
    time.sleep(0.1)
    began = time.monotonic()

    stage.scheduler.stop()

    assert time.monotonic() - began < 30


def test_the_first_result_of_a_long_task_is_long_before_its_end(
    make_stage: MakeStage, policy: Policy, candidates: list[Candidate]
) -> None:
    finished = make_stage().submit(candidates * 10, policy).future.result(PATIENCE)

    assert finished.first_result_seconds < 0.7 * (finished.queue_seconds + finished.execution_seconds)

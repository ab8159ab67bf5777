"""Pruned tasks on real evaluators: the ranks of whole ones, bit for bit, whatever happens beside and to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from unittest.mock import patch

import numpy as np
import pytest
import torch

from proofrank.core.choices import PruningLevel
from proofrank.core.graph import Dataset, Triple
from proofrank.core.policy import Policy
from proofrank.core.provability import LeastModel, compute_least_model
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.prover.environment import EvalOnlyEnvCompiled
from proofrank.core.prover.lanes import CandidatePool, LaneState
from proofrank.core.ranking import (
    Pruning,
    PruningCounts,
    Query,
    queue_of,
)
from proofrank.core.ranking.corruptions import SIDES
from proofrank.service.scheduler import DeadlineError, FaultError, Lanes, Task
from tests.helpers.policies import make_policy
from tests.helpers.pruned import LEVELS, assert_same, check_beside_each_other, ranked, run_on
from tests.helpers.stage import PATIENCE, Stage

SETTINGS = ProverSettings(padding_states=6, padding_atoms=4, max_depth=8)
NUM_LANES = 32


@pytest.fixture(scope="module")
def policy(family: Dataset) -> Policy:
    """A policy that proves some of the positives, and not others."""
    return make_policy(family, 1, spread=2.0)


@pytest.fixture(scope="module")
def other_policy(family: Dataset) -> Policy:
    return make_policy(family, 2, spread=2.0)


@pytest.fixture(scope="module")
def model(family: Dataset) -> LeastModel:
    return compute_least_model(family)


@pytest.fixture(scope="module")
def queries(family: Dataset) -> list[Query]:
    """Every triple of the splits on both sides against all other constants, known facts included."""
    constants = np.arange(1, family.vocabulary.num_constants + 1)
    triples = [triple for split in family.splits.values() for triple in split]
    return [
        Query(index, triple, side, constants[constants != getattr(triple, side)])
        for index, triple in enumerate(triples)
        for side in SIDES
    ]


class AskingStage(Stage):
    """A stage on the family."""

    def submit_queries(
        self, queries: Sequence[Query], policy: Policy, pruning: Pruning | None, **options: bool | float
    ) -> Task:
        task = Task(queue_of(queries, pruning), policy, **options)  # pyright: ignore[reportArgumentType]
        self.scheduler.submit(task)
        return task


@pytest.fixture
def make_stage(family: Dataset, policy: Policy) -> Iterator[Callable[..., AskingStage]]:
    """Makes stages; ends them."""
    stages: list[AskingStage] = []

    def make(
        buckets: tuple[int, ...] = (NUM_LANES,),
        *,
        is_cost_by_lane: bool = True,
        poison: Candidate | None = None,
    ) -> AskingStage:
        lanes = Lanes(buckets, is_cost_by_lane, ticks_per_look=1 if is_cost_by_lane else 4)
        stages.append(AskingStage(family, policy, lanes, poison))
        return stages[-1]

    yield make
    for stage in stages:
        stage.evaluator.may_tick.set()
        stage.scheduler.stop()


@pytest.mark.parametrize("engine", ["eager", "captured", "original"])
@pytest.mark.parametrize(("buckets", "is_cost_by_lane"), [((NUM_LANES,), True), ((4, 16, 64), False)])
def test_pruned_tasks_have_the_ranks_of_whole_ones_beside_each_other_and_by_other_policies(
    family: Dataset,
    policy: Policy,
    other_policy: Policy,
    model: LeastModel,
    queries: list[Query],
    engine: str,
    buckets: tuple[int, ...],
    is_cost_by_lane: bool,
) -> None:
    lanes = Lanes(buckets, is_cost_by_lane, ticks_per_look=1 if is_cost_by_lane else 4)
    scheduler = run_on(engine, lanes, family, policy, SETTINGS, pool_size=64)
    try:
        counts = check_beside_each_other(scheduler, queries, [policy, other_policy], model)
    finally:
        scheduler.stop()

    assert all(count.unprovable for count in counts)
    assert any(count.fallen_behind for count in counts)


def test_positives_go_in_together_and_what_has_no_proof_never_takes_a_lane(
    make_stage: Callable[..., AskingStage], policy: Policy, model: LeastModel, queries: list[Query]
) -> None:
    stage = make_stage((256,))
    asked: list[tuple[Triple, bool]] = []
    submit = stage.evaluator.submit

    def noting(candidates: Sequence[Candidate]) -> list[int]:
        asked.extend((candidate.triple, candidate.is_positive) for candidate in candidates)
        return submit(candidates)

    with patch.object(stage.evaluator, "submit", noting):
        finished = stage.submit_queries(queries, policy, Pruning("exact", model)).future.result(PATIENCE)

    assert [is_positive for _, is_positive in asked[: len(queries)]] == [True] * len(queries)
    assert sum(is_positive for _, is_positive in asked) == len(queries)
    outcomes = finished.outcomes
    assert len(asked) == len(outcomes) - PruningCounts.of(outcomes).unprovable < len(outcomes)
    is_proved = {one.query: bool(one.outcomes.success[0]) for one in ranked(queries, finished, "exact")}
    assert 0 < sum(is_proved.values()) < len(is_proved)
    unproved = [triple for triple, proved in is_proved.items() if not proved]
    for triple, is_positive in asked:
        if not is_positive and not model.contains([triple])[0]:
            assert any(
                triple.predicate == other.predicate
                and (triple.head == other.head or triple.tail == other.tail)
                for other in unproved
            )


def test_an_evaluator_is_given_the_model_of_its_pruned_tasks_before_their_candidates(
    make_stage: Callable[..., AskingStage], policy: Policy, model: LeastModel, queries: list[Query]
) -> None:
    stage = make_stage()
    seen: list[object] = []
    submit = stage.evaluator.submit

    def noting(candidates: Sequence[Candidate]) -> list[int]:
        seen.append("candidates")
        return submit(candidates)

    with (
        patch.object(stage.evaluator, "load_model", seen.append),
        patch.object(stage.evaluator, "submit", noting),
    ):
        stage.submit_queries(queries[:1], policy, None).future.result(PATIENCE)
        num_whole = len(seen)
        stage.submit_queries(queries[:1], policy, Pruning("exact", model)).future.result(PATIENCE)

    assert seen[:num_whole] == ["candidates"] * num_whole
    assert seen[num_whole] is model and seen[num_whole + 1] == "candidates"


def test_no_tick_waits_for_the_positives_of_other_queries(
    make_stage: Callable[..., AskingStage], policy: Policy, model: LeastModel, queries: list[Query]
) -> None:
    stage = make_stage()

    stage.submit_queries(queries, policy, Pruning("exact", model)).future.result(PATIENCE)

    # Half of the lanes is what a task alone moves; only the last trajectories leave some of them empty.
    moved = [len(slots) for slots in stage.evaluator.moved]
    assert all(moved)
    last_full = max(tick for tick, number in enumerate(moved) if number == NUM_LANES // 2)
    assert moved[:last_full] == [NUM_LANES // 2] * last_full
    assert len(moved) - last_full <= 2 * SETTINGS.max_depth


def test_what_waits_for_its_positive_holds_no_share_of_the_lanes(
    make_stage: Callable[..., AskingStage], policy: Policy, model: LeastModel, queries: list[Query]
) -> None:
    stage = make_stage(is_cost_by_lane=False)
    stage.evaluator.may_tick.clear()
    # Stops before the first tick, so that both others are there at the second.
    first = stage.submit_queries(queries[:1], policy, None)
    stage.evaluator.stop_before_the_next_tick()
    pruned = stage.submit_queries(queries[:2], policy, Pruning("exact", model))
    whole = stage.submit_queries(queries, policy, None)
    stage.evaluator.may_tick.set()

    for task in (first, pruned, whole):
        task.future.result(PATIENCE)

    # Its two positives take two lanes, not half of them.
    assert len(stage.evaluator.moved[1]) == NUM_LANES


@pytest.mark.parametrize("level", LEVELS)
def test_after_a_fault_pruned_tasks_begin_again_with_their_thresholds(
    make_stage: Callable[..., AskingStage],
    policy: Policy,
    model: LeastModel,
    queries: list[Query],
    level: PruningLevel,
) -> None:
    stage = make_stage()
    whole = stage.submit_queries(queries, policy, None).future.result(PATIENCE)
    for num_ticks in (1, 3, 6, 9):
        stage.evaluator.may_tick.clear()
        tasks = [stage.submit_queries(queries, policy, Pruning(level, model)) for _ in range(2)]
        stage.evaluator.stop_before_the_next_tick()
        begun = len(stage.evaluator.moved)
        evaluator = stage.evaluator
        evaluator.may_tick.set()
        stage.wait_for_ticks(begun + num_ticks)
        evaluator.fault_in_submission = RuntimeError("an illegal memory access")

        for task in tasks:
            pruned = ranked(queries, task.future.result(PATIENCE), level)
            assert_same(pruned, ranked(queries, whole, "none"), level)
        stage.wait_until_idle()

    assert len(stage.evaluators) > 1


def test_a_pruned_task_that_makes_the_evaluator_fail_takes_no_other_with_it(
    make_stage: Callable[..., AskingStage], policy: Policy, model: LeastModel, queries: list[Query]
) -> None:
    poisoned = next(query for query in queries if query.side == "tail")
    poison = next(
        Candidate(Triple(poisoned.triple.predicate, poisoned.triple.head, tail), is_positive=False)
        for tail in poisoned.constants.tolist()
        if model.contains([Triple(poisoned.triple.predicate, poisoned.triple.head, tail)])[0]
    )
    others = [query for query in queries if query.triple.predicate != poisoned.triple.predicate]
    stage = make_stage(poison=poison)

    failing = stage.submit_queries([poisoned], policy, Pruning("exact", model))
    tasks = [stage.submit_queries(others, policy, Pruning("exact", model)) for _ in range(3)]

    with pytest.raises(FaultError):
        failing.future.result(PATIENCE)
    whole = ranked(others, stage.submit_queries(others, policy, None).future.result(PATIENCE), "none")
    for task in tasks:
        assert_same(ranked(others, task.future.result(PATIENCE), "exact"), whole, "exact")


def test_a_cancelled_and_a_late_pruned_task_free_their_lanes(
    make_stage: Callable[..., AskingStage], policy: Policy, model: LeastModel, queries: list[Query]
) -> None:
    stage = make_stage()
    large = stage.submit_queries(queries * 200, policy, Pruning("exact", model))
    late = stage.submit_queries(
        queries * 200, policy, Pruning("ranks", model), deadline=time.monotonic() + 0.1
    )
    stage.wait_for_ticks(4)
    small = stage.submit_queries(queries, policy, Pruning("exact", model), is_job=True)

    assert large.future.cancel()

    with pytest.raises(DeadlineError):
        late.future.result(PATIENCE)
    pruned = ranked(queries, small.future.result(PATIENCE), "exact")
    whole = ranked(queries, stage.submit_queries(queries, policy, None).future.result(PATIENCE), "none")
    assert_same(pruned, whole, "exact")
    stage.wait_until_idle()


# Each lever, broken where the scheduler uses it: the comparison must see it.


@pytest.fixture
def is_refused(
    make_stage: Callable[..., AskingStage], family: Dataset, model: LeastModel, queries: list[Query]
) -> Callable[[], bool]:
    """Whether the comparison refuses what the scheduler makes of several policies."""

    def is_refused() -> bool:
        scheduler = make_stage().scheduler
        try:
            policies = [make_policy(family, seed, spread=2.0) for seed in range(4)]
            check_beside_each_other(scheduler, queries, policies, model)
        except AssertionError:
            return True
        return False

    return is_refused


def test_a_model_that_lacks_atoms_is_seen(is_refused: Callable[[], bool]) -> None:
    with patch.object(LeastModel, "contains", lambda self, triples: np.zeros(len(triples), dtype=bool)):
        assert is_refused()
    assert not is_refused()


def test_a_lane_that_is_freed_too_early_is_seen(is_refused: Callable[[], bool]) -> None:
    def too_early(lanes: LaneState, pool: CandidatePool) -> torch.Tensor:
        return lanes.log_probability - 1.0 < pool.threshold[lanes.candidate]

    with patch.object(EvalOnlyEnvCompiled, "has_fallen_behind", staticmethod(too_early)):
        assert is_refused()


def test_outcomes_that_go_to_other_candidates_of_their_task_are_seen(is_refused: Callable[[], bool]) -> None:
    record = Task.record

    def swapped(self: Task, slots: Collection[int], outcomes: object) -> None:
        record(self, list(slots)[::-1], outcomes)  # pyright: ignore[reportArgumentType]

    with patch.object(Task, "record", swapped):
        assert is_refused()

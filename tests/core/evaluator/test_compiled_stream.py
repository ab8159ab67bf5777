"""The stream through an evaluator: submit, advance, collect, cancel; other policies; what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from tests.helpers.buffers import use_static_shapes
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same, collect_outcomes
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy, with_nan

SETTINGS = ProverSettings(padding_states=6, padding_atoms=4, max_depth=6)
ENOUGH_TICKS = 200


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    return make_paths(make_dataset)


@pytest.fixture(scope="module")
def policy(dataset: Dataset) -> Policy:
    return make_policy(dataset, 1, spread=2.0)


@pytest.fixture(scope="module")
def candidates(dataset: Dataset) -> list[Candidate]:
    return all_paths(dataset)


@pytest.fixture(scope="module")
def expected(dataset: Dataset, policy: Policy, candidates: list[Candidate]) -> list[Outcome]:
    return list(CompiledEvaluator(dataset, policy, SETTINGS).evaluate(candidates))


@pytest.fixture(params=["trimming", "static"])
def make_evaluator(
    request: pytest.FixtureRequest, dataset: Dataset, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., CompiledEvaluator]:
    """Makes evaluators with 4 lanes and 16 slots, by default."""
    if request.param == "static":
        use_static_shapes(monkeypatch)

    def make(
        policy: Policy = policy, buckets: tuple[int, ...] = (4,), pool_size: int = 16
    ) -> CompiledEvaluator:
        return CompiledEvaluator(
            dataset, policy, SETTINGS, EvaluatorOptions(buckets=buckets, pool_size=pool_size)
        )

    return make


Make = Callable[..., CompiledEvaluator]


def unfit_actions(outcome: Outcome) -> tuple[int, ...]:
    """Actions that end in one that does not exist."""
    return (*outcome.actions[:-1], SETTINGS.padding_states)


def test_what_is_submitted_is_collected_once_with_its_slot(
    make_evaluator: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make_evaluator()
    slots = evaluator.submit(candidates[:10])

    evaluator.advance(ENOUGH_TICKS)
    outcomes = collect_outcomes(evaluator)

    assert sorted(outcomes) == sorted(slots)
    assert_same([outcomes[slot] for slot in slots], expected[:10])
    assert evaluator.collect() == []
    assert (evaluator.num_in_flight, evaluator.num_free_slots) == (0, 16)


def test_more_candidates_than_slots_stream_through_the_pool_in_any_rhythm(
    make_evaluator: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make_evaluator(pool_size=5)
    index_of_slot: dict[int, int] = {}
    outcomes: dict[int, Outcome] = {}
    waiting = list(range(len(candidates)))
    for turn in range(1000):
        batch = waiting[: min(1 + turn % 3, evaluator.num_free_slots)]
        del waiting[: len(batch)]
        slots = evaluator.submit([candidates[index] for index in batch])
        assert not set(slots) & set(index_of_slot)
        index_of_slot.update(zip(slots, batch, strict=True))
        evaluator.advance(1 + turn % 2)
        for slot, outcome in collect_outcomes(evaluator).items():
            outcomes[index_of_slot.pop(slot)] = outcome
        if len(outcomes) == len(candidates):
            break

    assert_same([outcomes[index] for index in range(len(candidates))], expected)
    assert evaluator.num_in_flight == 0


def test_evaluate_tells_how_many_are_done_and_ends_with_all(
    make_evaluator: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    told: list[int] = []

    outcomes = make_evaluator().evaluate(candidates, on_progress=told.append)

    assert_same(outcomes, expected)
    assert told == sorted(told)
    assert told[-1] == len(candidates)


def test_no_candidates_have_no_outcomes(make_evaluator: Make) -> None:
    evaluator = make_evaluator()

    assert evaluator.evaluate([]) == []
    assert evaluator.submit([]) == []
    assert evaluator.collect() == []


@pytest.mark.parametrize("num_ticks", [0, 1, 3, ENOUGH_TICKS])
def test_cancelled_candidates_are_never_collected_and_the_others_keep_their_outcomes(
    make_evaluator: Make, candidates: list[Candidate], expected: list[Outcome], num_ticks: int
) -> None:
    evaluator = make_evaluator()
    slots = evaluator.submit(candidates[:16])
    evaluator.advance(num_ticks)

    evaluator.cancel(slots[::3])
    evaluator.cancel(slots[::3])

    again = evaluator.submit(candidates[20:24])
    evaluator.advance(ENOUGH_TICKS)
    outcomes = collect_outcomes(evaluator)
    kept = [index for index in range(16) if index % 3]
    assert set(outcomes) == {*(slots[index] for index in kept), *again}
    assert_same([outcomes[slots[index]] for index in kept], [expected[index] for index in kept])
    assert_same([outcomes[slot] for slot in again], expected[20:24])
    assert evaluator.num_free_slots == 16


def test_after_one_that_waited_is_cancelled_each_of_the_others_is_proved_once(
    make_evaluator: Make, candidates: list[Candidate]
) -> None:
    evaluator, without = make_evaluator(), make_evaluator()
    slots = evaluator.submit(candidates[:16])
    without.submit([*candidates[:8], *candidates[9:16]])
    evaluator.advance(1)

    evaluator.cancel([slots[8]])

    evaluator.advance(ENOUGH_TICKS)
    without.advance(ENOUGH_TICKS + 1)
    assert evaluator.work.lanes_busy == without.work.lanes_busy


def test_all_slots_are_usable_again_after_all_were_cancelled(
    make_evaluator: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make_evaluator()
    for num_ticks in range(6):
        slots = evaluator.submit(candidates[:16])
        evaluator.advance(num_ticks)
        evaluator.cancel(slots)

    outcomes = evaluator.evaluate(candidates)

    assert_same(outcomes, expected)


def test_buffers_stay_where_they_are_over_evaluations_and_policies(
    make_evaluator: Make, dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    evaluator = make_evaluator(buckets=(2, 4))
    evaluator.warm_up()
    addresses = evaluator.buffer_addresses()
    other = make_policy(dataset, 2, spread=2.0)

    for number in range(6):
        evaluator.load_policy(other if number % 2 else policy)
        evaluator.evaluate(candidates[: 1 + 7 * number])
        evaluator.cancel(evaluator.submit(candidates[:4]))

    assert evaluator.buffer_addresses() == addresses


def test_after_another_policy_is_loaded_outcomes_are_those_of_the_other(
    make_evaluator: Make, dataset: Dataset, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make_evaluator()
    assert_same(evaluator.evaluate(candidates), expected)
    other = make_policy(dataset, 2, spread=2.0)

    evaluator.load_policy(other)

    outcomes = evaluator.evaluate(candidates)
    assert_same(outcomes, ReferenceEvaluator(dataset, other, SETTINGS).evaluate(candidates))
    assert outcomes != expected


def test_a_policy_of_another_shape_is_refused(
    make_evaluator: Make, dataset: Dataset, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make_evaluator()

    with pytest.raises(EvaluationError, match="another shape"):
        evaluator.load_policy(make_policy(dataset, 2, l2_norm=True))

    assert_same(evaluator.evaluate(candidates[:4]), expected[:4])


def test_candidates_keep_to_the_policy_that_they_were_submitted_under(
    make_evaluator: Make,
    dataset: Dataset,
    policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
) -> None:
    evaluator = make_evaluator(buckets=(6,))
    other = make_policy(dataset, 2, spread=2.0)
    expected_of_other = ReferenceEvaluator(dataset, other, SETTINGS).evaluate(candidates)
    assert [outcome.actions for outcome in expected_of_other[:8]] != [
        outcome.actions for outcome in expected[:8]
    ]
    slots = evaluator.submit(candidates[:8])
    evaluator.advance(1)
    evaluator.load_policy(other)
    slots_of_other = evaluator.submit(candidates[:8])
    outcomes: dict[int, Outcome] = {}
    for turn in range(ENOUGH_TICKS):
        evaluator.load_policy(other if turn % 3 else policy)
        evaluator.advance(1)
        outcomes.update(collect_outcomes(evaluator))

    assert_same([outcomes[slot] for slot in slots], expected[:8])
    assert_same([outcomes[slot] for slot in slots_of_other], expected_of_other[:8])


def test_while_another_policy_is_loaded_candidates_keep_still(
    make_evaluator: Make, dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    evaluator = make_evaluator()
    slots = evaluator.submit(candidates[:4])
    evaluator.load_policy(make_policy(dataset, 2, spread=2.0))

    evaluator.advance(ENOUGH_TICKS)

    assert evaluator.collect() == []
    evaluator.load_policy(policy)
    evaluator.advance(ENOUGH_TICKS)
    assert sorted(collect_outcomes(evaluator)) == sorted(slots)


def test_only_the_candidates_that_are_named_move(
    make_evaluator: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make_evaluator(buckets=(16,))
    slots = evaluator.submit(candidates[:12])

    evaluator.advance(ENOUGH_TICKS, only=slots[1::2])

    outcomes = collect_outcomes(evaluator)
    assert sorted(outcomes) == sorted(slots[1::2])
    evaluator.cancel(slots[:4])
    evaluator.advance(ENOUGH_TICKS, only=[])
    assert evaluator.collect() == []
    evaluator.advance(ENOUGH_TICKS)
    outcomes |= collect_outcomes(evaluator)
    kept = [index for index in range(12) if index >= 4 or index % 2]
    assert set(outcomes) == {slots[index] for index in kept}
    assert_same([outcomes[slots[index]] for index in kept], [expected[index] for index in kept])


def test_candidates_that_keep_still_cost_no_rows(make_evaluator: Make, candidates: list[Candidate]) -> None:
    evaluator = make_evaluator(buckets=(16,))
    evaluator.submit(candidates[:12])
    evaluator.advance(1, only=[])

    work = evaluator.work

    assert (work.ticks, work.lanes_busy, work.rows_expanded, work.states_scored) == (1, 0, 0, 0)


def test_a_batch_is_refused_while_candidates_are_in_flight(
    make_evaluator: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make_evaluator()
    slots = evaluator.submit(candidates[:3])

    with pytest.raises(EvaluationError, match="3 submitted candidates are in flight"):
        evaluator.evaluate(candidates[:1])

    evaluator.advance(ENOUGH_TICKS)
    outcomes = collect_outcomes(evaluator)
    assert_same([outcomes[slot] for slot in slots], expected[:3])


def test_more_candidates_than_free_slots_are_refused_and_none_of_them_is_taken(
    make_evaluator: Make, candidates: list[Candidate]
) -> None:
    evaluator = make_evaluator()
    evaluator.submit(candidates[:10])

    with pytest.raises(EvaluationError, match="7 candidates for 6 free slots"):
        evaluator.submit(candidates[:7])

    assert (evaluator.num_in_flight, evaluator.num_free_slots) == (10, 6)


def test_recorded_actions_are_followed_against_the_policys_choice(
    make_evaluator: Make, dataset: Dataset, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    other = make_policy(dataset, 2, spread=2.0)
    actions = [outcome.actions for outcome in expected]

    outcomes = make_evaluator(policy=other).evaluate(candidates, recorded_actions=actions)

    assert [outcome.actions for outcome in outcomes] == actions
    reference = ReferenceEvaluator(dataset, other, SETTINGS)
    assert_same(outcomes, reference.evaluate(candidates, recorded_actions=actions))


@pytest.mark.parametrize("defect", ["too large", "negative", "too short", "none"])
def test_recorded_actions_that_cannot_be_followed_are_an_error_and_the_evaluator_goes_on(
    make_evaluator: Make, candidates: list[Candidate], expected: list[Outcome], defect: str
) -> None:
    evaluator = make_evaluator()
    index = next(index for index, outcome in enumerate(expected) if outcome.steps >= 2)
    good = expected[index].actions
    bad = {
        "too large": unfit_actions(expected[index]),
        "negative": (*good[:-1], -1),
        "too short": good[:-1],
        "none": (),
    }[defect]
    actions = [outcome.actions for outcome in expected]
    actions[index] = bad

    with pytest.raises(EvaluationError, match="record"):
        evaluator.evaluate(candidates, recorded_actions=actions)

    assert (evaluator.num_in_flight, evaluator.num_free_slots) == (0, 16)
    assert_same(evaluator.evaluate(candidates), expected)


def test_more_recorded_actions_than_steps_are_refused_before_anything_is_taken(
    make_evaluator: Make, candidates: list[Candidate]
) -> None:
    evaluator = make_evaluator()

    with pytest.raises(EvaluationError, match="7 recorded actions of a trajectory of at most 6 steps"):
        evaluator.submit(candidates[:1], [[0] * 7])

    assert (evaluator.num_in_flight, evaluator.num_free_slots) == (0, 16)


def test_in_the_stream_an_error_is_the_outcome_of_its_candidate_alone(
    make_evaluator: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make_evaluator()
    actions = [outcome.actions for outcome in expected[:12]]
    index = next(index for index, outcome in enumerate(expected) if outcome.steps >= 2)
    actions[index] = unfit_actions(expected[index])
    slots = evaluator.submit(candidates[:12], actions)

    evaluator.advance(ENOUGH_TICKS)

    collected = dict(evaluator.collect())
    assert isinstance(collected.pop(slots[index]), EvaluationError)
    others = [number for number in range(12) if number != index]
    outcomes = [outcome for outcome in collected.values() if isinstance(outcome, Outcome)]
    assert list(collected) == [slots[number] for number in others]
    assert_same(outcomes, [expected[number] for number in others])


def test_logits_that_are_no_numbers_are_an_error_and_another_policy_makes_it_usable(
    make_evaluator: Make,
    dataset: Dataset,
    policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
) -> None:
    evaluator = make_evaluator(policy=with_nan(policy, dataset, "path"))

    with pytest.raises(EvaluationError, match="not finite"):
        evaluator.evaluate(candidates)

    assert (evaluator.num_in_flight, evaluator.num_free_slots) == (0, 16)
    evaluator.load_policy(policy)
    assert_same(evaluator.evaluate(candidates), expected)


def test_logits_that_are_no_numbers_concern_only_the_candidates_that_meet_them(
    make_evaluator: Make, dataset: Dataset, policy: Policy
) -> None:
    evaluator = make_evaluator(policy=with_nan(policy, dataset, "path"))
    met = Candidate(dataset.triple("n0", "path", "n3"), is_positive=False)
    fact = Candidate(dataset.splits["train"][0], is_positive=False)
    slots = evaluator.submit([fact, met, fact])

    evaluator.advance(ENOUGH_TICKS)

    outcomes = dict(evaluator.collect())
    assert isinstance(outcomes[slots[1]], EvaluationError)
    for slot in (slots[0], slots[2]):
        outcome = outcomes[slot]
        assert isinstance(outcome, Outcome)
        assert (outcome.success, outcome.log_probability) == (True, 0.0)


def test_work_counts_what_was_done(make_evaluator: Make, candidates: list[Candidate]) -> None:
    evaluator = make_evaluator()

    evaluator.evaluate(candidates)

    work = evaluator.work
    assert 0 < work.lanes_busy <= work.lanes == 4 * work.ticks
    assert 0 < work.states_scored <= work.states_padded
    assert work.rows_expanded > 0
    assert 0 <= work.padding_waste < 1

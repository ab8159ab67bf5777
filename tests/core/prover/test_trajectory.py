"""Whole trajectories: success, steps, depth, log-probability, and the choice between actions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from proofrank.core.errors import EvaluationError
from proofrank.core.graph import Dataset
from proofrank.core.prover import (
    Candidate,
    Outcome,
    ProverSettings,
    ReferenceProver,
    State,
    first_of_the_best,
    recorded,
    sampled,
)
from proofrank.core.prover.choice import is_near_tie, log_softmax
from proofrank.core.prover.settings import TIE_TOLERANCE
from tests.helpers.datasets import DatasetMaker
from tests.helpers.states import show

Logits = Callable[[State, Sequence[State]], Sequence[float]]


def all_equal(state: State, actions: Sequence[State]) -> list[float]:
    """Returns a policy without preferences."""
    return [0.0] * len(actions)


def never_asked(state: State, actions: Sequence[State]) -> list[float]:
    """Returns a policy that must not be asked."""
    raise AssertionError(f"asked for the logits of {actions}")


def prove(
    dataset: Dataset,
    query: str,
    policy: Logits = all_equal,
    *,
    actions: Sequence[int] | None = None,
    is_positive: bool = False,
    **settings: int | bool,
) -> Outcome:
    """Returns the outcome of ``query``, written ``relation head tail``, along ``actions`` or by the policy's choice."""
    relation, head, tail = query.split()
    candidate = Candidate(dataset.triple(head, relation, tail), is_positive)
    choose = first_of_the_best if actions is None else recorded(actions)
    prover = ReferenceProver(dataset, ProverSettings.from_dict(settings))
    return prover.prove(candidate, policy, choose=choose, with_trace=True)


def visited_states(outcome: Outcome, dataset: Dataset) -> list[str]:
    assert outcome.trace is not None
    return [show(step.state, dataset) for step in outcome.trace]


@pytest.fixture(scope="module")
def countries(make_dataset: DatasetMaker) -> Dataset:
    """Two steps from austria to europe through germany; belgium is two borders away."""
    return make_dataset(
        [
            "neighbor(austria,germany).",
            "neighbor(germany,belgium).",
            "neighbor(germany,austria).",
            "located(belgium,europe).",
        ],
        ["one:1:neighbor(X,Y), located(Y,Z) -> located(X,Z)"],
    )


# Success and failure


def test_a_known_fact_that_is_no_positive_is_proved_in_one_step(countries: Dataset) -> None:
    outcome = prove(countries, "located belgium europe", never_asked)

    assert outcome.success
    assert (outcome.steps, outcome.actions, outcome.log_probability) == (1, (0,), 0.0)


def test_a_known_fact_that_is_the_positive_does_not_prove_itself(countries: Dataset) -> None:
    outcome = prove(countries, "located belgium europe", is_positive=True)

    assert not outcome.success
    assert visited_states(outcome, countries) == [
        "located(belgium,europe)",
        "neighbor(belgium,V0) located(V0,europe)",
    ]


def test_the_positive_is_not_used_later_in_its_own_proof(make_dataset: DatasetMaker) -> None:
    # q(b,a) could only be proved by p(a,b), which is the triple to prove.
    dataset = make_dataset(["p(a,b).", "q(c,c)."], ["q(Y,X) -> p(X,Y)", "p(X,Y) -> q(Y,X)"])

    of_itself = prove(dataset, "p a b", is_positive=True)
    of_another = prove(dataset, "q b a", is_positive=True)

    assert (of_itself.success, of_itself.steps) == (False, 2)
    assert (of_another.success, of_another.steps) == (True, 1)


def test_a_proof_over_several_steps_counts_each(countries: Dataset) -> None:
    # Rule; then the fact austria-germany; then the rule again; then germany-belgium, which leaves a known fact.
    outcome = prove(countries, "located austria europe", is_positive=True)

    assert outcome.success
    assert visited_states(outcome, countries) == [
        "located(austria,europe)",
        "neighbor(austria,V0) located(V0,europe)",
        "located(germany,europe)",
        "neighbor(germany,V1) located(V1,europe)",
    ]
    assert (outcome.steps, outcome.actions) == (4, (0, 0, 0, 0))


def test_run_time_variables_keep_their_numbers_along_a_trajectory(countries: Dataset) -> None:
    outcome = prove(countries, "located austria europe")
    first = countries.vocabulary.first_variable_index

    assert outcome.trace is not None
    assert [step.next_variable - first for step in outcome.trace] == [0, 1, 1, 2]


@pytest.mark.parametrize(("max_depth", "success"), [(3, False), (4, True), (5, True)])
def test_a_proof_must_end_within_the_depth(max_depth: int, success: bool, countries: Dataset) -> None:
    outcome = prove(countries, "located austria europe", max_depth=max_depth)

    assert outcome.success == success
    assert outcome.steps == min(max_depth, 4)


def test_giving_up_is_a_failure(countries: Dataset) -> None:
    outcome = prove(countries, "located austria europe", actions=[0, 1])

    assert not outcome.success
    assert outcome.trace is not None
    last = outcome.trace[-1]
    assert show(last.actions[last.chosen], countries) == "Endf"


def test_a_dead_end_is_a_failure_with_a_step_of_its_own(countries: Dataset) -> None:
    outcome = prove(countries, "neighbor belgium europe", never_asked)

    assert not outcome.success
    assert (outcome.steps, outcome.actions, outcome.log_probability) == (1, (0,), 0.0)


def test_a_trajectory_does_not_come_back_to_a_visited_state(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "q(c,c)."], ["p(Y,X) -> p(X,Y)"])

    outcome = prove(dataset, "p c b", never_asked, end_proof_action=False)

    # p(c,b), p(b,c), and from there only the way back.
    assert not outcome.success
    assert visited_states(outcome, dataset) == ["p(c,b)", "p(b,c)"]


def test_without_memory_pruning_a_trajectory_goes_round_until_the_depth_is_used_up(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(["p(a,b).", "q(c,c)."], ["p(Y,X) -> p(X,Y)"])

    outcome = prove(dataset, "p c b", never_asked, end_proof_action=False, memory_pruning=False, max_depth=7)

    assert not outcome.success
    assert outcome.steps == 7


def test_more_single_actions_than_may_be_skipped_end_in_failure(make_dataset: DatasetMaker) -> None:
    # A choice first, then 30 single actions up to a fact that would prove it.
    chain = [f"l{number + 1}(X,Y) -> l{number}(X,Y)" for number in range(30)]
    rules = ["l0(X,Y) -> start(X,Y)", "start(Y,X) -> start(X,Y)", *chain, "end(X,Y) -> l30(X,Y)"]
    dataset = make_dataset(["end(a,b)."], rules)

    skipping = prove(dataset, "start a b", actions=[0], skip_unary_actions=True)
    walking = prove(dataset, "start a b", actions=[0] * 32, max_depth=40)

    assert not skipping.success
    assert walking.success


# Log-probability and score


def test_the_log_probability_is_the_sum_of_the_chosen_actions(countries: Dataset) -> None:
    def three_to_one(state: State, actions: Sequence[State]) -> list[float]:
        return [math.log(3.0), 0.0]

    proved = prove(countries, "located austria europe", three_to_one)
    given_up = prove(countries, "located austria europe", three_to_one, actions=[0, 0, 1])

    # Rule, germany, rule, each against Endf; the proof through belgium is then the only action and costs nothing.
    assert proved.log_probability == pytest.approx(3 * math.log(3 / 4))
    assert given_up.log_probability == pytest.approx(2 * math.log(3 / 4) + math.log(1 / 4))


def test_a_failure_costs_a_hundred(countries: Dataset) -> None:
    failed = prove(countries, "located austria europe", actions=[1])
    proved = prove(countries, "located austria europe")

    assert failed.score == pytest.approx(math.log(1 / 2) - 100)
    assert proved.score == proved.log_probability


def test_a_single_action_has_log_probability_0_and_is_not_scored(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "q(b,c)."], ["q(X,Y) -> p(X,Y)", "p(X,X) -> q(X,Y)"])

    outcome = prove(dataset, "p c b", never_asked, end_proof_action=False)

    assert outcome.log_probability == 0.0
    assert outcome.trace is not None
    assert [step.logits for step in outcome.trace] == [(0.0,)] * outcome.steps


def test_log_softmax_is_that_of_the_definition_and_does_not_overflow() -> None:
    assert log_softmax([math.log(1.0), math.log(3.0)]) == pytest.approx([math.log(0.25), math.log(0.75)])
    assert log_softmax([5000.0, 5000.0, -5000.0])[:2] == pytest.approx([math.log(0.5)] * 2)


def test_the_trace_is_kept_on_request_only(countries: Dataset) -> None:
    candidate = Candidate(countries.triple("austria", "located", "europe"), is_positive=False)

    outcome = ReferenceProver(countries, ProverSettings()).prove(candidate, all_equal)

    assert outcome.trace is None


def test_the_largest_logit_is_remembered_in_absolute_value(countries: Dataset) -> None:
    outcome = prove(countries, "located austria europe", lambda _, actions: [1.0, -7.0, 0.0][: len(actions)])

    assert outcome.largest_logit == 7.0


# Choice

INSIDE = 0.9 * TIE_TOLERANCE
OUTSIDE = 1.1 * TIE_TOLERANCE


@pytest.mark.parametrize(
    ("logits", "chosen", "is_tie"),
    [
        ([1.0, 3.0, 2.0], 1, False),
        ([0.0, 0.0], 0, True),
        ([0.0 - INSIDE, 0.0], 0, True),
        ([0.0 - OUTSIDE, 0.0], 1, False),
        ([99.0 - 100 * INSIDE, 99.0], 0, True),
        ([99.0 - 100 * OUTSIDE, 99.0], 1, False),
        ([-99.0 - 100 * INSIDE, -99.0], 0, True),
        ([-99.0 - 100 * OUTSIDE, -99.0], 1, False),
        ([-1.0, 5.0, 5.0 - INSIDE], 1, True),
        ([2.5], 0, False),
    ],
)
def test_the_first_action_within_the_tie_tolerance_of_the_best_is_chosen(
    logits: list[float], chosen: int, is_tie: bool
) -> None:
    assert first_of_the_best(logits) == chosen
    assert is_near_tie(logits) == is_tie


def test_an_outcome_says_whether_it_passed_a_near_tie(countries: Dataset) -> None:
    tied = prove(countries, "located austria europe", all_equal)
    clear = prove(
        countries, "located austria europe", lambda _, actions: [-float(i) for i in range(len(actions))]
    )

    assert tied.passes_near_tie
    assert not clear.passes_near_tie


def test_the_policy_decides(countries: Dataset) -> None:
    def prefers_the_last(state: State, actions: Sequence[State]) -> list[float]:
        return [float(index) for index in range(len(actions))]

    assert prove(countries, "located austria europe", prefers_the_last).actions == (1,)


@pytest.mark.parametrize(
    ("actions", "message"),
    [([0, 0], "end before the trajectory does"), ([2], "action 2 of only 2"), ([-1], "action -1 of only 2")],
)
def test_recorded_actions_that_are_no_trajectory_are_refused(
    actions: list[int], message: str, countries: Dataset
) -> None:
    with pytest.raises(EvaluationError, match=message):
        prove(countries, "located austria europe", actions=actions)


def test_a_sample_depends_on_seed_and_key_alone() -> None:
    def draws(seed: int, *key: int) -> list[int]:
        choose = sampled(seed, *key)
        return [choose([0.0, 0.0, 0.0]) for _ in range(30)]

    assert draws(1, 2, 3) == draws(1, 2, 3)
    assert draws(1, 2, 3) != draws(1, 2, 4)
    assert draws(1, 2, 3) != draws(2, 2, 3)


def test_samples_follow_the_probabilities() -> None:
    choose = sampled(0)

    counts = [0, 0]
    for _ in range(2000):
        counts[choose([math.log(0.8), math.log(0.2)])] += 1

    assert counts[0] / 2000 == pytest.approx(0.8, abs=0.04)


# Settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_depht": 3}, "unknown prover setting 'max_depht'; did you mean 'max_depth'"),
        ({"max_depth": 0}, "max_depth is 0; expected at least 1"),
        ({"padding_states": 1}, "padding_states is 1; expected at least 2"),
        ({"padding_atoms": 0}, "padding_atoms is 0; expected at least 1"),
        ({"max_depth": "20"}, "max_depth is '20'; expected int"),
        ({"max_depth": True}, "max_depth is True; expected int"),
        ({"memory_pruning": 1}, "memory_pruning is 1; expected bool"),
    ],
)
def test_bad_settings_are_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        ProverSettings.from_dict(values)


def test_settings_left_out_keep_their_defaults() -> None:
    assert ProverSettings.from_dict({"max_depth": 5}) == ProverSettings(max_depth=5)

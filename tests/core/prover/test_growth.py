"""The bounds on a trajectory's variables and on a state's atoms hold, and are as small as they can be."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.default import DATASET, POLICY
from proofrank.core.evaluator import ReferenceEvaluator, create_evaluator
from proofrank.core.evaluator.diff import differences
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.prover import Candidate, ProverSettings, sampled
from proofrank.core.prover.growth import most_atoms, most_variables, new_variables
from tests.helpers.cases import Case, cases, many
from tests.helpers.datasets import DatasetMaker
from tests.helpers.policies import make_policy

FACTS = ("e(a,b).", "e(b,c).", "e(c,d).", "p(a,c).", "q(c,a).")
RIGHT = "p(X,Y) :- e(X,Z), p(Z,Y)."
LONGER = "p(X,Y) :- e(X,U), e(U,V), p(V,Y)."
LEFT = "p(X,Y) :- p(X,Z), e(Z,Y)."
SKIPPING = ProverSettings(skip_unary_actions=True)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["p(X,Y) :- e(X,Y)."], 1),
        ([RIGHT], 2),
        ([RIGHT, LONGER], 3),
        (["p(X,Y) :- q(X,Z), e(Z,Y).", "q(X,Y) :- e(X,U), e(U,V), e(V,Y)."], 4),
        ([LEFT], 7),
        (["p(X,Y) :- q(X,Z), e(Z,Y).", "q(X,Y) :- p(X,Y)."], 7),
    ],
    ids=["renamed", "right recursion", "two of it", "nested", "left recursion", "through another predicate"],
)
def test_the_atoms_of_a_state_are_bounded_where_recursion_stands_last(
    rules: list[str], expected: int, make_dataset: DatasetMaker
) -> None:
    assert most_atoms(make_dataset(FACTS, rules).rules, limit=6) == expected


@pytest.mark.parametrize(
    ("rules", "settings", "expected"),
    [
        ([RIGHT, LONGER], SKIPPING, (2, 0)),
        ([RIGHT], SKIPPING, (1, 1)),
        ([RIGHT, "p(X,Y) :- q(Y,X)."], SKIPPING, (1, 1)),
        ([RIGHT, "p(a,Y) :- e(a,Z), q(Z,Y)."], SKIPPING, (1, 1)),
        ([RIGHT, "p(X,X) :- e(X,Z), q(Z,X)."], SKIPPING, (1, 1)),
        ([RIGHT, LEFT], SKIPPING, (1, 1)),
        ([RIGHT, LONGER], ProverSettings(skip_unary_actions=True, padding_atoms=2), (2, 2)),
        (["p(X,Y) :- q(Y,X).", RIGHT, LONGER], ProverSettings(padding_states=2), (2, 2)),
        ([RIGHT, "p(X,Y) :- q(Y,X)."], ProverSettings(memory_pruning=False), (1, 0)),
    ],
    ids=[
        "two sure rules", "one rule", "one may have been visited", "one has a constant", "one repeats a variable",
        "states may grow too large", "less room", "cut to the first two", "nothing counts as visited",
    ],
)  # fmt: skip
def test_a_skipped_resolution_adds_variables_only_where_it_may_have_one_resolvent(
    rules: list[str], settings: ProverSettings, expected: tuple[int, int], make_dataset: DatasetMaker
) -> None:
    assert new_variables(make_dataset(FACTS, rules), settings) == expected


_names = st.sampled_from(("a", "b", "c", "d"))
_facts = st.lists(st.tuples(st.sampled_from(("e", "e", "p", "q")), _names, _names), max_size=14, unique=True)
_rules = st.lists(
    st.sampled_from(
        (
            RIGHT, RIGHT, LONGER, LONGER, LEFT, "p(X,Y) :- q(Y,X).", "p(X,Y) :- q(X,Z), p(Z,Y).",
            "p(a,Y) :- e(a,Z), q(Z,Y).", "p(X,X) :- e(X,Z), q(Z,X).", "q(X,Y) :- p(Y,Z), p(Z,X).", "q(X,Y) :- p(Y,X).",
        )
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip
_settings = st.builds(
    ProverSettings,
    padding_atoms=st.sampled_from((2, 3, 4, 6)),
    padding_states=st.sampled_from((2, 3, 120)),
    max_depth=st.sampled_from((3, 8)),
    memory_pruning=st.booleans(),
    skip_unary_actions=st.just(True),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(facts=_facts, rules=_rules, prover=_settings, seed=st.integers(0, 100))
def test_where_skipped_resolutions_are_said_to_add_no_variables_none_does(
    facts: list[tuple[str, str, str]],
    rules: list[str],
    prover: ProverSettings,
    seed: int,
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset([*FACTS, *(f"{name}({one},{other})." for name, one, other in facts)], rules)
    reference = ReferenceEvaluator(dataset, make_policy(dataset, seed), prover)
    _, per_skip = new_variables(dataset, prover)

    for predicate, one, other in itertools.product("pq", "abcd", "abcd"):
        candidate = Candidate(dataset.triple(one, predicate, other), is_positive=False)
        outcome = reference.prove(candidate, choose=sampled(seed), with_trace=True)

        for step in outcome.trace or ():
            resolved_alone = (step.state, *step.skipped)[: len(step.skipped)]
            for goal, *_ in resolved_alone:
                rules_of_goal = dataset.rules_by_predicate.get(goal[0], ())
                assert all(rule.num_fresh_variables <= per_skip for rule in rules_of_goal)


@many
@given(case=cases)
def test_no_trajectory_exceeds_the_bounds(case: Case, make_dataset: DatasetMaker) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    reference = ReferenceEvaluator(dataset, policy, case.settings)
    bound = most_variables(dataset, case.settings, case.settings.max_resolutions_per_step)
    largest = most_atoms(dataset.rules, limit=10)

    for index, candidate in enumerate(case.candidates(dataset)):
        outcome = reference.prove(candidate, choose=sampled(case.seed, index), with_trace=True)

        for step in outcome.trace or ():
            states = (step.state, *step.skipped, *step.actions)
            used = [argument for state in states for atom in state for argument in atom[1:]]
            assert max(used) < dataset.vocabulary.first_variable_index + bound
            assert largest > 10 or all(len(state) <= largest for state in states)


def test_the_policy_in_the_package_can_be_evaluated_with_single_actions_skipped() -> None:
    dataset = load_dataset(DATASET)
    policy = load_policy(POLICY, dataset)
    engines = [create_evaluator(name, dataset, policy, SKIPPING) for name in ("original", "eager")]
    candidates = [Candidate(triple, is_positive=True) for triple in dataset.splits["test"]]

    assert differences(engines[0], engines[1], candidates) == []

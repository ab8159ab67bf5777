"""The actions of a state, on graphs small enough to resolve by hand.

States are written as ``p(a,V0) q(V0,b)``, where ``V0`` is the first run-time variable.
"""

from __future__ import annotations

import pytest

from proofrank.core.graph import Dataset
from proofrank.core.prover import Atom, ProverSettings, ReferenceProver
from tests.helpers.datasets import DatasetMaker
from tests.helpers.states import read_state, show

# s and t have facts that match nothing here, so that rules may use them.
ANCHORS = ("s(z,z).", "t(z,z).")


def next_states(
    dataset: Dataset,
    state: str,
    *,
    num_variables: int = 0,
    visited: tuple[str, ...] = (),
    excluded: str | None = None,
    **settings: int | bool,
) -> list[str]:
    """Returns the states after each action of ``state``, in which ``num_variables`` variables are in use."""
    prover = ReferenceProver(dataset, ProverSettings.from_dict(settings))
    excluded_fact: Atom | None = None if excluded is None else read_state(excluded, dataset)[0]
    actions = prover.actions(
        read_state(state, dataset),
        dataset.vocabulary.first_variable_index + num_variables,
        {frozenset(read_state(before, dataset)) for before in visited},
        excluded_fact,
    )
    return [show(after, dataset) for after in actions.states]


# Rules and facts


def test_rules_come_first_in_their_order_then_facts_in_ascending_order(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,c).", "p(b,d).", "p(a,b).", *ANCHORS],
        ["second:1:t(Y,X) -> p(X,Y)", "first:1:s(X,Y) -> p(X,Y)", "other:1:p(X,Y) -> s(X,Y)"],
    )

    states = next_states(dataset, "p(a,V0) s(V0,d)", num_variables=1)

    assert states == ["t(V0,a) s(V0,d)", "s(a,V0) s(V0,d)", "s(b,d)", "s(c,d)", "Endf"]


def test_the_body_takes_the_place_of_the_first_goal(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y), t(Y,X) -> p(X,Y)"])

    states = next_states(dataset, "p(b,a) s(a,a) t(b,b)")

    assert states == ["s(b,a) t(a,b) s(a,a) t(b,b)", "Endf"]


def test_only_the_first_goal_is_resolved(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y) -> p(X,Y)", "s(X,Y) -> t(X,Y)"])

    states = next_states(dataset, "t(a,V0) p(V0,b)", num_variables=1)

    assert states == ["s(a,V0) p(V0,b)", "Endf"]


def test_a_fact_binds_its_variables_in_the_remaining_goals(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "p(c,d).", *ANCHORS], ["s(X,Y) -> t(X,Y)"])

    states = next_states(dataset, "p(V0,V1) t(V1,V0) s(V0,V2)", num_variables=3)

    assert states == ["t(b,a) s(a,V2)", "t(d,c) s(c,V2)", "Endf"]


@pytest.mark.parametrize(
    ("goal", "matching"),
    [
        ("p(a,V0)", ["s(a,z)", "s(b,z)"]),
        ("p(V0,b)", ["s(a,z)", "s(c,z)"]),
        ("p(V0,V1)", ["s(a,z)", "s(a,z)", "s(c,z)"]),
        ("p(V0,V0)", ["s(a,z)"]),
    ],
)
def test_facts_match_that_agree_with_the_constants_and_with_repeated_variables(
    goal: str, matching: list[str], make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset(["p(a,a).", "p(a,b).", "p(c,b).", *ANCHORS], ["s(X,Y) -> t(X,Y)"])
    open_argument = "V0" if "V0" in goal else "V1"
    state = f"{goal} s({open_argument},z)"

    states = next_states(dataset, state, num_variables=2)

    assert states == [*matching, "Endf"]


def test_a_head_with_a_constant_matches_that_constant_and_binds_variables_to_it(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(["p(c,c).", "q(a,b).", *ANCHORS], ["s(X,a) -> q(X,a)"])

    assert next_states(dataset, "q(b,a)") == ["s(b,a)", "Endf"]
    assert next_states(dataset, "q(b,c)") == ["False"]
    assert next_states(dataset, "q(b,V0) p(V0,b)", num_variables=1) == ["s(b,a) p(a,b)", "Endf"]


def test_a_head_that_repeats_a_variable_makes_the_goals_arguments_equal(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,X) -> t(X,X)"])

    assert next_states(dataset, "t(a,a)") == ["s(a,a)", "Endf"]
    assert next_states(dataset, "t(a,b)") == ["False"]
    assert next_states(dataset, "t(V0,b) p(b,V0)", num_variables=1)[0] == "s(b,b) p(b,b)"
    assert next_states(dataset, "t(V0,V1) p(V1,V0)", num_variables=2)[0] == "s(V0,V0) p(V0,V0)"


# Fresh variables


def test_fresh_variables_are_numbered_as_they_appear_and_anew_for_each_resolvent(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(
        ["p(a,b).", *ANCHORS],
        ["s(W,Z), t(Z,Y) -> p(X,Y)", "s(X,Z), t(Z,Y) -> p(X,Y)", "t(X,Y) -> p(X,Y)"],
    )

    states = next_states(dataset, "p(b,V2) s(V2,V0)", num_variables=3)

    assert states == [
        "s(V3,V4) t(V4,V2) s(V2,V0)",
        "s(b,V3) t(V3,V2) s(V2,V0)",
        "t(b,V2) s(V2,V0)",
        "Endf",
    ]


def test_the_next_free_variable_is_one_more_than_the_largest_of_any_resolvent(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(
        ["p(a,b).", *ANCHORS], ["t(X,Y) -> p(X,Y)", "s(W,Z), t(Z,U) -> p(X,Y)", "s(X,Z) -> p(X,Y)"]
    )
    prover = ReferenceProver(dataset, ProverSettings())
    first = dataset.vocabulary.first_variable_index

    after_rules = prover.actions(read_state("p(b,a)", dataset), first + 2, set(), None)
    after_facts = prover.actions(read_state("s(z,V0) t(V0,a)", dataset), first + 2, set(), None)

    assert after_rules.next_variable == first + 2 + 3
    assert after_facts.next_variable == first + 2


# Known atoms, proofs and dead ends


def test_known_atoms_are_dropped_at_any_position(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", "p(c,d).", *ANCHORS], ["p(a,b), s(X,Y), p(c,d), t(X,Z), p(a,Z) -> t(X,Y)"]
    )

    states = next_states(dataset, "t(b,c) p(c,d) p(d,c) p(a,b)")

    assert states == ["s(b,c) t(b,V0) p(a,V0) p(d,c)", "Endf"]


def test_atoms_are_also_dropped_that_only_become_known_by_the_substitution(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(["p(a,b).", "p(a,c).", "q(b,d).", *ANCHORS], ["s(X,Y) -> t(X,Y)"])

    states = next_states(dataset, "p(a,V0) q(V0,d) s(V0,a)", num_variables=1)

    assert states == ["s(b,a)", "q(c,d) s(c,a)", "Endf"]


def test_a_ground_goal_that_is_a_fact_is_a_proof(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y) -> p(X,Y)"])

    assert next_states(dataset, "p(a,b)") == ["True"]


def test_a_proof_is_the_only_action_whatever_else_there_was(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y) -> t(X,Y)", "p(Y,X) -> t(X,Y)"])

    assert next_states(dataset, "t(b,a)") == ["True"]


def test_a_proof_beyond_the_limit_of_actions_is_found(make_dataset: DatasetMaker) -> None:
    rules = ["s(X,Y) -> p(X,Y)", "t(X,Y) -> p(X,Y)", "s(Y,X) -> p(X,Y)"]
    dataset = make_dataset(["p(a,b).", "p(a,c).", "p(a,d).", "q(d,a).", *ANCHORS], rules)

    states = next_states(dataset, "p(a,V0) q(V0,a)", num_variables=1, padding_states=2)

    assert states == ["True"]


def test_without_a_resolvent_the_only_action_is_false(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "q(a,b).", *ANCHORS], ["s(X,Y) -> t(X,Y)"])

    assert next_states(dataset, "p(b,a) q(a,b)") == ["False"]


@pytest.mark.parametrize("terminal", ["true", "false", "endf"])
def test_a_terminal_state_has_itself_as_only_action(terminal: str, make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y) -> t(X,Y)"])
    prover = ReferenceProver(dataset, ProverSettings())
    state = getattr(prover, f"{terminal}_state")

    assert prover.actions(state, 9, set(), None).states == (state,)


# The excluded fact


def test_the_excluded_fact_is_neither_a_proof_nor_dropped(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y), p(X,Y) -> t(X,Y)", "t(X,Y) -> p(X,Y)"])

    assert next_states(dataset, "p(a,b)", excluded="p(a,b)") == ["t(a,b)", "Endf"]
    assert next_states(dataset, "t(a,b)", excluded="p(a,b)") == ["s(a,b) p(a,b)", "Endf"]
    assert next_states(dataset, "t(a,b)") == ["s(a,b)", "Endf"]


def test_the_excluded_fact_does_not_match_an_open_goal_but_other_facts_do(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "p(a,c).", "p(b,a).", *ANCHORS], ["s(X,Y) -> t(X,Y)"])

    for goal in ("p(a,V0)", "p(V1,V0)"):
        states = next_states(dataset, f"{goal} t(V0,V0)", num_variables=2, excluded="p(a,b)")
        assert "t(b,b)" not in states
        assert "t(c,c)" in states


# Visited states


def test_visited_states_are_no_action_in_whatever_order_or_repetition(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y), t(X,Y), s(X,Y) -> p(X,Y)", "t(Y,X) -> p(X,Y)"])

    assert next_states(dataset, "p(b,b)", visited=("t(b,b) s(b,b)",)) == ["t(b,b)", "Endf"]


def test_the_present_state_counts_as_visited(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", *ANCHORS], ["p(Y,X) -> p(X,Y)", "p(X,Y) -> p(X,Y)", "s(X,Y) -> p(X,Y)"]
    )

    assert next_states(dataset, "p(b,b)") == ["s(b,b)", "Endf"]


def test_a_state_with_other_variable_numbers_is_another_state(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Z) -> p(X,Y)"])

    assert next_states(dataset, "p(b,a)", num_variables=1, visited=("s(b,V0)",)) == ["s(b,V1)", "Endf"]
    assert next_states(dataset, "p(b,a)", num_variables=1, visited=("s(b,V1)",)) == ["False"]


def test_where_all_actions_were_visited_only_false_remains(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y) -> p(X,Y)", "t(X,Y) -> p(X,Y)"])

    assert next_states(dataset, "p(b,b)", visited=("s(b,b)", "t(b,b)")) == ["False"]


def test_without_memory_pruning_visited_states_are_actions(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y) -> p(X,Y)", "p(X,Y) -> p(X,Y)"])

    states = next_states(dataset, "p(b,b)", visited=("s(b,b)",), memory_pruning=False)

    assert states == ["s(b,b)", "p(b,b)", "Endf"]


def test_computing_actions_makes_the_state_visited(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y) -> p(X,Y)"])
    state = read_state("p(b,b) t(a,a)", dataset)
    visited: set[frozenset[Atom]] = set()

    ReferenceProver(dataset, ProverSettings()).actions(state, 9, visited, None)

    assert visited == {frozenset(state)}


# Limits

THREE_RULES = ("s(X,Y) -> p(X,Y)", "t(X,Y) -> p(X,Y)", "s(Y,X) -> p(X,Y)")


@pytest.mark.parametrize(("limit", "is_kept"), [(2, False), (3, True)])
def test_states_with_more_atoms_than_padding_atoms_are_no_action(
    limit: int, is_kept: bool, make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Z), s(Z,W), s(W,Y) -> p(X,Y)", "t(X,Y) -> p(X,Y)"])

    states = next_states(dataset, "p(b,b)", padding_atoms=limit)

    assert states == ["s(b,V0) s(V0,V1) s(V1,b)"] * is_kept + ["t(b,b)", "Endf"]


def test_known_atoms_do_not_count_for_padding_atoms(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y), p(a,b), s(z,z) -> p(X,Y)"])

    assert next_states(dataset, "p(b,b)", padding_atoms=1) == ["s(b,b)", "Endf"]


def test_where_all_states_are_too_large_only_false_remains(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], ["s(X,Y), t(X,Y) -> p(X,Y)"])

    assert next_states(dataset, "p(b,b)", padding_atoms=1) == ["False"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (2, ["s(b,a)", "Endf"]),
        (3, ["s(b,a)", "t(b,a)", "Endf"]),
        (4, ["s(b,a)", "t(b,a)", "s(a,b)", "Endf"]),
        (5, ["s(b,a)", "t(b,a)", "s(a,b)", "Endf"]),
    ],
)
def test_endf_takes_the_last_of_the_places_for_actions(
    limit: int, expected: list[str], make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], THREE_RULES)

    assert next_states(dataset, "p(b,a)", padding_states=limit) == expected


def test_without_endf_all_places_are_for_resolvents(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], THREE_RULES)

    states = next_states(dataset, "p(b,a)", padding_states=2, end_proof_action=False)

    assert states == ["s(b,a)", "t(b,a)"]


def test_rules_come_before_facts_when_actions_are_cut(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "p(a,c).", *ANCHORS], ["t(X,Y) -> p(X,Y)"])

    states = next_states(
        dataset, "p(a,V0) s(V0,a)", num_variables=1, padding_states=2, end_proof_action=False
    )

    assert states == ["t(a,V0) s(V0,a)", "s(b,a)"]


def test_actions_are_cut_before_visited_and_large_ones_are_removed(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", *ANCHORS], ["s(X,Y), t(X,Y) -> p(X,Y)", *THREE_RULES[:2], "t(Y,X) -> p(X,Y)"]
    )

    states = next_states(dataset, "p(b,a)", visited=("s(b,a)",), padding_atoms=1, padding_states=2)

    # The first two are too large and visited; the third and fourth were cut before that check.
    assert states == ["False"]


def test_the_place_of_endf_is_cut_after_visited_ones_are_removed(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", *ANCHORS], THREE_RULES)

    states = next_states(dataset, "p(b,a)", visited=("s(b,a)",), padding_states=3)

    assert states == ["t(b,a)", "s(a,b)", "Endf"]


# Skipping single actions


def test_a_single_action_is_followed_to_the_next_choice(make_dataset: DatasetMaker) -> None:
    rules = ["q(X,Y) -> p(X,Y)", "r(X,Y) -> q(X,Y)", "s(X,Y) -> r(X,Y)", "t(X,Y) -> r(X,Y)"]
    dataset = make_dataset(["p(a,b).", "q(a,b).", "r(a,b).", *ANCHORS], rules)
    prover = ReferenceProver(dataset, ProverSettings(skip_unary_actions=True))
    visited: set[frozenset[Atom]] = set()

    actions = prover.actions(read_state("p(b,a)", dataset), 9, visited, None)

    assert [show(state, dataset) for state in actions.skipped] == ["q(b,a)", "r(b,a)"]
    assert [show(state, dataset) for state in actions.states] == ["s(b,a)", "t(b,a)", "Endf"]
    assert visited == {frozenset(read_state(text, dataset)) for text in ("p(b,a)", "q(b,a)", "r(b,a)")}
    assert not actions.is_stuck


def test_single_actions_are_choices_where_they_are_not_skipped(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "q(a,b).", *ANCHORS], ["q(X,Y) -> p(X,Y)", "s(X,Y) -> q(X,Y)"])

    assert next_states(dataset, "p(b,a)") == ["q(b,a)", "Endf"]


def test_skipping_ends_at_a_proof_and_at_a_dead_end(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", "q(a,b).", "r(a,b).", *ANCHORS], ["q(X,Y) -> p(X,Y)", "r(Y,X) -> q(X,Y)"]
    )

    assert next_states(dataset, "p(b,a)", skip_unary_actions=True) == ["True"]
    assert next_states(dataset, "p(b,b)", skip_unary_actions=True) == ["False"]


def test_skipping_numbers_fresh_variables_on_from_state_to_state(make_dataset: DatasetMaker) -> None:
    rules = ["q(X,Z) -> p(X,Y)", "r(Y,Z) -> q(X,Y)", "s(X,Z), s(Z,Y) -> r(X,Y)", "t(X,Y) -> r(X,Y)"]
    dataset = make_dataset(["p(a,b).", "q(a,b).", *ANCHORS], rules)
    prover = ReferenceProver(dataset, ProverSettings(skip_unary_actions=True))
    first = dataset.vocabulary.first_variable_index

    actions = prover.actions(read_state("p(b,a)", dataset), first, set(), None)

    assert [show(state, dataset) for state in actions.skipped] == ["q(b,V0)", "r(V0,V1)"]
    assert show(actions.states[0], dataset) == "s(V0,V2) s(V2,V1)"
    assert actions.next_variable == first + 3


def test_states_passed_by_skipping_are_checked_for_size(make_dataset: DatasetMaker) -> None:
    rules = ["q(X,Y) -> p(X,Y)", "s(X,Y), t(X,Y) -> q(X,Y)"]
    dataset = make_dataset(["p(a,b).", "q(a,b).", *ANCHORS], rules)

    assert next_states(dataset, "p(b,a)", skip_unary_actions=True, padding_atoms=1) == ["False"]


def test_states_passed_by_skipping_are_checked_against_visited_ones(make_dataset: DatasetMaker) -> None:
    rules = ["q(X,Y) -> p(X,Y)", "s(X,Y) -> q(X,Y)", "t(X,Y) -> q(X,Y)", "t(Y,X) -> q(X,Y)"]
    dataset = make_dataset(["p(a,b).", "q(a,b).", *ANCHORS], rules)

    states = next_states(dataset, "p(b,a)", skip_unary_actions=True, visited=("s(b,a)",))

    assert states == ["t(b,a)", "t(a,b)", "Endf"]


def test_an_action_is_single_on_the_way_if_the_others_are_too_large_or_visited(
    make_dataset: DatasetMaker,
) -> None:
    # From q there are three ways, of which only r is small enough and new; from r there is a choice.
    rules = ["q(X,Y) -> p(X,Y)", "s(X,Y), t(X,Y) -> q(X,Y)", "t(X,X) -> q(X,Y)", "r(X,Y) -> q(X,Y)"]
    rules += ["s(X,Y) -> r(X,Y)", "t(X,Y) -> r(X,Y)"]
    dataset = make_dataset(["p(a,b).", *ANCHORS], rules)

    states = next_states(dataset, "p(b,a)", skip_unary_actions=True, padding_atoms=1, visited=("t(b,b)",))

    assert states == ["s(b,a)", "t(b,a)", "Endf"]


@pytest.mark.parametrize(("length", "expected"), [(20, "True"), (21, "False")])
def test_at_most_twenty_single_actions_are_skipped(
    length: int, expected: str, make_dataset: DatasetMaker
) -> None:
    rules = [f"l{number + 1}(X,Y) -> l{number}(X,Y)" for number in range(length)]
    dataset = make_dataset(["end(a,b).", *ANCHORS], [*rules, f"end(X,Y) -> l{length}(X,Y)"])

    assert next_states(dataset, "l0(a,b)", skip_unary_actions=True) == [expected]

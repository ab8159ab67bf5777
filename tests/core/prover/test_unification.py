"""The laws of unification, against brute force over a small domain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from proofrank.core.prover import Atom
from proofrank.core.prover.unification import Substitution, resolve, substitute, unify
from tests.helpers.strategies import CONSTANTS, NUM_CONSTANTS, RULE_VARIABLES, RUNTIME_VARIABLES, goals, heads

VARIABLES = (*RULE_VARIABLES, *RUNTIME_VARIABLES)
many = settings(max_examples=500, deadline=None)


def ground_assignments() -> Iterator[Substitution]:
    """Yields every assignment of constants to all variables."""
    for values in itertools.product(CONSTANTS, repeat=len(VARIABLES)):
        yield dict(zip(VARIABLES, values, strict=True))


@given(heads, goals)
@many
def test_a_unifier_makes_both_sides_equal(head: Atom, goal: Atom) -> None:
    substitution = unify(head, goal, NUM_CONSTANTS)

    if substitution is not None:
        assert substitute((head,), substitution) == substitute((goal,), substitution)


@given(heads, goals)
@many
def test_a_unifier_is_found_exactly_where_some_ground_assignment_unifies(head: Atom, goal: Atom) -> None:
    can_unify = any(
        substitute((head,), assignment) == substitute((goal,), assignment)
        for assignment in ground_assignments()
    )

    assert (unify(head, goal, NUM_CONSTANTS) is not None) == can_unify


@given(heads, goals)
@many
def test_a_unifier_is_most_general(head: Atom, goal: Atom) -> None:
    substitution = unify(head, goal, NUM_CONSTANTS)

    # Most general: every other unifier is an instance of it, so it never separates what it makes equal.
    for assignment in ground_assignments():
        if substitute((head,), assignment) == substitute((goal,), assignment):
            assert substitution is not None
            for variable in VARIABLES:
                bound = resolve(variable, substitution)
                assert assignment.get(bound, bound) == assignment[variable]


@given(heads, goals)
@many
def test_a_unifier_is_idempotent_and_binds_only_variables_of_the_two_atoms(head: Atom, goal: Atom) -> None:
    substitution = unify(head, goal, NUM_CONSTANTS) or {}

    once = substitute((head, goal), substitution)
    assert substitute(once, substitution) == once
    assert set(substitution) <= set(VARIABLES) & {*head[1:], *goal[1:]}
    assert all(resolve(variable, substitution) != variable for variable in substitution)


@given(heads, goals)
@many
def test_no_variable_of_a_rule_remains_in_what_a_goal_is_unified_with(head: Atom, goal: Atom) -> None:
    substitution = unify(head, goal, NUM_CONSTANTS)

    if substitution is not None:
        assert all(argument > 0 for atom in substitute((head, goal), substitution) for argument in atom[1:])


@given(goals, goals)
@many
def test_unification_of_goals_succeeds_either_way_round_or_neither(first: Atom, second: Atom) -> None:
    one_way = unify(first, second, NUM_CONSTANTS)
    other_way = unify(second, first, NUM_CONSTANTS)

    assert (one_way is None) == (other_way is None)


@pytest.mark.parametrize(
    ("head", "goal", "expected"),
    [
        ((1, -1, -2), (1, 1, 2), {-1: 1, -2: 2}),  # p(X,Y) with p(a,b)
        ((1, -1, -2), (1, 4, 4), {-1: 4, -2: 4}),  # p(X,Y) with p(V,V)
        ((1, -1, -1), (1, 1, 2), None),  # p(X,X) with p(a,b)
        ((1, -1, -1), (1, 1, 1), {-1: 1}),  # p(X,X) with p(a,a)
        ((1, -1, -1), (1, 4, 2), {-1: 4, 4: 2}),  # p(X,X) with p(V,b)
        ((1, -1, -1), (1, 4, 5), {-1: 4, 5: 4}),  # p(X,X) with p(V,W): the later takes the earlier's place
        ((1, 1, -1), (1, 4, 4), {4: 1, -1: 1}),  # p(a,X) with p(V,V)
        ((1, 1, -1), (1, 2, 4), None),  # p(a,X) with p(b,V)
        ((1, 1, 2), (1, 4, 4), None),  # p(a,b) with p(V,V)
        ((1, 1, 2), (1, 4, 5), {4: 1, 5: 2}),  # p(a,b) with p(V,W)
        ((2, -1, -2), (1, 1, 2), None),  # q(X,Y) with p(a,b)
    ],
)
def test_unifiers_that_can_be_checked_by_hand(head: Atom, goal: Atom, expected: Substitution | None) -> None:
    assert unify(head, goal, NUM_CONSTANTS) == expected


def test_substitution_follows_chains_to_their_end() -> None:
    assert substitute(((1, -1, 4), (2, 5, 3)), {-1: 4, 4: 5, 5: 2}) == ((1, 2, 2), (2, 2, 3))

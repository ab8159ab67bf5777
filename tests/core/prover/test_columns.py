"""Candidates and outcomes as columns give back the same objects, whole, in slices and out of order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofrank.core.graph import Triple
from proofrank.core.prover import Candidate, Candidates, Outcome, Outcomes, OutcomeTable

candidates_lists = st.lists(
    st.builds(
        Candidate,
        st.builds(Triple, *[st.integers(0, 2**25)] * 3),
        st.booleans(),
        st.floats(max_value=0),
        st.booleans(),
    ),
    max_size=12,
)


@st.composite
def outcomes_lists(draw: st.DrawFn, min_size: int = 0) -> list[Outcome]:
    """Draws outcomes with as many actions as steps."""
    all_actions = draw(
        st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), min_size=min_size, max_size=12)
    )
    return [
        Outcome(
            success=draw(st.booleans()),
            log_probability=draw(st.floats(-1e9, 0)),
            steps=len(actions),
            actions=tuple(actions),
            passes_near_tie=draw(st.booleans()),
            largest_logit=draw(st.floats(0, 1e9)),
            is_pruned=draw(st.booleans()),
        )
        for actions in all_actions
    ]


@given(candidates=candidates_lists, start=st.integers(-13, 13), step=st.sampled_from([1, 2, -1]))
def test_candidates_come_out_as_they_went_in(candidates: list[Candidate], start: int, step: int) -> None:
    columns = Candidates.of(candidates)

    assert list(columns) == candidates == columns
    assert [columns[index] for index in range(len(columns))] == candidates
    assert list(columns[start::step]) == candidates[start::step]
    assert Candidates.joined([columns[:3], columns[3:]]) == candidates
    assert Candidates.of(columns) is columns


@given(outcomes=outcomes_lists(), start=st.integers(-13, 13), step=st.sampled_from([1, 2, -1]))
def test_outcomes_come_out_as_they_went_in(outcomes: list[Outcome], start: int, step: int) -> None:
    columns = Outcomes.of(outcomes)

    assert list(columns) == outcomes == columns
    assert columns[start::step] == outcomes[start::step]
    assert columns.scores.tolist() == [outcome.score for outcome in outcomes]
    reversed_actions = [action for outcome in outcomes[::-1] for action in outcome.actions]
    assert columns[::-1].own_actions().tolist() == reversed_actions


@given(outcomes=outcomes_lists(min_size=1), data=st.data())
def test_a_table_takes_outcomes_in_any_order_and_parts(outcomes: list[Outcome], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(outcomes))))
    cut = data.draw(st.integers(0, len(order)))
    columns = Outcomes.of(outcomes)
    table = OutcomeTable(len(outcomes))

    table.put(order[:cut], columns.taken(order[:cut]))
    assert table.is_there.sum() == cut
    table.put(order[cut:], Outcomes.of([outcomes[index] for index in order[cut:]]))

    assert table.is_there.all()
    assert table.outcomes() == outcomes


def test_what_is_seen_of_columns_is_of_python() -> None:
    (outcome,) = Outcomes.of([Outcome(True, -0.5, 2, (3, 1), True, 7.0)])
    (candidate,) = Candidates.of([Candidate(Triple(1, 2, 3), is_positive=True)])

    assert [type(value) for value in vars(outcome).values()] == [
        bool,
        float,
        int,
        tuple,
        bool,
        float,
        type(None),
        bool,
    ]
    assert [type(value) for value in (*outcome.actions, *candidate.triple)] == [int] * 5
    assert type(candidate.triple) is Triple


def test_an_outcome_has_as_many_actions_as_steps() -> None:
    with pytest.raises(ValueError, match="another number of actions than of steps"):
        Outcomes.of([Outcome(True, 0.0, 2, (1,))])


def test_columns_are_no_sequence_of_another_length_or_kind() -> None:
    columns = Outcomes.of([])

    assert columns == []
    assert columns != [1]
    assert columns != 1

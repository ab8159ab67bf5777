"""What the policy could have done at each step: all legal actions, what each resolves with, and their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.alternatives import StepChoices, choices_of, render_choices
from proofrank.core.evaluator.explanation import explain
from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate, ProverSettings, ReferenceProver, State
from tests.helpers.datasets import DatasetMaker


def falling(state: State, actions: Sequence[State]) -> list[float]:
    """Each action is twice as likely as the next."""
    return [-index * math.log(2.0) for index in range(len(actions))]


def choices(
    dataset: Dataset, query: str, actions: Sequence[int], most: int | None = None, **settings: int | bool
) -> tuple[StepChoices, ...]:
    """Those of ``query``, written ``relation head tail``, along ``actions``."""
    relation, head, tail = query.split()
    prover = ReferenceProver(dataset, ProverSettings.from_dict(settings))
    candidate = Candidate(dataset.triple(head, relation, tail), is_positive=True)
    return choices_of(prover, explain(prover, falling, candidate, actions), most)


@pytest.fixture(scope="module")
def towns(make_dataset: DatasetMaker) -> Dataset:
    """Austria has two neighbours; the rules ``one`` and ``twin`` lead to the same state."""
    return make_dataset(
        [
            "neighbor(austria,germany).",
            "neighbor(austria,italy).",
            "located(germany,europe).",
            "located(italy,europe).",
            "located(austria,europe).",
        ],
        [
            "one:1:neighbor(X,Y), located(Y,Z) -> located(X,Z)",
            "twin:0.5:neighbor(X,Y), located(Y,Z) -> located(X,Z)",
        ],
    )


def test_every_legal_action_of_a_step_is_there_with_what_it_resolves_with(towns: Dataset) -> None:
    first, second = choices(towns, "located austria europe", [0, 0])

    assert [action.how for action in first.shown] == ["rule one", "rule twin, weight 0.5", "gives up"]
    assert [action.probability for action in first.shown] == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=1e-12)
    assert [action.is_chosen for action in first.shown] == [True, False, False]
    # A fact that ends the proof leaves no other action.
    assert [(action.how, action.probability) for action in second.shown] == [("fact", 1.0)]
    assert second.num_left_out == 0


def test_the_chosen_action_is_never_left_out_and_the_rest_is_counted(towns: Dataset) -> None:
    (step,) = choices(towns, "located austria europe", [2], most=2)

    assert [(action.how, action.is_chosen) for action in step.shown] == [
        ("rule one", False),
        ("gives up", True),
    ]
    assert step.num_left_out == 1
    assert step.probability_left_out == pytest.approx(2 / 7, abs=1e-12)
    assert step.log_probability == pytest.approx(math.log(1 / 7), abs=1e-12)


def test_actions_behind_skipped_states_are_those_of_the_state_that_they_lead_to(
    make_dataset: DatasetMaker,
) -> None:
    # path(a,f) has one rule and edge(a,Y) one fact; b has two edges.
    dataset = make_dataset(
        ["edge(a,b).", "edge(b,c).", "edge(b,d).", "edge(c,e).", "edge(d,e).", "edge(e,f)."],
        ["walk:1:edge(X,A), edge(A,B), edge(B,C), edge(C,Z) -> path(X,Z)"],
    )

    step = choices(dataset, "path a f", [1, 0], skip_unary_actions=True)[0]
    assert [action.how for action in step.shown] == ["fact", "fact", "gives up"]
    assert [action.is_chosen for action in step.shown] == [False, True, False]
    assert "edge(d, " in render_choices([step], dataset).splitlines()[2]

    step = choices(dataset, "path a f", [0, 0, 1, 0])[0]
    assert [action.how for action in step.shown] == ["rule walk", "gives up"]


def test_the_text_marks_the_chosen_action_and_says_what_is_left_out(towns: Dataset) -> None:
    steps = choices(towns, "located austria europe", [0, 0], most=1)

    lines = render_choices(steps, towns).splitlines()

    assert lines[0] == "step 1: located(austria, europe)"
    assert lines[1].startswith("  > p=0.571  [rule one]  neighbor(austria, ")
    assert lines[2] == "    p=0.429  2 more actions"
    assert lines[-1] == "  > p=1.000  [fact]  proved"


@pytest.mark.parametrize("most", [0, -1])
def test_fewer_alternatives_than_the_one_taken_are_refused(most: int, towns: Dataset) -> None:
    with pytest.raises(EvaluationError, match=f"alternatives is {most}; expected at least 1"):
        choices(towns, "located austria europe", [0, 0], most=most)

"""Proof trees: who resolved which goal and how, with what probability, and what stays open where a proof fails."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.explanation import Explanation, ProofNode, explain, render_proof
from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate, ProverSettings, ReferenceProver, State
from tests.helpers.datasets import DatasetMaker


def prefers_the_first(state: State, actions: Sequence[State]) -> list[float]:
    """Three to one for the first action: of two actions, the first has probability 0.75."""
    return [math.log(3.0), *([0.0] * (len(actions) - 1))]


def explained(
    dataset: Dataset,
    query: str,
    actions: Sequence[int],
    *,
    is_positive: bool = True,
    **settings: int | bool,
) -> Explanation:
    """The tree of ``query``, written ``relation head tail``, along ``actions``."""
    relation, head, tail = query.split()
    prover = ReferenceProver(dataset, ProverSettings.from_dict(settings))
    candidate = Candidate(dataset.triple(head, relation, tail), is_positive)
    return explain(prover, prefers_the_first, candidate, actions)


def nodes(node: ProofNode) -> Iterator[ProofNode]:
    yield node
    for child in node.children:
        yield from nodes(child)


@pytest.fixture(scope="module")
def countries(make_dataset: DatasetMaker) -> Dataset:
    """Austria is proved to be in europe by way of germany, which borders belgium."""
    return make_dataset(
        [
            "neighbor(austria,germany).",
            "neighbor(germany,belgium).",
            "neighbor(germany,austria).",
            "located(belgium,europe).",
        ],
        ["one:1:neighbor(X,Y), located(Y,Z) -> located(X,Z)"],
    )


def test_a_proof_is_a_tree_of_rules_facts_and_known_facts_with_probabilities(countries: Dataset) -> None:
    explanation = explained(countries, "located austria europe", [0, 0, 0, 0])

    assert render_proof(explanation, countries).splitlines() == [
        "located(austria, europe)  [rule one]  p=0.750",
        "├─ neighbor(austria, germany)  [fact]  p=0.750",
        "└─ located(germany, europe)  [rule one]  p=0.750",
        "   ├─ neighbor(germany, belgium)  [fact]  p=1.000",
        "   └─ located(belgium, europe)  [known fact]",
        f"proved: 4 steps, log-probability {3 * math.log(0.75):.4f}, score {3 * math.log(0.75):.4f}",
    ]


def test_the_probabilities_of_a_tree_multiply_to_the_log_probability(countries: Dataset) -> None:
    explanation = explained(countries, "located austria europe", [0, 0, 0, 0])

    taken = [node.probability for node in nodes(explanation.root) if node.probability is not None]
    assert len(taken) == explanation.outcome.steps == 4
    assert math.log(math.prod(taken)) == pytest.approx(explanation.outcome.log_probability, abs=1e-12)
    assert explanation.outcome.log_probability == pytest.approx(3 * math.log(0.75), abs=1e-12)


def test_skipped_single_actions_are_in_the_tree_without_a_probability(countries: Dataset) -> None:
    # Every state on the way has one resolvent, so the policy takes a single step.
    explanation = explained(countries, "located austria europe", [0], skip_unary_actions=True)

    assert len(explanation.trace[0].skipped) == 3
    assert render_proof(explanation, countries).splitlines() == [
        "located(austria, europe)  [rule one]  p=1.000",
        "├─ neighbor(austria, germany)  [fact]",
        "└─ located(germany, europe)  [rule one]",
        "   ├─ neighbor(germany, belgium)  [fact]",
        "   └─ located(belgium, europe)  [known fact]",
        "proved: 1 steps, log-probability 0.0000, score 0.0000",
    ]


def test_a_known_triple_that_is_no_positive_is_a_fact_at_once(countries: Dataset) -> None:
    explanation = explained(countries, "located belgium europe", [0], is_positive=False)

    assert (explanation.root.how, explanation.root.children) == ("fact", [])
    assert explanation.outcome.success


@pytest.mark.parametrize(
    ("query", "actions", "settings", "verdict", "log_probability"),
    [
        ("located austria europe", [0, 1], {}, "not proved, the policy gave up", math.log(0.75 * 0.25)),
        ("located belgium europe", [0, 0], {}, "not proved, nothing left to try", math.log(0.75)),
        (
            "located austria europe",
            [0, 0],
            {"max_depth": 2},
            "not proved, the depth is used up",
            2 * math.log(0.75),
        ),
    ],
    ids=["gave up", "nothing left", "depth"],
)
def test_a_failure_says_why_and_leaves_its_last_goals_open(
    query: str,
    actions: list[int],
    settings: dict[str, Any],
    verdict: str,
    log_probability: float,
    countries: Dataset,
) -> None:
    explanation = explained(countries, query, actions, **settings)

    last_line = render_proof(explanation, countries).splitlines()[-1]
    assert last_line == (
        f"{verdict}: 2 steps, log-probability {log_probability:.4f}, score {log_probability - 100:.4f}"
    )
    open_goals = [node for node in nodes(explanation.root) if node.how == "open"]
    assert open_goals
    assert all(node.probability is None and not node.children for node in open_goals)


@pytest.mark.parametrize("actions", [[0, 0, 0], [0, 2, 0, 0], [-1]], ids=["too few", "too large", "negative"])
def test_actions_that_are_no_trajectory_are_refused(actions: list[int], countries: Dataset) -> None:
    with pytest.raises(EvaluationError, match="recorded action"):
        explained(countries, "located austria europe", actions)


def test_a_rules_weight_is_shown_in_its_place_and_changes_no_score(make_dataset: DatasetMaker) -> None:
    facts = ["neighbor(austria,germany).", "located(germany,europe).", "located(austria,asia)."]
    rule = "neighbor(X,Y), located(Y,Z) -> located(X,Z)"
    plain = explained(make_dataset(facts, [rule]), "located austria europe", [0, 0], is_positive=False)
    dataset = make_dataset(facts, [f"one:-0.357:{rule}"])
    weighted = explained(dataset, "located austria europe", [0, 0], is_positive=False)

    assert render_proof(weighted, dataset).startswith(
        "located(austria, europe)  [rule one, weight -0.357]  p="
    )
    assert [rule.weight if rule is not None else None for rule in weighted.rules] == [-0.357, None]
    assert weighted.outcome == plain.outcome

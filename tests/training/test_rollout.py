"""Roll-outs: the same trajectories as the evaluator's, and what they leave to learn from."""

from __future__ import annotations

import math

import pytest

from proofrank.core.default import DATASET, POLICY
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Candidate, ReferenceProver
from proofrank.core.ranking import Corruptor, corrupted_queries
from proofrank.training.rollout import Choosing, exploring, logits_of_network, roll_out


@pytest.fixture(scope="module")
def countries() -> Dataset:
    return load_dataset(DATASET)


@pytest.fixture(scope="module")
def policy(countries: Dataset) -> Policy:
    return load_policy(POLICY, countries)


@pytest.fixture(scope="module")
def prover(countries: Dataset, policy: Policy) -> ReferenceProver:
    assert policy.settings is not None
    return ReferenceProver(countries, policy.settings)


def test_a_roll_out_ends_as_the_evaluator_says(
    countries: Dataset, policy: Policy, prover: ReferenceProver
) -> None:
    queries = corrupted_queries(countries.splits["test"], ["tail"], Corruptor(countries))
    candidates = [candidate for query in queries for candidate in query.candidates]
    outcomes = ReferenceEvaluator(countries, policy, prover.settings).evaluate(candidates)
    variable = countries.vocabulary.first_variable_index
    rolled = list(roll_out(prover, variable, candidates, logits_of_network(policy.network), lanes=7))
    assert [trajectory.success for trajectory in rolled] == [outcome.success for outcome in outcomes]
    assert [trajectory.log_probability for trajectory in rolled] == pytest.approx(
        [outcome.log_probability for outcome in outcomes], abs=1e-3
    )


def test_choices_are_cut_where_asked(countries: Dataset, policy: Policy, prover: ReferenceProver) -> None:
    candidates = [Candidate(triple, is_positive=True) for triple in countries.splits["test"]]
    rolled = roll_out(
        prover,
        countries.vocabulary.first_variable_index,
        candidates,
        logits_of_network(policy.network),
        most_choices=1,
    )
    for candidate, trajectory in zip(candidates, rolled, strict=True):
        (choice,) = trajectory.choices
        assert choice.state == (candidate.triple,)
        assert choice.excluded == candidate.triple
        assert len(choice.actions) > 1


def test_exploring_changes_about_the_share_that_is_asked_for(countries: Dataset) -> None:
    triple = countries.splits["test"][0]
    choice = Choosing(Candidate(triple, is_positive=True), triple, (triple,), ((triple,), (triple,)))
    explored = exploring(lambda choosing: [[math.inf, 0.0] for _ in choosing], share=0.3, seed=0)
    logits = explored([choice] * 1000)
    assert 250 < sum(first != math.inf for first, _ in logits) < 350

"""The fewest steps are those of the shortest trajectory that the prover allows, tried out in full on small graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.proof_depths import DepthSearch, ProofDepth
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Candidate, ProverSettings, ReferenceProver
from proofrank.core.prover.outcome import Atom, State
from tests.helpers.cases import Case, cases
from tests.helpers.datasets import DatasetMaker

_MOST_TRAJECTORIES = 20_000


def fewest_steps(dataset: Dataset, prover_settings: ProverSettings, candidate: Candidate) -> int | None:
    """The fewest steps of any trajectory of ``candidate``, by trying them all; None if none proves it."""
    prover = ReferenceProver(dataset, prover_settings)
    excluded = candidate.triple if candidate.is_positive else None
    level: list[tuple[State, int, frozenset[frozenset[Atom]]]] = [
        ((tuple(candidate.triple),), dataset.vocabulary.first_variable_index, frozenset())  # pyright: ignore[reportAssignmentType]
    ]
    for steps in range(1, prover_settings.max_depth + 1):
        below = []
        for state, next_variable, visited in level:
            seen = set(visited)
            actions = prover.actions(state, next_variable, seen, excluded)
            if prover.true_state in actions.states:
                return steps
            below += [
                (after, actions.next_variable, frozenset(seen))
                for after in actions.states
                if after not in (prover.false_state, prover.endf_state)
            ]
        assume(len(below) < _MOST_TRAJECTORIES)
        level = below
    return None


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(case=cases)
def test_it_is_the_fewest_steps_of_all_trajectories(case: Case, make_dataset: DatasetMaker) -> None:
    dataset = case.dataset(make_dataset)
    prover_settings = replace(
        case.settings, skip_unary_actions=False, max_depth=min(case.settings.max_depth, 4)
    )
    search = DepthSearch(dataset, prover_settings, compute_least_model(dataset))
    for candidate in case.candidates(dataset):
        expected = fewest_steps(dataset, prover_settings, candidate)

        found = search.depth(candidate.triple, is_positive=candidate.is_positive)

        if found.steps is not None:
            assert found.steps == expected
        elif expected is None:
            assert found.at_most is None
        else:
            assert found.at_least is not None
            assert found.at_least <= expected
        if found.is_provable is False:
            assert expected is None


@pytest.fixture(scope="module")
def chain(make_dataset: DatasetMaker) -> Dataset:
    """A chain of facts, and a relation that leads along it."""
    links = [f"p(n{index},n{index + 1})." for index in range(8)]
    return make_dataset(links, ["p(X,Y) -> v(X,Y)", "p(X,Z), v(Z,Y) -> v(X,Y)"], test=["v(n0,n1)."])


def depth(dataset: Dataset, head: str, tail: str, **options: Any) -> ProofDepth:
    max_states = options.pop("max_states", 1000)
    search = DepthSearch(
        dataset, ProverSettings(**options), compute_least_model(dataset), max_states=max_states
    )
    return search.depth(dataset.triple(head, "v", tail))


def test_depths_of_a_chain_and_their_names(chain: Dataset) -> None:
    # A link by itself is proved at once; each further link takes a rule and a fact.
    assert [depth(chain, "n0", f"n{length}").name for length in range(1, 5)] == ["1", "3", "5", "7"]
    assert depth(chain, "n3", "n1").name == "unprovable"
    assert depth(chain, "n0", "n4", max_depth=5).name == "more than 5"
    assert depth(chain, "n0", "n8", max_states=3).name.startswith("more than ")
    assert depth(chain, "n0", "n8", max_states=3).is_provable is None


def test_a_fact_does_not_prove_itself(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["v(a,b).", "p(b,a)."], ["p(Y,X) -> q(X,Y)"])
    search = DepthSearch(dataset, ProverSettings(), compute_least_model(dataset))

    assert search.depth(dataset.triple("a", "v", "b")).name == "unprovable"
    assert search.depth(dataset.triple("a", "v", "b"), is_positive=False).steps == 1
    assert search.depth(dataset.triple("a", "q", "b")).steps == 1


def test_skipped_steps_are_refused(chain: Dataset) -> None:
    with pytest.raises(EvaluationError, match="skip_unary_actions is on; expected off"):
        depth(chain, "n0", "n1", skip_unary_actions=True)


def test_depths_of_countries_are_those_that_are_published(shared_data: Path) -> None:
    dataset = load_dataset(shared_data / "countries_s3")
    search = DepthSearch(dataset, ProverSettings(), compute_least_model(dataset))

    names = [search.depth(triple).name for triple in dataset.splits["test"]]

    counts = {name: names.count(name) for name in sorted(set(names))}
    assert counts == {"2": 1, "3": 18, "5": 3, "6": 1, "9": 1}

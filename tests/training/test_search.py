"""The search: proofs of the length that they have, and no proof that the prover cannot take."""

from __future__ import annotations

import pytest

from proofrank.core.graph import Dataset
from proofrank.core.prover import ProverSettings, ReferenceProver, State
from proofrank.training.search import ProofSearch, SearchBudgetExceeded, Targets
from tests.helpers.datasets import DatasetMaker

SETTINGS = ProverSettings()


@pytest.fixture(scope="module")
def ancestors(make_dataset: DatasetMaker) -> Dataset:
    """a -> b -> c -> d, and e apart."""
    return make_dataset(
        train=["parent(a,b).", "parent(b,c).", "parent(c,d).", "parent(e,e).", "ancestor(e,e)."],
        rules=[
            "parent(X,Y) -> ancestor(X,Y)",
            "parent(X,Y), ancestor(Y,Z) -> ancestor(X,Z)",
        ],
        valid=["ancestor(a,d)."],
        test=["ancestor(a,c)."],
    )


def query(dataset: Dataset, head: str, tail: str) -> State:
    return (dataset.triple(head, "ancestor", tail),)


@pytest.mark.parametrize(
    ("head", "tail", "steps"), [("a", "b", 1), ("a", "c", 3), ("a", "d", 5), ("a", "e", None)]
)
def test_steps_to_proof_are_those_of_the_shortest_proof(
    ancestors: Dataset, head: str, tail: str, steps: int | None
) -> None:
    search = ProofSearch(ancestors, SETTINGS)
    assert search.steps_to_proof(query(ancestors, head, tail), None, limit=6) == steps


def test_a_proof_beyond_the_limit_is_not_found(ancestors: Dataset) -> None:
    search = ProofSearch(ancestors, SETTINGS)
    assert search.steps_to_proof(query(ancestors, "a", "d"), None, limit=4) is None


def test_an_excluded_fact_proves_nothing(ancestors: Dataset) -> None:
    search = ProofSearch(ancestors, SETTINGS)
    state = query(ancestors, "e", "e")
    assert search.steps_to_proof(state, None, limit=3) == 1
    # Without itself as a fact it follows from parent(e,e).
    assert search.steps_to_proof(state, state[0], limit=3) == 1
    parent = ancestors.triple("a", "parent", "b")
    assert search.steps_to_proof(query(ancestors, "a", "b"), parent, limit=4) is None


def test_targets_are_the_actions_of_the_shortest_proofs(ancestors: Dataset) -> None:
    search = ProofSearch(ancestors, SETTINGS)
    state = query(ancestors, "a", "c")
    actions = search.prover.actions(state, ancestors.vocabulary.first_variable_index, set(), None).states
    # The first rule leaves parent(a,c), which nothing proves; the third action is to give up.
    assert len(actions) == 3
    assert search.targets(actions, None, limit=4) == Targets(steps=3, actions=(1,))


def test_a_search_that_takes_too_long_says_so(ancestors: Dataset) -> None:
    search = ProofSearch(ancestors, SETTINGS, budget=1)
    with pytest.raises(SearchBudgetExceeded):
        search.steps_to_proof(query(ancestors, "a", "d"), None, limit=6)


def test_at_once_means_that_some_resolvent_is_empty(ancestors: Dataset) -> None:
    search = ProofSearch(ancestors, SETTINGS)
    prover = ReferenceProver(ancestors, SETTINGS)
    variable = ancestors.vocabulary.first_variable_index
    parent, ancestor = (ancestors.vocabulary.predicate_index(name) for name in ("parent", "ancestor"))
    arguments = [*range(1, variable), variable, variable + 1]
    atoms = [(p, first, second) for p in (parent, ancestor) for first in arguments for second in arguments]
    excluded = ancestors.triple("b", "parent", "c")
    states: list[State] = [(atom,) for atom in atoms] + [
        (first, second) for first in atoms[::3] for second in atoms[::2]
    ]
    num_proved = 0
    for state in states:
        resolvents = prover.resolve_first_goal(state, variable + 2, excluded)
        is_proved = any(resolvent.state == () for resolvent in resolvents)
        assert search.is_proved_at_once(state, excluded) == is_proved, state
        assert not is_proved or search.least_steps(state) <= 1, state
        num_proved += is_proved
    assert 20 < num_proved < len(states)

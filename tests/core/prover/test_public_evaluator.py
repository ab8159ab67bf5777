"""What the evaluator of the public DeepProofLog code does otherwise, as ``docs/deepprooflog.md`` describes it.

Each difference is a small imitation of our own, which can be switched off: with it the outcome changes as the page
says, without it it is that of the reference.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from proofrank.core.graph import Dataset
from proofrank.core.policy import StateScorer
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Candidate, Outcome, ProverSettings, ReferenceProver, State
from proofrank.core.prover.outcome import Atom
from proofrank.core.prover.settings import FAILURE_PENALTY
from proofrank.core.ranking.ranks import rank_positive
from tests.helpers.datasets import DatasetMaker
from tests.helpers.policies import make_policy

HOLE: Atom = (0, 0, 0)
"""An empty place in a state."""


def all_equal(state: State, actions: Sequence[State]) -> list[float]:
    """A policy without preferences, which takes the first action."""
    return [0.0] * len(actions)


def candidates_of(dataset: Dataset, relation: str) -> list[Candidate]:
    """Every pair of constants as a candidate that is no positive."""
    names = dataset.vocabulary.constants
    return [Candidate(dataset.triple(head, relation, tail), False) for head, tail in product(names, names)]


def ends(prover: ReferenceProver, candidates: Sequence[Candidate]) -> list[tuple[bool, int, float]]:
    """Success, steps and log-probability of each candidate."""
    outcomes = [prover.prove(candidate, all_equal) for candidate in candidates]
    return [(outcome.success, outcome.steps, outcome.log_probability) for outcome in outcomes]


# Dropout


def with_dropout(network: nn.Module, probability: float) -> nn.Module:
    """The network with a dropout behind each normalisation that nothing switches off."""

    def drop(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return functional.dropout(output, probability, training=True)

    copied = copy.deepcopy(network).eval()
    for module in copied.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_hook(drop)
    return copied


@pytest.fixture(scope="module")
def ring(make_dataset: DatasetMaker) -> Dataset:
    """Five towns in a ring, with a chord."""
    facts = [f"road(t{n},t{(n + step) % 5})." for n in range(5) for step in ((1,) if n % 2 else (1, 2))]
    return make_dataset(facts, ["way(X,Y) :- road(X,Y).", "way(X,Y) :- road(X,Z), way(Z,Y)."])


def test_dropout_in_evaluation_gives_one_policy_two_scores(ring: Dataset) -> None:
    policy = make_policy(ring, 3, spread=2.0)
    prover = ReferenceProver(ring, ProverSettings(max_depth=8))
    candidates = candidates_of(ring, "way")

    def scores(network: nn.Module) -> list[float]:
        return [prover.prove(candidate, StateScorer(network)).score for candidate in candidates]  # type: ignore[arg-type]

    expected = scores(policy.network)
    assert scores(policy.network) == expected
    assert scores(with_dropout(policy.network, 0.0)) == expected
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropping = with_dropout(policy.network, 0.05)
        first, second = scores(dropping), scores(dropping)
    assert first != second
    assert expected not in (first, second)


# Overwritten slots


class OverwritingProver(ReferenceProver):
    """Where a goal has as many resolvents as there are slots, or more, padding falls into the last slot.

    A slot of padding is a state without goals, and so a proof.
    """

    def resolvents(self, state: State, next_variable: int, excluded: Atom | None) -> tuple[list[State], int]:
        number = sum(1 for _ in self.resolve_first_goal(state, next_variable, excluded))
        if number >= self.settings.padding_states:
            return [self.true_state], next_variable
        return super().resolvents(state, next_variable, excluded)


def test_a_goal_of_many_facts_counts_as_proved_where_padding_falls_into_the_last_slot(
    make_dataset: DatasetMaker,
) -> None:
    facts = [f"visited(anna,town{number})." for number in range(4)]
    dataset = make_dataset([*facts, "near(town9,home)."], ["home(X,Y) :- visited(X,Z), near(Z,Y)."])
    candidate = Candidate(dataset.triple("anna", "home", "home"), is_positive=False)
    narrow, wide = (ProverSettings(padding_states=number, end_proof_action=False) for number in (4, 5))

    assert not ReferenceProver(dataset, narrow).prove(candidate, all_equal).success
    assert OverwritingProver(dataset, narrow).prove(candidate, all_equal).success
    # No proof exists: an audit finds such a success by the least model.
    assert not compute_least_model(dataset).contains([candidate.triple])[0]

    everybody = candidates_of(dataset, "home")
    assert ends(OverwritingProver(dataset, wide), everybody) == ends(
        ReferenceProver(dataset, wide), everybody
    )


# Variables


class RenumberingProver(ReferenceProver):
    """Variables are moved in each step so that the least is the next free one, and so are the fresh ones of that step.

    The next free variable is then taken to be a few behind the last one, though the fresh ones were moved further.
    """

    def __init__(self, dataset: Dataset, settings: ProverSettings, *, counts_all: bool) -> None:
        super().__init__(dataset, settings)
        self._first = dataset.vocabulary.first_variable_index
        self._margin = max(len(rule.body) for rule in dataset.rules) + 2
        self._counts_all = counts_all

    def resolvents(self, state: State, next_variable: int, excluded: Atom | None) -> tuple[list[State], int]:
        states, _ = super().resolvents(state, next_variable, excluded)
        if states in ([self.true_state], [self.false_state]):
            return states, next_variable
        in_use = self._variables(state)
        shift = next_variable - min(in_use) if in_use else 0
        moved = [
            tuple((p, self._move(a, shift), self._move(b, shift)) for p, a, b in atoms) for atoms in states
        ]
        last = next_variable + self._margin
        if self._counts_all:
            last = max([last, *(variable for atoms in moved for variable in self._variables(atoms))])
        return moved, last + 1

    def _variables(self, state: State) -> list[int]:
        return [argument for atom in state for argument in atom[1:] if argument >= self._first]

    def _move(self, argument: int, shift: int) -> int:
        return argument + shift if argument >= self._first else argument


def test_a_proof_is_lost_where_a_fresh_variable_equals_one_in_use(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["road(a,c).", "road(c,d).", "ferry(d,e).", "bridge(e,b)."],
        [
            "trip(X,Y) :- voyage(X,Z), bridge(Z,Y).",
            "voyage(X,Y) :- drive(X,Z), ferry(Z,Y).",
            "drive(X,Y) :- road(X,Z), road(Z,Y).",
        ],
    )
    settings = ProverSettings(end_proof_action=False)
    candidates = candidates_of(dataset, "trip")
    trip = Candidate(dataset.triple("a", "trip", "b"), is_positive=True)

    assert ReferenceProver(dataset, settings).prove(trip, all_equal).success
    # drive(a,V) becomes road(a,V), road(V,V): the town between would have to be the one at the end.
    assert not RenumberingProver(dataset, settings, counts_all=False).prove(trip, all_equal).success
    careful = RenumberingProver(dataset, settings, counts_all=True)
    assert careful.prove(trip, all_equal).success
    assert ends(careful, candidates) == ends(ReferenceProver(dataset, settings), candidates)


# Gaps


class GappyProver(ReferenceProver):
    """Known atoms leave holes; a state that begins with one has nothing to resolve."""

    def __init__(self, dataset: Dataset, settings: ProverSettings, *, closes_gaps: bool) -> None:
        super().__init__(dataset, settings)
        self._closes_gaps = closes_gaps

    def _without_known(self, atoms: State, excluded: Atom | None) -> State:
        known = [atom for atom in atoms if atom in self._facts and atom != excluded]
        left = tuple(HOLE if atom in known else atom for atom in atoms)
        goals = tuple(atom for atom in left if atom != HOLE)
        return left if goals and not self._closes_gaps else goals


def test_a_proof_is_lost_where_the_atom_in_front_is_a_known_fact(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["born(anna,lyon).", "born(bob,lyon).", "moved(bob,rome).", "moved(anna,oslo)."],
        ["stayed(X,Y) :- born(X,Y), person(X,Y).", "person(X,Y) :- born(X,Z), born(W,Z)."],
    )
    settings = ProverSettings(end_proof_action=False)
    candidates = candidates_of(dataset, "stayed")
    gappy, closing = (GappyProver(dataset, settings, closes_gaps=closes) for closes in (False, True))
    stayed = Candidate(dataset.triple("anna", "stayed", "lyon"), is_positive=True)

    # born(anna,lyon) is known, and person(anna,lyon) stands behind the hole.
    assert ReferenceProver(dataset, settings).prove(stayed, all_equal).success
    assert not gappy.prove(stayed, all_equal).success
    assert closing.prove(stayed, all_equal).success
    assert ends(closing, candidates) == ends(ReferenceProver(dataset, settings), candidates)


# The first result


def results(outcomes: Sequence[Outcome], num_lanes: int, *, leaves_out_unfinished: bool) -> list[float]:
    """The scores that are stored when lanes take one candidate after the other, in order of their steps.

    A lane that does not finish in a step writes too, the value that is there, at the place of the first result.
    """
    stored = [(False, 0.0)] * len(outcomes)
    lanes = list(range(num_lanes))
    left = [outcomes[lane].steps for lane in lanes]
    while any(candidate < len(outcomes) for candidate in lanes):
        left = [steps - 1 for steps in left]
        before = list(stored)
        for lane, candidate in enumerate(lanes):
            if candidate < len(outcomes) and left[lane] == 0:
                stored[candidate] = (outcomes[candidate].success, outcomes[candidate].log_probability)
            elif not leaves_out_unfinished:
                stored[0] = before[0]
        for lane, candidate in enumerate(lanes):
            if left[lane] == 0:
                lanes[lane] = candidate + num_lanes
                left[lane] = outcomes[lanes[lane]].steps if lanes[lane] < len(outcomes) else 0
    return [probability - (0.0 if success else FAILURE_PENALTY) for success, probability in stored]


def test_the_first_positive_of_a_chunk_is_ranked_last_where_its_result_is_lost(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(["next(a,b).", "next(b,c).", "next(c,d)."], ["way(X,Y) :- next(X,Z), next(Z,Y)."])
    prover = ReferenceProver(dataset, ProverSettings(end_proof_action=False))
    candidates = [Candidate(dataset.triple("a", "way", tail), tail == "c") for tail in "cbda"]
    outcomes = [prover.prove(candidate, all_equal) for candidate in candidates]
    scores = [outcome.score for outcome in outcomes]
    assert [(outcome.success, outcome.steps) for outcome in outcomes] == [(True, 2), *[(False, 3)] * 3]

    lost = results(outcomes, 2, leaves_out_unfinished=False)
    assert lost == [-FAILURE_PENALTY, *scores[1:]]
    assert rank_positive(scores, 0).pessimistic == 1
    assert rank_positive(lost, 0).pessimistic == len(scores)
    assert results(outcomes, 2, leaves_out_unfinished=True) == scores

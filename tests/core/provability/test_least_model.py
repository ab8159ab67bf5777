"""The least model is the naive one, on any small graph; where its limits stop it, it holds a superset."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.graph import Dataset, Triple, load_dataset
from proofrank.core.provability import compute_least_model, least_model, naive_least_model
from proofrank.core.provability.groups import groups_of_predicates
from proofrank.core.provability.quotient import quotient_of
from tests.helpers.datasets import DatasetMaker
from tests.helpers.strategies import write_atom

CONSTANTS = ("a", "b", "c", "d", "e")
VARIABLES = ("X", "Y", "Z", "U", "W")
PREDICATES = ("p", "q", "r", "v")

_constants = st.sampled_from(CONSTANTS)
_arguments = st.sampled_from((*VARIABLES * 4, "a", "b"))
_facts = st.lists(st.tuples(st.sampled_from("pqr"), _constants, _constants), max_size=14)
_atoms = st.tuples(st.sampled_from(PREDICATES), _arguments, _arguments)
_rules = st.lists(st.tuples(_atoms, st.lists(_atoms, min_size=1, max_size=5)), min_size=1, max_size=6)

# Every name occurs in a triple; a chain, and a hub whose variable has three neighbours.
ANCHOR_FACTS = [("p", "a", "b"), ("q", "b", "c"), ("r", "c", "d"), ("v", "d", "e")]
ANCHOR_RULES = [
    (("v", "X", "Y"), [("p", "X", "Z"), ("q", "Z", "Y")]),
    (("v", "X", "Y"), [("p", "X", "Z"), ("q", "Z", "Y"), ("r", "Z", "U"), ("p", "Z", "U")]),
]

many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """The lines of ``train`` and ``rules``."""
    facts = [*ANCHOR_FACTS, *draw(_facts)]
    rules = [*ANCHOR_RULES, *draw(_rules)]
    return (
        [write_atom(*fact) + "." for fact in dict.fromkeys(facts)],
        [f"{', '.join(write_atom(*atom) for atom in body)} -> {write_atom(*head)}" for head, body in rules],
    )


def all_triples(dataset: Dataset) -> list[Triple]:
    """Every ground atom over the names of ``dataset``."""
    constants = range(1, dataset.vocabulary.num_constants + 1)
    predicates = range(1, dataset.vocabulary.num_predicates + 1)
    return [Triple(*atom) for atom in itertools.product(predicates, constants, constants)]


def atoms_of(dataset: Dataset, found: np.ndarray) -> set[Triple]:
    return {triple for triple, is_in in zip(all_triples(dataset), found.tolist(), strict=True) if is_in}


@many
@given(graph=graphs())
def test_it_is_the_naive_model(graph: tuple[list[str], list[str]], make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(*graph)

    model = compute_least_model(dataset)

    assert model.is_exact
    expected = naive_least_model(dataset)
    assert atoms_of(dataset, model.contains(all_triples(dataset))) == expected
    assert model.num_atoms == len(expected)


@many
@given(graph=graphs(), max_atoms=st.integers(0, 12), max_blocks=st.integers(1, 5))
def test_with_limits_it_is_a_superset_and_says_of_which_predicates(
    graph: tuple[list[str], list[str]], max_atoms: int, max_blocks: int, make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset(*graph)

    model = compute_least_model(dataset, max_atoms=max_atoms, max_blocks=max_blocks)

    found = atoms_of(dataset, model.contains(all_triples(dataset)))
    expected = naive_least_model(dataset)
    assert found >= expected
    for predicate in range(1, dataset.vocabulary.num_predicates + 1):
        if model.is_exact_for(predicate):
            assert {atom for atom in found if atom[0] == predicate} == {
                atom for atom in expected if atom[0] == predicate
            }
    assert model.is_exact == (not model.coarse)


def test_without_time_the_model_of_blocks_answers(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", "p(b,c).", "p(x1,x2).", "q(x1,x2)."], ["p(X,Y) -> v(X,Y)", "v(X,Y), p(Y,Z) -> v(X,Z)"]
    )

    model = compute_least_model(dataset, seconds=0)

    assert not model.is_exact
    v, q = dataset.vocabulary.predicate_index("v"), dataset.vocabulary.predicate_index("q")
    assert not model.is_exact_for(v)
    assert model.is_exact_for(q)
    assert model.contains([dataset.triple("a", "v", "c")])[0]
    assert not model.contains([dataset.triple("c", "v", "a")])[0]


def test_without_memory_for_blocks_nothing_is_ruled_out_of_what_they_would_tell(
    make_dataset: DatasetMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(
        ["p(a,b).", "p(b,c).", "q(a,a)."], ["p(X,Z), p(Z,Y) -> v(X,Y)", "v(X,Y) -> w(X,Y)"]
    )

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(least_model, "derive", full)
    model = compute_least_model(dataset)

    found = atoms_of(dataset, model.contains(all_triples(dataset)))
    assert found >= naive_least_model(dataset)
    v, w = map(dataset.vocabulary.predicate_index, "vw")
    assert model.completions(w, "tail", 1).tolist() == [1, 2, 3]
    assert {atom.predicate for atom in found} >= {v, w}
    # Of predicates without rules everything is known.
    assert {atom for atom in found if atom.predicate not in (v, w)} == set(dataset.fact_triples)


def test_a_rule_whose_head_has_a_free_variable_holds_for_every_constant(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,a).", "p(b,c)."], ["p(X,X) -> v(X,Y)"])

    model = compute_least_model(dataset)

    assert model.contains([dataset.triple("a", "v", name) for name in "abc"]).all()
    assert not model.contains([dataset.triple("b", "v", name) for name in "abc"]).any()


def test_valid_and_test_triples_prove_nothing(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b)."], ["p(X,Y) -> v(X,Y)"], valid=["p(b,a)."], test=["p(b,b)."])

    model = compute_least_model(dataset)

    assert model.contains([dataset.triple("a", "v", "b")])[0]
    assert not model.contains([dataset.triple("b", "p", "a"), dataset.triple("b", "v", "a")]).any()


def test_groups_come_after_what_they_use(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", "q(a,b).", "r(a,b).", "s(a,b)."],
        ["q(X,Y) -> p(X,Y)", "r(X,Y) -> q(X,Y)", "s(X,Y), q(X,Y) -> r(Y,X)", "p(X,Y), p(Y,Z) -> p(X,Z)"],
    )
    p, q, r = (dataset.vocabulary.predicate_index(name) for name in "pqr")

    assert [set(group) for group in groups_of_predicates(dataset.rules)] == [{q, r}, {p}]


def test_constants_that_facts_tell_apart_are_in_blocks_of_their_own(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", "p(b,c).", "p(c,d).", "p(a2,b2).", "p(b2,c2).", "p(c2,d2)."], ["p(X,Y) -> q(Y,X)"]
    )

    quotient = quotient_of(dataset)

    block = {
        name: quotient.block_of[dataset.vocabulary.constant_index(name) - 1]
        for name in dataset.vocabulary.constants
    }
    assert quotient.num_blocks == 4
    assert all(block[name] == block[f"{name}2"] for name in "abcd")


@pytest.mark.parametrize(("name", "num_atoms"), [("countries_s3", 1_387), ("family", 55_715)])
def test_models_of_known_size(name: str, num_atoms: int, shared_data: Path) -> None:
    dataset = load_dataset(shared_data / name)

    model = compute_least_model(dataset)

    assert model.num_atoms == num_atoms
    assert model.contains(dataset.splits["train"]).all()
    assert compute_least_model(replace(dataset, splits={**dataset.splits, "test": ()})).num_atoms == num_atoms


@many
@given(graph=graphs(), max_atoms=st.sampled_from([2, 1000]))
def test_bits_say_of_every_atom_what_the_model_says(
    graph: tuple[list[str], list[str]], max_atoms: int, make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset(*graph)
    vocabulary = dataset.vocabulary
    triples = all_triples(dataset)
    # With two atoms of a relation, most predicates have the model of a smaller graph.
    model = compute_least_model(dataset, max_atoms=max_atoms, max_blocks=3)

    table = model.bits(vocabulary.num_predicates, vocabulary.num_constants)

    found = [bool(table[predicate, head, tail // 8] >> tail % 8 & 1) for predicate, head, tail in triples]
    assert found == model.contains(triples).tolist()
    assert np.unpackbits(table).sum() == sum(found)

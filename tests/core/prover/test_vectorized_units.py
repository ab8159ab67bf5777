"""The parts of the vectorised evaluator against plain Python: fact sets, rows of lanes, tallies, sets of atoms."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofrank.core.prover.fact_set import FactSet
from proofrank.core.prover.packing import pack_atom
from proofrank.core.prover.rows import Tally, admit, rows_of
from proofrank.core.prover.state_sets import same_set, set_hash
from proofrank.core.prover.tables import build_tables
from proofrank.core.prover.unification import resolve, unify
from proofrank.core.prover.vectorized import UnificationEngineVectorized
from tests.helpers.datasets import DatasetMaker
from tests.helpers.strategies import NUM_CONSTANTS, goals, heads

CPU = torch.device("cpu")

many = settings(max_examples=150, deadline=None)


def assert_is_the_set(facts: Sequence[int], others: Sequence[int]) -> None:
    """Asserts that ``FactSet`` distinguishes ``facts`` from ``others``."""
    known = set(facts)
    fact_set = FactSet.of(np.array(sorted(known), dtype=np.int64), CPU)
    asked = [*facts, *others]

    found = fact_set.contains(torch.tensor(asked, dtype=torch.int64))

    assert found.tolist() == [atom in known for atom in asked]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 8, 9, 33])
def test_a_small_fact_set_holds_its_facts_and_no_others(number: int) -> None:
    facts = [pack_atom(1, index + 1, index + 1) for index in range(number)]
    others = [pack_atom(1, index + 1, index + 2) for index in range(40)]

    assert_is_the_set(facts, others)


FORMS = {
    "consecutive": range(1, 100_001),
    "second-arguments": [pack_atom(1, 1, index) for index in range(1, 100_001)],
    "first-arguments": [pack_atom(1, index, 1) for index in range(1, 100_001)],
    "grid": [pack_atom(p, a, b) for p in range(1, 11) for a in range(1, 101) for b in range(1, 101)],
    "diagonal": [pack_atom(2, index, index) for index in range(1, 100_001)],
    "powers-of-two": [
        pack_atom(1 << p, 1 << a, 1 << b) for p in range(10) for a in range(25) for b in range(25)
    ],
    "multiples": [index << 20 for index in range(1, 100_001)],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_fact_set_of_many_similar_facts_holds_them_and_no_others(form: str) -> None:
    facts = list(FORMS[form])
    known = set(facts)
    others = [near for fact in facts[::7] for near in (fact + 1, fact ^ 1 << 25) if near not in known]

    assert_is_the_set(facts, others)


@many
@given(
    facts=st.sets(st.integers(1, 2**61 - 1), max_size=60),
    others=st.lists(st.integers(1, 2**61 - 1), max_size=20),
)
def test_a_fact_set_of_any_integers_is_a_set(facts: set[int], others: list[int]) -> None:
    assert_is_the_set(sorted(facts), others)


def test_padding_is_in_no_fact_set() -> None:
    fact_set = FactSet.of(np.array([pack_atom(1, 1, 1)]), CPU)

    assert not fact_set.contains(torch.zeros(2, 3, dtype=torch.int64)).any()


def test_membership_keeps_the_shape_of_what_is_asked() -> None:
    fact = pack_atom(1, 2, 3)
    fact_set = FactSet.of(np.array([fact]), CPU)

    found = fact_set.contains(torch.tensor([[fact, 0, 5], [5, fact, fact]]))

    assert found.tolist() == [[True, False, False], [False, True, True]]


requests = st.lists(st.integers(0, 5), min_size=1, max_size=9)


def admitted_plainly(request: list[int], capacity: int, first_lane: int) -> dict[int, range]:
    """Returns the rows of each admitted lane: in turn, until one does not fit."""
    rows: dict[int, range] = {}
    begin = 0
    for number in range(len(request)):
        lane = (first_lane + number) % len(request)
        if begin + request[lane] > capacity:
            break
        rows[lane] = range(begin, begin + request[lane])
        begin += request[lane]
    return rows


@many
@given(request=requests, capacity=st.integers(5, 30), data=st.data())
def test_lanes_are_admitted_in_turn_until_one_does_not_fit(
    request: list[int], capacity: int, data: st.DataObject
) -> None:
    first_lane = data.draw(st.integers(0, len(request) - 1))
    expected = admitted_plainly(request, capacity, first_lane)

    admission = admit(torch.tensor(request), capacity, torch.tensor(first_lane))

    assert admission.is_admitted.tolist() == [lane in expected for lane in range(len(request))]
    assert int(admission.total) == sum(map(len, expected.values()))
    for lane, rows in expected.items():
        if rows:
            assert range(int(admission.begin[lane]), int(admission.end[lane])) == rows
    lengths = (admission.end - admission.begin).tolist()
    assert lengths == [len(expected.get(lane, ())) for lane in range(len(request))]


@many
@given(request=requests, capacity=st.integers(5, 30), extra=st.integers(0, 3), data=st.data())
def test_every_row_knows_its_lane_and_its_place_there(
    request: list[int], capacity: int, extra: int, data: st.DataObject
) -> None:
    first_lane = data.draw(st.integers(0, len(request) - 1))
    expected = admitted_plainly(request, capacity, first_lane)
    owner = {row: (lane, row - rows.start) for lane, rows in expected.items() for row in rows}

    admission = admit(torch.tensor(request), capacity, torch.tensor(first_lane))
    rows = rows_of(admission, capacity + extra)

    assert rows.is_row.tolist() == [row in owner for row in range(capacity + extra)]
    assert {
        row: (int(rows.lane[row]), int(rows.place[row]))
        for row in range(capacity + extra)
        if bool(rows.is_row[row])
    } == owner
    assert not rows.lane[~rows.is_row].any()


@many
@given(request=requests, capacity=st.integers(5, 30), data=st.data())
def test_a_tally_counts_ranks_and_finds_flagged_rows_of_each_lane(
    request: list[int], capacity: int, data: st.DataObject
) -> None:
    first_lane = data.draw(st.integers(0, len(request) - 1))
    flags = data.draw(st.lists(st.booleans(), min_size=capacity, max_size=capacity))
    expected = admitted_plainly(request, capacity, first_lane)
    admission = admit(torch.tensor(request), capacity, torch.tensor(first_lane))
    rows = rows_of(admission, capacity)
    flagged = {lane: [row for row in lane_rows if flags[row]] for lane, lane_rows in expected.items()}

    # Rows without a lane are never flagged in practice.
    tally = Tally(torch.tensor(flags) & rows.is_row)

    lanes = range(len(request))
    assert tally.of_lanes(admission).tolist() == [len(flagged.get(lane, ())) for lane in lanes]
    ranks = tally.rank(rows, admission).tolist()
    for lane, lane_rows in expected.items():
        assert [ranks[row] for row in lane_rows] == [
            sum(before < row for before in flagged[lane]) for row in lane_rows
        ]
        for rank, row in enumerate(flagged[lane]):
            found = tally.find(admission, torch.full((len(request),), rank))
            assert int(found[lane]) == row


@many
@given(request=requests)
def test_a_tally_finds_some_row_even_where_none_is_flagged(request: list[int]) -> None:
    admission = admit(torch.tensor(request), 50, torch.tensor(0))
    tally = Tally(torch.zeros(50, dtype=torch.bool))

    found = tally.find(admission, torch.zeros(len(request), dtype=torch.int64))

    assert all(0 <= row < 50 for row in found.tolist())


WIDTH = 4
# Few and similar atoms, so that states share some and repeat others.
states = st.lists(
    st.sampled_from([pack_atom(p, a, b) for p in (1, 2) for a in (1, 2) for b in (1, 9)]), max_size=WIDTH
)


def padded(state: list[int]) -> torch.Tensor:
    return torch.tensor([*state, *[0] * (WIDTH - len(state))])


@many
@given(left=states, right=states)
def test_states_are_the_same_set_where_python_says_so(left: list[int], right: list[int]) -> None:
    is_same = frozenset(left) == frozenset(right)

    assert bool(same_set(padded(left), padded(right))) is is_same
    # Equal hashes of different sets are allowed, but chance must not produce them.
    assert bool(set_hash(padded(left)) == set_hash(padded(right))) is is_same


@many
@given(state=states, data=st.data())
def test_order_repetition_and_width_do_not_change_a_set(state: list[int], data: st.DataObject) -> None:
    turned = data.draw(st.permutations(state))
    again = [*turned, *turned, 0, 0, 0]

    assert int(set_hash(padded(state))) == int(set_hash(torch.tensor(again)))


def test_sets_are_compared_in_batches_of_any_shape() -> None:
    left = torch.tensor([[[1, 2, 0], [1, 1, 0]], [[0, 0, 0], [3, 2, 1]]])
    right = torch.tensor([[[2, 1, 1], [1, 2, 0]], [[0, 0, 0], [1, 2, 3]]])

    assert same_set(left, right).tolist() == [[True, False], [True, True]]
    assert (set_hash(left) == set_hash(right)).tolist() == [[True, False], [True, True]]


def test_hashes_of_many_different_sets_differ() -> None:
    atoms = torch.tensor([pack_atom(1 + index % 7, 1 + index % 50, 1 + index // 50) for index in range(1000)])
    pairs = torch.combinations(atoms, 2)

    hashes = torch.cat([set_hash(pairs), set_hash(atoms.unsqueeze(1))])

    assert hashes.unique().shape == hashes.shape


@settings(max_examples=400, deadline=None)
@given(head=heads, goal=goals)
def test_heads_and_goals_are_unified_as_the_reference_unifies_them(
    head: tuple[int, int, int], goal: tuple[int, int, int], make_dataset: DatasetMaker
) -> None:
    head = (goal[0], *head[1:])  # a lane uses only rules of its goal's predicate
    expected = unify(head, goal, NUM_CONSTANTS)
    engine = small_engine(make_dataset)

    bound_first, bound_second, unifies = engine._unify(
        torch.tensor([head[1]]), torch.tensor([head[2]]), torch.tensor([pack_atom(*goal)])
    )

    assert bool(unifies) is (expected is not None)
    if expected is not None:
        assert (int(bound_first), int(bound_second)) == tuple(
            resolve(argument, expected) for argument in goal[1:]
        )


@functools.cache
def small_engine(make_dataset: DatasetMaker) -> UnificationEngineVectorized:
    """Makes an engine over a graph with as many constants as the strategies use."""
    dataset = make_dataset(["p(a,b).", "q(b,c)."], ["p(X,Y) -> q(Y,X)"])
    assert dataset.vocabulary.num_constants == NUM_CONSTANTS
    return UnificationEngineVectorized(build_tables(dataset, CPU), working_atoms=2)

"""The index of facts against a plain search, and the vocabulary's answers to names that it does not know."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofrank.core.errors import UnknownNameError
from proofrank.core.graph import FactIndex, Vocabulary

small = st.integers(1, 3)
facts = st.lists(st.tuples(small, small, small), max_size=12)


@given(facts, small, small)
@settings(max_examples=200, deadline=None)
def test_look_ups_give_what_a_plain_search_gives_in_ascending_order(
    triples: list[tuple[int, int, int]], predicate: int, argument: int
) -> None:
    index = FactIndex(triples)
    ordered = sorted(set(triples))

    assert len(index) == len(ordered)
    assert list(index.with_predicate(predicate)) == [fact for fact in ordered if fact[0] == predicate]
    assert list(index.with_first(predicate, argument)) == [
        fact for fact in ordered if fact[:2] == (predicate, argument)
    ]
    assert list(index.with_second(predicate, argument)) == [
        fact for fact in ordered if fact[::2] == (predicate, argument)
    ]
    assert all(fact in index for fact in ordered)
    assert (9, 9, 9) not in index


def test_an_unknown_name_is_answered_with_the_nearest_known_ones() -> None:
    vocabulary = Vocabulary.from_names({"locatedIn", "neighborOf"}, {"germany", "france"})

    with pytest.raises(
        UnknownNameError, match=r"unknown constant 'Germny'; did you mean 'germany'\?"
    ) as caught:
        vocabulary.constant_index("Germny")

    assert (caught.value.kind, caught.value.name, caught.value.nearest) == ("constant", "Germny", ["germany"])
    with pytest.raises(UnknownNameError, match=r"unknown predicate 'LocatedIn'; did you mean 'locatedIn'\?"):
        vocabulary.predicate_index("LocatedIn")


def test_a_name_that_is_near_to_nothing_gets_no_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown constant 'zzzz'$"):
        Vocabulary.from_names({"p"}, {"germany"}).constant_index("zzzz")


def test_names_come_back_for_indices_and_variables_are_numbered() -> None:
    vocabulary = Vocabulary.from_names(["q", "p"], ["b", "a"])

    assert [vocabulary.argument_name(index) for index in (1, 2, 3, 4)] == ["a", "b", "Var_3", "Var_4"]
    assert [vocabulary.predicate_name(index) for index in range(1, 6)] == ["p", "q", "True", "False", "Endf"]
    assert vocabulary.has_constant("a") and not vocabulary.has_constant("p")
    assert vocabulary.has_predicate("p") and not vocabulary.has_predicate("True")


@given(st.sets(st.text(max_size=4), max_size=6), st.permutations(range(6)))
@settings(max_examples=100, deadline=None)
def test_indices_depend_on_the_names_and_not_on_their_order(names: set[str], order: list[int]) -> None:
    ordered = sorted(names)
    shuffled = [ordered[index] for index in order if index < len(ordered)]

    assert Vocabulary.from_names(["p"], shuffled) == Vocabulary(("p",), tuple(ordered))

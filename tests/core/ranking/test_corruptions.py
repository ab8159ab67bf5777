"""Corruptions: which constants are used, which are left out, and that draws are reproducible."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset, Triple
from proofrank.core.ranking import Corruptor, Side, sides_of
from tests.helpers.datasets import DatasetMaker

RULE = "p(X,Y) -> q(X,Y)"


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Constants a to f; p(a,·) holds for b in train, c in valid and d in test."""
    return make_dataset(
        ["p(a,b).", "q(e,f).", "p(e,d)."], [RULE], valid=["p(a,c)."], test=["p(a,d).", "q(a,e)."]
    )


@pytest.fixture(scope="module")
def with_domains(make_dataset: DatasetMaker) -> Dataset:
    """Countries a, b, c; regions x, y; c also counts as a region, and z has no domain."""
    return make_dataset(
        ["in(a,x).", "in(b,y).", "q(c,z)."],
        ["in(X,Y) -> q(X,Y)"],
        domains=["countries a b c", "regions x y c"],
    )


@pytest.fixture(scope="module")
def many_constants(make_dataset: DatasetMaker) -> Dataset:
    return make_dataset([f"p(c{number},c0)." for number in range(60)], ["p(X,Y) -> p(Y,X)"])


def replaced(dataset: Dataset, query: str, side: Side, **options: int | bool) -> str:
    """Returns the names that replace the query's ``side``."""
    relation, head, tail = query.split()
    triple = dataset.triple(head, relation, tail)
    corruptions = Corruptor(dataset, **options).corruptions(triple, side)  # pyright: ignore[reportArgumentType]
    for corruption in corruptions:
        kept = corruption._replace(**{side: getattr(triple, side)})
        assert kept == triple
    return "".join(dataset.vocabulary.argument_name(getattr(corruption, side)) for corruption in corruptions)


def test_all_constants_but_the_querys_own_and_known_ones_come_in(dataset: Dataset) -> None:
    # b, c and d make triples of train, valid and test.
    assert replaced(dataset, "p a d", "tail") == "aef"
    assert replaced(dataset, "p a b", "tail") == "aef"


def test_heads_are_replaced_with_the_tail_kept(dataset: Dataset) -> None:
    # p(e,d) is known.
    assert replaced(dataset, "p a d", "head") == "bcdf"


def test_unfiltered_known_triples_stay_in_but_never_the_query(dataset: Dataset) -> None:
    assert replaced(dataset, "p a d", "tail", is_filtered=False) == "abcef"
    assert replaced(dataset, "p a d", "head", is_filtered=False) == "bcdef"


def test_only_triples_of_the_same_relation_are_filtered(dataset: Dataset) -> None:
    assert replaced(dataset, "q a e", "tail") == "abcdf"


def test_corruptions_are_of_the_domain_of_the_replaced_constant(with_domains: Dataset) -> None:
    assert replaced(with_domains, "in a x", "head") == "bc"
    assert replaced(with_domains, "in a y", "tail") == "c"
    assert replaced(with_domains, "in a y", "tail", is_filtered=False) == "cx"


def test_a_constant_of_two_domains_is_replaced_from_both(with_domains: Dataset) -> None:
    assert replaced(with_domains, "in c x", "head", is_filtered=False) == "abxy"


def test_a_constant_of_no_domain_is_replaced_by_any(with_domains: Dataset) -> None:
    assert replaced(with_domains, "q c z", "tail") == "abcxy"


def test_a_number_of_corruptions_is_drawn_without_repetition_in_ascending_order(
    many_constants: Dataset,
) -> None:
    query = many_constants.triple("c0", "p", "c1")

    drawn = Corruptor(many_constants, number=20).corruptions(query, "tail")

    assert len(drawn) == 20
    assert drawn == sorted(set(drawn))
    assert set(drawn) <= set(Corruptor(many_constants).corruptions(query, "tail"))


def test_where_fewer_exist_than_asked_for_all_are_taken(dataset: Dataset) -> None:
    assert replaced(dataset, "p a d", "tail", number=3) == "aef"
    assert replaced(dataset, "p a d", "tail", number=50) == "aef"
    assert replaced(dataset, "p a d", "tail", number=0) == ""


def test_the_same_seed_draws_the_same_in_whatever_company(many_constants: Dataset) -> None:
    query = many_constants.triple("c0", "p", "c1")
    alone = Corruptor(many_constants, number=5, seed=7)
    busy = Corruptor(many_constants, number=5, seed=7)
    for number in range(2, 9):
        busy.corruptions(many_constants.triple("c0", "p", f"c{number}"), "head")

    assert busy.corruptions(query, "tail") == alone.corruptions(query, "tail")


def test_other_seeds_queries_and_sides_draw_otherwise(many_constants: Dataset) -> None:
    first = Corruptor(many_constants, number=10, seed=0)
    second = Corruptor(many_constants, number=10, seed=1)
    query, other = many_constants.triple("c5", "p", "c6"), many_constants.triple("c7", "p", "c6")

    draws = {
        tuple(triple.tail for triple in first.corruptions(query, "tail")),
        tuple(triple.tail for triple in second.corruptions(query, "tail")),
        tuple(triple.tail for triple in first.corruptions(other, "tail")),
        tuple(triple.head for triple in first.corruptions(query, "head")),
    }

    assert len(draws) == 4


def test_every_constant_may_be_drawn(dataset: Dataset) -> None:
    drawn = {replaced(dataset, "p a d", "tail", number=1, seed=seed) for seed in range(40)}

    assert drawn == {"a", "e", "f"}


triples = st.tuples(st.sampled_from("pq"), st.sampled_from("abcde"), st.sampled_from("abcde"))


@given(
    train=st.lists(triples, max_size=10),
    test=st.lists(triples, max_size=4),
    query=triples,
    side=st.sampled_from(("head", "tail")),
    is_filtered=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_corruptions_are_those_of_the_definition(
    make_dataset: DatasetMaker,
    train: list[tuple[str, str, str]],
    test: list[tuple[str, str, str]],
    query: tuple[str, str, str],
    side: Side,
    is_filtered: bool,
) -> None:
    anchors = [("p", "a", "b"), ("q", "c", "d"), ("q", "e", "a")]
    known = {*anchors, *train, *test}
    dataset = make_dataset(
        [f"{p}({h},{t})." for p, h, t in (*anchors, *train)],
        [RULE],
        test=[f"{p}({h},{t})." for p, h, t in test],
    )
    relation, head, tail = query

    triple = dataset.triple(head, relation, tail)
    drawn = Corruptor(dataset, is_filtered=is_filtered).corruptions(triple, side)

    everything = [(relation, name, tail) if side == "head" else (relation, head, name) for name in "abcde"]
    expected = [triple for triple in everything if triple != query and not (is_filtered and triple in known)]
    assert [dataset.names(triple) for triple in drawn] == [(h, p, t) for p, h, t in expected]
    assert Corruptor(dataset, is_filtered=is_filtered).count(triple, side) == len(expected)


def test_sides_are_head_tail_or_both() -> None:
    assert [sides_of(option) for option in ("head", "tail", "both")] == [
        ("head",),
        ("tail",),
        ("head", "tail"),
    ]
    with pytest.raises(RankingError, match="side is 'left'; expected one of head, tail, both"):
        sides_of("left")


def test_negative_options_are_refused(dataset: Dataset) -> None:
    with pytest.raises(RankingError, match="number of corruptions is -1; expected 0 or more"):
        Corruptor(dataset, number=-1)
    with pytest.raises(RankingError, match="seed of corruptions is -1; expected 0 or more"):
        Corruptor(dataset, seed=-1)


def test_the_query_need_not_be_a_known_triple(dataset: Dataset) -> None:
    query: Triple = dataset.triple("f", "p", "f")

    assert len(Corruptor(dataset).corruptions(query, "tail")) == 5


@pytest.mark.parametrize("number", [0, 2, 4, None])
def test_corruptions_are_counted_without_drawing_them(with_domains: Dataset, number: int | None) -> None:
    corruptor = Corruptor(with_domains, number=number)
    for relation, head, tail in (("in", "a", "x"), ("in", "c", "c"), ("q", "c", "z"), ("q", "z", "b")):
        triple = with_domains.triple(head, relation, tail)
        for side in sides_of("both"):
            assert corruptor.count(triple, side) == len(corruptor.corruptions(triple, side))

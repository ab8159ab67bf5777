"""Ranks, and the effect of ties on them (Berrendorf et al. 2020; Sun et al. 2020)."""

from __future__ import annotations

import collections
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofrank.core.errors import RankingError
from proofrank.core.ranking import TIE_POLICIES, Ranks, rank_as_deepprooflog, rank_positive

many = settings(max_examples=200, deadline=None)
# Few different values, so that there are many ties.
scores_with_ties = st.lists(st.sampled_from((-100.5, -1.0, 0.0, 0.25)), min_size=1, max_size=12)
seeds = st.integers(0, 2**32)


def test_without_ties_all_four_ranks_are_the_place_in_the_order() -> None:
    ranks = rank_positive([0.5, 0.9, 0.1, 0.7], seed=0)

    assert [ranks.by(ties) for ties in TIE_POLICIES] == [3.0] * 4
    assert ranks.num_candidates == 4


def test_with_ties_the_four_ranks_differ_as_the_literature_says() -> None:
    # One is better, three tie with the positive, one is worse: places 2 to 5, of which seed 4 draws the third.
    ranks = rank_positive([0.5, 0.9, 0.5, 0.5, 0.5, 0.1], seed=4)

    assert [ranks.by(ties) for ties in TIE_POLICIES] == [2.0, 3.5, 5.0, 4.0]


def test_a_policy_that_gives_everything_the_same_score_is_first_last_or_in_the_middle() -> None:
    # The model that Sun et al. warn against: by the optimistic rank it is perfect.
    ranks = rank_positive([-100.0] * 101, seed=3)

    assert (ranks.optimistic, ranks.realistic, ranks.pessimistic) == (1, 51.0, 101)


def test_realistic_and_random_ranks_may_fall_between_two_places() -> None:
    assert rank_positive([0.0, 0.0], seed=0).realistic == 1.5


def test_a_positive_alone_has_rank_1() -> None:
    assert rank_positive([-3.0], seed=0) == Ranks(1, 1.0, 1, 1, 1)


def test_scores_that_differ_by_the_last_bit_do_not_tie() -> None:
    ranks = rank_positive([1.0, np.nextafter(1.0, 2.0)], seed=0)

    assert (ranks.optimistic, ranks.pessimistic) == (2, 2)


@given(scores_with_ties, seeds, st.data())
@many
def test_ranks_do_not_depend_on_the_order_of_the_corruptions(
    scores: list[float], seed: int, data: st.DataObject
) -> None:
    shuffled = [scores[0], *data.draw(st.permutations(scores[1:]))]

    assert rank_positive(shuffled, seed) == rank_positive(scores, seed)


@given(scores_with_ties, seeds)
@many
def test_optimistic_is_at_most_realistic_is_at_most_pessimistic_and_random_lies_between(
    scores: list[float], seed: int
) -> None:
    ranks = rank_positive(scores, seed)

    assert (
        1 <= ranks.optimistic <= ranks.realistic <= ranks.pessimistic <= ranks.num_candidates == len(scores)
    )
    assert ranks.optimistic <= ranks.random <= ranks.pessimistic
    assert ranks.realistic == (ranks.optimistic + ranks.pessimistic) / 2


@given(scores_with_ties, seeds, st.floats(-50, 50))
@many
def test_a_better_positive_never_ranks_worse(scores: list[float], seed: int, gain: float) -> None:
    better = [scores[0] + abs(gain), *scores[1:]]

    before, after = rank_positive(scores, seed), rank_positive(better, seed)

    assert after.optimistic <= before.optimistic
    assert after.realistic <= before.realistic
    assert after.pessimistic <= before.pessimistic


@given(scores_with_ties, seeds)
@many
def test_another_corruption_never_makes_the_rank_better(scores: list[float], seed: int) -> None:
    before, after = rank_positive(scores, seed), rank_positive([*scores, 0.0], seed)

    assert before.optimistic <= after.optimistic <= before.optimistic + 1
    assert before.pessimistic <= after.pessimistic <= before.pessimistic + 1


def test_random_ranks_take_every_place_of_the_tie_equally_often() -> None:
    scores = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]

    counts = collections.Counter(rank_positive(scores, seed).random for seed in range(4000))

    assert sorted(counts) == [2, 3, 4, 5]
    assert all(abs(count - 1000) < 120 for count in counts.values())


def test_random_ranks_are_the_same_for_the_same_seed() -> None:
    scores = [0.0] * 1000

    assert rank_positive(scores, [7, 1, 2]) == rank_positive(scores, [7, 1, 2])
    assert rank_positive(scores, [7, 1, 2]).random != rank_positive(scores, [7, 1, 3]).random


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "shape"),
        ([[1.0, 2.0]], "shape"),
        ([1.0, math.nan], "score 1 is not a finite number"),
        ([math.inf, 1.0], "score 0 is not a finite number"),
    ],
)
def test_scores_without_a_rank_are_refused(scores: list[float], message: str) -> None:
    with pytest.raises(RankingError, match=message):
        rank_positive(scores, seed=0)


def test_an_unknown_tie_policy_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        RankingError, match="ties is 'best'; expected one of optimistic, realistic, pessimistic"
    ):
        rank_positive([1.0], seed=0).by("best")


# As the public DeepProofLog code breaks ties


def lexsort_ranks(scores: list[list[float]], seed: int) -> list[int]:
    """Ranks by definition: sorts by score, then by random key, both descending, and finds the positive."""
    keys = np.random.RandomState(seed).rand(len(scores), max(map(len, scores)))
    ranks = []
    for row, row_keys in zip(scores, keys, strict=True):
        order = np.lexsort((-row_keys[: len(row)], -np.asarray(row)))
        ranks.append(int(np.flatnonzero(order == 0)[0]) + 1)
    return ranks


@given(st.lists(scores_with_ties, min_size=1, max_size=5), st.integers(0, 100))
@many
def test_ranks_as_deepprooflog_are_those_of_a_sort_with_random_keys(
    scores: list[list[float]], seed: int
) -> None:
    assert rank_as_deepprooflog(scores, seed) == lexsort_ranks(scores, seed)


def test_ranks_as_deepprooflog_of_no_query_are_none() -> None:
    assert rank_as_deepprooflog([]) == []

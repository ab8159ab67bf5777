"""Differences of metrics and their intervals: by hand, against PyKEEN, and over simulated pairs."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.interval_coverage import compared, true_differences
from proofrank.core.comparison import (
    Comparison,
    ComparisonError,
    Identity,
    Protocol,
    Rankings,
    compare_rankings,
)
from proofrank.core.comparison.bootstrap import (
    means_of_counts,
    resampled_counts,
    resampled_means,
    student_quantile,
)

PROTOCOL = Protocol("test", None, "both", 50, True, "realistic", 0)
Row = tuple[str, str, str, str, float]
"""Head, relation, tail, side, rank."""


def rankings(rows: list[Row], label: str = "x", **changes: Any) -> Rankings:
    """Makes rankings of 100 candidates each."""
    keys = ("head", "relation", "tail", "side", "rank")
    made = Rankings.of_rows(
        [{**dict(zip(keys, row, strict=True)), "num_candidates": 100, "proved": row[4] < 50} for row in rows],
        label=label,
        dataset=Identity("d", "0" * 64),
        policy=Identity(label, label * 4),
        protocol=PROTOCOL,
        pruning="none",
    )
    return dataclasses.replace(made, **changes)


BEFORE: list[Row] = [
    ("a", "likes", "b", "head", 1),
    ("a", "likes", "b", "tail", 2),
    ("c", "likes", "d", "head", 4),
    ("c", "likes", "d", "tail", 1),
    ("e", "knows", "f", "head", 20),
    ("e", "knows", "f", "tail", 1),
]
AFTER: list[Row] = [
    ("a", "likes", "b", "head", 1),
    ("a", "likes", "b", "tail", 1),  # better
    ("c", "likes", "d", "head", 5),  # worse
    ("c", "likes", "d", "tail", 1),
    ("e", "knows", "f", "head", 20),
    ("e", "knows", "f", "tail", 60),  # worse, and no longer proved
]


def random_pair(
    num_triples: int, seed: int, num_relations: int = 3
) -> tuple[Rankings, Rankings, dict[tuple[str, str, str], str]]:
    """Makes two evaluations of both sides, and depths from 1 to 4."""
    generator = np.random.default_rng(seed)
    relations = generator.integers(num_relations, size=num_triples)
    triples = [(f"h{number}", f"r{relation:03d}", "t") for number, relation in enumerate(relations)]
    before = np.floor(np.exp(4 * generator.random((num_triples, 2))))
    moved = generator.integers(-2, 3, size=(num_triples, 2)) * (generator.random((num_triples, 2)) < 0.4)
    after = np.maximum(1, before + moved)

    def rows(ranks: np.ndarray) -> list[Row]:
        return [
            (*triple, side, ranks[number, place])
            for number, triple in enumerate(triples)
            for place, side in enumerate(("head", "tail"))
        ]

    depths = {triple: str(generator.integers(1, 5)) for triple in triples}
    return rankings(rows(before), "a"), rankings(rows(after), "b"), depths


def test_metrics_of_both_and_their_difference_are_those_of_the_ranks() -> None:
    found = compare_rankings(rankings(BEFORE), rankings(AFTER))

    mrr = found.overall.metrics["mrr"]
    assert mrr.a == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 + 1 / 20 + 1) / 6)
    assert mrr.b == pytest.approx((1 + 1 + 1 / 5 + 1 + 1 / 20 + 1 / 60) / 6)
    assert mrr.difference == pytest.approx(mrr.b - mrr.a)
    assert (mrr.changed, found.overall.metrics["hits@1"].changed) == (3, 2)
    assert found.overall.metrics["hits@3"].changed == 1
    assert (found.overall.triples, found.overall.rankings) == (3, 6)
    assert (found.overall.better, found.overall.worse) == (1, 2)
    assert {name: group.triples for name, group in found.by_relation.items()} == {"knows": 1, "likes": 2}
    assert list(found.by_side) == ["head", "tail"]
    assert found.by_side["tail"].metrics["hits@1"].a == pytest.approx(2 / 3)


def test_in_the_macro_mean_each_relation_counts_alike() -> None:
    found = compare_rankings(rankings(BEFORE), rankings(AFTER))

    likes, knows = (found.by_relation[name].metrics["mrr"] for name in ("likes", "knows"))
    macro = found.macro.metrics["mrr"]
    assert (macro.a, macro.b) == pytest.approx(((likes.a + knows.a) / 2, (likes.b + knows.b) / 2))
    assert macro.changed == 3
    assert found.macro.relations == 2


def test_what_changed_comes_worst_first_with_both_ranks() -> None:
    found = compare_rankings(rankings(BEFORE), rankings(AFTER), depths={row[:3]: "2" for row in BEFORE})

    assert [(change.head, change.side, change.rank_a, change.rank_b) for change in found.changed] == [
        ("e", "tail", 1, 60),
        ("c", "head", 4, 5),
        ("a", "tail", 2, 1),
    ]
    lost = found.changed[0]
    assert (lost.proved_a, lost.proved_b, lost.depth, lost.num_candidates) == (True, False, "2", 100)


def test_rows_in_another_order_are_paired_by_their_triples_and_sides() -> None:
    expected = compare_rankings(rankings(BEFORE), rankings(AFTER))
    assert compare_rankings(rankings(BEFORE), rankings(AFTER[::-1])).overall == expected.overall
    # A triple that is ranked twice keeps its order.
    twice_before: list[Row] = [*BEFORE, ("a", "likes", "b", "head", 5.0)]
    twice_after: list[Row] = [*AFTER, ("a", "likes", "b", "head", 9.0)]
    found = compare_rankings(rankings(twice_before), rankings(twice_after))
    assert (found.overall.rankings, found.overall.triples) == (7, 3)
    of_a = [(change.rank_a, change.rank_b) for change in found.changed if change.head == "a"]
    assert of_a == [(5, 9), (2, 1)]


def test_metrics_by_depth_are_in_the_order_of_the_depths() -> None:
    depths = {("a", "likes", "b"): "10", ("c", "likes", "d"): "2", ("e", "knows", "f"): "unknown"}
    found = compare_rankings(rankings(BEFORE), rankings(AFTER), depths=depths)
    assert list(found.by_depth) == ["2", "10", "unknown"]
    assert found.by_depth["10"].metrics["mrr"].b == 1.0
    assert compare_rankings(rankings(BEFORE), rankings(AFTER)).by_depth == {}


def test_an_interval_needs_two_triples() -> None:
    found = compare_rankings(rankings(BEFORE), rankings(AFTER))
    single = found.by_relation["knows"].metrics["mrr"]
    assert (single.low, single.high) == (None, None)
    assert not (single.is_worse or single.is_better)
    assert found.overall.metrics["mrr"].low is not None
    alone = compare_rankings(rankings(BEFORE[:2]), rankings(AFTER[:2]))
    assert alone.overall.metrics["mrr"].high is None
    assert alone.macro.metrics["mrr"].high is None


def test_equal_evaluations_differ_by_exactly_nothing() -> None:
    before, _, _ = random_pair(50, seed=1)
    found = compare_rankings(before, before)
    for difference in (*found.overall.metrics.values(), *found.macro.metrics.values()):
        assert (difference.difference, difference.low, difference.high, difference.changed) == (0, 0, 0, 0)
        assert difference.rests_on_few
    assert found.changed == ()
    assert not found.is_worse


def test_intervals_are_seeded_and_mirrored_when_both_change_places() -> None:
    before, after, depths = random_pair(80, seed=2)
    found = compare_rankings(before, after, depths=depths, seed=5)
    assert found == compare_rankings(before, after, depths=depths, seed=5)
    assert found.overall.metrics != compare_rankings(before, after, seed=6).overall.metrics
    mirrored = compare_rankings(after, before, depths=depths, seed=5)
    for group, other in zip(groups_of(found), groups_of(mirrored), strict=True):
        for name, difference in group.items():
            assert difference.low == pytest.approx(-other[name].high, abs=1e-12)


def groups_of(found: Comparison) -> list[dict[str, Any]]:
    groups = (found.by_side, found.by_relation, found.by_depth)
    return [
        found.overall.metrics,
        found.macro.metrics,
        *(group.metrics for named in groups for group in named.values()),
    ]


def test_the_metrics_of_a_group_do_not_depend_on_the_other_groups() -> None:
    before, after, depths = random_pair(80, seed=3)
    with_depths = compare_rankings(before, after, depths=depths)
    assert compare_rankings(before, after).by_relation == with_depths.by_relation


def test_a_loss_is_worse_only_if_the_whole_interval_lies_below_nothing() -> None:
    before, after, _ = random_pair(300, seed=4)
    worse = dataclasses.replace(after, ranks=np.maximum(after.ranks, before.ranks + 1))
    assert compare_rankings(before, worse).is_worse
    assert not compare_rankings(worse, before).is_worse
    assert compare_rankings(worse, before).overall.metrics["mrr"].is_better
    assert not compare_rankings(before, after).is_worse


# What cannot be compared


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dataset": Identity("other", "1" * 64)},
            "are of two datasets: 'd' with SHA-256 000000000000… in A",
        ),
        ({"protocol": dataclasses.replace(PROTOCOL, split="valid")}, "split is 'test' in A and 'valid' in B"),
        ({"protocol": dataclasses.replace(PROTOCOL, filtered=False)}, "filtered is True in A and False in B"),
        ({"protocol": dataclasses.replace(PROTOCOL, ties="random")}, "ties is 'realistic' in A"),
        (
            {"protocol": dataclasses.replace(PROTOCOL, corruptions="all")},
            "corruptions is 50 in A and 'all' in B",
        ),
        ({"protocol": dataclasses.replace(PROTOCOL, beam=8)}, "do not rank alike: beam is 1 in A and 8 in B"),
        ({"protocol": dataclasses.replace(PROTOCOL, seed=1)}, "do not rank alike: seed is 0 in A and 1 in B"),
        (
            {"num_candidates": np.array([100, 100, 99, 100, 100, 98])},
            "likes(c, d) on side head has 100 candidates in A (x) and 99 in B (y), and 2 of 6 rankings differ so",
        ),
    ],
)
def test_evaluations_that_rank_otherwise_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ComparisonError, match=re.escape(message)):
        compare_rankings(rankings(BEFORE), rankings(AFTER, "y", **changes))


def test_evaluations_of_other_queries_are_refused_with_some_of_them() -> None:
    other: list[Row] = [*AFTER[:5], ("g", "likes", "b", "tail", 3)]
    with pytest.raises(ComparisonError) as refused:
        compare_rankings(rankings(BEFORE, "one.jsonl"), rankings(other, "two.jsonl"))
    assert str(refused.value) == (
        "they rank different queries: 1 only in A (one.jsonl), such as knows(e, f) on side tail; "
        "1 only in B (two.jsonl), such as likes(g, b) on side tail"
    )
    with pytest.raises(ComparisonError, match="only in A"):
        compare_rankings(rankings(BEFORE), rankings(AFTER[:4]))
    with pytest.raises(ComparisonError, match="empty has no rankings"):
        compare_rankings(rankings([], "empty"), rankings([]))


def test_the_seed_matters_only_where_something_is_drawn() -> None:
    everything = dataclasses.replace(PROTOCOL, corruptions="all")
    a = rankings(BEFORE, protocol=everything)
    compare_rankings(a, rankings(AFTER, protocol=dataclasses.replace(everything, seed=1)))
    for drawn in ({"ties": "random"}, {"limit": 6}):
        first = dataclasses.replace(everything, **drawn)
        with pytest.raises(ComparisonError, match="seed is 0 in A and 1 in B"):
            compare_rankings(
                rankings(BEFORE, protocol=first),
                rankings(AFTER, protocol=dataclasses.replace(first, seed=1)),
            )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 95}, "confidence is 95; expected 0.5 to 0.999"),
        ({"resamples": 10}, "resamples is 10; expected 100 to 100000"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"depths": {("a", "likes", "b"): "1"}}, "2 ranked triples have no depth, such as likes(c, d)"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ComparisonError, match=re.escape(message)):
        compare_rankings(rankings(BEFORE), rankings(AFTER), **options)


# The bootstrap


def test_a_resample_draws_one_triple_fewer_than_there_are_with_all_its_rankings() -> None:
    counts = resampled_counts(np.random.default_rng(0), 1000, 7)
    assert set(counts.sum(axis=1)) == {6}
    assert counts.mean() == pytest.approx(6 / 7, abs=0.02)
    # Two triples of 1 and 3 rankings: a resample is one of them, and never a mixture of their sides.
    sums, sizes = np.array([[1.0], [6.0]]), np.array([1, 3])
    assert set(resampled_means(sums, sizes, np.random.default_rng(0), 100).ravel()) == {1.0, 2.0}


def test_the_spread_of_resamples_is_the_unbiased_error_of_the_mean() -> None:
    generator = np.random.default_rng(0)
    sums = generator.normal(size=(5, 1))
    means = resampled_means(sums, np.ones(5), generator, 100_000)
    assert means.std() == pytest.approx(sums.std(ddof=1) / np.sqrt(5), rel=0.01)


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 20, 1000])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.975, 0.995])
def test_quantiles_of_student_are_those_of_scipy(level: float, degrees: int) -> None:
    assert student_quantile(level, degrees) == pytest.approx(stats.t.ppf(level, degrees), rel=0.01)


def test_a_relation_with_one_triple_has_a_part_in_the_spread_of_the_macro_mean() -> None:
    generator = np.random.default_rng(7)
    many: list[Row] = [(f"h{number}", "common", "t", "tail", 2.0) for number in range(50)]
    seldom = [(f"h{number}", f"seldom {number}", "t", "tail") for number in range(20)]
    before = rankings([*many, *((*key, 2.0) for key in seldom)])
    ranks = generator.integers(1, 4, size=20)
    after = rankings([*many, *((*key, float(rank)) for key, rank in zip(seldom, ranks, strict=True))])
    found = compare_rankings(before, after).macro.metrics["mrr"]
    assert found.low is not None and found.high is not None
    error = (1 / ranks).std(ddof=1) / np.sqrt(20) * 20 / 21
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, 68) * error, rel=0.1)


def two_relations(num_changed_common: int, num_changed_rare: int) -> Comparison:
    """Compares 200 triples of a common relation and 20 of a rare one, of which some change."""
    rows: dict[str, list[Row]] = {"before": [], "after": []}
    for relation, number, num_changed in (
        ("common", 200, num_changed_common),
        ("rare", 20, num_changed_rare),
    ):
        for place in range(number):
            rows["before"].append((f"h{place}", relation, "t", "tail", 1.0))
            rows["after"].append((f"h{place}", relation, "t", "tail", 1.0 + (place < num_changed)))
    return compare_rankings(rankings(rows["before"]), rankings(rows["after"]))


def test_a_difference_of_fewer_than_10_changed_triples_is_told_to_rest_on_few() -> None:
    def flags(found: Comparison) -> tuple[bool, bool]:
        return found.overall.metrics["mrr"].rests_on_few, found.macro.metrics["mrr"].rests_on_few

    assert flags(two_relations(9, 0)) == (True, True)
    assert flags(two_relations(10, 0)) == (False, False)
    # In the macro mean 2 changes of the rare relation weigh as much as 20 of the common one.
    assert flags(two_relations(20, 2)) == (False, True)
    assert flags(two_relations(20, 12)) == (False, False)


def test_degrees_of_the_macro_mean_are_those_of_the_relations_that_vary() -> None:
    common: list[Row] = [(f"h{place}", "common", "t", "tail", 1.0) for place in range(200)]
    ranks = np.random.default_rng(3).integers(1, 50, size=20).tolist()
    before: list[Row] = [(f"h{place}", "rare", "t", "tail", 1.0) for place in range(20)]
    after: list[Row] = [(f"h{place}", "rare", "t", "tail", float(rank)) for place, rank in enumerate(ranks)]
    found = compare_rankings(rankings([*common, *before]), rankings([*common, *after]))
    macro, rare = found.macro.metrics["mrr"], found.by_relation["rare"].metrics["mrr"]
    assert macro.low is not None and macro.high is not None
    assert rare.low is not None and rare.high is not None
    # All of the spread is that of the rare relation, which has half of the weight.
    assert macro.high - macro.low == pytest.approx((rare.high - rare.low) / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("population", "num_triples", "num_metrics"),
    [
        ("all changed", 100, 4),
        pytest.param("all changed", 400, 7, marks=pytest.mark.slow),
        pytest.param("few changed", 400, 4, marks=pytest.mark.slow),
        pytest.param("some lost", 400, 4, marks=pytest.mark.slow),
        pytest.param("low ranks", 400, 3, marks=pytest.mark.slow),
    ],
)
def test_intervals_hold_the_true_difference_in_93_to_97_of_100_pairs(
    population: str, num_triples: int, num_metrics: int
) -> None:
    truths = true_differences(population)
    generator = np.random.default_rng(11)
    num_pairs = 1000
    held, is_flagged = np.zeros((2, 4)), np.zeros((2, 4))
    for _ in range(num_pairs):
        found = compared(generator, population, num_triples, resamples=400)
        for row, metrics in enumerate((found.overall.metrics, found.macro.metrics)):
            for column, difference in enumerate(metrics.values()):
                assert difference.low is not None and difference.high is not None
                held[row, column] += difference.low <= truths[row][column] <= difference.high
                is_flagged[row, column] += difference.rests_on_few
    # A metric that often rests on few changes is told so, and has no part here.
    is_sure = is_flagged <= 0.1 * num_pairs
    shares = held[is_sure] / num_pairs
    assert len(shares) >= num_metrics, is_flagged
    assert np.all((shares >= 0.93) & (shares <= 0.97)), (held, is_flagged)


def test_a_test_split_of_11000_rankings_takes_under_a_second() -> None:
    before, after, depths = random_pair(5500, seed=9, num_relations=200)
    start = time.process_time()
    compare_rankings(before, after, depths=depths)
    assert time.process_time() - start < 1


def test_comparing_needs_no_torch() -> None:
    program = "import sys, proofrank.core.comparison; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# Against PyKEEN


def pykeen_evaluator(found: Rankings, kind: str, sides: tuple[str, ...] = ("head", "tail")) -> Any:
    """PyKEEN's evaluator of this kind, which has seen the ranks as scores."""
    torch = pytest.importorskip("torch")
    evaluation = pytest.importorskip("pykeen.evaluation", reason="PyKEEN is not installed")
    evaluator = getattr(evaluation, kind)(
        metrics=["mrr", *["hits@k"] * 3],
        metrics_kwargs=[None, *({"k": k} for k in (1, 3, 10))],
        add_defaults=False,
        clear_on_finalize=False,
    )
    relations = {name: number for number, name in enumerate(sorted({triple[1] for triple in found.triples}))}
    for side in sides:
        rows = [row for row, own in enumerate(found.sides) if own == side]
        scores = torch.zeros(len(rows), 100)
        for place, row in enumerate(rows):
            scores[place, 1 : int(found.ranks[row])] = 1.0
        scores[:, 0] = 0.5
        # PyKEEN's macro mean takes each pair of an entity and a relation alike: with one entity, each relation.
        triples = torch.tensor([[0, relations[found.triples[row][1]], 0] for row in rows])
        evaluator.process_scores_(triples, side, scores, true_scores=scores[:, :1])
    evaluator.num_entities = 100
    return evaluator


PYKEEN_NAMES = {
    "mrr": "inverse_harmonic_mean_rank",
    **{f"hits@{k}": f"hits_at_{k}" for k in (1, 3, 10)},
}


def test_overall_and_macro_metrics_are_those_of_pykeen() -> None:
    before, after, _ = random_pair(120, seed=12)
    found = compare_rankings(before, after)
    for which, evaluation in (("a", before), ("b", after)):
        overall = pykeen_evaluator(evaluation, "RankBasedEvaluator").finalize().to_flat_dict()
        macro = pykeen_evaluator(evaluation, "MacroRankBasedEvaluator").finalize().to_flat_dict()
        for name, theirs in PYKEEN_NAMES.items():
            assert getattr(found.overall.metrics[name], which) == pytest.approx(
                overall[f"both.realistic.{theirs}"]
            )
            for side in ("head", "tail"):
                assert getattr(found.by_side[side].metrics[name], which) == pytest.approx(
                    overall[f"{side}.realistic.{theirs}"]
                )
            assert getattr(found.macro.metrics[name], which) == pytest.approx(
                macro[f"both.realistic.{theirs}"]
            )


def test_resampled_means_are_those_of_pykeen_for_the_same_draws() -> None:
    before, after, _ = random_pair(60, seed=13)
    num_resamples = 50
    seen = {
        which: pykeen_evaluator(evaluation, "RankBasedEvaluator").finalize_multi(num_resamples, seed=3)
        for which, evaluation in (("a", before), ("b", after))
    }
    # PyKEEN draws rankings, and the tails are in one order in both: so are their draws.
    tails = [row for row, side in enumerate(before.sides) if side == "tail"]
    size = len(tails)
    draws = [np.random.default_rng(3 + number).integers(size, size=size) for number in range(num_resamples)]
    counts = np.stack([np.bincount(draw, minlength=size) for draw in draws])
    gains = (1 / after.ranks - 1 / before.ranks)[tails]
    ours = means_of_counts(counts, gains[:, None], np.ones(size))[:, 0]
    key = f"tail.realistic.{PYKEEN_NAMES['mrr']}"
    theirs = np.array(seen["b"][key]) - np.array(seen["a"][key])
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_the_interval_of_many_triples_is_that_of_pykeens_bootstrap() -> None:
    generator = np.random.default_rng(14)
    ranks = np.floor(np.exp(4 * generator.random(400)))
    # Next to an evaluation of first ranks alone, all that varies is the other one's own MRR.
    first, other = (
        rankings([(f"h{number}", "r", "t", "tail", rank) for number, rank in enumerate(own)])
        for own in (np.ones(400), ranks)
    )
    mrr = compare_rankings(first, other).overall.metrics["mrr"]
    assert mrr.low is not None and mrr.high is not None

    evaluator = pykeen_evaluator(other, "RankBasedEvaluator", sides=("tail",))
    means, widths = evaluator.finalize_with_confidence(
        estimator=np.mean,
        ci=lambda values: float(np.diff(np.percentile(values, [2.5, 97.5]))[0]),
        n_boot=400,
    )[f"tail.realistic.{PYKEEN_NAMES['mrr']}"]
    assert mrr.difference + 1 == pytest.approx(means, abs=0.01)
    assert mrr.high - mrr.low == pytest.approx(widths, rel=0.1)

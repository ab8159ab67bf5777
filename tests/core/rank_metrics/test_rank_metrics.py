"""Metrics of stored ranks are those of PyKEEN, under its names."""

from __future__ import annotations

import json
import math
from decimal import Decimal, localcontext
from typing import Any

import pytest

from proofrank.core.errors import ProofrankError
from proofrank.core.rank_metrics import NAMES, MetricNameError, RankMetrics, RankRow, metric_key, names_with
from tests.core.rank_metrics.record_pykeen import KS, RECORDED, SHAPES, drawn_ranks, metrics_of_pykeen

CASES = json.loads(RECORDED.read_text(encoding="utf-8"))["cases"]
OWN_TOLERANCE = {"z_geometric_mean_rank": 1e-9}
"""Where PyKEEN itself loses digits; the test with decimals says which of the two is right."""

TYPES = ("optimistic", "realistic", "pessimistic")


def rows_of(ranks: dict[str, Any], relation: str = "p", side: str = "head") -> list[RankRow]:
    """Rankings with these ranks; the random rank is the optimistic one."""
    columns = (*(ranks[rank_type] for rank_type in TYPES), ranks["optimistic"])
    return [
        RankRow(relation, side, own, number)
        for own, number in zip(zip(*columns, strict=True), ranks["num_candidates"], strict=True)
    ]


def assert_equal(found: RankMetrics, expected: dict[str, dict[str, float]]) -> None:
    """Asserts that all metrics are those of PyKEEN; None stands where PyKEEN divides nothing by nothing and says 0."""
    for rank_type, metrics in expected.items():
        ours = found.to_dict(KS, rank_type=rank_type)
        assert ours.keys() == metrics.keys()
        for name, value in metrics.items():
            if ours[name] is None:
                assert value == 0 and ("adjusted_hits" in name or "z_hits" in name), name
            else:
                tolerance = OWN_TOLERANCE.get(name, 1e-12)
                assert ours[name] == pytest.approx(value, rel=tolerance, abs=1e-12), (rank_type, name)


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-rankings" for number, _ in SHAPES])
def test_every_metric_of_every_type_of_rank_is_what_pykeen_recorded(case: dict[str, Any]) -> None:
    assert_equal(RankMetrics(rows_of(case["ranks"])), case["metrics"])


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(5))
def test_every_metric_is_that_of_pykeen_on_new_ranks(seed: int) -> None:
    pytest.importorskip("pykeen", reason="PyKEEN is not installed")
    for number, most in (*SHAPES, (50, 300)):
        ranks = drawn_ranks(number, most, 100 + seed)
        assert_equal(RankMetrics(rows_of(ranks)), metrics_of_pykeen(ranks))


@pytest.mark.integration
def test_every_name_of_pykeen_is_understood_as_pykeen_does() -> None:
    evaluation = pytest.importorskip(
        "pykeen.evaluation.rank_based_evaluator", reason="PyKEEN is not installed"
    )
    results = evaluation.RankBasedMetricResults
    for kind in results.metrics.values():
        for synonym in kind.synonyms:
            if synonym.endswith(("@", "_", "k")):
                continue  # of Hits@k: see the next test
            assert metric_key(synonym).name == kind().key, synonym
    for name in ("tail.mrr", "both.worst.mr", "head.avg.hits@7", "hits@k.5", "best.hits_at_3"):
        theirs, ours = results.key_from_string(name), metric_key(name)
        assert (theirs.side, theirs.metric) == (ours.side, ours.name)
        assert theirs.rank_type == (ours.rank_type or "realistic")


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("mrr", "inverse_harmonic_mean_rank"),
        ("MRR", "inverse_harmonic_mean_rank"),
        ("hits@20", "hits_at_20"),
        ("ahits@5", "adjusted_hits_at_5"),
        ("adjusted_hits_at_10", "adjusted_hits_at_10"),
        ("macro.tail.worst.amri", "macro.tail.pessimistic.adjusted_arithmetic_mean_rank_index"),
        ("both.random.hits@k.3", "random.hits_at_3"),
    ],
)
def test_names_have_synonyms_sides_types_and_a_k(name: str, canonical: str) -> None:
    assert str(metric_key(name)) == canonical


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mrrr",
        "hits@",
        "hits@0",
        "hits_at_k",
        "hits@1.5.7",
        "left.mrr",
        "head.tail.mrr",
        "mrr.",
        "hits@" + "9" * 99,
    ],
)
def test_an_unknown_name_is_refused_with_what_is_meant(name: str) -> None:
    with pytest.raises(MetricNameError, match="unknown metric"):
        metric_key(name)
    with pytest.raises(MetricNameError, match="did you mean 'mrr'"):
        metric_key("mrrr")


def test_macro_takes_each_relation_alike_whatever_its_number_of_rankings() -> None:
    often = [RankRow("often", "head", (1, 1.0, 1, 1), 4)] * 3
    rare = [RankRow("rare", "head", (4, 4.0, 4, 4), 4)]
    metrics = RankMetrics([*often, *rare])
    assert metrics.metric("mrr") == (3 + 1 / 4) / 4
    assert metrics.metric("macro.mrr") == (1 + 1 / 4) / 2
    assert metrics.metric("macro.hits@3") == 1 / 2
    assert metrics.metric("macro.mean_rank") == 2.5


def test_sides_and_types_choose_what_counts() -> None:
    metrics = RankMetrics(
        [RankRow("p", "head", (1, 2.0, 3, 2), 4), RankRow("p", "tail", (4, 4.0, 4, 4), 4)], "random"
    )
    assert metrics.metric("head.mean_rank") == 2
    assert metrics.metric("head.optimistic.mean_rank") == 1
    assert metrics.metric("pessimistic.mean_rank") == 3.5
    with pytest.raises(ProofrankError, match="no ranking is on side 'tail'"):
        RankMetrics([RankRow("p", "head", (1, 1.0, 1, 1), 2)]).metric("tail.mrr")


def test_what_chance_cannot_be_told_from_is_none() -> None:
    alone = RankMetrics([RankRow("p", "head", (1, 1.0, 1, 1), 1)])
    assert alone.metric("mrr") == 1
    assert alone.metric("adjusted_mean_rank_index") is None
    assert alone.metric("zmrr") is None
    assert alone.metric("adjusted_hits_at_3") is None
    assert alone.metric("adjusted_mean_rank") == 1


def test_the_z_score_of_the_geometric_mean_keeps_its_digits_with_thousands_of_rankings() -> None:
    """PyKEEN subtracts two nearly equal numbers there; decimals of 60 digits say what is right."""
    ranks = drawn_ranks(3000, 40, seed=9)
    candidates = [int(number) for number in ranks["num_candidates"]]
    number = len(candidates)
    with localcontext() as context:
        context.prec = 60
        logs = [Decimal(value).ln() if value > 1 else Decimal(0) for value in range(1, 41)]

        def log_of_mean(most: int, power: int) -> Decimal:
            terms = ((power * logs[value] / number).exp() for value in range(most))
            return (sum(terms, Decimal(0)) / most).ln()

        means = {c: (log_of_mean(c, 1), log_of_mean(c, 2)) for c in set(candidates)}
        first, second = (sum((means[c][power] for c in candidates), Decimal(0)) for power in (0, 1))
        value = (sum((Decimal(rank).ln() for rank in ranks["realistic"]), Decimal(0)) / number).exp()
        variance = second.exp() - (2 * first).exp()
        expected = (first.exp() - value) / variance.sqrt()
    found = RankMetrics(rows_of(ranks)).metric("z_geometric_mean_rank")
    assert found == pytest.approx(float(expected), rel=1e-11)


def test_ranks_that_cannot_be_are_refused() -> None:
    row = {"relation": "p", "side": "head", "num_candidates": 3}
    good = {f"rank_{rank_type}": 1 for rank_type in (*TYPES, "random")}
    assert RankMetrics.of([{**row, **good}]).metric("mrr") == 1
    for wrong in (0, 4, None, "1", math.nan):
        with pytest.raises(ProofrankError, match="expected numbers from 1 to 3"):
            RankMetrics.of([{**row, **good, "rank_pessimistic": wrong}])
    with pytest.raises(ProofrankError, match="no ranking"):
        RankMetrics([])


def test_names_of_all_metrics_are_understood() -> None:
    for name in names_with((2,)):
        assert metric_key(name).name == name
    assert len(names_with((1, 5))) == len(NAMES) + 3

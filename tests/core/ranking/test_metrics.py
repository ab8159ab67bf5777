"""Metrics by hand, and against PyKEEN's rank-based evaluator on the same scores."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset, Triple
from proofrank.core.prover import Outcome, Outcomes
from proofrank.core.ranking import HITS_AT, RankedQuery, ReportTally, Side, aggregate, rank_positive, report
from tests.helpers.datasets import DatasetMaker

PROVED = Outcome(success=True, log_probability=0.0, steps=1, actions=(0,))
FAILED = Outcome(success=False, log_probability=0.0, steps=1, actions=(0,))


def ranked(
    scores: list[float],
    *,
    index: int = 0,
    predicate: int = 1,
    side: Side = "tail",
    proved: int = 0,
    seconds: float = 0.0,
) -> RankedQuery:
    """Makes a ranked query with these scores, whose first ``proved`` candidates are proved."""
    return RankedQuery(
        query_index=index,
        query=Triple(predicate, 1, 2),
        side=side,
        constants=np.arange(3, 2 + len(scores)),
        outcomes=Outcomes.of([PROVED if number < proved else FAILED for number in range(len(scores))]),
        ranks=rank_positive(scores, seed=index),
        seconds=seconds,
    )


FIRST = [1.0, 0.0, 0.0]  # rank 1 of 3
FOURTH = [0.0, 1.0, 1.0, 1.0, -1.0]  # rank 4 of 5


def test_metrics_are_those_of_their_definitions() -> None:
    metrics = aggregate([ranked(FIRST, index=0, seconds=0.5), ranked(FOURTH, index=1, seconds=0.25)])

    assert metrics.mrr == pytest.approx((1 + 1 / 4) / 2)
    assert metrics.hits_at == {1: 0.5, 3: 0.5, 10: 1.0}
    assert metrics.mean_rank == 2.5
    # By chance: ranks 2 of 3 and 3 of 5, whose mean is 1.5 above rank 1, like the mean of these.
    assert metrics.adjusted_mean_rank_index == pytest.approx(0.0)
    assert (metrics.rankings, metrics.queries, metrics.candidates) == (2, 2, 8)
    assert metrics.seconds == 0.75


def test_the_adjusted_index_is_1_for_perfect_ranks_and_below_0_for_worse_than_chance() -> None:
    assert aggregate([ranked(FIRST), ranked(FIRST)]).adjusted_mean_rank_index == 1.0
    assert aggregate([ranked([0.0, 1.0, 1.0])]).adjusted_mean_rank_index == -1.0


def test_ties_decide_which_rank_counts() -> None:
    tied = [ranked([0.0, 0.0, 0.0])]

    mean_ranks = {
        ties: aggregate(tied, ties).mean_rank for ties in ("optimistic", "realistic", "pessimistic")
    }

    assert mean_ranks == {"optimistic": 1.0, "realistic": 2.0, "pessimistic": 3.0}
    assert aggregate(tied, "random").mean_rank == tied[0].ranks.random
    assert aggregate(tied) == aggregate(tied, "realistic")


def test_a_realistic_rank_between_two_places_hits_only_the_later_one() -> None:
    metrics = aggregate([ranked([0.0, 0.0]), ranked([0.0, 0.0, 1.0, 1.0])])  # ranks 1.5 and 3.5

    assert metrics.hits_at == {1: 0.0, 3: 0.5, 10: 1.0}


def test_proof_rates_count_positives_and_corruptions_apart() -> None:
    metrics = aggregate([ranked(FIRST, proved=2), ranked(FOURTH, proved=0)])

    assert metrics.positives_proved == 0.5
    assert metrics.corruptions_proved == pytest.approx(1 / 6)


def test_what_has_no_value_is_none() -> None:
    metrics = aggregate([ranked([0.0])])

    assert metrics.adjusted_mean_rank_index is None
    assert metrics.corruptions_proved is None


def test_the_two_sides_of_a_query_count_as_one_query() -> None:
    metrics = aggregate([ranked(FIRST, side="head"), ranked(FIRST, side="tail")])

    assert (metrics.rankings, metrics.queries) == (2, 1)


def test_an_unknown_tie_policy_is_refused() -> None:
    with pytest.raises(RankingError, match="ties is 'luck'"):
        aggregate([ranked(FIRST)], "luck")


def test_a_report_has_metrics_overall_per_side_and_per_relation(make_dataset: DatasetMaker) -> None:
    dataset: Dataset = make_dataset(["loves(a,b).", "hates(b,a)."], ["loves(X,Y) -> hates(Y,X)"])
    hates, loves = 1, 2
    queries = [
        ranked(FIRST, index=0, predicate=loves, side="head"),
        ranked(FOURTH, index=0, predicate=loves, side="tail"),
        ranked(FOURTH, index=1, predicate=hates, side="tail"),
    ]

    made = report(queries, dataset)

    assert made.overall == aggregate(queries)
    assert made.by_side == {"head": aggregate(queries[:1]), "tail": aggregate(queries[1:])}
    assert list(made.by_side) == ["head", "tail"]
    assert made.by_relation == {"hates": aggregate(queries[2:]), "loves": aggregate(queries[:2])}
    assert list(made.by_relation) == ["hates", "loves"]


def test_a_report_of_one_side_has_no_other(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "q(b,a)."], ["p(X,Y) -> q(Y,X)"])

    made = report([ranked(FIRST, side="tail")], dataset, "optimistic").to_dict()

    assert list(made["by_side"]) == ["tail"]
    assert list(made["by_relation"]) == ["p"]
    assert set(made) - {"by_side", "by_relation"} == set(made["by_side"]["tail"])
    assert {"mrr", "hits@1", "hits@3", "hits@10", "mean_rank", "adjusted_mean_rank_index"} < set(made)


# Against PyKEEN


def random_scores(seed: int) -> dict[Side, list[list[float]]]:
    """Returns scores of queries on both sides with many ties and different numbers of candidates."""
    draw = random.Random(seed)
    return {
        side: [[float(draw.randint(-3, 3)) for _ in range(draw.randint(2, 40))] for _ in range(25)]
        for side in ("head", "tail")
    }


def pykeen_metrics(scores: dict[Side, list[list[float]]]) -> dict[str, float]:
    """Returns the metrics of PyKEEN's evaluator by its own names; it expects NaN for candidates that a query lacks."""
    evaluation = pytest.importorskip("pykeen.evaluation", reason="PyKEEN is not installed")
    evaluator = evaluation.RankBasedEvaluator(clear_on_finalize=False)
    for side, rows in scores.items():
        widest = max(map(len, rows))
        padded = torch.tensor([row + [float("nan")] * (widest - len(row)) for row in rows])
        triples = torch.zeros(len(rows), 3, dtype=torch.long)
        evaluator.process_scores_(triples, side, padded, true_scores=padded[:, :1])
    return evaluator.finalize().to_flat_dict()


@pytest.mark.parametrize("ties", ["optimistic", "realistic", "pessimistic"])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_are_those_of_pykeen_on_the_same_scores(
    ties: str, seed: int, make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset(["p(a,b).", "q(b,a)."], ["p(X,Y) -> q(Y,X)"])
    scores = random_scores(seed)
    theirs = pykeen_metrics(scores)
    queries = [
        ranked(row, index=index, side=side) for side, rows in scores.items() for index, row in enumerate(rows)
    ]

    ours = report(queries, dataset, ties)

    for side, metrics in {"both": ours.overall, **ours.by_side}.items():
        found = {
            "inverse_harmonic_mean_rank": metrics.mrr,
            "arithmetic_mean_rank": metrics.mean_rank,
            "adjusted_arithmetic_mean_rank_index": metrics.adjusted_mean_rank_index,
            **{f"hits_at_{k}": metrics.hits_at[k] for k in HITS_AT},
        }
        expected = {name: theirs[f"{side}.{ties}.{name}"] for name in found}
        assert found == pytest.approx(expected, abs=1e-6)


def test_a_tally_reports_the_same_bits_in_whatever_order_the_queries_come(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "q(b,a)."], ["p(X,Y) -> q(Y,X)"])
    generator = random.Random(5)
    queries = [
        ranked(
            [0.0, *generator.choices((-1.0, 0.0, 1.0), k=generator.randrange(40))], index=index, predicate=1
        )
        for index in range(200)
    ]
    expected = report(queries, dataset)
    for _ in range(5):
        generator.shuffle(queries)
        tally = ReportTally()
        for query in queries:
            tally.add("p", query.summary)
        assert tally.report(["p", "q"]) == expected


def test_hits_are_counted_at_the_k_that_are_asked_for(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "q(b,a)."], ["p(X,Y) -> q(Y,X)"])
    queries = [ranked(FIRST, index=0), ranked(FOURTH, index=1)]
    made = report(queries, dataset, hits_at=(2, 4))
    assert made.overall.hits_at == {2: 0.5, 4: 1.0}
    assert list(made.by_relation["p"].to_dict())[:3] == ["mrr", "hits@2", "hits@4"]
    assert report(queries, dataset).to_dict().keys() >= {"hits@1", "hits@3", "hits@10"}

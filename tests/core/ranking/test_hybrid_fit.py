"""Fitted weights are the best of the grid, by the ranks of whole evaluations, and what they gain is said."""

from __future__ import annotations

import numpy as np
import pytest

from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset, Triple
from proofrank.core.prover import Outcome, Outcomes
from proofrank.core.ranking import (
    HybridWeights,
    Query,
    RankedQuery,
    hybrid_score,
    rank_outcomes,
    rank_positive,
)
from proofrank.core.ranking.hybrid_fit import LEAST_RANKINGS, HybridFit, choices, fit_weights
from tests.helpers.datasets import DatasetMaker

NUM_QUERIES, NUM_CANDIDATES = 60, 8


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    links = [f"p(n{index},n{index + 1})." for index in range(NUM_CANDIDATES)]
    return make_dataset([*links, "q(n0,n1)."], ["p(X,Y) -> q(X,Y)"])


def drawn(dataset: Dataset, seed: int, *, knows_proved: bool = True) -> tuple[list[RankedQuery], np.ndarray]:
    """Random rankings: by proofs alone or the embedding alone half of the positives of each relation are found."""
    generator = np.random.default_rng(seed)
    queries, outcomes, scores = [], [], []
    for index in range(NUM_QUERIES):
        constants = np.arange(2, 1 + NUM_CANDIDATES)
        queries.append(Query(index // 2, Triple(1 + index % 2, 1, 1), "tail", constants))
        for candidate in range(NUM_CANDIDATES):
            success = bool(generator.random() < (0.6 if candidate == 0 else 0.15))
            outcomes.append(Outcome(success, -float(generator.exponential(2)), 1, (0,)))
            scores.append(float(generator.normal(2 if candidate == 0 else 0)))
    ranked = rank_outcomes(queries, Outcomes.of(outcomes), seed=0, seconds=0, knows_proved=knows_proved)
    return ranked, np.array(scores)


def mrr_by_hand(ranked: list[RankedQuery], embedding: np.ndarray, weights: HybridWeights, ties: str) -> float:
    """The MRR of hybrid scores, by their definition."""
    reciprocal, place = [], 0
    for query in ranked:
        own = embedding[place : place + len(query.outcomes)].tolist()
        place += len(own)
        scores = [
            hybrid_score(s, outcome.success, outcome.log_probability, weights)
            for s, outcome in zip(own, query.outcomes, strict=True)
        ]
        reciprocal.append(1 / rank_positive(scores, 0).by(ties))
    return float(np.mean(reciprocal))


@pytest.mark.parametrize("ties", ["realistic", "pessimistic", "optimistic"])
def test_no_choice_of_the_grid_has_a_higher_mrr(dataset: Dataset, ties: str) -> None:
    ranked, embedding = drawn(dataset, 1)
    fitted = fit_weights(ranked, embedding, dataset, ties=ties)
    by_hand = [mrr_by_hand(ranked, embedding, choice, ties) for choice in choices()]
    assert fitted.mrr["hybrid"].mean == pytest.approx(max(by_hand), abs=1e-12)
    assert mrr_by_hand(ranked, embedding, fitted.hybrid.overall, ties) == pytest.approx(
        max(by_hand), abs=1e-12
    )
    assert fitted.mrr["proof"].mean == pytest.approx(
        np.mean([1 / query.ranks.by(ties) for query in ranked]), abs=1e-12
    )
    alone = HybridWeights(1.0, 0.0, 0.0)  # k orders as the embedding's scores do
    assert fitted.mrr["embedding"].mean == pytest.approx(
        mrr_by_hand(ranked, embedding, alone, ties), abs=1e-12
    )
    assert (fitted.triples, fitted.rankings) == (NUM_QUERIES // 2, NUM_QUERIES)


def test_weights_of_relations_differ_where_their_rankings_do(dataset: Dataset) -> None:
    ranked, embedding = drawn(dataset, 2)
    # By proofs, the positives of p are found, by the embedding those of q; corruptions have either at random.
    place = 0
    for query in ranked:
        own = slice(place, place + NUM_CANDIDATES)
        place += NUM_CANDIDATES
        if query.query.predicate == 1:
            query.outcomes.success[0] = True
            query.outcomes.success[1:] = False
            embedding[own] = embedding[own][::-1]
        else:
            query.outcomes.success[0] = False
            embedding[own.start] = embedding[own].max() + 0.1
    by_relation = fit_weights(ranked, embedding, dataset, by_relation=True)
    assert set(by_relation.hybrid.by_relation) == {"p", "q"}
    assert NUM_QUERIES // 2 >= LEAST_RANKINGS
    assert by_relation.mrr["hybrid"].mean == 1.0
    assert fit_weights(ranked, embedding, dataset).mrr["hybrid"].mean < 1.0
    few = ranked[: 2 * (LEAST_RANKINGS - 1)]
    fitted = fit_weights(few, embedding[: len(few) * NUM_CANDIDATES], dataset, by_relation=True)
    assert fitted.hybrid.by_relation == {}


def test_what_is_held_out_does_not_choose(dataset: Dataset) -> None:
    """On pure noise, the choice looks better on the rankings that made it than on others."""

    def noise(seed: int) -> HybridFit:
        ranked, _ = drawn(dataset, seed)
        for query in ranked:
            query.outcomes.success[:] = np.random.default_rng(seed).random(NUM_CANDIDATES) < 0.5
        embedding = np.random.default_rng(seed).normal(size=NUM_QUERIES * NUM_CANDIDATES)
        return fit_weights(ranked, embedding, dataset, by_relation=True)

    fits = [noise(seed) for seed in range(8)]
    assert np.mean([fit.mrr["hybrid"].mean - fit.mrr["held_out"].mean for fit in fits]) > 0.01


def test_gains_have_intervals_over_triples(dataset: Dataset) -> None:
    ranked, embedding = drawn(dataset, 3)
    fitted = fit_weights(ranked, embedding, dataset)
    for name, gain in fitted.gain.items():
        assert gain.mean == pytest.approx(fitted.mrr["held_out"].mean - fitted.mrr[name].mean, abs=1e-12)
        assert gain.low is not None and gain.high is not None
        assert gain.low < gain.mean < gain.high
    alone = fit_weights(ranked[:1], embedding[:NUM_CANDIDATES], dataset)
    assert (alone.gain["proof"].low, alone.gain["proof"].high) == (None, None)


def test_rankings_whose_proofs_are_open_are_refused(dataset: Dataset) -> None:
    ranked, embedding = drawn(dataset, 4, knows_proved=False)
    with pytest.raises(RankingError, match="expected pruning none or exact"):
        fit_weights(ranked, embedding, dataset)
    ranked, embedding = drawn(dataset, 4)
    with pytest.raises(RankingError, match="ties is 'random'"):
        fit_weights(ranked, embedding, dataset, ties="random")

"""Hybrid scores are what their definition says, bit for bit; pruned and whole evaluations rank alike by them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proofrank.core.choices import BEAM_SCORES
from proofrank.core.errors import RankingError, UnknownNameError
from proofrank.core.evaluator import Evaluator, ReferenceEvaluator
from proofrank.core.evaluator.beams import BeamEvaluator, BeamReferenceEvaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.hybrid import DEFAULT_PENALTY
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import FAILURE_PENALTY, Outcomes, ProverSettings
from proofrank.core.prover.beams import Beam
from proofrank.core.ranking import (
    Hybrid,
    HybridWeights,
    Pruning,
    PruningCounts,
    Query,
    RankedQuery,
    Scoring,
    aggregate,
    hybrid_score,
    log_sigmoid,
    make_scoring,
    rank_queries,
    read_hybrid,
)
from proofrank.core.ranking.corruptions import SIDES
from proofrank.core.ranking.scored_queue import what_may_be_left
from proofrank.core.ranking.scoring import WeightColumns
from tests.helpers.cases import Case, cases, sizes
from tests.helpers.datasets import DatasetMaker
from tests.helpers.embeddings import make_distmult
from tests.helpers.policies import make_policy, without_choice
from tests.helpers.remembering import RememberingReference

SETTINGS = ProverSettings(padding_states=8, padding_atoms=4, max_depth=6)

few = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

weights = st.builds(
    HybridWeights,
    weight=st.sampled_from((0.0, 0.25, 1.0, 3.0, 40.0)),
    bonus=st.sampled_from((None, None, -2.0, 0.0, 1.0, 5.0)),
    penalty=st.sampled_from((0.0, 0.5, 2.0, 100.0)),
)
hybrids = st.builds(
    Hybrid, overall=weights, by_relation=st.dictionaries(st.sampled_from(("p", "v")), weights, max_size=2)
)


def queries_of(case: Case, dataset: Dataset) -> list[Query]:
    """Each query of ``case`` against all other constants on both sides."""
    constants = np.arange(1, dataset.vocabulary.num_constants + 1)
    triples = [dataset.triple(first, predicate, second) for (predicate, first, second), _ in case.queries]
    return [
        Query(index, triple, side, constants[constants != getattr(triple, side)])
        for index, triple in enumerate(triples)
        for side in SIDES
    ]


def scoring_of(dataset: Dataset, kind: str, hybrid: Hybrid | None, seed: int = 0) -> Scoring:
    scoring = make_scoring(kind, make_distmult(dataset, seed, spread=2.0), hybrid, dataset, "cpu")
    assert scoring is not None
    return scoring


@given(st.floats(-800, 800))
def test_log_sigmoid_is_that_of_columns_and_never_positive(score: float) -> None:
    assert log_sigmoid(score) == -np.logaddexp(0.0, -score)
    assert log_sigmoid(score) <= 0
    if abs(score) < 30:
        assert log_sigmoid(score) == pytest.approx(math.log(1 / (1 + math.exp(-score))), rel=1e-9)


def check_scores(ranked: Sequence[RankedQuery], scoring: Scoring, dataset: Dataset) -> None:
    """Every score is that of the definition, and every rank that of the scores."""
    for query in ranked:
        assert query.embedding is not None and query.scores is not None
        own = scoring.hybrid.of(dataset.vocabulary.predicate_name(query.query.predicate))
        expected = [
            hybrid_score(s, outcome.success, outcome.log_probability, own)
            for s, outcome in zip(query.embedding.tolist(), query.outcomes, strict=True)
        ]
        assert query.scores.tolist() == expected
        assert query.ranks.optimistic == 1 + sum(score > expected[0] for score in expected[1:])
        assert query.ranks.pessimistic == 1 + sum(score >= expected[0] for score in expected[1:])


def without_seconds(ranked: Sequence[RankedQuery], ties: str) -> dict[str, object]:
    return {name: value for name, value in aggregate(ranked, ties).to_dict().items() if name != "seconds"}


def check(case: Case, dataset: Dataset, evaluator: Evaluator, hybrid: Hybrid) -> list[RankedQuery]:
    """Compares pruned evaluations with a whole one, which is returned."""
    queries, model = queries_of(case, dataset), compute_least_model(dataset)
    scoring = scoring_of(dataset, "hybrid", hybrid, case.seed)
    whole = rank_queries(evaluator, queries, seed=3, scoring=scoring)
    check_scores(whole, scoring, dataset)

    exact = rank_queries(evaluator, queries, seed=3, scoring=scoring, pruning=Pruning("exact", model))
    assert [ranked.ranks for ranked in exact] == [ranked.ranks for ranked in whole]
    for ties in ("optimistic", "realistic", "pessimistic", "random"):
        assert without_seconds(exact, ties) == without_seconds(whole, ties)
    for ranked, expected in zip(exact, whole, strict=True):
        assert ranked.scores is not None and expected.scores is not None
        assert np.array_equal(ranked.scores, expected.scores)

    by_ranks = rank_queries(evaluator, queries, seed=3, scoring=scoring, pruning=Pruning("ranks", model))
    assert [ranked.ranks for ranked in by_ranks] == [ranked.ranks for ranked in whole]
    assert aggregate(by_ranks).corruptions_proved is None
    return whole


@few
@given(case=cases, has_choice=st.booleans(), hybrid=hybrids)
def test_the_reference_gives_the_same_ranks(
    case: Case, has_choice: bool, hybrid: Hybrid, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    evaluator = RememberingReference(dataset, policy if has_choice else without_choice(policy), case.settings)
    check(case, dataset, evaluator, hybrid)


@few
@given(case=cases, has_choice=st.booleans(), hybrid=hybrids, num_lanes=sizes)
def test_the_vectorised_engine_gives_the_same_ranks(
    case: Case, has_choice: bool, hybrid: Hybrid, num_lanes: int, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    options = case.options(num_lanes)
    policy = policy if has_choice else without_choice(policy)
    check(case, dataset, CompiledEvaluator(dataset, policy, case.settings, options), hybrid)


beams = st.builds(Beam, width=st.integers(2, 4), score=st.sampled_from(BEAM_SCORES))


@few
@given(case=cases, beam=beams, hybrid=hybrids, num_lanes=sizes)
def test_beams_give_the_same_ranks(
    case: Case, beam: Beam, hybrid: Hybrid, num_lanes: int, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    reference = BeamReferenceEvaluator(RememberingReference(dataset, policy, case.settings), beam)
    expected = check(case, dataset, reference, hybrid)
    options = case.options(4 * num_lanes)
    vectorised = BeamEvaluator(dataset, policy, case.settings, beam, options)
    found = check(case, dataset, vectorised, hybrid)
    for mine, other in zip(found, expected, strict=True):
        assert np.array_equal(mine.outcomes.success, other.outcomes.success)
        assert mine.scores is not None and other.scores is not None
        assert mine.scores == pytest.approx(other.scores, abs=1e-4)


numbers = st.floats(-1e6, 1e6) | st.floats(-3, 0) | st.sampled_from((0.0, -1.0, -1e-300))


@example(part=-5.0, score=-7.0, penalty=1.0, bonus=-3.0)
@given(
    bonus=st.sampled_from((math.nan, -3.0, 0.0, 2.0)),
    part=st.floats(-1e6, 0) | st.floats(-3, 0),
    score=numbers,
    penalty=st.sampled_from((0.0, 1.0, 100.0)),
)
def test_below_the_threshold_every_end_scores_less(
    part: float, score: float, penalty: float, bonus: float
) -> None:
    columns = WeightColumns(np.array([part]), np.array([bonus]), np.array([penalty]))
    is_lower, threshold = what_may_be_left(columns, score)
    if is_lower[0]:
        assert part - penalty < score
        assert part + (0.0 if math.isnan(bonus) else bonus) < score
    if threshold[0] > -math.inf:
        assert math.isnan(bonus)
        below = math.nextafter(threshold[0], -math.inf)
        assert part + below < score and part - penalty < score
        # It is not far from the point at which a proof would tie.
        assert threshold[0] > score - part - 1e-14 * max(abs(part), abs(score), abs(score - part)) - 1e-300


@pytest.fixture(scope="module")
def chain(make_dataset: DatasetMaker) -> Dataset:
    links = [f"p(n{index},n{index + 1})." for index in range(6)]
    return make_dataset(links, ["p(X,Z), p(Z,Y) -> v(X,Y)", "v(X,Z), p(Z,Y) -> v(X,Y)"], test=["v(n0,n2)."])


def all_queries(dataset: Dataset) -> list[Query]:
    constants = np.arange(1, dataset.vocabulary.num_constants + 1)
    triple = dataset.splits["test"][0]
    return [Query(0, triple, side, constants[constants != getattr(triple, side)]) for side in SIDES]


def test_hybrid_scores_need_fewer_trajectories(chain: Dataset) -> None:
    evaluator = ReferenceEvaluator(chain, make_policy(chain, 0), SETTINGS)
    queries, model = all_queries(chain), compute_least_model(chain)
    num_provable = sum(int(model.contains(query.corruptions.triples).sum()) for query in queries)

    def counts(hybrid: Hybrid, level: str) -> PruningCounts:
        scoring = scoring_of(chain, "hybrid", hybrid)
        pruning = Pruning("exact" if level == "exact" else "ranks", model)
        ranked = rank_queries(evaluator, queries, scoring=scoring, pruning=pruning)
        return sum((PruningCounts.of(query.outcomes) for query in ranked), PruningCounts())

    # Whether the positive is proved or not, a corruption outside of the model needs no trajectory.
    exact = counts(Hybrid(), "exact")
    assert (exact.evaluated, exact.fallen_behind) == (2 + num_provable, 0)
    # By the embedding alone, up to a hair: nothing but the positives and what may tie them is proved.
    by_ranks = counts(Hybrid(HybridWeights(weight=1e6, bonus=0.0, penalty=0.0)), "ranks")
    assert by_ranks.evaluated < exact.evaluated


def test_embeddings_alone_prove_nothing(chain: Dataset) -> None:
    scoring = scoring_of(chain, "embedding", None)
    for ranked in rank_queries(None, all_queries(chain), scoring=scoring):
        assert ranked.scores is not None and ranked.embedding is not None
        assert np.array_equal(ranked.scores, ranked.embedding)
        assert ranked.outcomes.steps.sum() == 0
        by_hand = ranked.scores.tolist()
        assert ranked.ranks.optimistic == 1 + sum(score > by_hand[0] for score in by_hand[1:])
        assert ranked.positive_score == by_hand[0]
    with pytest.raises(Exception, match="no evaluator is given"):
        rank_queries(None, all_queries(chain), scoring=scoring_of(chain, "hybrid", None))


def test_what_does_not_go_together_is_refused(chain: Dataset) -> None:
    embedding = make_distmult(chain)
    assert make_scoring("proof", None, None, chain) is None
    for kind, source, hybrid, message in (
        ("both", embedding, None, "scoring is 'both'; expected one of proof, embedding, hybrid"),
        ("proof", embedding, None, "an embedding is given, and scoring is 'proof'"),
        ("hybrid", None, None, "scoring is 'hybrid', which needs an embedding"),
        ("embedding", embedding, Hybrid(), "weights of hybrid scores are given, and scoring is 'embedding'"),
    ):
        with pytest.raises(RankingError, match=message):
            make_scoring(kind, source, hybrid, chain)
    with pytest.raises(UnknownNameError, match="unknown predicate 'w'"):
        make_scoring("hybrid", embedding, Hybrid(by_relation={"w": HybridWeights()}), chain)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight": -1}, "weight of hybrid scores is -1; expected a number from 0 to 1e\\+06"),
        ({"weight": True}, "weight of hybrid scores is True"),
        ({"weight": None}, "weight of hybrid scores is None"),
        (
            {"bonus": "x"},
            "bonus of hybrid scores is 'x'; expected a number from -1e\\+06 to 1e\\+06, or null",
        ),
        ({"penalty": math.inf}, "penalty of hybrid scores is inf"),
        ({"penalty": math.nan}, "penalty of hybrid scores is nan"),
        ({"penalty": 10**400}, "penalty of hybrid scores is 1000"),
        ({"bonus": -1e7}, "bonus of hybrid scores is -10000000"),
        ({"wait": 1}, "'wait' of hybrid scores is unknown; expected weight, bonus, penalty"),
        ({"by_relation": {"p": 3}}, "by_relation of hybrid scores is"),
    ],
)
def test_wrong_weights_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(RankingError, match=message):
        Hybrid.from_dict(fields)


def test_a_failure_costs_as_much_as_with_scores_of_proofs() -> None:
    assert HybridWeights().penalty == DEFAULT_PENALTY == FAILURE_PENALTY


def test_weights_are_read_as_they_are_written(tmp_path: Path) -> None:
    hybrid = Hybrid(HybridWeights(2.0, 1.5, 3.0), {"p": HybridWeights(0.5)})
    assert Hybrid.from_dict(hybrid.to_dict()) == hybrid
    path = tmp_path / "hybrid.json"
    path.write_text(json.dumps({"format": "proofrank-hybrid-1", "fitted": {"mrr": 1}, **hybrid.to_dict()}))
    assert read_hybrid(path) == hybrid
    path.write_text("[]")
    with pytest.raises(RankingError, match="a JSON list; expected an object"):
        read_hybrid(path)
    with pytest.raises(RankingError, match="cannot be read"):
        read_hybrid(tmp_path / "none.json")


def test_an_ended_trajectory_counts_as_failed(chain: Dataset) -> None:
    scoring = scoring_of(chain, "hybrid", Hybrid(HybridWeights(1.0, 7.0, 2.0)))
    triples = np.array([chain.splits["test"][0]])
    embedding = scoring.embedding_scores(triples)
    (score,) = scoring.scores(embedding, triples, Outcomes.unprovable(1)).tolist()
    assert score == hybrid_score(float(embedding[0]), False, 0.0, scoring.hybrid.overall)

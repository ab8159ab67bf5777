"""By hybrid scores too, the interval of an MRR to a tolerance always holds the exact value; by embeddings it is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.choices import BEAM_SCORES
from proofrank.core.embedding import EmbeddingScorer
from proofrank.core.errors import EmbeddingError, RankingError
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.beams import BeamReferenceEvaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.prover.beams import Beam
from proofrank.core.ranking import (
    TIE_POLICIES,
    Corruptor,
    Hybrid,
    HybridWeights,
    LazyQueries,
    Pruning,
    PruningCounts,
    Refinement,
    Scoring,
    aggregate,
    make_scoring,
    metric_intervals,
    rank_queries,
    refined_scores,
)
from proofrank.core.ranking.corruptions import SIDES
from proofrank.core.ranking.rank_table import RankTable
from proofrank.core.ranking.refined_scores import ScoresByEmbedding
from proofrank.core.ranking.scored_queue import what_may_be_left
from proofrank.core.ranking.scoring import WeightColumns
from tests.helpers.cases import Case, cases, collected_cases, sizes
from tests.helpers.datasets import DatasetMaker
from tests.helpers.embeddings import make_distmult
from tests.helpers.policies import make_policy, without_choice
from tests.helpers.refinements import CountingEvaluator, RememberingEvaluator, check_intervals, work_of
from tests.helpers.remembering import RememberingReference

LEVELS = ("exact", "ranks")

few = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def scoring_of(dataset: Dataset, hybrid: Hybrid, seed: int = 0, *, kind: str = "hybrid") -> Scoring:
    own = hybrid if kind == "hybrid" else None
    scoring = make_scoring(kind, make_distmult(dataset, seed, spread=2.0), own, dataset, "cpu")
    assert scoring is not None
    return scoring


def drawn_weights(random: np.random.Generator) -> HybridWeights:
    """Weights under which ties, proofs that cost more than failures, and certain orders all occur."""
    return HybridWeights(
        weight=float(random.choice([0.0, 0.25, 1.0, 3.0, 40.0])),
        bonus=[None, None, -200.0, -2.0, 0.0, 1.0, 5.0][int(random.integers(7))],
        penalty=float(random.choice([0.0, 0.5, 2.0, 100.0])),
    )


def drawn_hybrid(random: np.random.Generator) -> Hybrid:
    """Weights of all relations, and for some of them weights of their own."""
    own = [name for name in ("p", "q", "v") if random.integers(2)]
    return Hybrid(drawn_weights(random), {name: drawn_weights(random) for name in own})


def check_random_cases(num_graphs: int, make_dataset: DatasetMaker) -> int:
    """Checks ten evaluations on each of ``num_graphs`` graphs; returns how many they were."""
    num_checked = 0
    for case in collected_cases(num_graphs):
        random = np.random.default_rng(case.seed)
        dataset = case.dataset(make_dataset)
        policy = make_policy(dataset, case.seed, spread=2.0)
        reference = ReferenceEvaluator(
            dataset, policy if random.integers(2) else without_choice(policy), case.settings
        )
        evaluator = RememberingEvaluator(reference)
        for number in range(10):
            work = work_of(case, dataset, is_filtered=bool(random.integers(2)), number=[None, 3][number % 2])
            scoring = scoring_of(dataset, drawn_hybrid(random), case.seed + number)
            level = LEVELS[int(random.integers(2))]
            most_at_once = int(random.integers(1, 40))
            check_intervals(evaluator, work, TIE_POLICIES[number % 4], level, most_at_once, scoring)  # pyright: ignore[reportArgumentType]
            num_checked += 1
    return num_checked


def test_the_exact_value_of_every_metric_lies_inside(make_dataset: DatasetMaker) -> None:
    assert check_random_cases(30, make_dataset) == 300


@pytest.mark.slow
def test_the_exact_value_of_every_metric_lies_inside_in_a_thousand_cases(make_dataset: DatasetMaker) -> None:
    assert check_random_cases(100, make_dataset) == 1_000


hybrids = st.builds(
    lambda seed: drawn_hybrid(np.random.default_rng(seed)),
    st.integers(0, 2**16),
)


@few
@given(
    case=cases,
    ties=st.sampled_from(TIE_POLICIES),
    level=st.sampled_from(LEVELS),
    hybrid=hybrids,
    num_lanes=sizes,
)
def test_the_vectorised_engine_gives_such_intervals(
    case: Case, ties: str, level: str, hybrid: Hybrid, num_lanes: int, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    evaluator = CompiledEvaluator(dataset, policy, case.settings, case.options(num_lanes))
    scoring = scoring_of(dataset, hybrid, case.seed)

    check_intervals(evaluator, work_of(case, dataset), ties, level, 16, scoring)


@few
@given(
    case=cases,
    beam=st.builds(Beam, width=st.integers(2, 4), score=st.sampled_from(BEAM_SCORES)),
    level=st.sampled_from(LEVELS),
    hybrid=hybrids,
)
def test_beams_give_such_intervals(
    case: Case, beam: Beam, level: str, hybrid: Hybrid, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    evaluator = BeamReferenceEvaluator(RememberingReference(dataset, policy, case.settings), beam)
    scoring = scoring_of(dataset, hybrid, case.seed)

    check_intervals(evaluator, work_of(case, dataset), "realistic", level, 16, scoring)


@few
@given(case=cases, ties=st.sampled_from(TIE_POLICIES))
def test_by_an_embedding_every_rank_is_known_and_nothing_is_proved(
    case: Case, ties: str, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    work = work_of(case, dataset)
    scoring = scoring_of(dataset, Hybrid(), case.seed, kind="embedding")
    whole = rank_queries(None, work.all_queries(), seed=3, scoring=scoring)
    refinement = Refinement(
        None, work, compute_least_model(dataset), ties=ties, seed=3, most_at_once=2, scoring=scoring
    )

    refinement.refine(10.0)

    found, exact = metric_intervals(refinement.so_far(), 1.0), aggregate(whole, ties)
    assert refinement.mrr.low == refinement.mrr.high == exact.mrr
    assert refinement.so_far().low.tolist() == [ranked.ranks.by(ties) for ranked in whole]
    for name, interval in found.by_name.items():
        assert (None if interval is None else interval.value) == exact.to_dict()[name], name
    assert found.positives_proved is found.corruptions_proved is None
    assert found.open == found.open_rankings == 0
    assert refinement.counts == PruningCounts()
    assert refinement.num_decided == refinement.num_candidates == found.candidates


@pytest.fixture(scope="module")
def chain(make_dataset: DatasetMaker) -> Dataset:
    """A chain of facts, each link of which follows by a rule as well; nothing leads back."""
    links = [f"p(n{index:02},n{index + 1:02})." for index in range(40)]
    rules = ["p(X,Z), p(Z,Y) -> v(X,Y)", "v(X,Z), p(Z,Y) -> v(X,Y)"]
    return make_dataset(links, rules, test=[f"v(n{index:02},n{index + 2:02})." for index in range(9)])


@pytest.fixture(scope="module")
def evaluator(chain: Dataset) -> ReferenceEvaluator:
    return ReferenceEvaluator(chain, make_policy(chain, 1, spread=3.0), ProverSettings(max_depth=4))


def refinement_on(chain: Dataset, evaluator: Any, hybrid: Hybrid | None = None, **options: Any) -> Refinement:
    """Of all test triples of ``chain``, in small parts."""
    triples = chain.splits["test"]
    work = LazyQueries(triples, [SIDES] * len(triples), Corruptor(chain))
    scoring = scoring_of(chain, hybrid or Hybrid(HybridWeights(penalty=1.0)))
    options = {"most_at_once": 8, "scoring": scoring, **options}
    return Refinement(evaluator, work, compute_least_model(chain), **options)


def test_a_smaller_tolerance_goes_on_and_proves_nothing_twice(
    chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    counting, whole = CountingEvaluator(evaluator), CountingEvaluator(evaluator)
    refinement = refinement_on(chain, counting)
    refinement.refine(0.05)
    steps = counting.steps
    assert refinement.mrr.value is None

    refinement.refine(0)

    assert refinement.mrr.value is not None
    assert counting.steps > steps > 0
    at_once = refinement_on(chain, whole)
    at_once.refine(0)
    assert counting.asked == whole.asked
    assert counting.steps == whole.steps == refinement.counts.steps


@pytest.mark.parametrize("ties", TIE_POLICIES)
def test_what_another_one_has_found_out_is_gone_on_from(
    chain: Dataset, evaluator: ReferenceEvaluator, ties: str
) -> None:
    whole, counting = CountingEvaluator(evaluator), CountingEvaluator(evaluator)
    expected = refinement_on(chain, whole, ties=ties)
    expected.refine(0)
    interrupted = refinement_on(chain, evaluator, ties=ties)
    interrupted.refine(0.05)

    refinement = refinement_on(chain, counting, ties=ties)
    refinement.go_on_from(interrupted.state())

    assert refinement.num_decided == interrupted.num_decided > 0
    refinement.refine(0)
    assert refinement.so_far().low.tolist() == expected.so_far().low.tolist()
    assert refinement.counts == expected.counts
    assert not any(candidate.is_positive for candidate in counting.asked)
    assert counting.steps < whole.steps


def test_a_state_of_other_scores_is_refused(chain: Dataset, evaluator: ReferenceEvaluator) -> None:
    refinement = refinement_on(chain, evaluator)
    refinement.refine(0.05)
    others = {
        "the embedding or the weights of its scores have changed since": refinement_on(
            chain, evaluator, Hybrid(HybridWeights(weight=2.0, penalty=1.0))
        ),
        "the state is not one of this evaluation": refinement_on(chain, evaluator, scoring=None),
    }
    for text, other in others.items():
        with pytest.raises(RankingError, match=text):
            other.go_on_from(refinement.state())
        assert other.num_decided == 0


def test_a_corruption_without_a_score_leaves_what_is_known_as_it_was(
    chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    refinement = refinement_on(chain, evaluator)
    scores, num_calls = EmbeddingScorer.scores, 0

    def failing(self: EmbeddingScorer, triples: np.ndarray) -> np.ndarray:
        nonlocal num_calls
        num_calls += 1
        if num_calls == 4:
            raise EmbeddingError("no score")
        return scores(self, triples)

    with (
        patch("proofrank.core.embedding.embedding.EmbeddingScorer.scores", failing),
        pytest.raises(EmbeddingError, match="no score"),
    ):
        refinement.refine(0)
    assert refinement.num_decided == refinement.num_tried == refinement.counts.steps == 0

    refinement.refine(0)

    expected = refinement_on(chain, evaluator)
    expected.refine(0)
    assert refinement.mrr == expected.mrr


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("of_positives", [True, False])
@pytest.mark.parametrize(
    ("kind", "level"), [("embedding", "ranks"), ("hybrid", "ranks"), ("hybrid", "exact")]
)
def test_a_score_that_is_not_finite_is_refused_before_anything_is_put_down(
    chain: Dataset, evaluator: ReferenceEvaluator, kind: str, level: str, of_positives: bool, value: float
) -> None:
    scoring = scoring_of(chain, Hybrid(), kind=kind)
    refinement = refinement_on(chain, evaluator, scoring=scoring, level=level)
    scores, positives = EmbeddingScorer.scores, {tuple(triple) for triple in chain.splits["test"]}

    def failing(self: EmbeddingScorer, triples: np.ndarray) -> np.ndarray:
        found = scores(self, triples)
        is_positive = np.array([tuple(triple) in positives for triple in triples.tolist()])
        found[np.flatnonzero(is_positive == of_positives)[:1]] = value
        return found

    text = rf"the score by the embedding of v\(n\d+,n\d+\) is {value} .*; expected finite numbers"
    with (
        patch("proofrank.core.embedding.embedding.EmbeddingScorer.scores", failing),
        pytest.raises(EmbeddingError, match=text),
    ):
        refinement.refine(10.0 if kind == "embedding" else 0)

    assert refinement.num_decided == refinement.num_tried == refinement.counts.steps == 0


@pytest.mark.parametrize("level", ["none", *LEVELS])
def test_a_weight_that_makes_a_score_infinite_is_refused(
    chain: Dataset, evaluator: ReferenceEvaluator, level: str
) -> None:
    """By exact ranks, and to a tolerance."""
    scoring = scoring_of(chain, Hybrid(HybridWeights(weight=1e6)))
    triples = chain.splits["test"]
    queries = LazyQueries(triples, [SIDES] * len(triples), Corruptor(chain)).all_queries()
    pruning = None if level == "none" else Pruning(level, compute_least_model(chain))  # pyright: ignore[reportArgumentType]
    counting = CountingEvaluator(evaluator)
    text = r"the embedding's part of the hybrid score of v\(n\d+,n\d+\) is -inf"
    with patch.object(EmbeddingScorer, "scores", lambda self, triples: np.full(len(triples), -1e308)):
        with pytest.raises(EmbeddingError, match=text):
            rank_queries(counting, queries, scoring=scoring, pruning=pruning)
        assert not counting.asked
        if level != "none":
            refinement = refinement_on(chain, evaluator, scoring=scoring, level=level)
            with pytest.raises(EmbeddingError, match=text):
                refinement.refine(0)
            assert refinement.num_decided == 0


def test_scores_tell_the_order_of_many_corruptions_before_they_are_proved(
    chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    """Fewer steps than with ``ranks``, and none for what no proof can move."""
    triples = chain.splits["test"]
    queries = LazyQueries(triples, [SIDES] * len(triples), Corruptor(chain)).all_queries()
    for hybrid in (
        Hybrid(),
        Hybrid(HybridWeights(weight=40.0, penalty=2.0)),
        Hybrid(HybridWeights(2.0, 1.0, 0.5)),
    ):
        scoring = scoring_of(chain, hybrid)
        pruning = Pruning("ranks", compute_least_model(chain))
        whole = rank_queries(evaluator, queries, scoring=scoring, pruning=pruning)
        num_whole = sum(int(ranked.outcomes.steps.sum()) for ranked in whole)
        # A positive is proved once for both sides, and so once less for each triple.
        num_of_positives = sum(int(ranked.outcomes.steps[0]) for ranked in whole if ranked.side == "tail")

        found = refinement_on(chain, evaluator, hybrid)
        found.refine(0)

        assert found.mrr.value == aggregate(whole).mrr
        assert found.counts.steps <= num_whole - num_of_positives
        to_tolerance = refinement_on(chain, evaluator, hybrid)
        to_tolerance.refine(0.1)
        assert to_tolerance.counts.steps < found.counts.steps or found.counts.steps <= num_of_positives


def test_without_an_evaluator_only_an_embedding_ranks(chain: Dataset) -> None:
    with pytest.raises(RankingError, match="there is no evaluator"):
        refinement_on(chain, None).refine(0)
    scoring = scoring_of(chain, Hybrid(), kind="embedding")
    assert refinement_on(chain, None, scoring=scoring).refine(0).value is not None


# Each way to be wrong: the comparison with whole evaluations must see it.


class _TooLow(WeightColumns):
    def if_proved(self, log_probability: np.ndarray | float) -> np.ndarray:
        return super().if_proved(log_probability) - 0.5


def _too_low(self: ScoresByEmbedding, columns: WeightColumns, *others: Any) -> Any:
    return _first_look(self, _TooLow(**vars(columns)), *others)


def _ends_too_early(columns: WeightColumns, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    is_left, threshold = what_may_be_left(columns, score)
    return is_left, threshold + 0.5


def _proofs_forgotten(self: ScoresByEmbedding, columns: WeightColumns, *others: Any) -> Any:
    return _first_look(self, dataclasses.replace(columns, bonus=-columns.penalty), *others)


def _failures_forgotten(self: ScoresByEmbedding, columns: WeightColumns, *others: Any) -> Any:
    certain = np.where(np.isnan(columns.bonus), 0.0, columns.bonus)
    return _first_look(self, dataclasses.replace(columns, bonus=certain, penalty=-certain), *others)


def _no_bound_below(self: ScoresByEmbedding, columns: WeightColumns, *others: Any) -> Any:
    certain = np.where(np.isnan(columns.bonus), 0.0, columns.bonus)
    return _first_look(self, dataclasses.replace(columns, bonus=certain), *others)


_first_look = ScoresByEmbedding._first_look


@pytest.mark.parametrize(
    ("target", "name", "replacement"),
    [
        (ScoresByEmbedding, "_first_look", _proofs_forgotten),
        (ScoresByEmbedding, "_first_look", _failures_forgotten),
        (ScoresByEmbedding, "_first_look", _no_bound_below),
        (ScoresByEmbedding, "_first_look", _too_low),
        (refined_scores, "what_may_be_left", _ends_too_early),
        (RankTable, "bounds", lambda self: (self.larger + 1.0, self.larger + 1.0 + self.num_open)),
        (Candidate, "has_fallen_behind", lambda self, total: total - 1.0 < self.threshold),
    ],
    ids=[
        "a proof that adds nothing",
        "a failure that costs nothing",
        "a proof of log-probability 0 at least",
        "too low a bound",
        "too high a threshold",
        "ties that do not count",
        "an end too early",
    ],
)
def test_a_defect_is_seen(
    target: Any, name: str, replacement: Callable[..., Any], make_dataset: DatasetMaker
) -> None:
    with patch.object(target, name, replacement), pytest.raises(AssertionError):
        check_random_cases(20, make_dataset)

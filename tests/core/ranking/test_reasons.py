"""Why a rank is what it is: what is shown as ahead does score higher, nothing is missing, and the numbers add up."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from proofrank.core.errors import RankingError
from proofrank.core.evaluator import ReferenceEvaluator, settings_for
from proofrank.core.graph import Dataset, Triple, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Candidate
from proofrank.core.ranking import (
    Corruptor,
    ExplainedOutcome,
    Hybrid,
    HybridWeights,
    Pruning,
    Query,
    RankReasons,
    hybrid_score,
    log_sigmoid,
    make_scoring,
    rank_queries,
    rank_reasons,
)
from proofrank.core.ranking.corruptions import SIDES
from proofrank.core.ranking.reasons import ScoreParts
from tests.helpers.embeddings import make_distmult
from tests.helpers.family import write_family, write_untrained_policy


class Family:
    """The small family with an untrained policy, under the reference evaluator."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dataset: Dataset = load_dataset(write_family(folder / "family"))
        path = write_untrained_policy(folder / f"policy{seed}", folder / "family", seed)
        self.policy: Policy = load_policy(path, self.dataset)
        self.evaluator = ReferenceEvaluator(self.dataset, self.policy, settings_for(self.policy))
        self.model = compute_least_model(self.dataset)

    def queries(self) -> list[Query]:
        corruptor = Corruptor(self.dataset)
        splits = self.dataset.splits
        return [
            Query(index, triple, side, corruptor.constants(triple, side))
            for index, triple in enumerate((*splits["valid"], *splits["test"]))
            for side in SIDES
        ]

    def pruning(self, level: str) -> Pruning | None:
        return None if level == "none" else Pruning("exact" if level == "exact" else "ranks", self.model)

    def reasons(self, query: Query, level: str = "exact", **options: object) -> RankReasons:
        return rank_reasons(
            self.evaluator,
            self.evaluator,
            self.dataset,
            query,
            pruning=self.pruning(level),
            **{"first": None, "alternatives": None, **options},  # pyright: ignore[reportArgumentType]
        )


@pytest.fixture(scope="module", params=[0, 1, 2, 3])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    return Family(tmp_path_factory.mktemp("family"), request.param)


def true_scores(family: Family, query: Query) -> dict[Triple, float]:
    """The score of each candidate, proved to its end, one by one."""
    candidates = [Triple._make(candidate.triple) for candidate in query.candidates]
    return {
        triple: family.evaluator.prove(Candidate(triple, is_positive=triple == query.triple)).score
        for triple in candidates
    }


def assert_steps_add_up(explained: ExplainedOutcome) -> None:
    assert len(explained.steps) == explained.outcome.steps
    for step in explained.steps:
        shares = [action.probability for action in step.shown]
        assert math.fsum(shares) + step.probability_left_out == pytest.approx(1.0, abs=1e-9)
        (chosen,) = (action for action in step.shown if action.is_chosen)
        assert math.log(chosen.probability) == pytest.approx(step.log_probability, abs=1e-9)
    total = math.fsum(step.log_probability for step in explained.steps)
    assert total == pytest.approx(explained.outcome.log_probability, abs=1e-9)


@pytest.mark.parametrize("level", ["none", "exact", "ranks"])
def test_what_is_ahead_is_all_that_scores_as_much_or_more_and_nothing_else(
    family: Family, level: str
) -> None:
    num_ahead = 0
    for query in family.queries():
        scores = true_scores(family, query)
        own = scores.pop(query.triple)

        reasons = family.reasons(query, level)

        (whole,) = rank_queries(family.evaluator, [query])
        assert reasons.ranked.ranks == whole.ranks
        assert reasons.positive.triple == query.triple
        assert reasons.positive.outcome.score == own
        assert {explained.triple for explained in reasons.ahead} == {
            triple for triple, score in scores.items() if score >= own
        }
        shown = [explained.outcome.score for explained in reasons.ahead]
        assert shown == [scores[explained.triple] for explained in reasons.ahead]
        assert shown == sorted(shown, reverse=True)
        for explained in reasons.ahead:
            assert explained.standing == ("higher" if scores[explained.triple] > own else "tied")
        assert reasons.num_higher == sum(score > own for score in scores.values())
        assert reasons.num_tied == sum(score == own for score in scores.values())
        for explained in (reasons.positive, *reasons.ahead):
            assert_steps_add_up(explained)
            assert explained.explanation is not None
            assert explained.explanation.outcome.score == explained.outcome.score
        num_ahead += len(reasons.ahead)
    assert num_ahead > 0


HYBRIDS = (
    Hybrid(),
    Hybrid(HybridWeights(weight=3.0, penalty=0.5)),
    Hybrid(HybridWeights(0.5, 1.5, 2.0), {"parent": HybridWeights(40.0, None, 0.0)}),
)


@pytest.mark.parametrize("level", ["none", "exact", "ranks"])
@pytest.mark.parametrize("hybrid", HYBRIDS)
def test_hybrid_scores_are_explained_by_their_parts(family: Family, hybrid: Hybrid, level: str) -> None:
    scoring = make_scoring("hybrid", make_distmult(family.dataset), hybrid, family.dataset, "cpu")
    assert scoring is not None
    num_failed_ahead = 0
    for query in family.queries():
        own_weights = hybrid.of(family.dataset.vocabulary.predicate_name(query.triple.predicate))
        triples = [Triple._make(candidate.triple) for candidate in query.candidates]
        embedding = dict(zip(triples, scoring.embedding_scores(np.array(triples)).tolist(), strict=True))
        outcomes = {
            triple: family.evaluator.prove(Candidate(triple, is_positive=triple == query.triple))
            for triple in triples
        }
        scores = {
            triple: hybrid_score(
                embedding[triple], outcomes[triple].success, outcomes[triple].log_probability, own_weights
            )
            for triple in triples
        }
        own = scores.pop(query.triple)

        reasons = family.reasons(query, level, scoring=scoring, also=query.constants.tolist())

        assert reasons.positive.score == own
        shown = [explained.score for explained in reasons.ahead]
        assert shown == sorted(shown, reverse=True)
        assert {explained.triple for explained in reasons.ahead} == {
            triple for triple, score in scores.items() if score >= own
        }
        assert reasons.num_higher == sum(score > own for score in scores.values())
        assert [explained.triple for explained in reasons.also] == list(scores)
        for explained in (*reasons.ahead, *reasons.also):
            score, parts = scores[explained.triple], explained.parts
            assert explained.score == score
            assert parts.embedding_score == embedding[explained.triple]
            assert parts.embedding_part is not None and parts.proof_part is not None
            assert parts.embedding_part == own_weights.weight * log_sigmoid(embedding[explained.triple])
            assert parts.embedding_part + parts.proof_part == score
            standing = "higher" if score > own else "tied" if score == own else "lower"
            assert explained.standing == standing
            assert explained.outcome.success == outcomes[explained.triple].success
            assert_steps_add_up(explained)
        num_failed_ahead += sum(not explained.outcome.success for explained in reasons.ahead)
    assert num_failed_ahead > 0


def test_by_an_embedding_the_scores_explain_a_rank_and_nothing_is_proved(family: Family) -> None:
    scoring = make_scoring("embedding", make_distmult(family.dataset), None, family.dataset, "cpu")
    assert scoring is not None
    for query in family.queries():
        reasons = rank_reasons(
            None,
            family.evaluator,
            family.dataset,
            query,
            first=None,
            also=query.constants.tolist(),
            scoring=scoring,
        )
        scores = scoring.embedding_scores(query.candidates.triples).tolist()
        assert [explained.score for explained in reasons.also] == scores[1:]
        assert reasons.positive.score == scores[0]
        assert [explained.score for explained in reasons.ahead] == sorted(
            (score for score in scores[1:] if score >= scores[0]), reverse=True
        )
        for explained in (reasons.positive, *reasons.ahead, *reasons.also):
            assert explained.parts == ScoreParts(explained.score, explained.score)
            assert (explained.explanation, explained.steps, explained.proofs) == (None, (), ())


def test_the_first_are_those_with_the_highest_scores(family: Family) -> None:
    for query in family.queries():
        everything, two = family.reasons(query), family.reasons(query, first=2, alternatives=1)

        assert [one.triple for one in two.ahead] == [one.triple for one in everything.ahead[:2]]
        assert (two.num_higher, two.num_tied) == (everything.num_higher, everything.num_tied)
        for explained in (two.positive, *two.ahead):
            assert all(len(step.shown) == 1 for step in explained.steps)
            assert_steps_add_up(explained)


def test_a_pruned_corruption_that_is_asked_for_is_proved_to_its_end(family: Family) -> None:
    num_pruned = 0
    for query in family.queries():
        scores = true_scores(family, query)

        reasons = family.reasons(query, "ranks", also=query.constants.tolist(), first=0)

        assert reasons.ahead == ()
        assert [one.outcome.score for one in reasons.also] == [scores[one.triple] for one in reasons.also]
        assert [one.triple for one in reasons.also] == list(scores)[1:]
        for place, explained in enumerate(reasons.also, start=1):
            is_pruned = reasons.ranked.outcomes[place].is_pruned
            assert not explained.outcome.is_pruned
            assert explained.standing == "lower" or not is_pruned
            assert_steps_add_up(explained)
            num_pruned += is_pruned
    assert num_pruned > 0


def test_what_is_no_corruption_of_the_query_is_refused_by_name(family: Family) -> None:
    query = family.queries()[0]
    anna = family.dataset.vocabulary.constant_index("anna")
    own = Query(0, query.triple, "tail", query.constants[query.constants != anna])

    with pytest.raises(
        RankingError, match=re.escape("also has 'anna', which makes no corruption of this query")
    ):
        family.reasons(own, also=[anna])


def test_a_negative_number_is_refused(family: Family) -> None:
    with pytest.raises(RankingError, match="first is -1; expected 0 or more"):
        family.reasons(family.queries()[0], first=-1)

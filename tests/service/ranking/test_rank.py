"""``POST /rank`` answers what the evaluator in this process answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.ranking import (
    Corruptor,
    RankedQuery,
    Side,
    corrupted_queries,
    rank_queries,
    report,
    sides_of,
)
from tests.helpers.answers import rank, rankings_of, without_time
from tests.helpers.family import NUM_CONSTANTS

QUERIES = [
    {"head": "anna", "relation": "ancestor", "tail": "Zoë"},
    {"head": "george.1", "relation": "ancestor", "tail": "cara"},
    {"head": "eva", "relation": "parent", "tail": "Zoë"},
]


def ranked_here(
    reference: ReferenceEvaluator,
    family: Dataset,
    queries: list[dict[str, Any]],
    *,
    sides: tuple[Side, ...] = ("head", "tail"),
    number: int | None = 50,
    is_filtered: bool = True,
    seed: int = 0,
) -> list[RankedQuery]:
    """The same queries, ranked in this process."""
    triples = [family.triple(query["head"], query["relation"], query["tail"]) for query in queries]
    corruptor = Corruptor(family, number=number, is_filtered=is_filtered, seed=seed)
    return rank_queries(reference, corrupted_queries(triples, sides, corruptor), seed=seed)


@pytest.mark.parametrize("side", ["head", "tail", "both"])
@pytest.mark.parametrize("number", [2, None])
def test_scores_ranks_and_proofs_are_those_of_the_reference_in_this_process(
    client: httpx.Client, reference: ReferenceEvaluator, family: Dataset, side: str, number: int | None
) -> None:
    expected = ranked_here(reference, family, QUERIES, sides=sides_of(side), number=number, seed=7)
    corruptions = "all" if number is None else number
    answer = rank(client, QUERIES, side=side, corruptions=corruptions, seed=7, return_candidates=True)
    for ranking, ours in zip(rankings_of(answer), expected, strict=True):
        assert ranking["side"] == ours.side
        assert ranking["score"] == pytest.approx(ours.outcomes[0].score, abs=1e-5)
        assert ranking["log_probability"] == pytest.approx(ours.outcomes[0].log_probability, abs=1e-5)
        assert ranking["proved"] == ours.outcomes[0].success
        assert ranking["steps"] == ours.outcomes[0].steps
        assert ranking["num_candidates"] == len(ours.candidates)
        assert ranking["ranks"] == {
            "optimistic": ours.ranks.optimistic,
            "realistic": ours.ranks.realistic,
            "pessimistic": ours.ranks.pessimistic,
            "random": ours.ranks.random,
        }
        assert ranking["rank"] == ours.ranks.realistic
        assert ranking["reciprocal_rank"] == 1 / ours.ranks.realistic
        candidates = [(item["head"], item["relation"], item["tail"]) for item in ranking["candidates"]]
        assert candidates == [family.names(triple) for triple in ours.candidates]
        for item, outcome in zip(ranking["candidates"], ours.outcomes, strict=True):
            assert item["score"] == pytest.approx(outcome.score, abs=1e-5)
            assert (item["proved"], item["steps"]) == (outcome.success, outcome.steps)


@pytest.mark.parametrize("ties", ["realistic", "optimistic", "pessimistic", "random"])
def test_metrics_are_those_of_the_ranks_that_count_under_the_chosen_ties(
    client: httpx.Client, reference: ReferenceEvaluator, family: Dataset, ties: str
) -> None:
    expected = report(ranked_here(reference, family, QUERIES), family, ties).to_dict()
    answer = rank(client, QUERIES, ties=ties)
    assert without_time(answer["metrics"]) == without_time(expected)
    ranks = [ranking["ranks"][ties] for ranking in rankings_of(answer)]
    assert [ranking["rank"] for ranking in rankings_of(answer)] == ranks
    assert answer["metrics"]["mrr"] == pytest.approx(sum(1 / value for value in ranks) / len(ranks))


def test_tied_scores_give_four_different_ranks_and_the_realistic_one_is_the_mean(
    client: httpx.Client,
) -> None:
    # Nobody descends from a leaf, so all but a proof end in the same failure: some positive has ties.
    query = {"head": "/m/08966", "relation": "parent", "tail": "anna"}
    ranking = rankings_of(rank(client, [query], side="tail", corruptions="all"))[0]
    ranks = ranking["ranks"]
    assert ranks["optimistic"] < ranks["pessimistic"]
    assert ranks["realistic"] == (ranks["optimistic"] + ranks["pessimistic"]) / 2
    assert ranks["optimistic"] <= ranks["random"] <= ranks["pessimistic"]


def test_a_query_without_a_side_takes_that_of_the_request(client: httpx.Client) -> None:
    answer = rank(client, [QUERIES[0], {**QUERIES[1], "side": "head"}], side="tail")
    assert [ranking["side"] for ranking in rankings_of(answer)] == ["tail", "head"]


def test_both_sides_are_ranked_where_nobody_says_which(client: httpx.Client) -> None:
    assert [ranking["side"] for ranking in rankings_of(rank(client, QUERIES[:1]))] == ["head", "tail"]


def test_own_candidates_take_the_place_of_drawn_corruptions(client: httpx.Client) -> None:
    query = {**QUERIES[0], "side": "tail", "candidates": ["ben", "00260881"]}
    ranking = rankings_of(rank(client, [query], return_candidates=True))[0]
    assert [item["tail"] for item in ranking["candidates"]] == ["Zoë", "ben", "00260881"]
    assert {item["head"] for item in ranking["candidates"]} == {"anna"}


def test_the_querys_own_constant_among_its_candidates_is_not_counted_twice(client: httpx.Client) -> None:
    with_own = {**QUERIES[0], "side": "head", "candidates": ["ben", "anna", "eva"]}
    without = {**QUERIES[0], "side": "head", "candidates": ["ben", "eva"]}
    answer = rank(client, [with_own, without], return_candidates=True)
    first, second = rankings_of(answer)
    assert first == second
    assert [item["head"] for item in first["candidates"]] == ["anna", "ben", "eva"]


def test_the_same_request_gets_the_same_answer(client: httpx.Client) -> None:
    options = {"corruptions": 2, "seed": 11, "ties": "random", "return_candidates": True}
    first, second = rank(client, QUERIES, **options), rank(client, QUERIES, **options)
    assert without_time(first) == without_time(second)
    assert first["request_id"] != second["request_id"]


def test_another_seed_draws_other_corruptions(client: httpx.Client) -> None:
    drawn = [
        [item["tail"] for item in rankings_of(answer)[0]["candidates"]]
        for answer in (
            rank(client, QUERIES[:1], corruptions=3, seed=seed, side="tail", return_candidates=True)
            for seed in range(6)
        )
    ]
    assert len({tuple(tails) for tails in drawn}) > 1


def test_a_query_gets_the_same_answer_in_whatever_company(client: httpx.Client) -> None:
    options = {"corruptions": 2, "return_candidates": True}
    alone = [rank(client, [query], **options)["queries"][0] for query in QUERIES]
    assert rank(client, QUERIES, **options)["queries"] == alone
    assert rank(client, QUERIES[::-1], **options)["queries"] == alone[::-1]


def test_known_triples_are_corruptions_only_where_unfiltered(client: httpx.Client) -> None:
    def tails(is_filtered: bool) -> set[str]:
        answer = rank(
            client, QUERIES[:1], side="tail", corruptions="all", filtered=is_filtered, return_candidates=True
        )
        return {item["tail"] for item in rankings_of(answer)[0]["candidates"][1:]}

    assert tails(is_filtered=False) - tails(is_filtered=True) == {"cara"}  # ancestor(anna, cara) is a fact
    assert len(tails(is_filtered=False)) == NUM_CONSTANTS - 1


def test_candidates_and_proof_come_only_where_asked_for(client: httpx.Client) -> None:
    ranking = rankings_of(rank(client, QUERIES[:1]))[0]
    assert ranking["candidates"] is None
    assert ranking["proof"] is None


def test_the_proof_is_the_positives_trajectory_as_steps_and_as_a_tree(client: httpx.Client) -> None:
    ranking = rankings_of(rank(client, QUERIES[1:2], side="tail", return_proof=True))[0]
    proof = ranking["proof"]
    assert len(proof["steps"]) == ranking["steps"]
    assert proof["steps"][0]["state"] == ["ancestor(george.1, cara)"]
    for earlier, later in zip(proof["steps"], proof["steps"][1:], strict=False):
        assert later["state"] == earlier["chosen"]
    total = sum(step["log_probability"] for step in proof["steps"])
    assert total == pytest.approx(ranking["log_probability"], abs=1e-5)
    assert (proof["steps"][-1]["chosen"] == ["True"]) == ranking["proved"]
    assert proof["text"].startswith("ancestor(george.1, cara)  [rule ")
    rule = proof["steps"][0]["rule"]
    assert rule["name"] in ("direct", "further")
    assert rule["weight"] == 1.0
    assert f"[rule {rule['name']}]" in proof["text"]


def test_a_positive_that_is_a_fact_does_not_prove_itself(client: httpx.Client) -> None:
    # The fact parent(anna, ben) has no rule: as a positive it cannot be proved, as a corruption it is.
    positive = {"head": "anna", "relation": "parent", "tail": "ben", "side": "tail", "candidates": ["eva"]}
    answer = rank(client, [positive], return_candidates=True, filtered=False)
    ranking = rankings_of(answer)[0]
    assert not ranking["proved"]
    assert ranking["candidates"][1]["proved"]
    assert ranking["rank"] == 2


def test_the_answer_names_what_was_served_and_where_the_time_went(
    client: httpx.Client, family: Dataset
) -> None:
    answer = rank(client, QUERIES[:1])
    assert answer["dataset"] == {"name": "family", "sha256": family.content_hash}
    assert answer["policy"]["name"] == "untrained"
    assert answer["engine"] == "original"
    assert answer["timing"]["queue_seconds"] >= 0
    assert answer["timing"]["execution_seconds"] > 0


def test_concurrent_requests_get_the_answers_that_they_get_alone(client: httpx.Client) -> None:
    def ask(seed: int) -> Any:
        return without_time(rank(client, QUERIES, seed=seed, corruptions=3, return_candidates=True))

    alone = [ask(seed) for seed in range(12)]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == alone

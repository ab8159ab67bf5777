"""A query's own candidates are filtered as PyKEEN does it, and the answer says how many were left out."""

from __future__ import annotations

import random
from typing import Any

import httpx
import pytest
import torch

from proofrank.core.graph import Dataset, Triple
from proofrank.core.ranking import Side
from proofrank.service.client import Client, Query
from tests.helpers.answers import rank, rankings_of
from tests.helpers.serving import RunningServer

ANCESTORS = {"head": "anna", "relation": "ancestor", "tail": "Zoë", "side": "tail"}
"""A test triple; ``ancestor(anna, cara)`` is a triple of train."""
CANDIDATES = ["Zoë", "cara", "ben", "eva"]


def ranking_of(client: httpx.Client, query: dict[str, Any], **options: Any) -> dict[str, Any]:
    (ranking,) = rankings_of(rank(client, [query], return_candidates=True, **options))
    return ranking


def tails(ranking: dict[str, Any]) -> list[str]:
    return [candidate["tail"] for candidate in ranking["candidates"]]


def test_known_triples_among_the_candidates_are_left_out_and_counted(client: httpx.Client) -> None:
    ranking = ranking_of(client, {**ANCESTORS, "candidates": CANDIDATES})
    assert tails(ranking) == ["Zoë", "ben", "eva"]
    assert (ranking["num_candidates"], ranking["num_filtered"]) == (3, 1)


def test_unfiltered_candidates_are_all_ranked(client: httpx.Client) -> None:
    ranking = ranking_of(client, {**ANCESTORS, "candidates": CANDIDATES}, filtered=False)
    assert tails(ranking) == ["Zoë", "cara", "ben", "eva"]
    assert (ranking["num_candidates"], ranking["num_filtered"]) == (4, 0)


def test_triples_of_every_split_are_filtered_on_both_sides(client: httpx.Client) -> None:
    # cara descends from george.1 in test, from anna in train; /m/08966 from ben in valid.
    heads = {"head": "george.1", "relation": "ancestor", "tail": "cara", "side": "head"}
    first = ranking_of(client, {**heads, "candidates": ["anna", "ben"]})
    assert [candidate["head"] for candidate in first["candidates"]] == ["george.1", "ben"]
    of_ben = {"head": "ben", "relation": "ancestor", "tail": "eva", "side": "tail"}
    second = ranking_of(client, {**of_ben, "candidates": ["/m/08966", "anna"]})
    assert tails(second) == ["eva", "anna"]
    assert (first["num_filtered"], second["num_filtered"]) == (1, 1)


def test_a_positive_whose_candidates_are_all_filtered_is_alone(client: httpx.Client) -> None:
    ranking = ranking_of(client, {**ANCESTORS, "candidates": ["cara"]})
    assert (ranking["rank"], ranking["num_candidates"], ranking["num_filtered"]) == (1, 1, 1)


def test_a_query_without_candidates_of_its_own_counts_none_as_filtered(client: httpx.Client) -> None:
    assert ranking_of(client, ANCESTORS)["num_filtered"] is None


def test_the_client_tells_how_many_were_filtered(server: RunningServer) -> None:
    with Client(server.url) as speaker:
        query = Query("anna", "ancestor", "Zoë", side="tail", candidates=CANDIDATES)
        (ranking,) = speaker.rank([query]).queries[0].rankings
        assert (ranking.num_candidates, ranking.num_filtered) == (3, 1)


def known_triples(dataset: Dataset) -> list[Triple]:
    return [triple for triples in dataset.splits.values() for triple in triples]


def scores_of_all(client: httpx.Client, query: dict[str, Any], names: list[str]) -> dict[str, float]:
    """The score of the query with each of all constants on its side, by the constant."""
    ranking = ranking_of(client, {**query, "candidates": names}, filtered=False)
    return {candidate[query["side"]]: candidate["score"] for candidate in ranking["candidates"]}


def ranks_of_pykeen(
    dataset: Dataset,
    query: dict[str, Any],
    scores: dict[str, float],
    restricted_to: list[str],
) -> dict[str, float]:
    """The ranks that PyKEEN gives the query among ``restricted_to``, by the names of its ties, and their number."""
    evaluation = pytest.importorskip("pykeen.evaluation", reason="PyKEEN is not installed")
    from pykeen.models.mocks import FixedModel
    from pykeen.triples import CoreTriplesFactory

    # PyKEEN counts from 0, and has no padding.
    known = [[head - 1, predicate - 1, tail - 1] for predicate, head, tail in known_triples(dataset)]
    table = torch.tensor([[scores[name] for name in dataset.vocabulary.constants]], dtype=torch.float64)

    class Scored(FixedModel):
        """A model with the scores of the service."""

        def score_t(self, hr_batch: Any, tails: Any = None, **_: Any) -> Any:
            return table.clone()

        def score_h(self, rt_batch: Any, heads: Any = None, **_: Any) -> Any:
            return table.clone()

    triples = CoreTriplesFactory.create(
        torch.tensor(known),
        num_entities=dataset.vocabulary.num_constants,
        num_relations=dataset.vocabulary.num_predicates,
    )
    triple = dataset.triple(query["head"], query["relation"], query["tail"])
    evaluator = evaluation.RankBasedEvaluator(filtered=True, clear_on_finalize=False)
    result = evaluator.evaluate(
        model=Scored(triples_factory=triples),
        mapped_triples=torch.tensor([[triple.head - 1, triple.predicate - 1, triple.tail - 1]]),
        batch_size=1,
        use_tqdm=False,
        additional_filter_triples=triples.mapped_triples,
        restrict_entities_to=[dataset.vocabulary.constant_index(name) - 1 for name in restricted_to],
        targets=(query["side"],),
    ).to_flat_dict()
    ranks = {
        ties: result[f"{query['side']}.{ties}.arithmetic_mean_rank"]
        for ties in ("optimistic", "realistic", "pessimistic")
    }
    ((num_candidates,),) = evaluator.num_candidates[query["side"]]
    return {**ranks, "num_candidates": float(num_candidates)}


@pytest.mark.filterwarnings("ignore:Encountered type:UserWarning:pykeen")
@pytest.mark.parametrize("side", ["head", "tail"])
def test_ranks_among_own_candidates_are_those_of_pykeen(
    client: httpx.Client, family: Dataset, side: Side
) -> None:
    names = list(family.vocabulary.constants)
    draw = random.Random(3)
    num_filtered = 0
    for triple in known_triples(family):
        head, relation, tail = family.names(triple)
        query = {"head": head, "relation": relation, "tail": tail, "side": side}
        # PyKEEN leaves out an evaluation triple unless both of its constants are among the entities.
        chosen = sorted({head, tail, *draw.sample(names, 4)})
        ranking = ranking_of(client, {**query, "candidates": chosen})
        theirs = ranks_of_pykeen(family, query, scores_of_all(client, query, names), chosen)
        ours = {ties: ranking["ranks"][ties] for ties in ("optimistic", "realistic", "pessimistic")}
        assert {**ours, "num_candidates": ranking["num_candidates"]} == theirs
        assert ranking["num_candidates"] + ranking["num_filtered"] == len(chosen)
        num_filtered += ranking["num_filtered"]
    assert num_filtered > 0

"""A large answer, made in pieces, is byte for byte what the same answer is as a whole."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from proofrank.core.choices import SCORINGS
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.prover import Outcome, Outcomes
from proofrank.core.ranking import (
    Corruptor,
    PruningCounts,
    RankedQuery,
    corrupted_queries,
    make_scoring,
    rank_queries,
    report,
)
from proofrank.service.ranking import to_response as answers
from proofrank.service.ranking.json_names import JsonNames
from proofrank.service.ranking.to_response import (
    ResponseBuilder,
    json_pieces,
    proof_maker,
    to_pruning,
    to_report,
    to_send,
    with_results,
)
from proofrank.service.wire import Identity, RankRequest, RankResponse, Timing
from tests.helpers.datasets import DatasetMaker
from tests.helpers.embeddings import make_distmult
from tests.helpers.policies import make_policy
from tests.helpers.stage import SETTINGS

NAMES = ['"candidates":[]', '"rankings":[]', 'a\\"b', "Zoë", "plain", "],"]
"""Such as no graph has, and a text that is put together from pieces must not stumble over."""

QUERIES = [
    {"head": NAMES[0], "relation": "reaches", "tail": NAMES[2]},
    {"head": NAMES[3], "relation": "reaches", "tail": NAMES[1]},
]


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    facts = [f"{first}\tnext\t{second}" for first, second in itertools.pairwise(NAMES)]
    return make_dataset(facts, ["reaches(X,Y) :- next(X,Y).", "reaches(X,Y) :- next(X,Z), reaches(Z,Y)."])


@pytest.fixture(scope="module")
def reference(dataset: Dataset) -> ReferenceEvaluator:
    return ReferenceEvaluator(dataset, make_policy(dataset, 1, spread=2.0), SETTINGS)


@pytest.fixture(scope="module")
def ranked(dataset: Dataset, reference: ReferenceEvaluator) -> list[RankedQuery]:
    triples = [dataset.triple(query["head"], query["relation"], query["tail"]) for query in QUERIES]
    return rank_queries(reference, corrupted_queries(triples, ("head", "tail"), Corruptor(dataset)))


def empty_answer(ranked: list[RankedQuery], dataset: Dataset) -> RankResponse:
    return RankResponse(
        request_id="1",
        dataset=Identity(name=dataset.name, sha256=dataset.content_hash),
        policy=Identity(name='"queries":[]', sha256="0"),
        engine="original",
        metrics=to_report(report(ranked, dataset, "realistic")),
        pruning=to_pruning("none", PruningCounts()),
        timing=Timing(queue_seconds=0.0, first_result_seconds=0.0, execution_seconds=1.5),
        queries=(),
    )


@pytest.fixture(scope="module")
def ranked_by(dataset: Dataset, reference: ReferenceEvaluator) -> dict[str, list[RankedQuery]]:
    """The same queries by each scoring."""
    triples = [dataset.triple(query["head"], query["relation"], query["tail"]) for query in QUERIES]
    queries = corrupted_queries(triples, ("head", "tail"), Corruptor(dataset))
    source = make_distmult(dataset)
    return {
        kind: rank_queries(
            reference,
            queries,
            scoring=make_scoring(kind, None if kind == "proof" else source, None, dataset, "cpu"),
        )
        for kind in SCORINGS
    }


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_candidates": True},
        {"return_proof": True},
        {"return_candidates": True, "return_proof": True, "ties": "random"},
    ],
)
def test_the_pieces_of_an_answer_are_its_json(
    dataset: Dataset,
    reference: ReferenceEvaluator,
    ranked_by: dict[str, list[RankedQuery]],
    options: dict[str, Any],
    scoring: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if scoring == "embedding":  # which proves nothing
        options = {name: value for name, value in options.items() if name != "return_proof"}
    ranked = ranked_by[scoring]
    monkeypatch.setattr(answers, "_CANDIDATES_IN_PIECE", 2)
    request = RankRequest.model_validate({"queries": QUERIES, **options})
    make_proof = proof_maker(reference, dataset) if request.return_proof else None
    builder = ResponseBuilder(request, dataset, make_proof, JsonNames(dataset))

    pieces = list(json_pieces(empty_answer(ranked, dataset), ranked, builder))

    whole = with_results(empty_answer(ranked, dataset), ranked, builder)
    # As FastAPI does it.
    assert b"".join(pieces) == TypeAdapter(RankResponse).dump_json(whole, by_alias=True)
    assert len(whole.queries) == 2
    assert len(whole.queries[0].rankings) == 2
    assert len(pieces) > len(QUERIES)
    parts = {
        "proof": set[str](),
        "embedding": {"embedding_score"},
        "hybrid": {"log_probability", "embedding_score", "embedding_part"},
    }
    for query in json.loads(b"".join(pieces))["queries"]:
        for ranking in query["rankings"]:
            for candidate in ranking["candidates"] or ():
                beside = candidate.keys() - {"head", "relation", "tail", "score", "proved", "steps"}
                assert beside == parts[scoring]


def test_numbers_in_pieces_are_written_as_models_write_them(
    dataset: Dataset, ranked: list[RankedQuery]
) -> None:
    numbers = [-1e-7, -1e22, -0.0, 0.0, -1 / 3, -5e-324]
    odd = [
        replace(query, outcomes=Outcomes.of([Outcome(True, number, 0, ()) for number in numbers]))
        for query in ranked
    ]
    request = RankRequest.model_validate({"queries": QUERIES, "return_candidates": True})
    builder = ResponseBuilder(request, dataset, None, JsonNames(dataset))
    assert all(len(query.candidates) == len(numbers) for query in odd)

    pieces = json_pieces(empty_answer(ranked, dataset), odd, builder)

    whole = with_results(empty_answer(ranked, dataset), odd, builder)
    assert b"".join(pieces) == TypeAdapter(RankResponse).dump_json(whole, by_alias=True)


@pytest.mark.parametrize("least_bytes", [1, 10, 1000])
def test_pieces_are_sent_whole_and_in_order_with_their_length(
    least_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_LEAST_BYTES_TO_SEND", least_bytes)
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def stays() -> Any:
        await asyncio.Event().wait()

    answer = to_send(b"%d," % number for number in range(100))
    asyncio.run(answer({"type": "http"}, stays, send))

    body = b"".join(message["body"] for message in sent[1:])
    assert body == b"".join(b"%d," % number for number in range(100))
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(body)).encode()
    assert dict(sent[0]["headers"])[b"content-type"] == b"application/json"

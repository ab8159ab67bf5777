"""``POST /why``: the rank of ``POST /rank``, all that is ahead, proved alike by the reference, within limits."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate
from proofrank.service.client import (
    AsyncClient,
    Client,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)
from tests.helpers.answers import rank, rankings_of, refusal
from tests.helpers.family import write_untrained_policy
from tests.helpers.limits import MAX_PROOFS
from tests.helpers.serving import RunningServer

TRIPLE = ("george.1", "ancestor", "cara")
NAMES: dict[str, Any] = dict(zip(("head", "relation", "tail"), TRIPLE, strict=True))


@pytest.fixture(scope="module")
def many_proofs(family_folder: Path, policy_folder: Path) -> Iterator[RunningServer]:
    """A server that explains as many candidates as there are."""
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]
    with RunningServer(*arguments) as running:
        yield running.wait_until_ready()


def scores_of(
    reference: ReferenceEvaluator, dataset: Dataset, candidates: list[dict[str, Any]]
) -> list[float]:
    return [
        reference.prove(
            Candidate(
                dataset.triple(one["head"], one["relation"], one["tail"]),
                is_positive=(one["head"], one["relation"], one["tail"]) == TRIPLE,
            )
        ).score
        for one in candidates
    ]


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("pruning", ["none", "exact", "ranks"])
def test_the_rank_is_that_of_rank_and_all_that_is_ahead_is_there(
    many_proofs: RunningServer, side: str, pruning: str, reference: ReferenceEvaluator, family: Dataset
) -> None:
    client = many_proofs.client
    whole = rank(client, [NAMES], side=side, corruptions="all", return_candidates=True)
    (ranking,) = rankings_of(whole)
    own, others = ranking["score"], ranking["candidates"][1:]

    options = {"side": side, "corruptions": "all", "pruning": pruning, "first": 50, "alternatives": 50}
    answer = client.post("/why", json={**NAMES, **options, "also": ["eva"]})

    assert answer.status_code == 200, answer.text
    why = answer.json()
    assert why["ranking"] == {name: ranking[name] for name in why["ranking"]}
    assert (why["policy"], why["dataset"]) == (whole["policy"], whole["dataset"])
    assert why["num_higher"] == sum(one["score"] > own for one in others)
    assert why["num_tied"] == sum(one["score"] == own for one in others)
    ahead = {one[side]: one["score"] for one in why["ahead"]}
    assert ahead == {one[side]: one["score"] for one in others if one["score"] >= own}
    (eva,) = why["also"]
    assert (eva[side], eva["score"]) == next(
        (one[side], one["score"]) for one in others if one[side] == "eva"
    )
    explained = [why["positive"], *why["ahead"], eva]
    assert [one["score"] for one in explained] == scores_of(reference, family, explained)
    for one in explained:
        total = math.fsum(step["log_probability"] for step in one["steps"])
        assert total == pytest.approx(one["log_probability"], abs=1e-9)
        for step in one["steps"]:
            shares = [action["probability"] for action in step["alternatives"]]
            assert math.fsum(shares) + step["probability_left_out"] == pytest.approx(1, abs=1e-9)
            assert step["num_left_out"] == 0
            (chosen,) = (action for action in step["alternatives"] if action["is_chosen"])
            assert math.log(chosen["probability"]) == pytest.approx(step["log_probability"], abs=1e-9)


def test_candidates_of_ones_own_are_ranked_as_by_rank(many_proofs: RunningServer) -> None:
    client = many_proofs.client
    names = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
    own = ["eva", "ben", "cara", "Zoë"]
    whole = rank(client, [{**names, "side": "tail", "candidates": own}], return_candidates=True)
    (ranking,) = rankings_of(whole)
    others = {one["tail"]: one["score"] for one in ranking["candidates"][1:]}
    assert list(others) == ["eva", "ben"]  # not the triple's own, nor cara, which makes a known triple

    answer = client.post("/why", json={**names, "candidates": own, "first": 50, "also": [*others]})

    assert answer.status_code == 200, answer.text
    why = answer.json()
    assert why["ranking"] == {name: ranking[name] for name in why["ranking"]}
    assert why["ranking"]["num_candidates"] == 3
    assert {one["tail"]: one["score"] for one in why["also"]} == others
    with Client(many_proofs.url) as proofrank_client:
        found = proofrank_client.why(("anna", "ancestor", "Zoë"), candidates=own)
    assert found.ranking.rank == why["ranking"]["rank"]
    unfiltered = client.post("/why", json={**names, "candidates": own, "filtered": False}).json()
    assert unfiltered["ranking"]["num_candidates"] == 4


def test_a_job_says_which_policy_ranks_whatever_name_it_has(
    many_proofs: RunningServer, policy_folder: Path, family_folder: Path, tmp_path: Path
) -> None:
    other = write_untrained_policy(tmp_path / "other", family_folder, seed=5)
    with Client(many_proofs.url) as client:
        options: dict[str, Any] = {"corruptions": 1, "limit": 1, "progress": False}
        uploaded = client.upload_policy("step", other)
        job = client.evaluate("test", policy=uploaded, **options).job
        expected = client.why(TRIPLE, policy=uploaded, corruptions="all")
        assert expected.positive.score != client.why(TRIPLE, corruptions="all").positive.score
        live = client.evaluate("test", **options).job
        assert client.why(TRIPLE, job=live).policy == live.policy

        client.upload_policy("kept", other)
        client.upload_policy("step", policy_folder)

        found = client.why(TRIPLE, job=job.id, corruptions="all")
        assert found.policy == job.policy
        assert (found.ranking, found.positive) == (expected.ranking, expected.positive)
        client.delete_policy("kept")
        with pytest.raises(ConflictError, match="which no policy has by now"):
            client.why(TRIPLE, job=job)
        with pytest.raises(NotFoundError, match="there is no job 'none'"):
            client.why(TRIPLE, job="none")
        with pytest.raises(InvalidRequestError, match="'job' and 'policy' both name a policy"):
            client.why(TRIPLE, job=job, policy="step")
        client.delete_policy("step")


@pytest.mark.parametrize(
    "options",
    [
        {"beam": 3, "beam_score": "logsumexp", "corruptions": "all"},
        {"protocol": "filtered-all"},
        {"protocol": "sampled-50", "seed": 4, "beam": 2},
        {"candidates_from": "relations", "corruptions": "all"},
    ],
)
def test_beams_protocols_and_sources_of_candidates_are_those_of_rank(
    many_proofs: RunningServer, options: dict[str, Any]
) -> None:
    whole = rank(many_proofs.client, [NAMES], side="tail", return_proof=True, **options)
    (ranking,) = rankings_of(whole)

    also = [] if "candidates_from" in options else ["eva"]  # none of the tails that the facts have

    answer = many_proofs.client.post("/why", json={**NAMES, **options, "also": also, "first": 50})

    assert answer.status_code == 200, answer.text
    why = answer.json()
    assert why["ranking"] == {name: ranking[name] for name in why["ranking"]}
    assert why["engine"] == whole["engine"]
    assert (why["beam"], why["beam_score"]) == (options.get("beam", 1), options.get("beam_score", "max"))
    assert why.get("protocol") == options.get("protocol")
    assert why["num_higher"] + why["num_tied"] == len(why["ahead"])
    explained = [why["positive"], *why["ahead"], *why["also"]]
    if "beam" not in options:
        assert all(one["proofs"] == [] for one in explained)
        return
    assert why["positive"]["proofs"] == [proof["text"] for proof in ranking["proofs"]]
    for one in explained:
        assert bool(one["proofs"]) is one["proved"]
        assert len(set(one["proofs"])) == len(one["proofs"]) <= options["beam"]
        assert not one["proofs"] or one["proofs"][0] == one["proof"]


def test_the_clients_give_the_same(server: RunningServer) -> None:
    with Client(server.url) as client:
        blocking = client.why(TRIPLE, side="head", corruptions="all", first=1, alternatives=2)

    async def awaited() -> Any:
        async with AsyncClient(server.url) as client:
            return await client.why(TRIPLE, side="head", corruptions="all", first=1, alternatives=2)

    also_awaited = asyncio.run(awaited())
    assert blocking.positive.proof.startswith("ancestor(george.1, cara)")
    assert len(blocking.ahead) == min(1, blocking.num_higher + blocking.num_tied)
    assert (blocking.ranking, blocking.positive) == (also_awaited.ranking, also_awaited.positive)
    with Client(server.url) as client, pytest.raises(InvalidRequestError, match="first"):
        client.why(TRIPLE, first=51)


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"first": MAX_PROOFS}, "first", f"too many: at most {MAX_PROOFS} proofs in one answer"),
        ({"first": 51}, "first", "50"),
        ({"alternatives": 0}, "alternatives", "1"),
        ({"side": "both"}, "side", "'head' or 'tail'"),
        ({"also": ["ava"], "first": 0}, "also[0]", "unknown constant"),
        ({"also": ["cara"], "first": 0}, "also[0]", "makes no corruption of this query"),
        ({"candidates": ["eva"], "also": ["ben"], "first": 0}, "also[0]", "none of the 1 candidates"),
        ({"candidates": ["eva", "ava"]}, "candidates[1]", "unknown constant"),
        ({"candidates": ["eva", "eva"]}, "candidates[1]", "a candidate for the second time"),
        ({"candidates": []}, "candidates", "at least 1"),
        ({"candidates": ["eva"] * 10_000}, "candidates", "candidates in one request"),
        ({"beam": 9, "first": 0}, "beam", "too many: at most 8 trajectories of a candidate"),
        ({"beam": 2, "first": 1}, "first", f"too many: at most {MAX_PROOFS} proofs in one answer"),
        ({"protocol": "deepprooflog", "first": 0}, "protocol", "depend on its place in an evaluation"),
        ({"protocol": "ogb", "first": 0}, "candidates", "protocol 'ogb' needs the negatives as candidates"),
        (
            {"protocol": "filtered-all", "candidates": ["eva"], "first": 0},
            *("candidates", "protocol 'filtered-all' has no part for candidates"),
        ),
        ({"candidates_from": "facts"}, "candidates_from", "'domains', 'entities' or 'relations'"),
        ({"tail": "carra"}, "tail", "unknown constant"),
        ({"relation": "anchestor"}, "relation", "unknown predicate"),
    ],
)
def test_what_is_wrong_is_refused_by_field(
    client: httpx.Client, options: dict[str, Any], field: str, message: str
) -> None:
    body = refusal(client.post("/why", json={**NAMES, "first": 1, **options}))

    (error,) = body["errors"]
    assert error["field"] == field
    assert message in error["message"]


def test_a_deadline_that_passes_is_answered_by_504(client: httpx.Client) -> None:
    options = {"side": "head", "corruptions": "all", "first": 1, "deadline_ms": 1}

    body = refusal(client.post("/why", json={**NAMES, **options}), 504)

    assert "deadline" in body["detail"]

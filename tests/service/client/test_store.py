"""The client's jobs and policies against a real server: an evaluation as the reference has it, and a hot swap."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofrank.core.graph import Dataset
from proofrank.service.client import (
    AsyncClient,
    Client,
    ConflictError,
    InvalidRequestError,
    Job,
    NotFoundError,
    Query,
)
from tests.helpers.family import write_untrained_policy
from tests.helpers.serving import RunningServer


@pytest.fixture
def speaker(server: RunningServer) -> Iterator[Client]:
    """A client of the shared server."""
    with Client(server.url) as opened:
        yield opened


def test_an_evaluation_has_the_ranks_and_metrics_of_a_request_for_the_same_triples(
    speaker: Client, family: Dataset
) -> None:
    seen: list[Job] = []
    result = speaker.evaluate("test", corruptions=4, seed=5, on_progress=seen.append)
    names = [family.names(triple) for triple in family.splits["test"]]
    expected = speaker.rank(names, corruptions=4, seed=5)

    assert [(ranking.tail, ranking.rank) for ranking in result.rankings] == [
        (query.tail, ranking.rank) for query in expected.queries for ranking in query.rankings
    ]
    assert result.metrics.mrr == expected.metrics.mrr
    assert result.metrics.candidates == expected.metrics.candidates
    assert result.job.policy == expected.policy
    assert seen[-1].state == "done"
    assert seen[-1].progress.queries_done == len(names)


def test_an_evaluation_becomes_a_frame_with_a_row_for_each_ranking(speaker: Client) -> None:
    query = Query("anna", "ancestor", "Zoë", side="tail")
    result = speaker.evaluate([query, ("eva", "parent", "Zoë")], corruptions="all")
    frame = result.to_frame()
    assert list(frame["side"]) == ["tail", "head", "tail"]
    assert list(frame["head"]) == ["anna", "eva", "eva"]
    assert list(frame["query_index"]) == [0, 1, 1]
    assert math.isclose(sum(1 / rank for rank in frame["rank"]) / 3, result.metrics.mrr)


def test_the_same_key_is_the_same_job_and_another_request_under_it_is_refused(speaker: Client) -> None:
    first = speaker.submit("test", idempotency_key="epoch-7")
    assert speaker.submit("test", idempotency_key="epoch-7").id == first.id
    with pytest.raises(InvalidRequestError):
        speaker.submit("valid", idempotency_key="epoch-7")
    assert speaker.wait(first.id).job.id == first.id


def test_a_job_that_has_ended_keeps_its_results_when_it_is_cancelled(speaker: Client) -> None:
    job = speaker.evaluate("test", limit=1).job
    assert speaker.cancel_job(job.id).state == "done"
    assert speaker.wait(job.id).job == speaker.job(job.id)
    with pytest.raises(NotFoundError):
        speaker.job("no-such-job")


def test_a_deleted_job_is_gone(speaker: Client) -> None:
    job = speaker.evaluate("test", limit=1).job
    assert speaker.delete_job(job.id) is None
    with pytest.raises(NotFoundError):
        speaker.job(job.id)
    with pytest.raises(NotFoundError):
        speaker.delete_job(job.id)


def test_the_asynchronous_client_evaluates_too(server: RunningServer, speaker: Client) -> None:
    async def evaluated() -> float:
        async with AsyncClient(server.url) as opened:
            return (await opened.evaluate("test", seed=3)).metrics.mrr

    assert asyncio.run(evaluated()) == speaker.evaluate("test", seed=3).metrics.mrr


def test_an_evaluation_brings_the_proofs_of_chosen_triples_by_the_policy_that_ranked(
    speaker: Client, family: Dataset, family_folder: Path, tmp_path: Path
) -> None:
    chosen = [family.names(triple) for triple in family.splits["test"][:2]]
    folder = write_untrained_policy(tmp_path / "epoch", family_folder, seed=8)
    try:
        uploaded = speaker.upload_policy("epoch-8", folder)  # not the live one
        result = speaker.evaluate("test", policy=uploaded, side="tail", proofs_of=chosen)
        assert list(result.proofs) == chosen
        scores = {(one.head, one.relation, one.tail): one for one in result.rankings}
        for triple, proof in result.proofs.items():
            assert (proof.head, proof.relation, proof.tail) == triple
            assert (proof.score, proof.proved) == (scores[triple].score, scores[triple].proved)
            assert proof.proof.startswith(f"{triple[1]}({triple[0]}, {triple[2]})")
        assert speaker.evaluate("test").proofs == {}
    finally:
        speaker.delete_policy("epoch-8")


def test_a_policy_is_uploaded_activated_and_deleted(
    speaker: Client, family_folder: Path, tmp_path: Path
) -> None:
    folder = write_untrained_policy(tmp_path / "epoch", family_folder, seed=9)
    (before,) = (policy.name for policy in speaker.policies() if policy.active)
    try:
        uploaded = speaker.upload_policy("epoch-9", folder, activate=True)
        assert uploaded.active
        assert uploaded.name == "epoch-9"
        ranked_by = speaker.rank([("anna", "ancestor", "Zoë")]).policy
        assert (ranked_by.name, ranked_by.sha256) == (uploaded.name, uploaded.sha256)
        with pytest.raises(ConflictError):
            speaker.delete_policy("epoch-9")
    finally:
        assert speaker.activate(before).active
    assert speaker.evaluate("test", policy="epoch-9").job.policy.sha256 == uploaded.sha256
    speaker.delete_policy("epoch-9")
    assert "epoch-9" not in {policy.name for policy in speaker.policies()}


def test_a_policy_that_cannot_be_one_is_refused_with_the_reason(speaker: Client, tmp_path: Path) -> None:
    for name in ("policy.safetensors", "policy.json", "vocab.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidRequestError, match="vocabulary"):
        speaker.upload_policy("broken", tmp_path)

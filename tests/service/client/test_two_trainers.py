"""Two trainers share a server, and each job is ranked by the policy that its own trainer has just uploaded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.service.client import (
    AsyncClient,
    Client,
    ConflictError,
    InvalidRequestError,
    JobResult,
    Retries,
    StoredPolicy,
)
from proofrank.service.jobs.submission import write_body
from proofrank.service.wire import JobRequest
from tests.helpers.family import write_untrained_policy
from tests.helpers.serving import RunningServer

_NAMES = ("trainer-a", "trainer-b")
_EPOCHS = 3


@dataclass(frozen=True)
class Checkpoint:
    """A policy that a trainer uploads.

    Attributes:
        folder: folder of its files.
        sha256: hash of its content.
        log_probabilities: log-probabilities of the positives of the test split, when no one else uses the server.
    """

    folder: Path
    sha256: str
    log_probabilities: tuple[float, ...]


def log_probabilities(result: JobResult) -> tuple[float, ...]:
    return tuple(ranking.log_probability for ranking in result.rankings)


@pytest.fixture(scope="module")
def server(serve_arguments: list[str]) -> Iterator[RunningServer]:
    """A server whose live policy these tests change."""
    with RunningServer(*serve_arguments) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def checkpoints(
    server: RunningServer, family: Dataset, family_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Checkpoint]]:
    """The checkpoints of each trainer; no two are equal."""
    made: dict[str, list[Checkpoint]] = {}
    with Client(server.url) as client:
        for seed in range(len(_NAMES) * _EPOCHS):
            folder = write_untrained_policy(
                tmp_path_factory.mktemp("epochs") / "epoch", family_folder, seed + 10
            )
            client.upload_policy("alone", folder)
            alone = client.evaluate("test", policy="alone", corruptions=1)
            checkpoint = Checkpoint(
                folder, load_policy(folder, family).content_hash, log_probabilities(alone)
            )
            made.setdefault(_NAMES[seed % len(_NAMES)], []).append(checkpoint)
    everything = [checkpoint.log_probabilities for own in made.values() for checkpoint in own]
    assert len(set(everything)) == len(everything), "ranks by different policies must be told apart"
    return made


def assert_ranked_by(checkpoint: Checkpoint, uploaded: StoredPolicy, result: JobResult) -> None:
    assert uploaded.sha256 == checkpoint.sha256
    assert (result.job.policy.name, result.job.policy.sha256) == (uploaded.name, uploaded.sha256)
    assert log_probabilities(result) == checkpoint.log_probabilities


def train(url: str, name: str, own: Sequence[Checkpoint], num_epochs: int, wrong: list[str]) -> None:
    """Uploads and evaluates one checkpoint after the other, and notes what went wrong."""
    with Client(url, retries=Retries(total_seconds=300)) as client:
        for epoch in range(num_epochs):
            checkpoint = own[epoch % len(own)]
            try:
                uploaded = client.upload_policy(name, checkpoint.folder, activate=True)
                result = client.evaluate("test", policy=uploaded, corruptions=1, progress=False)
                assert_ranked_by(checkpoint, uploaded, result)
            except Exception as error:
                wrong.append(f"{name}, epoch {epoch}: {error!r}")


@pytest.mark.parametrize("num_jobs", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_two_trainers_at_once_are_each_ranked_by_their_own_policy(
    server: RunningServer, checkpoints: dict[str, list[Checkpoint]], num_jobs: int
) -> None:
    wrong: list[str] = []
    trainers = [
        threading.Thread(target=train, args=(server.url, name, own, num_jobs // 2, wrong))
        for name, own in checkpoints.items()
    ]
    for trainer in trainers:
        trainer.start()
    for trainer in trainers:
        trainer.join()
    assert wrong == []


def test_a_job_is_ranked_by_its_upload_though_another_trainer_has_activated_since(
    server: RunningServer, checkpoints: dict[str, list[Checkpoint]]
) -> None:
    (first, second) = (own[0] for own in checkpoints.values())
    with Client(server.url) as client:
        uploaded = client.upload_policy(_NAMES[0], first.folder, activate=True)
        client.upload_policy(_NAMES[1], second.folder, activate=True)
        result = client.evaluate("test", policy=uploaded, corruptions=1)
        assert_ranked_by(first, uploaded, result)
        # What a result says of its policy pins another job to it.
        assert_ranked_by(first, uploaded, client.evaluate("test", policy=result.job.policy, corruptions=1))


def test_the_asynchronous_client_pins_a_job_too(
    server: RunningServer, checkpoints: dict[str, list[Checkpoint]]
) -> None:
    async def run(client: AsyncClient, name: str, own: Sequence[Checkpoint]) -> None:
        for checkpoint in own:
            uploaded = await client.upload_policy(name, checkpoint.folder, activate=True)
            result = await client.evaluate("test", policy=uploaded, corruptions=1, progress=False)
            assert_ranked_by(checkpoint, uploaded, result)

    async def both() -> None:
        async with AsyncClient(server.url) as client:
            await asyncio.gather(*(run(client, name, own) for name, own in checkpoints.items()))

    asyncio.run(both())


def test_two_trainers_with_one_name_are_told_so_in_place_of_a_wrong_mrr(
    server: RunningServer, checkpoints: dict[str, list[Checkpoint]]
) -> None:
    (first, second) = (own[0] for own in checkpoints.values())
    with Client(server.url, retries=Retries(total_seconds=0)) as client:
        mine = client.upload_policy("shared", first.folder, activate=True)
        theirs = client.upload_policy("shared", second.folder, activate=True)
        with pytest.raises(ConflictError, match=f"'shared' has the content {theirs.sha256}") as raised:
            client.evaluate("test", policy=mine, corruptions=1)
        assert raised.value.status == 409
        assert_ranked_by(second, theirs, client.evaluate("test", policy=theirs, corruptions=1))


def test_a_hash_without_the_name_of_a_policy_is_refused(server: RunningServer) -> None:
    answer = server.client.post("/jobs", json={"split": "test", "policy_sha256": "0" * 64})
    assert answer.status_code == 422
    assert "name that too" in answer.json()["detail"]


def test_what_is_no_hash_is_refused_where_it_is_made(server: RunningServer) -> None:
    with Client(server.url) as client, pytest.raises(InvalidRequestError, match="policy_sha256"):
        client.submit("test", policy=StoredPolicy("x", "no hash", True, 1, created="2026-01-01T00:00:00Z"))  # pyright: ignore[reportArgumentType]


def test_a_key_that_was_used_before_the_hash_existed_finds_its_job() -> None:
    body = JobRequest.model_validate({"split": "test", "corruptions": 7, "policy": "p"})
    # As stored by version 0.1, with the key of the request.
    assert write_body(body).sha256 == "a3a3b72f6b9bd86b7b4dff3a3f19691bbc72dbfc0f35195c18bab96a28249d2b"

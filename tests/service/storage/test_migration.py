"""A data folder of an earlier version is read by this one, with all that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proofrank.service.client import Client
from tests.helpers.serving import RunningServer
from tests.helpers.write_data_folder import restore

FOLDER_OF_0_2 = Path(__file__).parent / "data_folder_0_2"


@pytest.fixture(scope="module")
def server(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on a folder of version 0.2."""
    data = restore(FOLDER_OF_0_2, tmp_path_factory.mktemp("old") / "data")
    (configured,) = (
        folder
        for folder in (data / "policies").iterdir()
        if folder.name.startswith("04fbdb0c")  # that of the setting
    )
    arguments = ["--dataset", str(family_folder), "--policy", str(configured), "--engine", "original"]
    with RunningServer(*arguments, "--data-folder", str(data)) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


def test_policies_of_an_earlier_version_are_there_and_the_same_one_is_live(client: Client) -> None:
    policies = {policy.name: policy for policy in client.policies()}
    assert {"a", "epoch-1", "epoch-2"} <= set(policies)
    assert [name for name, policy in policies.items() if policy.active] == ["epoch-2"]
    assert {(policy.run, policy.step, len(policy.labels)) for policy in policies.values()} == {
        (None, None, 0)
    }
    assert client.runs() == ()


def test_a_policy_of_an_earlier_version_can_be_given_a_run(client: Client, tmp_path: Path) -> None:
    (folder,) = (FOLDER_OF_0_2 / "policies").glob("c1547270*")  # the content of epoch-1
    before = {policy.name: policy for policy in client.policies()}["epoch-1"]
    placed = client.upload_policy("epoch-1", folder, run="old", step=1)
    assert (placed.sha256, placed.created) == (before.sha256, before.created)
    job = client.evaluate("test", policy=placed, corruptions=2, progress=False).job
    assert (job.run, job.step) == ("old", 1)
    (step,) = client.run("old").steps
    assert [found.id for found in step.jobs] == [job.id]


def test_jobs_of_an_earlier_version_keep_their_results_and_an_unfinished_one_is_finished(
    server: RunningServer, client: Client
) -> None:
    unfinished, by_key, of_split = server.client.get("/jobs").json()["jobs"][-3:]
    assert all(job["run"] is None and job["labels"] == {} for job in (unfinished, by_key, of_split))
    result = client.wait(of_split["id"], progress=False)
    assert [(ranking.head, ranking.side, ranking.rank) for ranking in result.rankings[:2]] == [
        ("anna", "head", 7.0),
        ("anna", "tail", 3.0),
    ]
    assert result.metrics.mrr == of_split["metrics"]["mrr"]
    done = client.wait(unfinished["id"], progress=False)
    assert (len(done.rankings), done.job.policy.name) == (12, "epoch-1")
    again = client.submit([("anna", "ancestor", "Zoë")], corruptions=3, idempotency_key="first")
    assert again.id == by_key["id"]

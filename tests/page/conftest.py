"""A server with a training run of three steps that a browser looks at, and the browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from proofrank.client import Client
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.service.client import Job
from proofrank.service.wire import Identity
from tests.helpers.browser import Browser, open_browser
from tests.helpers.family import write_family, write_untrained_policy
from tests.helpers.large_jobs import write_jobs
from tests.helpers.serving import RunningServer

RUN = "training"


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_family(tmp_path_factory.mktemp("data") / "family")
    (folder / "train_depths.txt").write_text("ancestor(anna,cara) 2\nancestor(eva,00260881) 2\n")
    return folder


@pytest.fixture(scope="session")
def family(family_folder: Path) -> Dataset:
    return load_dataset(family_folder)


@pytest.fixture(scope="session")
def policy_folder(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained_policy(tmp_path_factory.mktemp("policies") / "start", family_folder)


@pytest.fixture(scope="session")
def step_policy(family: Dataset, policy_folder: Path) -> Callable[[int], Policy]:
    """A function that returns the policy of a step: other weights at each."""

    def make(step: int) -> Policy:
        policy = load_policy(policy_folder, family)
        generator = torch.Generator().manual_seed(step)
        with torch.no_grad():
            for parameter in policy.network.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
            policy.network.embedding.predicates[0] = 0
            policy.network.embedding.arguments[0] = 0
        return policy

    return make


@dataclass(frozen=True)
class Trained:
    """A server, and the jobs of the steps of a run, in order."""

    server: RunningServer
    jobs: tuple[Job, ...]


@pytest.fixture(scope="session")
def trained(
    family_folder: Path, policy_folder: Path, step_policy: Callable[[int], Policy]
) -> Iterator[Trained]:
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]
    with RunningServer(*arguments) as running, Client(running.wait_until_ready().url) as client:
        jobs = []
        for step in range(3):
            pushed = client.push(RUN, step_policy(step), step=step, name=f"{RUN}-{step}")
            jobs.append(client.evaluate("train", policy=pushed, corruptions="all", progress=False).job)
        yield Trained(running, tuple(jobs))


@pytest.fixture
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


NUM_QUERIES = 5500
"""Number of triples of the large test split; with both sides, 11,000 rankings."""


@pytest.fixture(scope="session")
def large(
    family_folder: Path,
    policy_folder: Path,
    step_policy: Callable[[int], Policy],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Trained]:
    """A server with two jobs of 11,000 rankings each."""
    data_folder = tmp_path_factory.mktemp("large")
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]
    arguments += ["--data-folder", str(data_folder)]
    with RunningServer(*arguments) as running, Client(running.wait_until_ready().url) as client:
        pushed = [
            client.push("large", step_policy(step), step=step, name=f"large-{step}") for step in range(2)
        ]
        dataset = client.info().dataset
    policies = [Identity(policy.name, policy.sha256) for policy in pushed]
    ids = write_jobs(data_folder, policies, Identity(dataset["name"], dataset["sha256"]), NUM_QUERIES)
    with RunningServer(*arguments) as running, Client(running.wait_until_ready().url) as client:
        yield Trained(running, tuple(client.job(job_id) for job_id in ids))

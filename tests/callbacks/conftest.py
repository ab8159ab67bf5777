"""The family, a policy whose network changes as in a training, and a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import proofrank
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, PolicyNetwork, load_policy
from tests.helpers.family import write_family, write_untrained_policy
from tests.helpers.serving import RunningServer

Train = Callable[[PolicyNetwork, int], None]


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("data") / "family")


@pytest.fixture(scope="session")
def family(family_folder: Path) -> Dataset:
    return load_dataset(family_folder)


@pytest.fixture(scope="session")
def policy_folder(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained_policy(tmp_path_factory.mktemp("policies") / "start", family_folder)


@pytest.fixture
def policy(family: Dataset, policy_folder: Path) -> Policy:
    return load_policy(policy_folder, family)


@pytest.fixture
def report(family: Dataset, policy: Policy) -> proofrank.EvaluationReport:
    """Some evaluation."""
    return proofrank.evaluate(family, policy, split="valid", corruptions=1)


@pytest.fixture
def train() -> Train:
    """Changes a network as an epoch would: other weights after each, the same ones in each run."""

    def train(network: PolicyNetwork, step: int) -> None:
        generator = torch.Generator().manual_seed(step)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if "norm" not in name:
                    parameter.add_(0.4 * torch.randn(parameter.shape, generator=generator))
                if name.startswith("embedding."):
                    parameter[0] = 0

    return train


@pytest.fixture(scope="session")
def server_arguments(family_folder: Path, policy_folder: Path) -> list[str]:
    return ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]


@pytest.fixture(scope="session")
def server(server_arguments: list[str]) -> Iterator[RunningServer]:
    with RunningServer(*server_arguments) as running:
        yield running.wait_until_ready()

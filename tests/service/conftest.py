"""Fixtures of the service's tests: the family, its policy, and servers of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.prover import ProverSettings
from tests.helpers.family import write_family, write_untrained_policy
from tests.helpers.limits import MAX_BODY_BYTES, MAX_CANDIDATES, MAX_PROOFS, MAX_QUERIES
from tests.helpers.serving import RunningServer


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset folder."""
    return write_family(tmp_path_factory.mktemp("data") / "family")


@pytest.fixture(scope="session")
def policy_folder(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint folder."""
    return write_untrained_policy(tmp_path_factory.mktemp("policies") / "untrained", family_folder)


@pytest.fixture(scope="session")
def family(family_folder: Path) -> Dataset:
    """The dataset, loaded in this process."""
    return load_dataset(family_folder)


@pytest.fixture(scope="session")
def reference(family: Dataset, policy_folder: Path) -> ReferenceEvaluator:
    """The reference, in this process, under the settings that the policy was saved with."""
    return ReferenceEvaluator(family, load_policy(policy_folder, family), ProverSettings())


@pytest.fixture(scope="session")
def serve_arguments(family_folder: Path, policy_folder: Path) -> list[str]:
    """The arguments that make ``proofrank serve`` serve the family, with limits that a test can reach."""
    return [
        *("--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"),
        *("--max-queries", str(MAX_QUERIES), "--max-candidates", str(MAX_CANDIDATES)),
        *("--max-proofs", str(MAX_PROOFS), "--max-body-bytes", str(MAX_BODY_BYTES)),
    ]


@pytest.fixture(scope="session")
def server(serve_arguments: list[str]) -> Iterator[RunningServer]:
    """A server that is ready, for all tests that leave it running; it begins as a user's does."""
    with RunningServer(*serve_arguments, is_fresh=True) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="session")
def client(server: RunningServer) -> httpx.Client:
    """Speaks to that server."""
    return server.client


@pytest.fixture
def evaluate_arguments(family_folder: Path, policy_folder: Path) -> list[str]:
    """``proofrank evaluate`` on the family, with the engine that needs no time to start."""
    options = {"--dataset": family_folder, "--policy": policy_folder, "--engine": "original"}
    return ["evaluate", *(str(part) for option in options.items() for part in option)]


@pytest.fixture
def bulk_arguments(evaluate_arguments: list[str]) -> list[str]:
    """``proofrank evaluate`` of 9 queries on two sides, whose ``--json`` is the same each time."""
    return [
        *evaluate_arguments,
        *("--split", "train", "--corruptions", "4", "--seed", "3", "--ties", "random", "--without-seconds"),
        *("--pruning", "none"),  # a run that is gone on with does not know what was left out before
    ]

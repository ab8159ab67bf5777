"""A short test of the service on a real Ray Serve: two rankers without GPUs on the graph in the package."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray.serve", reason="needs Ray Serve: pip install 'proofrank[ray]'")

from benchmarks.common import random_policy
from proofrank.core.default import DATASET, POLICY
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy, save_policy
from proofrank.core.prover import ProverSettings
from tests.helpers.answers import without_time
from tests.helpers.ray_application import RayApplication, asking
from tests.helpers.serving import RunningServer
from tests.helpers.uploads import files_of
from tests.helpers.waiting import wait_until

QUERIES = [
    {"head": "albania", "relation": "locatedInCR", "tail": "europe"},
    {"head": "argentina", "relation": "locatedInCR", "tail": "americas"},
]
REQUEST = {"queries": QUERIES, "side": "tail", "corruptions": "all", "return_candidates": True}
LEASE_SECONDS = 3.0


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[RayApplication, dict[str, Any]]]:
    """The application, and the answer of a single server; both start at once."""
    with RayApplication({}, lease_seconds=LEASE_SECONDS) as application, RunningServer() as server:
        expected = server.wait_until_ready().client.post("/rank", json=REQUEST).json()
        application.wait_until_ready(num_rankers=2)
        yield application, expected


@pytest.fixture(scope="module")
def application(running: tuple[RayApplication, dict[str, Any]]) -> RayApplication:
    return running[0]


@pytest.fixture(scope="module")
def expected(running: tuple[RayApplication, dict[str, Any]]) -> dict[str, Any]:
    return running[1]


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with other weights."""
    folder = tmp_path_factory.mktemp("policies") / "other"
    dataset = load_dataset(DATASET)
    policy = load_policy(POLICY, dataset)
    other = random_policy(dataset, policy, seed=1)
    save_policy(folder, other.network, dataset.vocabulary, policy.settings or ProverSettings())
    return folder


def test_every_ranker_ranks_as_one_server_does(application: RayApplication, expected: dict[str, Any]) -> None:
    def have_both_ranked() -> bool:
        answer = application.client.post("/rank", json=REQUEST).json()
        assert without_time(answer["queries"]) == without_time(expected["queries"])
        assert without_time(answer["metrics"]) == without_time(expected["metrics"])
        assert (answer["dataset"], answer["policy"]) == (expected["dataset"], expected["policy"])
        ranked = application.by_replica("proofrank_queries_total")
        return sum(ranked[name] > 0 for name in application.ready_rankers()) == 2

    wait_until(have_both_ranked, "queries that each ranker has ranked")


def test_once_an_activation_has_returned_no_ranker_answers_by_the_policy_before(
    application: RayApplication, other_folder: Path
) -> None:
    with asking(application.url, REQUEST, num_clients=3) as asked:
        time.sleep(0.5)
        answer = application.client.put("/policies/other?activate=true", files=files_of(other_folder))
        returned = time.monotonic()
        time.sleep(1.0)

    assert answer.status_code == 201
    assert {answer.status for answer in asked} == {200}
    assert {answer.policy for answer in asked} == {"policy", "other"}
    assert {answer.policy for answer in asked if answer.sent > returned} == {"other"}


def test_requests_go_on_when_a_ranker_is_killed(application: RayApplication) -> None:
    with asking(application.url, REQUEST, num_clients=3) as asked:
        time.sleep(0.5)
        application.ranker_processes()[0].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        time.sleep(2.0)

    assert {answer.status for answer in asked} <= {200, 503}
    assert any(answer.status == 200 for answer in asked if answer.sent > killed + 0.5)

"""The service on Ray Serve answers like one server, whichever replica answers, dies, comes or goes."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray.serve", reason="needs Ray Serve: pip install 'proofrank[ray]'")

from tests.helpers.answers import without_time
from tests.helpers.family import write_untrained_policy
from tests.helpers.job_client import ended, get, many_queries, results, submit
from tests.helpers.ray_application import RayApplication, asking
from tests.helpers.serving import RunningServer
from tests.helpers.uploads import files_of
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.slow

QUERIES = [
    {"head": "anna", "relation": "ancestor", "tail": "Zoë"},
    {"head": "george.1", "relation": "ancestor", "tail": "cara"},
]
REQUEST = {"queries": QUERIES, "corruptions": "all", "return_candidates": True, "return_proof": True}
LEASE_SECONDS = 4.0
SECONDS_TO_FOLLOW = 2.0
"""Limit on the time of an activation when all replicas can be reached; shorter than a lease."""


@pytest.fixture(scope="module")
def settings(family_folder: Path, policy_folder: Path) -> dict[str, Any]:
    """Settings of both services that are compared."""
    return {
        "dataset": str(family_folder),
        "policy": str(policy_folder),
        "engine": "eager",
        "device": "cpu",
        "threads": 1,
    }


@pytest.fixture(scope="module")
def application(
    settings: dict[str, Any], policy_folder: Path, other_folder: Path
) -> Iterator[RayApplication]:
    """A service of two rankers, with two policies to choose from."""
    with RayApplication(settings, lease_seconds=LEASE_SECONDS) as running:
        running.wait_until_ready(num_rankers=2)
        for name, folder in (("first", policy_folder), ("second", other_folder)):
            assert running.client.put(f"/policies/{name}", files=files_of(folder)).status_code == 201
        yield running


@pytest.fixture(scope="module")
def other_folder(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with other weights."""
    return write_untrained_policy(tmp_path_factory.mktemp("policies") / "other", family_folder, seed=1)


def activate(application: RayApplication, name: str) -> float:
    """Activates a policy; returns the time of the answer by ``time.monotonic()``."""
    assert application.client.post(f"/policies/{name}/activate").status_code == 200
    return time.monotonic()


def test_ranks_scores_and_proofs_are_those_of_one_server_from_every_replica(
    application: RayApplication, settings: dict[str, Any]
) -> None:
    activate(application, "first")
    flags = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    with RunningServer(*flags) as server:
        expected = server.wait_until_ready().client.post("/rank", json=REQUEST).json()
    before = application.by_replica("proofrank_queries_total")

    with asking(application.url, REQUEST):
        answers = [application.client.post("/rank", json=REQUEST).json() for _ in range(20)]

    for answer in answers:
        assert without_time(answer["queries"]) == without_time(expected["queries"])
        assert without_time(answer["metrics"]) == without_time(expected["metrics"])
        assert answer["policy"]["sha256"] == expected["policy"]["sha256"]
    rankers = application.ready_rankers()
    assert len(rankers) == 2

    def have_all_ranked() -> bool:
        after = application.by_replica("proofrank_queries_total")
        return all(after[name] > before[name] for name in rankers)

    wait_until(have_all_ranked, "queries that every ranker has ranked", patience=LEASE_SECONDS)


def test_no_answer_is_by_the_policy_before_once_an_activation_has_returned(
    application: RayApplication,
) -> None:
    activate(application, "first")
    activations: list[tuple[float, float, str]] = [(0.0, time.monotonic(), "first")]

    with asking(application.url, REQUEST) as asked:
        for name in ("second", "first") * 4:
            time.sleep(0.3)
            began = time.monotonic()
            activations.append((began, activate(application, name), name))
            assert activations[-1][1] - began < SECONDS_TO_FOLLOW
        time.sleep(0.3)

    assert {answer.status for answer in asked} == {200}
    assert len(asked) > 50
    # Answers may be by a policy from when its activation begins until the next one has returned.
    gone = [returned for _, returned, _ in activations[1:]] + [float("inf")]
    for answer in asked:
        assert answer.policy in {
            name
            for (began, _, name), next_returned in zip(activations, gone, strict=True)
            if began <= answer.received and answer.sent <= next_returned
        }


def test_a_replica_that_hangs_does_not_answer_by_the_policy_before_nor_keep_the_metrics_of_others(
    application: RayApplication,
) -> None:
    activate(application, "first")
    frozen = application.ranker_processes()[0]
    wait_until(lambda: len(application.ready_rankers()) == 2, "both rankers")
    frozen.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        returned = activate(application, "second")
        asked_for_metrics = time.monotonic()
        assert len(application.ready_rankers()) == 1
        assert time.monotonic() - asked_for_metrics < 1.0
    finally:
        frozen.send_signal(signal.SIGCONT)

    # Not before the end of its lease, until which it might have answered.
    assert SECONDS_TO_FOLLOW < returned - began < LEASE_SECONDS + SECONDS_TO_FOLLOW
    with asking(application.url, REQUEST) as asked:
        time.sleep(2.0)
    assert {answer.policy for answer in asked if answer.status == 200} == {"second"}
    assert {answer.status for answer in asked} <= {200, 503}


def test_a_job_is_done_and_its_mrr_is_that_of_a_request(application: RayApplication) -> None:
    activate(application, "first")
    job = application.client.post("/jobs", json={"split": "test", "corruptions": "all"}).json()

    def has_ended() -> bool:
        job.update(application.client.get(f"/jobs/{job['id']}").json())
        return job["state"] not in ("queued", "running")

    wait_until(has_ended, "the end of the job")

    triples = [("anna", "ancestor", "Zoë"), ("george.1", "ancestor", "cara"), ("eva", "parent", "Zoë")]
    queries = [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in triples]
    ranked = application.client.post("/rank", json={"queries": queries, "corruptions": "all"}).json()
    assert job["state"] == "done"
    assert job["metrics"]["mrr"] == ranked["metrics"]["mrr"]


def test_no_request_is_lost_when_a_replica_is_killed_and_the_next_one_ranks_by_the_live_policy(
    application: RayApplication,
) -> None:
    activate(application, "second")
    # A replica that the previous test stopped is ready again once it has renewed its lease.
    wait_until(lambda: len(application.ready_rankers()) == 2, "both rankers")
    before = application.ready_rankers()

    with asking(application.url, REQUEST) as asked:
        time.sleep(1.0)
        application.ranker_processes()[0].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda: set(application.ready_rankers()) - set(before), "another ranker")
        time.sleep(1.0)

    assert {answer.status for answer in asked} <= {200, 503}
    assert any(answer.sent < killed < answer.received for answer in asked)
    assert {answer.policy for answer in asked if answer.status == 200} == {"second"}
    (new,) = set(application.ready_rankers()) - set(before)
    assert application.live_policies()[new] == "second"


def test_ranking_goes_on_while_the_coordinator_is_replaced_and_policies_and_jobs_are_there_again(
    application: RayApplication,
) -> None:
    activate(application, "second")
    body = {"queries": many_queries(240), "corruptions": 4, "seed": 3, "ties": "random", "pruning": "none"}
    (coordinator,) = application.coordinator_processes()
    job_id = submit(application.client, **body)["id"]
    wait_until(lambda: done_of(application, job_id) > 0, "the first chunk of the job")

    with asking(application.url, REQUEST) as asked:
        done_before = done_of(application, job_id)
        coordinator.send_signal(signal.SIGKILL)
        wait_until(
            lambda: (
                [process for process in application.coordinator_processes() if process.pid != coordinator.pid]
                and application.is_ready()
            ),
            "another coordinator",
        )

    assert {answer.status for answer in asked} <= {200, 503}
    assert {answer.policy for answer in asked if answer.status == 200} == {"second"}
    assert application.client.get("/policies").json()["active"] == "second"
    assert 0 < done_before < len(body["queries"]), "the job was done before the kill; not much of a test"
    assert done_of(application, job_id) >= done_before
    job, undisturbed = (
        ended(application.client, each) for each in (job_id, submit(application.client, **body)["id"])
    )
    assert job["state"] == undisturbed["state"] == "done", job
    assert without_time(job["metrics"]) == without_time(undisturbed["metrics"])
    rankings = [results(application.client, each["id"])["rankings"] for each in (job, undisturbed)]
    assert rankings[0] == rankings[1]
    assert activate(application, "first")


def done_of(application: RayApplication, job_id: str) -> int:
    """Returns the number of the job's queries that are done and stored."""
    return int(get(application.client, job_id)["progress"]["queries_done"])


def test_rankers_come_with_the_load_and_go_after_it_and_the_metrics_show_it(
    settings: dict[str, Any],
) -> None:
    scaling = {
        "autoscaling_config": {
            "min_replicas": 1,
            "max_replicas": 2,
            "target_ongoing_requests": 1,
            "upscale_delay_s": 1,
            "downscale_delay_s": 3,
            "metrics_interval_s": 0.5,
            "look_back_period_s": 2,
        }
    }
    with RayApplication(settings, ranker=scaling) as application:
        application.wait_until_ready()
        assert len(application.ready_rankers()) == 1
        with asking(application.url, REQUEST) as asked:
            wait_until(lambda: len(application.ready_rankers()) == 2, "a second ranker")
        wait_until(lambda: len(application.ready_rankers()) == 1, "only one ranker again")

        assert {answer.status for answer in asked} == {200}
        assert application.client.post("/rank", json=REQUEST).status_code == 200

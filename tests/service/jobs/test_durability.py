"""A job survives a kill, a stop or a full disk of its server, and ends with the same numbers."""

from __future__ import annotations

import random
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.answers import without_time
from tests.helpers.job_client import ended, get, many_queries, results, submit, with_progress
from tests.helpers.serving import RunningServer

OPTIONS = {"corruptions": 4, "seed": 3, "ties": "random"}


def run_undisturbed(client: httpx.Client, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the metrics and results of a job that runs without interruption."""
    job = ended(client, submit(client, **body)["id"])
    return without_time(job["metrics"]), results(client, job["id"])


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_job_that_is_killed_at_random_moments_ends_with_the_numbers_of_an_undisturbed_run(
    serve_arguments: list[str], tmp_path: Path, kills: int
) -> None:
    body = {"queries": many_queries(250 + 200 * kills), **OPTIONS}
    headers = {"Idempotency-Key": "the-one"}
    moments = random.Random()  # a failure shows the moments in its message
    waited: list[float] = []
    job_id, done = "", 0
    arguments = [*serve_arguments, "--data-folder", str(tmp_path), "--max-body-bytes", str(2**20)]
    for kill in range(kills + 1):
        with RunningServer(*arguments) as server:
            client = server.wait_until_ready().client
            answer = client.post("/jobs", json=body, headers=headers)
            assert answer.is_success, answer.text
            if not kill:
                job_id = answer.json()["id"]
            assert (answer.status_code, answer.json()["id"]) == (200 if kill else 202, job_id), waited
            # What the server reported before the kill still holds after it.
            assert get(client, job_id)["progress"]["queries_done"] >= done, waited
            if kill < kills:
                waited.append(moments.uniform(0, 0.4))
                time.sleep(waited[-1])
                done = get(client, job_id)["progress"]["queries_done"]
                server.send(signal.SIGKILL)
                server.wait()
                continue
            assert done < len(body["queries"]), f"done before the last kill; not much of a test: {waited}"
            job = ended(client, job_id)
            assert job["state"] == "done", (job, waited)
            metrics, undisturbed = run_undisturbed(client, **body)
            assert without_time(job["metrics"]) == metrics, waited
            assert results(client, job_id)["rankings"] == undisturbed["rankings"], waited
            # What was left out before a kill is counted too, and nothing of it changes a rank.
            assert job["pruning"] == undisturbed["job"]["pruning"], waited
            assert job["pruning"]["unprovable"] > 0
            metrics, whole = run_undisturbed(client, **body, pruning="none")
            assert without_time(job["metrics"]) == metrics, waited
            assert whole["rankings"] == undisturbed["rankings"]
            assert job["progress"]["candidates_done"] == job["progress"]["candidates"], waited


def test_a_server_that_is_stopped_leaves_its_jobs_to_the_next(
    serve_arguments: list[str], tmp_path: Path
) -> None:
    with RunningServer(*serve_arguments, "--data-folder", str(tmp_path)) as server:
        client = server.wait_until_ready().client
        running = submit(client, queries=many_queries(350), pruning="none", **OPTIONS)["id"]
        waiting = submit(client, split="test", **OPTIONS)["id"]
        told: list[str] = []

        def watch() -> None:
            with client.stream("GET", f"/jobs/{running}/events") as stream:
                told.extend(stream.iter_lines())

        watcher = threading.Thread(target=watch)
        watcher.start()
        with_progress(client, running)
        began = time.monotonic()
        server.send(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - began < 10, "watchers must not delay the stop of the server"
        watcher.join(10)
        assert told
        assert "event: end" not in told
        assert "Traceback" not in server.log
    with RunningServer(*serve_arguments, "--data-folder", str(tmp_path)) as server:
        client = server.wait_until_ready().client
        assert ended(client, running)["progress"]["queries_done"] == 350
        assert ended(client, waiting)["state"] == "done"
        assert get(client, running)["finished"] <= get(client, waiting)["started"]


@pytest.fixture
def full_disk(serve_arguments: list[str], tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose limit on the size of files is 1 byte, so that it cannot write any file."""
    with RunningServer(*serve_arguments, "--data-folder", str(tmp_path)) as server:
        yield server.wait_until_ready()


def allow_file_size(server: RunningServer, size: int) -> None:
    """Sets the limit on the size of files that the server's process may write."""
    _, hard = resource.prlimit(server.process_id, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process_id, resource.RLIMIT_FSIZE, (size, hard))


def test_without_room_jobs_wait_and_say_why_and_go_on_once_there_is_some(full_disk: RunningServer) -> None:
    client = full_disk.client
    body = {"queries": many_queries(100), "pruning": "none", **OPTIONS}
    job_id = submit(client, **body)["id"]
    with_progress(client, job_id)
    allow_file_size(full_disk, 1)
    while (job := get(client, job_id))["error"] is None:
        assert job["state"] == "running"
        time.sleep(0.02)
    assert "the data folder cannot be written" in job["error"]
    assert job["state"] == "running"
    refused = client.post("/jobs", json={"split": "test"})
    assert refused.status_code == 507
    assert refused.headers["content-type"] == "application/problem+json"
    assert "the data folder cannot be written" in refused.json()["detail"]
    assert client.delete(f"/jobs/{job_id}").status_code == 507
    # Everything that needs no room works.
    assert client.get("/healthz").status_code == 200
    assert client.post("/rank", json={"queries": body["queries"][:1]}).status_code == 200
    assert results(client, job_id)["rankings"][-1]["query_index"] == job["progress"]["queries_done"] - 1

    allow_file_size(full_disk, resource.RLIM_INFINITY)
    job = ended(client, job_id)
    assert (job["state"], job["error"]) == ("done", None)
    metrics, undisturbed = run_undisturbed(client, **body)
    assert without_time(job["metrics"]) == metrics
    assert results(client, job_id)["rankings"] == undisturbed["rankings"]

"""The service from its start to its end: readiness by stages, signals, failures to start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.helpers.serving import RunningServer, run_command

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}


@pytest.fixture
def held_policy(policy_folder: Path, tmp_path: Path) -> tuple[Path, bytes]:
    """A checkpoint whose ``policy.json`` is a pipe: loading waits there until somebody writes into it.

    Returns:
        The folder, and what to write.
    """
    folder = tmp_path / "held"
    shutil.copytree(policy_folder, folder)
    content = (folder / "policy.json").read_bytes()
    (folder / "policy.json").unlink()
    os.mkfifo(folder / "policy.json")
    return folder, content


def test_until_it_is_warm_the_service_is_alive_but_not_ready_and_says_at_which_stage_it_is(
    family_folder: Path, held_policy: tuple[Path, bytes]
) -> None:
    folder, content = held_policy
    with RunningServer("--dataset", str(family_folder), "--policy", str(folder)) as server:
        client = server.wait_until_listening().client
        while client.get("/readyz").json()["stage"] != "load policy":
            time.sleep(0.01)
        readiness = client.get("/readyz")
        assert readiness.status_code == 503
        assert readiness.json()["ready"] is False
        assert readiness.json()["seconds"] >= 0
        assert client.get("/healthz").json() == {"status": "ok"}
        assert "proofrank_ready 0.0" in client.get("/metrics").text
        for refused in (client.post("/rank", json={"queries": [QUERY]}), client.get("/info")):
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["detail"] == "not ready: load policy"

        (folder / "policy.json").write_bytes(content)
        server.wait_until_ready()
        assert client.get("/readyz").json()["stage"] == "ready"
        assert "proofrank_ready 1.0" in client.get("/metrics").text
        assert client.post("/rank", json={"queries": [QUERY]}).status_code == 200


def test_a_job_is_found_by_its_key_while_the_service_starts(
    family_folder: Path, policy_folder: Path, held_policy: tuple[Path, bytes], tmp_path: Path
) -> None:
    arguments = [
        "--dataset",
        str(family_folder),
        "--data-folder",
        str(tmp_path / "data"),
        "--engine",
        "original",
    ]
    body, headers = {"split": "test"}, {"Idempotency-Key": "epoch-7"}
    with RunningServer(*arguments, "--policy", str(policy_folder)) as server:
        job_id = server.wait_until_ready().client.post("/jobs", json=body, headers=headers).json()["id"]
    folder, content = held_policy
    with RunningServer(*arguments, "--policy", str(folder)) as server:
        client = server.wait_until_listening().client
        while client.get("/readyz").json()["stage"] != "load policy":
            time.sleep(0.01)
        again = client.post("/jobs", json=body, headers=headers)
        assert (again.status_code, again.json()["id"]) == (200, job_id)
        assert client.post("/jobs", json=body).status_code == 503
        (folder / "policy.json").write_bytes(content)


def test_a_terminated_server_closes_what_is_idle_finishes_what_runs_and_exits_with_0(
    serve_arguments: list[str],
) -> None:
    body = json.dumps({"queries": [QUERY]}).encode()
    with RunningServer(*serve_arguments) as server:
        server.wait_until_ready()
        url = httpx.URL(server.url)
        address = (url.host, url.port or 0)
        with (
            server.unfinished_request("/rank", body) as connection,
            socket.create_connection(address) as idle,
        ):
            server.send(signal.SIGTERM)
            while "Shutting down" not in server.log:
                time.sleep(0.01)
            assert idle.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            connection.sendall(body)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"mrr"' in answer
        assert server.wait() == 0
        assert "draining" in server.log


def test_a_server_that_drains_takes_no_new_work_on_any_connection_and_finishes_what_had_begun(
    serve_arguments: list[str],
) -> None:
    body = {"queries": [QUERY]}
    written = json.dumps(body).encode()
    with RunningServer(*serve_arguments, "--drain-seconds", "60") as server:
        server.wait_until_ready()
        with (
            server.unfinished_request("/rank", written) as connection,
            httpx.Client(trust_env=False) as newcomer,
        ):
            server.send(signal.SIGTERM)
            while (readiness := server.client.get("/readyz")).status_code == 200:
                time.sleep(0.01)
            assert readiness.json()["stage"] == "draining"
            url = f"{server.url}/rank"
            for refused in (server.client.post("/rank", json=body), newcomer.post(url, json=body)):
                assert refused.status_code == 503
                assert refused.headers["content-type"] == "application/problem+json"
                assert refused.headers["retry-after"] == "1"
                assert refused.json()["detail"] == "the server is stopping and takes no more work"
                assert refused.json()["request_id"] == refused.headers["x-request-id"]
            assert server.client.post("/jobs", json={"split": "test"}).status_code == 503
            assert server.client.get("/jobs").status_code == 200
            metrics = server.client.get("/metrics").text
            assert 'proofrank_rejected_requests_total{reason="draining"} 3.0' in metrics

            connection.sendall(written)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        server.send(signal.SIGTERM)
        assert server.wait() == 0


def test_a_server_that_has_drained_closes_by_itself(serve_arguments: list[str]) -> None:
    with RunningServer(*serve_arguments, "--drain-seconds", "0.5") as server:
        server.wait_until_ready()
        server.send(signal.SIGTERM)
        assert server.wait() == 0


def test_an_interrupted_server_exits_with_0(serve_arguments: list[str]) -> None:
    with RunningServer(*serve_arguments) as server:
        server.wait_until_ready()
        server.send(signal.SIGINT)
        assert server.wait() == 0


def test_a_server_that_is_terminated_while_it_starts_ends_with_its_grace_period_and_exits_with_0(
    family_folder: Path, held_policy: tuple[Path, bytes]
) -> None:
    folder, _ = held_policy
    arguments = ("--dataset", str(family_folder), "--policy", str(folder), "--grace-seconds", "1")
    with RunningServer(*arguments) as server:
        client = server.wait_until_listening().client
        while client.get("/readyz").json()["stage"] != "load policy":
            time.sleep(0.01)
        began = time.monotonic()

        server.send(signal.SIGTERM)

        assert server.wait() == 0
        assert time.monotonic() - began < 60
        assert "Traceback" not in server.log


def test_a_policy_of_another_graph_ends_the_server_with_2_and_says_what_differs(
    policy_folder: Path, family_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(family_folder, other)
    with (other / "train.txt").open("a", encoding="utf-8") as file:
        file.write("parent(anna,newborn).\n")
    ended = run_command("serve", "--port", "0", "--dataset", str(other), "--policy", str(policy_folder))
    assert ended.returncode == 2
    assert f"cannot start: --policy is '{policy_folder}': " in ended.stderr
    assert "the policy lacks 1 constant ('newborn') of the graph" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_setting_out_of_its_range_ends_the_server_before_it_starts(serve_arguments: list[str]) -> None:
    ended = run_command("serve", *serve_arguments, environment={"PROOFRANK_MAX_DEPTH": "0"})
    assert ended.returncode == 2
    assert ended.stderr.startswith("proofrank: PROOFRANK_MAX_DEPTH in the environment is '0': ")

"""Requests that share a server: deadlines, clients that go away, a grace period that ends, many at once."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.helpers.queues import LARGE, SMALL, queued, send_large, wait_for_queue
from tests.helpers.serving import RunningServer


@pytest.fixture(scope="module")
def arguments(family_folder: Path, policy_folder: Path) -> list[str]:
    return [
        *("--dataset", str(family_folder), "--policy", str(policy_folder), "--threads", "1"),
        *("--max-queued-candidates", "1000000", "--grace-seconds", "1"),
    ]


@pytest.fixture(scope="module")
def sharing_server(arguments: list[str]) -> Iterator[RunningServer]:
    with RunningServer(*arguments) as running:
        yield running.wait_until_ready()


def test_at_its_deadline_a_request_is_answered_by_504_and_its_lanes_are_free(
    sharing_server: RunningServer,
) -> None:
    client = sharing_server.client

    answer = client.post("/rank", json={**LARGE, "deadline_ms": 300})

    assert answer.status_code == 504
    assert answer.headers["content-type"] == "application/problem+json"
    assert "the deadline has passed" in answer.json()["detail"]
    assert queued(client) == 0
    assert client.post("/rank", json=SMALL).status_code == 200


@pytest.mark.parametrize("deadline", [0, -1, 1.5, "soon"])
def test_a_deadline_that_is_none_is_refused(sharing_server: RunningServer, deadline: object) -> None:
    answer = sharing_server.client.post("/rank", json={**SMALL, "deadline_ms": deadline})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "deadline_ms"


def test_a_client_that_goes_away_frees_its_lanes(sharing_server: RunningServer) -> None:
    client = sharing_server.client
    connection = send_large(sharing_server.url)
    wait_for_queue(client, is_empty=False)

    connection.close()

    wait_for_queue(client, is_empty=True)
    metrics = client.get("/metrics").text
    assert 'proofrank_request_duration_seconds_count{endpoint="/rank",status="499"}' in metrics
    assert client.post("/rank", json=SMALL).status_code == 200


@pytest.mark.parametrize("seconds_between", [0.0, 0.5])
def test_a_client_that_goes_frees_its_lanes_though_it_has_sent_another_request_behind_the_one_that_runs(
    sharing_server: RunningServer, seconds_between: float
) -> None:
    client = sharing_server.client
    behind = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection = send_large(sharing_server.url, behind=b"" if seconds_between else behind)
    wait_for_queue(client, is_empty=False)
    time.sleep(seconds_between)
    if seconds_between:
        connection.sendall(behind)

    connection.close()

    wait_for_queue(client, is_empty=True)


@pytest.mark.parametrize("seconds_between", [0.0, 0.01])
def test_a_request_that_comes_before_the_answer_to_the_one_before_is_not_answered_and_that_one_is(
    sharing_server: RunningServer, seconds_between: float
) -> None:
    url = httpx.URL(sharing_server.url)
    request = httpx.Request("POST", url.join("/rank"), json={**SMALL, "corruptions": "all"})
    head = f"POST /rank HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n"
    whole = f"{head}Content-Length: {len(request.content)}\r\n\r\n".encode() + request.content
    with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
        if seconds_between:
            connection.sendall(whole)
            time.sleep(seconds_between)
            connection.sendall(whole)
        else:
            connection.sendall(whole + whole)
        received = b""
        while piece := connection.recv(65536):
            received += piece

    first, _, rest = received.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200")
    assert json.loads(rest)["queries"]


def test_a_small_request_is_answered_while_a_large_one_runs(sharing_server: RunningServer) -> None:
    client = sharing_server.client
    alone = client.post("/rank", json=SMALL).json()
    with send_large(sharing_server.url):
        wait_for_queue(client, is_empty=False)

        beside = client.post("/rank", json=SMALL).json()

        assert queued(client) > 0
        assert beside["queries"] == alone["queries"]
    wait_for_queue(client, is_empty=True)


def test_five_hundred_clients_at_once_have_the_answer_that_one_has(sharing_server: RunningServer) -> None:
    expected = sharing_server.client.post("/rank", json=SMALL).json()

    async def ask_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=sharing_server.url, timeout=120, trust_env=False, limits=limits
        ) as client:
            return list(await asyncio.gather(*(client.post("/rank", json=SMALL) for _ in range(500))))

    answers = asyncio.run(ask_all())

    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        assert answer.json()["queries"] == expected["queries"]
        assert answer.json()["metrics"]["mrr"] == expected["metrics"]["mrr"]
    assert len({answer.json()["request_id"] for answer in answers}) == 500


def test_what_is_not_done_within_the_grace_period_is_answered_by_503_and_the_server_exits_with_0(
    arguments: list[str],
) -> None:
    with RunningServer(*arguments) as server:
        client = server.wait_until_ready().client
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{server.url}/rank", json=LARGE, timeout=60, trust_env=False)
            )
        )
        asking.start()
        wait_for_queue(client, is_empty=False)
        began = time.monotonic()

        server.send(signal.SIGTERM)

        assert server.wait() == 0
        assert time.monotonic() - began < 15
        asking.join()
        assert answers[0].status_code == 503
        assert answers[0].headers["retry-after"] == "1"
        assert "stopp" in answers[0].json()["detail"]

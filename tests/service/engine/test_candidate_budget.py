"""All requests together are bounded by the candidates not yet answered, and by the bytes of their bodies."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from proofrank.service.engine.candidate_budget import CandidateBudget
from proofrank.service.engine.throughput import Throughput
from proofrank.service.errors import BodiesFull, QueueFull
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.web.body_budget import BodyBudget
from proofrank.service.web.problems import problem_of
from tests.helpers.queues import LARGE, SMALL, send_large, wait_for_queue
from tests.helpers.serving import RunningServer

MAX_BODY_BYTES = 300_000
MAX_TOTAL_BODY_BYTES = 400_000
MAX_CANDIDATES = 70_000
"""More candidates than the large request has, and fewer than twice as many."""

REJECTED = "proofrank_rejected_requests_total"


@pytest.fixture(scope="module")
def server(family_folder: Path, policy_folder: Path) -> Iterator[RunningServer]:
    arguments = [
        *("--dataset", str(family_folder), "--policy", str(policy_folder), "--threads", "1"),
        *("--max-candidates", str(MAX_CANDIDATES), "--max-queued-candidates", str(MAX_CANDIDATES)),
        *("--max-body-bytes", str(MAX_BODY_BYTES), "--max-total-body-bytes", str(MAX_TOTAL_BODY_BYTES)),
    ]
    with RunningServer(*arguments) as running:
        yield running.wait_until_ready()


def padded(num_bytes: int) -> bytes:
    """Returns a small request in a body of ``num_bytes``."""
    return json.dumps(SMALL).encode().ljust(num_bytes)


def post(client: httpx.Client, body: bytes) -> httpx.Response:
    return client.post("/rank", content=body, headers={"content-type": "application/json"})


def wait_until_asked_for(server: RunningServer, num_bytes: int, status: HTTPStatus) -> None:
    """Returns once a body of ``num_bytes``, none of which is sent, is asked for (100) or refused (429)."""
    url = httpx.URL(server.url)
    head = f"POST /rank HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    ends = time.monotonic() + 300
    answer = b""
    while not answer.startswith(f"HTTP/1.1 {status} ".encode()):
        assert time.monotonic() < ends, answer
        with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
            connection.sendall(f"{head}Content-Length: {num_bytes}\r\n\r\n".encode())
            answer = connection.recv(65536)


def test_room_that_is_taken_is_there_again_when_it_is_given_back() -> None:
    room = CandidateBudget(10, ServiceMetrics(), Throughput())
    with room.taken(6):
        with pytest.raises(QueueFull) as refused, room.taken(6):
            pass
        with room.taken(4):
            pass
    with room.taken(10):
        pass

    assert problem_of(refused.value).status == HTTPStatus.TOO_MANY_REQUESTS
    assert problem_of(refused.value).headers == {"Retry-After": "1"}
    assert (
        "6 candidates are waiting or running and 6 more would be over the limit of 10" in refused.value.detail
    )


def test_bytes_that_are_refused_are_not_counted() -> None:
    budget = BodyBudget(10)
    budget.take(6)
    with pytest.raises(BodiesFull):
        budget.take(5)
    budget.take(4)
    budget.give_back(10)
    budget.take(10)


def test_candidates_over_what_there_is_room_for_are_refused_with_429_until_others_are_done(
    server: RunningServer,
) -> None:
    client = server.client
    with send_large(server.url):
        wait_for_queue(client, is_empty=False)

        refused = client.post("/rank", json=LARGE)

        assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
        assert int(refused.headers["retry-after"]) >= 1
        assert client.post("/rank", json=SMALL).status_code == HTTPStatus.OK
    wait_for_queue(client, is_empty=True)
    assert client.post("/rank", json={**LARGE, "deadline_ms": 300}).status_code == HTTPStatus.GATEWAY_TIMEOUT


@pytest.mark.parametrize("is_told_its_length", [True, False])
def test_bodies_that_would_be_too_much_together_are_refused_with_429_and_small_ones_are_not(
    server: RunningServer, is_told_its_length: bool
) -> None:
    client = server.client
    held = padded(MAX_BODY_BYTES)

    def pieces() -> Iterator[bytes]:
        yield padded(MAX_BODY_BYTES)

    another: Callable[[], bytes | Iterator[bytes]] = (lambda: held) if is_told_its_length else pieces
    with server.unfinished_request("/rank", held) as connection:
        connection.sendall(held[:-1])
        wait_until_asked_for(server, MAX_BODY_BYTES, HTTPStatus.TOO_MANY_REQUESTS)

        refused = client.post("/rank", content=another(), headers={"content-type": "application/json"})

        assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["retry-after"] == "1"
        assert str(MAX_TOTAL_BODY_BYTES) in refused.json()["detail"]
        assert post(client, padded(1000)).status_code == HTTPStatus.OK
        metrics = client.get("/metrics").text
        assert f'{REJECTED}{{reason="bodies_full"}} 0.0' not in metrics
        assert f'{REJECTED}{{reason="rate_limited"}} 0.0' in metrics
    # Its client has disconnected.
    wait_until_asked_for(server, MAX_BODY_BYTES, HTTPStatus.CONTINUE)
    assert post(client, held).status_code == HTTPStatus.OK

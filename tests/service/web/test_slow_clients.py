"""Clients that send or read too slowly, or vanish at any moment: others are answered meanwhile, and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import random
import re
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from proofrank.service.web.slow_clients import SlowClients
from tests.helpers.datasets import write_dataset
from tests.helpers.family import write_untrained_policy
from tests.helpers.serving import RunningServer

PATIENCE = 3
MAX_CONNECTIONS = 300
MOST_SECONDS = 5.0
"""In which a small request is answered whatever others do, on a machine that does other things as well."""

NAMES = [f"{letter * 700}" for letter in "abcdefgh"]
"""Long, so that few candidates make a large answer."""

QUERY = {"head": NAMES[0], "relation": "reaches", "tail": NAMES[1]}
SMALL: dict[str, Any] = {"queries": [QUERY]}
LARGE: dict[str, Any] = {"queries": [QUERY] * 1000, "corruptions": "all"}
BIG_ANSWER: dict[str, Any] = {"queries": [QUERY] * 400, "corruptions": "all", "return_candidates": True}
"""Some seven megabytes: more than the kernel keeps for a client that does not read."""

HEAD = b"POST /rank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    dataset = tmp_path_factory.mktemp("long") / "names"
    write_dataset(
        dataset,
        [f"next({first},{second})." for first, second in itertools.pairwise(NAMES)],
        ["reaches(X,Y) :- next(X,Y).", "reaches(X,Y) :- next(X,Z), reaches(Z,Y)."],
        valid=[f"reaches({NAMES[0]},{NAMES[1]})."],
        test=[f"reaches({NAMES[0]},{NAMES[2]})."],
    )
    policy = write_untrained_policy(dataset.parent / "policy", dataset)
    arguments = [
        *("--dataset", str(dataset), "--policy", str(policy), "--threads", "1"),
        *("--patience-seconds", str(PATIENCE), "--max-connections", str(MAX_CONNECTIONS)),
    ]
    with RunningServer(*arguments) as running:
        yield running.wait_until_ready()


def connect(server: RunningServer, receive_buffer: int | None = None) -> socket.socket:
    """A connection of a client of its own."""
    url = httpx.URL(server.url)
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(60)
    connection.connect((url.host, url.port or 0))
    return connection


def request_bytes(body: Any) -> bytes:
    """A whole request for ranks."""
    content = json.dumps(body).encode()
    return HEAD + f"Content-Length: {len(content)}\r\n\r\n".encode() + content


def wait_until_closed(connection: socket.socket) -> float:
    """Seconds until the server has closed the connection; what it sends before is thrown away."""
    began = time.monotonic()
    try:
        while connection.recv(2**20):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - began


def answers_soon(server: RunningServer) -> bool:
    """Whether a small request of somebody else is answered."""
    answer = httpx.post(f"{server.url}/rank", json=SMALL, timeout=MOST_SECONDS, trust_env=False)
    return answer.status_code == 200


def is_at_rest(client: httpx.Client) -> bool:
    """Whether no candidate waits or runs."""
    answer = client.get("/metrics")
    return answer.status_code == 200 and "\nproofrank_queued_candidates 0.0\n" in answer.text


def memory_and_files(server: RunningServer) -> tuple[int, int]:
    """Resident bytes and open files of the server."""
    status = Path(f"/proc/{server.process_id}/status").read_text(encoding="ascii")
    (resident,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
    return resident * 1024, len(list(Path(f"/proc/{server.process_id}/fd").iterdir()))


@pytest.mark.parametrize(
    "start",
    [
        b"POST /ra",
        HEAD,
        HEAD + b"Content-Length: 1000\r\n\r\n",
        HEAD + b"Content-Length: 16000000\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n",
    ],
    ids=["half a line", "no end of the head", "no body", "no body of many bytes", "no body of a size"],
)
def test_clients_that_send_a_byte_at_a_time_lose_their_connection_and_hold_up_nobody(
    server: RunningServer, start: bytes
) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(100)]
        for connection in connections:
            connection.sendall(start)
        dripping = threading.Thread(target=drip, args=(connections,))
        dripping.start()

        assert answers_soon(server)
        assert max(wait_until_closed(connection) for connection in connections) < PATIENCE + 3
        dripping.join()
    assert answers_soon(server)


def test_the_port_of_metrics_closes_connections_on_which_no_request_comes(serve_arguments: list[str]) -> None:
    arguments = (*serve_arguments, "--metrics-port", "0", "--patience-seconds", "1")
    with RunningServer(*arguments) as running:
        running.wait_until_listening()
        match = re.search(r"metrics and health on http://127.0.0.1:([0-9]+)", running.log)
        assert match is not None
        with socket.create_connection(("127.0.0.1", int(match[1])), timeout=MOST_SECONDS + 1) as connection:
            connection.sendall(b"GET /met")
            assert wait_until_closed(connection) < MOST_SECONDS


def drip(connections: list[socket.socket]) -> None:
    """Sends a byte on each now and then, until they are closed."""
    ends = time.monotonic() + PATIENCE + 1
    while time.monotonic() < ends:
        for connection in connections:
            try:
                connection.send(b"x")
            except OSError:
                return
        time.sleep(0.3)


def test_a_client_that_sends_its_body_slowly_but_steadily_is_answered(server: RunningServer) -> None:
    request = request_bytes({**SMALL, "queries": [QUERY] * 200})
    with connect(server) as connection:
        began = time.monotonic()
        for start in range(0, len(request), 2**12):
            connection.sendall(request[start : start + 2**12])
            if time.monotonic() - began < 2 * PATIENCE:
                time.sleep(0.1)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")

    assert time.monotonic() - began > 2 * PATIENCE


def test_clients_that_do_not_read_their_answers_lose_them_and_hold_up_nobody(server: RunningServer) -> None:
    with ExitStack() as stack:
        connections = []
        for _ in range(2):  # one after the other, for a connection on which nothing comes is closed
            connection = stack.enter_context(connect(server, receive_buffer=4096))
            connection.sendall(request_bytes(BIG_ANSWER))
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            connections.append(connection)

        assert answers_soon(server)
        time.sleep(PATIENCE + 2)
        received = [read_to_the_end(connection) for connection in connections]

    assert all(len(answer) < 6_000_000 for answer in received)


def test_candidates_count_until_their_answer_has_been_read(server: RunningServer) -> None:
    with connect(server, receive_buffer=4096) as connection:
        connection.sendall(request_bytes(BIG_ANSWER))
        assert connection.recv(100).startswith(b"HTTP/1.1 200")

        assert not is_at_rest(server.client)

    ends = time.monotonic() + 120
    while not is_at_rest(server.client):
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_nothing_is_kept_of_a_connection_that_ends_with_requests_that_never_began() -> None:
    """On uvicorn's own connections, which take several requests at once."""

    async def listen_for_ever(scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()

    async def serve() -> list[weakref.ref[Any]]:
        config = uvicorn.Config(listen_for_ever, lifespan="off")
        config.load()
        state, slow_clients = ServerState(), SlowClients(patience_seconds=60)
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(
            lambda: HttpToolsProtocol(config=config, server_state=state, app_state={}),
            "127.0.0.1",
            0,
        )
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        writer.write(request_bytes(SMALL) + HEAD + b"Content-Length: 1000\r\n\r\n")
        while not state.tasks:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        slow_clients.look(state.connections)  # pyright: ignore[reportArgumentType]
        seen = [weakref.ref(connection) for connection in state.connections]
        writer.transport.abort()
        while state.connections:
            await asyncio.sleep(0.01)
        for task in state.tasks:
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        listening.close()
        slow_clients.look([])
        del reader, writer
        await asyncio.sleep(0.1)
        gc.collect()
        return [connection for connection in seen if connection() is not None]

    assert not asyncio.run(asyncio.wait_for(serve(), 30))


def read_to_the_end(connection: socket.socket) -> bytes:
    received = bytearray()
    try:
        while piece := connection.recv(2**20):
            received += piece
    except ConnectionResetError:
        pass
    return bytes(received)


def test_a_client_that_reads_slowly_but_steadily_has_the_whole_answer(server: RunningServer) -> None:
    with connect(server, receive_buffer=4096) as connection:
        connection.sendall(request_bytes(BIG_ANSWER))
        received = bytearray(connection.recv(2**16))
        began = time.monotonic()
        head, _, _ = bytes(received).lower().partition(b"\r\n\r\n")
        length = len(head) + 4 + int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(received) < length and (piece := connection.recv(2**16)):
            received += piece
            if time.monotonic() - began < 3 * PATIENCE:
                time.sleep(0.05)

    assert time.monotonic() - began > 2 * PATIENCE
    assert len(json.loads(bytes(received).partition(b"\r\n\r\n")[2])["queries"]) == 400


def test_more_connections_than_allowed_are_refused_until_the_idle_ones_are_closed(
    server: RunningServer,
) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            stack.enter_context(connect(server))

        answer = httpx.post(f"{server.url}/rank", json=SMALL, timeout=MOST_SECONDS, trust_env=False)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["connection"] == "close"
        assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
        time.sleep(PATIENCE + 2)
        assert answers_soon(server)
        metrics = httpx.get(f"{server.url}/metrics", trust_env=False).text
    assert 'proofrank_rejected_requests_total{reason="connections_full"} 1.0' in metrics
    assert 'proofrank_rejected_requests_total{reason="not_ready"} 0.0' in metrics


@pytest.fixture
def narrow_server(serve_arguments: list[str]) -> Iterator[RunningServer]:
    """A server that may have three connections, and has none."""
    with RunningServer(*serve_arguments, "--max-connections", "3") as running:
        running.wait_until_ready().client.close()
        num_files = memory_and_files(running)[1]
        ends = time.monotonic() + 120
        while memory_and_files(running)[1] >= num_files and time.monotonic() < ends:
            time.sleep(0.01)
        yield running


def ask(connection: socket.socket, path: str) -> str:
    """The answer to a request that is the last on its connection."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return read_to_the_end(connection).decode()


def test_as_many_connections_as_allowed_are_served_and_with_one_more_only_those_that_watch(
    narrow_server: RunningServer,
) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connect(narrow_server))
        with connect(narrow_server) as third:
            assert ask(third, "/info").startswith("HTTP/1.1 200 ")
        stack.enter_context(connect(narrow_server))
        # The end of the one before may not have been seen yet; then there are five, and as many as that are too many.
        with connect(narrow_server) as fourth:
            assert ask(fourth, "/info").startswith("HTTP/1.1 503 ")
        for path in ("/healthz", "/readyz", "/metrics"):
            with connect(narrow_server) as watching:
                answer = ask(watching, path)
                assert answer.startswith("HTTP/1.1 200 "), path
    assert 'proofrank_rejected_requests_total{reason="connections_full"} 1.0' in answer


def test_whether_connections_are_too_many_is_decided_when_the_head_of_a_request_has_come(
    narrow_server: RunningServer,
) -> None:
    with ExitStack() as stack:
        *_, slow = [stack.enter_context(connect(narrow_server)) for _ in range(3)]
        slow.sendall(b"GET /info HTTP/1.1\r\nHost: local")
        time.sleep(0.2)
        fourth = stack.enter_context(connect(narrow_server))
        fourth.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert fourth.recv(2**16).startswith(b"HTTP/1.1 200 ")
        slow.sendall(b"host\r\n\r\n")
        assert slow.recv(2**16).startswith(b"HTTP/1.1 503 ")


@pytest.mark.slow
def test_five_hundred_clients_that_vanish_at_random_moments_leave_nothing_behind(
    server: RunningServer,
) -> None:
    def vanish(seed: int) -> None:
        chance = random.Random(seed)
        request = request_bytes(chance.choice([SMALL, LARGE, BIG_ANSWER]))
        cut = len(request) if chance.random() < 0.7 else chance.randrange(len(request))
        with connect(server) as connection:
            if chance.random() < 0.5:  # by a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(request[:cut])
            time.sleep(chance.random() * 0.2)

    def all_vanish(seeds: range) -> None:
        with ThreadPoolExecutor(40) as pool:
            list(pool.map(vanish, seeds))
        ends = time.monotonic() + 300
        # While the server has not noticed yet that they have gone, there may be too many connections for one more.
        while not is_at_rest(server.client):
            assert time.monotonic() < ends
            time.sleep(0.05)

    before = server.client.post("/rank", json=SMALL).json()["queries"]
    uses = []
    for seeds in (range(200), range(200, 700), range(700, 1200)):
        all_vanish(seeds)
        time.sleep(PATIENCE + 1)
        uses.append(memory_and_files(server))
    print("MiB and open files:", [(memory // 2**20, files) for memory, files in uses])

    assert server.client.post("/rank", json=SMALL).json()["queries"] == before
    assert "proofrank_evaluator_rebuilds_total 0.0" in server.client.get("/metrics").text
    assert "fault in request" not in server.log
    (memory, files), _, (memory_after, files_after) = uses
    assert files_after <= files + 5
    assert memory_after < memory + 64 * 2**20

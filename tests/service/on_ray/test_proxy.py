"""A request whose replica dies before its answer begins goes to another replica, or gets an answer that says what to
do.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from proofrank.service.on_ray.proxy import LostReplicaMiddleware
from tests.helpers.serving import REPOSITORY, clean_environment

BODY = b"x" * 100_000


class Replicas:
    """The replicas behind the middleware, as in Ray Serve's proxy: one that dies gives no answer.

    Attributes:
        bodies: body that each attempt has read.
    """

    def __init__(self, num_deaths: int) -> None:
        self._num_deaths = num_deaths
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        self.bodies.append(body)
        if len(self.bodies) > self._num_deaths:
            headers = {"X-Request-ID": "mine"}
            await PlainTextResponse("ranked", headers=headers)(scope, receive, send)


def ask(app: Callable[[Scope, Receive, Send], Awaitable[None]], method: str, path: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=LostReplicaMiddleware(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, content=BODY)

    return asyncio.run(send())


def test_a_request_for_ranks_goes_to_another_replica_with_its_whole_body() -> None:
    replicas = Replicas(num_deaths=1)

    answer = ask(replicas, "POST", "/rank")

    assert (answer.status_code, answer.text) == (200, "ranked")
    assert replicas.bodies == [BODY, BODY]


def test_where_every_replica_dies_the_answer_asks_to_come_again() -> None:
    replicas = Replicas(num_deaths=99)

    answer = ask(replicas, "POST", "/rank")

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "1"
    assert len(replicas.bodies) == 3


@pytest.mark.parametrize(("method", "path"), [("POST", "/jobs"), ("PUT", "/policies/mine")])
def test_what_may_not_be_done_twice_is_not_sent_again_and_not_said_to_be_refused(
    method: str, path: str
) -> None:
    replicas = Replicas(num_deaths=1)

    answer = ask(replicas, method, path)

    assert answer.status_code == 502
    assert answer.json()["title"] == "Bad Gateway"
    assert len(replicas.bodies) == 1


def test_an_answer_has_one_request_id() -> None:
    async def with_two(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_another(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"X-Request-ID", b"ray's")]
            await send(message)

        await Replicas(num_deaths=0)(scope, receive, send_with_another)

    assert ask(with_two, "POST", "/rank").headers.get_list("X-Request-ID") == ["mine"]


def test_a_proxy_does_not_load_torch_for_it() -> None:
    # Importing torch would take longer than Ray Serve waits for a proxy to start.
    code = "import sys, proofrank.service.on_ray.proxy as proxy; proxy.middlewares(); sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=clean_environment()).returncode == 0
    )

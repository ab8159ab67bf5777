"""The two clients: what does the sending and the waiting that the operations ask for."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import httpx

from proofrank.service.client import operations
from proofrank.service.client.connection import DEFAULT_URL, Connection, make_connection
from proofrank.service.client.requests import Call
from proofrank.service.client.retries import Retries
from proofrank.service.client.send_with_retries import Pause, Reply, Steps

if TYPE_CHECKING:
    from proofrank.service.client.results import IntervalJobResult, IntervalRankResult, JobResult, RankResult
    from proofrank.service.client.signatures import Evaluate, Rank

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    operation: Callable[Concatenate[Connection, P], Steps[T]],
) -> Callable[Concatenate[Client, P], T]:
    """The method of :class:`Client` that does ``operation``."""

    def method(self: Client, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(operation(self._connection, *args, **kwargs))

    _describe(method, operation)
    return method


def _awaited(
    operation: Callable[Concatenate[Connection, P], Steps[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """The method of :class:`AsyncClient` that does ``operation``."""

    async def method(self: AsyncClient, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(operation(self._connection, *args, **kwargs))

    _describe(method, operation)
    return method


def _describe(method: Callable[..., Any], operation: Callable[..., Any]) -> None:
    """Lets ``help`` show what a user of the method sees: no connection, and the answer instead of the steps to it."""
    functools.update_wrapper(method, operation)
    signature = inspect.signature(operation)
    _, *parameters = signature.parameters.values()
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    answer = str(signature.return_annotation).removeprefix("Steps[").removesuffix("]")
    described = signature.replace(parameters=[itself, *parameters], return_annotation=answer)
    vars(method)["__signature__"] = described


class Client:
    """Speaks to a server, and waits for its answers; a context manager that closes its connections.

    Several threads may share it.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = 600.0,
        retries: Retries | None = None,
    ) -> None:
        """Connects with the first request.

        Args:
            url: of the server.
            api_key: sent with every request; by default what the environment has as ``PROOFRANK_API_KEY``.
            timeout: seconds to wait for an answer to begin.
            retries: of requests that fail for a passing reason; for a minute by default.

        Raises:
            ClientError: the address or the key cannot be one.
        """
        self._connection = make_connection(url, api_key, timeout, retries or Retries())
        self._http = httpx.Client(
            base_url=self._connection.url,
            headers=self._connection.headers,
            auth=self._connection.login,
            timeout=self._connection.timeouts,
        )

    if TYPE_CHECKING:
        rank: Rank[RankResult, IntervalRankResult]
    else:
        rank = _blocking(operations.rank)
    why = _blocking(operations.why)
    sample = _blocking(operations.sample)
    if TYPE_CHECKING:
        evaluate: Evaluate[JobResult, IntervalJobResult]
    else:
        evaluate = _blocking(operations.evaluate)
    submit = _blocking(operations.submit)
    wait = _blocking(operations.wait)
    job = _blocking(operations.job)
    cancel_job = _blocking(operations.cancel_job)
    delete_job = _blocking(operations.delete_job)
    jobs = _blocking(operations.jobs)
    groups = _blocking(operations.groups)
    compare = _blocking(operations.compare)
    export = _blocking(operations.export)
    runs = _blocking(operations.runs)
    run = _blocking(operations.run)
    policies = _blocking(operations.policies)
    upload_policy = _blocking(operations.upload_policy)
    push = _blocking(operations.push)
    upload_checkpoint = _blocking(operations.upload_checkpoint)
    activate = _blocking(operations.activate)
    delete_policy = _blocking(operations.delete_policy)
    sleep = _blocking(operations.sleep)
    wake = _blocking(operations.wake)
    info = _blocking(operations.info)
    graph = _blocking(operations.graph)
    is_ready = _blocking(operations.is_ready)
    wait_until_ready = _blocking(operations.wait_until_ready)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        reply: Reply | None = None
        try:
            while True:
                step = steps.send(reply)
                reply = time.sleep(step.seconds) if isinstance(step, Pause) else self._send(step)
        except StopIteration as end:
            return end.value
        finally:
            steps.close()

    def _send(self, call: Call) -> Reply:
        with ExitStack() as opened:
            try:
                return self._http.request(call.method, call.path, **_arguments(call, opened))
            except httpx.RequestError as error:
                return error


class AsyncClient:
    """As :class:`Client`, with methods to be awaited; an asynchronous context manager."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = 600.0,
        retries: Retries | None = None,
    ) -> None:
        """As for :class:`Client`."""
        self._connection = make_connection(url, api_key, timeout, retries or Retries())
        self._http = httpx.AsyncClient(
            base_url=self._connection.url,
            headers=self._connection.headers,
            auth=self._connection.login,
            timeout=self._connection.timeouts,
        )

    if TYPE_CHECKING:
        rank: Rank[Coroutine[Any, Any, RankResult], Coroutine[Any, Any, IntervalRankResult]]
    else:
        rank = _awaited(operations.rank)
    why = _awaited(operations.why)
    sample = _awaited(operations.sample)
    if TYPE_CHECKING:
        evaluate: Evaluate[Coroutine[Any, Any, JobResult], Coroutine[Any, Any, IntervalJobResult]]
    else:
        evaluate = _awaited(operations.evaluate)
    submit = _awaited(operations.submit)
    wait = _awaited(operations.wait)
    job = _awaited(operations.job)
    cancel_job = _awaited(operations.cancel_job)
    delete_job = _awaited(operations.delete_job)
    jobs = _awaited(operations.jobs)
    groups = _awaited(operations.groups)
    compare = _awaited(operations.compare)
    export = _awaited(operations.export)
    runs = _awaited(operations.runs)
    run = _awaited(operations.run)
    policies = _awaited(operations.policies)
    upload_policy = _awaited(operations.upload_policy)
    push = _awaited(operations.push)
    upload_checkpoint = _awaited(operations.upload_checkpoint)
    activate = _awaited(operations.activate)
    delete_policy = _awaited(operations.delete_policy)
    sleep = _awaited(operations.sleep)
    wake = _awaited(operations.wake)
    info = _awaited(operations.info)
    graph = _awaited(operations.graph)
    is_ready = _awaited(operations.is_ready)
    wait_until_ready = _awaited(operations.wait_until_ready)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        reply: Reply | None = None
        try:
            while True:
                step = steps.send(reply)
                reply = (
                    await asyncio.sleep(step.seconds) if isinstance(step, Pause) else await self._send(step)
                )
        except StopIteration as end:
            return end.value
        finally:
            steps.close()

    async def _send(self, call: Call) -> Reply:
        with ExitStack() as opened:
            try:
                return await self._http.request(call.method, call.path, **_arguments(call, opened))
            except httpx.RequestError as error:
                return error


def _arguments(call: Call, opened: ExitStack) -> dict[str, Any]:
    """What httpx is to send for ``call``; its files are open until ``opened`` is closed."""
    arguments: dict[str, Any] = {"headers": dict(call.headers), "params": dict(call.parameters)}
    if call.body is not None:
        arguments["content"] = call.body
    if call.files:
        arguments["files"] = {
            part: (part, file)
            if isinstance(file, bytes)
            else (file.name, opened.enter_context(file.open("rb")))
            for part, file in call.files.items()
        }
    return arguments

"""What a failed request held is free at once, without the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message

from proofrank.core.ranking import Corruptor, Query, corrupted_queries
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.errors import DeadlinePassed
from proofrank.service.settings.settings import load_settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.web.client_disconnect import ClientGoneError, unless_client_goes


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Held:
    """What a request may hold."""


async def stays() -> Message:
    """The end of a connection that does not end."""
    await asyncio.Event().wait()
    raise AssertionError


async def goes() -> Message:
    """The end of a connection that has ended."""
    return {"type": "http.disconnect"}


def test_work_that_fails_keeps_nothing() -> None:
    held: list[weakref.ref[Held]] = []

    async def fail() -> None:
        large = Held()
        held.append(weakref.ref(large))
        await asyncio.sleep(0)
        raise ValueError(large)

    async def run() -> None:
        with pytest.raises(ValueError):
            await unless_client_goes(Request({"type": "http"}, stays), fail())

    asyncio.run(run())

    assert held[0]() is None


def test_work_for_a_client_that_has_gone_keeps_nothing() -> None:
    held: list[weakref.ref[Held]] = []

    async def wait() -> None:
        large = Held()
        held.append(weakref.ref(large))
        await asyncio.Event().wait()

    async def run() -> None:
        with pytest.raises(ClientGoneError):
            await unless_client_goes(Request({"type": "http"}, goes), wait())

    asyncio.run(run())

    assert held[0]() is None


def test_an_evaluation_that_is_late_keeps_neither_its_queries_nor_its_task(
    family_folder: Path, policy_folder: Path
) -> None:
    values = {"dataset": family_folder, "policy": policy_folder, "engine": "original"}
    host = EvaluatorHost(load_settings(values, environment={}), ServiceMetrics())

    async def be_late(held: list[weakref.ref[Query]]) -> None:
        dataset = host.loaded.dataset
        queries = corrupted_queries(list(dataset.splits["test"]) * 50, ("tail",), Corruptor(dataset))
        held.extend(weakref.ref(query) for query in queries)
        await host.rank(queries, 0, deadline=0.0)

    async def run() -> list[weakref.ref[Query]]:
        await host.start()
        held: list[weakref.ref[Query]] = []
        with pytest.raises(DeadlinePassed):
            await unless_client_goes(Request({"type": "http"}, stays), be_late(held))
        # The evaluator's thread lets go of the task when it next looks for more.
        ends = asyncio.get_running_loop().time() + 10
        while any(query() is not None for query in held) and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(0.01)
        await host.stop()
        return held

    held = asyncio.run(run())

    assert held
    assert all(query() is None for query in held)

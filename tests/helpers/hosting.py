"""A host of evaluators in the test's own process, on its own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proofrank.core.graph import Dataset
from proofrank.core.ranking import Corruptor, Query, corrupted_queries
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.lifecycle import READY
from proofrank.service.settings.settings import load_settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from tests.helpers.waiting import PATIENCE


@asynccontextmanager
async def hosting(dataset: Path, policy: Path, **options: Any) -> AsyncIterator[EvaluatorHost]:
    """Yields a host that is ready, and stops it."""
    values = {"dataset": dataset, "policy": policy, "engine": "original", "grace_seconds": 1.0, **options}
    host = EvaluatorHost(load_settings(values, environment={}), ServiceMetrics())
    await host.start()
    assert host.stage == READY, host.failure
    try:
        yield host
    finally:
        await host.stop()


def queries_of(dataset: Dataset) -> list[Query]:
    """Some queries."""
    return list(corrupted_queries(dataset.splits["test"], ("tail",), Corruptor(dataset)))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a test on an event loop."""

    async def within_patience() -> None:
        async with asyncio.timeout(PATIENCE):
            await test()

    asyncio.run(within_patience())

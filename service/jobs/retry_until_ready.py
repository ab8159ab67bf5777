"""Waits while the disk is full or the evaluator is not ready. A waiting job says why."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from proofrank.core.errors import MemoryShortError
from proofrank.service.errors import TryLater
from proofrank.service.jobs.job import Job
from proofrank.service.jobs.updates import JobUpdates

logger = logging.getLogger("proofrank")

Result = TypeVar("Result")

MOST_SECONDS_WITHOUT_MEMORY = 600.0
"""Maximum time that a job waits for memory, in seconds: jobs run one after the other, so the next ones wait too."""

_MOST_SECONDS_BETWEEN_ATTEMPTS = 60.0


class RetryUntilReady:
    """Retries what may succeed later.

    A full disk leaves no room to store why a job waits. The reason is kept in memory and shown with the job.
    """

    def __init__(self, updates: JobUpdates, retry_seconds: float) -> None:
        self._updates = updates
        self._retry_seconds = retry_seconds
        self._obstacles: dict[str, str] = {}

    def with_obstacle(self, job: Job) -> Job:
        """Returns the job, with what it waits for as its error."""
        obstacle = self._obstacles.get(job.id)
        return job if obstacle is None or job.is_finished else dataclasses.replace(job, error=obstacle)

    async def until_written(self, write: Callable[[], Awaitable[Result]], job: Job | None = None) -> Result:
        """Returns the result of ``write``, retried while the database cannot be written; ``job`` shows why it waits."""
        with self._waits_of(job) as show:
            while True:
                try:
                    return await write()
                except sqlite3.OperationalError as error:
                    logger.error("the data folder cannot be written: %s; trying again", error)
                    show(f"the data folder cannot be written: {error}")
                    await asyncio.sleep(self._retry_seconds)

    async def until_ready(self, make: Callable[[], Awaitable[Result]], job: Job | None = None) -> Result:
        """Returns the result of ``make``, retried while the service is not ready, is overloaded, or lacks memory for an
        evaluator; ``job`` shows why it waits.

        Raises:
            MemoryShortError: there was no memory for ``MOST_SECONDS_WITHOUT_MEMORY``.
        """
        without_memory_since: float | None = None
        with self._waits_of(job) as show:
            while True:
                try:
                    return await make()
                except TryLater as error:
                    reason, seconds = error.detail, float(error.retry_seconds)
                except MemoryShortError as error:
                    without_memory_since = without_memory_since or time.monotonic()
                    waited = time.monotonic() - without_memory_since
                    if waited >= MOST_SECONDS_WITHOUT_MEMORY:
                        raise
                    logger.warning("no evaluator for a job: %s; trying again", error)
                    # More and more seldom, because each attempt ends idle evaluators.
                    seconds = max(self._retry_seconds, min(waited, _MOST_SECONDS_BETWEEN_ATTEMPTS))
                    reason = str(error)
                show(reason)
                await asyncio.sleep(seconds)

    @contextmanager
    def _waits_of(self, job: Job | None) -> Iterator[Callable[[str], None]]:
        """Yields the function that shows with ``job``, if there is one, why it waits, while the context lasts."""
        if job is None:
            yield lambda _: None
            return

        def show(reason: str) -> None:
            obstacle = f"{reason}; the job waits and will continue"
            if self._obstacles.get(job.id) != obstacle:
                self._obstacles[job.id] = obstacle
                self._updates.publish(self.with_obstacle(job))

        try:
            yield show
        finally:
            self._obstacles.pop(job.id, None)

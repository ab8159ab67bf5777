"""Waits while the disk is full or the evaluator is not ready. A waiting job says why."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TypeVar

from proofrank.core.errors import MemoryShortError
from proofrank.service.errors import TryLater
from proofrank.service.jobs.job import Job
from proofrank.service.jobs.updates import JobUpdates

logger = logging.getLogger("proofrank")

Result = TypeVar("Result")


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
        try:
            while True:
                try:
                    return await write()
                except sqlite3.OperationalError as error:
                    logger.error("the data folder cannot be written: %s; trying again", error)
                    if job is not None:
                        self._obstacles[job.id] = (
                            f"the data folder cannot be written: {error}; the job waits and will continue"
                        )
                        self._updates.publish(self.with_obstacle(job))
                    await asyncio.sleep(self._retry_seconds)
        finally:
            if job is not None:
                self._obstacles.pop(job.id, None)

    async def until_ready(self, make: Callable[[], Awaitable[Result]], job: Job | None = None) -> Result:
        """Returns the result of ``make``, retried while the service is not ready, is overloaded, or lacks memory for an
        evaluator; ``job`` shows why it waits.
        """
        try:
            while True:
                try:
                    return await make()
                except TryLater as error:
                    reason, seconds = error.detail, float(error.retry_seconds)
                except MemoryShortError as error:
                    logger.warning("no evaluator for a job: %s; trying again", error)
                    reason, seconds = str(error), self._retry_seconds
                if job is not None:
                    self._obstacles[job.id] = f"{reason}; the job waits and will continue"
                await asyncio.sleep(seconds)
        finally:
            if job is not None:
                self._obstacles.pop(job.id, None)

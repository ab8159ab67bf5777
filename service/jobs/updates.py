"""Tells watchers of every change of a job. Each change is encoded once, however many watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import cached_property
from typing import Any

import anyio

from proofrank.service.jobs.job import Job
from proofrank.service.jobs.to_response import job_answer
from proofrank.service.wire import answer_to_json


class Update:
    """A job at one moment."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def json(self) -> str:
        """The job as clients receive it."""
        return answer_to_json(job_answer(self.job)).decode()


class _Topic:
    """A watched job: its last update, and an event for the next."""

    def __init__(self) -> None:
        self.num_watchers = 0
        self.latest: Update | None = None
        self.changed = asyncio.Event()

    def set(self, job: Job) -> None:
        """Makes ``job`` the latest update."""
        self.latest = Update(job)
        self.changed.set()
        self.changed = asyncio.Event()


class JobUpdates:
    """The watched jobs; all methods are called on one event loop."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}

    def publish(self, job: Job) -> None:
        """Tells the job's watchers its new state."""
        topic = self._topics.get(job.id)
        if topic is not None:
            topic.set(job)

    async def follow(
        self, job_id: str, read: Callable[[str], Awaitable[Job | None]], until: anyio.Event
    ) -> AsyncIterator[Update]:
        """Yields the job, and again after each change, until it ends or ``until`` is set; nothing if there is no job.

        A slow watcher misses the changes in between.

        Args:
            job_id: id of the job.
            read: reads the stored job; called for the first watcher.
            until: event that is set when the server stops.
        """
        topic = self._topics.setdefault(job_id, _Topic())
        topic.num_watchers += 1
        try:
            if topic.latest is None:
                job = await read(job_id)
                # What was published meanwhile is newer than what was read.
                if topic.latest is None and job is not None:
                    topic.set(job)
            shown: Update | None = None
            while topic.latest is not None and not until.is_set():
                changed = topic.changed
                if topic.latest is shown:
                    await _first(changed.wait(), until.wait())
                    continue
                shown = topic.latest
                yield shown
                if shown.job.is_finished:
                    return
        finally:
            topic.num_watchers -= 1
            if not topic.num_watchers:
                del self._topics[job_id]


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Returns when the first of ``waits`` returns, and cancels the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()

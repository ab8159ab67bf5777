"""Tells those who watch jobs of every change, at the cost of one encoding a change however many watch."""

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
    """A job as it was at one moment."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def json(self) -> str:
        """The job as clients get it."""
        return answer_to_json(job_answer(self.job)).decode()


class _Topic:
    """One job that is watched: its last update, and how to wait for the next."""

    def __init__(self) -> None:
        self.num_watchers = 0
        self.latest: Update | None = None
        self.changed = asyncio.Event()

    def set(self, job: Job) -> None:
        """Has ``job`` as the latest."""
        self.latest = Update(job)
        self.changed.set()
        self.changed = asyncio.Event()


class JobUpdates:
    """Jobs that are watched; all methods are called on one event loop."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}

    def publish(self, job: Job) -> None:
        """Tells whoever watches the job how it is now."""
        topic = self._topics.get(job.id)
        if topic is not None:
            topic.set(job)

    async def follow(
        self, job_id: str, read: Callable[[str], Awaitable[Job | None]], until: anyio.Event
    ) -> AsyncIterator[Update]:
        """The job as it is, and after each change, until it ends or ``until`` is set; nothing where there is none.

        A watcher that is slow misses what came between.

        Args:
            job_id: of the job.
            read: gives the job as it is stored, for the first who watches it.
            until: is set when the server stops.
        """
        topic = self._topics.setdefault(job_id, _Topic())
        topic.num_watchers += 1
        try:
            if topic.latest is None:
                job = await read(job_id)
                # What has been published meanwhile is newer than what was read.
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
    """Returns when one of ``waits`` does, and lets the others be."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()

"""Runs the jobs of a store, one at a time in the order of submission.

Only the database knows the state of a job. The runner takes the next one from there and resumes after its last stored
chunk. It drops a job that was cancelled or removed there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable

from proofrank.service.errors import JobRemovedError, ServiceError
from proofrank.service.jobs.job import Change, Job, JobError
from proofrank.service.jobs.run import JobContext, JobRun
from proofrank.service.jobs.tolerance_run import ToleranceRun
from proofrank.service.jobs.updates import JobUpdates
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.wire import JobOptions

logger = logging.getLogger("proofrank")

_DAY_SECONDS = 86_400.0
_FAULT_SECONDS = 5.0


class JobRunner:
    """Runs jobs from :meth:`start` to :meth:`stop`."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._has_work = asyncio.Event()
        self._current: tuple[Job, asyncio.Task[None]] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopped = False

    def start(self) -> None:
        """Starts with what an earlier server left unfinished; does nothing if the server is already stopping."""
        if not self._is_stopped:
            self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._sweep_daily())]

    def wake(self) -> None:
        """Tells the runner that a job was submitted."""
        self._has_work.set()

    def interrupt(self, job: Job) -> None:
        """Stops ranking a job that was cancelled, or removed before its end."""
        if self._current is not None and self._current[0].id == job.id:
            self._current[1].cancel()

    async def stop(self) -> None:
        """Abandons the chunk in progress; the next server resumes the job from the last stored chunk."""
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        patience, store = self._context.patience, self._context.store
        while True:
            try:
                await patience.until_written(store.requeue_running)
                while True:
                    self._has_work.clear()
                    job = await patience.until_written(store.begin_next)
                    if job is None:
                        await self._has_work.wait()
                    else:
                        await self._run(job)
            except Exception:
                # Whatever the fault was, later jobs must not wait for ever.
                logger.exception("fault in the runner of jobs")
                await asyncio.sleep(_FAULT_SECONDS)

    async def _run(self, job: Job) -> None:
        """Runs one job as a separate task, so that it can be interrupted alone."""
        task = asyncio.create_task(self._run_to_its_end(job))
        self._current = (job, task)
        try:
            await asyncio.wait([task])
        finally:
            self._current = None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run_to_its_end(self, job: Job) -> None:
        logger.info("job %s begins: %d of %d queries are done", job.id, job.queries_done, job.num_queries)
        try:
            is_to_tolerance = JobOptions.model_validate_json(job.options_json).mrr_tolerance is not None
            await (ToleranceRun if is_to_tolerance else JobRun)(job, self._context).run()
        except JobRemovedError as error:
            logger.info("%s while it ran", error)
        except (JobError, ServiceError) as error:
            await self._fail(job, str(error))
        except Exception:
            logger.exception("fault in job %s", job.id)
            await self._fail(job, "a fault of the server; it has been logged")
        else:
            logger.info("job %s has ended", job.id)

    async def _fail(self, job: Job, error: str) -> None:
        store, patience = self._context.store, self._context.patience
        # A job that was cancelled or removed meanwhile has not failed.
        if await patience.until_written(lambda: store.end(job, "failed", error), job) is not None:
            logger.error("job %s failed: %s", job.id, error)

    async def _sweep_daily(self) -> None:
        settings = self._context.settings
        while True:
            try:
                num = await self._context.store.sweep(settings.job_retention_days, settings.max_ended_jobs)
                logger.info("removed %d ended jobs", num)
            except sqlite3.Error:
                logger.exception("ended jobs cannot be removed")
            await asyncio.sleep(_DAY_SECONDS)


def change_listener(updates: JobUpdates, metrics: ServiceMetrics) -> Callable[[Change], None]:
    """Makes the function that a store calls with each change: it updates the metrics and tells watchers."""

    def on_change(change: Change) -> None:
        for state, number in change.counts.items():
            metrics.jobs.labels(state).set(number)
        if change.job is not None:
            updates.publish(change.job)

    return on_change

"""The run of a job with ``mrr_tolerance``: until the MRR is certain enough, or on from what an earlier run has stored.

What is stored is a state of the whole job rather than whole queries, for the work goes to whichever rankings narrow the
interval most.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import numpy as np

from proofrank.core.errors import EmbeddingError, EvaluationError, RankingError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidates
from proofrank.core.ranking import RankedSoFar, Refinement
from proofrank.service.engine.ranker import NO_ENGINE
from proofrank.service.engine.refining import refine
from proofrank.service.errors import ServiceError
from proofrank.service.jobs.chunks import JobChunks
from proofrank.service.jobs.interval_rows import IntervalProgress
from proofrank.service.jobs.job import Job, JobError
from proofrank.service.jobs.refinement_file import UnreadableStateError, origin_of, read_state, write_state
from proofrank.service.jobs.run import ATTEMPTS, JobContext, JobRun
from proofrank.service.ranking.to_intervals import rank_intervals, to_interval_report
from proofrank.service.ranking.to_queries import beam_of
from proofrank.service.scheduler import Finished
from proofrank.service.telemetry.metrics import Kind
from proofrank.service.wire import IntervalReport, JobRankInterval, answer_to_json, read_answer

logger = logging.getLogger("proofrank")

_SECONDS_BETWEEN_STORES = 1.0
"""Time between two stores of the state at least, in seconds: what a kill of the server loses at most."""

_SHARE_OF_STORES = 0.1
"""Largest share of the time that storing the state of a large job takes."""


class _NoLongerRunningError(Exception):
    """The job was cancelled or removed."""


class ToleranceRun(JobRun):
    """The run of one job."""

    def __init__(self, job: Job, context: JobContext) -> None:
        super().__init__(job, context)
        assert self._options.mrr_tolerance is not None
        self._tolerance = self._options.mrr_tolerance
        self._next_store = 0.0
        self._stored: RankedSoFar | None = None
        self._num_failures = 0
        self._names: list[tuple[str, str, str]] = []

    async def _rank(self, job: Job, work: JobChunks, policy: Policy, dataset: Dataset) -> None:
        patience, host = self._context.patience, self._context.host

        async def make() -> Refinement:
            return await asyncio.to_thread(
                Refinement,
                None,
                work,
                host.completions,
                level=self._options.pruning_level,
                ties=self._options.ties,
                seed=self._options.seed,
                scoring=self._scoring,
            )

        refinement = await patience.until_ready(make, job)
        origin = origin_of(self._context.settings, self._engine or NO_ENGINE, job.prover_json)
        await self._go_on(job, refinement, origin)

        async def store(*, is_end: bool = False) -> None:
            if not is_end and time.monotonic() < self._next_store:
                return
            began = time.monotonic()
            progress = await asyncio.to_thread(self._progress, refinement, dataset, origin, is_end)
            running = await patience.until_written(
                lambda: self._context.store.add_intervals(job, progress), job
            )
            if running is None:
                raise _NoLongerRunningError
            self._context.metrics.job_chunks.inc()
            took = time.monotonic() - began
            self._next_store = time.monotonic() + max(_SECONDS_BETWEEN_STORES, took / _SHARE_OF_STORES)

        async def on_part() -> None:
            self._num_failures = 0
            await store()

        try:
            await self._refine(job, refinement, policy, on_part)
            await store(is_end=True)
        except _NoLongerRunningError:
            return
        ended = await patience.until_written(lambda: self._context.store.end(job, "done"), job)
        if ended is not None:
            self._count_done(ended)

    def _check_prover(self, job: Job, prover_json: str) -> None:
        """Does nothing: what another prover has found out is not taken in, and the job starts anew."""

    async def _go_on(self, job: Job, refinement: Refinement, origin: str) -> None:
        """Takes in what an earlier run has stored, if candidates still get the same bits."""
        stored = await self._context.store.refinement_state(job)
        if stored is None:
            return
        if stored[0] != origin:
            logger.warning(
                "job %s starts anew: it was begun with %s, and now there is %s", job.id, stored[0], origin
            )
            return
        try:
            state = await asyncio.to_thread(read_state, stored[1])
            await asyncio.to_thread(refinement.go_on_from, state)
        except (UnreadableStateError, RankingError) as error:
            logger.warning("job %s starts anew: %s", job.id, error)
        else:
            logger.info("job %s goes on with %d candidates decided", job.id, refinement.num_decided)

    async def _refine(
        self, job: Job, refinement: Refinement, policy: Policy, on_part: Callable[[], Awaitable[None]]
    ) -> None:
        """Goes on until the MRR is certain enough, also after failures of the evaluator."""
        host, patience = self._context.host, self._context.patience

        async def prove(candidates: Candidates) -> Finished:
            try:
                return await patience.until_ready(
                    partial(
                        host.prove,
                        *(candidates, policy),
                        is_job=True,
                        beam=beam_of(self._options),
                        engine=self._engine,
                    ),
                    job,
                )
            except EvaluationError as error:
                raise JobError(f"evaluation failed: {error}") from error

        while True:
            try:
                await refine(
                    refinement, self._tolerance, prove, self._context.metrics, Kind.JOB, on_part=on_part
                )
            except EmbeddingError as error:
                raise JobError(f"evaluation failed: {error}") from error
            except ServiceError as error:
                self._num_failures += 1
                if self._num_failures == ATTEMPTS:
                    raise JobError(error.detail) from error
                logger.warning(
                    "job %s: %s (attempt %d of %d)", job.id, error.detail, self._num_failures, ATTEMPTS
                )
            else:
                return

    def _progress(
        self, refinement: Refinement, dataset: Dataset, origin: str, is_end: bool
    ) -> IntervalProgress:
        """What is known now; of the rankings, what was not stored before."""
        so_far = refinement.so_far()
        if not self._names:
            self._names = [dataset.names(triple) for triple, _ in refinement.rankings]
        has_changed = _has_changed(so_far, self._stored)
        rankings = tuple(
            JobRankInterval(
                index,
                *self._names[row],
                *(ranking.side, ranking.rank_low, ranking.rank_high),
                *(ranking.proved, ranking.open, ranking.num_candidates),
            )
            for row, (index, ranking) in enumerate(rank_intervals(refinement))
            if has_changed[row]
        )
        # The columns of the table go on changing.
        self._stored = so_far.taken(np.arange(len(so_far)))
        return IntervalProgress(
            rankings,
            self._job.num_queries if is_end else refinement.num_tried,
            refinement.num_decided,
            refinement.counts,
            answer_to_json(to_interval_report(refinement, dataset, self._options.counted_hits_at)).decode(),
            origin,
            write_state(refinement.state()),
        )

    def _count_done(self, job: Job) -> None:
        assert job.report_json is not None and job.started is not None and job.finished is not None
        report = read_answer(IntervalReport, job.report_json)
        duration = datetime.fromisoformat(job.finished) - datetime.fromisoformat(job.started)
        mrr = report.intervals["mrr"]
        assert mrr is not None
        self._context.metrics.record_job_done(
            mrr,
            {k: share for k, share in report.hits_at.items() if share is not None},
            max(duration.total_seconds(), 0.0),
            policy=job.policy.name,
            sha256=job.policy.sha256,
            split=self._options.split,
            is_by_proofs=self._scoring is None,
        )


def _has_changed(so_far: RankedSoFar, before: RankedSoFar | None) -> np.ndarray:
    """Which rankings, ``[R]`` bool, are known better than before."""
    if before is None:
        return np.ones(len(so_far), dtype=bool)
    return (
        (so_far.low != before.low)
        | (so_far.high != before.high)
        | (so_far.num_open != before.num_open)
        | (so_far.is_positive_known != before.is_positive_known)
    )

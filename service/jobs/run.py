"""One job from where it stands to its end: chunk by chunk, each stored before the next is ranked."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from proofrank.core.errors import EvaluationError, PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.ranking import HITS_AT, Query, RankedQuery, ReportTally
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.ranker import RankedBatch
from proofrank.service.errors import ServiceError
from proofrank.service.jobs.chunk_size import ChunkSizer
from proofrank.service.jobs.chunks import JobChunks
from proofrank.service.jobs.job import Job, JobError, StoredRanking
from proofrank.service.jobs.results import pages
from proofrank.service.jobs.retry_until_ready import RetryUntilReady
from proofrank.service.jobs.schemas import JobOptions
from proofrank.service.jobs.store import JobStore
from proofrank.service.policies import PolicyRegistry
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics

logger = logging.getLogger("proofrank")

_ATTEMPTS = 3
"""How often a chunk that the evaluator fails over is tried before the job fails: it may be another request's fault."""


@dataclass(frozen=True)
class JobContext:
    """What every run works with.

    Attributes:
        settings: with the limits.
        host: ranks the chunks.
        policies: where the jobs' policies are.
        store: where the jobs are.
        patience: waits for the disk and the host.
        metrics: count chunks and finished jobs.
    """

    settings: Settings
    host: EvaluatorHost
    policies: PolicyRegistry
    store: JobStore
    patience: RetryUntilReady
    metrics: ServiceMetrics


class JobRun:
    """The run of one job."""

    def __init__(self, job: Job, workplace: JobContext) -> None:
        self._job = job
        self._options = JobOptions.model_validate_json(job.options_json)
        self._place = workplace

    async def run(self) -> None:
        """Runs the job to its end, or until it is no longer running in the store.

        Raises:
            JobError: it cannot be done.
        """
        job, place = self._job, self._place
        dataset = await place.patience.until_ready(self._dataset)
        policy = await place.patience.until_ready(self._policy)
        queries_json = await place.store.queries_json(job)
        work = await asyncio.to_thread(JobChunks.of, self._options, queries_json, dataset)
        running: Job | None = job
        if job.num_candidates is None:
            num_candidates = await asyncio.to_thread(work.count_candidates, place.settings.max_candidates)
            running = await place.patience.until_written(
                lambda: place.store.set_num_candidates(job, num_candidates), job
            )
        if running is not None:
            await self._rank(running, work, policy, dataset)

    async def _rank(self, job: Job, work: JobChunks, policy: Policy, dataset: Dataset) -> None:
        tally = await self._tally_so_far()
        pace = ChunkSizer(self._place.settings.max_candidates)
        num_failures = 0
        while job.queries_done < job.num_queries:
            queries = await asyncio.to_thread(work.chunk, job.queries_done, pace.num_candidates)
            try:
                execution = await self._place.patience.until_ready(partial(self._execution, queries, policy))
            except ServiceError as error:
                num_failures += 1
                if num_failures == _ATTEMPTS:
                    raise JobError(error.detail) from error
                logger.warning("job %s: %s (attempt %d of %d)", job.id, error.detail, num_failures, _ATTEMPTS)
                pace.failed()
                continue
            num_failures = 0
            pace.took(execution.execution_seconds)
            running = await self._store_chunk(job, execution.ranked, tally, dataset)
            if running is None:
                return
            job = running
        ended = await self._place.patience.until_written(lambda: self._place.store.end(job, "done"), job)
        if ended is not None:
            self._count_done(ended)

    async def _dataset(self) -> Dataset:
        dataset, wanted = self._place.host.loaded.dataset, self._job.dataset
        if dataset.content_hash != wanted.sha256:
            raise JobError(
                f"dataset {wanted.name!r} with SHA-256 {wanted.sha256} is not served any more: now it is "
                f"{dataset.name!r} with {dataset.content_hash}"
            )
        return dataset

    async def _policy(self) -> Policy:
        wanted = self._job.policy
        try:
            return await self._place.policies.load(wanted.name, wanted.sha256)
        except (PolicyError, EvaluationError) as error:
            raise JobError(f"policy {wanted.name!r} with SHA-256 {wanted.sha256}: {error}") from error

    async def _tally_so_far(self) -> ReportTally:
        """Counts what an earlier server has ranked."""
        tally = ReportTally(self._options.ties)
        async for page in pages(self._job, self._place.store):
            for ranking in page:
                tally.add(ranking.relation, ranking.summary)
        return tally

    async def _execution(self, queries: Sequence[Query], policy: Policy) -> RankedBatch:
        try:
            return await self._place.host.rank(queries, self._options.seed, policy=policy, is_job=True)
        except EvaluationError as error:
            raise JobError(f"evaluation failed: {error}") from error

    async def _store_chunk(
        self, job: Job, ranked: Sequence[RankedQuery], tally: ReportTally, dataset: Dataset
    ) -> Job | None:
        rankings = [StoredRanking.of(query, dataset) for query in ranked]
        for ranking in rankings:
            tally.add(ranking.relation, ranking.summary)
        queries_done = rankings[-1].summary.query_index + 1
        report_json = json.dumps(tally.report(dataset.vocabulary.predicates).to_dict())
        running = await self._place.patience.until_written(
            lambda: self._place.store.add_chunk(job, rankings, queries_done, report_json), job
        )
        if running is not None:
            self._place.metrics.job_chunks.inc()
        return running

    def _count_done(self, job: Job) -> None:
        assert job.report_json is not None and job.started is not None and job.finished is not None
        report = json.loads(job.report_json)
        duration = datetime.fromisoformat(job.finished) - datetime.fromisoformat(job.started)
        # The clock may have been set back.
        seconds = max(duration.total_seconds(), 0.0)
        hits_at = {k: report[f"hits@{k}"] for k in HITS_AT}
        self._place.metrics.record_job_done(
            report["mrr"],
            hits_at,
            seconds,
            policy=job.policy.name,
            sha256=job.policy.sha256,
            split=self._options.split,
        )

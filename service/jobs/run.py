"""The run of one job, from its stored progress to its end; each chunk is stored before the next is ranked."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from proofrank.core.errors import EmbeddingError, EvaluationError, MemoryShortError, PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.ranking import HITS_AT, Query, ReportTally, Scoring
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.ranker import RankedBatch
from proofrank.service.engine.served_scores import check_same
from proofrank.service.errors import ServiceError
from proofrank.service.jobs.chunk_size import ChunkSizer
from proofrank.service.jobs.chunks import JobChunks
from proofrank.service.jobs.job import Job, JobError, StoredRanking
from proofrank.service.jobs.results import pages
from proofrank.service.jobs.retry_until_ready import RetryUntilReady
from proofrank.service.jobs.store import JobStore
from proofrank.service.policies import PolicyRegistry
from proofrank.service.ranking.to_queries import beam_of
from proofrank.service.ranking.to_response import report_fields
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.wire import JobOptions, read_answer
from proofrank.service.wire import Scoring as StoredScoring

logger = logging.getLogger("proofrank")

ATTEMPTS = 3
"""Number of attempts to rank a chunk before the job fails; another request may have caused the evaluator's failure."""


@dataclass(frozen=True)
class JobContext:
    """What every run needs.

    Attributes:
        settings: settings with the limits.
        host: ranks the chunks.
        policies: loads the jobs' policies.
        store: stores the jobs.
        patience: waits for the disk and the host.
        metrics: counts chunks and finished jobs.
    """

    settings: Settings
    host: EvaluatorHost
    policies: PolicyRegistry
    store: JobStore
    patience: RetryUntilReady
    metrics: ServiceMetrics


class JobRun:
    """The run of one job."""

    def __init__(self, job: Job, context: JobContext) -> None:
        self._job = job
        self._options = JobOptions.model_validate_json(job.options_json)
        self._context = context
        self._scoring: Scoring | None = None
        self._engine = job.engine

    async def run(self) -> None:
        """Runs the job to its end, or until the store no longer has it as running.

        Raises:
            JobError: the job cannot be done.
        """
        job, context = self._job, self._context
        dataset = await context.patience.until_ready(self._dataset, job)
        self._scoring = await context.patience.until_ready(partial(self._stored_scoring, dataset), job)
        policy = await context.patience.until_ready(self._policy, job)
        queries_json = await context.store.queries_json(job)
        work = await asyncio.to_thread(JobChunks.of, self._options, queries_json, dataset)
        running: Job | None = job
        if job.num_candidates is None:
            num_candidates = await asyncio.to_thread(work.count_candidates, context.settings.max_candidates)
            running = await context.patience.until_written(
                lambda: context.store.set_num_candidates(job, num_candidates), job
            )
        if running is not None:
            running = await self._with_engine(running, policy)
        if running is not None:
            await self._rank(running, work, policy, dataset)

    async def _with_engine(self, job: Job, policy: Policy) -> Job | None:
        """The job with the engine and the settings that all of its ranks come from; None if it is no longer running."""
        if self._scoring is not None and self._scoring.kind == "embedding":
            return job
        context = self._context

        async def make() -> str:
            try:
                return await context.host.engine_for(policy, beam_of(self._options), job.engine)
            except MemoryShortError as error:
                if job.queries_done:
                    raise
                # Jobs run one after the other, and this one has not begun: the next ones need not wait for it.
                raise EvaluationError(str(error)) from error

        try:
            self._engine = await context.patience.until_ready(make, job)
        except EvaluationError as error:
            begun = (
                "" if job.engine is None else f"; it was begun with engine {job.engine!r}: submit it again"
            )
            raise JobError(f"evaluation failed: {error}{begun}") from error
        engine = self._engine
        prover_json = await context.patience.until_ready(partial(self._prover, policy), job)
        if (engine, prover_json) == (job.engine, job.prover_json):
            return job
        self._check_prover(job, prover_json)
        return await context.patience.until_written(
            lambda: context.store.set_engine(job, engine, prover_json), job
        )

    def _check_prover(self, job: Job, prover_json: str) -> None:
        """Raises JobError where ranks are stored that come from another prover than the one of now."""
        changes = [] if job.prover_json is None else _changes(job.prover_json, prover_json)
        if changes and job.queries_done:
            raise JobError(
                f"the server's prover has changed since the job began ({', '.join(changes)}), and all ranks of a job "
                "come from one: submit it again"
            )

    async def _prover(self, policy: Policy) -> str:
        """The settings of the prover and the precision that the job's ranks come from here, as JSON."""
        settings = self._context.host.prover_settings(policy)
        named = {**dataclasses.asdict(settings), "precision": self._context.settings.precision}
        return json.dumps(named, sort_keys=True)

    async def _rank(self, job: Job, work: JobChunks, policy: Policy, dataset: Dataset) -> None:
        tally = await self._tally_so_far()
        pace = ChunkSizer(self._context.settings.max_candidates)
        num_failures = 0
        while job.queries_done < job.num_queries:
            queries = await asyncio.to_thread(work.chunk, job.queries_done, pace.num_candidates)
            try:
                execution = await self._context.patience.until_ready(
                    partial(self._execution, queries, policy), job
                )
            except MemoryShortError as error:
                raise JobError(f"evaluation failed: {error}") from error
            except ServiceError as error:
                num_failures += 1
                if num_failures == ATTEMPTS:
                    raise JobError(error.detail) from error
                logger.warning("job %s: %s (attempt %d of %d)", job.id, error.detail, num_failures, ATTEMPTS)
                pace.failed()
                continue
            num_failures = 0
            pace.took(execution.scoring_seconds + execution.execution_seconds)
            running = await self._store_chunk(job, execution, tally, dataset)
            if running is None:
                return
            job = running
        ended = await self._context.patience.until_written(lambda: self._context.store.end(job, "done"), job)
        if ended is not None:
            self._count_done(ended)

    async def _dataset(self) -> Dataset:
        dataset, wanted = self._context.host.loaded.dataset, self._job.dataset
        if dataset.content_hash != wanted.sha256:
            raise JobError(
                f"dataset {wanted.name!r} with SHA-256 {wanted.sha256} is no longer served; now it is "
                f"{dataset.name!r} with {dataset.content_hash}"
            )
        return dataset

    async def _stored_scoring(self, dataset: Dataset) -> Scoring | None:
        """What the job's scores are; None for those of proofs."""
        if self._job.scoring_json is None:
            return None
        stored = read_answer(StoredScoring, self._job.scoring_json)
        scores = self._context.host.loaded.scores
        try:
            check_same(stored, scores)
        except EmbeddingError as error:
            raise JobError(str(error)) from error
        assert scores is not None, "it was checked"
        return scores.as_stored(stored, dataset)

    async def _policy(self) -> Policy:
        wanted = self._job.policy
        try:
            return await self._context.policies.load(wanted.name, wanted.sha256)
        except (PolicyError, EvaluationError) as error:
            raise JobError(f"policy {wanted.name!r} with SHA-256 {wanted.sha256}: {error}") from error

    async def _tally_so_far(self) -> ReportTally:
        """Counts the rankings that are already stored."""
        tally = ReportTally(self._options.ties, self._options.counted_hits_at)
        async for page in pages(self._job, self._context.store):
            await asyncio.to_thread(_add, page, tally)
        return tally

    async def _execution(self, queries: Sequence[Query], policy: Policy) -> RankedBatch:
        try:
            batch = await self._context.host.rank(
                queries,
                self._options.seed,
                policy=policy,
                pruning=self._options.pruning_level,
                scoring=self._scoring,
                is_job=True,
                beam=beam_of(self._options),
                engine=self._engine,
            )
        except MemoryShortError:
            raise  # the evaluator has been ended for another between two chunks: there may be memory again
        except (EvaluationError, EmbeddingError) as error:
            raise JobError(f"evaluation failed: {error}") from error
        assert self._engine in (None, batch.engine), "all ranks of a job come from one engine"
        return batch

    async def _store_chunk(
        self, job: Job, execution: RankedBatch, tally: ReportTally, dataset: Dataset
    ) -> Job | None:
        def written() -> tuple[list[StoredRanking], str]:
            """The rankings as they are stored, and the metrics with them."""
            rankings = [StoredRanking.of(query, dataset) for query in execution.ranked]
            _add(rankings, tally)
            report = report_fields(tally.report(dataset.vocabulary.predicates), self._options.hits_at)
            return rankings, json.dumps(report)

        # In a thread: where an embedding scores, a chunk may have tens of thousands of rankings.
        rankings, report_json = await asyncio.to_thread(written)
        queries_done = rankings[-1].summary.query_index + 1
        running = await self._context.patience.until_written(
            lambda: self._context.store.add_chunk(job, rankings, queries_done, report_json, execution.counts),
            job,
        )
        if running is not None:
            self._context.metrics.job_chunks.inc()
        return running

    def _count_done(self, job: Job) -> None:
        assert job.report_json is not None and job.started is not None and job.finished is not None
        report = json.loads(job.report_json)
        duration = datetime.fromisoformat(job.finished) - datetime.fromisoformat(job.started)
        # The system clock may have been set back.
        seconds = max(duration.total_seconds(), 0.0)
        hits_at = {k: report[f"hits@{k}"] for k in HITS_AT}
        self._context.metrics.record_job_done(
            (report["mrr"], report["mrr"]),
            hits_at,
            seconds,
            policy=job.policy.name,
            sha256=job.policy.sha256,
            split=self._options.split,
            is_by_proofs=self._scoring is None,
        )


def _changes(before_json: str, now_json: str) -> list[str]:
    """What differs between the settings of two provers, each as JSON, such as ``max_depth is 10 and was 20``."""
    before, now = json.loads(before_json), json.loads(now_json)
    return [
        f"{name} is {json.dumps(now.get(name))} and was {json.dumps(value)}"
        for name, value in before.items()
        if now.get(name) != value
    ]


def _add(rankings: Sequence[StoredRanking], tally: ReportTally) -> None:
    for ranking in rankings:
        tally.add(ranking.relation, ranking.summary)

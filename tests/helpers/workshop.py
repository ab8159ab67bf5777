"""Jobs in the test's own process: a server's parts that they need, or a whole application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from proofrank.core.ranking import Query
from proofrank.service.app import create_app
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.ranker import RankedBatch
from proofrank.service.errors import EvaluationFailed
from proofrank.service.jobs import Jobs, make_jobs
from proofrank.service.jobs.chunks import JobChunks
from proofrank.service.jobs.insertion import NewJob
from proofrank.service.jobs.job import Job, StoredRanking
from proofrank.service.jobs.submission import write_body
from proofrank.service.policies import PolicyAtStart, PolicyRegistry, PolicyStore
from proofrank.service.policies.replicas import NoReplicas
from proofrank.service.services import Services
from proofrank.service.settings.settings import Settings, load_settings
from proofrank.service.storage.database import Database
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.wire import Identity, JobOptions, JobRequest


class FaultyHost(EvaluatorHost):
    """A host whose evaluator fails a given number of times, as when another request has used up the memory."""

    num_faults = 0

    async def rank(self, queries: Sequence[Query], seed: int, **options: Any) -> RankedBatch:
        """Fails, or ranks."""
        if self.num_faults:
            self.num_faults -= 1
            raise EvaluationFailed("evaluation failed: out of memory")
        return await super().rank(queries, seed, **options)


@dataclass(frozen=True)
class Workshop:
    """The parts of a server that jobs need, in this process."""

    database: Database
    host: FaultyHost
    jobs: Jobs

    async def submit(self, **body: Any) -> Job:
        """Submits a job and returns it as stored."""
        dataset = self.host.loaded.dataset
        request = JobRequest.model_validate(body)
        num = (
            len(request.queries) if request.queries is not None else len(dataset.splits[request.split or ""])
        )
        served = Identity(dataset.name, dataset.content_hash)
        new = NewJob(write_body(request), request.policy, None, served, num, idempotency_key=None)
        submission = await self.jobs.store.submit(new, 100)
        self.jobs.runner.wake()
        return submission.job

    async def begun_with_one_query_ranked(self) -> tuple[Job, list[StoredRanking]]:
        """Begins the next job; returns it with the rankings of its first query, which are not stored yet."""
        job = await self.jobs.store.begin_next()
        assert job is not None
        dataset = self.host.loaded.dataset
        work = JobChunks.of(JobOptions.model_validate_json(job.options_json), None, dataset)
        execution = await self.host.rank(work.chunk(0, 1), seed=0)
        return job, [StoredRanking.of(ranked, dataset) for ranked in execution.ranked]

    async def get(self, job: Job) -> Job:
        """Returns the job as it is now."""
        found = await self.jobs.store.get(job.id)
        assert found is not None
        return self.jobs.patience.with_obstacle(found)

    async def ended(self, job: Job) -> Job:
        """Returns the job once it has ended."""
        while not (now := await self.get(job)).is_finished:
            await asyncio.sleep(0.01)
        return now


@asynccontextmanager
async def workshop(
    data: Path, dataset_folder: Path, policy_folder: Path, **options: Any
) -> AsyncIterator[Workshop]:
    """Yields a workshop on the data folder ``data``, with further settings; its runner has not started."""
    values = {"dataset": dataset_folder, "policy": policy_folder, "engine": "original", **options}
    settings = load_settings(values, environment={})
    metrics = ServiceMetrics()
    data.mkdir(exist_ok=True)
    database = Database.open(data)
    store = PolicyStore(data, database, settings.max_policies)
    at_start = PolicyAtStart(store, settings.policy, metrics)
    host = FaultyHost(settings, metrics, at_start.first)
    jobs = make_jobs(
        settings,
        metrics,
        host,
        database,
        PolicyRegistry(store, host, metrics, NoReplicas(), at_start),
        retry_seconds=0.02,
    )
    await host.start()
    assert not host.has_failed
    try:
        yield Workshop(database, host, jobs)
    finally:
        await jobs.runner.stop()
        await host.stop()
        database.close()


@asynccontextmanager
async def app_with_services(
    data: Path, dataset_folder: Path, policy_folder: Path, **options: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
    """Yields a client of the whole application in this process, once it is ready, and its services."""
    values = {
        "dataset": dataset_folder,
        "policy": policy_folder,
        "engine": "original",
        "data_folder": data,
        **options,
    }
    async with ready_app(load_settings(values, environment={})) as client_and_services:
        yield client_and_services


@asynccontextmanager
async def ready_app(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
    """Yields a client of the whole application in this process, once it is ready, and its services."""
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proofrank") as client,
    ):
        while (await client.get("/readyz")).status_code != HTTPStatus.OK:
            await asyncio.sleep(0.01)
        yield client, app.state.services

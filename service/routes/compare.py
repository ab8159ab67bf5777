"""``GET /compare``: how much the metrics of one job differ from those of another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from proofrank.core.comparison.comparison import MOST_RESAMPLES
from proofrank.service import wire
from proofrank.service.engine.lifecycle import READY
from proofrank.service.errors import NoSuchJob
from proofrank.service.jobs.comparison import JobComparer
from proofrank.service.jobs.job import Job
from proofrank.service.ranking.to_rankings import to_comparison
from proofrank.service.services import Services
from proofrank.service.web.client_disconnect import unless_client_goes
from proofrank.service.web.problems import problem_responses


def make_router(services: Services) -> APIRouter:
    """The route on these services."""
    router = APIRouter(tags=["jobs"])
    jobs = services.jobs
    comparer = JobComparer(jobs.store)

    async def required(job_id: str) -> Job:
        job = await jobs.store.get(job_id)
        if job is None:
            raise NoSuchJob(f"there is no job {job_id[:64]!r}; it may have been removed")
        return job

    async def depths_of(*compared: Job) -> Mapping[tuple[str, str, str], str] | None:
        """The depths of triples, where both jobs are of the served graph and it has a file of them."""
        if services.host.stage != READY:
            return None
        served = services.host.loaded.dataset.content_hash
        if any(job.dataset.sha256 != served for job in compared):
            return None
        return await asyncio.to_thread(services.host.depths)

    @router.get(
        "/compare",
        response_model=wire.Comparison,
        responses=problem_responses(
            HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY
        ),
    )
    async def compare_jobs(
        request: Request,
        a: Annotated[
            str, Query(description="Id of the job to compare with.", examples=[wire.EXAMPLE_JOB_ID])
        ],
        b: Annotated[str, Query(description="Id of the job that is judged.", examples=[wire.EXAMPLE_JOB_ID])],
        confidence: Annotated[
            float,
            Query(
                ge=0.5,
                le=0.999,
                description="Share of intervals that should hold the true difference.",
                examples=[0.95],
            ),
        ] = 0.95,
        resamples: Annotated[
            int | None,
            Query(
                ge=100,
                le=MOST_RESAMPLES,
                description="Number of resamples of the bootstrap; by default as suits the number of triples.",
                examples=[2000],
            ),
        ] = None,
        intervals: Annotated[
            bool,
            Query(description="Whether to compute intervals, which takes most of the time.", examples=[True]),
        ] = True,
        seed: Annotated[
            int, Query(ge=0, le=2**63 - 1, description="Seed of the bootstrap.", examples=[0])
        ] = 0,
    ) -> Response:
        """Compares two finished jobs that rank the same queries: differences with intervals, and what changed."""
        jobs_to_compare = await required(a), await required(b)
        comparing = comparer.compare(
            *jobs_to_compare,
            confidence=confidence,
            resamples=resamples if intervals else 0,
            seed=seed,
            depths=await depths_of(*jobs_to_compare),
        )
        # Comparisons wait for one another; those whose clients have gone must not be waited for.
        found = await unless_client_goes(request, comparing)
        body = await asyncio.to_thread(lambda: wire.answer_to_json(to_comparison(found)))
        return Response(body, media_type="application/json")

    return router

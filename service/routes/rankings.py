"""``/jobs/{id}/rankings`` and ``/jobs/{id}/groups``: parts of the results of a job."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from proofrank.service import wire
from proofrank.service.errors import NoSuchJob
from proofrank.service.jobs.browsing import RankingBrowser
from proofrank.service.jobs.job import Job
from proofrank.service.services import Services
from proofrank.service.web.problems import problem_responses

JobId = Annotated[str, Path(description="Id of the job.", examples=[wire.EXAMPLE_JOB_ID])]


def make_router(services: Services) -> APIRouter:
    """The routes on these services."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])
    host, store = services.host, services.jobs.store
    browser = RankingBrowser(services.database, store)

    async def required(job_id: str) -> Job:
        job = await store.get(job_id)
        if job is None:
            raise NoSuchJob(f"there is no job {job_id[:64]!r}; it may have been removed")
        return job

    @router.get(
        "/{job_id}/rankings",
        responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
    )
    async def list_job_rankings(
        job_id: JobId,
        relation: Annotated[
            str | None,
            Query(description="Relation of the rankings; by default any.", examples=["locatedInCR"]),
        ] = None,
        side: Annotated[
            Literal["head", "tail"] | None,
            Query(description="Side of the rankings; by default any.", examples=["tail"]),
        ] = None,
        order: Annotated[
            wire.RankingOrder,
            Query(
                description="Order: that of the queries, or by rank, the worst or the best one first.",
                examples=["worst"],
            ),
        ] = "query",
        offset: Annotated[
            int, Query(ge=0, le=2**53, description="Number of rankings to leave out.", examples=[0])
        ] = 0,
        limit: Annotated[
            int,
            Query(
                ge=1, le=wire.MAX_RANKINGS_LISTED, description="Maximum number of rankings.", examples=[100]
            ),
        ] = 100,
    ) -> wire.RankingList:
        """Some of the rankings of a job, in the order that is asked for."""
        return await browser.listed(
            await required(job_id), relation=relation, side=side, order=order, offset=offset, limit=limit
        )

    @router.get("/{job_id}/groups", responses=problem_responses(HTTPStatus.NOT_FOUND))
    async def get_job_groups(job_id: JobId) -> wire.RankingGroups:
        """The metrics of a job by depth and by the number of steps of the proof."""
        job = await required(job_id)
        is_of_dataset = job.dataset.sha256 == host.loaded.dataset.content_hash
        return await browser.groups(job, await asyncio.to_thread(host.depths) if is_of_dataset else None)

    return router

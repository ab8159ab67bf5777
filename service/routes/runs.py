"""``/runs``: training runs with their metrics by step."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from proofrank.service import wire
from proofrank.service.jobs.browsing import RankingBrowser
from proofrank.service.jobs.runs import RunStore
from proofrank.service.services import Services
from proofrank.service.web.problems import problem_responses

_MOST_RUNS, _MOST_STEPS = 1000, 1000


def make_router(services: Services) -> APIRouter:
    """The routes on these services."""
    router = APIRouter(prefix="/runs", tags=["runs"])
    runs = RunStore(services.database)
    browser = RankingBrowser(services.database, services.jobs.store)

    @router.get("", responses=problem_responses(HTTPStatus.UNPROCESSABLE_ENTITY))
    async def list_runs(
        limit: Annotated[
            int, Query(ge=1, le=_MOST_RUNS, description="Maximum number of runs.", examples=[100])
        ] = 100,
    ) -> wire.RunList:
        """The runs that a stored policy or a job is of, the one with the last upload or job first."""
        return await runs.summaries(limit)

    @router.get("/{run}", responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY))
    async def get_run(
        run: Annotated[str, Path(description="Name of the run.", examples=["run-7"])],
        limit: Annotated[
            int,
            Query(
                ge=1,
                le=_MOST_STEPS,
                description="Maximum number of entries, those of the largest steps.",
                examples=[1000],
            ),
        ] = _MOST_STEPS,
        intervals: Annotated[
            bool,
            Query(
                description="Whether to compute the interval of each MRR, which reads every ranking once.",
                examples=[True],
            ),
        ] = False,
    ) -> wire.Run:
        """A run: for each step its policy, and the metrics of the jobs that it has ranked."""
        found = await runs.run(run, limit)
        return await browser.with_intervals(found) if intervals else found

    return router

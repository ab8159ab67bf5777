"""Sleeping and waking: ``/sleep`` gives the device's memory to others, such as a training job, until ``/wake``."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter

from proofrank.service.services import Services
from proofrank.service.storage.uncancelled import uncancelled
from proofrank.service.web.problems import problem_responses
from proofrank.service.wire import Readiness


def make_router(services: Services) -> APIRouter:
    """The routes on these services; none where other processes rank too, which would not sleep."""
    router = APIRouter(tags=["server"])
    if not services.replicas.is_alone:
        return router
    host = services.host

    @router.post("/sleep", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
    async def sleep() -> Readiness:
        """Frees the evaluators' memory, after the requests that rank now; until `/wake` others get 503.

        Jobs pause after the chunk that is being ranked, and go on after `/wake`. Policies, jobs and results can be read
        meanwhile. A server that sleeps stays as it is.
        """
        await uncancelled(host.sleep())
        return Readiness(ready=False, stage=host.stage, seconds=host.seconds_in_stage)

    @router.post("/wake", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
    async def wake() -> Readiness:
        """Makes the evaluator of the live policy again, warms it, and takes requests as before.

        503 with the figures, and a server that still sleeps, where the memory does not suffice. A server that is awake
        stays as it is.
        """
        await uncancelled(host.wake())
        return Readiness(ready=True, stage=host.stage, seconds=host.seconds_in_stage)

    return router

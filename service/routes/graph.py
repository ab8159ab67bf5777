"""``/graph``, ``/names`` and ``/jobs/{id}/rules``: the served graph, its names, and how proofs use its rules."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Request

from proofrank.core.errors import EvaluationError, PolicyError
from proofrank.core.graph import Triple
from proofrank.core.ranking import Query as RankedTriple
from proofrank.service import wire
from proofrank.service.errors import NoSuchJob, UnusablePolicy
from proofrank.service.jobs.browsing import RankingBrowser
from proofrank.service.ranking.to_graph import to_graph, to_names, to_rule_usage
from proofrank.service.ranking.to_queries import NameReader
from proofrank.service.routes.deadlines import by_deadline, deadline_of
from proofrank.service.services import Services
from proofrank.service.web.problems import problem_responses

_MOST_PROOFS = 1000


def make_router(services: Services) -> APIRouter:
    """The routes on these services."""
    router = APIRouter()
    host, store, policies = services.host, services.jobs.store, services.policies
    browser = RankingBrowser(services.database, store)

    @router.get("/graph", tags=["server"], responses=problem_responses(HTTPStatus.UNPROCESSABLE_ENTITY))
    async def get_graph(
        offset: Annotated[
            int, Query(ge=0, le=2**53, description="Number of rules to leave out.", examples=[0])
        ] = 0,
        limit: Annotated[
            int,
            Query(ge=0, le=wire.MAX_RULES_LISTED, description="Maximum number of rules.", examples=[100]),
        ] = 100,
    ) -> wire.GraphSummary:
        """The served graph: counts, relations and rules."""
        return await asyncio.to_thread(to_graph, host.loaded.dataset, offset, limit)

    @router.get("/names", tags=["server"], responses=problem_responses(HTTPStatus.UNPROCESSABLE_ENTITY))
    async def list_names(
        kind: Annotated[wire.NameKind, Query(description="What the names are of.", examples=["constant"])],
        text: Annotated[
            str, Query(max_length=200, description="Beginning or part of the names.", examples=["alb"])
        ] = "",
        limit: Annotated[
            int, Query(ge=1, le=wire.MAX_NAMES_LISTED, description="Maximum number of names.", examples=[20])
        ] = 20,
    ) -> wire.NameList:
        """Names of the served graph that begin with a text, or hold it."""
        return await asyncio.to_thread(to_names, host.loaded.dataset, kind, text, limit)

    @router.get(
        "/jobs/{job_id}/rules",
        tags=["jobs"],
        responses=problem_responses(
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
    )
    async def get_job_rules(
        job_id: Annotated[str, Path(description="Id of the job.", examples=[wire.EXAMPLE_JOB_ID])],
        request: Request,
        limit: Annotated[
            int, Query(ge=1, le=_MOST_PROOFS, description="Maximum number of proofs to read.", examples=[100])
        ] = 100,
    ) -> wire.RuleUsage:
        """How often the proofs of the job's triples use each rule; its policy proves them again."""
        job = await store.get(job_id)
        if job is None:
            raise NoSuchJob(f"there is no job {job_id[:64]!r}; it may have been removed")
        loaded = host.loaded
        dataset = loaded.dataset
        if job.dataset.sha256 != dataset.content_hash:
            raise UnusablePolicy(f"the dataset of job {job.id} is no longer served")
        deadline = deadline_of(None, services.settings.max_deadline_ms)

        async def evaluate() -> wire.RuleUsage:
            try:
                policy = await policies.load(job.policy.name, job.policy.sha256)
            except (PolicyError, EvaluationError) as error:
                raise UnusablePolicy(f"the policy of job {job.id} cannot rank any more: {error}") from error
            num_proved, triples = await browser.proved_triples(job, limit)

            def read() -> list[RankedTriple]:
                names = NameReader(dataset)
                found = [
                    Triple(
                        names.predicate(relation, "job"),
                        names.constant(head, "job"),
                        names.constant(tail, "job"),
                    )
                    for head, relation, tail in triples
                ]
                names.check()
                alone = np.empty(0, dtype=np.int64)
                return [RankedTriple(index, triple, "tail", alone) for index, triple in enumerate(found)]

            queries = await asyncio.to_thread(read)
            request.state.until_sent.enter_context(host.room.taken(len(queries)))
            if not queries:
                return wire.RuleUsage(proved=0, proofs=0, rules=())
            batch = await host.rank(queries, 0, policy=policy, is_explanation=True, deadline=deadline)
            return await asyncio.to_thread(
                to_rule_usage, batch.ranked, host.reference(loaded, policy), dataset, num_proved
            )

        return await by_deadline(request, deadline, evaluate())

    return router

"""Comparison of two finished jobs by their stored rankings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from proofrank.core.comparison import Comparison, ComparisonError, Rankings, compare_rankings
from proofrank.service.errors import InvalidInput, JobNotDone, NoSuchJob
from proofrank.service.jobs.job import Job
from proofrank.service.jobs.rows import RankRow
from proofrank.service.jobs.store import JobStore
from proofrank.service.jobs.to_response import job_answer
from proofrank.service.ranking.to_rankings import INTERVALS_MESSAGE, rankings_of_job
from proofrank.service.storage.uncancelled import uncancelled
from proofrank.service.wire import FieldError, JobOptions

MOST_QUERIES = 200_000
"""Largest number of queries of a job that is compared here: rankings of both jobs are in memory at once."""

_QUERIES_A_PAGE = 1000


class JobComparer:
    """Compares jobs, one pair at a time, so that the memory of one pair is the most that it takes."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._turn = asyncio.Lock()

    async def compare(
        self,
        a: Job,
        b: Job,
        *,
        confidence: float,
        resamples: int | None,
        seed: int,
        depths: Mapping[tuple[str, str, str], str] | None = None,
    ) -> Comparison:
        """Compares job ``b`` with job ``a``.

        Args:
            a: the job to compare with.
            b: the job that is judged.
            confidence: of the intervals.
            resamples: of the bootstrap; as suits the number of triples if None, and no intervals for 0.
            seed: of the bootstrap.
            depths: depth of triples, by their names; there are metrics by depth if it has all that are ranked.

        Raises:
            JobNotDone: one of them is not done.
            InvalidInput: one is too large, or they rank different queries, or otherwise.
            NoSuchJob: one was removed meanwhile.
        """
        for name, job in (("a", a), ("b", b)):
            _check(name, job)
        async with self._turn:
            rankings = [await self._rankings(job) for job in (a, b)]
            is_known = depths is not None and all(triple in depths for triple in set(rankings[0].triples))
            computing = asyncio.to_thread(
                compare_rankings,
                *rankings,
                confidence=confidence,
                resamples=resamples,
                seed=seed,
                depths=depths if is_known else None,
            )
            try:
                # A thread cannot be interrupted, and its memory is taken until it ends: so is the turn.
                return await uncancelled(computing)
            except ComparisonError as error:
                raise InvalidInput([FieldError(field="b", value=b.id, message=str(error))]) from error

    async def _rankings(self, job: Job) -> Rankings:
        answer = job_answer(job)
        rows: list[RankRow] = []
        for start in range(0, job.queries_done, _QUERIES_A_PAGE):
            page = await self._store.rank_rows(job, answer.request.ties, start, start + _QUERIES_A_PAGE)
            if not page:
                raise NoSuchJob(f"job {job.id} has been removed")
            rows += page
        return await asyncio.to_thread(rankings_of_job, answer, (row._asdict() for row in rows))


def _check(name: str, job: Job) -> None:
    if job.state != "done":
        raise JobNotDone(f"{name}: job {job.id} is {job.state}; only jobs that are done are compared")
    if JobOptions.model_validate_json(job.options_json).mrr_tolerance is not None:
        raise InvalidInput([FieldError(field=name, value=job.id, message=INTERVALS_MESSAGE)])
    if job.num_queries > MOST_QUERIES:
        message = (
            f"has {job.num_queries} queries; up to {MOST_QUERIES} are compared here, more by 'proofrank compare' of "
            "downloaded results"
        )
        raise InvalidInput([FieldError(field=name, value=job.id, message=message)])

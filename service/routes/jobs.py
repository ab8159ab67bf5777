"""``/jobs``: submit, watch, read, cancel and remove evaluations of whole splits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from proofrank.service import wire
from proofrank.service.engine.served_scores import scoring_of_request
from proofrank.service.errors import MissingFeature, NoSuchJob
from proofrank.service.jobs import results, submission
from proofrank.service.jobs.insertion import NewJob
from proofrank.service.jobs.job import Job
from proofrank.service.jobs.store import Submission, as_removed
from proofrank.service.jobs.submission import IDEMPOTENCY_HEADER
from proofrank.service.jobs.to_response import job_answer
from proofrank.service.ranking.to_queries import check_beam
from proofrank.service.ranking.to_response import identity_of, to_scoring
from proofrank.service.services import Services
from proofrank.service.storage.data_folder import DataFolderFullError
from proofrank.service.storage.parquet import ParquetMissingError
from proofrank.service.storage.uncancelled import uncancelled
from proofrank.service.web.json_bodies import bounded_route
from proofrank.service.web.problems import problem_responses

_MOST_LISTED = 100
_FAREWELL_SECONDS = 2.0

JobId = Annotated[str, Path(description="Id of the job.", examples=[wire.EXAMPLE_JOB_ID])]

_MISSING = problem_responses(HTTPStatus.NOT_FOUND)


def make_router(services: Services) -> APIRouter:
    """The routes on these services."""
    router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=bounded_route())
    host, settings, jobs = services.host, services.settings, services.jobs

    async def required(job_id: str) -> Job:
        job = await jobs.store.get(job_id)
        if job is None:
            raise _missing(job_id)
        return jobs.patience.with_obstacle(job)

    async def submitted(body: wire.JobRequest, key: str | None) -> Submission:
        # In threads: many queries take a while to write down, and their names to look up.
        written = await asyncio.to_thread(submission.write_body, body)
        # First of all, for what was taken once is not judged again, whatever has changed since.
        before = await submission.find(written, key, jobs.store)
        if before is not None:
            return Submission(before, is_new=False)
        check_beam(body, settings.max_beam)
        loaded = host.loaded
        dataset = loaded.dataset
        scoring = await asyncio.to_thread(scoring_of_request, body, loaded.scores, dataset, None)
        num_queries = await asyncio.to_thread(
            submission.count_queries, body, dataset, settings.max_job_queries, scoring
        )

        def scoring_of(policy: wire.Identity) -> wire.Scoring:
            of_policy = services.policies.hybrid(policy.name, policy.sha256)
            return to_scoring(scoring_of_request(body, loaded.scores, dataset, of_policy))

        new = NewJob(
            *(written, body.policy, body.policy_sha256, identity_of(dataset), num_queries, key),
            scoring_of=None if scoring is None else scoring_of,
        )
        return await uncancelled(store(new))

    async def store(new: NewJob) -> Submission:
        stored = await submission.store(new, jobs.store, settings.max_jobs, settings.max_ended_jobs)
        jobs.runner.wake()
        return stored

    async def cancelled(job_id: str) -> Job | None:
        """The job as it is cancelled; None where it has ended already."""
        ended = await jobs.store.end(await required(job_id), "cancelled")
        if ended is not None:
            jobs.runner.interrupt(ended)
        return ended

    async def remove(job_id: str) -> None:
        removed = await jobs.store.remove(job_id)
        if removed is None:
            raise _missing(job_id)
        # The runner may have things to do yet for one that has ended, such as counting it.
        if not removed.is_finished:
            jobs.runner.interrupt(removed)

    @router.post(
        "",
        status_code=HTTPStatus.ACCEPTED,
        responses={
            int(HTTPStatus.OK): {
                "model": wire.Job,
                "description": "The job was submitted before, with the same key.",
            },
            **problem_responses(
                HTTPStatus.CONFLICT,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.UNPROCESSABLE_ENTITY,
                HTTPStatus.TOO_MANY_REQUESTS,
                HTTPStatus.SERVICE_UNAVAILABLE,
                HTTPStatus.INSUFFICIENT_STORAGE,
            ),
        },
    )
    async def submit_job(
        body: wire.JobRequest,
        request: Request,
        answer: Response,
        key: Annotated[
            str | None,
            Header(
                alias=IDEMPOTENCY_HEADER,
                description="Key of the submission: the same key and body give the same job again.",
                examples=["epoch-7"],
            ),
        ] = None,
    ) -> wire.Job:
        """Submits a job; it is ranked in the background, after those submitted before."""
        submission.check_key(key)
        with _refusing_a_full_disk():
            taken = await submitted(body, key)
        answer.headers["Location"] = f"{request.scope.get('root_path', '')}/jobs/{taken.job.id}"
        if not taken.is_new:
            answer.status_code = HTTPStatus.OK
        return job_answer(jobs.patience.with_obstacle(taken.job))

    @router.get("", response_model=wire.JobList, responses=problem_responses(HTTPStatus.UNPROCESSABLE_ENTITY))
    async def list_jobs(
        limit: Annotated[
            int, Query(ge=1, le=_MOST_LISTED, description="Maximum number of jobs.", examples=[20])
        ] = 20,
        state: Annotated[
            wire.JobState | None,
            Query(description="State of the jobs; by default any.", examples=["running"]),
        ] = None,
        run: Annotated[
            str | None, Query(description="Run of the jobs; by default any or none.", examples=["run-7"])
        ] = None,
    ) -> Response:
        """The jobs, the newest first."""
        newest = [jobs.patience.with_obstacle(job) for job in await jobs.store.newest(limit, state, run)]

        def build() -> bytes:
            return wire.answer_to_json(wire.JobList(tuple(map(job_answer, newest))))

        # Each has the metrics of all relations.
        return Response(await asyncio.to_thread(build), media_type="application/json")

    @router.get("/{job_id}", responses=_MISSING)
    async def get_job(job_id: JobId) -> wire.Job:
        """A job: its state, its progress, and its metrics so far."""
        return job_answer(await required(job_id))

    @router.get(
        "/{job_id}/events",
        response_class=EventSourceResponse,
        responses={
            int(HTTPStatus.OK): {
                "description": "Events `progress`, each with the job as JSON; the last event is `end`.",
                "content": {"text/event-stream": {}},
            },
            **_MISSING,
        },
    )
    async def follow_job(job_id: JobId) -> EventSourceResponse:
        """The job after each change, as server-sent events ``progress``; the last event is ``end``."""
        found = await required(job_id)

        async def read(followed_id: str) -> Job:
            job = await jobs.store.get(followed_id)
            # Where it was removed since it was found, its end is told as to those who watched already.
            return jobs.patience.with_obstacle(job) if job is not None else as_removed(found)

        is_stopping = anyio.Event()

        async def events() -> AsyncIterator[ServerSentEvent]:
            last = "null"
            async for update in jobs.updates.follow(job_id, read, is_stopping):
                last = update.json
                yield ServerSentEvent(last, event="progress")
            # Where the server stops, the job goes on with the next one: not its end, but that of the stream.
            if not is_stopping.is_set():
                yield ServerSentEvent(last, event="end")

        return EventSourceResponse(
            events(), shutdown_event=is_stopping, shutdown_grace_period=_FAREWELL_SECONDS
        )

    @router.get("/{job_id}/results", response_model=wire.JobResults, responses=_MISSING)
    async def get_job_results(job_id: JobId) -> StreamingResponse:
        """The job and the ranks of every query that it has done."""
        job = await required(job_id)
        return StreamingResponse(results.json_pieces(job, jobs.store), media_type="application/json")

    @router.get(
        "/{job_id}/results.csv",
        response_class=StreamingResponse,
        responses={
            int(HTTPStatus.OK): _raw("text/csv", "A line of names, then a line for each ranking."),
            **_MISSING,
        },
    )
    async def get_job_results_csv(job_id: JobId) -> StreamingResponse:
        """The ranks as a table, a row for each query and side."""
        job = await required(job_id)
        return _download(results.csv_pieces(job, jobs.store), "text/csv; charset=utf-8", f"{job.id}.csv")

    @router.get(
        "/{job_id}/results.parquet",
        response_class=StreamingResponse,
        responses={
            int(HTTPStatus.OK): _raw(
                "application/vnd.apache.parquet", "A row for each ranking.", format="binary"
            ),
            **problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.NOT_IMPLEMENTED),
        },
    )
    async def get_job_results_parquet(job_id: JobId) -> StreamingResponse:
        """The same table as Parquet."""
        job = await required(job_id)
        try:
            pieces = results.parquet_pieces(job, jobs.store)
        except ParquetMissingError as error:
            raise MissingFeature(str(error)) from error
        return _download(pieces, "application/vnd.apache.parquet", f"{job.id}.parquet")

    @router.post(
        "/{job_id}/cancel",
        responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.INSUFFICIENT_STORAGE),
    )
    async def cancel_job(job_id: JobId) -> wire.Job:
        """Cancels a job that waits or runs; one that has ended stays as it is, with its results."""
        with _refusing_a_full_disk():
            ended = await uncancelled(cancelled(job_id))
        return job_answer(ended if ended is not None else await required(job_id))

    @router.delete(
        "/{job_id}",
        status_code=HTTPStatus.NO_CONTENT,
        responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.INSUFFICIENT_STORAGE),
    )
    async def delete_job(job_id: JobId) -> None:
        """Removes a job with its results, cancelling it first where it waits or runs."""
        with _refusing_a_full_disk():
            await uncancelled(remove(job_id))

    return router


def _raw(media_type: str, description: str, **schema: str) -> dict[str, Any]:
    """Returns OpenAPI's description of an answer that is no JSON."""
    return {
        "description": description,
        "content": {media_type: {"schema": {"type": "string", **schema}}},
    }


def _missing(job_id: str) -> NoSuchJob:
    return NoSuchJob(f"there is no job {job_id[:64]!r}; it may have been removed")


def _download(pieces: AsyncIterator[bytes], media_type: str, name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces, media_type=media_type, headers=headers)


@contextmanager
def _refusing_a_full_disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DataFolderFullError(f"the data folder cannot be written: {error}") from error

"""From a request for a job to a stored one: everything that can be wrong with it is told before it is taken."""

from __future__ import annotations

import hashlib
import json
import re
from http import HTTPStatus

from core.graph import Dataset
from service.jobs.job import Pinned
from service.jobs.schemas import JobOptions, JobRequest
from service.jobs.store import JobStore, NewJob, OtherBodyError, Submission, TooManyJobsError
from service.jobs.work import QUERIES, split_triples
from service.problems import FieldError, Problem, invalid, shortened
from service.ranking import NameReader
from service.rejections import Rejection

IDEMPOTENCY_HEADER = "Idempotency-Key"

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_RETRY_SECONDS = "30"


def check_key(key: str | None) -> None:
    """Raises a 422 Problem where the idempotency key is not one that is stored."""
    if key is not None and not _KEY.fullmatch(key):
        message = "expected 1 to 255 printable ASCII characters without spaces, such as a UUID"
        raise invalid([FieldError(field=IDEMPOTENCY_HEADER, value=shortened(key), message=message)])


def count_queries(request: JobRequest, dataset: Dataset, most: int) -> int:
    """How many triples the request ranks.

    Raises:
        Problem: 422 where they are none or more than ``most``, or have names that the dataset does not know.
    """
    if request.queries is None:
        assert request.split is not None
        num = len(split_triples(dataset, request.split, request.limit, request.seed))
        field, value = ("split", request.split) if request.limit is None else ("limit", request.limit)
    else:
        num = len(request.queries)
        field, value = "queries", num
    if num > most:
        message = f"too many: {num} queries, and max_job_queries is {most}"
        raise invalid([FieldError(field=field, value=value, message=message)])
    if num == 0:
        message = f"dataset {dataset.name!r} has no triples in it to rank"
        raise invalid([FieldError(field=field, value=value, message=message)])
    names = NameReader(dataset)
    for index, query in enumerate(request.queries or ()):
        names.triple(query, f"queries[{index}]")
    if names.errors:
        raise invalid(names.errors)
    return num


def new_job(
    request: JobRequest, num_queries: int, dataset: Dataset, policy: Pinned, key: str | None
) -> NewJob:
    """What is stored of a request that is good."""
    options = JobOptions.model_validate(request.model_dump(exclude={"queries"}))
    queries_json = QUERIES.dump_json(request.queries).decode() if request.queries is not None else None
    # The meaning of the body, not its bytes: a client that orders its keys otherwise sends the same again.
    body = json.dumps([options.model_dump(mode="json"), queries_json], sort_keys=True)
    return NewJob(
        policy=policy,
        dataset=Pinned(dataset.name, dataset.content_hash),
        options_json=options.model_dump_json(),
        queries_json=queries_json,
        num_queries=num_queries,
        body_sha256=hashlib.sha256(body.encode()).hexdigest(),
        idempotency_key=key,
    )


async def store(new: NewJob, jobs: JobStore, max_jobs: int) -> Submission:
    """Stores a job, or finds the one that was submitted with the same key.

    Raises:
        Problem: 422 where the key came with another body, 429 where ``max_jobs`` are unfinished.
    """
    try:
        return await jobs.submit(new, max_jobs)
    except OtherBodyError as error:
        message = "has been used for another body; a new job needs a new key"
        field = FieldError(field=IDEMPOTENCY_HEADER, value=new.idempotency_key, message=message)
        raise invalid([field]) from error
    except TooManyJobsError as error:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"{max_jobs} jobs wait or run, and max_jobs is {max_jobs}; wait for one to end, or cancel one",
            headers={"Retry-After": _RETRY_SECONDS},
            rejection=Rejection.QUEUE_FULL,
        ) from error

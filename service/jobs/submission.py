"""Checks a request for a job, reports every error in it, and stores it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from proofrank.core.graph import Dataset, Triple
from proofrank.core.ranking import Scoring
from proofrank.service.engine.served_scores import check_scored
from proofrank.service.errors import InvalidInput, NoSuchPolicy, QueueFull
from proofrank.service.jobs.chunks import QUERIES, split_triples
from proofrank.service.jobs.insertion import NewJob, OtherBodyError, SubmittedBody, TooManyJobsError
from proofrank.service.jobs.job import Job
from proofrank.service.jobs.store import JobStore, Submission
from proofrank.service.ranking.to_queries import NameReader
from proofrank.service.wire import FieldError, JobOptions, JobRequest, shortened

IDEMPOTENCY_HEADER = "Idempotency-Key"

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_RETRY_SECONDS = 30

MOST_QUERIES_TO_TOLERANCE = 100_000
"""Largest number of queries of a job with ``mrr_tolerance``, of all of which something is kept in memory at once."""


def check_key(key: str | None) -> None:
    """Raises InvalidInput if the idempotency key cannot be stored."""
    if key is not None and not _KEY.fullmatch(key):
        message = "expected 1 to 255 printable ASCII characters without spaces, such as a UUID"
        raise InvalidInput([FieldError(field=IDEMPOTENCY_HEADER, value=shortened(key), message=message)])


def count_queries(request: JobRequest, dataset: Dataset, most: int, scoring: Scoring | None = None) -> int:
    """Returns the number of triples that the request ranks.

    Args:
        request: names a split or triples.
        dataset: the served graph.
        most: number of triples that a job may have.
        scoring: what scores them beside or instead of proofs; None for proofs alone.

    Raises:
        InvalidInput: there are none or more than ``most``, or the dataset does not know their names, or the embedding
            their relations.
    """
    triples: Sequence[Triple] = ()
    if request.queries is None:
        assert request.split is not None
        triples = split_triples(dataset, request.split, request.limit, request.seed)
        num = len(triples)
        field, value = ("split", request.split) if request.limit is None else ("limit", request.limit)
    else:
        num = len(request.queries)
        field, value = "queries", num
    if num > most:
        message = f"too many: {num} queries, and max_job_queries is {most}"
        raise InvalidInput([FieldError(field=field, value=value, message=message)])
    if request.mrr_tolerance is not None and num > MOST_QUERIES_TO_TOLERANCE:
        message = f"too many: {num} queries, and at most {MOST_QUERIES_TO_TOLERANCE} with mrr_tolerance"
        raise InvalidInput([FieldError(field=field, value=value, message=message)])
    if num == 0:
        message = f"dataset {dataset.name!r} has no triples in it to rank"
        raise InvalidInput([FieldError(field=field, value=value, message=message)])
    if request.queries is not None:
        names = NameReader(dataset)
        triples = [names.triple(query, f"queries[{index}]") for index, query in enumerate(request.queries)]
        names.check()
    if scoring is not None:
        check_scored(scoring, triples)
    return num


def write_body(request: JobRequest) -> SubmittedBody:
    """Makes the stored form of a request; takes a while with many queries."""
    options = JobOptions.model_validate(request.model_dump(exclude={"queries"}))
    shown = options.model_dump(mode="json")
    for name in ("policy_sha256", "pruning"):
        if shown[name] is None:
            # Keys that were used before this field existed must find the same body again.
            del shown[name]
    queries_json = QUERIES.dump_json(request.queries).decode() if request.queries is not None else None
    meaning = json.dumps([shown, queries_json], sort_keys=True)
    return SubmittedBody(
        options.model_dump_json(), queries_json, hashlib.sha256(meaning.encode()).hexdigest()
    )


async def find(body: SubmittedBody, key: str | None, jobs: JobStore) -> Job | None:
    """Returns the job that was submitted before with the same key; None if there is no such job or no key.

    Raises:
        InvalidInput: the key was used with another body.
    """
    if key is None:
        return None
    try:
        return await jobs.find_submitted(key, body.sha256)
    except OtherBodyError as error:
        raise _other_body(key) from error


async def store(new: NewJob, jobs: JobStore, max_jobs: int, max_ended_jobs: int) -> Submission:
    """Stores a job, or finds the one that was submitted meanwhile with the same key; of the jobs that have ended,
    ``max_ended_jobs`` stay.

    Raises:
        InvalidInput: the key was used with another body, or there is no such policy.
        PolicyReplaced: the policy has other content than the request names.
        QueueFull: ``max_jobs`` are unfinished.
    """
    try:
        return await jobs.submit(new, max_jobs, max_ended_jobs)
    except OtherBodyError as error:
        raise _other_body(new.idempotency_key) from error
    except TooManyJobsError as error:
        raise QueueFull(
            f"{max_jobs} jobs wait or run, and max_jobs is {max_jobs}; wait for one to end, or cancel one",
            retry_seconds=_RETRY_SECONDS,
        ) from error
    except NoSuchPolicy as error:
        # The missing policy is a field of the request, not its path: 422 rather than 404.
        raise InvalidInput([FieldError(field="policy", value=new.policy, message=error.detail)]) from error


def _other_body(key: str | None) -> InvalidInput:
    message = "was used with another body; a new job needs a new key"
    return InvalidInput([FieldError(field=IDEMPOTENCY_HEADER, value=key, message=message)])

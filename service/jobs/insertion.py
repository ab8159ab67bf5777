"""Finds a submitted job in the database by its key, or stores it with the policy that it pins.

Each function runs inside the transaction of ``connection``.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from proofrank.core.formats.times import write_time
from proofrank.service.errors import PolicyReplaced
from proofrank.service.jobs.job import Job
from proofrank.service.jobs.rows import IS_UNFINISHED, existing_job
from proofrank.service.policies import records
from proofrank.service.wire import Identity, RunStep, Scoring, answer_to_json


class TooManyJobsError(Exception):
    """The maximum number of unfinished jobs is reached."""


class OtherBodyError(Exception):
    """The idempotency key was used before with another body."""


@dataclass(frozen=True)
class SubmittedBody:
    """A request for a job, as it is stored.

    Attributes:
        options_json: the options.
        queries_json: the queries; None if the job ranks a split.
        sha256: hash of both. It covers the meaning, not the bytes, so a body with its keys in another order is the
            same.
    """

    options_json: str
    queries_json: str | None
    sha256: str


@dataclass(frozen=True)
class NewJob:
    """A job to store.

    Attributes:
        body: what the client asks for.
        policy: name of the stored policy that ranks the job; None for the live one.
        policy_sha256: hash that the content of ``policy`` must have; None for any.
        dataset: dataset of its triples.
        num_queries: number of triples to rank.
        idempotency_key: the client's key, if it sent one.
        scoring_of: says what the scores are, given the policy that is pinned; None for those of proofs.
    """

    body: SubmittedBody
    policy: str | None
    policy_sha256: str | None
    dataset: Identity
    num_queries: int
    idempotency_key: str | None
    scoring_of: Callable[[Identity], Scoring] | None = None


def find_submitted(
    connection: sqlite3.Connection, idempotency_key: str | None, body_sha256: str
) -> Job | None:
    """Returns the job that was submitted with this key; None if there is no such job or no key.

    Raises:
        OtherBodyError: the key was used with another body.
    """
    if idempotency_key is None:
        return None
    row = connection.execute(
        "SELECT id, body_sha256 FROM jobs WHERE idempotency_key = ?", (idempotency_key,)
    ).fetchone()
    if row is None:
        return None
    if row[1] != body_sha256:
        raise OtherBodyError(idempotency_key)
    return existing_job(connection, row[0])


def insert(connection: sqlite3.Connection, new: NewJob, max_unfinished: int) -> Job:
    """Stores a new job with state ``queued``.

    Raises:
        NoSuchPolicy: there is no policy with the requested name.
        PolicyReplaced: the policy of that name has other content than the request names.
        TooManyJobsError: ``max_unfinished`` jobs are unfinished.
        ServiceError: what ``new.scoring_of`` raises.
    """
    (num,) = connection.execute(f"SELECT count(*) FROM jobs WHERE {IS_UNFINISHED}").fetchone()
    if num >= max_unfinished:
        raise TooManyJobsError(num)
    policy = _pinned(connection, new.policy, new.policy_sha256)
    job_id = uuid.uuid4().hex
    cursor = connection.execute(
        "INSERT INTO jobs (id, idempotency_key, body_sha256, state, created, policy_name, policy_sha256, "
        "dataset_name, dataset_sha256, options, num_queries, scoring, run, step, labels, trajectory_steps) "
        "VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        (
            *(job_id, new.idempotency_key, new.body.sha256, write_time(datetime.now(UTC))),
            *(policy.name, policy.sha256, new.dataset.name, new.dataset.sha256),
            *(new.body.options_json, new.num_queries),
            None if new.scoring_of is None else answer_to_json(new.scoring_of(policy)).decode(),
            *records.place_columns(_place_of(connection, policy)),
        ),
    )
    if new.body.queries_json is not None:
        connection.execute("INSERT INTO job_queries VALUES (?, ?)", (cursor.lastrowid, new.body.queries_json))
    return existing_job(connection, job_id)


def _place_of(connection: sqlite3.Connection, policy: Identity) -> RunStep:
    """Returns the place of a policy in a run; none if its name has other content by now."""
    record = records.find(connection, policy.name)
    return record.place if record is not None and record.sha256 == policy.sha256 else records.NO_RUN


def _pinned(connection: sqlite3.Connection, name: str | None, sha256: str | None) -> Identity:
    """Returns the policy of this name, or the live one, as this transaction sees it.

    Read in an earlier transaction, its content might be removed before the job is stored and protects it.
    """
    if name is not None:
        record = records.required(connection, name)
        if sha256 is not None and record.sha256 != sha256:
            raise PolicyReplaced(
                f"policy {name!r} has the content {record.sha256} by now, not {sha256}; "
                "give each training run a policy name of its own"
            )
        return Identity(record.name, record.sha256)
    live = records.live(connection)
    assert live is not None, "a policy is live before the first job can be taken"
    return Identity(live.name, live.sha256)

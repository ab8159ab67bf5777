"""A submitted job and the database: found by its key, or stored with the policy that it pins.

Each function is part of the transaction that ``connection`` is in.
"""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from proofrank.core.formats.times import write_time
from proofrank.service.jobs.job import Job, Pinned
from proofrank.service.jobs.rows import IS_UNFINISHED, existing_job
from proofrank.service.policies import records


class TooManyJobsError(Exception):
    """As many jobs are unfinished as may be."""


class OtherBodyError(Exception):
    """The idempotency key came with another body before."""


@dataclass(frozen=True)
class SubmittedBody:
    """What a request for a job asks for, as it is stored.

    Attributes:
        options_json: its options.
        queries_json: its queries; None where it ranks a split.
        sha256: of both: of the meaning, not of the bytes, so that another order of keys is the same body.
    """

    options_json: str
    queries_json: str | None
    sha256: str


@dataclass(frozen=True)
class NewJob:
    """What is stored of a job that is submitted.

    Attributes:
        body: what it asks for.
        policy: name of the stored policy that ranks it; the live one if None.
        dataset: whose triples it ranks.
        num_queries: how many triples it ranks.
        idempotency_key: of the client, if it sent one.
    """

    body: SubmittedBody
    policy: str | None
    dataset: Pinned
    num_queries: int
    idempotency_key: str | None


def find_submitted(
    connection: sqlite3.Connection, idempotency_key: str | None, body_sha256: str
) -> Job | None:
    """The job that was submitted with this key; None where there is none, or no key.

    Raises:
        OtherBodyError: the key came with another body.
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
    """Stores a job that waits.

    Raises:
        NoSuchPolicy: no policy has the name that it asks for.
        TooManyJobsError: ``max_unfinished`` jobs are unfinished.
    """
    (num,) = connection.execute(f"SELECT count(*) FROM jobs WHERE {IS_UNFINISHED}").fetchone()
    if num >= max_unfinished:
        raise TooManyJobsError(num)
    policy = _pinned(connection, new.policy)
    job_id = uuid.uuid4().hex
    cursor = connection.execute(
        "INSERT INTO jobs (id, idempotency_key, body_sha256, state, created, policy_name, policy_sha256, "
        "dataset_name, dataset_sha256, options, num_queries) VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)",
        (
            *(job_id, new.idempotency_key, new.body.sha256, write_time(datetime.now(UTC))),
            *(*policy, *new.dataset, new.body.options_json, new.num_queries),
        ),
    )
    if new.body.queries_json is not None:
        connection.execute("INSERT INTO job_queries VALUES (?, ?)", (cursor.lastrowid, new.body.queries_json))
    return existing_job(connection, job_id)


def _pinned(connection: sqlite3.Connection, name: str | None) -> Pinned:
    """The policy of this name, or the live one, as it is in the transaction that says who needs it.

    Chosen any earlier, its content might be removed before the job is there to hold on to it.
    """
    if name is not None:
        record = records.required(connection, name)
        return Pinned(record.name, record.sha256)
    live = records.live(connection)
    assert live is not None, "a policy is live before the first job can be taken"
    return Pinned(live.name, live.sha256)

"""Jobs and their rankings in the database.

Each method is one transaction, so that a kill leaves a job as it was before or after: a chunk's rankings and the
progress that counts them are written together. Whatever changes a job is told to ``on_change``, on the event loop.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.database import Database
from service.jobs.job import STATES, UNFINISHED, Change, Job, JobState, Pinned, StoredRanking
from service.jobs.rows import (
    INSERT_RANKING,
    JOB_COLUMNS,
    RANKING_COLUMNS,
    read_job,
    read_ranking,
    write_ranking,
)

_IS_UNFINISHED = f"state IN ({', '.join(repr(state) for state in UNFINISHED)})"


class TooManyJobsError(Exception):
    """As many jobs are unfinished as may be."""


class OtherBodyError(Exception):
    """The idempotency key came with another body before."""


@dataclass(frozen=True)
class NewJob:
    """What is stored of a job that is submitted.

    Attributes:
        policy: ranks it.
        dataset: whose triples it ranks.
        options_json: the options of its request.
        queries_json: the queries of its request; None where it ranks a split.
        num_queries: how many triples it ranks.
        body_sha256: of the whole request.
        idempotency_key: of the client, if it sent one.
    """

    policy: Pinned
    dataset: Pinned
    options_json: str
    queries_json: str | None
    num_queries: int
    body_sha256: str
    idempotency_key: str | None


@dataclass(frozen=True)
class Submission:
    """The job, and whether it was made just now rather than by an earlier submission with the same key."""

    job: Job
    is_new: bool


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


class JobStore:
    """The jobs of a data folder."""

    def __init__(self, database: Database, on_change: Callable[[Change], None]) -> None:
        self._database = database
        self._on_change = on_change

    async def submit(self, new: NewJob, max_unfinished: int) -> Submission:
        """Stores a job, or finds the one that was submitted with the same key.

        Raises:
            OtherBodyError: the key came with another body.
            TooManyJobsError: ``max_unfinished`` jobs are unfinished.
        """

        def work(connection: sqlite3.Connection) -> Submission:
            if new.idempotency_key is not None:
                row = connection.execute(
                    "SELECT id, body_sha256 FROM jobs WHERE idempotency_key = ?", (new.idempotency_key,)
                ).fetchone()
                if row is not None and row[1] != new.body_sha256:
                    raise OtherBodyError(new.idempotency_key)
                if row is not None:
                    return Submission(_existing(connection, row[0]), is_new=False)
            (num,) = connection.execute(f"SELECT count(*) FROM jobs WHERE {_IS_UNFINISHED}").fetchone()
            if num >= max_unfinished:
                raise TooManyJobsError(num)
            job_id = uuid.uuid4().hex
            cursor = connection.execute(
                "INSERT INTO jobs (id, idempotency_key, body_sha256, state, created, policy_name, policy_sha256, "
                "dataset_name, dataset_sha256, options, num_queries) VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(job_id, new.idempotency_key, new.body_sha256, _text(now())),
                    *(*new.policy, *new.dataset, new.options_json, new.num_queries),
                ),
            )
            if new.queries_json is not None:
                connection.execute(
                    "INSERT INTO job_queries VALUES (?, ?)", (cursor.lastrowid, new.queries_json)
                )
            return Submission(_existing(connection, job_id), is_new=True)

        def with_counts(connection: sqlite3.Connection) -> tuple[Submission, Mapping[JobState, int]]:
            return work(connection), _counts(connection)

        submission, counts = await self._database.run(with_counts)
        if submission.is_new:
            self._on_change(Change(submission.job.id, submission.job, counts))
        return submission

    async def get(self, job_id: str) -> Job | None:
        """The job of this id; None where there is none."""
        return await self._database.run(lambda connection: _find(connection, job_id))

    async def newest(self, limit: int, state: JobState | None) -> list[Job]:
        """At most ``limit`` jobs, the newest first, of one state or of all."""

        def work(connection: sqlite3.Connection) -> list[Job]:
            rows = connection.execute(
                f"SELECT {JOB_COLUMNS} FROM jobs WHERE ?1 IS NULL OR state = ?1 ORDER BY number DESC LIMIT ?2",
                (state, limit),
            )
            return [read_job(row) for row in rows]

        return await self._database.run(work)

    async def queries_json(self, job: Job) -> str | None:
        """The queries that were submitted with the job; None where it ranks a split."""

        def work(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(
                "SELECT queries FROM job_queries WHERE job = ?", (job.number,)
            ).fetchone()
            return row[0] if row is not None else None

        return await self._database.run(work)

    async def begin_next(self) -> Job | None:
        """Lets the job that has waited longest run; None where none waits. One that has begun goes first."""

        def work(connection: sqlite3.Connection) -> Job | None:
            row = connection.execute(
                f"SELECT id FROM jobs WHERE {_IS_UNFINISHED} ORDER BY number LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', started = coalesce(started, ?) WHERE id = ?",
                (_text(now()), row[0]),
            )
            return _existing(connection, row[0])

        return await self._changed(work)

    async def requeue_running(self) -> None:
        """Lets the jobs wait that ran when the server ended."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")

        await self._changed(work)

    async def set_num_candidates(self, job: Job, num_candidates: int) -> Job | None:
        """Stores how many candidates a running job has; None where it runs no more."""
        return await self._update_running(job, "num_candidates = ?", (num_candidates,))

    async def add_chunk(
        self, job: Job, rankings: Sequence[StoredRanking], queries_done: int, report_json: str
    ) -> Job | None:
        """Stores rankings of a running job with the progress that they mean; None where it runs no more."""
        num_candidates = sum(ranking.summary.ranks.num_candidates for ranking in rankings)

        def work(connection: sqlite3.Connection) -> Job | None:
            cursor = connection.execute(
                "UPDATE jobs SET queries_done = ?, candidates_done = candidates_done + ?, report = ?, error = NULL "
                "WHERE number = ? AND state = 'running'",
                (queries_done, num_candidates, report_json, job.number),
            )
            if not cursor.rowcount:
                return None
            connection.executemany(
                INSERT_RANKING, (write_ranking(job.number, ranking) for ranking in rankings)
            )
            return _existing(connection, job.id)

        return await self._changed(work)

    async def end(self, job: Job, state: JobState, error: str | None = None) -> Job | None:
        """Ends an unfinished job; None where it has ended already."""

        def work(connection: sqlite3.Connection) -> Job | None:
            cursor = connection.execute(
                f"UPDATE jobs SET state = ?, finished = ?, error = ? WHERE number = ? AND {_IS_UNFINISHED}",
                (state, _text(now()), error, job.number),
            )
            return _existing(connection, job.id) if cursor.rowcount else None

        return await self._changed(work)

    async def remove(self, job: Job) -> None:
        """Removes a job with all that it made."""

        def work(connection: sqlite3.Connection) -> Mapping[JobState, int]:
            connection.execute("DELETE FROM jobs WHERE number = ?", (job.number,))
            return _counts(connection)

        counts = await self._database.run(work)
        self._on_change(Change(job.id, None, counts))

    async def sweep(self, days: float, most: int) -> int:
        """Removes ended jobs that ended ``days`` ago, and the oldest beyond ``most``; returns how many."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(
                f"DELETE FROM jobs WHERE NOT {_IS_UNFINISHED} AND (finished < ? OR number NOT IN "
                f"(SELECT number FROM jobs WHERE NOT {_IS_UNFINISHED} ORDER BY finished DESC, number DESC LIMIT ?))",
                (_text(now() - timedelta(days=days)), most),
            ).rowcount

        num, counts = await self._database.run(lambda connection: (work(connection), _counts(connection)))
        self._on_change(Change("", None, counts))
        return num

    async def rankings(self, job: Job, start: int, stop: int) -> list[StoredRanking]:
        """The rankings of the queries from ``start`` until before ``stop``, in order."""

        def work(connection: sqlite3.Connection) -> list[StoredRanking]:
            rows = connection.execute(
                f"SELECT {RANKING_COLUMNS} FROM rankings WHERE job = ? AND query_index >= ? AND query_index < ? "
                "ORDER BY query_index, side",
                (job.number, start, stop),
            )
            return [read_ranking(row) for row in rows]

        return await self._database.run(work)

    async def _update_running(self, job: Job, assignment: str, values: tuple[object, ...]) -> Job | None:
        def work(connection: sqlite3.Connection) -> Job | None:
            cursor = connection.execute(
                f"UPDATE jobs SET {assignment} WHERE number = ? AND state = 'running'", (*values, job.number)
            )
            return _existing(connection, job.id) if cursor.rowcount else None

        return await self._changed(work)

    async def _changed(self, work: Callable[[sqlite3.Connection], Job | None]) -> Job | None:
        """Runs ``work`` and tells of the job that it returns."""
        job, counts = await self._database.run(lambda connection: (work(connection), _counts(connection)))
        self._on_change(Change(job.id if job is not None else "", job, counts))
        return job


def policies_in_use(connection: sqlite3.Connection) -> frozenset[str]:
    """The SHA-256 of each policy that an unfinished job needs."""
    rows = connection.execute(f"SELECT DISTINCT policy_sha256 FROM jobs WHERE {_IS_UNFINISHED}")
    return frozenset(row[0] for row in rows)


def _find(connection: sqlite3.Connection, job_id: str) -> Job | None:
    row = connection.execute(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return read_job(row) if row is not None else None


def _existing(connection: sqlite3.Connection, job_id: str) -> Job:
    job = _find(connection, job_id)
    assert job is not None, f"job {job_id} was found in this transaction"
    return job


def _counts(connection: sqlite3.Connection) -> Mapping[JobState, int]:
    found = dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
    return {state: found.get(state, 0) for state in STATES}

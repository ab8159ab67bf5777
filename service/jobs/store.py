"""Jobs and their rankings in the database.

Each method is one transaction, so a kill leaves a job as it was before or after: the rankings of a chunk and the
progress that counts them are written together. The store calls ``on_change`` on the event loop after every change.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from proofrank.core.formats.times import write_time
from proofrank.core.ranking import PruningCounts
from proofrank.service.errors import JobRemovedError
from proofrank.service.jobs.insertion import NewJob, find_submitted, insert
from proofrank.service.jobs.interval_rows import (
    IntervalProgress,
    drop_state,
    read_intervals,
    read_state,
    write_progress,
)
from proofrank.service.jobs.job import Change, Job, StoredRanking
from proofrank.service.jobs.rows import (
    INSERT_RANKING,
    IS_UNFINISHED,
    JOB_COLUMNS,
    RANKING_COLUMNS,
    RankRow,
    existing_job,
    find_job,
    rank_row_columns,
    read_job,
    read_ranking,
    write_ranking,
)
from proofrank.service.storage.database import Database
from proofrank.service.wire import JOB_STATES, JobRankInterval, JobState, Ties


@dataclass(frozen=True)
class Submission:
    """A job, and whether this submission made it rather than an earlier one with the same key."""

    job: Job
    is_new: bool


def now() -> datetime:
    """Returns the time in UTC."""
    return datetime.now(UTC)


def as_removed(job: Job) -> Job:
    """Returns a removed job as its watchers see it end: cancelled, unless it had ended before."""
    if job.is_finished:
        return job
    return dataclasses.replace(job, state="cancelled", finished=write_time(now()), error=None)


class JobStore:
    """The jobs of a data folder."""

    def __init__(self, database: Database, on_change: Callable[[Change], None]) -> None:
        self._database = database
        self._on_change = on_change

    async def find_submitted(self, idempotency_key: str, body_sha256: str) -> Job | None:
        """Returns the job that was submitted with this key; None if there is none.

        Raises:
            OtherBodyError: the key was used with another body.
        """
        return await self._database.run(
            lambda connection: find_submitted(connection, idempotency_key, body_sha256)
        )

    async def submit(self, new: NewJob, max_unfinished: int, max_ended: int | None = None) -> Submission:
        """Stores a job, or finds the one that was submitted before with the same key.

        Args:
            new: the job.
            max_unfinished: number of unfinished jobs from which on none is taken.
            max_ended: number of ended jobs to keep, of which the oldest are removed; None for all.

        Raises:
            OtherBodyError: the key was used with another body.
            NoSuchPolicy: there is no policy with the requested name.
            TooManyJobsError: ``max_unfinished`` jobs are unfinished.
        """

        def work(connection: sqlite3.Connection) -> tuple[Submission, Mapping[JobState, int]]:
            before = find_submitted(connection, new.idempotency_key, new.body.sha256)
            if before is not None:
                submission = Submission(before, is_new=False)
            else:
                submission = Submission(insert(connection, new, max_unfinished), is_new=True)
                if max_ended is not None:
                    # Not once a day alone: clients may submit and cancel more jobs in a day than there is room for.
                    _remove_surplus(connection, max_ended)
            return submission, _counts(connection)

        submission, counts = await self._database.run(work)
        if submission.is_new:
            self._on_change(Change(submission.job, counts))
        return submission

    async def get(self, job_id: str) -> Job | None:
        """Returns the job with this id; None if there is none."""
        return await self._database.run(lambda connection: find_job(connection, job_id))

    async def newest(self, limit: int, state: JobState | None, run: str | None = None) -> list[Job]:
        """Returns at most ``limit`` jobs of one state and one run, or of all, the newest first."""

        def work(connection: sqlite3.Connection) -> list[Job]:
            rows = connection.execute(
                f"SELECT {JOB_COLUMNS} FROM jobs WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR run = ?2) "
                "ORDER BY number DESC LIMIT ?3",
                (state, run, limit),
            )
            return [read_job(row) for row in rows]

        return await self._database.run(work)

    async def counts(self) -> Mapping[JobState, int]:
        """Returns the number of jobs in each state."""
        return await self._database.run(_counts)

    async def queries_json(self, job: Job) -> str | None:
        """Returns the queries that were submitted with the job; None if it ranks a split.

        Raises:
            JobRemovedError: the job has been removed.
        """

        def work(connection: sqlite3.Connection) -> tuple[str | None] | None:
            return connection.execute(
                "SELECT queries FROM jobs LEFT JOIN job_queries ON job = number WHERE number = ?",
                (job.number,),
            ).fetchone()

        row = await self._database.run(work)
        if row is None:
            raise JobRemovedError(job.id)
        return row[0]

    async def begin_next(self) -> Job | None:
        """Starts the oldest unfinished job, whether or not it had begun before; returns None if there is none."""

        def work(connection: sqlite3.Connection) -> Job | None:
            row = connection.execute(
                f"SELECT id FROM jobs WHERE {IS_UNFINISHED} ORDER BY number LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', started = coalesce(started, ?) WHERE id = ?",
                (write_time(now()), row[0]),
            )
            return existing_job(connection, row[0])

        return await self._changed(work)

    async def requeue_running(self) -> None:
        """Requeues the jobs that were running when the server ended."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")

        await self._changed(work)

    async def set_num_candidates(self, job: Job, num_candidates: int) -> Job | None:
        """Stores the number of candidates of a running job; returns None if the job is no longer running."""
        return await self._update_running(job, "num_candidates = ?", (num_candidates,))

    async def set_engine(self, job: Job, engine: str, prover_json: str) -> Job | None:
        """Stores the engine and the settings of the prover that a running job begins with; returns None if the job is
        no longer running.
        """
        return await self._update_running(job, "engine = ?, prover = ?", (engine, prover_json))

    async def add_chunk(
        self,
        job: Job,
        rankings: Sequence[StoredRanking],
        queries_done: int,
        report_json: str,
        counts: PruningCounts,
    ) -> Job | None:
        """Stores rankings of a running job together with its progress; returns None if the job is no longer running.

        Args:
            job: that is running.
            rankings: of whole queries.
            queries_done: number of queries done with these.
            report_json: metrics of all of them.
            counts: what was left out of ``rankings``.
        """
        num_candidates = sum(ranking.summary.ranks.num_candidates for ranking in rankings)

        def work(connection: sqlite3.Connection) -> Job | None:
            cursor = connection.execute(
                "UPDATE jobs SET queries_done = ?, candidates_done = candidates_done + ?, report = ?, error = NULL, "
                "candidates_unprovable = candidates_unprovable + ?, "
                "candidates_fallen_behind = candidates_fallen_behind + ?, trajectory_steps = trajectory_steps + ? "
                "WHERE number = ? AND state = 'running'",
                (
                    *(queries_done, num_candidates, report_json),
                    *(counts.unprovable, counts.fallen_behind, counts.steps, job.number),
                ),
            )
            if not cursor.rowcount:
                return None
            connection.executemany(
                INSERT_RANKING, (write_ranking(job.number, ranking) for ranking in rankings)
            )
            return existing_job(connection, job.id)

        return await self._changed(work)

    async def add_intervals(self, job: Job, progress: IntervalProgress) -> Job | None:
        """Stores the progress of a running job with ``mrr_tolerance``; returns None if the job is no longer running."""

        def work(connection: sqlite3.Connection) -> Job | None:
            is_running = write_progress(connection, job.number, progress)
            return existing_job(connection, job.id) if is_running else None

        return await self._changed(work)

    async def refinement_state(self, job: Job) -> tuple[str, bytes] | None:
        """Returns what an unfinished job with ``mrr_tolerance`` may go on from, and what that was found out with."""
        return await self._database.run(lambda connection: read_state(connection, job.number))

    async def intervals(self, job: Job, start: int, stop: int) -> list[JobRankInterval]:
        """Returns where the ranks of the queries from ``start`` to before ``stop`` lie, in order."""
        return await self._database.run(
            lambda connection: read_intervals(connection, job.number, start, stop)
        )

    async def end(self, job: Job, state: JobState, error: str | None = None) -> Job | None:
        """Ends an unfinished job; returns None if it has already ended."""

        def work(connection: sqlite3.Connection) -> Job | None:
            cursor = connection.execute(
                f"UPDATE jobs SET state = ?, finished = ?, error = ? WHERE number = ? AND {IS_UNFINISHED}",
                (state, write_time(now()), error, job.number),
            )
            drop_state(connection, job.number)
            return existing_job(connection, job.id) if cursor.rowcount else None

        return await self._changed(work)

    async def remove(self, job_id: str) -> Job | None:
        """Removes a job and its rankings; returns it as it was, or None if there is none.

        This cancels an unfinished job. Its watchers are told, because they would otherwise never see its end.
        """

        def work(connection: sqlite3.Connection) -> tuple[Job | None, Mapping[JobState, int]]:
            job = find_job(connection, job_id)
            connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            return job, _counts(connection)

        job, counts = await self._database.run(work)
        if job is not None:
            self._on_change(Change(as_removed(job), counts))
        return job

    async def sweep(self, days: float, most: int) -> int:
        """Removes jobs that ended over ``days`` ago, and the oldest ended ones beyond ``most``; returns how many."""

        def work(connection: sqlite3.Connection) -> int:
            removed = connection.execute(
                f"DELETE FROM jobs WHERE NOT {IS_UNFINISHED} AND finished < ?",
                (write_time(now() - timedelta(days=days)),),
            ).rowcount
            return removed + _remove_surplus(connection, most)

        num, counts = await self._database.run(lambda connection: (work(connection), _counts(connection)))
        self._on_change(Change(None, counts))
        return num

    async def rankings(self, job: Job, start: int, stop: int) -> list[StoredRanking]:
        """Returns the rankings of the queries from ``start`` to before ``stop``, in order."""

        def work(connection: sqlite3.Connection) -> list[StoredRanking]:
            rows = connection.execute(
                f"SELECT {RANKING_COLUMNS} FROM rankings WHERE job = ? AND query_index >= ? AND query_index < ? "
                "ORDER BY query_index, side",
                (job.number, start, stop),
            )
            return [read_ranking(row) for row in rows]

        return await self._database.run(work)

    async def rank_rows(self, job: Job, ties: Ties, start: int, stop: int) -> list[RankRow]:
        """Returns what a comparison needs of the rankings of some queries, in order, as :meth:`rankings` does."""

        def work(connection: sqlite3.Connection) -> list[RankRow]:
            rows = connection.execute(
                f"SELECT {rank_row_columns(ties)} FROM rankings WHERE job = ? AND query_index >= ? "
                "AND query_index < ? ORDER BY query_index, side",
                (job.number, start, stop),
            )
            return list(map(RankRow._make, rows))

        return await self._database.run(work)

    async def _update_running(self, job: Job, assignment: str, values: tuple[object, ...]) -> Job | None:
        def work(connection: sqlite3.Connection) -> Job | None:
            cursor = connection.execute(
                f"UPDATE jobs SET {assignment} WHERE number = ? AND state = 'running'", (*values, job.number)
            )
            return existing_job(connection, job.id) if cursor.rowcount else None

        return await self._changed(work)

    async def _changed(self, work: Callable[[sqlite3.Connection], Job | None]) -> Job | None:
        """Runs ``work`` and reports the job that it returns to ``on_change``."""
        job, counts = await self._database.run(lambda connection: (work(connection), _counts(connection)))
        self._on_change(Change(job, counts))
        return job


def policies_in_use(connection: sqlite3.Connection) -> frozenset[str]:
    """Returns the SHA-256 of each policy that an unfinished job needs."""
    rows = connection.execute(f"SELECT DISTINCT policy_sha256 FROM jobs WHERE {IS_UNFINISHED}")
    return frozenset(row[0] for row in rows)


def _remove_surplus(connection: sqlite3.Connection, most: int) -> int:
    """Removes the ended jobs beyond the ``most`` that ended last; returns how many."""
    return connection.execute(
        f"DELETE FROM jobs WHERE NOT {IS_UNFINISHED} AND number NOT IN "
        f"(SELECT number FROM jobs WHERE NOT {IS_UNFINISHED} ORDER BY finished DESC, number DESC LIMIT ?)",
        (most,),
    ).rowcount


def _counts(connection: sqlite3.Connection) -> Mapping[JobState, int]:
    found = dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
    return {state: found.get(state, 0) for state in JOB_STATES}

"""What the database has of jobs with ``mrr_tolerance``: where ranks lie, and the state to go on from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from proofrank.core.ranking import PruningCounts
from proofrank.service.wire import JobRankInterval

_INSERT = (
    "INSERT OR REPLACE INTO rank_intervals (job, query_index, head, relation, tail, side, rank_low, rank_high, proved, "
    "open, num_candidates) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_SELECT = (
    "SELECT query_index, head, relation, tail, side, rank_low, rank_high, proved, open, num_candidates "
    "FROM rank_intervals WHERE job = ? AND query_index >= ? AND query_index < ? ORDER BY query_index, side"
)


@dataclass(frozen=True)
class IntervalProgress:
    """How far a job has come.

    Attributes:
        rankings: those whose intervals have changed.
        queries_done: queries whose positives were tried; all at the end.
        candidates_done: candidates whose order is known.
        counts: which way they took.
        report_json: intervals of the metrics.
        origin: what the state was found out with.
        state: what another run goes on from.
    """

    rankings: tuple[JobRankInterval, ...]
    queries_done: int
    candidates_done: int
    counts: PruningCounts
    report_json: str
    origin: str
    state: bytes


def write_progress(connection: sqlite3.Connection, job_number: int, progress: IntervalProgress) -> bool:
    """Stores progress; returns False if the job is no longer running."""
    counts = progress.counts
    cursor = connection.execute(
        "UPDATE jobs SET queries_done = ?, candidates_done = ?, report = ?, error = NULL, candidates_unprovable = ?, "
        "candidates_fallen_behind = ?, trajectory_steps = ? WHERE number = ? AND state = 'running'",
        (
            *(progress.queries_done, progress.candidates_done, progress.report_json),
            *(counts.unprovable, counts.fallen_behind, counts.steps, job_number),
        ),
    )
    if not cursor.rowcount:
        return False
    connection.executemany(_INSERT, _values(job_number, progress.rankings))
    connection.execute(
        "INSERT OR REPLACE INTO job_states (job, origin, state) VALUES (?, ?, ?)",
        (job_number, progress.origin, progress.state),
    )
    return True


def read_state(connection: sqlite3.Connection, job_number: int) -> tuple[str, bytes] | None:
    """The origin and the bytes of what is stored of an unfinished job; None if there is nothing."""
    return connection.execute("SELECT origin, state FROM job_states WHERE job = ?", (job_number,)).fetchone()


def drop_state(connection: sqlite3.Connection, job_number: int) -> None:
    """Removes what a job that has ended no longer needs."""
    connection.execute("DELETE FROM job_states WHERE job = ?", (job_number,))


def read_intervals(
    connection: sqlite3.Connection, job_number: int, start: int, stop: int
) -> list[JobRankInterval]:
    """The rankings of the queries from ``start`` to before ``stop``, in order."""
    rows = connection.execute(_SELECT, (job_number, start, stop))
    found = []
    for *place, proved, num_open, num_candidates in rows:
        index, head, relation, tail, side, low, high = place
        was_proved = None if proved is None else bool(proved)
        found.append(
            JobRankInterval(
                index, head, relation, tail, side, low, high, was_proved, num_open, num_candidates
            )
        )
    return found


def _values(job_number: int, rankings: Iterable[JobRankInterval]) -> Iterable[tuple[object, ...]]:
    for ranking in rankings:
        yield (
            *(job_number, ranking.query_index, ranking.head, ranking.relation, ranking.tail, ranking.side),
            *(ranking.rank_low, ranking.rank_high, ranking.proved, ranking.open, ranking.num_candidates),
        )

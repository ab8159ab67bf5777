"""Conversion of jobs and rankings to database rows and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from proofrank.core.ranking import RankingSummary, Ranks
from proofrank.service.jobs.job import Job, StoredRanking
from proofrank.service.policies.records import read_place
from proofrank.service.wire import UNFINISHED_STATES, Identity, Ties

IS_UNFINISHED = f"state IN ({', '.join(repr(state) for state in UNFINISHED_STATES)})"
"""Condition of a job that has not ended."""

JOB_COLUMNS = (
    "number, id, state, created, started, finished, policy_name, policy_sha256, dataset_name, dataset_sha256, "
    "options, num_queries, queries_done, num_candidates, candidates_done, candidates_unprovable, "
    "candidates_fallen_behind, trajectory_steps, report, error, scoring, engine, prover, run, step, labels"
)

RANKING_COLUMNS = (
    "query_index, side, head, relation, tail, optimistic, realistic, pessimistic, random, num_candidates, score, "
    "log_probability, proved, steps, corruptions_proved, seconds, knows_proved, tries_proofs, "
    "embedding_score"
)

RANK_COLUMN_OF_TIES: Mapping[Ties, str] = {
    "optimistic": "optimistic",
    "realistic": "realistic",
    "pessimistic": "pessimistic",
    "random": "random",
}
"""The column of the rank that counts, by the ties of the job."""


class RankRow(NamedTuple):
    """The part of a ranking that a comparison needs."""

    head: str
    relation: str
    tail: str
    side: str
    rank: float
    num_candidates: int
    proved: int


def rank_row_columns(ties: Ties) -> str:
    """Returns the columns of a ``RankRow``."""
    return ", ".join(RANK_COLUMN_OF_TIES[ties] if name == "rank" else name for name in RankRow._fields)


INSERT_RANKING = (
    f"INSERT INTO rankings (job, {RANKING_COLUMNS}) VALUES (?{', ?' * (RANKING_COLUMNS.count(',') + 1)})"
)


def read_job(row: tuple[Any, ...]) -> Job:
    """Reads a job from a row of ``JOB_COLUMNS``."""
    number, job_id, state, created, started, finished, *rest = row
    policy_name, policy_sha256, dataset_name, dataset_sha256, *progress, run, step, labels = rest
    return Job(
        *(number, job_id, state, created, started, finished),
        *(Identity(policy_name, policy_sha256), Identity(dataset_name, dataset_sha256)),
        *progress,
        place=read_place(run, step, labels),
    )


def find_job(connection: sqlite3.Connection, job_id: str) -> Job | None:
    """Returns the job with this id; None if there is none."""
    row = connection.execute(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return read_job(row) if row is not None else None


def existing_job(connection: sqlite3.Connection, job_id: str) -> Job:
    """Returns the job with this id, which this transaction has found or made."""
    job = find_job(connection, job_id)
    assert job is not None, f"job {job_id} was found in this transaction"
    return job


def write_ranking(job_number: int, ranking: StoredRanking) -> tuple[Any, ...]:
    """Returns the values for ``INSERT_RANKING``."""
    summary, ranks = ranking.summary, ranking.summary.ranks
    return (
        *(job_number, summary.query_index, summary.side, ranking.head, ranking.relation, ranking.tail),
        *(ranks.optimistic, ranks.realistic, ranks.pessimistic, ranks.random, ranks.num_candidates),
        *(ranking.score, ranking.log_probability, summary.is_proved, ranking.steps),
        *(summary.corruptions_proved, summary.seconds, summary.knows_proved, summary.tries_proofs),
        ranking.embedding_score,
    )


def read_ranking(row: tuple[Any, ...]) -> StoredRanking:
    """Reads a ranking from a row of ``RANKING_COLUMNS``."""
    (
        query_index,
        side,
        head,
        relation,
        tail,
        *ranks,
        score,
        log_probability,
        proved,
        steps,
        corruptions,
        seconds,
        knows_proved,
        tries_proofs,
        embedding_score,
    ) = row
    return StoredRanking(
        *(head, relation, tail, score, log_probability, steps),
        RankingSummary(
            *(query_index, side, Ranks(*ranks), bool(proved), corruptions, seconds),
            knows_proved=bool(knows_proved),
            tries_proofs=bool(tries_proofs),
        ),
        embedding_score,
    )

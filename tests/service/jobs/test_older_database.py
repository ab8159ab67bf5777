"""Jobs of a database from before pruning: what was counted is kept, and what was not is null."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from proofrank.core.ranking import PruningCounts
from proofrank.service.jobs.job import Change, Job, StoredRanking
from proofrank.service.jobs.store import JobStore
from proofrank.service.jobs.to_response import job_answer, ranking_answer
from proofrank.service.storage.database import MIGRATIONS, Database

BEFORE_PRUNING = MIGRATIONS[:3]


def insert(connection: sqlite3.Connection) -> None:
    """A job with a query done, and one that has not begun."""
    for number, job_id, done in ((1, "begun", 1), (2, "waiting", 0)):
        connection.execute(
            "INSERT INTO jobs (number, id, body_sha256, state, created, policy_name, policy_sha256, dataset_name, "
            "dataset_sha256, options, num_queries, queries_done, num_candidates, candidates_done) "
            "VALUES (?, ?, '0', 'running', '2026-01-31T12:00:00.000Z', 'p', '0', 'd', '0', ?, 2, ?, 20, ?)",
            (number, job_id, '{"split": "test"}', done, 10 * done),
        )
    connection.execute(
        "INSERT INTO rankings VALUES (1, 0, 'tail', 'a', 'r', 'b', 1, 1.0, 1, 1, 10, -1.0, -1.0, 1, 3, 4, 0.5)"
    )


def test_jobs_that_an_older_version_has_begun_go_on(tmp_path: Path) -> None:
    older = Database.open(tmp_path, BEFORE_PRUNING)
    older.transact(insert)
    older.close()

    async def read() -> tuple[list[Job], list[StoredRanking], Job | None]:
        changes: list[Change] = []
        database = Database.open(tmp_path)
        store = JobStore(database, changes.append)
        found = [job for job in [await store.get("begun"), await store.get("waiting")] if job is not None]
        rankings = await store.rankings(found[0], 0, 2)
        grown = await store.add_chunk(found[1], [], 1, "{}", PruningCounts(3, 5, 2, 40))
        database.close()
        return found, rankings, grown

    (begun, waiting), (ranking,), grown = asyncio.run(read())

    pruning = job_answer(begun).pruning
    assert pruning is not None
    assert (pruning.level, pruning.evaluated, pruning.unprovable, pruning.fallen_behind) == (
        "exact",
        10,
        0,
        0,
    )
    assert pruning.steps is None
    assert waiting.trajectory_steps == 0
    assert ranking_answer(ranking, "realistic").corruptions_proved == 4
    assert grown is not None
    assert (grown.candidates_unprovable, grown.candidates_fallen_behind, grown.trajectory_steps) == (5, 2, 40)

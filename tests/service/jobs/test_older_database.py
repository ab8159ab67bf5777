"""Jobs of a database from before pruning: what was counted is kept, and what was not is null."""

from __future__ import annotations

import asyncio
from pathlib import Path

from proofrank.core.ranking import PruningCounts
from proofrank.service.jobs.job import Change, Job, StoredRanking
from proofrank.service.jobs.store import JobStore
from proofrank.service.jobs.to_response import job_answer, ranking_answer
from proofrank.service.storage.database import MIGRATIONS, Database
from tests.helpers.older_jobs import insert_older_jobs

BEFORE_PRUNING = MIGRATIONS[:3]


def test_jobs_that_an_older_version_has_begun_go_on(tmp_path: Path) -> None:
    older = Database.open(tmp_path, BEFORE_PRUNING)
    older.transact(insert_older_jobs)
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

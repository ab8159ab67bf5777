"""The stored state of a job with ``mrr_tolerance``, and databases from before there were such jobs."""

from __future__ import annotations

import asyncio
import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from proofrank.core.ranking import PruningCounts
from proofrank.service.jobs.interval_rows import IntervalProgress
from proofrank.service.jobs.job import Change, Job
from proofrank.service.jobs.refinement_file import UnreadableStateError, origin_of, read_state, write_state
from proofrank.service.jobs.store import JobStore
from proofrank.service.settings.settings import load_settings
from proofrank.service.storage.database import MIGRATIONS, Database
from proofrank.service.wire import JobRankInterval
from tests.helpers.older_jobs import insert_older_jobs

BEFORE_INTERVALS = MIGRATIONS[:4]


def test_a_state_is_read_as_it_was_written() -> None:
    state = {"larger": np.arange(5), "is_proved": np.array([True, False]), "counts": np.array((1, 2, 3, 4))}
    found = read_state(write_state(state))
    assert set(found) == set(state)
    for name, column in state.items():
        assert (found[name] == column).all()
        assert found[name].dtype == column.dtype


def test_what_is_no_state_is_refused_and_nothing_of_it_is_run() -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return pytest.fail, ("a pickle was loaded",)

    file = io.BytesIO()
    np.savez(file, allow_pickle=True, larger=np.array([Harmful()], dtype=object))
    whole = write_state({"larger": np.arange(1000)})
    for content in (b"", b"\x00", pickle.dumps(Harmful()), file.getvalue(), whole[: len(whole) // 2]):
        with pytest.raises(UnreadableStateError):
            read_state(content)


def test_the_origin_names_what_bits_depend_on() -> None:
    settings = load_settings({"threads": 1}, environment={})
    origin = origin_of(settings, "eager", "{}")
    assert origin == origin_of(settings, "eager", "{}")
    assert origin != origin_of(settings, "original", "{}")
    assert origin != origin_of(settings, "eager", '{"max_depth": 2}')
    assert origin != origin_of(load_settings({"threads": 2}, environment={}), "eager", "{}")
    assert np.__version__ in origin


def test_a_database_from_before_takes_such_jobs(tmp_path: Path) -> None:
    older = Database.open(tmp_path, MIGRATIONS[:3])
    older.transact(insert_older_jobs)
    older.close()
    Database.open(tmp_path, BEFORE_INTERVALS).close()
    ranking = JobRankInterval(0, "a", "r", "b", "tail", 1.0, 3.0, None, 2, 10)
    known = JobRankInterval(0, "a", "r", "b", "tail", 2.0, 2.0, True, 0, 10)

    def progress(*rankings: JobRankInterval, decided: int) -> IntervalProgress:
        counts = PruningCounts(decided, 0, 0, 30)
        return IntervalProgress(rankings, 1, decided, counts, "{}", "origin", b"state")

    async def run() -> tuple[list[JobRankInterval], ...]:
        changes: list[Change] = []
        database = Database.open(tmp_path)
        store = JobStore(database, changes.append)
        job = await store.get("waiting")
        assert job is not None
        assert await store.refinement_state(job) is None
        first = await store.add_intervals(job, progress(ranking, decided=8))
        found = await store.intervals(job, 0, 2)
        second = await store.add_intervals(job, progress(known, decided=10))
        again = await store.intervals(job, 0, 2)
        assert isinstance(first, Job)
        assert isinstance(second, Job)
        assert (first.candidates_done, second.candidates_done, second.trajectory_steps) == (8, 10, 30)
        assert await store.refinement_state(job) == ("origin", b"state")
        await store.end(job, "cancelled")
        assert await store.refinement_state(job) is None
        assert await store.add_intervals(job, progress(ranking, decided=10)) is None
        kept = await store.intervals(job, 0, 2)
        await store.remove(job.id)
        gone = await store.intervals(job, 0, 2)
        database.close()
        return found, again, kept, gone

    assert asyncio.run(run()) == ([ranking], [known], [known], [])

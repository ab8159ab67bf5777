"""Training runs: what the database has of their steps, policies and jobs."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from proofrank.service import wire
from proofrank.service.errors import NoSuchRun
from proofrank.service.policies.records import read_place
from proofrank.service.storage.database import Database

_SUMMARIES = """
    SELECT run, count(DISTINCT step), max(step), sum(is_job), min(created), max(created) FROM (
        SELECT run, step, 0 AS is_job, created FROM policies WHERE run IS NOT NULL
        UNION ALL
        SELECT run, step, 1, created FROM jobs WHERE run IS NOT NULL
    ) GROUP BY run ORDER BY max(created) DESC, run LIMIT ?
"""

# What jobs and stored policies say of one content of a step; what was stored later counts.
_STEPS = """
    SELECT step, sha256, name, labels, max(is_stored) FROM (
        SELECT step, sha256, name, labels, 1 AS is_stored, created FROM policies WHERE run = ?1
        UNION ALL
        SELECT step, policy_sha256, policy_name, labels, 0, created FROM jobs WHERE run = ?1
        ORDER BY is_stored, created
    ) GROUP BY step, sha256 ORDER BY step DESC, max(created) DESC LIMIT ?2
"""

_JOBS = """
    SELECT step, policy_sha256, id, state, created, options, json_remove(report, '$.by_side', '$.by_relation')
    FROM jobs WHERE run = ? AND step BETWEEN ? AND ? ORDER BY number
"""


class RunStore:
    """The runs of a data folder."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def summaries(self, limit: int) -> wire.RunList:
        """Returns at most ``limit`` runs, the one with the last upload or job first."""

        def work(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(_SUMMARIES, (limit,)).fetchall()

        return wire.RunList(tuple(_summary(*row) for row in await self._database.run(work)))

    async def run(self, name: str, limit: int) -> wire.Run:
        """Returns a run with at most ``limit`` of its steps, the largest ones, in order.

        Raises:
            NoSuchRun: no policy and no job is of it.
        """

        def work(connection: sqlite3.Connection) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
            steps = connection.execute(_STEPS, (name, limit)).fetchall()
            if not steps:
                return [], []
            numbers = [row[0] for row in steps]
            return steps, connection.execute(_JOBS, (name, min(numbers), max(numbers))).fetchall()

        steps, jobs = await self._database.run(work)
        if not steps:
            raise NoSuchRun(f"no policy and no job is of a run {name[:64]!r}")
        jobs_of: dict[tuple[int, str], list[wire.StepJob]] = {}
        for step, sha256, *job in jobs:
            jobs_of.setdefault((step, sha256), []).append(_job(*job))
        return wire.Run(
            name,
            tuple(
                wire.StepOfRun(
                    step=step,
                    policy=wire.Identity(policy, sha256),
                    is_stored=bool(is_stored),
                    jobs=tuple(jobs_of.get((step, sha256), ())),
                    labels=read_place(name, step, labels).labels,
                )
                for step, sha256, policy, labels, is_stored in reversed(steps)
            ),
        )


def _summary(run: str, steps: int, last_step: int, jobs: int, first: str, last: str) -> wire.RunSummary:
    times = datetime.fromisoformat(first), datetime.fromisoformat(last)
    return wire.RunSummary(run, steps, last_step, jobs, *times)


def _job(job_id: str, state: wire.JobState, created: str, options: str, report: str | None) -> wire.StepJob:
    request = wire.JobOptions.model_validate_json(options)
    has_intervals = request.mrr_tolerance is not None
    return wire.StepJob(
        id=job_id,
        state=state,
        created=datetime.fromisoformat(created),
        request=request,
        metrics=None if report is None or has_intervals else wire.read_answer(wire.Metrics, report),
        intervals=wire.read_answer(wire.IntervalMetrics, report)
        if report is not None and has_intervals
        else None,
    )

"""Reads parts of the stored rankings of a job: a list in some order, metrics by group, the sums behind an interval."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Literal

from proofrank.core.comparison.single import QuerySums, interval_of_mean
from proofrank.core.ranking import ReportTally
from proofrank.core.ranking.known_depths import NOT_LISTED
from proofrank.service import wire
from proofrank.service.errors import JobRemovedError, NoSuchJob
from proofrank.service.jobs.job import Job, StoredRanking
from proofrank.service.jobs.results import pages
from proofrank.service.jobs.rows import RANK_COLUMN_OF_TIES, RANKING_COLUMNS, read_ranking
from proofrank.service.jobs.store import JobStore
from proofrank.service.jobs.to_response import ranking_answer
from proofrank.service.storage.database import Database

NOT_PROVED = "not proved"
"""Name of the group of rankings whose triple was not proved."""

_CONFIDENCE = 0.95
_MOST_KEPT = 100_000
"""Largest number of intervals that are kept; a job that is done never changes."""

_ORDER = {
    "query": "query_index, side",
    "worst": "{rank} DESC, query_index, side",
    "best": "{rank}, query_index, side",
}

_CHOSEN = "job = ?1 AND (?2 IS NULL OR relation = ?2) AND (?3 IS NULL OR side = ?3)"

_SUMS = """
    SELECT count(*), sum(s), sum(n), sum(s * s), sum(s * n), sum(n * n) FROM (
        SELECT sum(1.0 / {rank}) AS s, count(*) AS n FROM rankings
        WHERE job = (SELECT number FROM jobs WHERE id = ?) GROUP BY query_index
    )
"""


class RankingBrowser:
    """The rankings of a data folder's jobs, in parts."""

    def __init__(self, database: Database, store: JobStore) -> None:
        self._database = database
        self._store = store
        self._intervals: dict[str, wire.MetricInterval | None] = {}

    async def listed(
        self,
        job: Job,
        *,
        relation: str | None,
        side: Literal["head", "tail"] | None,
        order: wire.RankingOrder,
        offset: int,
        limit: int,
    ) -> wire.RankingList:
        """Returns some rankings of a job.

        Args:
            job: that has them.
            relation: only those of this relation.
            side: only those of this side.
            order: by query, or by rank.
            offset: number of rankings to leave out at the beginning.
            limit: largest number to return.
        """
        ties = _ties(job)
        by = _ORDER[order].format(rank=RANK_COLUMN_OF_TIES[ties])

        def work(connection: sqlite3.Connection) -> tuple[int, list[StoredRanking]]:
            chosen = (job.number, relation, side)
            (total,) = connection.execute(f"SELECT count(*) FROM rankings WHERE {_CHOSEN}", chosen).fetchone()
            rows = connection.execute(
                f"SELECT {RANKING_COLUMNS} FROM rankings WHERE {_CHOSEN} ORDER BY {by} LIMIT ?4 OFFSET ?5",
                (*chosen, limit, offset),
            )
            return total, [read_ranking(row) for row in rows]

        total, rankings = await self._database.run(work)
        return wire.RankingList(total, tuple(ranking_answer(ranking, ties) for ranking in rankings))

    async def groups(self, job: Job, depths: Mapping[tuple[str, str, str], str] | None) -> wire.RankingGroups:
        """Returns the metrics of a job by depth, if there are depths, and by the steps of the triple's proof.

        A job with ``mrr_tolerance``, whose ranks lie in intervals, has none.

        Args:
            job: that has the rankings.
            depths: depth of each triple, by its names; None if none is known.

        Raises:
            NoSuchJob: the job was removed meanwhile.
        """
        if (
            not job.queries_done
            or wire.JobOptions.model_validate_json(job.options_json).mrr_tolerance is not None
        ):
            return wire.RankingGroups({}, {})
        by_steps, by_depth = ReportTally(_ties(job)), ReportTally(_ties(job))

        def add(page: Iterable[StoredRanking]) -> None:
            for ranking in page:
                proved = ranking.summary.is_proved
                steps = f"{ranking.steps}" if proved else NOT_PROVED
                by_steps.add(ranking.relation, ranking.summary, steps)
                if depths is not None:
                    names = (ranking.head, ranking.relation, ranking.tail)
                    by_depth.add(ranking.relation, ranking.summary, depths.get(names, NOT_LISTED))

        try:
            async for page in pages(job, self._store):
                await asyncio.to_thread(add, page)
        except JobRemovedError as error:
            raise NoSuchJob(str(error)) from error
        # Where nothing is proved, no proof has steps.
        is_proving = wire.JobOptions.model_validate_json(job.options_json).scoring != "embedding"
        return wire.RankingGroups(
            {} if depths is None else _by_depth(by_depth),
            _by_depth(by_steps) if is_proving else {},
        )

    async def proved_triples(self, job: Job, limit: int) -> tuple[int, list[tuple[str, str, str]]]:
        """Returns the number of proved triples of a job, and the names (head, relation, tail) of at most ``limit`` of
        them, spread over the job.
        """

        def work(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
            # The triple is proved on both sides or on none; it is counted once.
            rows = connection.execute(
                "SELECT head, relation, tail FROM rankings WHERE job = ? AND proved GROUP BY query_index",
                (job.number,),
            )
            return rows.fetchall()

        found = await self._database.run(work)
        stride = max(1, -(-len(found) // limit))
        return len(found), found[::stride]

    async def with_intervals(self, run: wire.Run) -> wire.Run:
        """Returns the run with the interval of the MRR of each job that is done."""
        jobs = [
            job
            for step in run.steps
            for job in step.jobs
            if job.state == "done" and job.request.mrr_tolerance is None
        ]
        missing = [job for job in jobs if job.id not in self._intervals]

        def work(connection: sqlite3.Connection, job: wire.StepJob) -> QuerySums:
            rank = RANK_COLUMN_OF_TIES[job.request.ties]
            return QuerySums(*connection.execute(_SUMS.format(rank=rank), (job.id,)).fetchone())

        if len(self._intervals) + len(missing) > _MOST_KEPT:
            self._intervals.clear()
        for job in missing:
            # One transaction each: others need the database meanwhile.
            sums = await self._database.run(lambda connection, job=job: work(connection, job))
            bounds = interval_of_mean(sums, _CONFIDENCE)
            self._intervals[job.id] = None if bounds is None else wire.MetricInterval(*bounds)
        return dataclasses.replace(
            run,
            steps=tuple(
                dataclasses.replace(
                    step,
                    jobs=tuple(
                        dataclasses.replace(job, mrr_interval=self._intervals.get(job.id))
                        for job in step.jobs
                    ),
                )
                for step in run.steps
            ),
        )


def _ties(job: Job) -> wire.Ties:
    return wire.JobOptions.model_validate_json(job.options_json).ties


def _by_depth(tally: ReportTally) -> dict[str, wire.Metrics]:
    by_depth = tally.report(()).by_depth
    return {
        name: wire.answer_from_python(wire.Metrics, metrics.to_dict()) for name, metrics in by_depth.items()
    }

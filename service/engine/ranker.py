"""Ranks queries by the loaded evaluator, and counts the time that it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidates
from proofrank.core.ranking import Pruning, PruningCounts, Query, RankedQuery, queue_of, rank_outcomes
from proofrank.service.engine.candidate_budget import CandidateBudget
from proofrank.service.engine.throughput import Throughput
from proofrank.service.errors import DeadlinePassed, Draining, EvaluationFailed
from proofrank.service.scheduler import (
    DeadlineError,
    FaultError,
    Finished,
    Scheduler,
    StoppedError,
    Task,
)
from proofrank.service.telemetry.metrics import Kind, Outcome, ServiceMetrics
from proofrank.service.threads import FEW_CANDIDATES, in_worker_unless_small


@dataclass(frozen=True)
class RankedBatch:
    """Ranked queries, what was left out, the policy that ranked them, and their times in seconds."""

    ranked: list[RankedQuery]
    counts: PruningCounts
    policy: Policy
    queue_seconds: float
    first_result_seconds: float
    execution_seconds: float


class Ranker:
    """Submits queries to the scheduler, and makes rankings of the outcomes."""

    def __init__(self, max_queued_candidates: int, metrics: ServiceMetrics) -> None:
        self._metrics = metrics
        self._throughput = Throughput()
        self.room = CandidateBudget(max_queued_candidates, metrics, self._throughput)

    @property
    def candidates_per_second(self) -> float:
        """Candidates done per second over the last 30 seconds."""
        return self._throughput.per_second

    async def rank(
        self,
        queries: Sequence[Query],
        seed: int,
        dataset: Dataset,
        scheduler: Scheduler,
        policy: Policy,
        *,
        pruning: Pruning | None = None,
        is_job: bool = False,
        deadline: float | None = None,
    ) -> RankedBatch:
        """Ranks ``queries`` beside other tasks; cancelling it frees its lanes.

        Requests first take ``room``, and keep it until they are answered.

        Args:
            queries: queries to rank.
            seed: seed of the random order of ties.
            dataset: the graph.
            scheduler: scheduler of the evaluator for ``policy``.
            policy: policy to rank by, also after another is activated.
            pruning: what may be left out; nothing by default.
            is_job: whether it yields to requests.
            deadline: latest end by ``time.monotonic()``.

        Raises:
            EvaluationFailed: the evaluator failed on them.
            Draining: the service stops.
            DeadlinePassed: they are not done at the deadline.
            EvaluationError: a candidate cannot be evaluated.
        """
        num_candidates = count_candidates(queries)
        is_small = num_candidates <= FEW_CANDIDATES
        kind = Kind.JOB if is_job else Kind.INTERACTIVE
        queue = await in_worker_unless_small(is_small, queue_of, queries, pruning)
        finished = await self._outcome(Task(queue, policy, is_job=is_job, deadline=deadline), scheduler, kind)
        self._throughput.count(num_candidates)
        self._metrics.record_ended(
            kind,
            Outcome.DONE,
            finished.queue_seconds,
            finished.first_result_seconds,
            finished.execution_seconds,
        )

        def rank() -> tuple[list[RankedQuery], PruningCounts]:
            ranked = rank_outcomes(
                queries,
                finished.outcomes,
                seed=seed,
                seconds=finished.execution_seconds,
                knows_proved=pruning is None or pruning.knows_proved,
            )
            self._metrics.record_ranked(ranked, dataset, policy, kind)
            return ranked, PruningCounts.of(finished.outcomes)

        ranked, counts = await in_worker_unless_small(is_small, rank)
        return RankedBatch(
            ranked,
            counts,
            policy,
            finished.queue_seconds,
            finished.first_result_seconds,
            finished.execution_seconds,
        )

    async def prove(
        self,
        candidates: Candidates,
        scheduler: Scheduler,
        policy: Policy,
        *,
        is_job: bool = False,
        deadline: float | None = None,
    ) -> Finished:
        """Proves ``candidates`` beside other tasks; cancelling it frees its lanes. Raises as :meth:`rank` does.

        The metrics count its end only if it fails: it may be a part of an evaluation.
        """
        task = Task(candidates, policy, is_job=is_job, deadline=deadline)
        finished = await self._outcome(task, scheduler, Kind.JOB if is_job else Kind.INTERACTIVE)
        self._throughput.count(len(candidates))
        return finished

    async def _outcome(self, task: Task, scheduler: Scheduler, kind: Kind) -> Finished:
        outcome = Outcome.FAILED
        try:
            scheduler.submit(task)
            finished = await asyncio.wrap_future(task.future)
            outcome = Outcome.DONE
            return finished
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
            raise
        except DeadlineError as error:
            outcome = Outcome.DEADLINE
            raise DeadlinePassed(f"the deadline has passed: {error}") from error
        except StoppedError as error:
            outcome = Outcome.CANCELLED
            raise Draining(str(error)) from error
        except FaultError as error:
            raise EvaluationFailed(f"evaluation failed: {error}") from error
        finally:
            if outcome is not Outcome.DONE:
                self._metrics.record_ended(kind, outcome, *task.times_so_far)
            # The task holds the error, whose traceback holds this frame: a cycle that would keep all candidates.
            del task


def count_candidates(queries: Sequence[Query]) -> int:
    """Returns the number of candidates, including positives."""
    return sum(query.num_candidates for query in queries)

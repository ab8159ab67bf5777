"""Ranks queries by the loaded evaluator, and counts the time that it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, CandidateQueue, Candidates, Outcomes
from proofrank.core.prover.sampling import SampledCandidates, SampledShare, shares_of
from proofrank.core.ranking import (
    Pruning,
    PruningCounts,
    Query,
    RankedQuery,
    Scoring,
    candidates_of,
    queue_of,
    rank_outcomes,
    scored_queue_of,
)
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

NO_ENGINE = "none"
"""Name of the engine where nothing is proved."""


@dataclass(frozen=True)
class RankedBatch:
    """Ranked queries, what was left out, the policy and the engine that ranked them, and their times in seconds.

    ``scoring_seconds`` is the time of an embedding before anything is proved.
    """

    ranked: list[RankedQuery]
    counts: PruningCounts
    policy: Policy
    queue_seconds: float
    first_result_seconds: float
    execution_seconds: float
    engine: str = ""
    scoring_seconds: float = 0.0


@dataclass(frozen=True)
class SampledBatch:
    """The share of proofs among the sampled trajectories of each candidate, in order, and the times as in
    :class:`RankedBatch`."""

    shares: list[SampledShare]
    engine: str
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
        scoring: Scoring | None = None,
        is_job: bool = False,
        is_explanation: bool = False,
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
            scoring: what scores beside proofs, of kind ``hybrid``; None for proofs alone.
            is_job: whether it yields to requests.
            is_explanation: whether the ranks are those of queries that somebody looks at, and say nothing of how good
                the policy is.
            deadline: latest end by ``time.monotonic()``.

        Raises:
            EvaluationFailed: the evaluator failed on them.
            Draining: the service stops.
            DeadlinePassed: they are not done at the deadline.
            EvaluationError: a candidate cannot be evaluated.
            EmbeddingError: a candidate has no score by the embedding.
        """
        num_candidates = count_candidates(queries)
        is_small = num_candidates <= FEW_CANDIDATES
        kind = Kind.JOB if is_job else Kind.INTERACTIVE
        # An embedding may take a millisecond for a candidate, so few of them are no small work.
        queue, embedding, scoring_seconds = await in_worker_unless_small(
            is_small and scoring is None, _queue, queries, pruning, scoring
        )
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
                scoring=scoring,
                embedding=embedding,
            )
            is_judged = scoring is None and not is_explanation
            self._metrics.record_ranked(ranked, dataset, policy, kind, is_judged=is_judged)
            if scoring is not None:
                self._metrics.record_scored(scoring.kind, ranked)
            return ranked, PruningCounts.of(finished.outcomes)

        ranked, counts = await in_worker_unless_small(is_small, rank)
        return RankedBatch(
            ranked,
            counts,
            policy,
            finished.queue_seconds,
            finished.first_result_seconds,
            finished.execution_seconds,
            scoring_seconds=scoring_seconds,
        )

    async def rank_by_embedding(
        self, queries: Sequence[Query], seed: int, policy: Policy, scoring: Scoring
    ) -> RankedBatch:
        """Ranks ``queries`` by an embedding alone, for which no evaluator is needed.

        Args:
            queries: queries to rank.
            seed: seed of the random order of ties.
            policy: that the answer names.
            scoring: of kind ``embedding``.

        Raises:
            EmbeddingError: a candidate has no score by the embedding.
        """
        batch = await asyncio.to_thread(_ranked_by_embedding, queries, seed, policy, scoring)
        self._metrics.record_scored(scoring.kind, batch.ranked)
        return batch

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

    async def sample(
        self,
        candidates: Sequence[Candidate],
        number: int,
        seed: int,
        scheduler: Scheduler,
        policy: Policy,
        *,
        engine: str,
        deadline: float,
    ) -> SampledBatch:
        """Draws trajectories beside other tasks; cancelling it frees its lanes.

        Args:
            candidates: what to prove.
            number: of trajectories of each.
            seed: of all draws.
            scheduler: scheduler of the sampling evaluator for ``policy``.
            policy: draws by its probabilities.
            engine: name of that evaluator's engine.
            deadline: latest end by ``time.monotonic()``.

        Raises:
            EvaluationError: ``number`` or ``seed`` is out of its range, or a candidate cannot be evaluated; else as
                :meth:`rank` does.
        """
        num_trajectories = len(candidates) * number
        is_small = num_trajectories <= FEW_CANDIDATES
        drawn = await in_worker_unless_small(is_small, SampledCandidates.drawn, candidates, number, seed)
        finished = await self._outcome(Task(drawn, policy, deadline=deadline), scheduler, Kind.INTERACTIVE)
        self._throughput.count(num_trajectories)
        times = (finished.queue_seconds, finished.first_result_seconds, finished.execution_seconds)
        self._metrics.record_ended(Kind.INTERACTIVE, Outcome.DONE, *times)
        self._metrics.record_sampled(finished.outcomes)
        return SampledBatch(shares_of(finished.outcomes.success, number), engine, *times)

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


def _queue(
    queries: Sequence[Query], pruning: Pruning | None, scoring: Scoring | None
) -> tuple[CandidateQueue, np.ndarray | None, float]:
    """The candidates, and the embedding's scores of them where ``scoring`` needs those, with the time of the embedding
    in seconds.
    """
    if scoring is None:
        return queue_of(queries, pruning), None, 0.0
    began = time.monotonic()
    embedding = scoring.embedding_scores(candidates_of(queries).triples)
    seconds = time.monotonic() - began
    return scored_queue_of(queries, pruning, scoring, embedding), embedding, seconds


def _ranked_by_embedding(
    queries: Sequence[Query], seed: int, policy: Policy, scoring: Scoring
) -> RankedBatch:
    """Ranks by the embedding alone: nothing is proved, and so nothing waits for a lane."""
    began = time.monotonic()
    candidates = candidates_of(queries)
    embedding = scoring.embedding_scores(candidates.triples)
    seconds = time.monotonic() - began
    ranked = rank_outcomes(
        queries,
        Outcomes.unprovable(len(candidates)),
        seed=seed,
        seconds=seconds,
        knows_proved=False,
        scoring=scoring,
        embedding=embedding,
    )
    return RankedBatch(ranked, PruningCounts(), policy, 0.0, seconds, seconds, engine=NO_ENGINE)


def count_candidates(queries: Sequence[Query]) -> int:
    """Returns the number of candidates, including positives."""
    return sum(query.num_candidates for query in queries)

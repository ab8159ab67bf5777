"""Comparison of pruned tasks of a scheduler with whole ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from proofrank.core.choices import PruningLevel
from proofrank.core.evaluator import CandidateStream, CompiledEvaluator, EvaluatorOptions, OriginalStream
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.provability import LeastModel
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import (
    Pruning,
    PruningCounts,
    Query,
    RankedQuery,
    aggregate,
    queue_of,
    rank_outcomes,
)
from proofrank.service.scheduler import Finished, Lanes, Scheduler, Task

PATIENCE = 3600
"""Seconds after which a missing event counts as a failure; never waited in full. Some engines compile meanwhile."""

LEVELS: tuple[PruningLevel, ...] = ("exact", "ranks")


def ranked(queries: Sequence[Query], finished: Finished, level: PruningLevel) -> list[RankedQuery]:
    """The rankings of a task that is done."""
    return rank_outcomes(queries, finished.outcomes, seed=3, seconds=1.0, knows_proved=level != "ranks")


def assert_same(pruned: Sequence[RankedQuery], whole: Sequence[RankedQuery], level: PruningLevel) -> None:
    """Every rank is the same, and with ``exact`` every metric."""
    assert [one.ranks for one in pruned] == [one.ranks for one in whole]
    if level == "ranks":
        assert aggregate(pruned).corruptions_proved is None
        return
    for ties in ("optimistic", "realistic", "pessimistic", "random"):
        figures = [aggregate(ranking, ties).to_dict() for ranking in (pruned, whole)]
        assert figures[0] | {"seconds": 0} == figures[1] | {"seconds": 0}


def check_beside_each_other(
    scheduler: Scheduler, queries: Sequence[Query], policies: Sequence[Policy], model: LeastModel
) -> list[PruningCounts]:
    """All levels at the same time, by all policies; returns what the pruned tasks left out."""
    tasks = {
        (policy.name, level): Task(
            queue_of(queries, None if level == "none" else Pruning(level, model)), policy
        )
        for level, policy in itertools.product(("none", *LEVELS), policies)
    }
    for task in tasks.values():
        scheduler.submit(task)
    done = {key: task.future.result(PATIENCE) for key, task in tasks.items()}
    for policy in policies:
        whole = ranked(queries, done[policy.name, "none"], "none")
        for level in LEVELS:
            assert_same(ranked(queries, done[policy.name, level], level), whole, level)
    return [PruningCounts.of(done[policy.name, level].outcomes) for policy in policies for level in LEVELS]


def run_on(
    engine: str, lanes: Lanes, dataset: Dataset, policy: Policy, settings: ProverSettings, pool_size: int
) -> Scheduler:
    """A scheduler that has started."""

    def make(_: Exception | None) -> tuple[CandidateStream, Lanes]:
        if engine == "original":
            return OriginalStream(dataset, policy, settings, num_slots=lanes.buckets[-1]), lanes
        options = EvaluatorOptions(buckets=lanes.buckets, pool_size=pool_size)
        return CompiledEvaluator(dataset, policy, settings, options, compile_mode=engine), lanes

    scheduler = Scheduler(make)
    scheduler.start()
    return scheduler

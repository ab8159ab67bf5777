"""An evaluation on the workers of a Ray cluster: shards are sent out, results come back in the order they are done.

Ray Data schedules the work: it keeps a pool of workers of one size, gives shards to free workers, streams results back,
replaces a lost worker and repeats its shards.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError as RayFailure
from ray.exceptions import RayTaskError

from proofrank.core.errors import EvaluationError, ProofrankError
from proofrank.core.evaluator.capacities import DEFAULT_BUCKETS
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import LazyQueries, Pruning, Scoring
from proofrank.service.bulk.shards import Shard, ShardResult
from proofrank.service.engine.engine_options import EngineOptions
from proofrank.service.on_ray.artifacts import is_compiling, made_artifacts, name_of_artifacts
from proofrank.service.on_ray.cluster import RayError, WorkerSize, fitting_workers
from proofrank.service.on_ray.work_order import WorkOrder
from proofrank.service.on_ray.workers import RESULT, SHARD, ShardWorker

_SHARDS_IN_QUEUE = 2
"""Shards queued for a worker: the one it proves and the next, because Ray Data gives out shards ten times a second."""


@dataclasses.dataclass(frozen=True)
class WorkerPool:
    """The workers of an evaluation.

    Attributes:
        number: maximum number of workers.
        now: number that fits into the cluster now; the cluster may grow.
        size: size of each worker.
    """

    number: int
    now: int
    size: WorkerSize

    @classmethod
    def of(cls, number: int | None, cpus: float | None, gpus: float | None) -> WorkerPool:
        """Returns the pool that the options ask for; by default, as many workers as the connected cluster has room for.

        Args:
            number: number of workers.
            cpus: cores of a worker; 1 by default.
            gpus: GPUs of a worker; by default 1 if the cluster has GPUs, otherwise 0.

        Raises:
            RayError: the cluster has no room for a single such worker.
        """
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if gpus is None:
            gpus = float(any(machine.get("GPU", 0.0) >= 1 for machine in machines))
        size = WorkerSize(1.0 if cpus is None else cpus, gpus)
        fitting = fitting_workers(machines, size)
        return cls(number or fitting, min(number or fitting, fitting), size)


def proved_on_ray(
    shards: Sequence[Shard],
    work: LazyQueries,
    policy: Policy,
    settings: ProverSettings,
    engine: EngineOptions,
    pool: WorkerPool,
    pruning: Pruning | None = None,
    scoring: Scoring | None = None,
) -> Generator[ShardResult]:
    """Yields the result of each of ``shards`` once, as they are done; close it before Ray is shut down.

    Args:
        shards: all shards of ``work``, in the order of their numbers; at least one.
        work: the evaluation.
        policy: policy that fits the dataset of ``work``.
        settings: settings of the prover.
        engine: evaluator that each worker makes; processes and device default to those of a worker.
        pool: the workers.
        pruning: what may be left out; nothing by default.
        scoring: what scores beside or instead of proofs, on the CPU; None for proofs alone.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
        RayError: the cluster was lost.
    """
    try:
        order = _work_order(shards, work, policy, settings, engine, pool.size, scoring)
        order = dataclasses.replace(order, pruning=pruning)
        with closing(_streamed(order, pool)) as results:
            for result in results:
                if not isinstance(result, ShardResult):
                    raise EvaluationError(str(result))
                yield result
    except RayTaskError as error:
        if isinstance(error.cause, ProofrankError):
            raise EvaluationError(str(error.cause)) from error
        raise
    except RayFailure as error:
        raise RayError(f"the evaluation on Ray failed: {' '.join(str(error).split())}") from error


def _streamed(order: WorkOrder, pool: WorkerPool) -> Generator[object]:
    """Yields what the workers make of the shards: results, or the text of an error in place of one."""
    artifacts = {}
    if is_compiling(order, pool.size):
        order = dataclasses.replace(order, artifacts=name_of_artifacts(order))
        artifacts = made_artifacts(order, pool.size)
    _quieten()
    numbers = [{SHARD: shard.number} for shard in order.shards]
    batches = (
        ray.data.from_items(numbers, override_num_blocks=len(numbers))
        .map_batches(
            ShardWorker,
            batch_size=1,
            fn_constructor_args=(ray.put(order), ray.put(artifacts)),
            compute=ray.data.ActorPoolStrategy(
                min_size=pool.now,
                max_size=pool.number,
                max_tasks_in_flight_per_actor=_SHARDS_IN_QUEUE,
            ),
            num_cpus=pool.size.cpus,
            num_gpus=pool.size.gpus or None,
        )
        .iter_batches(batch_size=None, prefetch_batches=0)
    )
    # The iterator is a generator, although Ray's types do not say so. Closing it ends the execution.
    iterator: Any = iter(batches)
    with closing(iterator):
        for batch in iterator:
            yield from batch[RESULT]


def _work_order(
    shards: Sequence[Shard],
    work: LazyQueries,
    policy: Policy,
    settings: ProverSettings,
    engine: EngineOptions,
    size: WorkerSize,
    scoring: Scoring | None,
) -> WorkOrder:
    """Returns the order for workers of ``size``."""
    engine = dataclasses.replace(
        engine,
        processes=engine.processes if engine.processes is not None else max(1, math.floor(size.cpus)),
        device=engine.device if engine.device is not None or size.gpus else "cpu",
    )
    order = WorkOrder(work, policy, settings, engine, tuple(DEFAULT_BUCKETS), tuple(shards), scoring=scoring)
    if is_compiling(order, size):
        # One bucket for all shards; otherwise the smaller last shard would need another one compiled.
        largest = max(sum(work.num_candidates(index) for index in shard.query_indices) for shard in shards)
        bucket = next((lanes for lanes in DEFAULT_BUCKETS if lanes >= largest), DEFAULT_BUCKETS[-1])
        order = dataclasses.replace(order, buckets=(bucket,))
    return order


def _quieten() -> None:
    """Silences Ray's own output, so that the terminal shows only the progress bar."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)

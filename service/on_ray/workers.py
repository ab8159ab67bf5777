"""What a worker is and does: it makes one evaluator, keeps it, and proves a shard at a time.

Dataset, queries and policy come through Ray's object store, so that a worker needs none of the driver's files. What
crosses it is pickled by Ray between processes of one cluster that the user started; nothing of a client is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

from proofrank.core.errors import ProofrankError
from proofrank.core.evaluator import Evaluator
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import LazyQueries
from proofrank.service.bulk.shards import Shard, prove_shard
from proofrank.service.cli.options import EngineOptions, make_evaluator
from proofrank.service.on_ray.artifacts import ArtifactFiles, write_artifacts

SHARD = "shard"
"""Column of the numbers of shards, which go out."""

RESULT = "result"
"""Column of what comes back."""


@dataclass(frozen=True)
class WorkOrder:
    """All that a worker needs.

    Attributes:
        work: the queries, with their dataset.
        policy: must fit it.
        settings: of the prover.
        engine: which evaluator to make, with the threads and the device of a worker.
        buckets: of that evaluator.
        shards: of the queries, by their numbers.
        artifacts: name of the folder in which all that is compiled for this order is kept, and nothing else;
            None where nothing is compiled.
    """

    work: LazyQueries
    policy: Policy
    settings: ProverSettings
    engine: EngineOptions
    buckets: tuple[int, ...]
    shards: tuple[Shard, ...]
    artifacts: str | None = None

    @property
    def artifact_folder(self) -> Path | None:
        """That folder on this machine: machines may have other users and other disks."""
        if self.artifacts is None:
            return None
        root = self.engine.cache_folder if self.engine.cache_folder is not None else default_cache_folder()
        return root / "on-ray" / self.artifacts

    def make_evaluator(self) -> Evaluator:
        """The evaluator. Raises EvaluationError where there is none of this kind on this machine."""
        dataset = self.work.corruptor.dataset
        engine = self.engine
        if self.artifacts is not None:
            engine = dataclasses.replace(engine, cache_folder=self.artifact_folder)
        return make_evaluator(engine, dataset, self.policy, self.settings, self.buckets)


class ShardWorker:
    """Proves shards; Ray Data keeps one object of this class alive in each worker."""

    def __init__(self, order: ray.ObjectRef[WorkOrder], artifacts: ray.ObjectRef[ArtifactFiles]) -> None:
        self._order: WorkOrder = ray.get(order)
        self._artifacts = artifacts
        self._evaluator: Evaluator | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The result of each shard of ``batch``; one that cannot be proved has its error in the place of a result.

        An error that the user caused is an answer like any other: raised here, Ray would wrap it.
        """
        results = [self._prove(self._order.shards[number]) for number in batch[SHARD]]
        # Filled in, for numpy would take apart what it is given whole.
        column = np.empty(len(results), dtype=object)
        column[:] = results
        return {RESULT: column}

    def _prove(self, shard: Shard) -> Any:
        try:
            if self._evaluator is None:
                write_artifacts(ray.get(self._artifacts), self._order.artifact_folder)
                self._evaluator = self._order.make_evaluator()
            return prove_shard(self._evaluator, self._order.work, shard)
        except ProofrankError as error:
            return str(error)
